/* test_sim.c - a simulated instance on a clock that the test holds, its file, and a cancel through
 * the runner. */
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "schema/endpoint.h"
#include "schema/wire.h"
#include "tests/process.h"
#include "tests/test.h"
#include "worker/runner.h"
#include "worker/sim.h"

#define MAX_JOBS 256
#define ONE_MS   1000000

/* Steps of 1 ms, whatever is in them. */
#define FILE_HEAD                                                                                  \
    "{\"name\":\"x\",\"model\":\"m\",\"k0\":1,\"kw\":0,\"k1\":0,\"k2\":0,\"k3\":0,\"k4\":0,"       \
    "\"max_model_len\":1000,\"max_num_seqs\":8"

static struct {
    int64_t now_ns;
    int waits;
    struct simfile f;
    struct backend b;
    struct errmsg e;
    int n_jobs, n_out;
    struct job *jobs[MAX_JOBS];   /* that were started */
    struct outcome out[MAX_JOBS]; /* in the order of their ends */
} sim;

static int64_t fake_now(void *arg)
{
    (void)arg;
    return sim.now_ns;
}

static void fake_wait(void *arg, int64_t ns)
{
    (void)arg;
    sim.waits++;
    if (ns > sim.now_ns) sim.now_ns = ns;
}

static int read_file(const char *rest)
{
    char text[2048];
    int n = snprintf(text, sizeof text, FILE_HEAD ",%s}", rest);

    return simfile_read(&sim.f, test_file("s.json", text, (size_t)n), &sim.e);
}

static void open_sim(const char *rest)
{
    static const struct sim_clock CLOCK = {fake_now, fake_wait, NULL};
    struct job_rules rules = {.default_max_tokens = 100};

    ck_assert_msg(!read_file(rest), "%s", sim.e.text);
    sim.now_ns = 5000 * (int64_t)ONE_MS;
    ck_assert_msg(!sim_open(&sim.b, &sim.f, &rules, &CLOCK, NULL, &sim.e), "%s", sim.e.text);
}

static struct job *job_of(int64_t id, const char *body)
{
    struct job *j = job_open(id, 0, ENDPOINT_COMPLETION, body, strlen(body));

    ck_assert_ptr_nonnull(j);
    return j;
}

/* A prompt of n tokens (the file's 4 bytes each, and the first one). */
static struct job *prompt_of(int64_t id, int n, int max_tokens)
{
    char body[8192], words[8000];

    memset(words, 'w', sizeof words);
    snprintf(body, sizeof body, "{\"prompt\":\"%.*s\",\"max_tokens\":%d}", 4 * (n - 1), words,
             max_tokens);
    return job_of(id, body);
}

static void start(struct job *j)
{
    ck_assert_ptr_null(sim.b.start(sim.b.self, j));
    ck_assert_int_lt(sim.n_jobs, MAX_JOBS);
    sim.jobs[sim.n_jobs++] = j;
}

static int step(void)
{
    int rc = sim.b.step(sim.b.self, &sim.e);

    while (sim.b.take(sim.b.self, &sim.out[sim.n_out]))
        ck_assert_int_lt(++sim.n_out, MAX_JOBS);
    return rc;
}

static void run(void)
{
    for (int i = 0; step() == ERR_OK; i++)
        ck_assert_int_lt(i, 100000);
}

static struct engine_stats stats(void)
{
    struct engine_stats s;

    sim.b.stats(sim.b.self, &s);
    return s;
}

static const struct outcome *outcome_of(int64_t id)
{
    for (int i = 0; i < sim.n_out; i++)
        if (((struct job *)sim.out[i].owner)->job_id == id) return &sim.out[i];
    ck_abort_msg("no outcome of job %lld", (long long)id);
}

static void close_sim(void)
{
    sim.b.close(sim.b.self);
    for (int i = 0; i < sim.n_out; i++)
        buf_fini(&sim.out[i].text);
    for (int i = 0; i < sim.n_jobs; i++)
        job_close(&sim.jobs[i]);
    sim.n_out = sim.n_jobs = sim.waits = 0;
}

/* --- time --- */

