/* test_cuda_rope.c - rope_kv.cu against the reference, on the emulation or a device. */
#include <math.h>
#include <string.h>

#include "base/fp8.h"
#include "kernels/rope_kv.h"
#include "kernels/slot.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"
#include "tests/step.h"

#define N_SEQS 3
static const int TOKENS[N_SEQS] = {1, 19, 4}, LAST[N_SEQS] = {140, 18, 35};
#define STEP_T 24

/* Heads that go in pairs of four and of one; rows with gaps, and at odd places (step_more). */
static const struct shape {
    int H, HK, HD, n_rot, step_more;
    bool adjacent, norms;
    float scale;
} SHAPES[] = {
    {4, 2, 64, 64, 0, false, false, 1},   {3, 3, 8, 8, 0, true, true, 1.19f},
    {5, 1, 22, 22, 0, false, true, 1},    {2, 1, 128, 32, 256, false, false, 0.75f},
    {7, 1, 80, 80, 160, true, true, 1},   {4, 1, 96, 60, 0, true, false, 1},
    {2, 1, 256, 256, 0, false, true, 1},  {6, 2, 64, 0, 3, false, true, 1},
    {5, 1, 22, 20, 0, false, false, 1},   {9, 1, 4, 4, 0, false, true, 1},
    {2, 2, 512, 512, 0, false, false, 1}, {9, 3, 128, 128, 640, false, true, 1},
};
#define N_SHAPES ((int)(sizeof SHAPES / sizeof SHAPES[0]))

static const enum dtype KVS[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_FP8};
#define N_KVS 4

/* One case: the host's numbers, what the reference makes of them, and the device's. */
struct room {
    struct shape shape;
    struct step step;
    struct rope_shape rope, on_device;
    size_t nq, nk, nkv;               /* numbers of q, of k or v, of a KV layer */
    float *q, *k, *v, *ref_k, *ref_v; /* ref_*: the reference's KV blocks, floats */
    float freq[256], norm[2][512];
    char *dq, *dk, *dv;
    struct kv_layer kv;
    struct ragged r;
};

static void room_reference(struct room *m)
{
    const struct kv_layer kv = {.k = m->ref_k, .v = m->ref_v, .dtype = DTYPE_F32};

    for (size_t i = 0; i < m->nkv; i++)
        m->ref_k[i] = m->ref_v[i] = NAN;
    ck_assert_int_eq(rope_kv_ref(m->q, m->k, m->v, &kv, &m->step.r, &m->rope, NULL), ERR_OK);
}

static void room_kv(struct room *m, enum dtype d)
{
    const size_t rows = m->nkv / (size_t)m->shape.HD * sizeof(float);

    m->kv = (struct kv_layer){.k = device_rig_take(m->nkv * dtype_bytes(d)),
                              .v = device_rig_take(m->nkv * dtype_bytes(d)),
                              .dtype = d};
    if (d == DTYPE_FP8) m->kv.k_scales = device_rig_take(rows);
    if (d == DTYPE_FP8) m->kv.v_scales = device_rig_take(rows);
}

static void room_init(struct room *m, const struct shape *p, enum dtype kv)
{
    const int q_step = p->H * p->HD + p->step_more, kv_step = p->HK * p->HD + p->step_more;
    uint64_t seed = 9;

    *m = (struct room){.shape = *p};
    step_init(&m->step, N_SEQS, TOKENS, LAST, 0, 100, 3);
    ck_assert_int_eq(m->step.r.T, STEP_T);
    m->nq = (size_t)(STEP_T * q_step), m->nk = (size_t)(STEP_T * kv_step);
    m->nkv = (size_t)(m->step.n_blocks * p->HK * KV_BLOCK_TOKENS * p->HD);
    m->q = numbers_take(&seed, m->nq), m->k = numbers_take(&seed, m->nk);
    m->v = numbers_take(&seed, m->nk);
    m->ref_k = numbers_take(&seed, m->nkv), m->ref_v = numbers_take(&seed, m->nkv);
    for (int i = 0; i < 256; i++)
        m->freq[i] = powf(10000, -2.0f * (float)i / (float)p->HD);
    for (int i = 0; i < 512; i++)
        m->norm[0][i] = numbers_draw(&seed), m->norm[1][i] = numbers_draw(&seed);
    m->rope = (struct rope_shape){.H = p->H,
                                  .HK = p->HK,
                                  .HD = p->HD,
                                  .q_step = p->step_more ? q_step : 0,
                                  .kv_step = p->step_more ? kv_step : 0,
                                  .eps = 1e-6f,
                                  .inv_freq = m->freq,
                                  .n_rot = p->n_rot,
                                  .scale = p->scale,
                                  .adjacent = p->adjacent};
    if (p->norms) m->rope.q_norm = m->norm[0], m->rope.k_norm = m->norm[1];
    m->on_device = m->rope;
    m->on_device.inv_freq = device_rig_put(m->freq, sizeof m->freq);
    if (p->norms) m->on_device.q_norm = device_rig_put(m->norm[0], sizeof m->norm[0]);
    if (p->norms) m->on_device.k_norm = device_rig_put(m->norm[1], sizeof m->norm[1]);
    m->dq = device_rig_numbers(m->q, m->nq, dev.act);
    m->dk = device_rig_numbers(m->k, m->nk, dev.act);
    m->dv = device_rig_numbers(m->v, m->nk, dev.act);
    m->r = device_rig_begin(&m->step.r);
    room_kv(m, kv);
    room_reference(m);
}

