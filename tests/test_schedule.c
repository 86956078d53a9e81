/* test_schedule.c - who does what: facts about single events.  Its invariants under many random
 * ones are in test_schedule_random.c. */
#include <string.h>

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

static void open_policy(enum schedule_policy p)
{
    open_with(&(struct schedule_opts){.policy = p});
}

static void setup(void)
{
    open_policy(POLICY_SIZED);
}

static void teardown(void)
{
    schedule_close(&s);
}

static int tell(struct schedule_event ev)
{
    return schedule_event(s, &ev, now_s);
}

static struct schedule_instance instance(int64_t id)
{
    return (struct schedule_instance){.id = id,
                                      .model = 1,
                                      .perf = {.k0 = 1, .kw = 9, .k1 = 0.05, .k3 = 0.01},
                                      .kv_tokens = 1000000,
                                      .max_model_len = 4096,
                                      .max_num_seqs = 16,
                                      .prefix_caching = true};
}

static void join_as(struct schedule_instance is)
{
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_JOIN, .instance = &is}), ERR_OK);
}

static void join(int64_t id)
{
    join_as(instance(id));
}

static struct schedule_job job(int64_t id)
{
    return (struct schedule_job){.id = id,
                                 .batch = 1,
                                 .model = 1,
                                 .prompt_tokens = 100,
                                 .max_tokens = 100,
                                 .output_tokens = -1};
}

static int put(struct schedule_job j)
{
    return tell((struct schedule_event){.kind = EVENT_READY, .job = &j});
}

static void put_n(int64_t first, int n)
{
    for (int k = 0; k < n; k++)
        ck_assert_int_eq(put(job(first + k)), ERR_OK);
}

static void ask(int64_t id, int64_t rows)
{
    ck_assert_int_eq(
        tell((struct schedule_event){.kind = EVENT_ASK, .id = id, .rows = rows, .tokens = 1 << 20}),
        ERR_OK);
}

static int done(int64_t id, int64_t job_id)
{
    return tell((struct schedule_event){
        .kind = EVENT_DONE, .id = id, .job_id = job_id, .prompt_tokens = 100, .output_tokens = 50});
}

static int back(int64_t id, int64_t job_id, bool ready)
{
    return tell(
        (struct schedule_event){.kind = EVENT_BACK, .id = id, .job_id = job_id, .ready = ready});
}

static void tick(void)
{
    now_s += 1;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_TICK}), ERR_OK);
}

/* One that takes all that it is given. */
static void join_roomy(int64_t id)
{
    struct schedule_instance is = instance(id);

    is.max_num_seqs = 256;
    join_as(is);
}

START_TEST(who_asks_is_granted_what_is_pooled)
{
    join(1);
    put_n(1, 3);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 0), 0); /* nobody asked */
    ask(1, 10);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 1), 3);
    ck_assert_int_eq(decisions_nth(s, DECIDE_GRANT, 0)->job_id, 1);
    ck_assert_int_eq(decisions_nth(s, DECIDE_GRANT, 2)->job_id, 3);
    ck_assert_uint_eq(schedule_pooled(s), 0);
    ck_assert_int_eq(decisions_rows(s, 1), 3);
}
END_TEST

START_TEST(an_ask_stands_until_it_is_used_up)
{
    join(1);
    ask(1, 2);
    put_n(1, 1);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 1), 1); /* S5 */
    put_n(2, 2);
    tick();
    ck_assert_int_eq(decisions_rows(s, 1), 2);
    ck_assert_uint_eq(schedule_pooled(s), 1);
    ck_assert_int_eq(done(1, 1), ERR_OK);
    ck_assert_int_eq(decisions_rows(s, 1), 1);
    ask(1, 2);
    ck_assert_int_eq(decisions_rows(s, 1), 2);
}
END_TEST

START_TEST(what_is_not_known_or_known_already_is_stale)
{
    join(1);
    put_n(1, 1);
    ck_assert_int_eq(put(job(1)), ERR_STALE);
    ck_assert_int_eq(done(1, 2), ERR_STALE);
    ck_assert_int_eq(back(1, 1, true), ERR_STALE); /* it holds nothing */
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_LEAVE, .id = 2}), ERR_STALE);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_ASK, .id = 2}), ERR_STALE);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_BEAT, .id = 2}), ERR_STALE);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_UNREADY, .id = 2}), ERR_STALE);
    ck_assert_uint_eq(schedule_pooled(s), 1);
    ask(1, 1);
    ck_assert_int_eq(done(1, 1), ERR_OK);
    ck_assert_int_eq(done(1, 1), ERR_STALE);
    ck_assert_int_eq(put(job(1)), ERR_OK); /* an id may come again once it has ended */
}
END_TEST

