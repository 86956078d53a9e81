/* test_cuda_attn.c - attention on a device against the reference, and the step that comes to it. */
#include <math.h>
#include <string.h>

#include "kernels/attn.h"
#include "kernels/attn_plan.h"
#include "kernels/scaled.h"
#include "kernels/slot.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"

#define MAX_SEQS   8
#define MAX_TOKENS 256
#define MAX_BLOCKS 64 /* of a sequence */

/* A ragged step on KV blocks dealt out of order. */
struct step {
    int32_t ids[MAX_TOKENS], pos[MAX_TOKENS], seq[MAX_TOKENS], rows[MAX_TOKENS];
    int32_t start[MAX_SEQS + 1], blocks[MAX_SEQS * MAX_BLOCKS];
    int n_blocks; /* dealt */
    struct ragged r;
};

static void step_init(struct step *p)
{
    *p = (struct step){.r = {.max_blocks = MAX_BLOCKS}};
    memset(p->blocks, 0xFF, sizeof p->blocks); /* no such block */
}

/* A sequence with n tokens in the step, the last one at position `last`. */
static void step_add(struct step *p, int last, int n)
{
    const int s = p->r.S++;

    for (int i = 0; i < n; i++, p->r.T++) {
        p->ids[p->r.T] = 1000 + p->r.T;
        p->pos[p->r.T] = last - n + 1 + i;
        p->seq[p->r.T] = s;
    }
    p->start[s + 1] = p->r.T;
    for (int b = 0; n && b <= last / KV_BLOCK_TOKENS; b++)
        p->blocks[s * MAX_BLOCKS + b] = p->n_blocks++;
}

/* Numbers are dealt backwards and spread, once all are known. */
static void step_ready(struct step *p)
{
    for (int i = 0; i < p->r.S * MAX_BLOCKS; i++)
        if (p->blocks[i] >= 0) p->blocks[i] = p->n_blocks - 1 - p->blocks[i];
    p->rows[0] = 0;
    p->r.n_rows = p->r.T > 0;
    p->r.ids = p->ids, p->r.pos = p->pos, p->r.seq = p->seq, p->r.rows = p->rows;
    p->r.start = p->start, p->r.blocks = p->blocks;
}

struct shape {
    int H, HK, HD;
    enum dtype kv; /* of 16 bits: act's */
    float softcap;
    int window;
};

/* q, KV blocks and o, on the host as the reference has them, and on the device. */
struct room {
    struct attn_shape a, on_a;
    size_t n_q, n_kv, n_rows;
    float *q, *o;
    struct kv_layer kv, on_kv;
    void *on_q, *on_o;
};

static void number_put(void *to, enum dtype d, size_t i, float f, float scale)
{
    if (d == DTYPE_F32)
        ((float *)to)[i] = f;
    else if (d == DTYPE_FP8)
        ((uint8_t *)to)[i] = scaled_put(f, scale, d);
    else
        ((uint16_t *)to)[i] = d == DTYPE_F16 ? f32_to_f16(f) : f32_to_bf16(f);
}

/* A position of a KV head: a row of K or V, in the reference's order and in the device's. */
static void row_put(void *host, void *on, float *scales, enum dtype d, bool is_k, size_t block,
                    int c, int HD, uint64_t *seed, float size)
{
    const size_t row = block / (size_t)HD + (size_t)(c % KV_BLOCK_TOKENS);
    float x[ATTN_MAX_HD], scale = 0;

    for (int i = 0; i < HD; i++)
        x[i] = size * numbers_draw(seed);
    if (d == DTYPE_FP8) scale = scales[row] = scaled_by(x, (size_t)HD, d);
    for (int i = 0; i < HD; i++) {
        number_put(host, d, block + (is_k ? slot_k(c, i) : slot_v(c, i, HD)), x[i], scale);
        number_put(on, d, block + slot_v(c, i, HD), x[i], scale);
    }
}

static void *full(size_t bytes)
{
    void *p = malloc(bytes);

    ck_assert_ptr_nonnull(p);
    memset(p, 0xFF, bytes);
    return p;
}

