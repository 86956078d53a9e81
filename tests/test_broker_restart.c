/* test_broker_restart.c - one broker on a file, and the next. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/server.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

/* --- one broker, and the next */

START_TEST(second_broker_on_the_file_is_refused)
{
    struct errmsg e;
    struct broker_opts o;

    scene_open();
    o = scene.o;
    o.on_ready = NULL;
    ck_assert_int_eq(broker_run(&o, &e), ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(e.text, "another broker"));
    scene_rows(1); /* the first is not disturbed */
    scene_close();
}
END_TEST

START_TEST(a_file_in_the_sockets_place_is_left_alone)
{
    const char *path = test_file("precious", "text", 4);
    char address[600];
    struct errmsg e;
    struct stat st;

    snprintf(address, sizeof address, "ipc://%s", path);
    scene.o =
        (struct broker_opts){.bind = address, .lease_ms = 1000, .lost_ms = 1000, .stop_fd = -1};
    scene.o.db = test_path("b.db");
    ck_assert_int_eq(broker_run(&scene.o, &e), ERR_IO);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 4);
}
END_TEST

START_TEST(beyond_the_loopback_it_does_not_bind)
{
    struct errmsg e;

    scene.o = (struct broker_opts){.bind = "tcp://0.0.0.0:0", .lease_ms = 1000, .lost_ms = 1000};
    scene.o.stop_fd = -1;
    scene.o.db = test_path("b.db");
    ck_assert_int_eq(broker_run(&scene.o, &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "without keys"));
}
END_TEST

START_TEST(jobs_held_over_a_restart_stay_with_their_worker)
{
    scene_open();
    scene_rows(2);
    peer_join(&scene.a, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.a, 1), 1);
    scene_stop(&scene);
    scene_start(&scene);
    peer_heartbeat(&scene.a, scene.a.job, 1, 1);
    peer_hear(&scene.a, WIRE_REHELLO);
    peer_join(&scene.a, scene.a.job, 1);
    ck_assert_int_eq(scene.a.epoch, 2);
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.b, 4), 1);
    ck_assert_int_ne(scene.b.job[0], scene.a.job[0]); /* Q3 */
    peer_want(&scene.b, 4, 1000);
    ck_assert(!peer_hears(&scene.b, WIRE_LEASE, 50));
    peer_answer(&scene.a, scene.a.job[0], 0, "kept");
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT attempts FROM results WHERE text='kept'"), 1);
    scene_close();
}
END_TEST

START_TEST(result_that_is_sent_again_after_a_restart_is_taken_once)
{
    scene_open();
    scene_rows(1);
    peer_join(&scene.a, NULL, 0);
    peer_lease(&scene.a, 1);
    peer_answer(&scene.a, scene.a.job[0], 0, "first");
    peer_acked(&scene.a, scene.a.job[0]); /* say that the ack was lost */
    scene_stop(&scene);
    scene_start(&scene);
    peer_join(&scene.a, scene.a.job, 1);
    peer_answer(&scene.a, scene.a.job[0], 0, "again");
    peer_acked(&scene.a, scene.a.job[0]);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result WHERE text='first'"), 1); /* Q1 */
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch"), 1);
    ck_assert_int_eq(peer_ping(&scene.client, "leases"), 0);
    scene_close();
}
END_TEST

/* Two rows, the first of which worker "a" held when the broker of before ended. */
static void leave_hint(void)
{
    char db[512];
    struct queue *q;
    struct errmsg e;

    snprintf(db, sizeof db, "%s", test_path("b.db"));
    rows_file(db, "batch", 2);
    q = rows_open(db);
    ck_assert_int_eq(queue_begin(q, &e), ERR_OK);
    ck_assert_int_eq(queue_put_hint(q, (int64_t[]){1}, (const char *[]){"a"}, 1, &e), ERR_OK);
    ck_assert_int_eq(queue_commit(q, &e), ERR_OK);
    queue_close(&q);
}

START_TEST(hinted_jobs_are_withheld_until_their_worker_says_hello)
{
    leave_hint();
    scene_open();
    peer_join(&scene.b, NULL, 0);
    ck_assert_int_eq(peer_lease(&scene.b, 4), 1);
    ck_assert_int_eq(scene.b.job[0], 2); /* Q3 */
    peer_want(&scene.b, 4, 1000);
    ck_assert(!peer_hears(&scene.b, WIRE_LEASE, 50));
    peer_join(&scene.a, NULL, 0); /* it holds nothing any more */
    peer_answer(&scene.b, 2, 0, "t");
    peer_hear(&scene.b, WIRE_LEASE);
    scene_close();
}
END_TEST

START_TEST(a_broker_that_ends_while_jobs_are_withheld_ends_in_order)
{
    leave_hint();
    scene_open();
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("broker_restart");
    TCase *t = tcase_create("broker_restart");

    tcase_set_timeout(t, 60);

    tcase_add_test(t, second_broker_on_the_file_is_refused);
    tcase_add_test(t, a_file_in_the_sockets_place_is_left_alone);
    tcase_add_test(t, beyond_the_loopback_it_does_not_bind);
    tcase_add_test(t, jobs_held_over_a_restart_stay_with_their_worker);
    tcase_add_test(t, result_that_is_sent_again_after_a_restart_is_taken_once);
    tcase_add_test(t, hinted_jobs_are_withheld_until_their_worker_says_hello);
    tcase_add_test(t, a_broker_that_ends_while_jobs_are_withheld_ends_in_order);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