START_TEST(what_an_instance_held_is_back_in_the_pool_in_order_when_it_leaves)
{
    join(1);
    join(2);
    put_n(1, 3);
    ask(1, 2);
    ck_assert_int_eq(decisions_rows(s, 1), 2);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_LEAVE, .id = 1}), ERR_OK);
    ck_assert_uint_eq(schedule_pooled(s), 3);
    ask(2, 9);
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(decisions_nth(s, DECIDE_GRANT, k)->job_id, k + 1);
}
END_TEST

START_TEST(what_an_instance_held_before_is_its_own)
{
    struct schedule_job held = job(7);

    join(1);
    ck_assert(!tell((struct schedule_event){.kind = EVENT_HELD, .id = 1, .job = &held}));
    ck_assert_int_eq(decisions_rows(s, 1), 1);
    ck_assert_uint_eq(schedule_pooled(s), 0);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_HELD, .id = 1, .job = &held}),
                     ERR_STALE);
    held.id = 8;
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_HELD, .id = 2, .job = &held}),
                     ERR_STALE);
    ck_assert_int_eq(put(job(7)), ERR_STALE); /* S1: nobody else is given it */
    ck_assert(!done(1, 7));
    ck_assert_int_eq(decisions_rows(s, 1), 0);
}
END_TEST

START_TEST(a_job_that_came_back_is_granted_anew_only_if_it_is_ready)
{
    join(1);
    join(2);
    put_n(1, 2);
    ask(1, 2);
    ask(2, 2);
    ck_assert_int_eq(back(1, 1, true), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 2), 1);
    ck_assert_int_eq(back(1, 2, false), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 0), 0);
    ck_assert_int_eq(put(job(2)), ERR_OK); /* it was forgotten */
}
END_TEST

START_TEST(a_job_that_is_not_ready_any_more_is_granted_to_nobody)
{
    join(1);
    put_n(1, 2);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_UNREADY, .id = 1}), ERR_OK);
    ask(1, 5);
    ck_assert_int_eq(decisions_rows(s, 1), 1);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_UNREADY, .id = 2}), ERR_OK);
    ck_assert_int_eq(decisions_rows(s, 1), 1); /* granted: until it ends */
    ck_assert_int_eq(back(1, 2, true), ERR_OK);
    ck_assert_uint_eq(schedule_pooled(s), 0);
}
END_TEST

START_TEST(the_answers_of_a_batch_tell_how_long_its_next_ones_will_be)
{
    const struct schedule_job next = {
        .id = 1000, .batch = 1, .model = 1, .prompt_tokens = 100, .output_tokens = -1};
    size_t n;

    join(1);
    ask(1, 1000);
    for (int64_t id = 1; id <= 200; id++) {
        ck_assert_int_eq(put(job(id)), ERR_OK);
        ck_assert_int_eq(tell((struct schedule_event){
                             .kind = EVENT_DONE, .id = 1, .job_id = id, .output_tokens = 20}),
                         ERR_OK);
    }
    ck_assert_int_eq(put(next), ERR_OK);
    ck_assert_uint_eq(schedule_decisions(s, &n)->verdict, DECIDE_GRANT);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_ge(schedule_decisions(s, &n)->tokens, 100 + 20);
    ck_assert_int_le(schedule_decisions(s, &n)->tokens, 100 + 20 + 5); /* not 256 */
}
END_TEST

START_TEST(the_pool_is_filled_from_what_lies_behind_it)
{
    struct schedule_event backlog = {.kind = EVENT_BACKLOG, .rows = 50, .tokens = 10000};

    open_with(&(struct schedule_opts){.policy = POLICY_SIZED, .pool_rows = 20});
    ck_assert_int_eq(tell(backlog), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_READ, 0), 1);
    ck_assert_int_eq(decisions_nth(s, DECIDE_READ, 0)->n, 20);
    put_n(1, 20);
    ck_assert_int_eq(decisions_said(s, DECIDE_READ, 0), 0); /* full */
    backlog.rows = 3;
    ck_assert_int_eq(tell(backlog), ERR_OK);
    join(1);
    ask(1, 12);
    ck_assert_int_eq(decisions_nth(s, DECIDE_READ, 0)->n, 3);
    tick();
    ck_assert_int_eq(decisions_said(s, DECIDE_READ, 0), 0); /* it was asked for */
    backlog.rows = 0;
    ck_assert_int_eq(tell(backlog), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_READ, 0), 0);
}
END_TEST

