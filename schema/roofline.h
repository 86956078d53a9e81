/* roofline.h - an instance model without a measurement: from the shape of a model and two numbers
 * of a device.
 *
 *   kw = bytes of the layers' matrices and the output's / bytes_per_s
 *   k1 = 2 * numbers of the layers' matrices / flops
 *   k2 = 4 * layers * q_heads * head_dim / flops      scores and their sum, of one context token
 *   k3 = 2 * hidden * vocab / flops                   the output row
 *   k4 = KV bytes of a token / bytes_per_s
 *   k0 = layers * launch_s; with TP two all-reduces a layer, 2 * link_s, whose bytes are in k1:
 *        2 * (tp-1)/tp rows of 16 bits each / link_bytes_per_s
 *
 * each divided by the TP degree where ranks share it, and by the share of the peak that such
 * devices were measured to reach (efficiency).  All of it is marked "roofline" where it is used.
 *
 * Units    bytes, bytes/s, flop/s, seconds; the model is in ms.
 * Threads  no state.
 * Errors   none; a shape of zeros gives a model of zeros.
 * Source   Williams, Waterman, Patterson: Roofline (CACM 2009); the figures of devices are in
 *          broker/cards.c, with their sources.
 */
#ifndef SCHEMA_ROOFLINE_H
#define SCHEMA_ROOFLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/perf.h"

/* A decoder as far as time and memory go. */
struct model_shape {
    int layers, hidden, ffn, q_heads, kv_heads, head_dim, vocab;
    int max_len;        /* positions */
    int tied;           /* 1: output and input embedding are one matrix */
    int quant_block;    /* columns that a split must keep together: 1, 32, 256 */
    double weight_bits; /* per weight of the layers' matrices, scales included: 16, 8.5, 4.5 */
    double kv_bits;     /* per KV number: 32, 16, 8 */
};
double model_shape_weights(const struct model_shape *m); /* numbers, all of them */
/* On all ranks together.  Embeddings are stored as the layers where those come in blocks, with 16
 * bits at least else. */
double model_shape_weight_bytes(const struct model_shape *m);
double model_shape_kv_bytes(const struct model_shape *m); /* of a token, all layers, K and V */

struct device_speed {
    double flops, bytes_per_s;       /* peaks */
    double flops_share, bytes_share; /* of them that is reached: (0, 1] */
    double launch_s;                 /* fixed cost of a layer */
    double link_bytes_per_s;         /* between ranks, one direction; 0: not counted */
    double link_s;                   /* of an all-reduce */
    bool is_link_shared; /* the ranks go through one, the host: each gets 1/(tp-1) of it */
};

void roofline(struct perf *out, const struct model_shape *m, const struct device_speed *d, int tp);

#endif
