/* test_schedule_tail.c - the end of a batch: who has the last jobs, what moves, what runs twice. */
#include "broker/schedule.h"
#include "tests/decisions.h"
#include "tests/test.h"

static struct schedule *s;
static double now_s;

static void open_with(const struct schedule_opts *o)
{
    struct errmsg e;

    schedule_close(&s);
    ck_assert_int_eq(schedule_open(&s, o, &e), ERR_OK);
    now_s = 100;
}

static void setup(void)
{
    open_with(&(struct schedule_opts){.policy = POLICY_SIZED});
}

static void teardown(void)
{
    schedule_close(&s);
}

static int tell(struct schedule_event ev)
{
    return schedule_event(s, &ev, now_s);
}

/* So many times as slow as 10 ms a step. */
static void join(int64_t id, double slow)
{
    struct schedule_instance is = {.id = id,
                                   .model = 1,
                                   .perf = {.kw = 10 * slow, .k1 = 0.01 * slow},
                                   .kv_tokens = 1000000,
                                   .max_model_len = 4096,
                                   .max_num_seqs = 4};

    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_JOIN, .instance = &is}), ERR_OK);
}

static void put(int64_t first, int n, int32_t answer)
{
    for (int k = 0; k < n; k++) {
        struct schedule_job j = {.id = first + k,
                                 .batch = 1,
                                 .model = 1,
                                 .prompt_tokens = 100,
                                 .max_tokens = 1000,
                                 .output_tokens = answer};

        ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_READY, .job = &j}), ERR_OK);
    }
}

static void ask(int64_t id, int64_t rows)
{
    ck_assert_int_eq(
        tell((struct schedule_event){.kind = EVENT_ASK, .id = id, .rows = rows, .tokens = 1 << 20}),
        ERR_OK);
}

static void beat(int64_t id, int64_t unbegun)
{
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_BEAT, .id = id, .rows = unbegun}),
                     ERR_OK);
}

static int done(int64_t id, int64_t job_id)
{
    return tell((struct schedule_event){.kind = EVENT_DONE,
                                        .id = id,
                                        .job_id = job_id,
                                        .prompt_tokens = 100,
                                        .output_tokens = 100});
}

static void tick(double by_s)
{
    now_s += by_s;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_TICK}), ERR_OK);
}

/* The slow one holds one job that it has begun, the fast one nothing. */
static void slow_holds_the_last(void)
{
    join(1, 20);
    put(1, 1, 100);
    ask(1, 10);
    ck_assert_int_eq(decisions_rows(s, 1), 1);
    beat(1, 0);
    join(2, 1);
    ask(2, 10);
}

START_TEST(the_slow_one_is_not_given_what_the_fast_one_ends_sooner)
{
    join(1, 20);
    join(2, 1);
    tick(0.25);
    put(1, 8, 100);
    ask(2, 100);
    ck_assert(schedule_in_tail(s));
    ck_assert_int_ge(decisions_rows(s, 2), 4);
    ask(1, 100);
    tick(0.25);
    ck_assert_int_eq(decisions_rows(s, 1),
                     0); /* 20 seconds each: the other is done with all in 2 */
}
END_TEST

/* Five jobs a second: four at once in a second, and in four. */
START_TEST(the_tail_is_as_long_as_a_long_job_takes_the_slowest)
{
    open_with(&(struct schedule_opts){.policy = POLICY_SIZED, .horizon_s = 1});
    join(1, 4);
    join(2, 1);
    put(1, 24, 100);
    ask(1, 8);
    ask(2, 8);
    put(25, 40, 100);
    tick(0.25);
    ck_assert(schedule_in_tail(s)); /* 8 s, and a long job takes 12 */
    put(65, 40, 100);
    tick(0.25);
    ck_assert(!schedule_in_tail(s)); /* 16 s */
}
END_TEST

/* The fast one has had jobs of ten seconds; those that are left take it a tenth of one. */
START_TEST(what_is_left_tells_when_all_could_be_done)
{
    join(1, 20);
    join(2, 1);
    put(1, 4, 1000);
    ask(2, 100);
    beat(2, 0);
    for (int64_t k = 1; k <= 4; k++)
        ck_assert_int_eq(done(2, k), ERR_OK);
    tick(0.25);
    put(11, 8, 10);
    now_s += 0.2;
    ask(1, 10);
    ck_assert(schedule_in_tail(s));
    ck_assert(schedule_pooled(s) > 0);
    ck_assert_int_eq(decisions_rows(s, 1), 0);
}
END_TEST

START_TEST(both_have_jobs_while_there_are_enough)
{
    join(1, 2);
    join(2, 1);
    put(1, 400, 100);
    ask(1, 1000);
    ask(2, 1000);
    tick(0.25);
    ck_assert_int_ge(decisions_rows(s, 1), 4);
    ck_assert_int_ge(decisions_rows(s, 2), 4);
}
END_TEST

START_TEST(a_straggler_runs_a_second_time_where_it_ends_sooner)
{
    slow_holds_the_last();
    ck_assert_int_eq(decisions_said(s, DECIDE_COPY, 2), 1);
    ck_assert_int_eq(decisions_nth(s, DECIDE_COPY, 0)->job_id, 1);
    ck_assert_int_eq(decisions_rows(s, 2), 1);
    ck_assert_int_eq(decisions_rows(s, 1), 1); /* S1: two have it */
    tick(0.25);
    ck_assert_int_eq(decisions_said(s, DECIDE_COPY, 0), 0); /* S1: nobody else */
}
END_TEST

