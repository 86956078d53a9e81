/* test_cuda_prefill.c - kernels/attn_prefill.cu, attn_plain.cu: tiles of query rows against the
 * reference, and what changes no bit.
 *
 * The stream is batch-invariant: all tokens go through tiles.
 */
#include <math.h>
#include <string.h>

#include "kernels/attn.h"
#include "kernels/scaled.h"
#include "kernels/slot.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"

/* A ragged step of chunks of prompts, on KV blocks dealt out of order. */
#define N_SEQS 4
#define N_EACH 12 /* blocks of a sequence */
#define STEP_T 112
static const int N_TOKENS[N_SEQS] = {1, 75, 5, 31}, LAST[N_SEQS] = {140, 74, 130, 188};

struct step {
    int32_t pos[STEP_T], seq[STEP_T], start[N_SEQS + 1], blocks[N_SEQS * N_EACH];
    struct ragged r;
};

/* n tokens of it from t on. */
static void step_init(struct step *p, int t, int n)
{
    int at = 0;

    memset(p, 0, sizeof *p);
    for (int s = 0; s < N_SEQS; s++) {
        p->start[s] = p->r.T;
        for (int i = 0; i < N_TOKENS[s]; i++, at++)
            if (at >= t && at < t + n) {
                p->pos[p->r.T] = LAST[s] - N_TOKENS[s] + 1 + i;
                p->seq[p->r.T++] = s;
            }
        for (int b = 0; b < N_EACH; b++) /* behind the last position: nothing that may be read */
            p->blocks[s * N_EACH + b] = b <= LAST[s] / KV_BLOCK_TOKENS
                                            ? (s * N_EACH + b) * 7 % (N_SEQS * N_EACH)
                                            : INT32_MAX;
    }
    p->start[N_SEQS] = p->r.T;
    p->r.S = N_SEQS, p->r.max_blocks = N_EACH;
    p->r.pos = p->pos, p->r.seq = p->seq, p->r.start = p->start, p->r.blocks = p->blocks;
}

#define AS_X N_DTYPES /* the dtype of x */
static const struct shape {
    int H, HK, HD, kv;
    float softcap;
    int window;
    bool wide;
} SHAPES[] = {
    {4, 2, 64, AS_X, 0, 0, false},         {8, 1, 80, DTYPE_FP8, 0, 20, true},
    {6, 2, 96, AS_X, 3, 0, true},          {4, 1, 128, AS_X, 0, 65, true},
    {7, 1, 128, DTYPE_FP8, 30, 0, false},  {3, 3, 256, AS_X, 0, 64, false},
    {2, 1, 256, DTYPE_FP8, 0, 100, false}, {5, 1, 80, AS_X, 0, 1, false},
    {24, 1, 64, DTYPE_FP8, 0, 0, false},   {16, 1, 96, DTYPE_FP8, 0, 0, false},
    {3, 3, 8, DTYPE_F16, 0, 20, true},     {18, 2, 22, DTYPE_BF16, 3, 0, false},
    {7, 1, 64, DTYPE_F32, 0, 33, false},   {2, 2, 512, DTYPE_F32, 0, 0, false},
    {9, 3, 40, DTYPE_FP8, 0, 70, false},   {2, 1, 200, AS_X, 30, 0, false},
};
#define N_SHAPES ((int)(sizeof SHAPES / sizeof SHAPES[0]))

/* K and V on the host, as the reference wants them, and on the device. */
struct room {
    struct shape s;
    struct attn_shape attn;
    enum dtype dtype; /* of K and V */
    size_t step, n_kv, n_rows;
    float *q, *want;
    void *k, *v;
    float *k_scales, *v_scales;
    struct kv_layer host, on;
    void *dq;
};

static void put(void *to, enum dtype d, size_t i, float f, float scale)
{
    if (d == DTYPE_F32)
        ((float *)to)[i] = f;
    else if (d == DTYPE_FP8)
        ((uint8_t *)to)[i] = scaled_put(f, scale, d);
    else
        ((uint16_t *)to)[i] = d == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
}

