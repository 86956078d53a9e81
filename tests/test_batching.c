/* test_batching.c - a batch from event to event in closed form, against each step on its own, and
 * against worker/sim.c on a clock that the test holds. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mix.h"
#include "bench/batching.h"
#include "schema/endpoint.h"
#include "tests/test.h"
#include "worker/sim.h"

#define N_JOBS 60

struct arrival {
    int64_t at_ns; /* ascending */
    int prompt, answer;
};

static struct {
    uint64_t dice;
    struct arrival jobs[N_JOBS];
    struct simfile f;
} the;

static int64_t dice(int64_t n)
{
    the.dice += 0x9E3779B97F4A7C15u;
    return (int64_t)(mix64(the.dice) % (uint64_t)n);
}

/* Whole microseconds a step, so that sim.c's nanoseconds are exact. */
static void make_case(uint64_t seed)
{
    int64_t at_ns = 1000000000 + dice(1000);

    the.dice = mix64(seed);
    the.f = (struct simfile){.kv_tokens = 72 + (int)dice(300),
                             .max_model_len = 72,
                             .max_num_seqs = 1 + (int)dice(12),
                             .max_batched_tokens = 1 + (int)dice(24),
                             .time_scale = 1,
                             .bytes_per_token = 1};
    the.f.perf = (struct perf){.k0 = (double)(1 + dice(5)),
                               .kw = (double)dice(8),
                               .k1 = (double)(1 + dice(3)) / 8,
                               .k2 = (double)dice(3) / 8,
                               .k3 = (double)dice(3) / 8,
                               .k4 = (double)dice(3) / 8};
    for (int i = 0; i < N_JOBS; i++) {
        at_ns += (1 + dice(dice(5) ? 40 : 3000)) * 1000003;
        the.jobs[i] = (struct arrival){at_ns, 1 + (int)dice(12), 1 + (int)dice(dice(4) ? 20 : 60)};
    }
}

static void open_batch(struct batching *b, bool by_step)
{
    batching_init(b, &the.f.perf, the.f.kv_tokens, the.f.max_num_seqs, the.f.max_batched_tokens);
    b->by_step = by_step;
}

static void put(struct batching *b, struct seqs *p, int i)
{
    struct seq_list list = SEQ_LIST_EMPTY;
    int32_t s = seqs_take(p);

    ck_assert_int_ne(s, SEQ_NONE);
    p->at[s] =
        (struct seq){.job_id = i + 1, .prompt = the.jobs[i].prompt, .answer = the.jobs[i].answer};
    seq_list_add(p, &list, s);
    if (batching_add(b, p, list, (double)the.jobs[i].at_ns / 1e9)) ck_abort_msg("out of memory");
}

struct ends {
    double at_s[N_JOBS];
    int64_t steps, put_back, runs;
};

/* Ends the run and takes down who ended, and when. */
static void advance(struct batching *b, struct seqs *p, struct ends *out)
{
    double due_s = batching_due_s(b);
    struct seq_list ended;

    if (batching_advance(b, p, &ended)) ck_abort_msg("out of memory");
    if (b->kv_used > b->kv_tokens) ck_abort_msg("%lld KV tokens", (long long)b->kv_used); /* B2 */
    for (int32_t s = ended.first; s != SEQ_NONE; s = p->at[s].next) {
        const struct seq *q = &p->at[s];

        if (!q->is_dropped && q->made != q->answer) ck_abort_msg("%d tokens", q->made);
        if (out->at_s[q->job_id - 1] > 0) ck_abort_msg("ends twice");
        out->at_s[q->job_id - 1] = due_s;
    }
    seqs_free(p, ended.first);
}

static void run_batch(bool by_step, struct ends *out)
{
    struct batching b;
    struct seqs p;

    *out = (struct ends){0};
    seqs_init(&p);
    open_batch(&b, by_step);
    for (int i = 0; i < N_JOBS || !isinf(batching_due_s(&b));) {
        if (i < N_JOBS && (double)the.jobs[i].at_ns / 1e9 < batching_due_s(&b))
            put(&b, &p, i++);
        else
            advance(&b, &p, out);
    }
    out->steps = b.steps;
    out->runs = b.run_count;
    out->put_back = b.put_back;
    ck_assert_int_eq(b.kv_used, 0);
    batching_fini(&b, &p);
    seqs_fini(&p);
}

/* --- the same by worker/sim.c --- */

static int64_t now_ns;

static int64_t fake_now(void *arg)
{
    (void)arg;
    return now_ns;
}

static void fake_wait(void *arg, int64_t ns)
{
    (void)arg;
    now_ns = ns;
}

static struct job *job_of(int i)
{
    char body[128];

    snprintf(body, sizeof body, "{\"prompt\":\"%.*s\",\"max_tokens\":%d}", the.jobs[i].prompt - 1,
             "wwwwwwwwwwwwwwwwwwwwwwww", the.jobs[i].answer);
    return job_open(i + 1, 0, ENDPOINT_COMPLETION, body, strlen(body));
}

