/* test_writer.c - the writer's thread: order, groups, and a disk that says no. */
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "broker/writer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

static struct errmsg e;
static char db[512];

static struct writer *open_writer(void)
{
    struct dbfile_opts o = {.sync_normal = true};
    struct writer *w;

    snprintf(db, sizeof db, "%s", test_path("w.db"));
    ck_assert_msg(!writer_open(&w, db, &o, &e), "%s", e.text);
    return w;
}

static void put_event(struct writer *w, int n)
{
    struct op *op = op_new(OP_EVENT);

    ck_assert_ptr_nonnull(op);
    snprintf(op->level, sizeof op->level, "info");
    snprintf(op->unit, sizeof op->unit, "test");
    snprintf(op->own_text, sizeof op->own_text, "%d", n);
    op->rows = n;
    writer_put(w, op);
}

/* The next op that is on disk, or NULL after limit_ms. */
static struct op *take(struct writer *w, int limit_ms)
{
    int64_t until = clock_mono_ms() + limit_ms;
    struct pollfd p = {writer_fd(w), POLLIN, 0};
    struct op *op;

    while (!(op = writer_take(w)) && clock_mono_ms() < until)
        poll(&p, 1, 10);
    return op;
}

START_TEST(ops_come_back_in_order_after_their_commit)
{
    struct writer *w = open_writer();

    for (int i = 1; i <= 500; i++)
        put_event(w, i);
    for (int i = 1; i <= 500; i++) {
        struct op *op = take(w, 3000);

        ck_assert_ptr_nonnull(op);
        ck_assert_int_eq(op->rows, i);
        if (i % 100 == 1) /* what came back is on disk */
            ck_assert_int_ge(process_sql(db, "SELECT count(*) FROM event"), i);
        op_free(&op);
    }
    ck_assert_ptr_null(writer_take(w));
    writer_close(&w);
    ck_assert_ptr_null(w);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM event WHERE text=event_id"), 500);
}
END_TEST

START_TEST(close_writes_what_was_put)
{
    struct writer *w = open_writer();

    for (int i = 0; i < 200; i++)
        put_event(w, i);
    writer_close(&w);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM event"), 200);
}
END_TEST

START_TEST(failing_commit_is_tried_again_and_nothing_is_acked_meanwhile)
{
    struct writer *w = open_writer();
    struct errmsg why = {{0}};
    struct op *op;

    ck_assert_int_eq(fault_setup("commit:1:fail", &e), ERR_OK);
    ck_assert(!writer_trouble(w, &why));
    put_event(w, 1);
    for (int64_t until = clock_mono_ms() + 3000; !writer_trouble(w, &why);) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(1);
    }
    ck_assert_ptr_nonnull(strstr(why.text, "commit failed"));
    put_event(w, 2);                    /* waits behind it */
    ck_assert_ptr_null(writer_take(w)); /* Q2 */
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM event"), 0);
    for (int i = 1; i <= 2; i++) {
        ck_assert_ptr_nonnull(op = take(w, 3000));
        ck_assert_int_eq(op->rows, i);
        op_free(&op);
    }
    ck_assert(!writer_trouble(w, &why));
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM event"), 2);
    writer_close(&w);
}
END_TEST

START_TEST(close_in_trouble_ends_and_acks_nothing)
{
    struct writer *w = open_writer();

    ck_assert_int_eq(fault_setup("commit:1:fail,commit:2:fail", &e), ERR_OK);
    put_event(w, 1);
    while (!writer_trouble(w, NULL))
        process_sleep_ms(1);
    writer_close(&w);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM event"), 0);
}
END_TEST

/* Another process that began to read and does not end; it goes when the pipe does. */
static pid_t start_reader(int out[2], int end[2])
{
    sqlite3 *c;
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(out) | pipe(end), 0);
    if ((pid = fork())) return pid;
    close(end[1]);
    if (dbfile_open_read(&c, db, &e) ||
        sqlite3_exec(c, "BEGIN; SELECT count(*) FROM event", NULL, NULL, NULL) != SQLITE_OK)
        _exit(1);
    (void)!write(out[1], "x", 1);
    (void)!read(end[0], &byte, 1);
    _exit(0);
}

static void put_until(struct writer *w, const char *sql, int64_t want)
{
    for (int n = 0; process_sql(db, sql) != want; n += 2000) {
        struct op *op;

        ck_assert_int_lt(n, 400000);
        for (int i = 0; i < 2000; i++)
            put_event(w, n + i);
        for (int i = 0; i < 2000; i++) {
            ck_assert_ptr_nonnull(op = take(w, 20000));
            op_free(&op);
        }
    }
}

