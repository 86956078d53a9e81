/* estimate.c - what an opened engine ought to do and take, and what it took. */
#include "worker/estimate.h"

#include "model/weights.h"
#include "worker/fit.h"
#include "worker/meter.h"

#define SCALE_BITS 32 /* of fp8 KV: a float for each token and head */

static double stored_bits(enum dtype stored)
{
    return 8.0 * (double)dtype_block_bytes(stored) / dtype_block(stored);
}

/* Bits of a number of the layers' matrices, scales included. */
static double weight_bits(const struct engine_opts *o)
{
    const enum dtype stored = weights_dtype(o->model->weights);
    const bool converts = o->device->async && dtype_is_float(stored);

    if (o->quantization != QUANTIZATION_NONE && dtype_is_float(stored)) return 8;
    if (converts && o->act != N_DTYPES) return 8.0 * (double)dtype_bytes(o->act);
    return stored_bits(stored);
}

struct model_shape estimate_shape_of(const struct model_config *c, enum dtype stored,
                                     enum dtype kv_dtype)
{
    const double scale = kv_dtype == DTYPE_FP8 ? (double)SCALE_BITS / c->head_dim : 0;

    return (struct model_shape){.layers = c->n_layers,
                                .hidden = c->hidden_size,
                                .ffn = c->intermediate_size,
                                .q_heads = c->n_heads,
                                .kv_heads = c->n_kv_heads,
                                .head_dim = c->head_dim,
                                .vocab = c->vocab_size,
                                .max_len = c->max_positions,
                                .tied = c->tied,
                                .quant_block = dtype_block(stored),
                                .weight_bits = stored_bits(stored),
                                .kv_bits = 8.0 * (double)dtype_bytes(kv_dtype) + scale};
}

struct model_shape estimate_shape(const struct engine_opts *o, enum dtype kv_dtype)
{
    struct model_shape shape =
        estimate_shape_of(&o->model->config, weights_dtype(o->model->weights), kv_dtype);

    shape.weight_bits = weight_bits(o);
    return shape;
}

/* What an instance may use of a rank's memory: of a device its share of all, of the host what was
 * given for KV beside weights and work. */
static double rank_bytes(const struct engine_opts *o, const struct engine_stats *s, int tp)
{
    const double share = o->memory_utilization > 0 ? o->memory_utilization : FIT_UTILIZATION;
    struct device_facts facts;
    struct errmsg e;

    if (o->kv_bytes || o->device->facts(o->n_devices ? o->devices[0] : 0, &facts, &e))
        return (double)(o->kv_bytes + s->weight_bytes + s->work_bytes) / tp;
    return share * (double)facts.memory_bytes;
}

void estimate_memory(struct estimate_memory *out, const struct engine *en,
                     const struct engine_opts *o)
{
    const struct model_shape shape = estimate_shape(o, engine_kv_dtype(en));
    const int tp = o->tp > 1 ? o->tp : 1;
    struct perf_rank ranks[ENGINE_MAX_DEVICES];
    struct engine_stats s;
    int64_t most;

    engine_stats(en, &s);
    *out = (struct estimate_memory){.weight_bytes = model_shape_weight_bytes(&shape),
                                    .kv_token_bytes = model_shape_kv_bytes(&shape),
                                    .real_weight_bytes = (double)s.weight_bytes,
                                    .real_work_bytes = (double)s.work_bytes,
                                    .real_kv_tokens = engine_kv_tokens(en)};
    out->real_kv_token_bytes = (double)s.kv_bytes / (double)out->real_kv_tokens;
    for (int i = 0; i < tp && i < ENGINE_MAX_DEVICES; i++)
        ranks[i] = (struct perf_rank){rank_bytes(o, &s, tp), out->weight_bytes / tp,
                                      out->real_work_bytes / tp};
    out->kv_tokens = perf_kv_tokens(ranks, tp, 1, out->kv_token_bytes, o->model->config.n_kv_heads);
    /* More than all sequences could use is not taken. */
    most = (int64_t)o->max_num_seqs * kv_table_blocks(engine_max_len(en)) * KV_BLOCK_TOKENS;
    if (out->kv_tokens > most) out->kv_tokens = most;
}

/* --- speed ------------------------------------------------------------------------------------ */

/* Of one multiprocessor: multiply-adds a clock in 16 bits, and bytes a second. */
static const struct {
    int arch;
    double adds, bytes_per_s;
} CARDS[] = {{75, 512, 8e9}, {80, 1024, 18e9}, {86, 512, 9e9}, {90, 2048, 25e9}, {100, 4096, 50e9}};
#define CARD_HZ    1.5e9
#define HOST_HZ    2.5e9 /* where the clock is not told */
#define CORE_BYTES 8e9   /* a second, of one core, until the memory is busy */
#define HOST_BYTES 64e9

static struct device_speed card_speed(const struct engine_opts *o, int sm_count)
{
    struct device_facts facts = {0};
    struct errmsg e;
    size_t i = 0;

    if (o->device->facts(o->n_devices ? o->devices[0] : 0, &facts, &e)) facts.arch = 0;
    while (i + 1 < sizeof CARDS / sizeof CARDS[0] && CARDS[i + 1].arch <= facts.arch)
        i++;
    return (struct device_speed){.flops = 2 * CARDS[i].adds * sm_count * CARD_HZ,
                                 .bytes_per_s = CARDS[i].bytes_per_s * sm_count,
                                 .flops_share = 0.5,
                                 .bytes_share = 0.8,
                                 .launch_s = 10e-6,
                                 .link_s = 10e-6};
}

struct device_speed estimate_host(int threads)
{
    struct meter_reading r;
    struct meter m;
    double hz, bytes = CORE_BYTES * threads, lanes = 4;

    meter_init(&m, "", NULL);
    meter_read(&m, 0, &r);
    hz = r.clock_mhz > 0 ? (double)r.clock_mhz * 1e6 : HOST_HZ;
#if defined(__x86_64__)
    lanes = __builtin_cpu_supports("avx512f") ? 16 : __builtin_cpu_supports("avx2") ? 8 : 4;
#endif
    return (struct device_speed){.flops = 2 * 2 * lanes * hz * threads, /* two multiply-adds */
                                 .bytes_per_s = bytes < HOST_BYTES ? bytes : HOST_BYTES,
                                 .flops_share = 0.5,
                                 .bytes_share = 0.8,
                                 .launch_s = 10e-6};
}

void estimate_perf(struct perf *out, const struct engine *en, const struct engine_opts *o)
{
    const struct model_shape shape = estimate_shape(o, engine_kv_dtype(en));
    const int tp = o->tp > 1 ? o->tp : 1;
    struct device_speed d;

    if (o->device->async) {
        d = card_speed(o, engine_sm_count(en));
    } else {
        d = estimate_host(o->threads);
        d.flops /= tp; /* ranks share the threads */
        d.bytes_per_s /= tp;
    }
    roofline(out, &shape, &d, tp);
}
