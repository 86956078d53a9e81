/* roofline.c - what a model's shape and a device's peaks say about a step. */
#include "schema/roofline.h"

#include <string.h>

#define MS       1000.0
#define ACT_BITS 16 /* of what ranks exchange */

static double layer_numbers(const struct model_shape *m)
{
    double hidden = m->hidden, heads = m->q_heads + 2.0 * m->kv_heads;

    return hidden * heads * m->head_dim + (double)m->q_heads * m->head_dim * hidden +
           3.0 * hidden * m->ffn;
}

/* One matrix of the vocabulary's. */
static double vocab_numbers(const struct model_shape *m)
{
    return (double)m->vocab * m->hidden;
}

static double vocab_bits(const struct model_shape *m)
{
    return m->quant_block > 1 || m->weight_bits > 16 ? m->weight_bits : 16;
}

static double norm_numbers(const struct model_shape *m)
{
    return m->hidden * (2.0 * m->layers + 1);
}

double model_shape_weights(const struct model_shape *m)
{
    return m->layers * layer_numbers(m) + (m->tied ? 1 : 2) * vocab_numbers(m) + norm_numbers(m);
}

double model_shape_weight_bytes(const struct model_shape *m)
{
    return (m->layers * layer_numbers(m) * m->weight_bits +
            ((m->tied ? 1 : 2) * vocab_numbers(m) + norm_numbers(m)) * vocab_bits(m)) /
           8;
}

double model_shape_kv_bytes(const struct model_shape *m)
{
    return 2.0 * m->layers * m->kv_heads * m->head_dim * m->kv_bits / 8;
}

/* Of a token, over two all-reduces a layer: each rank sends (and takes) 2 (tp-1)/tp of a row. */
static double exchanged_bytes(const struct model_shape *m, int tp)
{
    return 2.0 * m->layers * 2.0 * (tp - 1) / tp * m->hidden * ACT_BITS / 8;
}

void roofline(struct perf *out, const struct model_shape *m, const struct device_speed *d, int tp)
{
    double flops_ms = d->flops * d->flops_share / MS * tp;
    double bytes_ms = d->bytes_per_s * d->bytes_share / MS;
    int kv_ranks = tp < m->kv_heads ? tp : m->kv_heads; /* beyond, heads are copied */
    double read =
        (m->layers * layer_numbers(m) * m->weight_bits + vocab_numbers(m) * vocab_bits(m)) / 8;

    memset(out, 0, sizeof *out);
    if (m->layers == 0) return;
    out->k0 = m->layers * d->launch_s * MS;
    out->kw = read / bytes_ms / tp;
    out->k1 = 2 * m->layers * layer_numbers(m) / flops_ms;
    out->k2 = 4.0 * m->layers * m->q_heads * m->head_dim / flops_ms;
    out->k3 = 2 * vocab_numbers(m) / flops_ms;
    out->k4 = model_shape_kv_bytes(m) / bytes_ms / kv_ranks;
    if (tp > 1) {
        double link = d->link_bytes_per_s / (d->is_link_shared ? tp - 1 : 1);

        out->k0 += 2.0 * m->layers * d->link_s * MS;
        if (link > 0) out->k1 += exchanged_bytes(m, tp) / link * MS;
    }
}