START_TEST(a_reader_that_keeps_the_log_is_named_in_an_event)
{
    struct dbfile_opts o = {.sync_normal = true, .log_too_big = 1 << 20};
    int out[2], end[2];
    char want[300], byte;
    struct writer *w;
    pid_t pid;

    snprintf(db, sizeof db, "%s", test_path("w.db"));
    rows_file(db, "batch", 1);
    pid = start_reader(out, end);
    ck_assert_int_eq(read(out[0], &byte, 1), 1);
    ck_assert_msg(!writer_open(&w, db, &o, &e), "%s", e.text);
    snprintf(want, sizeof want, /* Q5 */
             "SELECT count(*) FROM event WHERE unit='writer' AND level='warn' AND text LIKE"
             " '%%process %d (test_writer)%%'",
             (int)pid);
    put_until(w, want, 1);
    put_until(w, "SELECT count(*)/10000 FROM event",
              1 + process_sql(db, "SELECT count(*)/10000"
                                  " FROM event"));
    ck_assert_int_eq(process_sql(db, want), 1); /* it is said once */
    close(end[1]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    writer_close(&w);
}
END_TEST

/* A rows message as the broker would hand it over. */
static struct op *rows_op(int64_t batch, int first, int n)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_ROWS, 1};
    struct op *op = op_new(OP_ROWS);
    struct wire_out o;
    static char kept[64][16384]; /* the op borrows the frame */
    static int next;
    char *own = kept[next++ % 64];

    wire_begin(&o, 2);
    wire_put_int(&o, "batch", batch);
    wire_put_array(&o, "rows", (size_t)n);
    for (int i = 0; i < n; i++) {
        char id[16];

        snprintf(id, sizeof id, "r%d", first + i);
        wire_add_array(&o, 7);
        wire_add_str(&o, id, strlen(id));
        wire_add_int(&o, first + i);
        wire_add_int(&o, 0);
        for (int k = 0; k < 4; k++)
            wire_add_str(&o, k ? "" : "body", k ? 0 : 4);
    }
    ck_assert_uint_lt(o.buf.size, sizeof kept[0]);
    memcpy(own, o.buf.data, o.buf.size);
    ck_assert_int_eq(wire_parse(&op->msg, &h, sizeof h, own, o.buf.size, &e), ERR_OK);
    op->has_msg = true;
    wire_fini(&o);
    return op;
}

START_TEST(group_that_is_tried_again_counts_its_rows_once)
{
    struct writer *w = open_writer();
    struct op *op = op_new(OP_BATCH);
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_BATCH, 1};
    static const char MAP[] = "\x81\xA4name\xA1x";

    ck_assert_int_eq(wire_parse(&op->msg, &h, sizeof h, MAP, sizeof MAP - 1, &e), ERR_OK);
    op->has_msg = true;
    ck_assert_int_eq(fault_setup("commit:1:fail", &e), ERR_OK);
    writer_put(w, op); /* its batch will be number 1 */
    writer_put(w, rows_op(1, 0, 20));
    writer_put(w, rows_op(1, 10, 20));
    ck_assert_ptr_nonnull(op = take(w, 3000));
    ck_assert_int_eq(op->batch_id, 1);
    ck_assert(!op->existed);
    op_free(&op);
    ck_assert_ptr_nonnull(op = take(w, 3000));
    ck_assert_int_eq(op->counts[PUT_ADDED], 20);
    op_free(&op);
    ck_assert_ptr_nonnull(op = take(w, 3000));
    ck_assert_int_eq(op->counts[PUT_ADDED], 10);
    ck_assert_int_eq(op->counts[PUT_SAME], 10);
    op_free(&op);
    writer_close(&w);
    rows_recount(db);
}
END_TEST

START_TEST(op_that_is_wrong_alone_does_not_hold_up_its_group)
{
    struct writer *w = open_writer();
    struct op *op;

    put_event(w, 1);
    writer_put(w, rows_op(99, 0, 1)); /* no such batch */
    put_event(w, 2);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(op = take(w, 3000));
        ck_assert_int_eq(op->rc, i == 1 ? ERR_EMPTY : ERR_OK);
        op_free(&op);
    }
    writer_close(&w);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM event"), 2);
}
END_TEST

START_TEST(open_of_what_is_no_database_says_so)
{
    struct dbfile_opts o = {0};
    struct writer *w;

    test_file("w.db", "just some text\n", 15);
    ck_assert_int_eq(writer_open(&w, test_path("w.db"), &o, &e), ERR_FORMAT);
    ck_assert_ptr_null(w);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("writer");
    TCase *t = tcase_create("writer");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, ops_come_back_in_order_after_their_commit);
    tcase_add_test(t, close_writes_what_was_put);
    tcase_add_test(t, failing_commit_is_tried_again_and_nothing_is_acked_meanwhile);
    tcase_add_test(t, close_in_trouble_ends_and_acks_nothing);
    tcase_add_test(t, a_reader_that_keeps_the_log_is_named_in_an_event);
    tcase_add_test(t, group_that_is_tried_again_counts_its_rows_once);
    tcase_add_test(t, op_that_is_wrong_alone_does_not_hold_up_its_group);
    tcase_add_test(t, open_of_what_is_no_database_says_so);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
