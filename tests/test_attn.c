/* test_attn.c - kernels/: rope_kv and attn against the reference, and what changes no bit.
 *
 * Every test runs at each level of x86-64 that this machine has.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/attn.h"
#include "kernels/element.h"
#include "kernels/pool.h"
#include "kernels/rope_kv.h"
#include "kernels/slot.h"
#include "tests/numbers.h"
#include "tests/test.h"

/* A ragged step: four sequences, on KV blocks dealt out of order.  Tokens and last position of
 * each: within a chunk, at its border, over it. */
#define N_SEQS 4
#define N_EACH 10 /* blocks of a sequence */
#define STEP_T 68
static const int N_TOKENS[N_SEQS] = {1, 37, 5, 25}, LAST[N_SEQS] = {140, 36, 130, 64};

struct step {
    int32_t pos[STEP_T], seq[STEP_T], start[N_SEQS + 1], blocks[N_SEQS * N_EACH];
    struct ragged r;
};

static void step_init(struct step *p)
{
    int t = 0;

    for (int s = 0; s < N_SEQS; s++) {
        p->start[s] = t;
        for (int i = 0; i < N_TOKENS[s]; i++, t++) {
            p->pos[t] = LAST[s] - N_TOKENS[s] + 1 + i;
            p->seq[t] = s;
        }
        for (int b = 0; b < N_EACH; b++)
            p->blocks[s * N_EACH + b] = (s * N_EACH + b) * 7 % (N_SEQS * N_EACH);
    }
    p->start[N_SEQS] = t;
    p->r = (struct ragged){.T = t,
                           .S = N_SEQS,
                           .pos = p->pos,
                           .seq = p->seq,
                           .start = p->start,
                           .blocks = p->blocks,
                           .max_blocks = N_EACH};
}

/* The same step cut down to n tokens from t on. */
static struct ragged part(const struct step *p, int t, int n)
{
    struct ragged r = p->r;

    r.T = n;
    r.pos += t;
    r.seq += t;
    return r;
}

/* Heads that share a KV head: 1 to 16, and 7; widths that are whole vecs, and not. */
static const struct shape {
    int H, HK, HD;
    enum dtype kv;
    float softcap;
    int window;
    int n_rot;
    bool adjacent;
    float scale; /* of sine and cosine */
} SHAPES[] = {
    {4, 2, 64, DTYPE_F32, 0, 0, 64, false, 1},    {3, 3, 8, DTYPE_F16, 0, 20, 8, true, 1.19f},
    {18, 2, 22, DTYPE_BF16, 3, 0, 22, false, 1},  {2, 1, 128, DTYPE_F32, 0, 65, 32, false, 0.75f},
    {7, 1, 80, DTYPE_F16, 0, 0, 80, true, 1},     {16, 1, 96, DTYPE_BF16, 0, 64, 60, true, 1},
    {2, 1, 256, DTYPE_F32, 30, 5, 256, false, 1}, {14, 2, 64, DTYPE_F16, 0, 1, 0, false, 1},
    {5, 1, 22, DTYPE_F32, 0, 100, 20, false, 1},  {130, 1, 4, DTYPE_F32, 0, 0, 4, false, 1},
    {2, 2, 512, DTYPE_F32, 0, 0, 512, false, 1},
};

#define N_SHAPES ((int)(sizeof SHAPES / sizeof SHAPES[0]))

/* q, k, v of the step and KV blocks; the same numbers at each call. */
struct room {
    int H, HK, HD;
    size_t nq, nk, nkv; /* numbers */
    float *q, *k, *v, *o, freq[256];
    struct kv_layer kv;
    struct rope_shape rope;
    struct attn_shape attn;
};

static void put(void *to, enum dtype d, size_t i, float f)
{
    if (d == DTYPE_F32)
        ((float *)to)[i] = f;
    else
        ((uint16_t *)to)[i] = d == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
}

static void *kv_numbers(uint64_t *seed, enum dtype d, size_t n)
{
    void *p = malloc(n * dtype_bytes(d));

    for (size_t i = 0; i < n; i++)
        put(p, d, i, numbers_draw(seed));
    return p;
}

