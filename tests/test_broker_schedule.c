/* test_broker_schedule.c - who gets which row of the real broker; jobs that run twice or move. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

/* --- a job that runs twice */

/* The only row is leased to a, and b says that it holds it too. */
static void run_twice(void)
{
    const int64_t held[] = {1};

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    peer_join(&scene.b, NULL, 0); /* to know the database's uuid */
    peer_join(&scene.b, held, 1);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 1);
}

START_TEST(the_first_of_two_results_wins_and_the_other_is_told_to_stop)
{
    char why[24];

    run_twice();
    peer_answer(&scene.b, 1, 0, "first");
    peer_acked(&scene.b, 1);
    ck_assert_int_eq(peer_cancelled(&scene.a, why), 1);
    ck_assert_str_eq(why, "done_elsewhere");
    ck_assert_int_eq(scene.a.job[0], 1);
    peer_answer(&scene.a, 1, 0, "second");
    peer_acked(&scene.a, 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM results WHERE text='first' AND instance='b'"),
                     1); /* Q1 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result"), 1);
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 1);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 0);
    scene_close();
}
END_TEST

START_TEST(the_losers_put_back_changes_nothing)
{
    run_twice();
    peer_answer(&scene.a, 1, 0, "first");
    peer_acked(&scene.a, 1);
    ck_assert_int_eq(peer_cancelled(&scene.b, NULL), 1);
    peer_stopped(&scene.b, 1, 0, "done_elsewhere");
    peer_acked(&scene.b, 1);
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 0); /* Q7 */
    peer_want(&scene.b, 1, 1000);
    ck_assert(!peer_hears(&scene.b, WIRE_LEASE, 50));
    scene_close();
}
END_TEST

START_TEST(an_error_of_one_copy_does_not_fail_the_row)
{
    run_twice();
    peer_error(&scene.a, 1, 0, true);
    peer_acked(&scene.a, 1);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 0); /* Q1 */
    peer_want(&scene.a, 1, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 50)); /* b still runs it */
    peer_answer(&scene.b, 1, 0, "t");
    peer_acked(&scene.b, 1);
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch"), 1);
    scene_close();
}
END_TEST

START_TEST(the_error_of_the_last_copy_counts)
{
    run_twice();
    peer_error(&scene.b, 1, 0, true);
    peer_error(&scene.a, 1, 0, true);
    peer_acked(&scene.b, 1);
    peer_acked(&scene.a, 1);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 1); /* Q1 */
    ck_assert_int_eq(NUMBER("SELECT attempts FROM job"), 1);
    scene_close();
}
END_TEST

START_TEST(the_loss_of_one_copy_leaves_the_other)
{
    run_twice();
    peer_bye(&scene.a);
    scene_wait("SELECT count(*) FROM instance WHERE state='gone'", 1, 2000);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 1);
    peer_join(&scene.a, NULL, 0);
    peer_want(&scene.a, 1, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 50));
    peer_bye(&scene.b);
    ck_assert_int_eq(peer_leased(&scene.a), 1); /* the last one is gone too */
    ck_assert_int_eq(scene.a.attempt[0], 1);    /* Q7 */
    scene_close();
}
END_TEST

START_TEST(each_copy_is_renewed_by_its_own_holder)
{
    const int64_t one = 1;

    scene_open_with(400, 60000);
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    peer_join(&scene.b, NULL, 0);
    peer_join(&scene.b, &one, 1);
    for (int64_t step = 1; NUMBER("SELECT count(*) FROM attempt WHERE code='lease_expired'") < 1;
         step++) {
        peer_heartbeat(&scene.b, &one, 1, step); /* L3: a names it no more */
        process_sleep_ms(20);
    }
    ck_assert_int_eq(NUMBER("SELECT instance_id FROM attempt"), scene.a.instance);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 1);
    peer_error(&scene.b, 1, 0, true); /* alone now: it counts */
    peer_acked(&scene.b, 1);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 1);
    scene_close();
}
END_TEST

/* --- a job that moves */

