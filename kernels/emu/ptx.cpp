/* ptx.cpp - copies that land late, and the fragments of matrices as lanes hold them. */
#include "kernels/emu/ptx.h"

#include <stdlib.h>
#include <string.h>

struct copy {
    void *to;
    const void *from; /* NULL: zeros */
    int group;
};

struct emu_copies {
    int n, cap, group; /* group: how many have been committed */
    struct copy copy[];
};

void emu_copies_drop(struct emu_thread *t)
{
    if (t->copies) t->copies->n = t->copies->group = 0;
}

void emu_copies_free(struct emu_thread *t)
{
    free(t->copies);
    t->copies = NULL;
}

void emu_copy_begin(void *to, const void *from, bool valid)
{
    struct emu_copies *c = emu_now->copies;

    aligned<uint4>(to);
    if (valid) aligned<uint4>(from);
    if (!c || c->n == c->cap) {
        const int cap = c ? 2 * c->cap : 32, group = c ? c->group : 0, n = c ? c->n : 0;

        c = (struct emu_copies *)realloc(c, sizeof *c + (size_t)cap * sizeof c->copy[0]);
        if (!c) abort();
        *c = {n, cap, group};
        emu_now->copies = c;
    }
    memset(to, 0xFF, 16);
    c->copy[c->n++] = {to, valid ? from : NULL, c->group};
}

void emu_copy_commit(void)
{
    if (emu_now->copies) emu_now->copies->group++;
}

void emu_copy_wait(int n_left)
{
    struct emu_copies *c = emu_now->copies;
    int kept = 0;

    if (!c) return;
    for (int i = 0; i < c->n; i++) {
        const struct copy copy = c->copy[i];

        if (copy.group >= c->group - n_left)
            c->copy[kept++] = copy;
        else if (copy.from)
            memcpy(copy.to, copy.from, 16);
        else
            memset(copy.to, 0, 16);
    }
    c->n = kept;
}

struct load {
    unsigned *r;
    int n;
    const void *row;
    bool transposed;
};

static unsigned half_at(void **args, int matrix, int row, int column)
{
    const struct load *from = (const struct load *)args[matrix * 8 + row];
    uint16_t h;

    memcpy(&h, (const char *)from->row + 2 * column, sizeof h);
    return h;
}

static void act_ldmatrix(void **args, unsigned)
{
    for (int lane = 0; lane < 32; lane++) {
        const struct load *me = (const struct load *)args[lane];
        const int g = lane / 4, t = lane % 4;

        for (int j = 0; j < me->n; j++)
            me->r[j] = me->transposed
                           ? half_at(args, j, 2 * t, g) | half_at(args, j, 2 * t + 1, g) << 16
                           : half_at(args, j, g, 2 * t) | half_at(args, j, g, 2 * t + 1) << 16;
    }
}

void emu_ldmatrix(unsigned *r, int n, const void *shared, bool transposed)
{
    struct load load = {r, n, shared, transposed};

    if (emu_now->lane < 8 * n) aligned<uint4>(shared);
    emu_meet(0xFFFFFFFFu, transposed ? "ldmatrix.trans" : "ldmatrix", &load, act_ldmatrix);
}

struct product {
    void *d;
    const unsigned *a, *b;
};

/* The fragments of all lanes as matrices: a [16][k], b [8][k], of `per` numbers in a register. */
template <class T, int K> struct matrices {
    T a[16][K], b[8][K];
};

template <class T, int K, class F>
static void matrices_gather(struct matrices<T, K> *m, void **args, F number)
{
    const int per = K / 8; /* numbers in a register: 2 of k = 16, 4 of k = 32 */

    for (int lane = 0; lane < 32; lane++) {
        const struct product *p = (const struct product *)args[lane];
        const int g = lane / 4, k = lane % 4 * per;

        for (int i = 0; i < per; i++)
            for (int half = 0; half < 2; half++) {
                m->a[g][half * 4 * per + k + i] = number(p->a[half * 2], i);
                m->a[g + 8][half * 4 * per + k + i] = number(p->a[half * 2 + 1], i);
                m->b[g][half * 4 * per + k + i] = number(p->b[half], i);
            }
    }
}

/* Sums of k in order; Sum wraps for integers. */
template <class D, class Sum, class T, int K>
static void matrices_add(const struct matrices<T, K> *m, void **args)
{
    for (int lane = 0; lane < 32; lane++) {
        D *d = (D *)((const struct product *)args[lane])->d;

        for (int i = 0; i < 4; i++) {
            const T *a = m->a[lane / 4 + i / 2 * 8], *b = m->b[lane % 4 * 2 + i % 2];
            Sum sum = (Sum)d[i];

            for (int k = 0; k < K; k++)
                sum += (Sum)(a[k] * b[k]);
            d[i] = (D)sum;
        }
    }
}

static void act_f16(void **args, unsigned)
{
    struct matrices<float, 16> m;

    matrices_gather(&m, args,
                    [](unsigned u, int i) { return to_float(f16{(uint16_t)(u >> 16 * i)}); });
    matrices_add<float, float>(&m, args);
}

static void act_bf16(void **args, unsigned)
{
    struct matrices<float, 16> m;

    matrices_gather(&m, args,
                    [](unsigned u, int i) { return to_float(bf16{(uint16_t)(u >> 16 * i)}); });
    matrices_add<float, float>(&m, args);
}

static void act_e4m3(void **args, unsigned)
{
    struct matrices<float, 32> m;

    matrices_gather(&m, args,
                    [](unsigned u, int i) { return to_float(fp8{(uint8_t)(u >> 8 * i)}); });
    matrices_add<float, float>(&m, args);
}

static void act_s8(void **args, unsigned)
{
    struct matrices<int, 32> m;

    matrices_gather(&m, args, [](unsigned u, int i) { return (int)(int8_t)(u >> 8 * i); });
    matrices_add<int, unsigned>(&m, args);
}

static void product_meet(void *d, const unsigned *a, const unsigned *b, const char *what,
                         void (*act)(void **, unsigned))
{
    struct product p = {d, a, b};

    emu_meet(0xFFFFFFFFu, what, &p, act);
}

void emu_mma_f16(float *d, const unsigned *a, const unsigned *b)
{
    product_meet(d, a, b, "mma of f16", act_f16);
}

void emu_mma_bf16(float *d, const unsigned *a, const unsigned *b)
{
    product_meet(d, a, b, "mma of bf16", act_bf16);
}

void emu_mma_e4m3(float *d, const unsigned *a, const unsigned *b)
{
    product_meet(d, a, b, "mma of e4m3", act_e4m3);
}

void emu_mma_s8(int *d, const unsigned *a, const unsigned *b)
{
    product_meet(d, a, b, "mma of s8", act_s8);
}
