/* test_broker_control.c - what is under way when a person, the clock or a crash steps in. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

/* Worker a holds the only n rows of the batch. */
static void lease_all(int n)
{
    scene_rows(n);
    scene.a.max_num_seqs = scene.b.max_num_seqs = 4;
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, n), n);
}

static void make_batch(const char *name, int64_t not_before_ms, int64_t deadline_ms, int64_t from,
                       int64_t to, int rows)
{
    struct wire_out o;
    int64_t batch;

    wire_begin(&o, 6);
    wire_put_str(&o, "name", name);
    wire_put_int(&o, "max_attempts", 3);
    wire_put_int(&o, "not_before_ms", not_before_ms);
    wire_put_int(&o, "deadline_ms", deadline_ms);
    wire_put_int(&o, "window_from", from);
    wire_put_int(&o, "window_to", to);
    peer_send(&scene.client, WIRE_BATCH, &o);
    batch = wire_int(peer_hear(&scene.client, WIRE_BATCH_OK), "batch", 0);
    peer_rows(&scene.client, batch, "r", rows, 8);
}

/* --- pause, resume, cancel */

START_TEST(a_pause_stops_what_is_under_way_and_uses_up_no_attempt)
{
    char why[24];

    scene_open();
    lease_all(3);
    ck_assert_int_eq(peer_control(&scene.client, "pause", "batch", "", ""), 3);
    ck_assert_int_eq(peer_cancelled(&scene.a, why), 3);
    ck_assert_str_eq(why, "paused");
    peer_answer(&scene.a, 1, 0, "just done"); /* it was too late to stop: it counts */
    peer_acked(&scene.a, 1);
    peer_stopped(&scene.a, 2, 0, "paused");
    peer_acked(&scene.a, 2);
    peer_stopped(&scene.a, 3, 0, "paused");
    peer_acked(&scene.a, 3);
    peer_want(&scene.a, 4, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 300)); /* nothing of it starts */
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch"), 1);
    ck_assert_int_eq(NUMBER("SELECT sum(attempts) FROM job"), 0); /* Q7 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt WHERE code='paused' AND counts=0"), 2);
    ck_assert_int_eq(peer_control(&scene.client, "resume", "batch", "", ""), 2);
    peer_hear(&scene.a, WIRE_LEASE); /* the want still stands */
    scene_close();
}
END_TEST