/* Rows of HD numbers in a device's order become K or V of the host, and of the device. */
static void *fill(struct room *m, void **host, float *scales, const float *x, bool is_k)
{
    const size_t HD = (size_t)m->s.HD, bytes = dtype_bytes(m->dtype);
    void *mine = malloc(m->n_kv * bytes), *on;

    *host = malloc(m->n_kv * bytes);
    for (size_t r = 0; r < m->n_rows; r++) {
        const size_t block = r / KV_BLOCK_TOKENS * KV_BLOCK_TOKENS * HD;
        const int pos = (int)(r % KV_BLOCK_TOKENS);

        if (scales) scales[r] = scaled_by(x + r * HD, HD, m->dtype);
        for (size_t d = 0; d < HD; d++) {
            const size_t at = is_k ? slot_k(pos, (int)d) : slot_v(pos, (int)d, m->s.HD);

            put(*host, m->dtype, block + at, x[r * HD + d], scales ? scales[r] : 0);
            put(mine, m->dtype, r * HD + d, x[r * HD + d], scales ? scales[r] : 0);
        }
    }
    on = device_rig_put(mine, m->n_kv * bytes);
    free(mine);
    return on;
}

/* dirty: slots that nobody sees hold no numbers. */
static void room_init(struct room *m, const struct shape *s, bool dirty)
{
    uint64_t seed = 77;
    float *k, *v;
    struct step p;

    memset(m, 0, sizeof *m);
    m->s = *s;
    m->dtype = s->kv == AS_X ? dev.act : (enum dtype)s->kv;
    m->step = (size_t)(s->H + (s->wide ? 2 * s->HK : 0)) * (size_t)s->HD;
    m->n_rows = (size_t)(N_SEQS * N_EACH * s->HK * KV_BLOCK_TOKENS);
    m->n_kv = m->n_rows * (size_t)s->HD;
    m->attn = (struct attn_shape){
        s->H,       s->HK,    s->HD, s->wide ? (int)m->step : 0, 1.0f / sqrtf((float)s->HD),
        s->softcap, s->window};
    m->q = numbers_take(&seed, STEP_T * m->step);
    k = numbers_take(&seed, m->n_kv), v = numbers_take(&seed, m->n_kv);
    for (size_t i = 0; i < STEP_T * m->step; i++)
        m->q[i] *= 4; /* scores worth a softmax */
    step_init(&p, 0, STEP_T);
    for (int i = 0; i < N_SEQS && dirty; i++)
        for (int b = LAST[i] / KV_BLOCK_TOKENS, pos = LAST[i] + 1; pos < (b + 1) * KV_BLOCK_TOKENS;
             pos++)
            for (int j = 0; j < s->HK * s->HD; j++) {
                const size_t at = slot_block(slot_of(&p.r, i, pos), j / s->HD, s->HK, s->HD) +
                                  slot_v(pos, j % s->HD, s->HD);

                k[at] = v[at] = NAN;
            }
    if (m->dtype == DTYPE_FP8) {
        m->k_scales = malloc(m->n_rows * sizeof(float));
        m->v_scales = malloc(m->n_rows * sizeof(float));
    }
    m->on = (struct kv_layer){.dtype = m->dtype};
    m->on.k = fill(m, &m->k, m->k_scales, k, true);
    m->on.v = fill(m, &m->v, m->v_scales, v, false);
    if (m->k_scales) {
        m->on.k_scales = device_rig_put(m->k_scales, m->n_rows * sizeof(float));
        m->on.v_scales = device_rig_put(m->v_scales, m->n_rows * sizeof(float));
    }
    m->host = (struct kv_layer){m->k, m->v, m->dtype, m->k_scales, m->v_scales};
    m->dq = device_rig_numbers(m->q, STEP_T * m->step, dev.act);
    free(k), free(v);
}

static void room_fini(struct room *m)
{
    free(m->q), free(m->k), free(m->v), free(m->k_scales), free(m->v_scales);
}

