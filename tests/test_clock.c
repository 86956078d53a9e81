/* test_clock.c - the wall clock is set back and forth by an hour under a broker at work. */
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

#define HOUR_S 3600

static atomic_long shift_s; /* of the wall clock, against the real one */

/* The program's clock comes here first. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);

    if (id == CLOCK_REALTIME) t->tv_sec += atomic_load(&shift_s);
    return rc;
}

static void wait_for(struct scene *s, const char *sql, int64_t want)
{
    int64_t until = clock_mono_ms() + 20000;

    while (process_sql(s->db, sql) != want) {
        ck_assert_msg(clock_mono_ms() < until, "%s is %lld", sql,
                      (long long)process_sql(s->db, sql));
        process_sleep_ms(5);
    }
}

/* Fails its row, and sees it come back although its time was written by another clock, while the
 * other worker's stays leased. */
static void expect_it_goes_on(struct scene *s, struct peer *worker, long next_shift_s)
{
    peer_error(worker, worker->job[0], worker->generation[0], false);
    peer_acked(worker, worker->job[0]);
    atomic_store(&shift_s, next_shift_s);
    wait_for(s, "SELECT count(*) FROM job WHERE state=0 AND not_before_ms>0", 0);
    ck_assert_int_eq(peer_ping(worker, "leases"), 1);
    ck_assert_int_eq(peer_lease(worker, 1), 1);
    ck_assert_int_eq(peer_ping(worker, "leases"), 2);
}

START_TEST(leases_and_backoff_do_not_follow_the_wall_clock)
{
    struct peer client, worker, other;
    struct scene s = {0};

    scene_prepare(&s, 60000, 60000);
    scene_start(&s);
    peer_open(&client, s.address, "client");
    peer_open(&worker, s.address, "worker");
    peer_open(&other, s.address, "other");
    peer_rows(&client, peer_batch(&client, "batch", "", 9), "row", 2, 8);
    peer_join(&worker, NULL, 0);
    peer_join(&other, NULL, 0);
    ck_assert_int_eq(peer_lease(&worker, 1), 1);
    ck_assert_int_eq(peer_lease(&other, 1), 1);
    expect_it_goes_on(&s, &worker, HOUR_S);
    expect_it_goes_on(&s, &worker, -HOUR_S);
    expect_it_goes_on(&s, &worker, 0);
    peer_answer(&other, other.job[0], 0, "held all the time");
    peer_acked(&other, other.job[0]);
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM result"), 1);
    scene_stop(&s);
    rows_recount(s.db);
    peer_close(&client);
    peer_close(&worker);
    peer_close(&other);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("clock");
    TCase *t = tcase_create("clock");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, leases_and_backoff_do_not_follow_the_wall_clock);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
