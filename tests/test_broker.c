/* test_broker.c - the real broker in a thread, and hand-made peers: clients, rubbish, who gets
 * what. */
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "broker/server.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

/* --- clients */

START_TEST(rows_are_in_the_file_when_they_are_acked)
{
    scene_open();
    scene_rows(5);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM prompt"), 5); /* Q2, B1 */
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 5);
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 0);
    scene_close();
}
END_TEST

START_TEST(rows_for_an_unknown_batch_are_refused_and_others_go_on)
{
    struct wire_out o;

    scene_open();
    wire_begin(&o, 2);
    wire_put_int(&o, "batch", 77);
    wire_put_array(&o, "rows", 1);
    wire_add_array(&o, 7);
    wire_add_str(&o, "id", 2);
    wire_add_int(&o, 1);
    wire_add_int(&o, 0);
    for (int k = 0; k < 4; k++)
        wire_add_str(&o, "", 0);
    peer_send(&scene.client, WIRE_ROWS, &o);
    ck_assert_uint_gt(wire_str(peer_hear(&scene.client, WIRE_REFUSED), "message").len, 0);
    scene_rows(2);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job"), 2);
    scene_close();
}
END_TEST

START_TEST(one_malformed_row_keeps_its_whole_message_out)
{
    struct wire_out o;
    int64_t batch;

    scene_open();
    batch = scene_rows(1);
    wire_begin(&o, 2);
    wire_put_int(&o, "batch", batch);
    wire_put_array(&o, "rows", 2);
    for (int i = 0; i < 2; i++) {
        wire_add_array(&o, 7);
        wire_add_str(&o, i ? "\xFF" : "good", i ? 1 : 4);
        wire_add_int(&o, 1);
        wire_add_int(&o, 0);
        for (int k = 0; k < 4; k++)
            wire_add_str(&o, "", 0);
    }
    peer_send(&scene.client, WIRE_ROWS, &o);
    peer_hear(&scene.client, WIRE_REFUSED);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job"), 1); /* B2 */
    scene_close();
}
END_TEST

START_TEST(a_batch_name_that_would_be_cut_is_refused)
{
    char name[300];
    struct wire_out o;

    scene_open();
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    wire_begin(&o, 1);
    wire_put_str(&o, "name", name);
    peer_send(&scene.client, WIRE_BATCH, &o);
    peer_hear(&scene.client, WIRE_REFUSED);
    wire_begin(&o, 0);
    peer_send(&scene.client, WIRE_BATCH, &o);
    peer_hear(&scene.client, WIRE_REFUSED);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM batch"), 0);
    name[255] = '\0';
    ck_assert_int_eq(peer_batch(&scene.client, name, "", 3), 1);
    scene_close();
}
END_TEST

START_TEST(retry_brings_failed_rows_back_to_a_waiting_worker)
{
    struct wire_out o;

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 4), 1);
    peer_error(&scene.a, scene.a.job[0], 0, true);
    peer_acked(&scene.a, scene.a.job[0]);
    peer_want(&scene.a, 4, 1000);
    wire_begin(&o, 2);
    wire_put_str(&o, "verb", "retry");
    wire_put_str(&o, "batch", "batch");
    peer_send(&scene.client, WIRE_CONTROL, &o);
    ck_assert_int_eq(wire_int(peer_hear(&scene.client, WIRE_CONTROL_OK), "rows", 0), 1);
    ck_assert_int_eq(peer_lease(&scene.a, 4), 1);
    ck_assert_int_eq(scene.a.generation[0], 1);
    scene_close();
}
END_TEST

/* --- rubbish */