START_TEST(jobs_of_a_model_go_to_instances_that_hold_it)
{
    struct schedule_instance other = instance(2);
    struct schedule_job j = job(1);

    other.model = 2;
    join(1);
    join_as(other);
    ask(1, 9);
    j.model = 2;
    ck_assert_int_eq(put(j), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 0), 0);
    ask(2, 9);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 2), 1);
    j = job(2);
    j.model = 0; /* any */
    ck_assert_int_eq(put(j), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 1), 1);
}
END_TEST

START_TEST(the_smallest_priority_is_granted_first)
{
    join_roomy(1);
    for (int k = 0; k < 30; k++) {
        struct schedule_job j = job(k + 1);

        j.priority = (k * 7) % 5 - 2;
        j.model = k % 2;
        ck_assert_int_eq(put(j), ERR_OK);
    }
    ask(1, 30);
    for (int k = 0, before = -2; k < 30; k++) { /* S3 */
        int p = (((int)decisions_nth(s, DECIDE_GRANT, k)->job_id - 1) * 7) % 5 - 2;

        ck_assert_int_ge(p, before);
        before = p;
    }
}
END_TEST

START_TEST(batches_of_one_priority_are_given_alike)
{
    int n[3] = {0, 0, 0};

    join_roomy(1);
    for (int k = 0; k < 100; k++) {
        struct schedule_job j = job(k + 1);

        j.batch = k < 80 ? 1 : 2; /* the second is small, and behind */
        ck_assert_int_eq(put(j), ERR_OK);
    }
    ask(1, 20);
    for (int k = 0; k < 20; k++)
        n[decisions_nth(s, DECIDE_GRANT, k)->job_id > 80 ? 2 : 1]++;
    ck_assert_int_eq(n[1], 10); /* S4 */
    ck_assert_int_eq(n[2], 10);
}
END_TEST

START_TEST(a_batch_that_comes_later_starts_even)
{
    int n[3] = {0, 0, 0};

    join_roomy(1);
    put_n(1, 100);
    ask(1, 40);
    for (int k = 0; k < 40; k++) {
        struct schedule_job j = job(200 + k);

        j.batch = 2;
        ck_assert_int_eq(put(j), ERR_OK);
    }
    ask(1, 20);
    for (int k = 0; k < 20; k++)
        n[decisions_nth(s, DECIDE_GRANT, k)->job_id >= 200 ? 2 : 1]++;
    ck_assert_int_eq(n[2], 10); /* S4: not the 40 that the first one had before */
}
END_TEST

START_TEST(siblings_of_a_prefix_go_to_one_instance)
{
    int64_t home[4] = {0, 0, 0, 0};

    join(1);
    join(2);
    for (int k = 0; k < 24; k++) {
        struct schedule_job j = job(k + 1);

        j.group = 1 + k % 3; /* they come mixed */
        ck_assert_int_eq(put(j), ERR_OK);
    }
    for (int k = 0; k < 12; k++) {
        int64_t id = 1 + k % 2;

        ask(id, 1);
        for (int n = 0; n < decisions_said(s, DECIDE_GRANT, id); n++) {
            int64_t *h = &home[1 + (decisions_nth(s, DECIDE_GRANT, n)->job_id - 1) % 3];

            if (!*h) *h = id;
            ck_assert_int_eq(*h, id);
        }
    }
    ck_assert(home[1] && home[2]);
}
END_TEST

START_TEST(a_group_is_shared_where_an_instance_would_have_nothing)
{
    join(1);
    join(2);
    for (int k = 0; k < 8; k++) {
        struct schedule_job j = job(k + 1);

        j.group = 1;
        ck_assert_int_eq(put(j), ERR_OK);
    }
    ask(1, 1);
    ask(2, 1);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 2), 1); /* S5 */
}
END_TEST