static void run_sim(struct ends *out)
{
    static const struct sim_clock CLOCK = {fake_now, fake_wait, NULL};
    struct job_rules rules = {.default_max_tokens = 100};
    struct job *jobs[N_JOBS];
    struct engine_stats stats;
    struct outcome o;
    struct backend b;
    struct errmsg e;
    int i = 0;

    *out = (struct ends){0};
    now_ns = the.jobs[0].at_ns;
    ck_assert_int_eq(sim_open(&b, &the.f, &rules, &CLOCK, NULL, &e), ERR_OK);
    for (;;) {
        int rc;

        for (; i < N_JOBS && the.jobs[i].at_ns <= now_ns; i++) {
            jobs[i] = job_of(i);
            ck_assert_ptr_null(b.start(b.self, jobs[i]));
        }
        rc = b.step(b.self, &e);
        while (b.take(b.self, &o)) {
            out->at_s[((struct job *)o.owner)->job_id - 1] = (double)now_ns / 1e9;
            buf_fini(&o.text);
        }
        if (rc == ERR_EMPTY && i == N_JOBS) break;
        if (rc == ERR_EMPTY) now_ns = the.jobs[i].at_ns;
    }
    b.stats(b.self, &stats);
    out->steps = stats.steps;
    out->put_back = stats.put_back;
    b.close(b.self);
    for (i = 0; i < N_JOBS; i++)
        job_close(&jobs[i]);
}

static void compare(const struct ends *a, const struct ends *b, int seed)
{
    for (int i = 0; i < N_JOBS; i++)
        if (a->at_s[i] <= 0 || fabs(a->at_s[i] - b->at_s[i]) > 1e-9 * b->at_s[i])
            ck_abort_msg("case %d, job %d: %.12f and %.12f s", seed, i + 1, a->at_s[i], b->at_s[i]);
    ck_assert_int_eq(a->steps, b->steps);
    ck_assert_int_eq(a->put_back, b->put_back);
}

START_TEST(the_closed_form_is_each_step_on_its_own)
{
    int64_t runs = 0, steps = 0, put_back = 0;
    struct ends closed, by_step;

    for (int seed = 0; seed < 800; seed++) {
        make_case((uint64_t)seed);
        run_batch(false, &closed);
        run_batch(true, &by_step);
        compare(&closed, &by_step, seed); /* B1 */
        runs += closed.runs;
        steps += by_step.steps;
        put_back += closed.put_back;
    }
    ck_assert_int_lt(runs, steps * 9 / 10); /* some were left out, and the cases are not all easy */
    ck_assert_int_gt(put_back, 50);
}
END_TEST

START_TEST(a_batch_does_what_a_simulated_instance_does)
{
    struct ends ours, theirs;

    for (int seed = 0; seed < 400; seed++) {
        make_case((uint64_t)seed);
        run_batch(false, &ours);
        run_sim(&theirs);
        compare(&ours, &theirs, seed);
    }
}
END_TEST

/* --- out before the end --- */

START_TEST(a_job_that_waits_is_dropped_at_once_and_one_that_runs_with_its_step)
{
    struct ends ends = {0};
    struct batching b;
    struct seqs p;
    int32_t s;

    seqs_init(&p);
    the.f = (struct simfile){
        .perf = {.k0 = 1000}, .kv_tokens = 100, .max_num_seqs = 1, .max_batched_tokens = 100};
    the.jobs[0] = the.jobs[1] = (struct arrival){0, 5, 10};
    open_batch(&b, false);
    put(&b, &p, 0);
    put(&b, &p, 1);
    ck_assert_int_eq(batching_drop(&b, &p, 1, false, 0.5), SEQ_NONE); /* it has begun */
    ck_assert_int_eq(b.n_unbegun, 1);
    s = batching_drop(&b, &p, 2, false, 0.5);
    ck_assert_int_ne(s, SEQ_NONE);
    p.at[s].next = SEQ_NONE;
    seqs_free(&p, s);
    ck_assert_int_eq(b.n_unbegun, 0);
    advance(&b, &p, &ends); /* the prompt */
    ck_assert_double_eq_tol(batching_due_s(&b), 10, 1e-9);
    ck_assert_int_eq(batching_drop(&b, &p, 1, true, 3.5), SEQ_NONE);
    ck_assert_double_eq_tol(batching_due_s(&b), 4, 1e-9);
    advance(&b, &p, &ends);
    ck_assert_double_eq_tol(ends.at_s[0], 4, 1e-9);
    ck_assert(isinf(batching_due_s(&b)));
    ck_assert_int_eq(b.kv_used, 0);
    batching_fini(&b, &p);
    seqs_fini(&p);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("batching");
    TCase *t = tcase_create("batching");

    tcase_add_test(t, the_closed_form_is_each_step_on_its_own);
    tcase_add_test(t, a_batch_does_what_a_simulated_instance_does);
    tcase_add_test(t, a_job_that_waits_is_dropped_at_once_and_one_that_runs_with_its_step);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
