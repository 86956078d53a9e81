/* test_cuda_choose.c - choose: its meaning, and the emulation or a device against it. */
#include <math.h>
#include <string.h>

#include "kernels/choose.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"
#include "worker/engine.h"
#include "worker/sample.h"

static const struct wish PLAIN = {
    .temperature = 1, .top_p = 1, .repetition = 1, .draw = 0.5, .n_top = -1};

/* n rows of V logits on the device; what the host has stays. */
static void choose(struct choice *out, const float *logits, const struct wish *w, int n, int V)
{
    float *on = device_rig_put(logits, (size_t)n * (size_t)V * sizeof *logits);

    memset(out, 0xA5, (size_t)n * sizeof *out);
    ck_assert_int_eq(dev.ops->choose(out, on, w, n, V, dev.s), ERR_OK);
    device_rig_wait();
}

static void reference(struct choice *out, const float *logits, const struct wish *w, int n, int V)
{
    const size_t bytes = (size_t)n * (size_t)V * sizeof *logits;
    float *copy = malloc(bytes);

    memcpy(copy, logits, bytes);
    ck_assert_int_eq(choose_ref(out, copy, w, n, V, NULL), ERR_OK);
    free(copy);
}

/* Would the reference choose id for a draw or a border that is CHOOSE_RTOL away? */
static bool is_neighbour(int32_t id, const float *logits, const struct wish *w, int V)
{
    for (int i = 0; i < 27; i++) {
        const double off[] = {0, -CHOOSE_RTOL, CHOOSE_RTOL};
        struct wish near = *w;
        struct choice c;

        near.draw = fmin(fmax(w->draw + off[i % 3], 0), 1 - 0x1p-53);
        near.min_p = (float)(w->min_p * (1 + off[i / 3 % 3]));
        if (w->top_p < 1) near.top_p = (float)(w->top_p * (1 + off[i / 9]));
        reference(&c, logits, &near, 1, V);
        if (c.id == id) return true;
    }
    return false;
}

/* Made-up logits with some that are equal, forbidden, and no numbers. */
static float *logits_take(uint64_t *seed, int n, int V)
{
    float *l = numbers_take(seed, (size_t)n * (size_t)V);

    for (int i = 0; i < n * V; i++) {
        l[i] = 6 * (l[i] + numbers_draw(seed) + numbers_draw(seed));
        if (i % 5 == 0) l[i] = rintf(l[i]);
        if (i % 97 == 3) l[i] = -INFINITY;
        if (i % 89 == 5) l[i] = NAN;
    }
    return l;
}

#define N_EDITS 6

static struct wish wish_draw(uint64_t *seed, int i, int V, struct edit *edits)
{
    static const float TEMPERATURES[] = {1, 0, 0.3f, 2, 0.7f, 30},
                       TOP_PS[] = {1, 0.9f, 0.5f, 0.01f};
    static const int32_t TOP_KS[] = {0, 5, 40, 1, 100000}, TOPS[] = {-1, 0, 5, 20};
    struct wish w = {
        .temperature = TEMPERATURES[i % 6],
        .top_p = TOP_PS[i / 2 % 4],
        .min_p = i % 7 == 3 ? 0.05f : 0,
        .top_k = TOP_KS[i % 5],
        .repetition = 1.3f,
        .frequency = 0.2f,
        .presence = 0.5f,
        .draw = ((double)numbers_draw(seed) + 1) / 2,
        .n_top = TOPS[i % 4],
        .edits = edits,
    };

    for (int k = 0; k < N_EDITS && k < V && i % 3; k++) {
        edits[k] = (struct edit){.id = (i * 7 + k * (V / N_EDITS + (V < N_EDITS))) % V,
                                 .in_answer = k % 3,
                                 .seen = k % 2,
                                 .bias = k == 4   ? -INFINITY
                                         : k == 5 ? 3
                                                  : 0};
        w.n_edits++;
    }
    return w;
}

