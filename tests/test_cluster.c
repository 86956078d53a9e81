/* test_cluster.c - the simulator: the same seed gives the same, nothing is lost, every policy gets
 * to the end. */
#include <math.h>
#include <string.h>

#include "base/mix.h"
#include "bench/cluster.h"
#include "tests/test.h"

#define N_INSTANCES 5

static struct {
    struct errmsg e;
    struct jobs *jobs;
    struct cluster_instance at[N_INSTANCES];
    struct cluster_opts o;
    struct cluster_result r;
    uint64_t digest; /* of all that was noted */
    int64_t noted;
    double sum_s;
    int64_t rest;
    unsigned char seen[100000];
} the;

static void note(void *arg, const struct cluster_note *n)
{
    uint64_t bits;

    (void)arg;
    ck_assert_int_eq(the.seen[n->job_id]++, 0); /* C2 */
    memcpy(&bits, &n->now_s, sizeof bits);
    the.digest = mix64(the.digest ^ bits) + mix64((uint64_t)n->job_id << 8 | (uint64_t)n->instance);
    the.sum_s += n->now_s;
    the.noted++;
}

static void rest(void *arg, const struct cluster_row *r, int64_t n)
{
    (void)arg;
    the.rest = n;
    for (int64_t i = 0; i < n; i++) {
        ck_assert_int_eq(the.seen[r[i].job_id], 0);
        ck_assert_int_ge(r[i].has, 0);
    }
}

static void draw(int64_t n, uint64_t seed)
{
    struct jobs_opts o = {
        .n = n, .seed = seed, .prompt = {1, 200}, .answer = {1, 60}, .max_tokens = 60};

    jobs_close(&the.jobs);
    ck_assert_msg(!jobs_open(&the.jobs, &o, &the.e), "%s", the.e.text);
}

/* The first twice as fast as the second, and so on; the last with little room. */
static void set_up(void)
{
    for (int i = 0; i < N_INSTANCES; i++) {
        double slow = 1 << i;

        the.at[i] = (struct cluster_instance){
            .is = {.model = 1,
                   .perf = {5 * slow, 8 * slow, 0.1 * slow, 1e-4 * slow, 0.05 * slow, 1e-4 * slow},
                   .kv_tokens = i == N_INSTANCES - 1 ? 400 : 100000,
                   .max_model_len = 4096,
                   .max_num_seqs = 16,
                   .max_batched_tokens = 256}};
    }
    the.o = (struct cluster_opts){.note = note};
    draw(3000, 1);
}

static void tear_down(void)
{
    jobs_close(&the.jobs);
}

static void run(void)
{
    struct cluster *c;

    memset(the.seen, 0, sizeof the.seen);
    the.digest = 0;
    the.sum_s = 0;
    the.noted = the.rest = 0;
    ck_assert_msg(!cluster_open(&c, &the.o, the.at, N_INSTANCES, the.jobs, &the.e), "%s",
                  the.e.text);
    ck_assert_msg(!cluster_run(c, &the.r, &the.e), "%s", the.e.text);
    cluster_close(&c);
}

START_TEST(c1_the_same_seed_gives_the_same_to_the_bit)
{
    uint64_t first;

    run();
    first = the.digest;
    run();
    ck_assert_uint_eq(the.digest, first);
    draw(3000, 2);
    run();
    ck_assert_uint_ne(the.digest, first);
}
END_TEST

START_TEST(c2_every_policy_does_each_row_once)
{
    for (int p = 0; p < POLICY_N; p++) {
        the.o.schedule.policy = (enum schedule_policy)p;
        run();
        ck_assert_msg(the.r.done == 3000 && the.noted == 3000 && !the.r.lost, "%s: %lld done",
                      POLICY_NAMES[p], (long long)the.r.done);
    }
}
END_TEST

START_TEST(the_closed_form_changes_nothing)
{
    double end_s, sum_s;

    run();
    end_s = the.r.end_s;
    sum_s = the.sum_s;
    the.o.by_step = true;
    run();
    ck_assert_double_le(fabs(the.r.end_s - end_s), 1e-9 * end_s);
    ck_assert_double_le(fabs(the.sum_s - sum_s), 1e-9 * sum_s);
}
END_TEST

