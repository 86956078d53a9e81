/* step.c - a ragged step on the host, made up for the suites of kernels/. */
#include "tests/step.h"

#include <stdlib.h>

#include "tests/numbers.h"
#include "tests/test.h"

static int32_t *take(int n)
{
    int32_t *a = calloc((size_t)n + 1, sizeof *a);

    ck_assert_ptr_nonnull(a);
    return a;
}

/* The numbers below n, shuffled. */
static void deal(int32_t *to, int n, uint64_t *seed)
{
    for (int i = 0; i < n; i++) {
        const int at = (int)((double)(numbers_draw(seed) + 1) / 2 * (i + 1)) % (i + 1);

        to[i] = to[at];
        to[at] = i;
    }
}

static void lay_out(struct step *p, int S, const int *n_tokens, const int *last)
{
    int t = 0;

    for (int s = 0; s < S; s++) {
        p->start[s] = t;
        for (int i = 0; i < n_tokens[s]; i++, t++) {
            p->pos[t] = last[s] - n_tokens[s] + 1 + i;
            p->seq[t] = s;
        }
        p->rows[s] = t - 1;
    }
    p->start[S] = t;
}

void step_init(struct step *p, int S, const int *n_tokens, const int *last, int max_blocks, int V,
               uint64_t seed)
{
    int T = 0, most = max_blocks;

    for (int s = 0; s < S; s++) {
        ck_assert_int_lt(n_tokens[s] - 1, last[s] + 1);
        T += n_tokens[s];
        if (!max_blocks && last[s] / KV_BLOCK_TOKENS >= most) most = last[s] / KV_BLOCK_TOKENS + 1;
    }
    *p = (struct step){take(T),        take(T), take(T),  take(S + 1),
                       take(S * most), take(S), S * most, {0}};
    lay_out(p, S, n_tokens, last);
    for (int t = 0; t < T; t++)
        p->ids[t] = (int32_t)((double)(numbers_draw(&seed) + 1) / 2 * V) % V;
    deal(p->blocks, S * most, &seed);
    p->r =
        (struct ragged){T, S, S, p->ids, p->pos, p->seq, p->start, p->blocks, most, p->rows, NULL};
}

void step_fini(struct step *p)
{
    free(p->ids), free(p->pos), free(p->seq);
    free(p->start), free(p->blocks), free(p->rows);
    *p = (struct step){0};
}