static void ck_choice(const struct choice *got, const struct choice *want, const float *logits,
                      const struct wish *w, int V)
{
    ck_assert_msg(got->id == want->id || is_neighbour(got->id, logits, w, V),
                  "V=%d T=%g k=%d p=%g min_p=%g draw=%.9g: %d, not %d", V, (double)w->temperature,
                  w->top_k, (double)w->top_p, (double)w->min_p, w->draw, got->id, want->id);
    if (want->id == CHOOSE_NONE || w->n_top < 0) return;
    if (got->id == want->id && isfinite(want->logprob))
        ck_assert_float_le(fabsf(got->logprob - want->logprob), (float)CHOOSE_LOGPROB);
    ck_assert_int_eq(got->n_top, want->n_top);
    for (int i = 0; i < want->n_top; i++) {
        ck_assert_int_eq(got->top_ids[i], want->top_ids[i]);
        ck_assert_float_le(fabsf(got->top_logprobs[i] - want->top_logprobs[i]),
                           (float)CHOOSE_LOGPROB);
    }
}

static const struct size {
    int V, n;
} SIZES[] = {{1, 6}, {2, 12}, {33, 60}, {64, 60}, {500, 60}, {1023, 40}, {1500, 12}, {33001, 8}};
#define N_SIZES ((int)(sizeof SIZES / sizeof SIZES[0]))

START_TEST(a_choice_is_the_reference_s)
{
    const int V = SIZES[_i].V, n = SIZES[_i].n;
    uint64_t seed = (uint64_t)_i + 1;
    float *l = logits_take(&seed, n, V);
    struct edit(*edits)[N_EDITS] = calloc((size_t)n, sizeof *edits);
    struct wish *w = calloc((size_t)n, sizeof *w);
    struct choice *got = calloc((size_t)n, sizeof *got), *want = calloc((size_t)n, sizeof *want);

    device_rig_open(DTYPE_BF16, NULL, NULL);
    for (int i = 0; i < n; i++)
        w[i] = wish_draw(&seed, i, V, edits[i]);
    choose(got, l, w, n, V);
    reference(want, l, w, n, V);
    for (int i = 0; i < n; i++)
        ck_choice(&got[i], &want[i], l + (size_t)i * (size_t)V, &w[i], V);
    device_rig_close();
    free(l), free(edits), free(w), free(got), free(want);
}
END_TEST

/* O1: the same row, alone and among others, gives the same choice to the bit. */
START_TEST(a_choice_does_not_depend_on_the_other_rows)
{
    const int V = 700, n = 24;
    uint64_t seed = 5;
    float *l = logits_take(&seed, n, V);
    struct edit edits[24][N_EDITS];
    struct wish w[24];
    struct choice all[24], one;

    device_rig_open(DTYPE_F16, NULL, NULL);
    for (int i = 0; i < n; i++)
        w[i] = wish_draw(&seed, i, V, edits[i]);
    choose(all, l, w, n, V);
    for (int i = 0; i < n; i++) {
        choose(&one, l + i * V, &w[i], 1, V);
        ck_assert_int_eq(one.id, all[i].id);
        if (w[i].n_top < 0 || one.id == CHOOSE_NONE) continue;
        ck_assert_mem_eq(&one.logprob, &all[i].logprob, sizeof one.logprob);
        ck_assert_mem_eq(one.top_ids, all[i].top_ids, (size_t)one.n_top * sizeof *one.top_ids);
        ck_assert_mem_eq(one.top_logprobs, all[i].top_logprobs,
                         (size_t)one.n_top * sizeof *one.top_logprobs);
    }
    device_rig_close();
    free(l);
}
END_TEST

#define FEW   12
#define DRAWS 1200