/* K or V: what no sequence has written is no number. */
static void *kv_make(struct room *m, const struct step *p, bool is_k, float **scales, void **on,
                     float **on_scales, uint64_t *seed)
{
    const enum dtype d = m->kv.dtype;
    const size_t bytes = m->n_kv * (d == DTYPE_F32 ? 4 : d == DTYPE_FP8 ? 1 : 2);
    void *host = full(bytes), *order = full(bytes);

    *scales = full(m->n_rows * sizeof **scales);
    for (int s = 0; s < p->r.S; s++)
        for (int c = 0; p->start[s + 1] > p->start[s] && c <= p->pos[p->start[s + 1] - 1]; c++)
            for (int hk = 0; hk < m->a.HK; hk++) {
                const size_t block = slot_block(slot_of(&p->r, s, c), hk, m->a.HK, m->a.HD);
                /* Sizes differ, so that scales do. */
                const float size = (c * 7 + hk) % 5 ? 1.0f : 0.01f;

                row_put(host, order, *scales, d, is_k, block, c, m->a.HD, seed, size);
            }
    *on = device_rig_put(order, bytes);
    *on_scales = device_rig_put(*scales, m->n_rows * sizeof **scales);
    free(order);
    return host;
}

static void room_init(struct room *m, const struct step *p, const struct shape *s)
{
    uint64_t seed = 77;

    *m = (struct room){
        .a = {s->H, s->HK, s->HD, 0, 1.0f / sqrtf((float)s->HD), s->softcap, s->window}};
    m->on_a = m->a;
    m->on_a.q_step = (s->H + 2 * s->HK) * s->HD; /* as a wide table has it */
    m->n_q = (size_t)p->r.T * (size_t)m->on_a.q_step;
    m->n_rows = (size_t)p->n_blocks * (size_t)s->HK * KV_BLOCK_TOKENS;
    m->n_kv = m->n_rows * (size_t)s->HD;
    m->a.q_step = m->on_a.q_step;
    m->kv.dtype = s->kv == DTYPE_F16 || s->kv == DTYPE_BF16 ? dev.act : s->kv;
    m->q = numbers_take(&seed, m->n_q);
    for (size_t i = 0; i < m->n_q; i++)
        m->q[i] *= 6; /* scores worth a softmax */
    m->on_q = device_rig_numbers(m->q, m->n_q, dev.act);
    m->o = calloc((size_t)p->r.T * (size_t)(s->H * s->HD) + 1, sizeof *m->o);
    m->on_o = device_rig_take((size_t)p->r.T * (size_t)(s->H * s->HD) * sizeof(float));
    m->on_kv.dtype = m->kv.dtype;
    m->kv.k = kv_make(m, p, true, &m->kv.k_scales, &m->on_kv.k, &m->on_kv.k_scales, &seed);
    m->kv.v = kv_make(m, p, false, &m->kv.v_scales, &m->on_kv.v, &m->on_kv.v_scales, &seed);
}

static void room_fini(struct room *m)
{
    free(m->q), free(m->o), free(m->kv.k), free(m->kv.v);
    free(m->kv.k_scales), free(m->kv.v_scales);
}

/* Largest difference in units of the tolerance, which is relative to the largest |V|: 1. */
static double room_worst(const struct room *m, const struct step *p)
{
    const size_t n = (size_t)p->r.T * (size_t)(m->a.H * m->a.HD);
    float *mine = device_rig_floats(m->on_o, n, dev.act);
    double worst = 0;

    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)mine[i] - (double)m->o[i]) / device_rig_rtol(ATTN_RTOL);

        if (!(off <= worst)) worst = off;
    }
    free(mine);
    return worst;
}

static void room_run(struct room *m, const struct step *p)
{
    const struct ragged on = device_rig_begin(&p->r);

    ck_assert_int_eq(dev.ops->attn(m->on_o, m->on_q, &m->on_kv, &on, &m->on_a, dev.s), ERR_OK);
    ck_assert_int_eq(attn_ref(m->o, m->q, &m->kv, &p->r, &m->a, NULL), ERR_OK);
}

static void check_shape(const struct step *p, const struct shape *s)
{
    struct room m;
    double worst;

    room_init(&m, p, s);
    room_run(&m, p);
    worst = room_worst(&m, p);
    ck_assert_msg(worst <= 1,
                  "act %d kv %d H %d HK %d HD %d cap %g window %d: off by %g tolerances", dev.act,
                  s->kv, s->H, s->HK, s->HD, (double)s->softcap, s->window, worst);
    room_fini(&m);
}

