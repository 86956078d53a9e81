/* e2e_chaos.c - kill -9 at random and at the worst moments, with simulated workers: each row is
 * done once, and little is computed twice.
 *
 * CHAOS_ROWS and CHAOS_KILLS (of anything), CHAOS_BROKER_KILLS (of the broker alone) make it long;
 * TEST_SEED repeats a run's choices.
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tests/mill.h"
#include "tests/test.h"

#define N_WORKERS 3

struct scene {
    struct mill m;
    struct process broker, worker[N_WORKERS], client;
};

static struct scene s;

static int number_of(const char *name, int dflt)
{
    const char *v = getenv(name);

    return v && *v ? atoi(v) : dflt;
}

static void start_broker(const char *fault)
{
    PROCESS_START(&s.broker, fault, "broker", "--db", s.m.db, "--lost-ms", "2000");
}

static void start_worker(int k, const char *fault)
{
    char name[16];

    snprintf(name, sizeof name, "w%d", k);
    mill_worker(&s.m, &s.worker[k], fault, name, "2");
}

static void end_all(void)
{
    process_kill(&s.client, SIGKILL);
    process_kill(&s.broker, SIGKILL);
    for (int k = 0; k < N_WORKERS; k++)
        process_kill(&s.worker[k], SIGKILL);
}

static void finish_and_verify(int limit_s)
{
    mill_submit(&s.m, &s.client);
    mill_wait_done(&s.m, s.m.rows, limit_s);
    process_kill(&s.broker, SIGTERM);
    mill_verify(&s.m);
    end_all();
}

/* --- anything at any time --- */

/* A client that is killed in the middle of what it does. */
static void kill_client(void)
{
    if (mill_draw(&s.m, 2))
        PROCESS_START(&s.client, NULL, "submit", s.m.input, "--db", s.m.db, "--batch", "b");
    else
        PROCESS_START(&s.client, NULL, "results", "b", "--db", s.m.db);
    process_sleep_ms((int)mill_draw(&s.m, 60));
    process_kill(&s.client, SIGKILL);
}

static void kill_worker(int k)
{
    process_kill(&s.worker[k], SIGKILL);
    start_worker(k, NULL);
}

static void kill_broker(void)
{
    process_kill(&s.broker, SIGKILL);
    start_broker(NULL);
}

START_TEST(whatever_is_killed_each_row_is_there_once)
{
    int kills = number_of("CHAOS_KILLS", 20), at_submit = 1 + kills / 10, whom[3] = {0};
    int64_t total, twice;

    MILL_OPEN(&s.m, .rows = number_of("CHAOS_ROWS", 5000));
    start_broker(NULL);
    for (int k = 0; k < N_WORKERS; k++)
        start_worker(k, NULL);
    for (int k = 0; k < kills; k++) {
        unsigned who = k < at_submit ? 2 : mill_draw(&s.m, 3);

        if (k == at_submit) mill_submit(&s.m, &s.client);
        if (k > at_submit) mill_wait_done(&s.m, (int64_t)s.m.rows * k / kills, 60);

        if (who == 0) kill_broker();
        if (who == 1) kill_worker((int)mill_draw(&s.m, N_WORKERS));
        if (who == 2) kill_client();
        whom[who]++;
    }
    finish_and_verify(120);
    twice = mill_twice(&s.m, &total);
    printf("%d rows, %d kills of the broker, %d of workers, %d of clients: %lld computed, %lld"
           " more than once\n",
           s.m.rows, whom[0], whom[1], whom[2], (long long)total, (long long)twice);
}
END_TEST

/* --- the broker alone --- */

/* Milliseconds of the local day, as the log has them. */
static int64_t day_ms(void)
{
    int64_t now = clock_wall_ms();
    time_t sec = (time_t)(now / 1000);
    struct tm tm;

    localtime_r(&sec, &tm);
    return ((tm.tm_hour * 60 + tm.tm_min) * 60 + tm.tm_sec) * (int64_t)1000 + now % 1000;
}

/* Rows that the log says were granted after this. */
static int64_t granted_after(const char *log, int64_t after_ms)
{
    struct buf text = process_read(log);
    int64_t sum = 0;

    for (const char *at = text.data, *next; at && *at; at = next ? next + 1 : NULL) {
        int h, min, sec, ms;
        const char *granted = strstr(at, " granted ");

        next = strchr(at, '\n');
        if (!granted || (next && granted > next)) continue;
        if (sscanf(at, "%d:%d:%d.%d", &h, &min, &sec, &ms) != 4) continue;
        if (((h * 60 + min) * 60 + sec) * (int64_t)1000 + ms >= after_ms)
            sum += atoi(granted + strlen(" granted "));
    }
    buf_fini(&text);
    return sum;
}