START_TEST(a_job_that_was_taken_back_goes_to_another_and_is_no_attempt)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    peer_want(&scene.b, 1, 1000);
    ck_assert(!peer_hears(&scene.b, WIRE_LEASE, 50));
    peer_stopped(&scene.a, 1, 0, "taken_back");
    ck_assert_int_eq(peer_leased(&scene.b), 1);
    ck_assert_int_eq(scene.b.attempt[0], 1); /* Q7 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 0);
    scene_close();
}
END_TEST

/* At the end of the work: a holds all, has begun one, and b has nothing. */
static void hold_all(bool takes_back)
{
    scene_open();
    scene_stop(&scene);
    scene.o.schedule.lease_rows = 16;
    scene_start(&scene);
    scene_rows(16);
    scene.a.max_num_seqs = scene.b.max_num_seqs = 1;
    scene.a.kv_tokens = scene.b.kv_tokens = 100000;
    scene.a.takes_back = scene.b.takes_back = takes_back;
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 16), 16);
    peer_beat(&scene.a, scene.a.job, 16, 1, 15);
    peer_join(&scene.b, NULL, 0);
    peer_want(&scene.b, 16, 1 << 30);
}

START_TEST(rows_that_have_not_begun_are_taken_back_from_who_has_them_all)
{
    char why[24];
    int64_t job;

    hold_all(true);
    ck_assert_int_gt(peer_cancelled(&scene.a, why), 0);
    ck_assert_str_eq(why, "taken_back");
    ck_assert_int_eq(wire_int(&scene.a.m.map, "unstarted", 0), 1);
    job = scene.a.job[0];
    peer_stopped(&scene.a, job, 0, "taken_back");
    ck_assert_int_ge(peer_leased(&scene.b), 1);
    ck_assert_int_eq(scene.b.job[0], job);
    scene_close();
}
END_TEST

START_TEST(nothing_is_taken_back_from_a_worker_that_cannot_tell_what_has_begun)
{
    hold_all(false);
    ck_assert(!peer_hears(&scene.a, WIRE_CANCEL, 600));
    scene_close();
}
END_TEST

/* A step of the worker takes so long, whatever is in it. */
static void say_profile(struct peer *p, double ms)
{
    struct wire_out o;

    wire_begin(&o, 2);
    wire_put_str(&o, "source", "file");
    wire_put_float(&o, "k0", ms);
    peer_send(p, WIRE_PROFILE, &o);
}

START_TEST(the_last_row_runs_a_second_time_where_it_ends_sooner)
{
    const int64_t one = 1;

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    say_profile(&scene.a, 10000);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    peer_beat(&scene.a, &one, 1, 1, 0);
    peer_join(&scene.b, NULL, 0);
    say_profile(&scene.b, 0.01);
    ck_assert_int_eq(peer_lease(&scene.b, 1), 1);
    ck_assert_int_eq(scene.b.job[0], 1);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 1);
    peer_answer(&scene.b, 1, 0, "sooner");
    peer_acked(&scene.b, 1);
    ck_assert_int_eq(peer_cancelled(&scene.a, NULL), 1);
    peer_stopped(&scene.a, 1, 0, "done_elsewhere");
    peer_acked(&scene.a, 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM results WHERE text='sooner'"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 0);
    scene_close();
}
END_TEST

START_TEST(a_profile_that_no_machine_could_have_is_refused)
{
    const double bad[] = {1e40, 1e308, -1, (double)NAN, (double)INFINITY};

    scene_open();
    scene_rows(40);
    scene.a.kv_tokens = 100000;
    scene.a.max_num_seqs = 2;
    peer_join(&scene.a, NULL, 0);
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        say_profile(&scene.a, bad[k]);
        peer_hear(&scene.a, WIRE_REFUSED);
        for (int n = peer_lease(&scene.a, 2); n-- > 0;)
            peer_answer(&scene.a, scene.a.job[n], 0, "t");
    }
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_profile"), 0);
    scene_close();
}
END_TEST

/* --- who gets what */

START_TEST(an_urgent_batch_that_comes_later_goes_first)
{
    int64_t low;
    struct wire_out o;

    scene_open();
    low = peer_batch(&scene.client, "low", "", 3);
    peer_rows(&scene.client, low, "l", 600, 8);
    scene.a.max_num_seqs = 4;
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_gt(peer_lease(&scene.a, 4), 0);
    wire_begin(&o, 3);
    wire_put_str(&o, "name", "high");
    wire_put_int(&o, "max_attempts", 3);
    wire_put_int(&o, "priority", -5);
    peer_send(&scene.client, WIRE_BATCH, &o);
    peer_rows(&scene.client, wire_int(peer_hear(&scene.client, WIRE_BATCH_OK), "batch", 0), "h", 3,
              8);
    peer_bye(&scene.a); /* its rows of the first batch are ready again, too */
    peer_join(&scene.b, NULL, 0);
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(peer_lease(&scene.b, 1), 1);
        ck_assert_int_gt(scene.b.job[0], 600); /* S3 */
        peer_answer(&scene.b, scene.b.job[0], 0, "t");
        peer_acked(&scene.b, scene.b.job[0]);
    }
    ck_assert_int_eq(peer_lease(&scene.b, 1), 1);
    ck_assert_int_le(scene.b.job[0], 600);
    scene_close();
}
END_TEST