START_TEST(a_row_takes_its_prefill_and_its_decode_steps)
{
    const struct outcome *o;

    open_sim("\"kv_tokens\":1000,\"output_tokens\":3");
    sim.f.perf = (struct perf){.k0 = 10, .k1 = 2, .k2 = 1, .k3 = 5, .k4 = 0.5};
    start(prompt_of(1, 4, 50));
    run();
    o = outcome_of(1);
    ck_assert_int_eq(o->n_prompt, 4);
    ck_assert_int_eq(o->n_ids, 3);
    ck_assert_int_eq(o->finish, FINISH_STOP);
    /* 4 tokens of prefill see 1+2+3+4 tokens. */
    ck_assert_int_eq(o->first_ns - o->started_ns, (10 + 2 * 4 + 10) * (int64_t)ONE_MS);
    /* Two decode steps, which read 5 and 6 tokens. */
    ck_assert_int_eq(o->done_ns - o->first_ns,
                     (2 * (10 + 2 + 5)) * (int64_t)ONE_MS + (5 + 6) * (int64_t)ONE_MS / 2);
    ck_assert_int_eq(stats().steps, 3);
    ck_assert_int_eq(stats().prefill_tokens, 4);
    ck_assert_int_eq(stats().decode_tokens, 2);
    close_sim();
}
END_TEST

START_TEST(what_runs_together_shares_its_steps)
{
    open_sim("\"kv_tokens\":1000,\"output_tokens\":10");
    for (int i = 1; i <= 8; i++)
        start(prompt_of(i, 4, 50));
    run();
    ck_assert_int_eq(stats().steps, 10);
    ck_assert_int_eq(sim.now_ns, 5010 * (int64_t)ONE_MS);
    close_sim();
}
END_TEST

START_TEST(a_long_prompt_is_prefilled_in_chunks)
{
    open_sim("\"kv_tokens\":1000,\"output_tokens\":1,\"max_num_batched_tokens\":64");
    start(prompt_of(1, 200, 50));
    run();
    ck_assert_int_eq(stats().steps, 4);
    ck_assert_int_eq(stats().prefill_tokens, 200);
    close_sim();
}
END_TEST

START_TEST(time_scale_stretches_every_step_and_0_never_waits)
{
    open_sim("\"kv_tokens\":1000,\"output_tokens\":10,\"time_scale\":2.5");
    start(prompt_of(1, 4, 50));
    run();
    ck_assert_int_eq(sim.now_ns, 5025 * (int64_t)ONE_MS);
    close_sim();
    open_sim("\"kv_tokens\":1000,\"output_tokens\":10,\"time_scale\":0");
    start(prompt_of(1, 4, 50));
    run();
    ck_assert_int_eq(sim.n_out, 1);
    ck_assert_int_eq(sim.waits, 0);
    close_sim();
}
END_TEST

/* --- answers --- */

START_TEST(si1_an_answer_depends_on_id_and_body_alone)
{
    struct buf first;

    open_sim("\"kv_tokens\":1000,\"output_tokens\":[[0,1],[1,90]]");
    start(prompt_of(7, 5, 100));
    run();
    first = sim.out[0].text;
    for (int i = 1; i <= 20; i++) /* 7 again, in company; 8 has its body */
        start(prompt_of(i, i == 7 || i == 8 ? 5 : i, 100));
    run();
    for (int i = 1; i < sim.n_out; i++) {
        const struct job *j = sim.out[i].owner;
        bool same = sim.out[i].text.len == first.len &&
                    !memcmp(sim.out[i].text.data, first.data, first.len);

        ck_assert_msg(same == (j->job_id == 7), "job %lld", (long long)j->job_id);
    }
    close_sim();
}
END_TEST

START_TEST(lengths_are_spread_as_the_quantiles_say)
{
    int under = 0;

    open_sim("\"kv_tokens\":100000,\"output_tokens\":[[0,10],[0.5,20],[1,120]]");
    for (int i = 1; i <= 200; i++)
        start(prompt_of(i, 2, 500));
    run();
    for (int i = 0; i < sim.n_out; i++) {
        ck_assert_int_ge(sim.out[i].n_ids, 10);
        ck_assert_int_le(sim.out[i].n_ids, 120);
        under += sim.out[i].n_ids < 20;
    }
    ck_assert_int_gt(under, 70);
    ck_assert_int_lt(under, 130);
    close_sim();
}
END_TEST

