/* test_plan_speed.c - the speed of an instance at a mix of lengths, against steps taken one by one.
 */
#include <string.h>

#include "broker/plan_mix.h"
#include "tests/test.h"

#define SEQS        128
#define STEP_TOKENS 2048
#define CELLS       256

static const struct perf GPU = {.k0 = 2, .kw = 8, .k1 = 0.02, .k2 = 1e-6, .k3 = 0.01, .k4 = 2e-5};
static const struct perf SMALL = {.k0 = 4, .kw = 30, .k1 = 0.2, .k2 = 1e-5, .k3 = 0.02, .k4 = 1e-4};
static const struct perf CPU = {.k0 = 0.5, .kw = 60, .k1 = 20, .k2 = 0.001, .k3 = 0.1, .k4 = 0.002};
static struct plan_workload w;

static double speed_of(const struct perf *k, int64_t kv_tokens, int seqs, int from, int to,
                       double *batch)
{
    const struct plan_batcher b = {k, kv_tokens, seqs, STEP_TOKENS, w.shared_prompt};

    return plan_speed(&b, &w, from, to, batch);
}

/* --- an instance, step by step ------------------------------------------------------------------
 */

struct row {
    int prompt, output, made, kv, chunk;
};
struct rig {
    struct row run[SEQS + 1];
    int n, seqs;
    int64_t room, used;
    double p, dec, x, m; /* of the step */
    uint64_t dice;
    struct row next;
};

static double uniform(uint64_t *dice)
{
    *dice ^= *dice << 13, *dice ^= *dice >> 7, *dice ^= *dice << 17;
    return (double)(*dice >> 11) * 0x1p-53;
}

static struct row draw(struct rig *r)
{
    double u = uniform(&r->dice) * (double)w.rows;
    int i = 0;

    while (i < w.n_cells - 1 && (u -= (double)w.cells[i].rows) >= 0)
        i++;
    return (struct row){.prompt = w.cells[i].prompt, .output = w.cells[i].output};
}

static int less_to_go(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return (x->output - x->made) - (y->output - y->made);
}

/* Would all of them, and one more, have room until they end? */
static bool has_room(const struct rig *r, const struct row *more)
{
    struct row all[SEQS + 2];
    int n = r->n;
    int64_t kv = 0;

    if (r->used + more->prompt > r->room) return false; /* as most often; it saves the rest */
    memcpy(all, r->run, (size_t)n * sizeof *all);
    all[n++] = *more;
    qsort(all, (size_t)n, sizeof *all, less_to_go);
    for (int i = 0; i < n; i++)
        kv += all[i].prompt + all[i].made;
    for (int i = 0; i < n; i++) {
        if (kv + (int64_t)(n - i) * (all[i].output - all[i].made - 1) > r->room) return false;
        kv -= all[i].prompt + all[i].made;
    }
    return true;
}

static void count(struct rig *r, struct row *q, int *budget)
{
    int todo = q->prompt + q->made - q->kv;

    q->chunk = todo < *budget ? todo : *budget;
    *budget -= q->chunk;
    r->used += q->chunk;
    if (q->made) {
        r->dec++;
        r->m += q->prompt + q->made;
    } else {
        r->p += q->chunk;
        r->x += (double)q->chunk * q->kv + q->chunk * (q->chunk + 1.0) / 2;
    }
}

static double step(struct rig *r, const struct perf *k, int *ended)
{
    int budget = STEP_TOKENS, kept = 0;

    r->p = r->dec = r->x = r->m = 0;
    for (int made = 1; made >= 0; made--) /* those that decode come first */
        for (int i = 0; i < r->n; i++)
            if (!!r->run[i].made == made) count(r, &r->run[i], &budget);
    while (budget > 0 && r->n < r->seqs && has_room(r, &r->next)) {
        r->run[r->n] = r->next;
        count(r, &r->run[r->n++], &budget);
        r->next = draw(r);
    }
    *ended = 0;
    for (int i = 0; i < r->n; i++) {
        struct row *q = &r->run[i];

        q->kv += q->chunk;
        if (q->kv == q->prompt + q->made) q->made++;
        if (q->made < q->output) {
            r->run[kept++] = *q;
            continue;
        }
        r->used -= q->kv;
        ++*ended;
    }
    r->n = kept;
    return perf_step_ms(k, r->p, r->dec, r->x, r->m);
}

/* Rows a second, after it has filled up. */
static double stepped(const struct perf *k, int64_t kv_tokens, int seqs, int rows)
{
    struct rig r = {.seqs = seqs, .room = kv_tokens, .dice = 88172645463325252u};
    double ms = 0;
    int done = -rows / 4, ended;

    r.next = draw(&r);
    while (done < rows) {
        double t = step(&r, k, &ended);

        ck_assert_int_le(r.used, r.room);
        done += ended;
        if (done < 0) continue;
        ms += t;
    }
    return 1000.0 * rows / ms;
}

/* --- workloads -------------------------------------------------------------------------------- */

static void fill(int p0, int p1, int o0, int o1)
{
    uint64_t dice = 1234567;

    memset(&w, 0, sizeof w);
    for (int i = 0; i < CELLS; i++) {
        double a = uniform(&dice), b = uniform(&dice);

        w.cells[i] =
            (struct plan_cell){p0 + (int)(a * a * (p1 - p0)), o0 + (int)(b * (o1 - o0)), 1};
    }
    w.n_cells = CELLS;
    w.rows = CELLS;
}

