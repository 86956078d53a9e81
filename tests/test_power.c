/* test_power.c - the power goes while the queue works: what a disk may lose, and what it may not.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/disk.h"
#include "tests/load.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define CUTS     60
#define STRIDE   test_rounds(3, 1) /* of the calls of the disk, which of them are tried */
#define LAST_CUT 600               /* a cut comes within so many calls of the disk */

/* The queue's own changes of names go to the same disk as SQLite's. */
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

static uint64_t seed_of(uint64_t dflt)
{
    const char *seed = getenv("TEST_SEED");

    return seed && *seed ? strtoull(seed, NULL, 10) : dflt;
}

static void begin(const char *name, uint64_t seed)
{
    disk_open(seed);
    load = (struct load){.random = seed << 20};
    snprintf(load.path, sizeof load.path, "%s", test_path(name));
}

/* Works until the power goes; now and then a clean end and another start, a reader, a failed sync.
 */
static void work_until_dark(void)
{
    struct errmsg e;
    sqlite3 *reader = NULL;

    while (!disk_is_dead()) {
        int groups = 1 + (int)load_draw(&load, 30);

        if (load_open(&load)) continue;
        if (!load_draw(&load, 3)) (void)!dbfile_open_read(&reader, load.path, &e);
        if (reader) sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM job", NULL, NULL, NULL);
        if (!load_draw(&load, 3)) disk_fail_sync_at(1 + (int64_t)load_draw(&load, 20));
        while (groups-- && !disk_is_dead()) {
            (void)load_group(&load);
            if (groups == 5 && reader) sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL);
        }
        sqlite3_close(reader);
        reader = NULL;
        load_close(&load);
    }
}

/* A file of its own for each run of cuts, so that it stays small. */
static const char *cut_often(int cuts, bool sync_off)
{
    uint64_t seed = seed_of(1);
    const char *wrong = NULL;

    for (int i = 0; i < cuts && !wrong; i++) {
        char name[32];

        snprintf(name, sizeof name, "power%d.db", i / 40);
        if (i % 40 == 0) begin(name, seed + (uint64_t)i);
        load.sync_off = sync_off;
        disk_fail_at(1 + (int64_t)load_draw(&load, LAST_CUT), DISK_DIES);
        work_until_dark();
        disk_cut();
        if (load.n_acked || !access(load.path, F_OK)) wrong = load_check(&load);
        if (wrong) printf("cut %d of seed %llu: %s\n", i, (unsigned long long)seed, wrong);
    }
    return wrong;
}

START_TEST(what_was_acked_survives_a_power_cut) /* Q2 */
{
    int n = test_rounds(CUTS, 1000);

    printf("power: %d cuts from seed %llu\n", n, (unsigned long long)seed_of(1));
    ck_assert_ptr_null(cut_often(n, false));
}
END_TEST

/* Without syncs the same cuts lose acked rows: the disk of this test can lose. */
START_TEST(what_was_acked_is_lost_where_nothing_is_synced)
{
    ck_assert_ptr_nonnull(cut_often(CUTS, true));
}
END_TEST

static void expect_whole(int call)
{
    const char *wrong = load_check(&load);

    ck_assert_msg(!wrong, "a cut at call %d: %s", call, wrong);
}

START_TEST(a_cut_while_the_file_is_made_leaves_none_or_a_whole_one)
{
    int whole = 0, none = 0;

    for (int i = 1;; i += STRIDE) { /* D2 */
        begin("made.db", (uint64_t)i);
        disk_fail_at(i, DISK_DIES);
        if (!load_open(&load)) load_close(&load);
        if (!disk_is_dead()) break;
        disk_cut();
        if (!access(load.path, F_OK)) {
            whole++;
            expect_whole(i);
            ck_assert_int_eq(process_sql(load.path, "SELECT length(value) FROM meta"
                                                    " WHERE key='db_uuid'"),
                             32);
        } else {
            none++;
            ck_assert_int_eq(load.n_acked, 0);
        }
        ck_assert_msg(!load_open(&load), "call %d: %s", i, load.err.text);
        load_close(&load);
        unlink(load.path);
    }
    ck_assert_int_gt(whole, 5);
    ck_assert_int_gt(none, 50);
}
END_TEST

/* A log whose file was deleted must not come back beside the next file of that name. */
START_TEST(a_log_of_a_deleted_file_does_not_come_back_with_a_cut)
{
    char log[600];
    struct buf b;

    for (int i = 1;; i += STRIDE) {
        begin("new.db", (uint64_t)i);
        snprintf(log, sizeof log, "%s-wal", load.path);
        ck_assert_int_eq(load_open(&load), ERR_OK);
        for (int k = 0; k < 5; k++)
            ck_assert_int_eq(load_group(&load), ERR_OK);
        b = process_read(log);
        load_close(&load);
        unlink(load.path);
        test_file("new.db-wal", b.data, b.len); /* as kill -9 and rm leave it */
        buf_fini(&b);
        begin("new.db", (uint64_t)i); /* all of this is stored */
        disk_fail_at(i, DISK_DIES);
        if (!load_open(&load)) load_close(&load);
        if (!disk_is_dead()) break;
        disk_cut();
        if (!access(load.path, F_OK)) {
            expect_whole(i);
            ck_assert_int_eq(process_sql(load.path, "SELECT count(*) FROM job"), 0);
        }
        unlink(load.path);
        unlink(log);
    }
}
END_TEST