START_TEST(rubbish_changes_nothing_and_is_counted)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, 200, 1};
    void *z;

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    z = scene.a.socket;
    zmq_send(z, "x", 1, 0); /* one frame */
    zmq_send(z, &h, sizeof h, ZMQ_SNDMORE);
    zmq_send(z, "\x80", 1, 0); /* an unknown type */
    h.type = WIRE_RESULTS;
    zmq_send(z, &h, sizeof h, ZMQ_SNDMORE);
    zmq_send(z, "\xDF\xFF\xFF\xFF\xFF", 5, 0); /* a lying count */
    zmq_send(z, &h, sizeof h, ZMQ_SNDMORE);
    zmq_send(z, "\x80", 1, 0); /* results of no database */
    peer_hear(&scene.a, WIRE_REFUSED);
    ck_assert_int_eq(peer_ping(&scene.client, "refused"), 4); /* B2 */
    ck_assert_int_eq(peer_lease(&scene.a, 4), 1);
    scene_close();
}
END_TEST

START_TEST(results_of_any_shape_are_survived)
{
    struct wire_out o;

    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 4);
    wire_begin(&o, 2);
    wire_put_str(&o, "db_uuid", scene.a.db_uuid);
    wire_put_array(&o, "results", 6);
    wire_add_int(&o, 5); /* not a map */
    wire_add_map(&o, 0);
    for (int kind = -1; kind < 3; kind++) {
        wire_add_map(&o, 2);
        wire_put_int(&o, "job", kind == 0 ? INT64_MIN : kind);
        wire_put_int(&o, "kind", kind == 2 ? 99 : kind);
    }
    peer_send(&scene.a, WIRE_RESULTS, &o);
    ck_assert_uint_eq(wire_array(peer_hear(&scene.a, WIRE_RESULTS_ACK), "jobs")->size, 6);
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 1);
    peer_heartbeat(&scene.a, (int64_t[]){0, -1, INT64_MAX}, 3, INT64_MIN);
    ck_assert_int_ge(peer_ping(&scene.client, "leases"), 0);
    scene_close();
}
END_TEST

START_TEST(messages_for_workers_and_answers_are_refused_by_the_broker)
{
    struct wire_out o;

    scene_open();
    wire_begin(&o, 0);
    peer_send(&scene.client, WIRE_PONG, &o);
    peer_hear(&scene.client, WIRE_REFUSED);
    wire_begin(&o, 0);
    peer_send(&scene.client, WIRE_LEASE, &o);
    peer_hear(&scene.client, WIRE_REFUSED);
    wire_begin(&o, 0);
    peer_send(&scene.client, WIRE_WANT, &o);
    peer_hear(&scene.client, WIRE_REHELLO); /* from nobody we know */
    scene_close();
}
END_TEST

/* --- who gets what */

START_TEST(batch_whose_model_nobody_holds_waits_while_others_run)
{
    scene_open();
    peer_rows(&scene.client, peer_batch(&scene.client, "wait", "unheld", 3), "w", 2, 8);
    peer_rows(&scene.client, peer_batch(&scene.client, "run", "m", 3), "r", 1, 8);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 4), 1);
    ck_assert_int_eq(scene.a.job[0], 3);
    peer_answer(&scene.a, 3, 0, "t");
    peer_acked(&scene.a, 3);
    peer_want(&scene.a, 4, 1000);
    ck_assert(!peer_hears(&scene.a, WIRE_LEASE, 50));
    snprintf(scene.b.model, sizeof scene.b.model, "unheld");
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_gt(peer_lease(&scene.b, 4), 0);
    scene_close();
}
END_TEST

START_TEST(idle_worker_of_one_model_does_not_starve_another)
{
    scene_open();
    snprintf(scene.b.model, sizeof scene.b.model, "other");
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    peer_want(&scene.a, 4, 1000); /* looks first, and finds nothing of its own */
    peer_want(&scene.b, 4, 1000);
    ck_assert_int_eq(peer_ping(&scene.client, "workers"), 2);
    peer_rows(&scene.client, peer_batch(&scene.client, "batch", "other", 3), "r", 1, 8);
    peer_hear(&scene.b, WIRE_LEASE);
    scene_close();
}
END_TEST