START_TEST(max_tokens_cuts_and_says_so)
{
    open_sim("\"kv_tokens\":1000,\"output_tokens\":30");
    start(prompt_of(1, 4, 12));
    start(prompt_of(2, 4, 30));
    start(job_of(3, "{\"prompt\":\"x\",\"max_tokens\":40,\"ignore_eos\":true}"));
    start(job_of(4, "{\"prompt\":\"x\",\"max_tokens\":60,\"min_tokens\":50}"));
    run();
    ck_assert_int_eq(outcome_of(1)->n_ids, 12);
    ck_assert_int_eq(outcome_of(1)->finish, FINISH_LENGTH);
    ck_assert_int_eq(outcome_of(2)->n_ids, 30);
    ck_assert_int_eq(outcome_of(2)->finish, FINISH_STOP);
    ck_assert_int_eq(outcome_of(3)->n_ids, 40);
    ck_assert_int_eq(outcome_of(4)->n_ids, 50);
    close_sim();
}
END_TEST

START_TEST(as_max_tokens_is_what_the_row_asks_for)
{
    open_sim("\"kv_tokens\":1000,\"output_tokens\":\"max_tokens\"");
    start(prompt_of(1, 4, 77));
    run();
    ck_assert_int_eq(outcome_of(1)->n_ids, 77);
    ck_assert_int_eq(outcome_of(1)->finish, FINISH_LENGTH);
    close_sim();
}
END_TEST

/* --- memory --- */

START_TEST(si2_kv_is_never_exceeded_and_everybody_ends)
{
    open_sim("\"kv_tokens\":160,\"output_tokens\":60");
    for (int i = 1; i <= 30; i++)
        start(prompt_of(i, 10 + i, 60));
    for (int i = 0; step() == ERR_OK; i++) {
        ck_assert_int_ge(stats().kv_blocks_free, 0);
        ck_assert_int_lt(i, 100000);
    }
    ck_assert_int_eq(sim.n_out, 30);
    ck_assert_int_gt(stats().put_back, 0); /* it was tight */
    ck_assert_int_eq(stats().kv_blocks_free, 10);
    close_sim();
}
END_TEST

/* --- rows that do not run --- */

/* The map of a result that comes instead of a run. */
static const msgpack_object *refusal_of(struct job *j, int kind)
{
    static struct wire_msg m;
    static struct result *r;
    const struct wire_header head = {WIRE_MAGIC, WIRE_VERSION, WIRE_RESULTS, 1};

    wire_msg_fini(&m);
    result_free(&r);
    r = sim.b.start(sim.b.self, j);
    job_close(&j);
    ck_assert_ptr_nonnull(r);
    ck_assert_int_eq(r->kind, kind);
    ck_assert_msg(!wire_parse(&m, &head, sizeof head, r->packed.data, r->packed.len, &sim.e), "%s",
                  sim.e.text);
    return &m.map;
}

static void has_code(const msgpack_object *map, const char *code)
{
    char text[40];

    wire_copy(map, "code", text, sizeof text);
    ck_assert_str_eq(text, code);
}

START_TEST(a_row_fails_or_goes_back_for_its_own_reason)
{
    const msgpack_object *map;

    open_sim("\"kv_tokens\":100,\"output_tokens\":30");
    has_code(refusal_of(job_of(1, "{\"prompt\":"), WIRE_ERROR), "invalid_request");
    has_code(refusal_of(job_of(2, "{\"prompt\":\"x\",\"top_p\":3}"), WIRE_ERROR),
             "invalid_request");
    has_code(refusal_of(prompt_of(3, 1000, 1), WIRE_ERROR), "context_length_exceeded");
    map = refusal_of(prompt_of(4, 60, 50), WIRE_PUT_BACK);
    has_code(map, "does_not_fit");
    ck_assert_int_eq(wire_int(map, "need_tokens", 0), 110);
    ck_assert_int_eq(step(), ERR_EMPTY);
    close_sim();
}
END_TEST

