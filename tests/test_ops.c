/* test_ops.c - kernels/: the fast ops but linear against the reference, and what does not change a
 * result.
 *
 * Sizes are odd on purpose: whole vecs, tails of each kind, one.  Every test runs at each level of
 * x86-64 that this machine has.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/attn.h"
#include "kernels/embed.h"
#include "kernels/glu.h"
#include "kernels/ops.h"
#include "kernels/pool.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope_kv.h"
#include "kernels/simd.h"
#include "tests/test.h"

static uint64_t state = 1;

/* Even in [-1, 1), the same sequence in each test. */
static float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

static float *floats(size_t n)
{
    float *f = malloc(n * sizeof *f + 1);

    for (size_t i = 0; i < n; i++)
        f[i] = draw();
    return f;
}

/* Largest |a - b| in units of the row's tolerance; NaN counts as worst. */
static double worst(const float *a, const float *b, size_t rows, size_t width, double rtol)
{
    double most = 0;

    for (size_t r = 0; r < rows; r++) {
        double top = 0, off = 0;

        for (size_t i = r * width; i < (r + 1) * width; i++) {
            const double d = fabs((double)a[i] - (double)b[i]);

            top = fmax(top, fabs((double)b[i]));
            off = isnan(d) ? HUGE_VAL : fmax(off, d);
        }
        if (off > 0) most = fmax(most, off / (rtol * top));
    }
    return most;
}

static const enum simd_level LEVELS[] = {SIMD_BASE, SIMD_V3, SIMD_V4};

/* Caps the level by the loop test's index; false where the machine lacks it. */
static bool at_level(int i)
{
    state = 1;
    simd_cap(SIMD_V4);
    if (simd_level() < LEVELS[i]) return false;
    simd_cap(LEVELS[i]);
    return true;
}

START_TEST(rmsnorm_agrees_with_the_reference_and_keeps_o1)
{
    static const int DS[] = {1, 16, 63, 200};
    struct errmsg e;
    struct stream *s;

    if (!at_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < 4; c++) {
        const int T = 19, D = DS[c];
        float *w = floats((size_t)D), *x = floats((size_t)(T * D)), *y = floats((size_t)(T * D));
        float *ref = floats((size_t)(T * D));

        ck_assert_int_eq(rmsnorm_cpu(y, x, w, T, D, 1e-5f, s), ERR_OK);
        ck_assert_int_eq(rmsnorm_ref(ref, x, w, T, D, 1e-5f, NULL), ERR_OK);
        ck_assert_double_le(worst(y, ref, (size_t)T, (size_t)D, RMSNORM_RTOL), 1);
        ck_assert_int_eq(rmsnorm_cpu(ref, x + 18 * D, w, 1, D, 1e-5f, NULL), ERR_OK);
        ck_assert_mem_eq(ref, y + 18 * D, (size_t)D * sizeof *y);
        ck_assert_int_eq(rmsnorm_cpu(x, x, w, T, D, 1e-5f, NULL), ERR_OK); /* in place */
        ck_assert_mem_eq(x, y, (size_t)(T * D) * sizeof *y);
        free(x), free(y), free(ref), free(w);
    }
    pool_close(&s);
}
END_TEST

START_TEST(glu_agrees_with_the_reference_and_keeps_o1)
{
    const int T = 21, F = 333;
    struct errmsg e;
    struct stream *s;
    float *gate, *up, *y, *ref;

    if (!at_level(_i)) return;
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    gate = floats((size_t)(T * F)), up = floats((size_t)(T * F));
    y = floats((size_t)(T * F)), ref = floats((size_t)(T * F));
    for (int i = 0; i < T * F; i++)
        gate[i] *= i % 5 ? 8.0f : 120.0f; /* past where exp leaves the floats, too */
    ck_assert_int_eq(glu_cpu(y, gate, up, T, F, GLU_SILU, s), ERR_OK);
    ck_assert_int_eq(glu_ref(ref, gate, up, T, F, GLU_SILU, NULL), ERR_OK);
    ck_assert_double_le(worst(y, ref, (size_t)T, (size_t)F, GLU_RTOL), 1);
    ck_assert_int_eq(glu_cpu(ref, gate + 17 * F, up + 17 * F, 1, F, GLU_SILU, NULL), ERR_OK);
    ck_assert_mem_eq(ref, y + 17 * F, (size_t)F * sizeof *y);
    ck_assert_int_eq(glu_cpu(gate, gate, up, T, F, GLU_SILU, s), ERR_OK); /* in place */
    ck_assert_mem_eq(gate, y, (size_t)(T * F) * sizeof *y);
    pool_close(&s);
    free(gate), free(up), free(y), free(ref);
}
END_TEST

