/* test_broker_worker.c - what the real broker makes of a worker's messages. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/server.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

/* --- hello, lease, results */

START_TEST(hello_is_answered_with_who_the_broker_is)
{
    scene_open();
    peer_join(&scene.a, NULL, 0);
    ck_assert_uint_eq(strlen(scene.a.db_uuid), 32);
    ck_assert_int_eq(scene.a.epoch, 1);
    ck_assert_int_eq(scene.a.instance, 1);
    ck_assert_int_eq(wire_int(&scene.a.m.map, "heartbeat_ms", 0), 100);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instances WHERE state='here' AND name='a'"), 1);
    peer_join(&scene.a, NULL, 0); /* a second one is the same instance */
    ck_assert_int_eq(scene.a.instance, 1);
    ck_assert_int_eq(peer_ping(&scene.client, "workers"), 1);
    scene_close();
}
END_TEST

START_TEST(hello_that_lacks_something_is_refused)
{
    struct wire_out o;

    scene_open();
    wire_begin(&o, 1);
    wire_put_str(&o, "uuid", "x");
    peer_send(&scene.a, WIRE_HELLO, &o);
    peer_hear(&scene.a, WIRE_REFUSED);
    wire_begin(&o, 2);
    wire_put_int(&o, "vmin", 2);
    wire_put_int(&o, "vmax", 3);
    peer_send(&scene.a, WIRE_HELLO, &o);
    peer_hear(&scene.a, WIRE_REFUSED);
    ck_assert_int_eq(peer_ping(&scene.client, "workers"), 0);
    scene_close();
}
END_TEST

START_TEST(want_brings_a_lease_with_bodies)
{
    const msgpack_object_array *job;

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 4), 1);
    job = wire_at_array(wire_array(&scene.a.m.map, "jobs"), 0);
    ck_assert_uint_eq(wire_at_str(job, 4).len, 8);
    ck_assert_mem_eq(wire_at_str(job, 4).at, "xxxxxxxx", 8);
    ck_assert_int_eq(scene.a.attempt[0], 1);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 1);
    peer_want(&scene.b, 4, 1000); /* b has not said hello */
    peer_hear(&scene.b, WIRE_REHELLO);
    scene_close();
}
END_TEST

START_TEST(rows_that_come_later_go_to_a_worker_that_waits)
{
    scene_open();
    peer_join(&scene.a, NULL, 0);
    peer_want(&scene.a, 4, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 50));
    scene_rows(1);
    peer_hear(&scene.a, WIRE_LEASE);
    scene_close();
}
END_TEST

START_TEST(result_is_in_the_file_when_it_is_acked)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_answer(&scene.a, scene.a.job[0], 0, "answer");
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM results WHERE text='answer' AND instance='a'"),
                     1); /* Q2 */
    ck_assert_int_eq(NUMBER("SELECT body_bytes FROM batch"), 8);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 0);
    scene_close();
}
END_TEST

START_TEST(second_result_is_acked_refused_and_counted)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_answer(&scene.a, scene.a.job[0], 0, "first");
    peer_answer(&scene.a, scene.a.job[0], 0, "second");
    peer_acked(&scene.a, scene.a.job[0]);
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM results WHERE text='first'"), 1); /* Q1 */
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 1);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 0);
    scene_close();
}
END_TEST

START_TEST(results_of_another_database_are_refused)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    scene.a.db_uuid[0] ^= 1;
    peer_answer(&scene.a, scene.a.job[0], 0, "of elsewhere");
    peer_hear(&scene.a, WIRE_REFUSED);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result"), 0);
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 1);
    scene_close();
}
END_TEST