/* Chi-square of how often each token came, against p; 0.1 % of fair samples are over the limit. */
static void ck_frequencies(const int *came, const double *p, const char *what)
{
    double chi = 0, total = 0;
    int free_of = -1;

    for (int v = 0; v < FEW; v++)
        total += p[v];
    for (int v = 0; v < FEW; v++) {
        const double want = DRAWS * p[v] / total;

        if (p[v] <= 0) ck_assert_msg(came[v] == 0, "%s: token %d came", what, v);
        if (p[v] <= 0) continue;
        chi += (came[v] - want) * (came[v] - want) / want;
        free_of++;
    }
    /* Wilson and Hilferty's cube, at 3.09 standard deviations. */
    ck_assert_double_le(
        chi, free_of * pow(1 - 2.0 / (9 * free_of) + 3.09 * sqrt(2.0 / (9 * free_of)), 3));
}

/* What is left over has its own probabilities; the host's sampler has the same. */
START_TEST(tokens_come_as_often_as_the_host_s_sampler_has_them)
{
    static const float L[FEW] = {0.5f, 2, 1, -1, 1.5f, 0, 1, 2.2f, -0.5f, 0.7f, 1.1f, -30};
    static const struct {
        float temperature, top_p, min_p;
        int top_k;
        unsigned left; /* bits of the ids */
    } CASES[] = {{1, 1, 0, 0, 0xFFF},
                 {0.7f, 1, 0, 4, 1u << 7 | 1u << 1 | 1u << 4 | 1u << 10},
                 {1, 0.5f, 0, 0, 1u << 7 | 1u << 1 | 1u << 4},
                 {2, 1, 0.5f, 0, 1u << 7 | 1u << 1 | 1u << 4 | 1u << 10 | 1u << 2 | 1u << 6}};
    struct wish *w = calloc(DRAWS, sizeof *w);
    struct choice *c = calloc(DRAWS, sizeof *c);
    struct candidate scratch[FEW];
    float *l = calloc(DRAWS, sizeof L);
    int came[2][FEW] = {{0}};
    double p[FEW];
    const struct sampling host = {.temperature = CASES[_i].temperature,
                                  .top_p = CASES[_i].top_p,
                                  .min_p = CASES[_i].min_p,
                                  .top_k = CASES[_i].top_k,
                                  .seed = 77};

    device_rig_open(DTYPE_F32, NULL,
                    &(struct step_limits){
                        .max_tokens = DRAWS, .max_seqs = DRAWS, .max_blocks = 1, .max_width = 64});
    for (int i = 0; i < DRAWS; i++) {
        w[i] = PLAIN, w[i].draw = sample_draw(77, i), w[i].temperature = host.temperature;
        w[i].top_p = host.top_p, w[i].min_p = host.min_p, w[i].top_k = host.top_k;
        memcpy(l + i * FEW, L, sizeof L);
        came[1][sample_token(L, FEW, &host, i, scratch)]++;
    }
    choose(c, l, w, DRAWS, FEW);
    for (int i = 0; i < DRAWS; i++)
        came[0][c[i].id]++;
    for (int v = 0; v < FEW; v++)
        p[v] = CASES[_i].left >> v & 1 ? exp((double)L[v] / (double)host.temperature) : 0;
    ck_frequencies(came[0], p, "device");
    ck_frequencies(came[1], p, "host");
    device_rig_close();
    free(w), free(c), free(l);
}
END_TEST