static uint64_t at_first; /* of the file before the first group */

/* The file and its log as kill -9 leaves them, nothing of the log copied into the file. */
static void crash_with_a_log(struct buf *file, struct buf *log, char log_path[600], uint64_t seed)
{
    begin("cut.db", seed);
    snprintf(log_path, 600, "%s-wal", load.path);
    load.keep_log = true;
    ck_assert_int_eq(load_open(&load), ERR_OK);
    at_first = load_sum(load.path);
    while (load.n_acked < 40)
        ck_assert_int_eq(load_group(&load), ERR_OK);
    *file = process_read(load.path);
    *log = process_read(log_path);
    load_close(&load);
}

static void put_back(const struct buf *file, size_t file_len, const struct buf *log, size_t log_len)
{
    test_file("cut.db", file->data, file_len);
    test_file("cut.db-wal", log->data, log_len);
    unlink(test_path("cut.db-shm"));
    disk_open(1); /* all of this is stored */
}

static bool was_acked(uint64_t sum)
{
    if (sum == at_first) return true;
    for (int k = 0; k < load.n_acked; k++)
        if (load.history[k] == sum) return true;
    return false;
}

START_TEST(a_log_that_is_cut_or_damaged_gives_an_earlier_commit)
{
    int rounds = test_rounds(40, 1000), earlier = 0;
    struct buf file, log;
    char log_path[600];
    struct load first;

    crash_with_a_log(&file, &log, log_path, seed_of(7));
    first = load;
    for (int i = 0; i < rounds; i++) {
        size_t at = (size_t)load_draw(&first, log.len);
        uint64_t sum;

        load = first;
        log.data[at] ^= (char)(1 << i % 8);
        put_back(&file, file.len, &log, i % 2 ? log.len : at);
        log.data[at] ^= (char)(1 << i % 8);
        sum = load_sum(load.path);
        ck_assert_msg(was_acked(sum), "round %d of seed %llu, at %zu", i,
                      (unsigned long long)seed_of(7), at);
        earlier += sum != first.acked;
        load.epoch = 0; /* and the queue goes on from there */
        ck_assert_int_eq(load_open(&load), ERR_OK);
        ck_assert_int_eq(load_group(&load), ERR_OK);
        load_close(&load);
        rows_recount(load.path);
    }
    ck_assert_int_gt(earlier, rounds / 2);
    buf_fini(&file);
    buf_fini(&log);
}
END_TEST

START_TEST(a_file_that_is_cut_is_refused_and_a_damaged_header_never_gives_wrong_rows)
{
    struct dbfile_opts o = {0};
    struct buf file, log;
    char log_path[600];
    struct errmsg e;
    struct queue *q;

    crash_with_a_log(&file, &log, log_path, seed_of(8));
    buf_fini(&file);
    buf_fini(&log);
    file = process_read(load.path); /* closed: all is in the file */
    for (int i = 0; i < test_rounds(60, 1000); i++) {
        size_t at = (size_t)load_draw(&load, file.len - 1) + 1;
        uint64_t sum;

        put_back(&file, at, &file, 0);
        ck_assert_msg(queue_open(&q, load.path, &o, ROWS_NOW, &e) == ERR_FORMAT,
                      "cut at %zu of %zu", at, file.len);
        at = (size_t)load_draw(&load, 100);
        file.data[at] ^= (char)(1 << i % 8);
        put_back(&file, file.len, &file, 0);
        file.data[at] ^= (char)(1 << i % 8);
        sum = load_sum(load.path);
        ck_assert(!sum || sum == load.acked);
        if (!queue_open(&q, load.path, &o, ROWS_NOW, &e)) queue_close(&q);
    }
    buf_fini(&file);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("power");
    TCase *t = tcase_create("power");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, what_was_acked_survives_a_power_cut);
    tcase_add_test(t, what_was_acked_is_lost_where_nothing_is_synced);
    tcase_add_test(t, a_cut_while_the_file_is_made_leaves_none_or_a_whole_one);
    tcase_add_test(t, a_log_of_a_deleted_file_does_not_come_back_with_a_cut);
    tcase_add_test(t, a_log_that_is_cut_or_damaged_gives_an_earlier_commit);
    tcase_add_test(t, a_file_that_is_cut_is_refused_and_a_damaged_header_never_gives_wrong_rows);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