START_TEST(result_that_cannot_be_stored_changes_nothing)
{
    struct wire_out o;

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_answer(&scene.a, scene.a.job[0], 0, "\xFF not UTF-8");
    peer_acked(&scene.a, scene.a.job[0]);
    peer_lease(&scene.a, 4);
    wire_begin(&o, 2);
    wire_put_str(&o, "db_uuid", scene.a.db_uuid);
    wire_put_array(&o, "results", 1);
    wire_add_map(&o, 4);
    wire_put_int(&o, "job", scene.a.job[0]);
    wire_put_int(&o, "generation", 0);
    wire_put_int(&o, "kind", WIRE_DONE);
    wire_put_int(&o, "prompt_tokens", INT64_MAX);
    peer_send(&scene.a, WIRE_RESULTS, &o);
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT n_ready*10+prompt_tokens FROM batch"), 10);
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 2);
    peer_lease(&scene.a, 4); /* and the row comes again */
    peer_answer(&scene.a, scene.a.job[0], 0, "good");
    peer_acked(&scene.a, scene.a.job[0]);
    scene_close();
}
END_TEST

/* --- errors and put-backs */

START_TEST(error_with_attempts_left_comes_back_after_its_backoff)
{
    int64_t began;

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    began = clock_mono_ms();
    peer_error(&scene.a, scene.a.job[0], 0, false);
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT attempts*10+state FROM job"), 10);
    ck_assert_int_eq(peer_lease(&scene.a, 4), 1);
    ck_assert_int_ge(clock_mono_ms() - began, 700);
    ck_assert_int_eq(scene.a.attempt[0], 2);
    peer_answer(&scene.a, scene.a.job[0], 0, "at last");
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT attempt FROM result"), 2);
    scene_close();
}
END_TEST

START_TEST(final_error_fails_the_row)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_error(&scene.a, scene.a.job[0], 0, true);
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE code='bad'"), 1);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 0);
    scene_close();
}
END_TEST

START_TEST(error_that_is_sent_twice_uses_one_attempt)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_error(&scene.a, scene.a.job[0], 0, false);
    peer_error(&scene.a, scene.a.job[0], 0, false);
    peer_acked(&scene.a, scene.a.job[0]);
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT attempts FROM job"), 1); /* Q1 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 1);
    scene_close();
}
END_TEST

START_TEST(error_without_a_lease_does_not_count)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_error(&scene.b, scene.a.job[0], 0, true);
    peer_acked(&scene.b, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 0); /* Q1 */
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 1);
    scene_close();
}
END_TEST

START_TEST(row_that_does_not_fit_goes_to_a_larger_instance)
{
    scene_open();
    scene_rows(1);
    scene.b.kv_tokens = 5000;
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_put_back(&scene.a, scene.a.job[0], 0, 2000);
    peer_acked(&scene.a, scene.a.job[0]);
    peer_want(&scene.a, 4, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 50));
    ck_assert_int_eq(peer_lease(&scene.b, 4), 1);
    ck_assert_int_eq(scene.b.attempt[0], 1); /* Q7 */
    peer_answer(&scene.b, scene.b.job[0], 0, "fits");
    peer_acked(&scene.b, scene.b.job[0]);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt WHERE counts=1"), 0);
    scene_close();
}
END_TEST

START_TEST(row_that_fits_nowhere_fails_with_both_numbers_when_the_rest_is_done)
{
    int64_t big;

    scene_open();
    scene_rows(2);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    big = scene.a.job[0];
    peer_put_back(&scene.a, big, 0, 2000);
    peer_acked(&scene.a, big);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    ck_assert_int_ne(scene.a.job[0], big);
    process_sleep_ms(20);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 0); /* the other one still runs */
    peer_answer(&scene.a, scene.a.job[0], 0, "t");
    peer_acked(&scene.a, scene.a.job[0]);
    peer_want(&scene.a, 4, 1000);
    scene_wait("SELECT n_failed FROM batch", 1, 2000);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE code='does_not_fit' AND attempts=0"
                            " AND message LIKE '%2000%' AND message LIKE '%1000%'"),
                     1);
    scene_close();
}
END_TEST

START_TEST(row_too_large_for_its_model_fails_whatever_another_model_has)
{
    scene_open();
    peer_rows(&scene.client, peer_batch(&scene.client, "batch", "m", 3), "row", 1, 8);
    scene.b.kv_tokens = 5000;
    snprintf(scene.b.model, sizeof scene.b.model, "other");
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_put_back(&scene.a, scene.a.job[0], 0, 2000);
    peer_acked(&scene.a, scene.a.job[0]);
    peer_want(&scene.a, 4, 1000);
    scene_wait("SELECT n_failed FROM batch", 1, 2000);
    scene_close();
}
END_TEST