START_TEST(a_job_goes_only_where_it_fits)
{
    struct schedule_instance small = instance(1), large = instance(2);
    struct schedule_job j = job(1);

    small.kv_tokens = 500;
    large.kv_tokens = 2000;
    join_as(small);
    ask(1, 9);
    j.prompt_tokens = 600; /* an estimate: there is no better place yet */
    ck_assert_int_eq(put(j), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 1), 1);
    join_as(large);
    j.id = 2;
    ck_assert_int_eq(put(j), ERR_OK);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 0), 0);
    ask(2, 9);
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 2), 1); /* S2 */
    j.id = 3, j.need_tokens = 3000;                          /* found to be needed: nobody's */
    ck_assert_int_eq(put(j), ERR_OK);
    tick();
    ck_assert_int_eq(decisions_said(s, DECIDE_GRANT, 0), 0);
}
END_TEST

START_TEST(no_more_is_granted_than_the_memory_holds_and_a_little)
{
    struct schedule_instance is = instance(1);
    struct schedule_view v;

    is.kv_tokens = 3000;
    is.max_num_seqs = 256;
    join_as(is);
    put_n(1, 500);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_BACKLOG, .rows = 10000}), ERR_OK);
    ask(1, 500);
    ck_assert_int_eq(schedule_look(s, 1, &v), ERR_OK);
    ck_assert_int_ge(v.tokens, 2500);
    ck_assert_int_le(v.tokens, 6000); /* S2 */
}
END_TEST

START_TEST(who_takes_nothing_does_not_bring_the_end_nearer)
{
    struct schedule_instance slow = instance(2), silent = instance(3);

    join(1);
    slow.perf.k0 = slow.perf.kw = 20;
    join_as(slow);
    for (silent.perf.k0 = 2; silent.id < 43; silent.id++) {
        join_as(silent);
        ask(silent.id, 0); /* stalled, or draining */
    }
    put_n(1, 400);
    tick();
    ck_assert(schedule_in_tail(s));
    ask(1, 1000);
    ask(2, 1000);
    ck_assert_int_gt(decisions_rows(s, 1), 0);
    ck_assert_int_gt(decisions_rows(s, 2), 0); /* S5: there is enough to do for both */
}
END_TEST

START_TEST(instances_in_turn_have_as_many_rows_each)
{
    open_policy(POLICY_ROUND_ROBIN);
    for (int k = 1; k <= 3; k++) {
        join(k);
        ask(k, k == 3 ? 2 : 100);
    }
    put_n(1, 30);
    ck_assert_int_eq(decisions_rows(s, 1),
                     3); /* the third had its two, and the turn waits for it */
    ck_assert_int_eq(decisions_rows(s, 2), 3);
    ck_assert_int_eq(decisions_rows(s, 3), 2);
    ask(3, 100);
    for (int k = 1; k <= 3; k++)
        ck_assert_int_eq(decisions_rows(s, k), 10);
}
END_TEST

START_TEST(weighted_turns_follow_speed)
{
    struct schedule_instance fast = instance(2);

    open_policy(POLICY_WEIGHTED);
    fast.perf = (struct perf){.k0 = 0.25, .kw = 2.25, .k1 = 0.0125, .k3 = 0.0025};
    join(1);
    join_as(fast);
    ask(1, 1000);
    ask(2, 1000);
    put_n(1, 500);
    ck_assert_int_eq(decisions_rows(s, 1) + decisions_rows(s, 2), 500);
    ck_assert_int_ge(decisions_rows(s, 1), 95); /* one of five */
    ck_assert_int_le(decisions_rows(s, 1), 105);
}
END_TEST

START_TEST(the_fewest_tokens_have_the_next_row)
{
    struct schedule_job j = job(1);

    open_policy(POLICY_LEAST_TOKENS);
    join(1);
    join(2);
    ask(1, 100);
    ask(2, 100);
    j.prompt_tokens = 1000;
    ck_assert_int_eq(put(j), ERR_OK);
    put_n(2, 4);
    ck_assert_int_eq(decisions_rows(s, 1), 1);
    ck_assert_int_eq(decisions_rows(s, 2), 4);
}
END_TEST

START_TEST(the_reconstructed_load_weighs_time_and_memory)
{
    struct schedule_instance small = instance(2);

    open_policy(POLICY_LOAD);
    small.kv_tokens = 2000;
    join(1);
    join_as(small);
    ask(1, 1000);
    ask(2, 1000);
    put_n(1, 100);
    ck_assert_int_eq(decisions_rows(s, 1) + decisions_rows(s, 2), 100);
    ck_assert_int_ge(decisions_rows(s, 1), 90); /* as fast, and far roomier */
    ck_assert_int_ge(decisions_rows(s, 2), 1);
}
END_TEST

