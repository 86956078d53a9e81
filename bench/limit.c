/* limit.c - the most that one core of this machine does, as loops that do nothing else. */
#include "bench/limit.h"
#include "kernels/simd.h"

#include "kernels/lanes.h"

#define CHAINS 16
#define ROUNDS 4096

_Static_assert(LIMIT_FLOPS == 2 * SIMD_LANES * CHAINS * ROUNDS, "what limit_fma does");

static float sink[CHAINS * SIMD_LANES]; /* so that no loop is left out */

/* acc = acc * x + y: nothing in it can be computed before the loop. */
SIMD_INLINE void chain(struct lanes *acc, const struct lanes *x, const struct lanes *y,
                       const int level)
{
    if (level == SIMD_V4) {
        acc->whole = acc->whole * x->whole + y->whole;
        return;
    }
    for (int i = 0; i < 2; i++)
        acc->half[i] = acc->half[i] * x->half[i] + y->half[i];
}

/* n chains at once, as many as there are registers for. */
SIMD_INLINE void chains(int rounds, const int n, const int level)
{
    struct lanes acc[CHAINS], x, y;

    lanes_set(&x, 0.999f, level);
    lanes_set(&y, 0.001f, level);
#pragma GCC unroll 16
    for (int i = 0; i < n; i++)
        lanes_set(&acc[i], (float)i, level);
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < n; i++)
            chain(&acc[i], &x, &y, level);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; i++)
        lanes_store(sink + i * SIMD_LANES, &acc[i], level);
}

SIMD_INLINE void fma_body(const int level)
{
    if (level == SIMD_V4)
        chains(ROUNDS, CHAINS, level);
    else if (level == SIMD_V3)
        chains(ROUNDS * CHAINS / 4, 4, level); /* two registers each */
    else
        chains(ROUNDS * CHAINS / 2, 2, level); /* four registers each */
}

SIMD_CLONES(fma, (void), (LEVEL))

void limit_fma(void *arg)
{
    (void)arg;
    SIMD_PICK(fma)();
}

SIMD_INLINE void read_body(const float *p, size_t n, const int level)
{
    enum { N = 4 };
    struct lanes acc[2 * N], v;
    size_t i = 0;

#pragma GCC unroll 8
    for (int k = 0; k < 2 * N; k++)
        lanes_set(&acc[k], 0, level);
    for (; i + 2 * N * SIMD_LANES <= n; i += 2 * N * SIMD_LANES) {
#pragma GCC unroll 8
        for (int k = 0; k < 2 * N; k++) {
            /* The lower levels have registers for half as many sums. */
            struct lanes *to = &acc[level == SIMD_V4 ? k : k % N];

            lanes_load_as(&v, p + i, (size_t)k * SIMD_LANES, DTYPE_F32, level);
            if (level == SIMD_V4)
                to->whole += v.whole;
            else
                for (int h = 0; h < 2; h++)
                    to->half[h] += v.half[h];
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < 2 * N; k++)
        lanes_store(sink + k * SIMD_LANES, &acc[k], level);
}

SIMD_CLONES(read, (const float *p, size_t n), (p, n, LEVEL))

void limit_read(void *arg)
{
    const struct limit_read *r = arg;

    SIMD_PICK(read)(r->data, r->n_bytes / sizeof *r->data);
}