START_TEST(an_abort_takes_one_and_the_others_go_on)
{
    struct job *waits = prompt_of(20, 4, 50), *runs = prompt_of(1, 4, 50);

    open_sim("\"kv_tokens\":1000,\"output_tokens\":10");
    start(runs);
    for (int i = 2; i <= 19; i++)
        start(prompt_of(i, 4, 50));
    start(waits);
    start(prompt_of(21, 4, 50));
    ck_assert_int_eq(step(), ERR_OK);
    sim.b.abort(sim.b.self, waits);
    sim.b.abort(sim.b.self, runs);
    run();
    ck_assert_int_eq(sim.n_out, 21);
    for (int i = 1; i <= 21; i++)
        ck_assert_int_eq(outcome_of(i)->finish == FINISH_ABORT, i == 1 || i == 20);
    ck_assert_int_eq(stats().kv_blocks_free, stats().kv_blocks);
    close_sim();
}
END_TEST

/* --- faults --- */

START_TEST(it_hangs_after_so_many_rows)
{
    int64_t steps;

    open_sim("\"kv_tokens\":1000,\"output_tokens\":10,\"hang_after_rows\":8");
    for (int i = 1; i <= 20; i++)
        start(prompt_of(i, 4, 50));
    while (sim.n_out < 8)
        ck_assert_int_eq(step(), ERR_OK);
    steps = stats().steps;
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(step(), ERR_OK); /* busy */
    ck_assert_int_eq(stats().steps, steps);
    ck_assert_int_eq(sim.n_out, 8);
    close_sim();
}
END_TEST

START_TEST(poison_waits_its_turn_and_then_ends_the_process)
{
    open_sim("\"kv_tokens\":1000,\"output_tokens\":10,\"poison\":\"arsenic\"");
    for (int i = 1; i <= 8; i++)
        start(prompt_of(i, 4, 50));
    signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
    start(job_of(9, "{\"prompt\":\"old arsenic\",\"max_tokens\":5}"));
    while (sim.n_out < 8)
        if (step()) _exit(1); /* it was not in a step yet */
    step();
}
END_TEST

START_TEST(each_finished_row_is_a_line_of_the_trace)
{
    char rest[700];
    struct buf lines;

    snprintf(rest, sizeof rest, "\"kv_tokens\":1000,\"output_tokens\":2,\"trace\":\"%s\"",
             test_path("trace"));
    open_sim(rest);
    start(prompt_of(4, 4, 50));
    start(prompt_of(5, 4, 50));
    run();
    close_sim();
    lines = process_read(test_path("trace"));
    ck_assert_str_eq(lines.data, "4 0\n5 0\n");
    buf_fini(&lines);
}
END_TEST

/* --- the runner --- */

static sem_t stepping, go;

static void held_wait(void *arg, int64_t ns)
{
    fake_wait(arg, ns);
    sem_post(&stepping);
    sem_wait(&go);
}

static struct result *wait_result(struct runner *r)
{
    struct pollfd p = {runner_fd(r), POLLIN, 0};
    struct result *res;

    while (!(res = runner_take(r)))
        ck_assert_int_eq(poll(&p, 1, 10000), 1);
    return res;
}

START_TEST(k3_a_cancelled_job_comes_back_within_one_step)
{
    static const struct sim_clock CLOCK = {fake_now, held_wait, NULL};
    struct job_rules rules = {.default_max_tokens = 100};
    struct runner *r;
    struct result *res;

    sem_init(&stepping, 0, 0);
    sem_init(&go, 0, 0);
    ck_assert_int_eq(read_file("\"kv_tokens\":1000,\"output_tokens\":50"), ERR_OK);
    ck_assert_int_eq(sim_open(&sim.b, &sim.f, &rules, &CLOCK, NULL, &sim.e), ERR_OK);
    ck_assert_int_eq(runner_open(&r, &sim.b, &sim.e), ERR_OK);
    runner_put(r, prompt_of(1, 4, 50));
    sem_wait(&stepping);
    runner_put(r, prompt_of(2, 4, 50)); /* not begun */
    runner_cancel(r, 2, "cancelled");
    runner_cancel(r, 3, "cancelled"); /* nobody knows it */
    sem_post(&go);
    res = wait_result(r); /* the next step has not begun, or is held */
    ck_assert_int_eq(res->job_id, 2);
    ck_assert_int_eq(res->kind, WIRE_PUT_BACK);
    ck_assert_ptr_nonnull(memmem(res->packed.data, res->packed.len, "cancelled", 9));
    result_free(&res);
    sem_wait(&stepping);
    runner_cancel(r, 1, "taken_back");
    sem_post(&go);
    res = wait_result(r);
    ck_assert_int_eq(res->job_id, 1);
    ck_assert_ptr_nonnull(memmem(res->packed.data, res->packed.len, "taken_back", 10));
    result_free(&res);
    runner_close(&r);
}
END_TEST