static void room_init(struct room *m, const struct shape *s)
{
    uint64_t seed = 77;

    m->H = s->H, m->HK = s->HK, m->HD = s->HD;
    m->nq = (size_t)(STEP_T * m->H * m->HD), m->nk = (size_t)(STEP_T * m->HK * m->HD);
    m->nkv = (size_t)(N_SEQS * N_EACH * m->HK * KV_BLOCK_TOKENS * m->HD);
    m->q = numbers_take(&seed, m->nq), m->o = numbers_take(&seed, m->nq);
    m->k = numbers_take(&seed, m->nk), m->v = numbers_take(&seed, m->nk);
    m->kv = (struct kv_layer){.k = kv_numbers(&seed, s->kv, m->nkv),
                              .v = kv_numbers(&seed, s->kv, m->nkv),
                              .dtype = s->kv};
    for (size_t i = 0; i < m->nq; i++)
        m->q[i] *= 4; /* scores worth a softmax */
    for (int i = 0; i < m->HD / 2; i++)
        m->freq[i] = 1000.0f * powf(500.0f, -2.0f * (float)i / (float)m->HD); /* large angles too */
    m->rope = (struct rope_shape){.H = m->H,
                                  .HK = m->HK,
                                  .HD = m->HD,
                                  .inv_freq = m->freq,
                                  .n_rot = s->n_rot,
                                  .scale = s->scale,
                                  .adjacent = s->adjacent};
    m->attn = (struct attn_shape){m->H,       m->HK,    m->HD, 0, 1.0f / sqrtf((float)m->HD),
                                  s->softcap, s->window};
}

static void room_fini(struct room *m)
{
    free(m->q), free(m->k), free(m->v), free(m->o), free(m->kv.k), free(m->kv.v);
}

/* --- rope_kv ---------------------------------------------------------------------------------- */

/* O1 */
START_TEST(rope_kv_agrees_with_the_reference_and_keeps_o1)
{
    struct room cpu, ref, one;
    struct step p;
    struct errmsg e;
    struct stream *s;

    if (!numbers_level(_i)) return;
    step_init(&p);
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < N_SHAPES; c++) {
        const struct ragged last = part(&p, STEP_T - 1, 1);
        size_t q, k;

        room_init(&cpu, &SHAPES[c]), room_init(&ref, &SHAPES[c]), room_init(&one, &SHAPES[c]);
        ck_assert_int_eq(rope_kv_cpu(cpu.q, cpu.k, cpu.v, &cpu.kv, &p.r, &cpu.rope, s), ERR_OK);
        ck_assert_int_eq(rope_kv_ref(ref.q, ref.k, ref.v, &ref.kv, &p.r, &ref.rope, NULL), ERR_OK);
        ck_assert_double_le(
            numbers_worst(cpu.q, ref.q, cpu.nq / (size_t)cpu.HD, (size_t)cpu.HD, ROPE_RTOL), 1);
        ck_assert_double_le(
            numbers_worst(cpu.k, ref.k, cpu.nk / (size_t)cpu.HD, (size_t)cpu.HD, ROPE_RTOL), 1);

        q = one.nq / STEP_T * (STEP_T - 1), k = one.nk / STEP_T * (STEP_T - 1);
        ck_assert_int_eq(
            rope_kv_cpu(one.q + q, one.k + k, one.v + k, &one.kv, &last, &one.rope, NULL), ERR_OK);
        ck_assert_mem_eq(one.q + q, cpu.q + q, (one.nq - q) * sizeof(float));
        ck_assert_mem_eq(one.k + k, cpu.k + k, (one.nk - k) * sizeof(float));
        room_fini(&cpu), room_fini(&ref), room_fini(&one);
    }
    pool_close(&s);
}
END_TEST

