/* perf.h - the instance model: how long a step takes, and how many tokens fit.
 *
 *   step time   t = k0 + max(kw, k1*(p+n)) + k2*x + k3*n + k4*m
 *
 *     p  prefill tokens in the step              k0  fixed cost of a step
 *     n  decoding sequences, one token each      kw  reading the weights: the knee where batching
 *     x  sum over the prefill tokens of             stops being free
 *        their context, themselves included      k1  a token    k2  a token of a prefill's context
 *     m  KV tokens that the decoding ones read   k3  a decoding sequence    k4  a KV token
 *
 *   memory      C = min over ranks of (bytes*utilisation - weights - workspace)
 *                   / (KV bytes per token / min(TP, kv_heads))
 *
 * A plain affine form misses the knee: below it a token is free, above it every token costs.
 *
 * Units    milliseconds, bytes, tokens.
 * Threads  no state; any.
 * Errors   none: a constant that is not a number of at least 0 is the reader's to refuse.
 *
 * P1  more of anything never makes a step shorter.
 */
#ifndef SCHEMA_PERF_H
#define SCHEMA_PERF_H

#include <stdint.h>

struct perf {
    double k0, kw, k1, k2, k3, k4; /* ms, at least 0 */
};

double perf_step_ms(const struct perf *k, double p, double n, double x, double m);

/* The model of what is so many times as slow. */
struct perf perf_scaled(const struct perf *k, double by);

/* One rank of a tensor-parallel group; on a CPU bytes is what this process may use. */
struct perf_rank {
    double bytes, weight_bytes, work_bytes;
};

/* C: the tokens that fit n ranks at this utilisation (0 to 1); 0 when the weights alone do not. */
int64_t perf_kv_tokens(const struct perf_rank *ranks, int n, double utilisation,
                       double kv_bytes_per_token, int kv_heads);

#endif