/* First and last positions of KV blocks and of splits; an empty sequence; one of several splits. */
static void decoding(struct step *p)
{
    static const int LAST[] = {0, 17, 255, 256, 600};

    step_init(p);
    for (size_t i = 0; i < sizeof LAST / sizeof *LAST; i++) {
        step_add(p, LAST[i], 1);
        if (i == 1) step_add(p, 0, 0);
    }
    step_ready(p);
}

/* Heads that share a KV head: 1 2 3 4 7 8 16 32; every width with a kernel of its own, and others;
 * windows inside a KV block, over blocks, over a split. */
static const struct shape SHAPES[] = {
    {2, 2, 64, DTYPE_F16, 0, 0},   {4, 2, 128, DTYPE_F16, 0, 0},  {3, 1, 96, DTYPE_F16, 0, 40},
    {4, 1, 80, DTYPE_F16, 20, 0},  {7, 1, 64, DTYPE_F16, 0, 5},   {8, 1, 256, DTYPE_F16, 0, 300},
    {16, 1, 64, DTYPE_F16, 0, 1},  {32, 1, 64, DTYPE_F16, 3, 0},  {2, 2, 64, DTYPE_FP8, 0, 0},
    {4, 1, 128, DTYPE_FP8, 0, 0},  {3, 1, 96, DTYPE_FP8, 0, 40},  {2, 1, 80, DTYPE_FP8, 20, 0},
    {7, 1, 256, DTYPE_FP8, 0, 5},  {16, 1, 64, DTYPE_FP8, 0, 0},  {2, 1, 64, DTYPE_F32, 0, 0},
    {6, 2, 22, DTYPE_F32, 0, 40},  {5, 1, 33, DTYPE_F16, 3, 300}, {4, 4, 8, DTYPE_FP8, 0, 5},
    {2, 1, 512, DTYPE_F16, 0, 20},
};
#define N_SHAPES ((int)(sizeof SHAPES / sizeof SHAPES[0]))

START_TEST(a_decoding_token_sees_what_the_reference_sees)
{
    struct step p;

    device_rig_open(ACTS[_i % N_ACTS], NULL, NULL);
    decoding(&p);
    check_shape(&p, &SHAPES[_i / N_ACTS]);
    device_rig_close();
}
END_TEST

/* Tokens that decode, chunks at the start and inside of their sequences, an empty sequence. */
static void mixed(struct step *p)
{
    step_init(p);
    step_add(p, 300, 1);
    step_add(p, 40, 41);
    step_add(p, 270, 1);
    step_add(p, 150, 37);
    step_add(p, 0, 0);
    step_add(p, 5, 1);
    step_ready(p);
}

START_TEST(a_step_of_all_kinds_of_tokens_is_right_however_it_is_cut)
{
    static const struct shape MIXED[] = {
        {8, 2, 64, DTYPE_F16, 0, 0},
        {4, 2, 128, DTYPE_FP8, 30, 33},
        {3, 1, 16, DTYPE_F32, 0, 20},
    };
    struct step p;

    for (int i = 0; i < 2; i++) {
        device_rig_open(ACTS[_i], &(struct device_opts){.batch_invariant = i}, NULL);
        mixed(&p);
        for (size_t j = 0; j < sizeof MIXED / sizeof *MIXED; j++)
            check_shape(&p, &MIXED[j]);
        device_rig_close();
    }
}
END_TEST

START_TEST(O1_a_decoding_token_does_not_depend_on_the_rest_of_the_step)
{
    const struct shape s = {8, 2, 64, _i % 2 ? DTYPE_FP8 : DTYPE_F16, 0, 0};
    const size_t row = (size_t)(s.H * s.HD);
    struct step p, alone;
    struct room m;
    float *all, *one;
    int32_t *table;
    struct ragged on;

    device_rig_open(ACTS[_i / 2], NULL, NULL);
    mixed(&p);
    room_init(&m, &p, &s);
    room_run(&m, &p);
    all = device_rig_floats(m.on_o, (size_t)p.r.T * row, dev.act);

    /* Sequence 0 in a step of its own, on the same KV blocks. */
    step_init(&alone);
    step_add(&alone, 300, 1);
    step_ready(&alone);
    table = alone.blocks;
    memcpy(table, p.blocks, MAX_BLOCKS * sizeof *table);
    on = device_rig_begin(&alone.r);
    ck_assert_int_eq(dev.ops->attn(m.on_o, m.on_q, &m.on_kv, &on, &m.on_a, dev.s), ERR_OK);
    one = device_rig_floats(m.on_o, row, dev.act);
    ck_assert_mem_eq(one, all, row * sizeof *one);
    free(one), free(all);
    room_fini(&m);
    device_rig_close();
}
END_TEST