START_TEST(the_loser_of_a_copy_is_told_to_stop)
{
    slow_holds_the_last();
    tick(0.25);
    ck_assert_int_eq(done(2, 1), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_STOP, 1), 1);
    ck_assert_int_eq(decisions_nth(s, DECIDE_STOP, 0)->job_id, 1);
    ck_assert_int_eq(decisions_rows(s, 1), 0);
    ck_assert_int_eq(done(1, 1), ERR_STALE); /* late, and harmless */
}
END_TEST

START_TEST(a_copy_goes_on_when_the_first_leaves)
{
    slow_holds_the_last();
    tick(0.25);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_LEAVE, .id = 1}), ERR_OK);
    ck_assert_uint_eq(schedule_pooled(s), 0);
    ck_assert_int_eq(decisions_rows(s, 2), 1);
    ck_assert_int_eq(done(2, 1), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_STOP, 0), 0);
}
END_TEST

START_TEST(copies_and_the_tail_can_be_left_out)
{
    open_with(&(struct schedule_opts){.policy = POLICY_SIZED, .no_copies = true});
    slow_holds_the_last();
    tick(0.25);
    ck_assert_int_eq(decisions_rows(s, 2), 0);
    open_with(&(struct schedule_opts){.policy = POLICY_SIZED, .no_tail = true});
    slow_holds_the_last();
    tick(0.25);
    ck_assert_int_eq(decisions_rows(s, 2), 0);
    ck_assert(!schedule_in_tail(s));
}
END_TEST

START_TEST(instances_of_one_process_do_not_copy_each_other)
{
    struct schedule_instance is = {
        .id = 2, .model = 1, .host = 7, .perf = {.kw = 10}, .max_num_seqs = 4};

    is.id = 1, is.perf.kw = 200;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_JOIN, .instance = &is}), ERR_OK);
    put(1, 1, 100);
    ask(1, 10);
    is.id = 2, is.perf.kw = 10;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_JOIN, .instance = &is}), ERR_OK);
    beat(1, 0);
    ask(2, 10);
    tick(0.25);
    ck_assert_int_eq(decisions_rows(s, 2), 0);
}
END_TEST

/* The slow one holds ten jobs of 2 s, four at a time; six have not begun. */
static void slow_holds_ten(void)
{
    open_with(&(struct schedule_opts){.policy = POLICY_SIZED, .no_copies = true});
    join(1, 20);
    put(1, 10, 100);
    ask(1, 10);
    while (decisions_rows(s, 1) < 10) {
        beat(1, 0); /* it says it has begun all: it is given more */
        tick(0.25);
    }
    beat(1, 6);
    join(2, 1);
}

START_TEST(what_has_not_begun_is_taken_back_for_who_begins_it_sooner)
{
    slow_holds_ten();
    ask(2, 10);
    ck_assert_int_ge(decisions_said(s, DECIDE_TAKE_BACK, 1), 1);
    ck_assert_int_le(decisions_said(s, DECIDE_TAKE_BACK, 1), 6);         /* S7 */
    ck_assert_int_eq(decisions_nth(s, DECIDE_TAKE_BACK, 0)->job_id, 10); /* the latest */
    ck_assert_int_eq(decisions_rows(s, 1), 10);                          /* until it says so */
    ck_assert_int_eq(
        tell((struct schedule_event){.kind = EVENT_BACK, .id = 1, .job_id = 10, .ready = true}),
        ERR_OK);
    ck_assert_int_eq(decisions_rows(s, 1), 9);
    ck_assert_int_eq(decisions_rows(s, 2), 1);
}
END_TEST

START_TEST(what_has_begun_is_not_taken_back)
{
    slow_holds_ten();
    beat(1, 0);
    ask(2, 10);
    tick(0.25);
    ck_assert_int_eq(decisions_said(s, DECIDE_TAKE_BACK, 0), 0); /* S7 */
}
END_TEST

static Suite *suite(void)
{
    Suite *x = suite_create("schedule_tail");
    TCase *t = tcase_create("schedule_tail");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_slow_one_is_not_given_what_the_fast_one_ends_sooner);
    tcase_add_test(t, the_tail_is_as_long_as_a_long_job_takes_the_slowest);
    tcase_add_test(t, what_is_left_tells_when_all_could_be_done);
    tcase_add_test(t, both_have_jobs_while_there_are_enough);
    tcase_add_test(t, a_straggler_runs_a_second_time_where_it_ends_sooner);
    tcase_add_test(t, the_loser_of_a_copy_is_told_to_stop);
    tcase_add_test(t, a_copy_goes_on_when_the_first_leaves);
    tcase_add_test(t, copies_and_the_tail_can_be_left_out);
    tcase_add_test(t, instances_of_one_process_do_not_copy_each_other);
    tcase_add_test(t, what_has_not_begun_is_taken_back_for_who_begins_it_sooner);
    tcase_add_test(t, what_has_begun_is_not_taken_back);
    suite_add_tcase(x, t);
    return x;
}

TEST_MAIN(suite)