static void room_fini(struct room *m)
{
    free(m->q), free(m->k), free(m->v), free(m->ref_k), free(m->ref_v);
    step_fini(&m->step);
}

/* The device's KV blocks as floats, in the reference's order for V; NaN where nothing was written.
 */
static float *blocks_of(const struct room *m, const void *at, const float *scales)
{
    const size_t HD = (size_t)m->shape.HD;
    uint8_t *b;
    float *x, *by;

    if (m->kv.dtype != DTYPE_FP8) return device_rig_floats(at, m->nkv, m->kv.dtype);
    x = malloc(m->nkv * sizeof *x), b = malloc(m->nkv);
    by = device_rig_floats(scales, m->nkv / HD, DTYPE_F32);
    device_rig_get(b, at, m->nkv);
    for (size_t i = 0; i < m->nkv; i++)
        x[i] = by[i / HD] * fp8_to_f32(b[i]);
    free(b), free(by);
    return x;
}

/* How far a KV number may be from the reference's, `top` the largest of its head: the op's own
 * tolerance and half a unit of the dtype, of fp8 in numbers of scale top / FP8_MAX. */
static double allowed(enum dtype d, double ref, double top)
{
    const double own = 2 * ROPE_RTOL * top;

    switch (d) {
    case DTYPE_F32: return own;
    case DTYPE_F16: return own + 0x1p-11 * fabs(ref) + 0x1p-25;
    case DTYPE_BF16: return own + 0x1p-8 * fabs(ref);
    default: return 1.001 * (own + fmax(0x1p-4 * fabs(ref), 0x1p-10 * top / (double)FP8_MAX));
    }
}

/* Each head of each slot: written where the reference wrote, and near enough. */
static void ck_blocks(const struct room *m, const float *got, const float *ref, bool is_k)
{
    const int HD = m->shape.HD;

    for (size_t row = 0; row < m->nkv / (size_t)HD; row++) {
        const size_t block = row / KV_BLOCK_TOKENS * KV_BLOCK_TOKENS * (size_t)HD;
        const int32_t slot = (int32_t)(row % KV_BLOCK_TOKENS);
        double top = 0;

        for (int d = 0; d < HD; d++)
            top = fmax(top,
                       fabs((double)ref[block + (is_k ? slot_k(slot, d) : slot_v(slot, d, HD))]));
        for (int d = 0; d < HD; d++) {
            const double want = (double)ref[block + (is_k ? slot_k(slot, d) : slot_v(slot, d, HD))];
            const double have = (double)got[row * (size_t)HD + (size_t)d];

            if (isnan(want) && isnan(have)) continue;
            ck_assert_msg(fabs(want - have) <= allowed(m->kv.dtype, want, top),
                          "%c row %zu d=%d: %.9g, not %.9g (top %.9g)", is_k ? 'k' : 'v', row, d,
                          have, want, top);
        }
    }
}