START_TEST(a_recorded_step_serves_later_steps_of_as_many_sequences)
{
    const struct shape s = {4, 2, 64, DTYPE_F16, 0, 0};
    struct step early, late;
    struct graph *g = NULL;
    struct ragged on;
    struct room m;

    for (int i = 0; i < 2; i++) {
        device_rig_open(ACTS[_i], &(struct device_opts){.batch_invariant = i}, NULL);
        step_init(&early);
        step_init(&late);
        for (int j = 0; j < 3; j++) {
            step_add(&early, 3 + j, 1);
            step_add(&late, 200 + 90 * j, 1); /* of one split and of several */
        }
        step_ready(&early);
        step_ready(&late);
        room_init(&m, &late, &s);
        on = device_rig_begin(&early.r);
        ck_assert_int_eq(dev.device->record(dev.s), ERR_OK);
        ck_assert_int_eq(dev.ops->attn(m.on_o, m.on_q, &m.on_kv, &on, &m.on_a, dev.s), ERR_OK);
        ck_assert_int_eq(dev.device->recorded(&g, dev.s), ERR_OK);
        device_rig_begin(&late.r);
        ck_assert_int_eq(dev.device->replay(g, dev.s), ERR_OK);
        ck_assert_int_eq(attn_ref(m.o, m.q, &m.kv, &late.r, &m.a, NULL), ERR_OK);
        ck_assert_double_le(room_worst(&m, &late), 1);
        dev.device->forget(&g);
        room_fini(&m);
        device_rig_close();
    }
}
END_TEST

static void check_array(const int32_t *on, const int32_t *host, int n)
{
    int32_t mine[MAX_SEQS * MAX_BLOCKS];

    device_rig_get(mine, on, (size_t)n * sizeof *mine);
    ck_assert_mem_eq(mine, host, (size_t)n * sizeof *mine);
}

START_TEST(what_begin_is_given_lies_on_the_device)
{
    struct step p;

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int i = 0; i < 5; i++) { /* more often than there is pinned memory for */
        struct ragged on;

        mixed(&p);
        for (int t = 0; t < p.r.T; t++)
            p.ids[t] += i;
        p.r.n_rows = 2, p.rows[1] = p.r.T - 1;
        on = device_rig_begin(&p.r);
        ck_assert_int_eq(on.T, p.r.T);
        ck_assert_int_eq(on.S, p.r.S);
        check_array(on.ids, p.ids, p.r.T);
        check_array(on.pos, p.pos, p.r.T);
        check_array(on.seq, p.seq, p.r.T);
        check_array(on.start, p.start, p.r.S + 1);
        check_array(on.rows, p.rows, 2);
        for (int s = 0; s < p.r.S; s++)
            if (p.start[s + 1] > p.start[s])
                check_array(on.blocks + (size_t)s * (size_t)on.max_blocks,
                            p.blocks + s * MAX_BLOCKS,
                            p.pos[p.start[s + 1] - 1] / KV_BLOCK_TOKENS + 1);
    }
    device_rig_close();
}
END_TEST