START_TEST(full_window_of_one_model_does_not_starve_another)
{
    scene_open();
    peer_rows(&scene.client, peer_batch(&scene.client, "many", "m", 3), "m", 3000, 8);
    peer_rows(&scene.client, peer_batch(&scene.client, "few", "other", 3), "f", 1, 8);
    snprintf(scene.b.model, sizeof scene.b.model, "other");
    peer_join(&scene.a, NULL, 0);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_gt(peer_lease(&scene.a, 1), 0); /* reads a chunk ahead */
    ck_assert_int_gt(peer_ping(&scene.client, "window"), 256);
    ck_assert_int_eq(peer_lease(&scene.b, 4), 1);
    scene_close();
}
END_TEST

START_TEST(long_bodies_that_fill_the_window_are_all_granted)
{
    int64_t batch;
    char prefix[16];

    scene_open();
    batch = peer_batch(&scene.client, "long", "", 3);
    for (int i = 0; i < 18; i++) {
        snprintf(prefix, sizeof prefix, "p%d-", i);
        peer_rows(&scene.client, batch, prefix, 1, 4 << 20); /* 72 MB, more than the window holds */
    }
    scene.a.kv_tokens = 1 << 28;
    peer_join(&scene.a, NULL, 0);
    peer_want(&scene.a, 64, 1 << 30);
    for (int i = 0; i < 18; i++) {
        const msgpack_object_array *jobs = wire_array(peer_hear(&scene.a, WIRE_LEASE), "jobs");
        int64_t job = wire_at_int(wire_at_array(jobs, 0), 0, 0);

        ck_assert_uint_eq(jobs->size, 1);
        peer_want(&scene.a, 64, 1 << 30); /* more than its share: the window fills up meanwhile */
        ck_assert_int_eq(peer_ping(&scene.client, "workers"), 1);
        ck_assert_int_eq(peer_ping(&scene.client, "workers"), 1);
        peer_answer(&scene.a, job, 0, "t"); /* the next lease may come before the ack */
    }
    scene_wait("SELECT n_done FROM batch", 18, 3000);
    scene_close();
}
END_TEST

START_TEST(replaced_row_forgets_what_the_old_body_needed)
{
    struct wire_out o;
    int64_t batch;

    scene_open();
    batch = scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 1);
    peer_put_back(&scene.a, scene.a.job[0], 0, 2000);
    peer_acked(&scene.a, scene.a.job[0]);
    peer_want(&scene.a, 4, 1000);
    scene_wait("SELECT n_failed FROM batch", 1, 2000);
    wire_begin(&o, 3);
    wire_put_int(&o, "batch", batch);
    wire_put_int(&o, "replace", 1);
    wire_put_array(&o, "rows", 1);
    wire_add_array(&o, 7);
    wire_add_str(&o, "row0", 4);
    wire_add_int(&o, 1);
    wire_add_int(&o, 0);
    wire_add_str(&o, "short", 5);
    for (int k = 0; k < 3; k++)
        wire_add_str(&o, "", 0);
    peer_send(&scene.client, WIRE_ROWS, &o);
    ck_assert_int_eq(wire_int(peer_hear(&scene.client, WIRE_ROWS_OK), "replaced", 0), 1);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("broker");
    TCase *t = tcase_create("broker");

    tcase_set_timeout(t, 60);

    tcase_add_test(t, rows_are_in_the_file_when_they_are_acked);
    tcase_add_test(t, rows_for_an_unknown_batch_are_refused_and_others_go_on);
    tcase_add_test(t, one_malformed_row_keeps_its_whole_message_out);
    tcase_add_test(t, a_batch_name_that_would_be_cut_is_refused);
    tcase_add_test(t, retry_brings_failed_rows_back_to_a_waiting_worker);
    tcase_add_test(t, rubbish_changes_nothing_and_is_counted);
    tcase_add_test(t, results_of_any_shape_are_survived);
    tcase_add_test(t, messages_for_workers_and_answers_are_refused_by_the_broker);
    tcase_add_test(t, batch_whose_model_nobody_holds_waits_while_others_run);
    tcase_add_test(t, idle_worker_of_one_model_does_not_starve_another);
    tcase_add_test(t, full_window_of_one_model_does_not_starve_another);
    tcase_add_test(t, long_bodies_that_fill_the_window_are_all_granted);
    tcase_add_test(t, replaced_row_forgets_what_the_old_body_needed);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