START_TEST(put_back_that_says_no_number_is_only_a_put_back)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    peer_put_back(&scene.a, scene.a.job[0], 0, 0);
    peer_acked(&scene.a, scene.a.job[0]);
    peer_put_back(&scene.a, 0, 0, 0);
    peer_acked(&scene.a, 0);
    peer_put_back(&scene.a, -5, 0, 2000);
    peer_acked(&scene.a, -5);
    ck_assert_int_eq(peer_lease(&scene.a, 4), 1);
    ck_assert_int_eq(scene.a.attempt[0], 1); /* Q7 */
    scene_close();
}
END_TEST

/* --- workers that go */

START_TEST(silent_workers_jobs_go_to_another_without_an_attempt)
{
    scene_open_with(60000, 300);
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_gt(peer_lease(&scene.a, 4), 0);
    scene_wait("SELECT count(*) FROM instance WHERE state='gone'", 1, 2000);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_gt(peer_lease(&scene.b, 4), 0);
    ck_assert_int_eq(scene.b.job[0], scene.a.job[0]);
    ck_assert_int_eq(scene.b.attempt[0], 1); /* Q7 */
    peer_answer(&scene.b, scene.b.job[0], 0, "t");
    peer_acked(&scene.b, scene.b.job[0]);
    peer_answer(&scene.a, scene.a.job[0], 0, "late");
    peer_hear(&scene.a, WIRE_REHELLO); /* I2 */
    scene_close();
}
END_TEST

START_TEST(lease_that_no_heartbeat_names_runs_out)
{
    int64_t until;

    scene_open_with(300, 60000);
    scene_rows(2);
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    peer_want(&scene.b, 1, 1000);
    peer_hear(&scene.b, WIRE_LEASE);
    peer_want(&scene.b, 1, 1000);
    until = clock_mono_ms() + 2000;
    for (int64_t step = 1; !peer_hears(&scene.b, WIRE_LEASE, 50); step++) { /* L2, L3 */
        peer_heartbeat(&scene.a, scene.a.job, 1, step);
        ck_assert_int_lt(clock_mono_ms(), until);
    }
    /* b let its own run out, and it came again; a's was named and stayed. */
    ck_assert_int_ne(wire_at_int(wire_at_array(wire_array(&scene.b.m.map, "jobs"), 0), 0, 0),
                     scene.a.job[0]);
    scene_close();
}
END_TEST

START_TEST(worker_whose_steps_stand_still_loses_its_leases)
{
    int64_t until;

    scene_open_with(300, 60000);
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    peer_lease(&scene.a, 1);
    peer_want(&scene.b, 1, 1000);
    until = clock_mono_ms() + 2500;
    while (!peer_hears(&scene.b, WIRE_LEASE, 50)) {
        peer_heartbeat(&scene.a, scene.a.job, 1, 7); /* named, but the counter does not move */
        ck_assert_int_lt(clock_mono_ms(), until);
    }
    peer_answer(&scene.a, scene.a.job[0], 0,
                "from the one that stalled"); /* Q1: the first one wins */
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch"), 1);
    scene_close();
}
END_TEST

START_TEST(bye_gives_the_leases_back_at_once)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    peer_lease(&scene.a, 1);
    peer_bye(&scene.a);
    ck_assert_int_eq(peer_lease(&scene.b, 1), 1);
    ck_assert_int_eq(scene.b.attempt[0], 1); /* Q7 */
    scene_wait("SELECT count(*) FROM instance WHERE state='gone'", 1, 2000);
    scene_close();
}
END_TEST

START_TEST(counters_of_before_the_link_are_not_counted_again)
{
    scene_open();
    peer_join(&scene.a, NULL, 0);
    peer_heartbeat(&scene.a, NULL, 0, 100);
    process_sleep_ms(5);
    peer_heartbeat(&scene.a, NULL, 0, 107);
    peer_bye(&scene.a);
    scene_wait("SELECT count(*) FROM instance WHERE state='gone'", 1, 2000);
    ck_assert_int_eq(NUMBER("SELECT rows_done FROM instances"), 7);
    scene_close();
}
END_TEST

