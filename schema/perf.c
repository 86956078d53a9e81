/* perf.c - the instance model. */
#include "schema/perf.h"

double perf_step_ms(const struct perf *k, double p, double n, double x, double m)
{
    double tokens = k->k1 * (p + n);

    return k->k0 + (tokens > k->kw ? tokens : k->kw) + k->k2 * x + k->k3 * n + k->k4 * m;
}

struct perf perf_scaled(const struct perf *k, double by)
{
    return (struct perf){k->k0 * by, k->kw * by, k->k1 * by, k->k2 * by, k->k3 * by, k->k4 * by};
}

int64_t perf_kv_tokens(const struct perf_rank *ranks, int n, double utilisation,
                       double kv_bytes_per_token, int kv_heads)
{
    /* Beyond one rank for each head, heads are copied and a token's share shrinks no more. */
    double share = kv_bytes_per_token / (n < kv_heads ? n : kv_heads), least = -1;

    for (int i = 0; i < n; i++) {
        const struct perf_rank *r = &ranks[i];
        double tokens = (r->bytes * utilisation - r->weight_bytes - r->work_bytes) / share;

        if (i == 0 || tokens < least) least = tokens;
    }
    return least > 0 ? (int64_t)least : 0;
}