static void ck_q(const struct room *m)
{
    const size_t wide = (size_t)(m->shape.H * m->shape.HD), step = m->nq / STEP_T,
                 e = dtype_bytes(dev.act);

    for (size_t t = 0; t < STEP_T; t++)
        ck_assert_double_le(device_rig_worst(m->dq + t * step * e, m->q + t * step,
                                             (size_t)m->shape.H, (size_t)m->shape.HD,
                                             device_rig_rtol(2 * ROPE_RTOL)),
                            1);
    if (step > wide) { /* the gaps are as they were */
        float *all = device_rig_floats(m->dq, m->nq, dev.act);

        for (size_t t = 0; t < STEP_T; t++)
            ck_assert_mem_eq(all + t * step + wide, m->q + t * step + wide,
                             (step - wide) * sizeof *all);
        free(all);
    }
}

static int turn(struct room *m, char *q, const struct ragged *r)
{
    return dev.ops->rope_kv(q, m->dk, m->dv, &m->kv, r, &m->on_device, dev.s);
}

START_TEST(rope_kv_agrees_with_the_reference)
{
    for (int a = 0; a < N_ACTS; a++)
        for (int d = 0; d < N_KVS; d++) {
            struct room m;
            float *k, *v;

            if (d < N_ACTS && d && d != a) continue; /* f32, act and fp8 */
            device_rig_open(ACTS[a], NULL, NULL);
            room_init(&m, &SHAPES[_i], KVS[d]);
            ck_assert_int_eq(turn(&m, m.dq, &m.r), ERR_OK);
            ck_q(&m);
            k = blocks_of(&m, m.kv.k, m.kv.k_scales), v = blocks_of(&m, m.kv.v, m.kv.v_scales);
            ck_blocks(&m, k, m.ref_k, true);
            ck_blocks(&m, v, m.ref_v, false);
            room_fini(&m);
            device_rig_close();
            free(k), free(v);
        }
}
END_TEST

/* The bytes of a KV layer's K on the device. */
static uint8_t *k_bytes(const struct room *m)
{
    uint8_t *b = malloc(m->nkv * dtype_bytes(m->kv.dtype));

    device_rig_get(b, m->kv.k, m->nkv * dtype_bytes(m->kv.dtype));
    return b;
}

/* O1: the step's sequences alone, one after the other, give what they give together; fp8's scales
 * are of the token alone. */
START_TEST(a_token_turns_the_same_in_any_step)
{
    const size_t e = dtype_bytes(ACTS[_i % N_ACTS]);
    struct room m;
    struct kv_layer together;
    uint8_t *one, *two;
    char *dk, *dv;
    float *q1, *q2;
    void *q;

    device_rig_open(ACTS[_i % N_ACTS], NULL, NULL);
    room_init(&m, &SHAPES[_i / N_ACTS * 11], _i % 2 ? DTYPE_FP8 : DTYPE_BF16);
    room_reference(&m); /* q was turned: turned again it is other numbers, as good as any */
    q = device_rig_numbers(m.q, m.nq, dev.act);
    m.dq = device_rig_numbers(m.q, m.nq, dev.act);
    ck_assert_int_eq(turn(&m, q, &m.r), ERR_OK);
    together = m.kv, one = k_bytes(&m);
    room_kv(&m, m.kv.dtype);
    dk = m.dk, dv = m.dv;
    for (int s = 0; s < N_SEQS; s++) {
        const int t = m.step.start[s];
        const int32_t start[] = {0, TOKENS[s]}, first[STEP_T] = {0}, row = TOKENS[s] - 1;
        const struct ragged *all = &m.step.r;
        const struct ragged on =
            device_rig_begin(&(struct ragged){.T = TOKENS[s],
                                              .S = 1,
                                              .n_rows = 1,
                                              .ids = all->ids + t,
                                              .pos = all->pos + t,
                                              .seq = first,
                                              .start = start,
                                              .blocks = all->blocks + s * all->max_blocks,
                                              .max_blocks = all->max_blocks,
                                              .rows = &row});

        m.dk = dk + (size_t)t * m.nk / STEP_T * e, m.dv = dv + (size_t)t * m.nk / STEP_T * e;
        ck_assert_int_eq(turn(&m, m.dq + (size_t)t * m.nq / STEP_T * e, &on), ERR_OK);
    }
    two = k_bytes(&m);
    q1 = device_rig_floats(q, m.nq, dev.act), q2 = device_rig_floats(m.dq, m.nq, dev.act);
    ck_assert_mem_eq(q1, q2, m.nq * sizeof *q1);
    ck_assert_mem_eq(one, two, m.nkv * dtype_bytes(m.kv.dtype));
    ck_assert_ptr_ne(together.k, m.kv.k);
    room_fini(&m);
    device_rig_close();
    free(one), free(two), free(q1), free(q2);
}
END_TEST