START_TEST(q3_a_broker_that_is_killed_costs_at_most_its_last_second)
{
    int kills = number_of("CHAOS_BROKER_KILLS", 3);
    int64_t granted = 0, total, twice;

    /* Three seconds from kill to kill; each worker holds what it does in four. */
    MILL_OPEN(&s.m, .rows = 720 * kills, .ms = 20);
    setenv("NIGHTMILL_LOG", "lease=debug", 1);
    start_broker(NULL);
    unsetenv("NIGHTMILL_LOG");
    for (int k = 0; k < N_WORKERS; k++)
        start_worker(k, NULL);
    mill_submit(&s.m, &s.client);
    for (int k = 0; k < kills; k++) {
        mill_wait_done(&s.m, (int64_t)s.m.rows * k / kills, 60);
        process_sleep_ms((int)mill_draw(&s.m, 100)); /* when it falls in the hint's second */
        granted += granted_after(s.broker.err, day_ms() - 1000);
        process_kill(&s.broker, SIGKILL);
        setenv("NIGHTMILL_LOG", "lease=debug", 1);
        start_broker(NULL);
        unsetenv("NIGHTMILL_LOG");
    }
    finish_and_verify(60);
    twice = mill_twice(&s.m, &total);
    printf("%d kills of the broker: %lld rows computed twice, %lld granted in the last seconds\n",
           kills, (long long)twice, (long long)granted);
    ck_assert_int_gt(granted, 0);
    ck_assert_int_le(twice, granted);
}
END_TEST

/* --- the worst moments --- */

static const char *const POINTS[] = {"commit", "committed", "grant", "ack"};
#define N_POINTS 4

START_TEST(q2_a_broker_that_ends_at_the_worst_moment_loses_nothing)
{
    int rounds = N_POINTS * number_of("CHAOS_POINT_ROUNDS", 2);
    int64_t total;
    char fault[40];

    MILL_OPEN(&s.m, .rows = 150 * rounds);
    for (int k = 0; k < N_WORKERS; k++)
        start_worker(k, NULL);
    for (int k = 0; k < rounds; k++) {
        const char *point = POINTS[k % N_POINTS];
        /* The first commits are its start's and the batch's. */
        unsigned pass = 1 + mill_draw(&s.m, 4) + (point[0] == 'c' ? 8 : 0);

        snprintf(fault, sizeof fault, "%s:%u:kill", point, pass);
        start_broker(fault);
        PROCESS_START(&s.client, NULL, "submit", s.m.input, "--db", s.m.db, "--batch", "b");
        ck_assert_msg(process_wait(&s.broker, 60) == 128 + SIGKILL, "%s", fault);
        process_kill(&s.client, SIGKILL);
    }
    start_broker(NULL);
    finish_and_verify(60);
    (void)mill_twice(&s.m, &total);
    printf("%d ends at fault points, %lld rows computed for %d\n", rounds, (long long)total,
           s.m.rows);
}
END_TEST

START_TEST(a_worker_that_ends_with_a_result_in_hand_loses_nothing)
{
    char fault[40];
    int64_t total;

    MILL_OPEN(&s.m, .rows = 600);
    start_broker(NULL);
    mill_submit(&s.m, &s.client);
    /* It is started again by the process above it, and ends the same way, until all is done. */
    snprintf(fault, sizeof fault, "result:%u:kill", 100 + mill_draw(&s.m, 60));
    start_worker(0, fault);
    mill_wait_done(&s.m, s.m.rows, 60);
    ck_assert_int_ge(mill_sql(&s.m, "SELECT count(*) FROM instance"), 2 * 3);
    finish_and_verify(60);
    (void)mill_twice(&s.m, &total);
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("chaos");
    TCase *t = tcase_create("chaos");

    tcase_set_timeout(t, 3600);
    tcase_add_test(t, whatever_is_killed_each_row_is_there_once);
    tcase_add_test(t, q3_a_broker_that_is_killed_costs_at_most_its_last_second);
    tcase_add_test(t, q2_a_broker_that_ends_at_the_worst_moment_loses_nothing);
    tcase_add_test(t, a_worker_that_ends_with_a_result_in_hand_loses_nothing);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