START_TEST(batches_of_one_priority_share_fairly_whatever_their_sizes)
{
    int small = 0;

    scene_open();
    peer_rows(&scene.client, peer_batch(&scene.client, "large", "", 3), "l", 900, 8);
    peer_rows(&scene.client, peer_batch(&scene.client, "small", "", 3), "s", 40, 8);
    scene.a.kv_tokens = 100000;
    peer_join(&scene.a, NULL, 0);
    for (int k = 0; k < 40; k++) {
        ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
        small += scene.a.job[0] > 900;
        peer_answer(&scene.a, scene.a.job[0], 0, "t");
        peer_acked(&scene.a, scene.a.job[0]);
    }
    ck_assert_int_ge(small, 19); /* S4: half of them, but for one lease */
    ck_assert_int_le(small, 21);
    scene_close();
}
END_TEST

/* n rows for each of two shared prefixes, in turns. */
static void put_groups(int n)
{
    struct wire_out o;
    const int64_t batch = peer_batch(&scene.client, "batch", "", 3);

    wire_begin(&o, 2);
    wire_put_int(&o, "batch", batch);
    wire_put_array(&o, "rows", (size_t)(2 * n));
    for (int i = 0; i < 2 * n; i++) {
        char id[16];

        snprintf(id, sizeof id, "r%d", i);
        wire_add_array(&o, 9);
        wire_add_str(&o, id, strlen(id));
        wire_add_int(&o, i + 1);
        wire_add_int(&o, 0);
        wire_add_bin(&o, "xxxxxxxx", 8);
        for (int k = 0; k < 3; k++)
            wire_add_str(&o, "", 0);
        wire_add_nil(&o);
        wire_add_int(&o, 77 + i % 2);
    }
    peer_send(&scene.client, WIRE_ROWS, &o);
    ck_assert_int_eq(wire_int(peer_hear(&scene.client, WIRE_ROWS_OK), "added", 0), 2 * n);
}

/* Leases one row, answers it, and gives the parity of its id: its group. */
static int64_t do_one(struct peer *p)
{
    ck_assert_int_eq(peer_lease(p, 1), 1);
    peer_answer(p, p->job[0], 0, "t");
    peer_acked(p, p->job[0]);
    return p->job[0] % 2;
}

START_TEST(siblings_of_a_prefix_go_to_the_worker_that_has_it)
{
    int64_t a, b;

    scene_open();
    put_groups(8);
    scene.a.prefix_caching = scene.b.prefix_caching = true;
    scene.a.kv_tokens = scene.b.kv_tokens = 100000;
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    a = do_one(&scene.a);
    b = do_one(&scene.b);
    ck_assert_int_ne(a, b);
    for (int k = 0; k < 4; k++) {
        ck_assert_int_eq(do_one(&scene.b), b);
        ck_assert_int_eq(do_one(&scene.a), a);
    }
    scene_close();
}
END_TEST

START_TEST(a_put_back_ends_no_lease_that_was_granted_after_it)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_stopped(&scene.a, 1, 0, "preempted"); /* of a lease that had run out */
    peer_want(&scene.a, 1, 1000);              /* it comes before that is on disk */
    ck_assert_int_eq(peer_leased(&scene.a), 1);
    process_sleep_ms(50);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 1);
    peer_answer(&scene.a, 1, 0, "t");
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 0);
    scene_close();
}
END_TEST

START_TEST(who_comes_back_with_another_model_is_given_its_rows)
{
    scene_open();
    peer_rows(&scene.client, peer_batch(&scene.client, "one", "m1", 3), "r", 2, 8);
    peer_rows(&scene.client, peer_batch(&scene.client, "two", "m2", 3), "r", 1, 8);
    snprintf(scene.a.model, sizeof scene.a.model, "m1");
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    ck_assert_int_eq(scene.a.job[0], 1);
    snprintf(scene.a.model, sizeof scene.a.model, "m2");
    peer_join(&scene.a, scene.a.job, 1); /* of the same uuid; it still does the first row */
    peer_want(&scene.a, 1, 1 << 20);
    ck_assert_int_eq(peer_leased(&scene.a), 1);
    ck_assert_int_eq(scene.a.job[0], 3);
    peer_answer(&scene.a, 1, 0, "t");
    peer_answer(&scene.a, 3, 0, "t");
    scene_wait("SELECT count(*) FROM result", 2, 2000);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 0);
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 0);
    scene_close();
}
END_TEST