static void agrees(const struct perf *k, int64_t kv_tokens, int seqs)
{
    double want = stepped(k, kv_tokens, seqs, 4000);
    double got = speed_of(k, kv_tokens, seqs, 0, 1 << 30, NULL);

    ck_assert_msg(got > want * 0.97 && got < want * 1.03,
                  "%.4f rows/s, %.4f step by step: %+.1f %%", got, want, 100 * (got / want - 1));
}

START_TEST(the_number_of_sequences_bounds_it)
{
    fill(100, 1500, 20, 400);
    agrees(&GPU, 1 << 20, 64);
    agrees(&SMALL, 1 << 20, 32);
    agrees(&CPU, 1 << 20, 4);
}
END_TEST

START_TEST(kv_memory_bounds_it)
{
    fill(100, 3000, 20, 500);
    agrees(&GPU, 8000, SEQS);
    agrees(&GPU, 40000, SEQS);
    agrees(&SMALL, 20000, SEQS);
    agrees(&CPU, 8000, SEQS);
}
END_TEST

START_TEST(the_tokens_of_a_step_bound_it)
{
    fill(1000, 4000, 5, 60);
    agrees(&GPU, 1 << 20, SEQS);
    agrees(&SMALL, 1 << 20, SEQS);
}
END_TEST

START_TEST(prompts_that_arrive_whole_cost_more_than_their_mean)
{
    const struct perf knee = {.k0 = 3, .kw = 6, .k1 = 0.03};
    double n, R, even;

    fill(200, 600, 100, 300); /* a step in two has a prompt, and the mean is below the knee */
    agrees(&knee, 1 << 20, 60);
    R = speed_of(&knee, 1 << 20, 60, 0, 1 << 30, &n);
    even = perf_step_ms(&knee, 0, 0, 0, 0);
    ck_assert_double_lt(R * even / 1000, 0.95 * n / 200);
}
END_TEST

/* --- what it says of parts -------------------------------------------------------------------- */

START_TEST(rows_outside_the_range_do_not_count)
{
    double all, few;

    memset(&w, 0, sizeof w);
    w.cells[0] = (struct plan_cell){100, 50, 10};
    w.cells[1] = (struct plan_cell){5000, 50, 10};
    w.n_cells = 2, w.rows = 20;
    all = speed_of(&GPU, 100000, 32, 0, 6000, NULL);
    few = speed_of(&GPU, 100000, 32, 0, 150, NULL);
    ck_assert_double_gt(few, all);
    ck_assert_double_eq(few, speed_of(&GPU, 100000, 32, 0, 5049, NULL));
    ck_assert_double_eq(speed_of(&GPU, 100000, 32, 151, 6000, NULL),
                        speed_of(&GPU, 100000, 32, 5050, 5050, NULL));
    ck_assert_double_eq(speed_of(&GPU, 100000, 32, 5051, 9000, NULL), 0);
}
END_TEST

START_TEST(a_cached_prefix_saves_prefill_and_memory)
{
    double without, with;

    fill(1000, 1200, 20, 60);
    without = speed_of(&GPU, 30000, SEQS, 0, 1 << 30, NULL);
    w.shared_prompt = 0.8;
    with = speed_of(&GPU, 30000, SEQS, 0, 1 << 30, NULL);
    ck_assert_double_gt(with, 2 * without);
}
END_TEST

START_TEST(more_memory_and_shorter_steps_are_never_slower)
{
    fill(50, 4000, 1, 700);
    for (int kv = 5000, last = 0; kv < 2000000; kv = kv * 5 / 4) {
        double now = speed_of(&SMALL, kv, SEQS, 0, 1 << 30, NULL);

        ck_assert_int_ge((int)(now * 1e6), last);
        last = (int)(now * 1e6);
    }
    for (int i = 0; i < 6; i++) {
        struct perf k = SMALL;
        double before = speed_of(&k, 50000, SEQS, 0, 1 << 30, NULL);

        ((double *)&k)[i] *= 2;
        ck_assert_double_le(speed_of(&k, 50000, SEQS, 0, 1 << 30, NULL), before);
    }
}
END_TEST

START_TEST(a_model_of_zeros_is_no_division_by_zero)
{
    const struct perf none = {0};
    double batch;

    fill(10, 20, 1, 2); /* answers of one token: nothing decodes */
    ck_assert(speed_of(&none, 1000, 4, 0, 100, &batch) > 0);
    ck_assert(speed_of(&GPU, 30, 4, 0, 100, &batch) > 0);
    ck_assert_double_ge(batch, 1);
    ck_assert_double_eq(speed_of(&GPU, 1000, 4, 500, 100, &batch), 0);
    ck_assert_double_eq(batch, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan_speed");
    TCase *t = tcase_create("steps");

    tcase_add_test(t, the_number_of_sequences_bounds_it);
    tcase_add_test(t, kv_memory_bounds_it);
    tcase_add_test(t, the_tokens_of_a_step_bound_it);
    tcase_add_test(t, prompts_that_arrive_whole_cost_more_than_their_mean);
    suite_add_tcase(s, t);
    t = tcase_create("parts");
    tcase_add_test(t, rows_outside_the_range_do_not_count);
    tcase_add_test(t, a_cached_prefix_saves_prefill_and_memory);
    tcase_add_test(t, more_memory_and_shorter_steps_are_never_slower);
    tcase_add_test(t, a_model_of_zeros_is_no_division_by_zero);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
