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

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_attn");
    TCase *c = tcase_create("attn");

    tcase_set_timeout(c, 120);
    if (device_rig_found()) {
        tcase_add_loop_test(c, a_decoding_token_sees_what_the_reference_sees, 0, N_SHAPES * N_ACTS);
    }
    suite_add_tcase(s, c);
    return s;
}

TEST_MAIN(suite)
