/* test_dbfile.c - the queue file as a file: made, recognised, locked, migrated, addressed. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "broker/dbfile.h"
#include "broker/queue.h"
#include "schema/sql.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

static struct errmsg e;

static char *copy_of(const char *text)
{
    static char kept[4][600];
    static unsigned next;

    return strcpy(kept[next++ % 4], text);
}

static int open_write(sqlite3 **c, const char *path)
{
    struct dbfile_opts o = {.sync_normal = true};

    return dbfile_open_write(c, path, &o, &e);
}

/* A file that SQLite makes without our help. */
static void make_with(const char *path, const char *sql)
{
    sqlite3 *c;

    ck_assert_int_eq(sqlite3_open(path, &c), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(c, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(c);
}

/* D1: neither way of opening it changes a byte, and nothing appears beside it. */
static void expect_refused(const char *path, int want)
{
    struct buf before = process_read(path), after;
    char beside[640];
    sqlite3 *c;

    ck_assert_int_eq(open_write(&c, path), want);
    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(e.text, path));
    ck_assert_int_eq(dbfile_open_read(&c, path, &e), want);
    ck_assert_ptr_null(c);
    after = process_read(path);
    ck_assert_uint_eq(after.len, before.len);
    ck_assert(!memcmp(after.data, before.data, before.len));
    snprintf(beside, sizeof beside, "%s-wal", path);
    ck_assert_int_ne(access(beside, F_OK), 0);
    buf_fini(&before);
    buf_fini(&after);
}

START_TEST(new_file_is_made_whole)
{
    const char *path = copy_of(test_path("q.db"));
    struct stat st;
    sqlite3 *c;

    ck_assert_msg(!open_write(&c, path), "%s", e.text);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(process_sql(path, "PRAGMA page_size"), 8192);
    ck_assert_int_eq(process_sql(path, "PRAGMA auto_vacuum"), 2);
    ck_assert_int_eq(process_sql(path, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    ck_assert_int_eq(process_sql(path, "PRAGMA user_version"), SCHEMA_VERSION);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM pragma_table_list WHERE type='table'"
                                       " AND NOT strict AND name NOT LIKE 'sqlite_%'"),
                     0);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM sqlite_schema WHERE type='view'"), 9);
    ck_assert_int_eq(process_sql(path, "SELECT journal_mode='wal' FROM pragma_journal_mode"), 1);
    ck_assert_int_eq(process_sql(path, "SELECT length(value) FROM meta WHERE key='db_uuid'"), 32);
    sqlite3_close(c);
    ck_assert_int_ne(access(test_path("q.db.new"), F_OK), 0);
}
END_TEST

START_TEST(two_files_have_two_uuids)
{
    struct queue *a = rows_open(test_path("a.db")), *b = rows_open(test_path("b.db"));

    ck_assert_str_ne(queue_uuid(a), queue_uuid(b));
    queue_close(&a);
    queue_close(&b);
}
END_TEST

START_TEST(half_made_file_of_a_crash_is_made_anew)
{
    const char *path = copy_of(test_path("q.db"));
    sqlite3 *c;

    test_file("q.db.new", "half of a file", 14); /* D2 */
    ck_assert_int_eq(dbfile_open_read(&c, path, &e), ERR_EMPTY);
    ck_assert_msg(!open_write(&c, path), "%s", e.text);
    sqlite3_close(c);
}
END_TEST

START_TEST(log_of_a_file_that_was_deleted_is_not_played_into_the_next)
{
    const char *path = copy_of(test_path("q.db"));
    char log[640];
    struct buf b;
    struct queue *q = rows_open(path);

    rows_add(q, rows_batch(q, "old", "", 0), "row", 5);
    snprintf(log, sizeof log, "%s-wal", path);
    b = process_read(log);
    ck_assert_uint_gt(b.len, 0);
    queue_close(&q);
    ck_assert_int_eq(unlink(path), 0);
    test_file("q.db-wal", b.data, b.len); /* as kill -9 leaves it */
    buf_fini(&b);
    q = rows_open(path);
    ck_assert_int_eq(queue_epoch(q), 1);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM batch"), 0);
    queue_close(&q);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM pragma_integrity_check"), 1);
}
END_TEST

START_TEST(text_file_is_refused_untouched)
{
    char long_text[300];

    memset(long_text, 't', sizeof long_text);
    expect_refused(test_file("short.db", "text", 4), ERR_FORMAT);
    expect_refused(test_file("long.db", long_text, sizeof long_text), ERR_FORMAT);
    expect_refused(test_file("cut.db", "SQLite format 3", 16), ERR_FORMAT);
}
END_TEST

START_TEST(database_of_another_program_is_refused_untouched)
{
    const char *path = copy_of(test_path("other.db"));

    make_with(path, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    expect_refused(path, ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "another program"));
}
END_TEST

START_TEST(file_of_a_newer_version_is_refused_untouched)
{
    const char *path = copy_of(test_path("newer.db"));

    make_with(path, "PRAGMA application_id=0x4E4D494C; PRAGMA user_version=99; CREATE TABLE t(x)");
    expect_refused(path, ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(e.text, "99"));
}
END_TEST

START_TEST(newer_version_that_is_only_in_the_log_is_refused)
{
    const char *path = copy_of(test_path("q.db"));
    char log[640];
    struct buf file, wal;
    sqlite3 *c;

    rows_file(path, "b", 3);
    file = process_read(path);
    ck_assert_msg(!open_write(&c, path), "%s", e.text);
    ck_assert_int_eq(sqlite3_exec(c, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    snprintf(log, sizeof log, "%s-wal", path);
    wal = process_read(log);
    sqlite3_close(c);
    test_file("q.db", file.data, file.len); /* as kill -9 leaves them */
    test_file("q.db-wal", wal.data, wal.len);
    ck_assert_int_eq(open_write(&c, path), ERR_UNSUPPORTED);
    {
        struct buf again = process_read(path), log_again = process_read(log);

        ck_assert_uint_eq(again.len, file.len);
        ck_assert(!memcmp(again.data, file.data, file.len)); /* D1 */
        ck_assert_uint_eq(log_again.len, wal.len);
        ck_assert(!memcmp(log_again.data, wal.data, wal.len));
        buf_fini(&again);
        buf_fini(&log_again);
    }
    buf_fini(&file);
    buf_fini(&wal);
}
END_TEST

START_TEST(cut_file_is_refused_as_damaged)
{
    const char *path = copy_of(test_path("q.db"));
    struct buf b;
    sqlite3 *c;
    char log[640];

    rows_file(path, "b", 3000);
    snprintf(log, sizeof log, "%s-wal", path);
    unlink(log);
    b = process_read(path);
    test_file("q.db", b.data, b.len / 2);
    ck_assert_int_eq(open_write(&c, path), ERR_FORMAT);
    ck_assert_ptr_null(c);
    {
        struct buf after = process_read(path);

        ck_assert_uint_eq(after.len, b.len / 2);
        ck_assert(!memcmp(after.data, b.data, after.len));
        buf_fini(&after);
    }
    buf_fini(&b);
}
END_TEST

START_TEST(empty_file_becomes_a_database)
{
    const char *path = copy_of(test_file("q.db", "", 0));
    sqlite3 *c;

    ck_assert_int_eq(dbfile_open_read(&c, path, &e), ERR_EMPTY);
    ck_assert_msg(!open_write(&c, path), "%s", e.text);
    sqlite3_close(c);
}
END_TEST

START_TEST(reader_cannot_write)
{
    const char *path = copy_of(test_path("q.db"));
    sqlite3 *c;

    rows_file(path, "b", 3);
    ck_assert_msg(!dbfile_open_read(&c, path, &e), "%s", e.text);
    ck_assert_int_eq(sqlite3_exec(c, "DELETE FROM prompt", NULL, NULL, NULL), SQLITE_READONLY);
    sqlite3_close(c);
}
END_TEST

/* Has somebody else a lock on what SQLite shares among readers? */
static bool is_shared(const char *path)
{
    struct flock l = {.l_type = F_WRLCK, .l_start = 0x40000002, .l_len = 510};
    int status, fd;
    pid_t pid = fork();

    if (!pid) {
        fd = open(path, O_RDWR);
        _exit(fd < 0 || fcntl(fd, F_GETLK, &l) ? 2 : l.l_type != F_UNLCK);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 1;
}

/* D6: a foreign program that closes the file last would delete the log under the writer. */
START_TEST(readers_that_come_and_go_take_no_lock_away)
{
    char *path = copy_of(test_path("locks.db"));
    struct queue *q = rows_open(path);
    sqlite3 *c;

    rows_add(q, rows_batch(q, "b", "", 0), "row", 1);
    ck_assert(is_shared(path));
    ck_assert_int_eq(dbfile_open_read(&c, path, &e), ERR_OK);
    ck_assert(is_shared(path));
    sqlite3_close(c);
    ck_assert(is_shared(path));
    queue_close(&q);
    ck_assert(!is_shared(path));
}
END_TEST

START_TEST(second_lock_is_refused_until_the_first_is_given_back)
{
    const char *path = copy_of(test_path("q.db"));
    int one, two;

    ck_assert_int_eq(dbfile_lock(&one, path, &e), ERR_OK); /* D3 */
    ck_assert_int_eq(dbfile_lock(&two, path, &e), ERR_EXISTS);
    ck_assert_int_eq(two, -1);
    close(one);
    ck_assert_int_eq(dbfile_lock(&two, path, &e), ERR_OK);
    close(two);
    ck_assert_int_ne(access(path, F_OK), 0); /* the database itself was not touched */
}
END_TEST

/* --- migrations */

static const char *const UP[] = {
    "CREATE TABLE t(x INTEGER) STRICT; INSERT INTO t VALUES (1),(2)",
    "ALTER TABLE t ADD COLUMN y INTEGER; UPDATE t SET y=x*10",
    "CREATE TABLE u(z); INSERT INTO no_such_table VALUES (1)",
};
static const char VIEWS[] = "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT count(*) AS n FROM t";

static sqlite3 *open_plain(const char *path)
{
    sqlite3 *c;

    ck_assert_int_eq(sqlite3_open(path, &c), SQLITE_OK);
    return c;
}

START_TEST(migration_keeps_the_rows_and_a_copy_of_before)
{
    const char *path = copy_of(test_path("m.db")), *copy = copy_of(test_path("m.db.v1.bak"));
    sqlite3 *c = open_plain(path);
    struct stat st;

    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_msg(!dbfile_migrate(c, path, UP, 1, VIEWS, &e), "%s", e.text);
    ck_assert_int_ne(access(copy, F_OK), 0); /* nothing to copy at version 0 */
    ck_assert_msg(!dbfile_migrate(c, path, UP, 2, VIEWS, &e), "%s", e.text);
    sqlite3_close(c);
    ck_assert_int_eq(process_sql(path, "PRAGMA user_version"), 2);
    ck_assert_int_eq(process_sql(path, "SELECT sum(y) FROM t"), 30);
    ck_assert_int_eq(process_sql(path, "SELECT n FROM v"), 2);
    ck_assert_int_eq(process_sql(copy, "PRAGMA user_version"), 1); /* D4 */
    ck_assert_int_eq(process_sql(copy, "SELECT sum(x) FROM t"), 3);
    ck_assert_int_eq(stat(copy, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600); /* it holds the same prompts */
}
END_TEST

/* A file of that version with these rows, opened by this program: its path. */
static const char *brought_from(const char *at, int version, const char *rows)
{
    const char *path = copy_of(at);
    struct dbfile_opts o = {.sync_normal = true};
    sqlite3 *c = open_plain(path);
    struct queue *q;

    ck_assert_int_eq(sqlite3_exec(c, "PRAGMA application_id=1313687884", NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert_msg(!dbfile_migrate(c, path, SCHEMA_MIGRATIONS, version, "", &e), "%s", e.text);
    ck_assert_msg(sqlite3_exec(c, rows, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(c));
    sqlite3_close(c);
    ck_assert_msg(!queue_open(&q, path, &o, 1, &e), "%s", e.text);
    queue_close(&q);
    ck_assert_int_eq(process_sql(path, "PRAGMA user_version"), SCHEMA_VERSION);
    return path;
}

START_TEST(a_file_of_version_1_comes_through_with_its_rows)
{
    static const char V1[] =
        "INSERT INTO meta "
        "VALUES('db_uuid','u'),('epoch',3),('created_ms',1),('last_version','0.1.0');"
        "INSERT INTO batch(batch_id,name,created_ms,n_ready,n_done,n_failed) VALUES(1,'b',1,1,1,1);"
        "INSERT INTO instance "
        "VALUES(1,'i','n','h','cpu','m','x','f32','f32',1,1,1,1,1,'e','here',1,1);"
        "INSERT INTO job(job_id,batch_id,state,endpoint,line,id_hash,body_hash,created_ms)"
        " VALUES(1,1,0,0,1,1,1,1),(2,1,1,0,2,2,2,1),(3,1,2,0,3,3,3,1);"
        "INSERT INTO prompt VALUES(1,'r1','{}'),(2,'r2','{}'),(3,'r3','{}');"
        "INSERT INTO result VALUES(2,1,1,'stop',1,0,1,0,0,0,9,0,1,'text','[]');"
        "INSERT INTO attempt VALUES(3,1,0,1,9,1,'bad','it broke',NULL);";
    const char *path = brought_from(test_path("v1.db"), 1, V1);

    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM results WHERE text='text'"), 1);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM errors WHERE code='bad'"), 1);
    ck_assert_int_eq(process_sql(path, "SELECT window_from FROM batch WHERE deadline_ms=0"), -1);
}
END_TEST

/* What a version knows is kept, what a later one adds is as if nobody had said it. */
START_TEST(a_file_of_version_3_comes_through_with_its_rows)
{
    static const char V3[] =
        "INSERT INTO meta "
        "VALUES('db_uuid','u'),('epoch',3),('created_ms',1),('last_version','0.1.0');"
        "INSERT INTO instance "
        "VALUES(1,'i','n','h','cpu','m','x','f32','f32',1,1,1,1,1,'e','here',1,1);"
        "INSERT INTO instance_profile VALUES(1,5,'measured',1,2,3,4,5,6,700,2.5);"
        "INSERT INTO batch(batch_id,name,created_ms,n_ready) VALUES(1,'b',1,1);"
        "INSERT INTO job(job_id,batch_id,state,endpoint,line,id_hash,body_hash,created_ms)"
        " VALUES(1,1,0,0,1,1,1,1);"
        "INSERT INTO prompt VALUES(1,'r1','{}');";
    const char *path = brought_from(test_path("v3.db"), 3, V3);

    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM results WHERE custom_id='r1'"), 1);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM instances WHERE k4=6 AND mape=2.5 "
                                       "AND held_out_mape IS NULL AND samples=0 AND drifted=0"),
                     1);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM nodes"), 0);
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM plans"), 0);
}
END_TEST

START_TEST(failing_migration_leaves_the_file_as_it_was)
{
    const char *path = copy_of(test_path("m.db"));
    sqlite3 *c = open_plain(path);

    ck_assert_msg(!dbfile_migrate(c, path, UP, 2, VIEWS, &e), "%s", e.text);
    ck_assert_int_eq(dbfile_migrate(c, path, UP, 3, VIEWS, &e), ERR_DB);
    ck_assert_ptr_nonnull(strstr(e.text, "no_such_table"));
    ck_assert_int_eq(sqlite3_get_autocommit(c), 1);
    sqlite3_close(c);
    ck_assert_int_eq(process_sql(path, "PRAGMA user_version"), 2); /* D4 */
    ck_assert_int_eq(process_sql(path, "SELECT count(*) FROM sqlite_schema WHERE name='u'"), 0);
    ck_assert_int_eq(process_sql(path, "SELECT n FROM v"), 2);
}
END_TEST

START_TEST(migration_of_a_current_file_does_nothing)
{
    const char *path = copy_of(test_path("m.db"));
    sqlite3 *c = open_plain(path);

    ck_assert_int_eq(dbfile_migrate(c, path, UP, 2, VIEWS, &e), ERR_OK);
    ck_assert_int_eq(dbfile_migrate(c, path, UP, 2, VIEWS, &e), ERR_OK);
    ck_assert_int_eq(dbfile_migrate(c, path, UP, 1, VIEWS, &e), ERR_UNSUPPORTED); /* D1 */
    sqlite3_close(c);
    ck_assert_int_ne(access(test_path("m.db.v2.bak"), F_OK), 0);
}
END_TEST

/* --- addresses */

START_TEST(views_are_those_of_the_program_that_opens_the_file)
{
    const char *path = test_path("views.db");
    sqlite3 *c;

    ck_assert_int_eq(open_write(&c, path), ERR_OK);
    ck_assert_int_eq(sqlite3_exec(c,
                                  "DROP VIEW progress; CREATE VIEW progress AS SELECT 1 AS old;"
                                  "UPDATE meta SET value='of another text' WHERE key='views'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(c);
    ck_assert_int_eq(process_sql(path, "SELECT old FROM progress"), 1);
    ck_assert_int_eq(open_write(&c, path), ERR_OK); /* D5 */
    ck_assert_int_eq(process_sql(path, "SELECT count(eta_s) FROM progress"), 0);
    ck_assert_int_eq(sqlite3_total_changes(c), 1); /* the hash */
    sqlite3_close(c);
    ck_assert_int_eq(open_write(&c, path), ERR_OK);
    ck_assert_int_eq(sqlite3_total_changes(c), 0); /* and then nothing */
    sqlite3_close(c);
}
END_TEST

START_TEST(short_path_has_its_socket_beside_it)
{
    char address[256], want[600];

    snprintf(want, sizeof want, "ipc://%s", test_path("q.db.sock"));
    ck_assert_msg(!dbfile_address(test_path("q.db"), address, sizeof address, &e), "%s", e.text);
    ck_assert_str_eq(address, want);
}
END_TEST

START_TEST(one_file_has_one_address_however_it_is_named)
{
    char one[256], two[256], path[700];

    ck_assert_int_eq(dbfile_address(test_path("q.db"), one, sizeof one, &e), ERR_OK);
    snprintf(path, sizeof path, "%s/./q.db", test_dir());
    ck_assert_int_eq(dbfile_address(path, two, sizeof two, &e), ERR_OK);
    ck_assert_str_eq(one, two);
    ck_assert_int_eq(chdir(test_dir()), 0);
    ck_assert_int_eq(dbfile_address("q.db", two, sizeof two, &e), ERR_OK);
    ck_assert_str_eq(one, two);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(long_path_has_a_hashed_socket_in_the_runtime_directory)
{
    char address[256], other[256], name[130];

    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    ck_assert_int_eq(dbfile_address(test_path(name), address, sizeof address, &e), ERR_OK);
    ck_assert_uint_lt(strlen(address), 107);
    ck_assert_ptr_eq(strstr(address, "ipc:///run/user/7/nightmill-"), address);
    name[0] = 'm';
    ck_assert_int_eq(dbfile_address(test_path(name), other, sizeof other, &e), ERR_OK);
    ck_assert_str_ne(address, other);
    unsetenv("XDG_RUNTIME_DIR");
    ck_assert_int_eq(dbfile_address(test_path(name), other, sizeof other, &e), ERR_OK);
    ck_assert_ptr_eq(strstr(other, "ipc:///tmp/nightmill-"), other);
}
END_TEST

START_TEST(path_in_no_directory_has_no_address)
{
    char address[256];

    ck_assert_int_eq(dbfile_address(test_path("no/q.db"), address, sizeof address, &e), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.text, "/no"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dbfile");
    TCase *t = tcase_create("dbfile");

    tcase_add_test(t, new_file_is_made_whole);
    tcase_add_test(t, two_files_have_two_uuids);
    tcase_add_test(t, half_made_file_of_a_crash_is_made_anew);
    tcase_add_test(t, log_of_a_file_that_was_deleted_is_not_played_into_the_next);
    tcase_add_test(t, text_file_is_refused_untouched);
    tcase_add_test(t, database_of_another_program_is_refused_untouched);
    tcase_add_test(t, file_of_a_newer_version_is_refused_untouched);
    tcase_add_test(t, newer_version_that_is_only_in_the_log_is_refused);
    tcase_add_test(t, cut_file_is_refused_as_damaged);
    tcase_add_test(t, empty_file_becomes_a_database);
    tcase_add_test(t, reader_cannot_write);
    tcase_add_test(t, readers_that_come_and_go_take_no_lock_away);
    tcase_add_test(t, second_lock_is_refused_until_the_first_is_given_back);
    tcase_add_test(t, migration_keeps_the_rows_and_a_copy_of_before);
    tcase_add_test(t, a_file_of_version_1_comes_through_with_its_rows);
    tcase_add_test(t, a_file_of_version_3_comes_through_with_its_rows);
    tcase_add_test(t, failing_migration_leaves_the_file_as_it_was);
    tcase_add_test(t, migration_of_a_current_file_does_nothing);
    tcase_add_test(t, views_are_those_of_the_program_that_opens_the_file);
    tcase_add_test(t, short_path_has_its_socket_beside_it);
    tcase_add_test(t, one_file_has_one_address_however_it_is_named);
    tcase_add_test(t, long_path_has_a_hashed_socket_in_the_runtime_directory);
    tcase_add_test(t, path_in_no_directory_has_no_address);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
