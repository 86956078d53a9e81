/* e2e_control.c - pause, resume, cancel, retry and delete, typed by a person while a worker works.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/mill.h"
#include "tests/test.h"

static struct mill m;
static struct process broker, worker, client;

#define STATE(s) mill_sql(&m, "SELECT " s " FROM batch")

/* Rows of a fifth of a second, sixteen at a time; some of them are done. */
static void begin(int rows)
{
    MILL_OPEN(&m, .rows = rows, .ms = 10);
    PROCESS_START(&broker, NULL, "broker", "--db", m.db, "--heartbeat-ms", "100");
    mill_worker(&m, &worker, NULL, "w", "1");
    mill_wait(&m, "SELECT count(*) FROM instance WHERE state='here'", 1, 10);
    mill_submit(&m, &client);
    mill_wait_done(&m, 1, 10);
}

static void end(void)
{
    process_kill(&worker, SIGTERM);
    process_kill(&broker, SIGTERM);
}

#define TYPE(want, ...) ck_assert_int_eq(PROCESS_RUN(&client, 20, __VA_ARGS__, "--db", m.db), want)

/* What it wrote there, to standard error or output. */
static void expect_in(const char *file, const char *what)
{
    struct buf b = process_read(file);

    ck_assert_msg(memmem(b.data, b.len, what, strlen(what)), "%.*s", (int)b.len, b.data);
    buf_fini(&b);
}

/* No row of the batch is under way: each that was is noted as given back. */
static void expect_stopped(const char *code)
{
    int64_t done, until = clock_mono_ms() + 400;
    char sql[128];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM attempt WHERE counts=0 AND code='%s'", code);
    mill_wait(&m, sql, 1, 5);
    done = STATE("n_done");
    while (clock_mono_ms() < until)
        process_sleep_ms(20);
    ck_assert_int_le(STATE("n_done"), done + 16); /* those whose last step it was */
    ck_assert_int_eq(mill_sql(&m, "SELECT sum(attempts) FROM job"), 0); /* Q7 */
}

START_TEST(a_paused_batch_stands_still_and_goes_on)
{
    begin(300);
    TYPE(0, "pause", "b");
    expect_in(client.err, "paused");
    expect_stopped("paused");
    ck_assert_int_eq(mill_sql(&m, "SELECT state='paused' FROM progress"), 1);
    TYPE(0, "resume", "b");
    mill_wait_done(&m, 300, 60);
    mill_verify(&m);
    end();
}
END_TEST

START_TEST(a_cancelled_batch_ends_and_can_be_taken_up_again)
{
    begin(300);
    TYPE(0, "cancel", "b");
    expect_stopped("cancelled");
    TYPE(1, "results", "b"); /* some have no answer */
    expect_in(client.out, "\"batch_cancelled\"");
    TYPE(2, "pause", "b");
    expect_in(client.err, "is cancelled");
    TYPE(0, "retry", "b", "--code", "batch_cancelled");
    mill_wait_done(&m, 300, 60);
    mill_verify(&m);
    end();
}
END_TEST

START_TEST(one_row_is_cancelled_and_a_batch_deleted)
{
    begin(200);
    TYPE(2, "cancel", "b", "--job", "nobody");
    expect_in(client.err, "'nobody'");
    TYPE(2, "cancel", "nothing");
    expect_in(client.err, "there is no batch 'nothing'");
    TYPE(0, "retry", "b");
    expect_in(client.err, "nothing to retry");
    TYPE(2, "delete", "b"); /* nobody can be asked */
    expect_in(client.err, "--yes");
    TYPE(0, "delete", "b", "--yes");
    ck_assert_int_eq(mill_sql(&m, "SELECT count(*) FROM job"), 0);
    mill_submit(&m, &client); /* the name is free, and the worker has let go */
    mill_wait_done(&m, 200, 60);
    mill_verify(&m);
    end();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("control");
    TCase *t = tcase_create("control");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_paused_batch_stands_still_and_goes_on);
    tcase_add_test(t, a_cancelled_batch_ends_and_can_be_taken_up_again);
    tcase_add_test(t, one_row_is_cancelled_and_a_batch_deleted);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
