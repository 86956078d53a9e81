/* test_export.c - clients/export: which rows of a batch become lines of its files. */
#include <sqlite3.h>
#include <string.h>

#include "clients/export.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

static void change(const char *path, const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int times(const char *text, const char *words)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, words)); at++)
        n++;
    return n;
}

/* Writes the batch's rows and says how many lines hold the words. */
static int lines_with(struct export_opts *o, struct export_counts *n, const char *words)
{
    struct errmsg e;
    struct buf b;
    int found;

    ck_assert_msg(!export_batch(o, n, &e), "%s", e.text);
    b = process_read(o->file);
    found = times(b.data, words);
    buf_fini(&b);
    return found;
}

START_TEST(unfinished_rows_of_a_cancelled_batch_are_batch_cancelled)
{
    const char *db = test_path("q.db");
    struct export_opts o = {.db = db, .batch = "b", .file = test_path("out.jsonl")};
    struct export_counts n;

    rows_file(db, "b", 3);
    ck_assert_int_eq(lines_with(&o, &n, "custom_id"), 0);
    ck_assert_int_eq(n.left, 3);
    change(
        db,
        "UPDATE job SET state=3 WHERE job_id=1; UPDATE batch SET state=4, n_ready=2, n_paused=1");
    for (int i = 0; i < 2; i++) {
        o.unordered = i;
        ck_assert_int_eq(
            lines_with(&o, &n, "\"response\":null,\"error\":{\"code\":\"batch_cancelled\""), 3);
        ck_assert_int_eq(n.failed, 3);
        ck_assert_int_eq(n.left, 0);
    }
}
END_TEST

START_TEST(a_cancelled_row_of_a_live_batch_is_batch_cancelled)
{
    const char *db = test_path("q.db");
    struct export_opts o = {.db = db, .batch = "b", .file = test_path("out.jsonl")};
    struct export_counts n;

    rows_file(db, "b", 3);
    change(db, "UPDATE job SET state=4 WHERE job_id=2; UPDATE batch SET n_ready=2, n_cancelled=1");
    ck_assert_int_eq(lines_with(&o, &n, "batch_cancelled"), 1);
    ck_assert_int_eq(n.left, 2);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("export");
    TCase *t = tcase_create("export");

    tcase_add_test(t, unfinished_rows_of_a_cancelled_batch_are_batch_cancelled);
    tcase_add_test(t, a_cancelled_row_of_a_live_batch_is_batch_cancelled);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