/* A ragged step: three sequences with 1, 23 and 5 tokens that end at positions 40, 22 and 20, on
 * KV blocks dealt out of order. */
#define RAGGED_T 29
struct step {
    int32_t pos[RAGGED_T], seq[RAGGED_T], start[4], blocks[3 * 3];
    struct ragged r;
};
static const int N_TOKENS[] = {1, 23, 5}, LAST[] = {40, 22, 20};

static void step_init(struct step *p)
{
    int t = 0;

    for (int s = 0; s < 3; s++) {
        p->start[s] = t;
        for (int i = 0; i < N_TOKENS[s]; i++, t++) {
            p->pos[t] = LAST[s] - N_TOKENS[s] + 1 + i;
            p->seq[t] = s;
        }
        for (int b = 0; b < 3; b++)
            p->blocks[s * 3 + b] = (s * 3 + b) * 5 % 9;
    }
    p->start[3] = t;
    p->r = (struct ragged){.T = t,
                           .S = 3,
                           .pos = p->pos,
                           .seq = p->seq,
                           .start = p->start,
                           .blocks = p->blocks,
                           .max_blocks = 3};
}

/* The same step cut down to token t. */
static struct ragged only(const struct step *p, int t)
{
    struct ragged r = p->r;

    r.T = 1;
    r.pos += t;
    r.seq += t;
    return r;
}

static const struct {
    int H, HK, HD;
} HEADS[] = {{4, 2, 64}, {3, 3, 8}, {18, 2, 22}, {2, 1, 128}};

#define N_HEADS 4

/* q, k, v of the step and empty KV blocks, for one row of HEADS; the same numbers at each call. */
struct room {
    int H, HK, HD;
    size_t nq, nk, nkv;
    float *q, *k, *v, *o, freq[64];
    struct kv_layer kv;
    struct rope_shape rope;
    struct attn_shape attn;
};

static void room_init(struct room *m, int c, bool filled)
{
    state = 77;
    m->H = HEADS[c].H, m->HK = HEADS[c].HK, m->HD = HEADS[c].HD;
    m->nq = (size_t)(RAGGED_T * m->H * m->HD), m->nk = (size_t)(RAGGED_T * m->HK * m->HD);
    m->nkv = (size_t)(9 * m->HK * KV_BLOCK_TOKENS * m->HD);
    m->q = floats(m->nq), m->k = floats(m->nk), m->v = floats(m->nk), m->o = floats(m->nq);
    m->kv = (struct kv_layer){floats(m->nkv), floats(m->nkv), DTYPE_F32};
    if (!filled) {
        memset(m->kv.k, 0, m->nkv * sizeof(float));
        memset(m->kv.v, 0, m->nkv * sizeof(float));
    }
    for (size_t i = 0; i < m->nq; i++)
        m->q[i] *= 4; /* scores worth a softmax */
    for (int i = 0; i < m->HD / 2; i++)
        m->freq[i] = 1000.0f * powf(500.0f, -2.0f * (float)i / (float)m->HD); /* large angles too */
    m->rope = (struct rope_shape){m->H, m->HK, m->HD, m->freq, m->HD, 1, false};
    m->attn = (struct attn_shape){m->H, m->HK, m->HD, 1.0f / sqrtf((float)m->HD), 0, 0};
}

static void room_fini(struct room *m)
{
    free(m->q), free(m->k), free(m->v), free(m->o), free(m->kv.k), free(m->kv.v);
}