START_TEST(what_an_instance_held_when_it_ended_is_done_by_others)
{
    the.at[0].end_s = 3;
    the.at[1].end_s = 5;
    the.at[2].join_s = 4;
    the.o.notice_s = 0.5;
    run();
    ck_assert_int_eq(the.r.lost, 0);
    ck_assert_int_eq(the.r.done, 3000);
    ck_assert_int_gt(the.r.redone, 0);
    ck_assert_int_le(the.r.redone, 2 * 16); /* in flight */
}
END_TEST

START_TEST(rows_that_nobody_is_left_for_are_not_lost)
{
    for (int i = 0; i < N_INSTANCES; i++)
        the.at[i].end_s = 2 + i;
    the.o.stop_s = 10;
    run();
    ck_assert_int_lt(the.r.done, 3000);
    ck_assert_int_eq(the.r.lost, 0);
}
END_TEST

START_TEST(what_is_left_is_told_when_19_of_20_are_done)
{
    the.o.rest = rest;
    run();
    ck_assert_int_ge(the.rest, 3000 / 20 - 16);
    ck_assert_int_le(the.rest, 3000 / 20);
}
END_TEST

START_TEST(rows_that_no_instance_holds_end_the_run_with_an_error)
{
    struct cluster *c;

    for (int i = 0; i < N_INSTANCES; i++)
        the.at[i].is.max_model_len = 100;
    ck_assert_int_eq(cluster_open(&c, &the.o, the.at, N_INSTANCES, the.jobs, &the.e), ERR_OK);
    ck_assert_int_eq(cluster_run(c, &the.r, &the.e), ERR_STALE);
    cluster_close(&c);
    the.at[2].is.perf = (struct perf){0};
    ck_assert_int_eq(cluster_open(&c, &the.o, the.at, N_INSTANCES, the.jobs, &the.e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(the.e.text, "instance 3"));
}
END_TEST

START_TEST(j1_a_row_is_a_function_of_the_seed_and_its_number)
{
    struct schedule_job a, b;
    int32_t answer = jobs_at(the.jobs, 77, &a);

    (void)jobs_at(the.jobs, 3, &b);
    ck_assert_int_eq(jobs_at(the.jobs, 77, &b), answer);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_int_eq(a.id, 78);
    ck_assert_int_eq(a.output_tokens, -1); /* not told */
}
END_TEST

START_TEST(a_trace_is_read_in_its_order)
{
    struct jobs_opts o = {.trace = "azure_llm_2023_conv.csv.gz", .in_order = true, .oracle = true};
    struct schedule_job first;

    jobs_close(&the.jobs);
    ck_assert_msg(!jobs_open(&the.jobs, &o, &the.e), "%s", the.e.text);
    ck_assert_int_eq(jobs_count(the.jobs), 19366);
    ck_assert_int_eq(jobs_at(the.jobs, 0, &first), 44);
    ck_assert_int_eq(first.prompt_tokens, 374);
    ck_assert_int_eq(first.output_tokens, 44);
    jobs_close(&the.jobs);
    o.trace = "no_such_file.csv.gz";
    ck_assert_int_eq(jobs_open(&the.jobs, &o, &the.e), ERR_IO);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster");
    TCase *t = tcase_create("cluster");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, c1_the_same_seed_gives_the_same_to_the_bit);
    tcase_add_test(t, c2_every_policy_does_each_row_once);
    tcase_add_test(t, the_closed_form_changes_nothing);
    tcase_add_test(t, what_an_instance_held_when_it_ended_is_done_by_others);
    tcase_add_test(t, rows_that_nobody_is_left_for_are_not_lost);
    tcase_add_test(t, what_is_left_is_told_when_19_of_20_are_done);
    tcase_add_test(t, rows_that_no_instance_holds_end_the_run_with_an_error);
    tcase_add_test(t, j1_a_row_is_a_function_of_the_seed_and_its_number);
    if (test_has_data()) tcase_add_test(t, a_trace_is_read_in_its_order);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