/* Equals: the lower id first, in the choice, in what is left over, in what is told. */
START_TEST(of_equals_the_lower_ids_are_left_over)
{
    enum { V = 2000 };
    static float l[V];
    struct wish w = PLAIN;
    struct choice c;

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int v = 0; v < V; v++)
        l[v] = v == 3 ? -0.0f : 0;
    w.temperature = 0, w.n_top = 20;
    choose(&c, l, &w, 1, V);
    ck_assert_int_eq(c.id, 0);
    ck_assert_int_eq(c.n_top, 20);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(c.top_ids[i], i);
    for (int k = 1; k <= 7; k++) {
        w = PLAIN, w.top_k = k, w.draw = 1 - 0x1p-53;
        choose(&c, l, &w, 1, V);
        ck_assert_int_eq(c.id, k - 1); /* the last of those left over */
    }
    w = PLAIN, w.top_k = 50, w.top_p = 0.11f, w.draw = 0.999;
    choose(&c, l, &w, 1, V);
    ck_assert_int_eq(c.id, 5); /* 5.5 of 50 */
    l[1999] = 1;               /* e of 51.7, of which 5.7 are wanted: three more */
    choose(&c, l, &w, 1, V);
    ck_assert_int_eq(c.id, 1999);
    w.draw = 0.52; /* 2.97 of 5.7 */
    choose(&c, l, &w, 1, V);
    ck_assert_int_eq(c.id, 2);
    device_rig_close();
}
END_TEST

/* From one bin of the histogram to its finest: logits that differ in their last bit, and by all. */
START_TEST(a_cut_parts_logits_that_hardly_differ)
{
    enum { V = 1400 };
    static float l[V];
    struct wish w = PLAIN;
    struct choice got, want;

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int c = 0; c < 12; c++) {
        float up = c % 3 == 0 ? 1 : c % 3 == 1 ? 1e-30f : -7;

        for (int v = 0; v < V; v++, up = c % 3 == 1 ? up * 1.07f : nextafterf(up, INFINITY))
            l[v * 11 % V] = up;
        w.top_k = c < 6 ? 1 + c * 200 : 0, w.top_p = c < 6 ? 1 : 0.07f * (float)c;
        w.draw = 0.37 + 0.05 * c, w.temperature = c % 3 == 1 ? 1e-3f : 1;
        choose(&got, l, &w, 1, V);
        reference(&want, l, &w, 1, V);
        ck_choice(&got, &want, l, &w, V);
        w.draw = 1 - 0x1p-40;
        choose(&got, l, &w, 1, V);
        reference(&want, l, &w, 1, V);
        ck_choice(&got, &want, l, &w, V);
    }
    device_rig_close();
}
END_TEST

/* Edits change the choice; log-probabilities are of the logits as they came. */
START_TEST(edits_change_the_choice_and_no_logprob)
{
    const float l[4] = {1, 3, 2, -1};
    const struct edit edits[] = {{.id = 1, .bias = -INFINITY},
                                 {.id = 2, .seen = 1, .in_answer = 1},
                                 {.id = 3, .bias = 2.5f}};
    const double all = log(exp(1) + exp(3) + exp(2) + exp(-1));
    struct wish w = PLAIN;
    struct choice c;

    device_rig_open(DTYPE_F32, NULL, NULL);
    w.temperature = 0, w.n_top = 2, w.edits = edits, w.n_edits = 3;
    w.repetition = 2, w.presence = 0.25f, w.frequency = 0.125f; /* 1, -, 0.625, 1.5 */
    choose(&c, l, &w, 1, 4);
    ck_assert_int_eq(c.id, 3);
    ck_assert_float_eq_tol(c.logprob, (float)(-1 - all), (float)CHOOSE_LOGPROB);
    ck_assert_int_eq(c.n_top, 2);
    ck_assert_int_eq(c.top_ids[0], 1);
    ck_assert_int_eq(c.top_ids[1], 2);
    ck_assert_float_eq_tol(c.top_logprobs[0], (float)(3 - all), (float)CHOOSE_LOGPROB);
    device_rig_close();
}
END_TEST