/* What the KV blocks were, with the rounded k and v of each token in its slot. */
START_TEST(kv_blocks_change_in_the_slots_of_the_step_alone)
{
    struct room m, was;
    struct step p;

    if (!numbers_level(_i)) return;
    step_init(&p);
    for (int c = 0; c < N_SHAPES; c++) {
        const int HD = SHAPES[c].HD;

        room_init(&m, &SHAPES[c]), room_init(&was, &SHAPES[c]);
        ck_assert_int_eq(rope_kv_cpu(m.q, m.k, m.v, &m.kv, &p.r, &m.rope, NULL), ERR_OK);
        for (int t = 0; t < STEP_T; t++)
            for (int i = 0; i < m.HK * HD; i++) {
                const size_t at = slot_block(slot_of(&p.r, p.seq[t], p.pos[t]), i / HD, m.HK, HD);
                const size_t from = (size_t)(t * m.HK * HD + i);

                put(was.kv.k, m.kv.dtype, at + slot_k(p.pos[t], i % HD), m.k[from]);
                put(was.kv.v, m.kv.dtype, at + slot_v(p.pos[t], i % HD, HD), m.v[from]);
            }
        ck_assert_mem_eq(m.kv.k, was.kv.k, m.nkv * dtype_bytes(m.kv.dtype));
        ck_assert_mem_eq(m.kv.v, was.kv.v, m.nkv * dtype_bytes(m.kv.dtype));
        room_fini(&m), room_fini(&was);
    }
}
END_TEST

/* Any bits: subnormal, infinite, no number, and those that lie between two. */
START_TEST(kv_numbers_are_rounded_to_the_nearest_even)
{
    static const uint32_t EDGES[] = {0x38800000, 0x387FFFFF, 0x33000000, 0x33000001, 0x477FEFFF,
                                     0x477FF000, 0x7F800000, 0x7F800001, 0x7FFFFFFF, 0x3F801000,
                                     0x3F803000, 0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x00000001};
    const int HD = ROPE_MAX_HD, n_edges = (int)(sizeof EDGES / sizeof EDGES[0]);
    const int32_t pos = 0, seq = 0, block = 0;
    const struct ragged r = {
        .T = 1, .S = 1, .pos = &pos, .seq = &seq, .blocks = &block, .max_blocks = 1};
    const struct rope_shape a = {.H = 1, .HK = 1, .HD = HD, .scale = 1};
    float q[ROPE_MAX_HD] = {0}, k[ROPE_MAX_HD] = {0}, v[ROPE_MAX_HD];
    uint16_t room_k[ROPE_MAX_HD * KV_BLOCK_TOKENS], room_v[ROPE_MAX_HD * KV_BLOCK_TOKENS];
    uint64_t seed = 5;

    if (!numbers_level(_i)) return;
    for (int round = 0; round < 200; round++)
        for (int d = 0; d < 2; d++) {
            const struct kv_layer kv = {
                .k = room_k, .v = room_v, .dtype = d ? DTYPE_F16 : DTYPE_BF16};

            for (int i = 0; i < HD; i++) {
                uint32_t bits;

                (void)numbers_draw(&seed);
                bits = (uint32_t)(seed >> 32);
                if (round == 0) bits = EDGES[i % n_edges] | (uint32_t)(i >= HD / 2) << 31;
                memcpy(&v[i], &bits, sizeof bits);
            }
            ck_assert_int_eq(rope_kv_cpu(q, k, v, &kv, &r, &a, NULL), ERR_OK);
            for (int i = 0; i < HD; i++)
                ck_assert_uint_eq(room_v[i], d ? f32_to_f16(v[i]) : f32_to_bf16(v[i]));
        }
}
END_TEST

/* --- attn ------------------------------------------------------------------------------------- */

START_TEST(attn_agrees_with_the_reference)
{
    struct room cpu, ref;
    struct step p;

    if (!numbers_level(_i)) return;
    step_init(&p);
    for (int c = 0; c < N_SHAPES; c++) {
        room_init(&cpu, &SHAPES[c]), room_init(&ref, &SHAPES[c]);
        ck_assert_int_eq(attn_cpu(cpu.o, cpu.q, &cpu.kv, &p.r, &cpu.attn, NULL), ERR_OK);
        ck_assert_int_eq(attn_ref(ref.o, ref.q, &ref.kv, &p.r, &ref.attn, NULL), ERR_OK);
        for (size_t i = 0; i < cpu.nq; i++) /* |V| is up to 1 */
            ck_assert_msg(fabs((double)cpu.o[i] - (double)ref.o[i]) <= ATTN_RTOL,
                          "shape %d [%zu]: %g, not %g", c, i, (double)cpu.o[i], (double)ref.o[i]);
        room_fini(&cpu), room_fini(&ref);
    }
}
END_TEST