static void send_profile(double k1)
{
    struct wire_out o;

    wire_begin(&o, 4);
    wire_put_str(&o, "source", "file");
    wire_put_float(&o, "k0", 1.5);
    wire_put_float(&o, "k1", k1);
    wire_put_int(&o, "kv_tokens", 777);
    peer_send(&scene.a, WIRE_PROFILE, &o);
}

START_TEST(the_latest_profile_of_an_instance_is_kept)
{
    scene_open();
    peer_join(&scene.a, NULL, 0);
    send_profile(0.25);
    send_profile(__builtin_nan("")); /* no number: changes nothing */
    send_profile(0.5);
    scene_wait("SELECT count(*) FROM instance_profile WHERE k1=0.5", 1, 2000);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_profile"), 1);
    ck_assert_int_eq(NUMBER("SELECT kv_tokens FROM instance_profile WHERE k0=1.5 AND kw=0"), 777);
    ck_assert_int_eq(NUMBER("SELECT mape IS NULL FROM instance_profile"), 1);
    scene_close();
}
END_TEST

static void send_drift(int drift)
{
    struct wire_out o;

    wire_begin(&o, 8);
    wire_put_str(&o, "source", "measured");
    wire_put_float(&o, "k0", 1.5);
    wire_put_float(&o, "mape", 6);
    wire_put_float(&o, "held_out_mape", 7.25);
    wire_put_int(&o, "samples", 29);
    wire_put_int(&o, "shared", 1);
    wire_put_int(&o, "drift", drift);
    wire_put_float(&o, "start_mape", 43);
    peer_send(&scene.a, WIRE_PROFILE, &o);
}

START_TEST(an_instance_that_drifts_is_an_event_and_one_that_comes_back_another)
{
    scene_open();
    peer_join(&scene.a, NULL, 0);
    send_drift(0);
    send_drift(1);
    send_drift(1);
    scene_wait("SELECT count(*) FROM event WHERE level='warn' AND text LIKE '%has drifted%43 %' "
               "AND text LIKE '%7.2 %' AND text LIKE '%6.0 %'",
               1, 2000);
    scene_wait("SELECT drifted FROM instances WHERE held_out_mape=7.25", 1, 2000);
    ck_assert_int_eq(NUMBER("SELECT samples*10+shared FROM instances"), 291);
    send_drift(0);
    scene_wait("SELECT count(*) FROM event WHERE text LIKE '%as its profile says again%'", 1, 2000);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM event WHERE text LIKE '%drifted%'"), 1);
    ck_assert_int_eq(NUMBER("SELECT drifted FROM instances"), 0);
    scene_close();
}
END_TEST

/* A heartbeat of a worker that tells all it knows. */
static void full_heartbeat(struct peer *p, const char *state, int64_t steps, int64_t running)
{
    struct wire_out o;

    wire_begin(&o, 16);
    wire_put_str(&o, "state", state);
    wire_put_int(&o, "steps", steps);
    wire_put_int(&o, "step_ms", steps * 3);
    wire_put_int(&o, "rows", steps / 10);
    wire_put_int(&o, "prompt_tokens", steps * 100);
    wire_put_int(&o, "output_tokens", steps * 50);
    wire_put_int(&o, "cached_tokens", steps * 20);
    wire_put_int(&o, "running", running);
    wire_put_int(&o, "waiting", 4);
    wire_put_int(&o, "queued_tokens", 700);
    wire_put_int(&o, "kv_blocks", 64);
    wire_put_int(&o, "kv_free", 48);
    wire_put_int(&o, "memory_bytes", 1 << 20);
    wire_put_int(&o, "power_mw", 35000);
    wire_put_int(&o, "others", 2);
    wire_put_array(&o, "held", 0);
    peer_send(p, WIRE_HEARTBEAT, &o);
}