/* Of |V| up to 1: f32 as on the CPU; else half a unit for each rounding: of the weights, of the
 * result, of fp8's V times its scale, where matrix instructions take them. */
static double tolerance(const struct room *m)
{
    const double half = dev.act == DTYPE_F16 ? 0x1p-12 : 0x1p-9;

    if (dev.act == DTYPE_F32) return ATTN_RTOL;
    return ATTN_RTOL + half * (m->dtype == DTYPE_FP8 ? 3 : 2);
}

static size_t width(const struct room *m)
{
    return (size_t)(m->s.H * m->s.HD);
}

/* Tokens t..t+n-1 on the device; the caller frees. */
static float *look(const struct room *m, int t, int n)
{
    const size_t bytes = dtype_bytes(dev.act);
    void *o = device_rig_take((size_t)n * width(m) * bytes);
    struct ragged on;
    struct step p;

    step_init(&p, t, n);
    on = device_rig_begin(&p.r);
    ck_assert_int_eq(dev.ops->attn(o, (const char *)m->dq + (size_t)t * m->step * bytes, &m->on,
                                   &on, &m->attn, dev.s),
                     ERR_OK);
    return device_rig_floats(o, (size_t)n * width(m), dev.act);
}

static void open_invariant(enum dtype act)
{
    const struct device_opts opts = {.batch_invariant = true};

    device_rig_open(act, &opts, NULL);
}

/* Tokens first, first + SOME, ... of `got`; the reference is slow. */
#define SOME 7
static void hold(const struct room *m, const float *got, const float *q, int first)
{
    float *want = malloc(width(m) * sizeof *want);
    struct step p;

    step_init(&p, 0, STEP_T);
    for (int t = first; t < STEP_T; t += SOME) {
        struct ragged one = p.r;
        const float *mine = got + (size_t)t * width(m);

        one.T = 1, one.pos += t, one.seq += t;
        ck_assert_int_eq(attn_ref(want, q + (size_t)t * m->step, &m->host, &one, &m->attn, NULL),
                         ERR_OK);
        for (size_t i = 0; i < width(m); i++)
            ck_assert_msg(fabs((double)mine[i] - (double)want[i]) <= tolerance(m),
                          "H=%d HD=%d token %d [%zu]: %g, not %g", m->s.H, m->s.HD, t, i,
                          (double)mine[i], (double)want[i]);
    }
    free(want);
}

static void agrees(int c)
{
    struct room m;
    float *got;

    room_init(&m, &SHAPES[c], false);
    got = look(&m, 0, STEP_T);
    hold(&m, got, m.q, c % SOME);
    free(got);
    room_fini(&m);
}

START_TEST(tiles_agree_with_the_reference)
{
    open_invariant(ACTS[_i % N_ACTS]);
    agrees(_i / N_ACTS);
    device_rig_close();
}
END_TEST

/* No thread counts on another one's having come first (orders of the emulation). */
START_TEST(tiles_agree_in_any_order_of_threads)
{
    static const char *const ORDERS[] = {"reverse", "random:1", "random:2"};

    setenv("EMU_ORDER", ORDERS[_i], 1);
    open_invariant(DTYPE_BF16);
    for (int c = 0; c < 2; c++)
        agrees(c);
    agrees(N_SHAPES - 1);
    device_rig_close();
}
END_TEST

/* The least shared memory of a device that has the instructions (cards of the emulation). */
START_TEST(tiles_agree_on_smaller_cards)
{
    setenv("EMU_ARCH", _i ? "75" : "86", 1);
    open_invariant(_i ? DTYPE_F16 : DTYPE_BF16);
    agrees(1);
    agrees(3);
    agrees(5);
    device_rig_close();
}
END_TEST