/* O1 */
START_TEST(attn_gives_a_token_the_same_bits_in_any_step)
{
    struct room all, some;
    struct step p;
    struct errmsg e;
    struct stream *s;

    if (!numbers_level(_i)) return;
    step_init(&p);
    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    for (int c = 0; c < N_SHAPES; c++) {
        room_init(&all, &SHAPES[c]), room_init(&some, &SHAPES[c]);
        /* One thread takes more tokens at a time than three. */
        ck_assert_int_eq(attn_cpu(all.o, all.q, &all.kv, &p.r, &all.attn, NULL), ERR_OK);
        ck_assert_int_eq(attn_cpu(some.o, some.q, &some.kv, &p.r, &some.attn, s), ERR_OK);
        ck_assert_mem_eq(some.o, all.o, all.nq * sizeof(float));
        for (int n = 1; n < 40; n = n * 3 + 1) /* n tokens at a time */
            for (int t = 0; t < STEP_T; t += n) {
                const struct ragged r = part(&p, t, t + n < STEP_T ? n : STEP_T - t);
                const size_t at = all.nq / STEP_T * (size_t)t;

                ck_assert_int_eq(attn_cpu(some.o + at, some.q + at, &some.kv, &r, &some.attn,
                                          n == 13 ? s : NULL),
                                 ERR_OK);
                ck_assert_mem_eq(some.o + at, all.o + at,
                                 all.nq / STEP_T * (size_t)r.T * sizeof(float));
            }
        room_fini(&all), room_fini(&some);
    }
    pool_close(&s);
}
END_TEST

/* A slot may hold anything when nobody sees it: another's leavings, NaN. */
START_TEST(attn_ignores_the_slots_behind_the_last_position)
{
    struct room clean, dirty;
    struct step p;

    if (!numbers_level(_i)) return;
    step_init(&p);
    for (int c = 0; c < N_SHAPES; c++) {
        const int HD = SHAPES[c].HD;

        room_init(&clean, &SHAPES[c]), room_init(&dirty, &SHAPES[c]);
        for (int s = 0; s < N_SEQS; s++)
            for (int pos = LAST[s] + 1; pos < N_EACH * KV_BLOCK_TOKENS; pos++)
                for (int i = 0; i < dirty.HK * HD; i++) {
                    const size_t at = slot_block(slot_of(&p.r, s, pos), i / HD, dirty.HK, HD);

                    put(dirty.kv.k, dirty.kv.dtype, at + slot_k(pos, i % HD), NAN);
                    put(dirty.kv.v, dirty.kv.dtype, at + slot_v(pos, i % HD, HD), NAN);
                }
        ck_assert_int_eq(attn_cpu(clean.o, clean.q, &clean.kv, &p.r, &clean.attn, NULL), ERR_OK);
        ck_assert_int_eq(attn_cpu(dirty.o, dirty.q, &dirty.kv, &p.r, &dirty.attn, NULL), ERR_OK);
        ck_assert_mem_eq(clean.o, dirty.o, clean.nq * sizeof(float));
        room_fini(&clean), room_fini(&dirty);
    }
}
END_TEST

START_TEST(a_window_as_long_as_the_sequence_changes_no_bit)
{
    struct room with, without;
    struct step p;

    if (!numbers_level(_i)) return;
    step_init(&p);
    for (int c = 0; c < N_SHAPES; c++) {
        room_init(&with, &SHAPES[c]), room_init(&without, &SHAPES[c]);
        with.attn.window = 141, without.attn.window = 0;
        ck_assert_int_eq(attn_cpu(with.o, with.q, &with.kv, &p.r, &with.attn, NULL), ERR_OK);
        ck_assert_int_eq(attn_cpu(without.o, without.q, &without.kv, &p.r, &without.attn, NULL),
                         ERR_OK);
        ck_assert_mem_eq(with.o, without.o, with.nq * sizeof(float));
        room_fini(&with), room_fini(&without);
    }
}
END_TEST

