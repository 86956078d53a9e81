/* fit.c - what an engine's options come to on its device. */
#include "worker/fit.h"

#include "base/log.h"
#include "model/weights.h"

#define BF16_ARCH 80 /* matrix units of cards before know f16 and no bf16 */
#define FP8_ARCH  89 /* and before this one no fp8 */

int fit_check(const struct engine_opts *o, struct errmsg *e)
{
    if (o->max_num_seqs < 1)
        return err_set(e, ERR_ARG, "max-num-seqs is %d, must be at least 1", o->max_num_seqs);
    if (o->max_batched_tokens < 1)
        return err_set(e, ERR_ARG, "max-num-batched-tokens is %d, must be at least 1",
                       o->max_batched_tokens);
    if (o->max_model_len < 0 || o->max_model_len > o->model->config.max_positions)
        return err_set(e, ERR_ARG, "max-model-len is %d, and the model's limit is %d",
                       o->max_model_len, o->model->config.max_positions);
    if (o->n_devices < 0 || o->n_devices > ENGINE_MAX_DEVICES)
        return err_set(e, ERR_ARG, "%d devices, and %d are the most", o->n_devices,
                       ENGINE_MAX_DEVICES);
    if (!(o->memory_utilization >= 0 && o->memory_utilization <= 1))
        return err_set(e, ERR_ARG, "gpu-memory-utilization is %g, must be above 0 and at most 1",
                       o->memory_utilization);
    if (!dtype_is_float(o->kv_dtype) && o->kv_dtype != DTYPE_FP8 && o->kv_dtype != N_DTYPES)
        return err_set(e, ERR_UNSUPPORTED, "KV dtype %s is not known; known: f32, f16, bf16, fp8",
                       dtype_name(o->kv_dtype));
    if (o->kv_dtype == DTYPE_FP8 && o->device == device_cpu())
        return err_set(e, ERR_UNSUPPORTED, "%s has no KV in fp8", o->device->name);
    return ERR_OK;
}

static int device_of(const struct engine_opts *o, int i)
{
    return o->n_devices ? o->devices[i] : 0;
}

/* Is it a card of before that architecture? */
static bool is_before(int arch, const struct engine_opts *o)
{
    struct device_facts facts;
    struct errmsg e;

    return !o->device->facts(device_of(o, 0), &facts, &e) && facts.arch && facts.arch < arch;
}

/* Do the weights become f16 whole?  ERR_UNSUPPORTED names the first matrix that does not. */
static int fits_f16(const struct engine_opts *o, struct errmsg *e)
{
    size_t n;
    float largest;
    const struct tensor *t = weights_over_f16(o->model->weights, !o->quantization, &n, &largest);

    return t ? err_set(e, ERR_UNSUPPORTED,
                       "%s has %zu numbers over 65504, the largest %g: float16 does not hold them, "
                       "float32 does",
                       t->name, n, (double)largest)
             : ERR_OK;
}

/* The act that was asked for. */
static int check_act(const struct engine_opts *o, struct errmsg *e)
{
    const struct ops *ops = dtype_is_float(o->act) ? o->device->ops(o->act) : NULL;

    if (!ops)
        return err_set(e, ERR_UNSUPPORTED, "%s does not compute in %s", o->device->name,
                       dtype_name(o->act));
    if (o->act == DTYPE_BF16 && is_before(BF16_ARCH, o))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s:%d is of before sm_%d and does not compute in bf16: float16 and float32 "
                       "it has",
                       o->device->name, device_of(o, 0), BF16_ARCH);
    return o->act == DTYPE_F16 && ops->convert ? fits_f16(o, e) : ERR_OK;
}

/* What to compute in where nobody asked. */
static enum dtype auto_act(const struct engine_opts *o)
{
    enum dtype act = weights_dtype(o->model->weights);
    struct errmsg e;

    if (!dtype_is_float(act)) act = DTYPE_BF16;
    if (act == DTYPE_BF16 && is_before(BF16_ARCH, o)) act = DTYPE_F16;
    if (!o->device->ops(act)) return DTYPE_F32;
    if (act != DTYPE_F16 || !o->device->ops(act)->convert || !fits_f16(o, &e)) return act;
    log_warn("engine", "%s, and is used", e.text);
    return DTYPE_F32;
}

int fit_ops(const struct ops **out, const struct engine_opts *o, struct errmsg *e)
{
    const bool asked = o->act != N_DTYPES;
    const int rc = asked ? check_act(o, e) : ERR_OK;

    *out = rc ? NULL : o->device->ops(asked ? o->act : auto_act(o));
    if (rc || *out) return rc;
    return err_set(e, ERR_UNSUPPORTED, "%s computes in no known dtype", o->device->name);
}