START_TEST(there_is_no_choice_without_a_finite_logit)
{
    const float l[4][3] = {
        {-INFINITY, -INFINITY, -INFINITY}, {NAN, NAN, NAN}, {1, INFINITY, 2}, {NAN, -5, -INFINITY}};
    const struct edit forbid = {.id = 1, .bias = -INFINITY};
    struct wish w[4] = {PLAIN, PLAIN, PLAIN, PLAIN};
    struct choice c[4];

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int i = 0; i < 4; i++)
        w[i].n_top = 2, w[i].temperature = i % 2 ? 0 : 1;
    choose(c, l[0], w, 4, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(c[i].id, CHOOSE_NONE);
    ck_assert_int_eq(c[3].id, 1);
    ck_assert_int_eq(c[3].n_top, 1); /* less than asked for */
    ck_assert_float_eq_tol(c[3].logprob, 0, 1e-6f);
    w[0].edits = &forbid, w[0].n_edits = 1;
    choose(c, l[3], w, 1, 3);
    ck_assert_int_eq(c[0].id, CHOOSE_NONE);
    device_rig_close();
}
END_TEST

START_TEST(choices_of_many_calls_come_with_one_wait)
{
    const float l[3] = {1, 5, 2};
    const struct edit forbid = {.id = 1, .bias = -INFINITY};
    struct wish w = PLAIN;
    struct choice c[20];
    int rc = ERR_OK;

    device_rig_open(DTYPE_F32, NULL, NULL);
    w.temperature = 0, w.edits = &forbid;
    for (int round = 0; round < 3; round++) {
        int n = 0;

        memset(c, 0, sizeof c);
        for (; n < 20; n++) {
            w.n_edits = n % 2;
            rc = dev.ops->choose(&c[n], device_rig_put(l, sizeof l), &w, 1, 3, dev.s);
            if (rc) break;
        }
        ck_assert_int_eq(rc, ERR_FULL); /* until the next wait */
        ck_assert_int_ge(n, 8);
        device_rig_wait();
        for (int i = 0; i < n; i++)
            ck_assert_int_eq(c[i].id, i % 2 ? 2 : 1);
    }
    device_rig_close();
}
END_TEST

START_TEST(wishes_out_of_range_are_refused)
{
    const struct edit out = {.id = 3};
    struct wish w = PLAIN;
    struct choice c;
    float l[3] = {0};

    device_rig_open(DTYPE_F32, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        int (*op)(struct choice *, float *, const struct wish *, int, int, struct stream *) =
            i ? choose_ref : dev.ops->choose;

        w = PLAIN;
        ck_assert_int_eq(op(&c, l, &w, -1, 3, dev.s), ERR_ARG);
        ck_assert_int_eq(op(&c, l, &w, 1, 0, dev.s), ERR_ARG);
        ck_assert_int_eq(op(&c, l, &w, 1, CHOOSE_MAX_V + 1, dev.s), ERR_ARG);
        w.n_top = CHOOSE_MAX_TOP + 1;
        ck_assert_int_eq(op(&c, l, &w, 1, 3, dev.s), ERR_ARG);
        w = PLAIN, w.n_edits = 1, w.edits = &out;
        ck_assert_int_eq(op(&c, l, &w, 1, 3, dev.s), ERR_ARG);
        w.n_edits = -1;
        ck_assert_int_eq(op(&c, l, &w, 1, 3, dev.s), ERR_ARG);
        ck_assert_int_eq(op(NULL, NULL, NULL, 0, 3, dev.s), ERR_OK);
    }
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_choose");
    TCase *c = tcase_create("choose");

    suite_add_tcase(s, c);
    if (!device_rig_found()) return s;
    tcase_add_loop_test(c, a_choice_is_the_reference_s, 0, N_SIZES);
    tcase_add_test(c, a_choice_does_not_depend_on_the_other_rows);
    tcase_add_loop_test(c, tokens_come_as_often_as_the_host_s_sampler_has_them, 0, 4);
    tcase_add_test(c, of_equals_the_lower_ids_are_left_over);
    tcase_add_test(c, a_cut_parts_logits_that_hardly_differ);
    tcase_add_test(c, edits_change_the_choice_and_no_logprob);
    tcase_add_test(c, there_is_no_choice_without_a_finite_logit);
    tcase_add_test(c, choices_of_many_calls_come_with_one_wait);
    tcase_add_test(c, wishes_out_of_range_are_refused);
    return s;
}

TEST_MAIN(suite)