/* With scores far apart all weight is on one position: o is its V. */
START_TEST(attn_stays_finite_when_one_score_towers_over_the_rest)
{
    const struct shape s = {2, 1, 32, DTYPE_F32, 0, 0, 32, false, 1};
    struct room cpu, ref;
    struct step p;

    if (!numbers_level(_i)) return;
    step_init(&p);
    room_init(&cpu, &s), room_init(&ref, &s);
    cpu.attn.scale = ref.attn.scale = 1000;
    ck_assert_int_eq(attn_cpu(cpu.o, cpu.q, &cpu.kv, &p.r, &cpu.attn, NULL), ERR_OK);
    ck_assert_int_eq(attn_ref(ref.o, ref.q, &ref.kv, &p.r, &ref.attn, NULL), ERR_OK);
    ck_assert_double_le(numbers_worst(cpu.o, ref.o, cpu.nq / 32, 32, 0.02), 1);
    room_fini(&cpu), room_fini(&ref);
}
END_TEST

START_TEST(a_shape_out_of_range_is_refused)
{
    const struct ops *tables[] = {ops_ref(), ops_cpu()};
    static const struct attn_shape ATTN[] = {
        {3, 2, 8, 0, 1, 0, 0},  {0, 1, 8, 0, 1, 0, 0},
        {2, 2, 0, 0, 1, 0, 0},  {2, 2, ATTN_MAX_HD + 1, 0, 1, 0, 0},
        {2, 2, 8, 0, 1, 0, -1}, {2, 2, 8, 0, 1, -1, 0},
        {2, 2, 8, 15, 1, 0, 0}};
    static const struct rope_shape ROPE[] = {
        {.H = 2, .HK = 2, .HD = 7, .n_rot = 6},   {.H = 2, .HK = 2, .HD = 8, .n_rot = 10},
        {.H = 2, .HK = 2, .HD = 8, .n_rot = 5},   {.H = 2, .HK = 0, .HD = 8, .n_rot = 8},
        {.H = 2, .HK = 2, .HD = ROPE_MAX_HD + 2}, {.H = 2, .HK = 2, .HD = 8, .q_step = 15}};
    const struct kv_layer f32 = {.dtype = DTYPE_F32}, q8 = {.dtype = DTYPE_Q8_0};
    const struct ragged none = {0};
    float y;

    for (int i = 0; i < 2; i++) {
        const struct ops *o = tables[i];

        for (size_t c = 0; c < sizeof ATTN / sizeof ATTN[0]; c++)
            ck_assert_int_eq(o->attn(&y, &y, &f32, &none, &ATTN[c], NULL), ERR_ARG);
        ck_assert_int_eq(
            o->attn(&y, &y, &q8, &none, &(struct attn_shape){2, 2, 8, 0, 1, 0, 0}, NULL),
            ERR_UNSUPPORTED);
        for (size_t c = 0; c < sizeof ROPE / sizeof ROPE[0]; c++)
            ck_assert_int_eq(o->rope_kv(&y, &y, &y, &f32, &none, &ROPE[c], NULL), ERR_ARG);
        ck_assert_int_eq(o->rope_kv(&y, &y, &y, &q8, &none,
                                    &(struct rope_shape){.H = 2, .HK = 2, .HD = 8, .n_rot = 8},
                                    NULL),
                         ERR_UNSUPPORTED);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("attn");
    TCase *t = tcase_create("attn");

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, rope_kv_agrees_with_the_reference_and_keeps_o1, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, kv_blocks_change_in_the_slots_of_the_step_alone, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, kv_numbers_are_rounded_to_the_nearest_even, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, attn_agrees_with_the_reference, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, attn_gives_a_token_the_same_bits_in_any_step, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, attn_ignores_the_slots_behind_the_last_position, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, a_window_as_long_as_the_sequence_changes_no_bit, 0, NUMBERS_LEVELS);
    tcase_add_loop_test(t, attn_stays_finite_when_one_score_towers_over_the_rest, 0,
                        NUMBERS_LEVELS);
    tcase_add_test(t, a_shape_out_of_range_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