/* v goes into its slot as it is: the rounding is to the bit, fp8's scale too. */
START_TEST(v_is_stored_to_the_bit)
{
    struct room m;
    float *scales, *x;
    uint8_t *b;
    const struct shape *p = &SHAPES[_i];
    size_t n = 0;

    device_rig_open(DTYPE_BF16, NULL, NULL);
    room_init(&m, p, DTYPE_FP8);
    ck_assert_int_eq(turn(&m, m.dq, &m.r), ERR_OK);
    scales = device_rig_floats(m.kv.v_scales, m.nkv / (size_t)p->HD, DTYPE_F32);
    b = malloc(m.nkv), x = m.ref_v;
    device_rig_get(b, m.kv.v, m.nkv);
    for (size_t row = 0; row < m.nkv / (size_t)p->HD; row++) {
        float top = 0;

        if (isnan(x[row * (size_t)p->HD])) continue;
        for (int d = 0; d < p->HD; d++)
            top = fmaxf(top, fabsf(x[row * (size_t)p->HD + (size_t)d]));
        ck_assert_mem_eq(&scales[row], &(float){top / FP8_MAX}, sizeof top);
        for (int d = 0; d < p->HD; d++, n++)
            ck_assert_int_eq(b[row * (size_t)p->HD + (size_t)d],
                             f32_to_fp8(x[row * (size_t)p->HD + (size_t)d] / scales[row]));
    }
    ck_assert_uint_eq(n, (size_t)(STEP_T * p->HK * p->HD));
    room_fini(&m);
    device_rig_close();
    free(scales), free(b);
}
END_TEST

/* A head of zeros has no scale to divide by. */
START_TEST(a_head_of_zeros_is_stored_as_zeros)
{
    struct room m;
    float *v;

    device_rig_open(DTYPE_F32, NULL, NULL);
    room_init(&m, &SHAPES[0], DTYPE_FP8);
    memset(m.v, 0, m.nk * sizeof *m.v);
    m.dv = device_rig_numbers(m.v, m.nk, DTYPE_F32);
    ck_assert_int_eq(turn(&m, m.dq, &m.r), ERR_OK);
    v = blocks_of(&m, m.kv.v, m.kv.v_scales);
    for (size_t i = 0; i < m.nkv; i++)
        ck_assert(isnan(m.ref_v[i]) ? isnan(v[i]) : v[i] == 0);
    room_fini(&m);
    device_rig_close();
    free(v);
}
END_TEST

START_TEST(rope_kv_refuses_what_the_reference_refuses)
{
    struct room m;
    struct ragged none;

    device_rig_open(DTYPE_F32, NULL, NULL);
    room_init(&m, &SHAPES[0], DTYPE_F16);
    none = m.r, none.T = 0;
    ck_assert_int_eq(turn(&m, NULL, &none), ERR_OK);
    m.on_device.n_rot = 66;
    ck_assert_int_eq(turn(&m, m.dq, &m.r), ERR_ARG);
    m.on_device.n_rot = 64, m.kv.dtype = DTYPE_Q8_0;
    ck_assert_int_eq(turn(&m, m.dq, &m.r), ERR_UNSUPPORTED);
    m.kv.dtype = DTYPE_FP8; /* without scales */
    ck_assert_int_eq(turn(&m, m.dq, &m.r), ERR_ARG);
    room_fini(&m);
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_rope");
    TCase *c = tcase_create("rope_kv");

    suite_add_tcase(s, c);
    if (!device_rig_found()) return s;
    tcase_add_loop_test(c, rope_kv_agrees_with_the_reference, 0, N_SHAPES);
    tcase_add_loop_test(c, a_token_turns_the_same_in_any_step, 0, 2 * N_ACTS);
    tcase_add_loop_test(c, v_is_stored_to_the_bit, 0, N_SHAPES);
    tcase_add_test(c, a_head_of_zeros_is_stored_as_zeros);
    tcase_add_test(c, rope_kv_refuses_what_the_reference_refuses);
    return s;
}

TEST_MAIN(suite)