START_TEST(a_step_over_the_limits_or_a_position_without_a_block_is_refused)
{
    const struct step_limits l = {
        .max_tokens = 8, .max_seqs = 2, .max_blocks = MAX_BLOCKS, .max_width = 64};
    struct ragged on;
    struct step p;

    device_rig_open(DTYPE_F32, NULL, &l);
    step_init(&p);
    step_add(&p, 8, 9);
    step_ready(&p);
    ck_assert_int_eq(dev.ops->begin(&on, &p.r, dev.s), ERR_ARG); /* tokens */
    step_init(&p);
    for (int i = 0; i < 3; i++)
        step_add(&p, i, 1);
    step_ready(&p);
    ck_assert_int_eq(dev.ops->begin(&on, &p.r, dev.s), ERR_ARG); /* sequences */
    step_init(&p);
    step_add(&p, 5, 1);
    step_ready(&p);
    p.pos[0] = MAX_BLOCKS * KV_BLOCK_TOKENS;
    ck_assert_int_eq(dev.ops->begin(&on, &p.r, dev.s), ERR_ARG); /* behind its table */
    p.pos[0] = -1;
    ck_assert_int_eq(dev.ops->begin(&on, &p.r, dev.s), ERR_ARG);
    p.pos[0] = 5;
    p.r.n_rows = 9;
    ck_assert_int_eq(dev.ops->begin(&on, &p.r, dev.s), ERR_ARG);
    device_rig_close();
}
END_TEST

START_TEST(shapes_that_attention_is_not_made_for_are_refused)
{
    const struct shape s = {4, 2, 64, DTYPE_F16, 0, 0};
    /* Parts of splits have room for a q of 64 numbers only. */
    const struct step_limits l = {.max_tokens = 256,
                                  .max_seqs = 8,
                                  .max_blocks = MAX_BLOCKS,
                                  .max_width = 4096,
                                  .attn_width = 64};
    struct attn_shape bad;
    struct ragged on;
    struct step p;
    struct room m;

    device_rig_open(DTYPE_F32, NULL, &l);
    step_init(&p);
    for (int i = 0; i < 8; i++)
        step_add(&p, MAX_BLOCKS * KV_BLOCK_TOKENS - 1, 1);
    step_ready(&p);
    room_init(&m, &p, &s);
    on = device_rig_begin(&p.r);
    bad = m.on_a;
    ck_assert_int_eq(dev.ops->attn(m.on_o, m.on_q, &m.on_kv, &on, &bad, dev.s), ERR_ARG);
    bad.HK = 3;
    ck_assert_int_eq(dev.ops->attn(m.on_o, m.on_q, &m.on_kv, &on, &bad, dev.s), ERR_ARG);
    bad = m.on_a;
    bad.HD = ATTN_MAX_HD + 1;
    ck_assert_int_eq(dev.ops->attn(m.on_o, m.on_q, &m.on_kv, &on, &bad, dev.s), ERR_ARG);
    m.on_kv.dtype = DTYPE_Q8_0;
    ck_assert_int_eq(dev.ops->attn(m.on_o, m.on_q, &m.on_kv, &on, &m.on_a, dev.s), ERR_UNSUPPORTED);
    room_fini(&m);
    device_rig_close();
}
END_TEST

START_TEST(a_step_without_tokens_does_nothing)
{
    struct attn_shape a = {4, 2, 64, 0, 1, 0, 0};
    struct kv_layer kv = {.dtype = DTYPE_F32};
    struct ragged r = {.S = 0}, on;

    device_rig_open(DTYPE_F32, NULL, NULL);
    on = device_rig_begin(&r);
    ck_assert_int_eq(dev.ops->attn(NULL, NULL, &kv, &on, &a, dev.s), ERR_OK);
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_attn");
    TCase *c = tcase_create("attn"), *b = tcase_create("begin");

    tcase_set_timeout(c, 120);
    if (device_rig_found()) {
        tcase_add_loop_test(c, a_decoding_token_sees_what_the_reference_sees, 0, N_SHAPES * N_ACTS);
        tcase_add_loop_test(c, a_step_of_all_kinds_of_tokens_is_right_however_it_is_cut, 0, N_ACTS);
        tcase_add_loop_test(c, O1_a_decoding_token_does_not_depend_on_the_rest_of_the_step, 0,
                            2 * N_ACTS);
        tcase_add_loop_test(c, a_recorded_step_serves_later_steps_of_as_many_sequences, 0, N_ACTS);
        tcase_add_test(c, shapes_that_attention_is_not_made_for_are_refused);
        tcase_add_test(c, a_step_without_tokens_does_nothing);
        tcase_add_test(b, what_begin_is_given_lies_on_the_device);
        tcase_add_test(b, a_step_over_the_limits_or_a_position_without_a_block_is_refused);
    }
    suite_add_tcase(s, c);
    suite_add_tcase(s, b);
    return s;
}

TEST_MAIN(suite)