START_TEST(a_heartbeat_becomes_a_row_with_what_is_leased)
{
    scene_open();
    peer_rows(&scene.client, peer_batch(&scene.client, "b", "", 3), "r", 1, 400);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    full_heartbeat(&scene.a, "busy", 1000, 3); /* counters start here */
    do
        full_heartbeat(&scene.a, "idle", 1100, 3); /* idle: its row is due at once */
    while (NUMBER("SELECT count(*) FROM instance_metric") < 1);
    ck_assert_int_eq(
        NUMBER("SELECT count(*) FROM instance_metric WHERE steps=100 AND step_ms=300 AND rows=10 "
               "AND prompt_tokens=10000 AND output_tokens=5000 AND cached_tokens=2000 AND "
               "running=3 AND waiting=4 AND queued_tokens=700 AND kv_blocks=64 AND kv_free=48 AND "
               "memory_bytes=1048576 AND power_mw=35000 AND clock_mhz IS NULL AND others=2 AND "
               "leased_rows=1 AND leased_tokens BETWEEN 100 AND 1000"),
        1);
    scene_close();
}
END_TEST

START_TEST(an_idle_instance_writes_one_closing_row_and_no_more)
{
    scene_open();
    peer_join(&scene.a, NULL, 0);
    full_heartbeat(&scene.a, "busy", 0, 3);
    do
        full_heartbeat(&scene.a, "idle", 100, 3);
    while (NUMBER("SELECT count(*) FROM instance_metric") < 1);
    do
        full_heartbeat(&scene.a, "idle", 100, 0);
    while (NUMBER("SELECT count(*) FROM instance_metric WHERE running=0 AND steps=0") < 1);
    for (int k = 0; k < 50; k++)
        full_heartbeat(&scene.a, "idle", 100, 0);
    peer_bye(&scene.a);
    while (NUMBER("SELECT count(*) FROM instance WHERE state='gone'") < 1)
        process_sleep_ms(1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 2);
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("broker_worker");
    TCase *t = tcase_create("broker_worker");

    tcase_set_timeout(t, 60);

    tcase_add_test(t, hello_is_answered_with_who_the_broker_is);
    tcase_add_test(t, hello_that_lacks_something_is_refused);
    tcase_add_test(t, want_brings_a_lease_with_bodies);
    tcase_add_test(t, rows_that_come_later_go_to_a_worker_that_waits);
    tcase_add_test(t, result_is_in_the_file_when_it_is_acked);
    tcase_add_test(t, second_result_is_acked_refused_and_counted);
    tcase_add_test(t, results_of_another_database_are_refused);
    tcase_add_test(t, result_that_cannot_be_stored_changes_nothing);
    tcase_add_test(t, error_with_attempts_left_comes_back_after_its_backoff);
    tcase_add_test(t, final_error_fails_the_row);
    tcase_add_test(t, error_that_is_sent_twice_uses_one_attempt);
    tcase_add_test(t, error_without_a_lease_does_not_count);
    tcase_add_test(t, row_that_does_not_fit_goes_to_a_larger_instance);
    tcase_add_test(t, row_that_fits_nowhere_fails_with_both_numbers_when_the_rest_is_done);
    tcase_add_test(t, row_too_large_for_its_model_fails_whatever_another_model_has);
    tcase_add_test(t, put_back_that_says_no_number_is_only_a_put_back);
    tcase_add_test(t, silent_workers_jobs_go_to_another_without_an_attempt);
    tcase_add_test(t, lease_that_no_heartbeat_names_runs_out);
    tcase_add_test(t, worker_whose_steps_stand_still_loses_its_leases);
    tcase_add_test(t, bye_gives_the_leases_back_at_once);
    tcase_add_test(t, counters_of_before_the_link_are_not_counted_again);
    tcase_add_test(t, the_latest_profile_of_an_instance_is_kept);
    tcase_add_test(t, an_instance_that_drifts_is_an_event_and_one_that_comes_back_another);
    tcase_add_test(t, a_heartbeat_becomes_a_row_with_what_is_leased);
    tcase_add_test(t, an_idle_instance_writes_one_closing_row_and_no_more);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