START_TEST(a_cancelled_row_is_stopped_and_its_late_answer_refused)
{
    scene_open();
    lease_all(2);
    ck_assert_int_eq(peer_control(&scene.client, "cancel", "batch", "row0", ""), 1);
    ck_assert_int_eq(peer_cancelled(&scene.a, NULL), 1);
    ck_assert_int_eq(scene.a.job[0], 1);
    peer_answer(&scene.a, 1, 0, "late");
    peer_acked(&scene.a, 1); /* settled: refused */
    ck_assert_int_eq(NUMBER("SELECT n_cancelled FROM batch"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result"), 0); /* Q1 */
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 1);   /* and counted */
    peer_answer(&scene.a, 2, 0, "the other");
    peer_acked(&scene.a, 2);
    scene_close();
}
END_TEST

START_TEST(a_cancelled_batch_is_stopped_everywhere)
{
    char why[24];

    scene_open();
    scene_rows(4);
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_ge(peer_lease(&scene.a, 2), 1);
    ck_assert_int_ge(peer_lease(&scene.b, 2), 1);
    ck_assert_int_eq(peer_control(&scene.client, "cancel", "batch", "", ""), 4);
    ck_assert_int_ge(peer_cancelled(&scene.a, why), 1);
    ck_assert_str_eq(why, "cancelled");
    ck_assert_int_ge(peer_cancelled(&scene.b, NULL), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM results WHERE state='cancelled'"), 4);
    scene_close();
}
END_TEST

START_TEST(a_control_that_cannot_be_is_refused_with_the_reason)
{
    struct wire_out o;

    scene_open();
    scene_rows(1);
    wire_begin(&o, 2);
    wire_put_str(&o, "verb", "pause");
    wire_put_str(&o, "batch", "nobody");
    peer_send(&scene.client, WIRE_CONTROL, &o);
    ck_assert_ptr_nonnull(
        memmem(wire_str(peer_hear(&scene.client, WIRE_REFUSED), "message").at, 30, "nobody", 6));
    wire_begin(&o, 2);
    wire_put_str(&o, "verb", "explode");
    wire_put_str(&o, "batch", "batch");
    peer_send(&scene.client, WIRE_CONTROL, &o);
    peer_hear(&scene.client, WIRE_REFUSED);
    scene_close();
}
END_TEST

START_TEST(a_deleted_batch_is_stopped_and_gone)
{
    scene_open();
    lease_all(3);
    ck_assert_int_eq(peer_control(&scene.client, "delete", "batch", "", ""), 3);
    ck_assert_int_eq(peer_cancelled(&scene.a, NULL), 3);
    peer_answer(&scene.a, 1, 0, "late");
    peer_acked(&scene.a, 1);
    ck_assert_int_eq(NUMBER("SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM batch)"), 0);
    scene_rows(1); /* the name is free */
    scene_close();
}
END_TEST

START_TEST(a_broker_goes_on_with_a_delete_that_was_cut_short)
{
    scene_open();
    scene_rows(2);
    scene_stop(&scene);
    process_change(scene.db, "UPDATE batch SET deleting=1, state=4, generation=1");
    scene_start(&scene);
    scene_wait("SELECT count(*) FROM batch", 0, 3000);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job"), 0);
    scene_close();
}
END_TEST

/* --- times */

START_TEST(before_its_time_or_outside_its_window_nothing_of_a_batch_starts)
{
    int64_t now = clock_wall_ms(), minute = now / 60000 % 1440;

    setenv("TZ", "UTC", 1);
    scene_open();
    make_batch("later", now + 3600000, 0, -1, -1, 1);
    make_batch("closed", 0, 0, (minute + 120) % 1440, (minute + 180) % 1440, 1);
    peer_join(&scene.a, NULL, 0);
    peer_want(&scene.a, 4, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 300));
    make_batch("open", now - 1000, now + 3600000, (minute + 1380) % 1440, (minute + 60) % 1440, 1);
    peer_hear(&scene.a, WIRE_LEASE);
    scene_close();
}
END_TEST

START_TEST(a_passed_deadline_stops_what_is_under_way_and_fails_the_rest)
{
    char why[24];

    scene_open();
    make_batch("soon", 0, clock_wall_ms() + 700, -1, -1, 3);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_ge(peer_lease(&scene.a, 1), 1);
    ck_assert_int_eq(peer_cancelled(&scene.a, why), 1);
    ck_assert_str_eq(why, "batch_expired");
    scene_wait("SELECT count(*) FROM errors WHERE code='batch_expired'", 3, 3000);
    peer_answer(&scene.a, scene.a.job[0], 0, "late");
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result"), 0);
    scene_close();
}
END_TEST

/* --- crashes and stalls */

START_TEST(suspects_run_alone_and_first)
{
    const int64_t step[] = {1, 2};

    scene_open();
    lease_all(4);
    peer_crashed(&scene.client, "a", step, 2, 11);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job WHERE suspect=1"), 2); /* Q8: durable */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt WHERE code='worker_crashed'"), 2);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance WHERE state='gone'"), 1);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.b, 4), 1); /* Q8: one per lease, alone */
    ck_assert_int_eq(scene.b.job[0], 1);
    peer_want(&scene.b, 4, 1000);
    ck_assert(!peer_hears(&scene.b, WIRE_LEASE, 300)); /* nothing beside it */
    peer_answer(&scene.b, 1, 0, "innocent");
    peer_acked(&scene.b, 1);
    ck_assert_int_eq(wire_array(peer_hear(&scene.b, WIRE_LEASE), "jobs")->size, 1);
    peer_answer(&scene.b, 2, 0, "innocent too");
    ck_assert_int_eq(peer_lease(&scene.b, 4), 2); /* the others, together */
    scene_close();
}
END_TEST

START_TEST(a_row_that_ends_its_worker_twice_while_alone_is_set_aside)
{
    const int64_t step[] = {1};

    scene_open();
    lease_all(2);
    peer_crashed(&scene.client, "a", step, 1, 11);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.b, 4), 1);
    peer_crashed(&scene.client, "b", step, 1, 11);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE code='poison'"), 1); /* Q8 */
    ck_assert_int_eq(NUMBER("SELECT attempts FROM job WHERE job_id=1"), 0);         /* Q7 */
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 1);
    scene_close();
}
END_TEST

START_TEST(a_report_of_a_device_error_leaves_the_worker_in_place)
{
    const int64_t step[] = {1};

    scene_open();
    lease_all(1);
    peer_crashed(&scene.client, "a", step, 1, 0);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance WHERE state='here'"), 1);
    ck_assert_int_eq(NUMBER("SELECT suspect FROM job"), 2);
    scene_close();
}
END_TEST

START_TEST(a_stalled_worker_loses_its_rows_in_time_and_gets_no_more_until_it_moves)
{
    int64_t one = 1;

    scene_open_with(60000, 60000);
    scene_stop(&scene);
    scene.o.stall_ms = 300; /* seconds, not the length of a lease */
    scene_start(&scene);
    lease_all(1);
    peer_join(&scene.b, NULL, 0);
    peer_want(&scene.b, 1, 1000);
    for (int k = 0; k < 100 && !peer_hears(&scene.b, WIRE_LEASE, 20); k++)
        peer_heartbeat(&scene.a, &one, 1, 7); /* it beats, and its counter stands still */
    scene_wait("SELECT count(*) FROM event WHERE text LIKE 'stalled%'", 1, 3000);
    scene_wait("SELECT count(*) FROM attempt WHERE code='stalled'", 1, 3000);
    peer_want(&scene.a, 1, 1000);
    peer_rows(&scene.client, 1, "more", 1, 8);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 200));
    peer_heartbeat(&scene.a, NULL, 0, 8); /* it moves again */
    ck_assert(peer_hears(&scene.a, WIRE_LEASE, 3000));
    scene_close();
}
END_TEST