START_TEST(rope_kv_agrees_with_the_reference_and_keeps_o1)
{
    struct room cpu, ref, one;
    struct step p;
    struct errmsg e;
    struct stream *s;

    if (!at_level(_i)) return;
    step_init(&p);
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < N_HEADS; c++) {
        const struct ragged last = only(&p, RAGGED_T - 1);
        size_t q, k;

        room_init(&cpu, c, false), room_init(&ref, c, false), room_init(&one, c, false);
        ck_assert_int_eq(rope_kv_cpu(cpu.q, cpu.k, cpu.v, &cpu.kv, &p.r, &cpu.rope, s), ERR_OK);
        ck_assert_int_eq(rope_kv_ref(ref.q, ref.k, ref.v, &ref.kv, &p.r, &ref.rope, NULL), ERR_OK);
        ck_assert_double_le(worst(cpu.q, ref.q, cpu.nq / (size_t)cpu.HD, (size_t)cpu.HD, ROPE_RTOL),
                            1);
        ck_assert_double_le(
            worst(cpu.kv.k, ref.kv.k, cpu.nkv / (size_t)cpu.HD, (size_t)cpu.HD, ROPE_RTOL), 1);
        ck_assert_mem_eq(cpu.kv.v, ref.kv.v, cpu.nkv * sizeof(float));

        q = one.nq / RAGGED_T * (RAGGED_T - 1), k = one.nk / RAGGED_T * (RAGGED_T - 1);
        ck_assert_int_eq(
            rope_kv_cpu(one.q + q, one.k + k, one.v + k, &one.kv, &last, &one.rope, NULL), ERR_OK);
        ck_assert_mem_eq(one.q + q, cpu.q + q, (one.nq - q) * sizeof(float));
        ck_assert_mem_eq(one.k + k, cpu.k + k, (one.nk - k) * sizeof(float));
        room_fini(&cpu), room_fini(&ref), room_fini(&one);
    }
    pool_close(&s);
}
END_TEST

START_TEST(attn_agrees_with_the_reference_and_keeps_o1)
{
    struct room cpu, ref, one;
    struct step p;
    struct errmsg e;
    struct stream *s;

    if (!at_level(_i)) return;
    step_init(&p);
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < N_HEADS; c++) {
        room_init(&cpu, c, true), room_init(&ref, c, true), room_init(&one, c, true);
        ck_assert_int_eq(attn_cpu(cpu.o, cpu.q, &cpu.kv, &p.r, &cpu.attn, s), ERR_OK);
        ck_assert_int_eq(attn_ref(ref.o, ref.q, &ref.kv, &p.r, &ref.attn, NULL), ERR_OK);
        for (size_t i = 0; i < cpu.nq; i++) /* |V| is up to 1 */
            ck_assert_msg(fabs((double)cpu.o[i] - (double)ref.o[i]) <= ATTN_RTOL, "[%zu]: %g, %g",
                          i, (double)cpu.o[i], (double)ref.o[i]);
        for (int t = 0; t < RAGGED_T; t++) {
            const struct ragged r = only(&p, t);
            const size_t row = one.nq / RAGGED_T, at = row * (size_t)t;

            ck_assert_int_eq(attn_cpu(one.o + at, one.q + at, &one.kv, &r, &one.attn, NULL),
                             ERR_OK);
        }
        ck_assert_mem_eq(one.o, cpu.o, cpu.nq * sizeof(float));
        room_fini(&cpu), room_fini(&ref), room_fini(&one);
    }
    pool_close(&s);
}
END_TEST

/* A block may hold anything behind a sequence's last position: another's leavings, NaN. */
START_TEST(attn_ignores_what_lies_behind_the_position)
{
    struct room clean, dirty;
    struct step p;

    if (!at_level(_i)) return;
    step_init(&p);
    for (int c = 0; c < N_HEADS; c++) {
        const struct ragged r = only(&p, 0); /* position 40: the third block ends at slot 8 */
        room_init(&clean, c, true), room_init(&dirty, c, true);
        for (int hk = 0; hk < dirty.HK; hk++)
            for (size_t i = (size_t)(9 * dirty.HD); i < (size_t)(16 * dirty.HD); i++) {
                const size_t at =
                    (size_t)((p.blocks[2] * dirty.HK + hk) * KV_BLOCK_TOKENS * dirty.HD) + i;

                ((float *)dirty.kv.k)[at] = ((float *)dirty.kv.v)[at] = NAN;
            }
        ck_assert_int_eq(attn_cpu(clean.o, clean.q, &clean.kv, &r, &clean.attn, NULL), ERR_OK);
        ck_assert_int_eq(attn_cpu(dirty.o, dirty.q, &dirty.kv, &r, &dirty.attn, NULL), ERR_OK);
        ck_assert_mem_eq(clean.o, dirty.o, (size_t)(clean.H * clean.HD) * sizeof(float));
        room_fini(&clean), room_fini(&dirty);
    }
}
END_TEST