/* O1 */
START_TEST(a_token_gets_the_same_bits_in_any_step)
{
    static const int CASES[] = {0, 1, 2, 5, 9, 14};
    struct room m;
    float *all;

    open_invariant(_i % 2 ? DTYPE_F16 : DTYPE_BF16);
    room_init(&m, &SHAPES[CASES[_i]], false);
    all = look(&m, 0, STEP_T);
    for (int n = 1; n < 50; n = n * 6 + 1) /* n tokens at a time, not all of them */
        for (int t = n % 5; t < STEP_T; t += n < 7 ? 13 : 2 * n) {
            const int here = t + n < STEP_T ? n : STEP_T - t;
            float *some = look(&m, t, here);

            ck_assert_mem_eq(some, all + (size_t)t * width(&m),
                             (size_t)here * width(&m) * sizeof *all);
            free(some);
        }
    free(all);
    room_fini(&m);
    device_rig_close();
}
END_TEST

/* A slot may hold anything when nobody sees it: another's leavings, NaN. */
START_TEST(slots_behind_the_last_position_are_ignored)
{
    open_invariant(_i % 2 ? DTYPE_F16 : DTYPE_BF16);
    for (int c = _i; c < N_SHAPES; c += 4) {
        struct room clean, dirty;
        float *a, *b;

        room_init(&clean, &SHAPES[c], false), room_init(&dirty, &SHAPES[c], true);
        a = look(&clean, 0, STEP_T), b = look(&dirty, 0, STEP_T);
        ck_assert_mem_eq(a, b, STEP_T * width(&clean) * sizeof *a);
        free(a), free(b);
        room_fini(&clean), room_fini(&dirty);
    }
    device_rig_close();
}
END_TEST

START_TEST(a_window_as_long_as_the_sequence_changes_no_bit)
{
    static const int CASES[] = {0, 4, 11};

    open_invariant(DTYPE_BF16);
    for (int c = 0; c < 3; c++) {
        struct room m;
        float *a, *b;

        room_init(&m, &SHAPES[CASES[c]], false);
        m.attn.window = 0, a = look(&m, 0, STEP_T);
        m.attn.window = N_EACH * KV_BLOCK_TOKENS, b = look(&m, 0, STEP_T);
        ck_assert_mem_eq(a, b, STEP_T * width(&m) * sizeof *a);
        free(a), free(b);
        room_fini(&m);
    }
    device_rig_close();
}
END_TEST

/* What 16-byte copies cannot reach, and a scale that turns the maximum round. */
START_TEST(rows_at_odd_places_and_scales_below_zero_are_right)
{
    open_invariant(DTYPE_F16);
    for (int c = 0; c < 2; c++) {
        struct room m;
        float *got, *q;

        room_init(&m, &SHAPES[0], false);
        q = calloc(STEP_T * (m.step + 3) + 1, sizeof *q);
        for (size_t i = 0; i < STEP_T * m.step; i++)
            q[i / m.step * (m.step + 3) + i % m.step + 1] = m.q[i];
        if (c) {
            m.attn.scale = -m.attn.scale;
        } else {
            m.step += 3, m.attn.q_step = (int)m.step;
            m.dq = (char *)device_rig_numbers(q, STEP_T * m.step + 1, dev.act) + 2;
        }
        got = look(&m, 0, STEP_T);
        hold(&m, got, c ? m.q : q + 1, 0);
        free(got), free(q);
        room_fini(&m);
    }
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_prefill");
    TCase *c = tcase_create("prefill");

    suite_add_tcase(s, c);
    tcase_set_timeout(c, 20);
    if (!device_rig_found()) return s;
    tcase_add_loop_test(c, tiles_agree_with_the_reference, 0, N_SHAPES * N_ACTS);
    tcase_add_loop_test(c, tiles_agree_in_any_order_of_threads, 0, 3);
    tcase_add_loop_test(c, tiles_agree_on_smaller_cards, 0, 2);
    tcase_add_loop_test(c, a_token_gets_the_same_bits_in_any_step, 0, 6);
    tcase_add_loop_test(c, slots_behind_the_last_position_are_ignored, 0, 4);
    tcase_add_test(c, a_window_as_long_as_the_sequence_changes_no_bit);
    tcase_add_test(c, rows_at_odd_places_and_scales_below_zero_are_right);
    return s;
}

TEST_MAIN(suite)