int fit_matrix(enum dtype *out, const struct engine_opts *o, const struct ops *ops,
               struct errmsg *e)
{
    static const enum dtype TO[] = {DTYPE_F32, DTYPE_FP8, DTYPE_INT8};

    *out = o->quantization ? TO[o->quantization] : ops->act;
    if (o->quantization == QUANTIZATION_FP8 && is_before(FP8_ARCH, o))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s:%d is of before sm_%d and does not multiply in fp8: int8 it has",
                       o->device->name, device_of(o, 0), FP8_ARCH);
    if (!o->quantization || ops->convert) return ERR_OK;
    return err_set(e, ERR_UNSUPPORTED, "%s uses weights as they are stored, and makes no %s",
                   ops->name, dtype_name(*out));
}

enum dtype fit_kv_dtype(const struct engine_opts *o, const struct ops *ops)
{
    if (o->kv_dtype != N_DTYPES) return o->kv_dtype;
    if (o->device->async) return ops->act;
    /* Half the memory costs no more than the weights have lost already. */
    return weights_dtype(o->model->weights) == DTYPE_F32 ? DTYPE_F32 : DTYPE_F16;
}

void fit_look(struct fit_room *out, const struct engine_opts *o)
{
    const int n = o->n_devices ? o->n_devices : 1;
    struct device_facts facts;
    struct errmsg e;

    for (int i = 0; i < n; i++)
        out->free_bytes[i] = o->device->facts(device_of(o, i), &facts, &e) ? 0 : facts.free_bytes;
}

/* What there is for KV on the engine's i-th device. */
static int left_on(int i, const struct engine_opts *o, const struct fit_room *before, int64_t *left,
                   struct errmsg *e)
{
    const double share = o->memory_utilization > 0 ? o->memory_utilization : FIT_UTILIZATION;
    struct device_facts facts;
    const int rc = o->device->facts(device_of(o, i), &facts, e);
    int64_t spare;

    if (rc) return rc;
    spare = facts.free_bytes - facts.memory_bytes / FIT_SPARE;
    *left =
        (int64_t)(share * (double)facts.memory_bytes) - (before->free_bytes[i] - facts.free_bytes);
    if (*left > spare) *left = spare;
    if (*left > 0) return ERR_OK;
    return err_set(
        e, ERR_FULL,
        "%s:%d has %lld bytes free of %lld: gpu-memory-utilization %g leaves none for KV",
        o->device->name, device_of(o, i), (long long)facts.free_bytes,
        (long long)facts.memory_bytes, share);
}

/* Ranks that share a device share what is left there. */
static int bytes_left(size_t *out, const struct engine_opts *o, const struct fit_room *before,
                      struct errmsg *e)
{
    const int tp = o->tp > 1 ? o->tp : 1, n = o->n_devices ? o->n_devices : 1;
    int64_t least = INT64_MAX;
    int rc = ERR_OK;

    for (int i = 0; i < n && i < tp && !rc; i++) {
        const int ranks = (tp - i + n - 1) / n;
        int64_t left = 0;

        rc = left_on(i, o, before, &left, e);
        if (left / ranks < least) least = left / ranks;
    }
    *out = rc ? 0 : (size_t)least * (size_t)tp;
    return rc;
}

int fit_kv_blocks(int *out, const struct engine_opts *o, const struct fit_room *before,
                  const struct kv_shape *shape, size_t most, struct errmsg *e)
{
    const size_t one = kv_block_bytes(shape);
    size_t bytes = o->kv_bytes, n;
    int rc = bytes ? ERR_OK : bytes_left(&bytes, o, before, e);

    if (rc) return rc;
    n = bytes / one;
    if (!o->kv_bytes && o->device->record && n) n--; /* the trash block */
    if (n > most) n = most;
    if (n == 0)
        return err_set(e, ERR_ARG, "%zu bytes for KV hold no block of %d tokens: one needs %zu",
                       bytes, KV_BLOCK_TOKENS, one);
    *out = n > INT32_MAX - 1 ? INT32_MAX - 1 : (int)n;
    return ERR_OK;
}

int64_t fit_free_bytes(const struct engine_opts *o)
{
    struct device_facts facts;
    struct errmsg e;

    return o->device->facts(device_of(o, 0), &facts, &e) ? 0 : facts.free_bytes;
}
