/* test_faults.c - a disk that refuses a call, and memory that runs out, at every place in turn. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/queue_db.h"
#include "broker/writer.h"
#include "tests/disk.h"
#include "tests/load.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define STRIDE test_rounds(11, 1) /* of the calls, which of them fail */

/* The queue's own changes of names fail like SQLite's calls. */
int rename(const char *from, const char *to)
{
    return disk_rename(from, to);
}

int unlink(const char *path)
{
    return disk_unlink(path);
}

int fsync(int fd)
{
    return disk_sync_fd(fd);
}

static struct load load;
static struct errmsg e;

static void begin(const char *name)
{
    disk_open(1);
    load = (struct load){.random = 1 << 20};
    snprintf(load.path, sizeof load.path, "%s", test_path(name));
}

static void expect_nothing_lost(int call)
{
    const char *wrong = load_check(&load);

    ck_assert_msg(!wrong, "call %d (%s): %s", call, disk_failed_call(), wrong);
}

START_TEST(a_call_that_fails_loses_nothing_and_the_queue_goes_on)
{
    int i;

    for (i = 1;; i += STRIDE) {
        begin("q.db");
        disk_fail_at(i, DISK_REFUSES);
        load_live(&load, i);
        if (!disk_has_failed()) break;
        expect_nothing_lost(i);
        disk_fail_at(0, DISK_REFUSES);
        disk_cut(); /* what was acked is not only in the page cache */
        expect_nothing_lost(i);
        unlink(load.path);
    }
    printf("faults: %d calls of the disk, every %d failed in turn\n", i, STRIDE);
    ck_assert_int_gt(i, 500);
}
END_TEST

START_TEST(after_a_failed_sync_the_connection_is_opened_anew_before_an_ack)
{
    begin("q.db");
    ck_assert_int_eq(load_open(&load), ERR_OK);
    ck_assert_int_eq(load_group(&load), ERR_OK);
    for (int i = 0; i < 20; i++) {
        load.keep_log = true;
        disk_fail_sync_at(1);
        ck_assert_int_eq(load_group(&load), ERR_DB); /* Q2 */
        ck_assert(disk_has_failed());
        ck_assert_ptr_null(load.queue->db);
        load.doubt = load.acked;
        ck_assert_int_eq(load_group(&load), ERR_OK);
    }
    load_close(&load);
    disk_cut();
    expect_nothing_lost(0);
}
END_TEST

/* --- a full disk --- */

START_TEST(a_full_disk_refuses_with_a_clear_word_and_loses_nothing)
{
    bool full = false;

    begin("q.db");
    ck_assert_int_eq(load_open(&load), ERR_OK);
    for (int64_t room = 700000; room < 3000000; room += 100000) {
        int rc = ERR_OK;

        disk_limit(room);
        for (int i = 0; i < 40 && !rc; i++)
            rc = load_group(&load);
        if (!rc) continue;
        full = true;
        ck_assert_msg(rc == ERR_FULL, "%s", load.err.text);
        ck_assert_ptr_nonnull(strstr(load.err.text, "full"));
        load.doubt = load.acked;
    }
    ck_assert(full);
    disk_limit(0);
    ck_assert_int_eq(load_group(&load), ERR_OK); /* there is room again */
    load_close(&load);
    disk_cut();
    expect_nothing_lost(0);
}
END_TEST

/* --- the writer over such a disk --- */

static void put_event(struct writer *w, int n)
{
    struct op *op = op_new(OP_EVENT);

    ck_assert_ptr_nonnull(op);
    snprintf(op->level, sizeof op->level, "info");
    snprintf(op->unit, sizeof op->unit, "test");
    snprintf(op->own_text, sizeof op->own_text, "%d", n);
    writer_put(w, op);
}

static int take_all(struct writer *w, int n)
{
    int64_t until = clock_mono_ms() + 10000;
    struct op *op;
    int taken = 0;

    while (taken < n && clock_mono_ms() < until) {
        if (!(op = writer_take(w))) {
            process_sleep_ms(1);
            continue;
        }
        op_free(&op);
        taken++;
    }
    return taken;
}

START_TEST(the_writer_acks_only_what_survives_a_cut_after_failed_syncs)
{
    struct dbfile_opts o = {0};
    struct writer *w;
    int acked = 0;

    begin("w.db");
    for (int round = 0; round < test_rounds(2, 20); round++) {
        ck_assert_msg(!writer_open(&w, load.path, &o, &e), "%s", e.text);
        disk_fail_sync_at(1 + round % 3);
        for (int i = 0; i < 50; i++)
            put_event(w, i);
        acked += take_all(w, 50);
        ck_assert_int_eq(acked, 50 * (round + 1));
        put_event(w, 50);
        while (!disk_has_failed())
            put_event(w, 51), process_sleep_ms(1);
        disk_fail_at(1, DISK_DIES);
        writer_close(&w);
        disk_cut();
        ck_assert_int_ge(process_sql(load.path, "SELECT count(*) FROM event"), acked);
        acked = 50 * (round + 1);
        ck_assert_int_ge(process_sql(load.path,
                                     "SELECT min(n) FROM (SELECT count(*) AS n FROM event"
                                     " WHERE text+0<50 GROUP BY text)"),
                         round + 1);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("faults");
    TCase *t = tcase_create("faults");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, a_call_that_fails_loses_nothing_and_the_queue_goes_on);
    tcase_add_test(t, after_a_failed_sync_the_connection_is_opened_anew_before_an_ack);
    tcase_add_test(t, a_full_disk_refuses_with_a_clear_word_and_loses_nothing);
    tcase_add_test(t, the_writer_acks_only_what_survives_a_cut_after_failed_syncs);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