/* --- wants */

START_TEST(a_want_that_stands_is_served_as_rows_come)
{
    scene_open();
    peer_join(&scene.a, NULL, 0);
    peer_stand(&scene.a, 3, 1 << 30, 0);
    peer_rows(&scene.client, peer_batch(&scene.client, "one", "", 3), "a", 1, 8);
    ck_assert_int_eq(peer_leased(&scene.a), 1);
    peer_rows(&scene.client, peer_batch(&scene.client, "two", "", 3), "b", 1, 8);
    peer_answer(&scene.a, scene.a.job[0], 0, "t");
    ck_assert_int_eq(peer_leased(&scene.a), 1); /* without another word */
    scene_close();
}
END_TEST

START_TEST(what_was_on_its_way_counts_against_a_want)
{
    scene_open();
    scene_rows(10);
    scene.a.max_num_seqs = 10;
    scene.a.kv_tokens = 100000;
    peer_join(&scene.a, NULL, 0);
    peer_stand(&scene.a, 2, 1 << 30, 0);
    ck_assert_int_eq(peer_leased(&scene.a), 2);
    peer_stand(&scene.a, 3, 1 << 30, 0); /* said before those two had come */
    ck_assert_int_eq(peer_leased(&scene.a), 1);
    peer_stand(&scene.a, 3, 1 << 30, 3);
    ck_assert_int_eq(peer_leased(&scene.a), 3);
    scene_close();
}
END_TEST

START_TEST(every_policy_ends_every_row)
{
    scene_open();
    for (int p = 0; p < POLICY_N; p++) {
        char name[16];

        scene_stop(&scene);
        scene.o.schedule = (struct schedule_opts){.policy = (enum schedule_policy)p};
        scene.o.schedule.lease_rows = p == POLICY_SIZED ? 0 : 2;
        scene_start(&scene);
        snprintf(name, sizeof name, "b%d", p);
        peer_rows(&scene.client, peer_batch(&scene.client, name, "", 3), "r", 20, 8);
        peer_join(&scene.a, NULL, 0);
        peer_want(&scene.a, 4, 1 << 20);
        for (int done = 0; done < 20;) {
            const int n = peer_leased(&scene.a);

            if (p == POLICY_PULL) ck_assert_int_le(n, 2);
            for (int k = 0; k < n; k++)
                peer_answer(&scene.a, scene.a.job[k], 0, "t");
            for (int k = 0; k < n; k++)
                peer_acked(&scene.a, scene.a.job[k]);
            done += n;
            peer_want(&scene.a, 4, 1 << 20);
        }
        peer_bye(&scene.a);
    }
    ck_assert_int_eq(NUMBER("SELECT sum(n_done) FROM batch"), 20 * POLICY_N);
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("broker_schedule");
    TCase *t = tcase_create("broker_schedule");

    tcase_set_timeout(t, 60);

    tcase_add_test(t, a_profile_that_no_machine_could_have_is_refused);
    tcase_add_test(t, the_first_of_two_results_wins_and_the_other_is_told_to_stop);
    tcase_add_test(t, the_losers_put_back_changes_nothing);
    tcase_add_test(t, an_error_of_one_copy_does_not_fail_the_row);
    tcase_add_test(t, the_error_of_the_last_copy_counts);
    tcase_add_test(t, the_loss_of_one_copy_leaves_the_other);
    tcase_add_test(t, each_copy_is_renewed_by_its_own_holder);
    tcase_add_test(t, a_job_that_was_taken_back_goes_to_another_and_is_no_attempt);
    tcase_add_test(t, rows_that_have_not_begun_are_taken_back_from_who_has_them_all);
    tcase_add_test(t, nothing_is_taken_back_from_a_worker_that_cannot_tell_what_has_begun);
    tcase_add_test(t, the_last_row_runs_a_second_time_where_it_ends_sooner);
    tcase_add_test(t, an_urgent_batch_that_comes_later_goes_first);
    tcase_add_test(t, batches_of_one_priority_share_fairly_whatever_their_sizes);
    tcase_add_test(t, siblings_of_a_prefix_go_to_the_worker_that_has_it);
    tcase_add_test(t, a_put_back_ends_no_lease_that_was_granted_after_it);
    tcase_add_test(t, who_comes_back_with_another_model_is_given_its_rows);
    tcase_add_test(t, a_want_that_stands_is_served_as_rows_come);
    tcase_add_test(t, what_was_on_its_way_counts_against_a_want);
    tcase_add_test(t, every_policy_ends_every_row);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