START_TEST(a_lost_lease_is_noted_as_an_attempt_that_does_not_count)
{
    scene_open_with(200, 60000);
    lease_all(1);
    scene_wait("SELECT count(*) FROM attempt WHERE code='lease_expired' AND counts=0 AND"
               " leased_ms > 0 AND ended_ms >= leased_ms AND instance_id = 1",
               1, 3000);
    peer_bye(&scene.a);
    scene_close();
}
END_TEST

/* --- what was said of a job that has moved on */

/* Both rows are of a later generation; worker a holds one, the other is read ahead and nothing is
 * behind it. */
static int64_t read_one_ahead(void)
{
    scene_open();
    scene_rows(2);
    peer_control(&scene.client, "cancel", "batch", "", "");
    peer_control(&scene.client, "retry", "batch", "", "batch_cancelled");
    scene.a.max_num_seqs = 4;
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 2), 2);
    peer_want(&scene.a, 1, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 100)); /* all has been read */
    peer_want(&scene.a, 0, 0);
    for (int64_t job = 1; job <= 2; job++) {
        peer_put_back(&scene.a, job, 1, 0);
        peer_acked(&scene.a, job);
    }
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    return 3 - scene.a.job[0];
}

static void is_granted(int64_t job)
{
    peer_answer(&scene.a, 3 - job, 1, "the other");
    peer_acked(&scene.a, 3 - job);
    peer_want(&scene.a, 1, 1000);
    ck_assert(peer_hears(&scene.a, WIRE_LEASE, 2000));
    scene_close();
}

START_TEST(a_row_is_granted_after_a_late_result_of_it_was_refused)
{
    int64_t job = read_one_ahead();

    peer_answer(&scene.a, job, 0, "of before the cancel");
    peer_acked(&scene.a, job);
    is_granted(job);
}
END_TEST

START_TEST(a_row_is_granted_after_a_crash_of_its_generation_before)
{
    int64_t job = read_one_ahead();

    peer_crashed(&scene.client, "nobody", &job, 1, 11);
    ck_assert_int_eq(NUMBER("SELECT sum(suspect) FROM job"), 0);
    is_granted(job);
}
END_TEST

/* Q1, Q7: its ack was lost, and the worker says it still holds the job. */
START_TEST(an_error_that_was_taken_does_not_count_again_after_a_hello)
{
    const int64_t held[] = {1};

    scene_open();
    lease_all(1);
    peer_error(&scene.a, 1, 0, false);
    peer_acked(&scene.a, 1);
    peer_join(&scene.a, held, 1);
    peer_error(&scene.a, 1, 0, false);
    peer_acked(&scene.a, 1);
    ck_assert_int_eq(NUMBER("SELECT attempts FROM job"), 1);
    scene_close();
}
END_TEST

START_TEST(leases_that_run_out_together_are_noted_for_who_held_them)
{
    scene_open_with(300, 60000);
    scene_rows(2);
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    peer_lease(&scene.a, 1);
    peer_lease(&scene.b, 1);
    scene_wait("SELECT count(*) FROM attempt WHERE code='lease_expired'", 2, 3000);
    ck_assert_int_eq(NUMBER("SELECT count(DISTINCT instance_id) FROM attempt"), 2);
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("broker_control");
    TCase *t = tcase_create("broker_control");

    tcase_set_timeout(t, 60);

    tcase_add_test(t, a_pause_stops_what_is_under_way_and_uses_up_no_attempt);
    tcase_add_test(t, a_cancelled_row_is_stopped_and_its_late_answer_refused);
    tcase_add_test(t, a_cancelled_batch_is_stopped_everywhere);
    tcase_add_test(t, a_control_that_cannot_be_is_refused_with_the_reason);
    tcase_add_test(t, a_deleted_batch_is_stopped_and_gone);
    tcase_add_test(t, a_broker_goes_on_with_a_delete_that_was_cut_short);
    tcase_add_test(t, before_its_time_or_outside_its_window_nothing_of_a_batch_starts);
    tcase_add_test(t, a_passed_deadline_stops_what_is_under_way_and_fails_the_rest);
    tcase_add_test(t, suspects_run_alone_and_first);
    tcase_add_test(t, a_row_that_ends_its_worker_twice_while_alone_is_set_aside);
    tcase_add_test(t, a_report_of_a_device_error_leaves_the_worker_in_place);
    tcase_add_test(t, a_stalled_worker_loses_its_rows_in_time_and_gets_no_more_until_it_moves);
    tcase_add_test(t, a_lost_lease_is_noted_as_an_attempt_that_does_not_count);
    tcase_add_test(t, a_row_is_granted_after_a_late_result_of_it_was_refused);
    tcase_add_test(t, a_row_is_granted_after_a_crash_of_its_generation_before);
    tcase_add_test(t, an_error_that_was_taken_does_not_count_again_after_a_hello);
    tcase_add_test(t, leases_that_run_out_together_are_noted_for_who_held_them);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