/* --- the file --- */

static void refuses(const char *rest, const char *says)
{
    ck_assert_int_eq(read_file(rest), ERR_FORMAT);
    ck_assert_msg(strstr(sim.e.text, says), "'%s' lacks '%s'", sim.e.text, says);
}

START_TEST(a_file_that_is_wrong_is_refused_by_name)
{
    refuses("\"output_tokens\":1", "kv_tokens is missing");
    refuses("\"kv_tokens\":10", "output_tokens is not");
    refuses("\"kv_tokens\":0,\"output_tokens\":1", "kv_tokens is not an integer from 1 to");
    refuses("\"kv_tokens\":10,\"output_tokens\":0", "output_tokens is not");
    refuses("\"kv_tokens\":10,\"output_tokens\":[[0.5,1],[0.4,2]]", "output_tokens is not");
    refuses("\"kv_tokens\":10,\"output_tokens\":[]", "output_tokens is not");
    refuses("\"kv_tokens\":10,\"output_tokens\":1,\"k5\":1", "k5 is no key");
    refuses("\"kv_tokens\":10,\"output_tokens\":1,\"k4\":1", "duplicate");
    refuses("\"kv_tokens\":10,\"output_tokens\":1,\"time_scale\":-1", "time_scale is not");
    refuses("\"kv_tokens\":10,\"output_tokens\":1,\"poison\":7", "poison is not a text");
    ck_assert_int_eq(simfile_read(&sim.f, test_path("none"), &sim.e), ERR_IO);
}
END_TEST

START_TEST(the_example_is_read)
{
    ck_assert_msg(!simfile_read(&sim.f, "examples/sim.json", &sim.e), "%s", sim.e.text);
    ck_assert_int_gt(sim.f.n_quantiles, 2);
    ck_assert_int_eq(simfile_output_tokens(&sim.f, 0), sim.f.quantiles[0].tokens);
    ck_assert_int_eq(simfile_output_tokens(&sim.f, 1),
                     sim.f.quantiles[sim.f.n_quantiles - 1].tokens);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sim");
    TCase *t = tcase_create("sim");

    tcase_add_test(t, a_row_takes_its_prefill_and_its_decode_steps);
    tcase_add_test(t, what_runs_together_shares_its_steps);
    tcase_add_test(t, a_long_prompt_is_prefilled_in_chunks);
    tcase_add_test(t, time_scale_stretches_every_step_and_0_never_waits);
    tcase_add_test(t, si1_an_answer_depends_on_id_and_body_alone);
    tcase_add_test(t, lengths_are_spread_as_the_quantiles_say);
    tcase_add_test(t, max_tokens_cuts_and_says_so);
    tcase_add_test(t, as_max_tokens_is_what_the_row_asks_for);
    tcase_add_test(t, si2_kv_is_never_exceeded_and_everybody_ends);
    tcase_add_test(t, a_row_fails_or_goes_back_for_its_own_reason);
    tcase_add_test(t, an_abort_takes_one_and_the_others_go_on);
    tcase_add_test(t, it_hangs_after_so_many_rows);
    tcase_add_test_raise_signal(t, poison_waits_its_turn_and_then_ends_the_process, SIGSEGV);
    tcase_add_test(t, each_finished_row_is_a_line_of_the_trace);
    tcase_add_test(t, k3_a_cancelled_job_comes_back_within_one_step);
    tcase_add_test(t, a_file_that_is_wrong_is_refused_by_name);
    tcase_add_test(t, the_example_is_read);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