START_TEST(embed_gather_and_add_do_as_their_headers_say)
{
    const struct ops *tables[] = {ops_ref(), ops_cpu()};
    const uint16_t half[] = {0x3F80, 0x4000, 0xBF80, 0x0000, 0x4040, 0x4080};
    const struct weight w = {half, DTYPE_BF16, 3, 2, 0};
    const int32_t ids[] = {2, 0}, rows[] = {1}, wild[] = {0, 3}, negative[] = {-1, 0};

    for (int i = 0; i < 2; i++) {
        struct ragged r = {.T = 2, .S = 1, .ids = ids};
        float x[4], y[2];

        ck_assert_int_eq(tables[i]->embed(x, &w, 1, &r, NULL), ERR_OK);
        ck_assert_mem_eq(x, ((float[]){3, 4, 1, 2}), sizeof x);
        ck_assert_int_eq(tables[i]->gather(y, x, rows, 1, 2, NULL), ERR_OK);
        ck_assert_mem_eq(y, ((float[]){1, 2}), sizeof y);
        ck_assert_int_eq(tables[i]->add(x, (float[]){1, 1, 0.5f, -2}, 2, 2, NULL), ERR_OK);
        ck_assert_mem_eq(x, ((float[]){4, 5, 1.5f, 0}), sizeof x);
        r.ids = wild;
        ck_assert_int_eq(tables[i]->embed(x, &w, 1, &r, NULL), ERR_ARG);
        r.ids = negative;
        ck_assert_int_eq(tables[i]->embed(x, &w, 1, &r, NULL), ERR_ARG);
    }
}
END_TEST

START_TEST(an_extent_out_of_range_is_refused)
{
    const struct ops *tables[] = {ops_ref(), ops_cpu()};
    const float one = 1;
    struct kv_layer kv = {NULL, NULL, DTYPE_F16};
    struct ragged r = {0};
    float y;

    for (int i = 0; i < 2; i++) {
        const struct ops *o = tables[i];

        ck_assert_int_eq(o->rmsnorm(&y, &one, &one, 1, 0, 0, NULL), ERR_ARG);
        ck_assert_int_eq(o->glu(&y, &one, &one, 1, 0, GLU_SILU, NULL), ERR_ARG);
        ck_assert_int_eq(o->add(&y, &one, -1, 1, NULL), ERR_ARG);
        ck_assert_int_eq(o->gather(&y, &one, NULL, -1, 1, NULL), ERR_ARG);
        ck_assert_int_eq(o->attn(&y, &one, &kv, &r, &(struct attn_shape){3, 2, 8, 1, 0, 0}, NULL),
                         ERR_ARG);
        ck_assert_int_eq(o->attn(&y, &one, &kv, &r, &(struct attn_shape){2, 2, 8, 1, 0, 0}, NULL),
                         ERR_UNSUPPORTED);
        ck_assert_int_eq(o->rope_kv(&y, &y, &one, &kv, &r,
                                    &(struct rope_shape){2, 2, 7, &one, 6, 1, false}, NULL),
                         ERR_ARG);
        ck_assert_int_eq(o->rope_kv(&y, &y, &one, &kv, &r,
                                    &(struct rope_shape){2, 2, 8, &one, 8, 1, false}, NULL),
                         ERR_UNSUPPORTED);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ops");
    TCase *t = tcase_create("ops");

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, rmsnorm_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_loop_test(t, glu_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_loop_test(t, rope_kv_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_loop_test(t, attn_agrees_with_the_reference_and_keeps_o1, 0, 3);
    tcase_add_loop_test(t, attn_ignores_what_lies_behind_the_position, 0, 3);
    tcase_add_test(t, embed_gather_and_add_do_as_their_headers_say);
    tcase_add_test(t, an_extent_out_of_range_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