START_TEST(who_pulls_gets_as_many_as_he_runs_at_once)
{
    open_policy(POLICY_PULL);
    join(1);
    put_n(1, 100);
    ask(1, 100);
    ck_assert_int_eq(decisions_rows(s, 1), 16);
    ck_assert_int_eq(done(1, 1), ERR_OK);
    ck_assert_int_eq(decisions_rows(s, 1), 15 + 16);
}
END_TEST

START_TEST(leases_of_a_fixed_size_are_of_that_size)
{
    open_with(&(struct schedule_opts){.policy = POLICY_PULL, .lease_rows = 7});
    join(1);
    put_n(1, 100);
    ask(1, 100);
    ck_assert_int_eq(decisions_rows(s, 1), 7);
}
END_TEST

/* Four at a time, each done `each_s` after the one before it; what is expected of it then. */
static double rate_of_one_that_takes(double each_s)
{
    struct schedule_instance is = instance(1);
    struct schedule_view v;

    open_policy(POLICY_SIZED);
    is.max_num_seqs = 4;
    join_as(is);
    put_n(1, 1000);
    ck_assert_int_eq(tell((struct schedule_event){.kind = EVENT_BACKLOG, .rows = 1000}), ERR_OK);
    ask(1, 1000);
    for (int64_t k = 1; k <= 300; k++) {
        now_s += each_s;
        ck_assert_int_eq(done(1, k), ERR_OK);
    }
    ck_assert_int_eq(schedule_look(s, 1, &v), ERR_OK);
    return v.tokens_per_s;
}

START_TEST(an_instance_that_is_slower_than_its_model_is_found_out)
{
    double fast = rate_of_one_that_takes(0.15), slow = rate_of_one_that_takes(0.225);

    ck_assert_double_eq_tol(fast / slow, 1.5, 0.1);
}
END_TEST

START_TEST(every_policy_has_a_name)
{
    for (int k = 0; k < POLICY_N; k++)
        ck_assert(POLICY_NAMES[k] && strlen(POLICY_NAMES[k]) > 3);
    ck_assert_str_eq(POLICY_NAMES[POLICY_SIZED], "sized");
    ck_assert_str_eq(POLICY_NAMES[POLICY_LOAD], "load");
}
END_TEST

static Suite *suite(void)
{
    Suite *x = suite_create("schedule");
    TCase *t = tcase_create("schedule");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, who_asks_is_granted_what_is_pooled);
    tcase_add_test(t, an_ask_stands_until_it_is_used_up);
    tcase_add_test(t, what_is_not_known_or_known_already_is_stale);
    tcase_add_test(t, what_an_instance_held_is_back_in_the_pool_in_order_when_it_leaves);
    tcase_add_test(t, what_an_instance_held_before_is_its_own);
    tcase_add_test(t, a_job_that_came_back_is_granted_anew_only_if_it_is_ready);
    tcase_add_test(t, a_job_that_is_not_ready_any_more_is_granted_to_nobody);
    tcase_add_test(t, the_answers_of_a_batch_tell_how_long_its_next_ones_will_be);
    tcase_add_test(t, the_pool_is_filled_from_what_lies_behind_it);
    tcase_add_test(t, jobs_of_a_model_go_to_instances_that_hold_it);
    tcase_add_test(t, the_smallest_priority_is_granted_first);
    tcase_add_test(t, batches_of_one_priority_are_given_alike);
    tcase_add_test(t, a_batch_that_comes_later_starts_even);
    tcase_add_test(t, siblings_of_a_prefix_go_to_one_instance);
    tcase_add_test(t, a_group_is_shared_where_an_instance_would_have_nothing);
    tcase_add_test(t, a_job_goes_only_where_it_fits);
    tcase_add_test(t, no_more_is_granted_than_the_memory_holds_and_a_little);
    tcase_add_test(t, who_takes_nothing_does_not_bring_the_end_nearer);
    tcase_add_test(t, instances_in_turn_have_as_many_rows_each);
    tcase_add_test(t, weighted_turns_follow_speed);
    tcase_add_test(t, the_fewest_tokens_have_the_next_row);
    tcase_add_test(t, the_reconstructed_load_weighs_time_and_memory);
    tcase_add_test(t, who_pulls_gets_as_many_as_he_runs_at_once);
    tcase_add_test(t, leases_of_a_fixed_size_are_of_that_size);
    tcase_add_test(t, an_instance_that_is_slower_than_its_model_is_found_out);
    tcase_add_test(t, every_policy_has_a_name);
    suite_add_tcase(x, t);
    return x;
}

TEST_MAIN(suite)
