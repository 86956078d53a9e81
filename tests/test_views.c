/* test_views.c - what the views say of a file, and what asking them costs. */
#include <sqlite3.h>
#include <string.h>

#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

static sqlite3 *db;

static void exec(const char *sql)
{
    char *error = NULL;

    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK, "%s: %s", error, sql);
}

/* The first cell of a query's first row as text; "" is NULL, "none" no row. */
static const char *cell(const char *sql)
{
    static char text[2048];
    sqlite3_stmt *st = NULL;
    int step;

    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, "%s: %s",
                  sqlite3_errmsg(db), sql);
    step = sqlite3_step(st);
    if (step == SQLITE_ROW)
        snprintf(text, sizeof text, "%s",
                 sqlite3_column_text(st, 0) ? (const char *)sqlite3_column_text(st, 0) : "");
    else
        snprintf(text, sizeof text, "none");
    sqlite3_finalize(st);
    return text;
}

/* A batch of six rows in every state, two instances; the broker is away, so the test writes. */
static void scene_open(void)
{
    const char *path = test_path("v.db");
    struct queue *q = rows_open(path);

    rows_add(q, rows_batch(q, "b", "", 0), "row", 6);
    rows_instance(q, "u1");
    rows_instance(q, "u2");
    queue_close(&q);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    exec("UPDATE instance SET state='here', device='cpu';"
         "UPDATE job SET state=1, attempts=1 WHERE job_id=1; UPDATE job SET state=2, attempts=2 "
         "WHERE job_id=2;"
         "UPDATE job SET state=3 WHERE job_id=3; UPDATE job SET state=4 WHERE job_id=4;"
         "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,cached_tokens,"
         "output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,batch_invariant,text,choices)"
         " VALUES(1,1,2,'stop',10,4,3,1,20,300,1000321,7,1,'answer','[]');"
         "INSERT INTO attempt VALUES(1,1,0,2,900,1,'engine','it broke',NULL,800),"
         "(2,1,0,1,950,1,'first','a',NULL,940),(2,2,0,1,990,1,'second','b',NULL,960);"
         "UPDATE batch SET n_ready=2, n_done=1, n_failed=1, n_paused=1, n_cancelled=1,"
         " prompt_tokens=10, output_tokens=3");
}

static void scene_close(void)
{
    sqlite3_close(db);
}

#define STATES "SELECT group_concat(state,' ') FROM (SELECT state FROM results ORDER BY job_id)"
#define COUNTS                                                                                     \
    "SELECT state||' '||ready||' '||done||' '||failed||' '||paused||' '||cancelled||' '||jobs "    \
    "FROM progress"

/* --- a batch's state over its jobs' --- */

START_TEST(each_state_is_named_and_counted)
{
    scene_open();
    ck_assert_str_eq(cell(STATES), "done failed paused cancelled ready ready");
    ck_assert_str_eq(cell(COUNTS), "running 2 1 1 1 1 6");
    scene_close();
}
END_TEST

START_TEST(what_is_left_of_a_cancelled_batch_is_cancelled)
{
    scene_open();
    exec("UPDATE batch SET state=4");
    ck_assert_str_eq(cell(STATES), "done failed cancelled cancelled cancelled cancelled");
    ck_assert_str_eq(cell(COUNTS), "cancelled 0 1 1 0 4 6");
    ck_assert_str_eq(cell("SELECT group_concat(ifnull(error_code,'-'),' ') FROM (SELECT error_code "
                          "FROM results ORDER BY job_id)"),
                     "- second batch_cancelled batch_cancelled batch_cancelled batch_cancelled");
    ck_assert_str_eq(cell("SELECT count(*) FROM results WHERE error_message LIKE '%cancelled%'"),
                     "4");
    scene_close();
}
END_TEST

START_TEST(what_is_ready_in_a_paused_batch_is_paused)
{
    scene_open();
    exec("UPDATE batch SET state=3");
    ck_assert_str_eq(cell(STATES), "done failed paused cancelled paused paused");
    ck_assert_str_eq(cell(COUNTS), "paused 0 1 1 3 1 6");
    ck_assert_str_eq(cell("SELECT eta_s FROM progress"), "");
    scene_close();
}
END_TEST

START_TEST(a_batch_that_is_being_deleted_says_so)
{
    scene_open();
    exec("UPDATE batch SET deleting=1");
    ck_assert_str_eq(cell(COUNTS), "deleting 0 1 1 0 4 6");
    ck_assert_str_eq(cell("SELECT count(*) FROM results WHERE state='cancelled'"), "4");
    scene_close();
}
END_TEST

START_TEST(a_batch_waits_for_its_time_and_its_window)
{
    scene_open();
    exec("UPDATE batch SET not_before_ms=32503680000000"); /* the year 3000 */
    ck_assert_str_eq(cell("SELECT state FROM progress"), "waiting");
    exec("UPDATE batch SET not_before_ms=1000");
    ck_assert_str_eq(cell("SELECT state||not_before_ms FROM progress"), "running1000");
    /* An hour from two hours ahead on; the same turned inside out is open now. */
    exec("UPDATE batch SET (window_from, window_to) = (SELECT (m+120)%1440, (m+180)%1440 FROM"
         " (SELECT strftime('%H','now','localtime')*60+strftime('%M','now','localtime') AS m))");
    ck_assert_str_eq(cell("SELECT state FROM progress"), "waiting");
    exec("UPDATE batch SET (window_from, window_to) = (window_to, window_from)");
    ck_assert_str_eq(cell("SELECT state FROM progress"), "running");
    exec("UPDATE batch SET window_from=22*60, window_to=7*60+5, deadline_ms=2000");
    ck_assert_str_eq(cell("SELECT window||' '||deadline_ms FROM progress"), "22:00-07:05 2000");
    exec("UPDATE batch SET n_ready=0, n_paused=0, not_before_ms=32503680000000");
    ck_assert_str_eq(cell("SELECT state FROM progress"), "finished");
    scene_close();
}
END_TEST

/* --- attempts --- */

START_TEST(every_attempt_is_there_and_the_last_one_gave_the_answer)
{
    scene_open();
    ck_assert_str_eq(
        cell("SELECT group_concat(n||' '||instance||' '||leased_ms||'-'||ended_ms||' '||code||' '||"
             "counts, ', ') FROM (SELECT * FROM attempts WHERE batch='b' AND custom_id='row0'"
             " ORDER BY n)"),
        "1 n-u2 800-900 engine 1, 2 n-u1 1000000-1000321 done 1");
    ck_assert_str_eq(cell("SELECT count(*) FROM attempts WHERE custom_id='row1'"), "2");
    ck_assert_str_eq(cell("SELECT sum(counts) FROM attempts WHERE custom_id='row0'"),
                     cell("SELECT attempts FROM results WHERE custom_id='row0'"));
    scene_close();
}
END_TEST

START_TEST(a_reused_answer_is_no_attempt_of_its_own)
{
    scene_open();
    exec("UPDATE result SET reused_from=5");
    ck_assert_str_eq(cell("SELECT code||counts||ifnull(leased_ms,'') FROM attempts WHERE n=2 AND"
                          " custom_id='row0'"),
                     "reused0");
    ck_assert_str_eq(cell("SELECT reused_from||device FROM results WHERE custom_id='row0'"),
                     "5cpu");
    ck_assert_str_eq(cell("SELECT count(*) FROM slowest"), "0");
    scene_close();
}
END_TEST

START_TEST(an_error_is_that_of_the_latest_generation)
{
    scene_open();
    ck_assert_str_eq(cell("SELECT code FROM errors"), "second");
    /* Replaced by a line that was refused: attempt 0 of the next generation. */
    exec("INSERT INTO attempt VALUES(2,0,1,NULL,1000,0,'refused','c','prompt',NULL)");
    ck_assert_str_eq(cell("SELECT code||param FROM errors"), "refusedprompt");
    ck_assert_str_eq(cell("SELECT error_code FROM results WHERE state='failed'"), "refused");
    scene_close();
}
END_TEST

/* --- instances --- */

static void metric(int instance, int at_s, int tokens, int running)
{
    char sql[512];

    snprintf(sql, sizeof sql,
             "INSERT INTO instance_metric VALUES(%d,%d,2000,1,%d,0,4,100,%d,0,64,48,5,%d,300,200,"
             "1048576,35000,2100,NULL)",
             instance, at_s * 1000, tokens, running, running);
    exec(sql);
}

START_TEST(instances_show_their_last_metric_and_the_speed_of_its_minute)
{
    scene_open();
    metric(1, 100, 9000, 3); /* more than a minute before the last */
    metric(1, 198, 200, 3);
    metric(1, 200, 400, 3);
    metric(2, 300, 100, 3);
    metric(2, 302, 0, 0); /* it has nothing to do */
    ck_assert_str_eq(cell("SELECT tokens_per_s||' '||running||' '||leased_rows||' '||kv_free||' '||"
                          "memory_bytes||' '||power_mw||' '||clock_mhz||' '||metric_ms FROM "
                          "instances WHERE name='n-u1'"),
                     "150.0 3 3 48 1048576 35000 2100 200000");
    ck_assert_str_eq(cell("SELECT rows_done||' '||prompt_tokens FROM instances WHERE name='n-u1'"),
                     "3 9600");
    ck_assert_str_eq(cell("SELECT tokens_per_s FROM instances WHERE name='n-u2'"), "0.0");
    exec("UPDATE instance SET state='gone'");
    ck_assert_str_eq(cell("SELECT sum(tokens_per_s) FROM instances"), "0.0");
    scene_close();
}
END_TEST

START_TEST(an_instance_without_a_metric_is_shown)
{
    scene_open();
    exec("INSERT INTO instance_profile VALUES(2,1,'measured',1,2,3,4,5,6,100,7.5,8.5,40,0,1)");
    ck_assert_str_eq(cell("SELECT count(*) FROM instances WHERE running IS NULL"), "2");
    ck_assert_str_eq(cell("SELECT profile||k1||mape FROM instances WHERE instance_id=2"),
                     "measured3.07.5");
    ck_assert_str_eq(cell("SELECT held_out_mape||' '||samples||' '||shared||' '||drifted FROM "
                          "instances WHERE instance_id=2"),
                     "8.5 40 0 1");
    scene_close();
}
END_TEST

START_TEST(a_plan_shows_while_it_is_active_and_who_is_there_for_it)
{
    scene_open();
    exec("INSERT INTO node VALUES(1,'desk','h','here',1,2,"
         "'[{\"name\":\"EPYC\",\"device\":\"cpu\",\"bytes\":9}]',4,9,0);"
         "INSERT INTO plan "
         "VALUES(1,5,'past','m','b',7,60,0,'{}'),(2,6,'active','m','b',7,50,0.5,'{}');"
         "INSERT INTO plan_instance VALUES(1,1,'desk','cpu',1,'f32','f32',100,2,'measured',3),"
         "(2,1,'desk','cpu',1,'f32','f32',100,2,'measured',NULL),"
         "(2,2,'rack','cuda:0,1',2,'bf16','fp8',100,2,'roofline',NULL)");
    ck_assert_str_eq(cell("SELECT name||' '||devices||' '||instances FROM nodes"),
                     "desk cpu EPYC 1");
    ck_assert_str_eq(cell("SELECT group_concat(plan_id||node||n||state,' ') FROM plans"),
                     "2desk1away 2rack2away");
    exec("UPDATE instance SET name='desk-1' WHERE uuid='u1'");
    ck_assert_str_eq(cell("SELECT group_concat(node||n||state,' ') FROM plans"),
                     "desk1here rack2away");
    exec("UPDATE instance SET state='gone'");
    ck_assert_str_eq(cell("SELECT count(*) FROM plans WHERE state='here'"), "0");
    ck_assert_int_ne(sqlite3_exec(db, "UPDATE plan SET state='active'", NULL, NULL, NULL),
                     SQLITE_OK);
    scene_close();
}
END_TEST

START_TEST(nobody_here_means_no_time_left)
{
    scene_open();
    metric(1, 100, 200, 3);
    ck_assert_str_eq(cell("SELECT tokens_per_s||' '||eta_s FROM progress"), "100.0 0.26");
    exec("UPDATE instance SET state='gone'");
    ck_assert_str_eq(cell("SELECT eta_s FROM progress"), "");
    scene_close();
}
END_TEST

START_TEST(throughput_sums_a_minute)
{
    scene_open();
    metric(1, 60, 200, 2);
    metric(1, 62, 400, 4);
    metric(1, 120, 900, 6);
    ck_assert_str_eq(cell("SELECT count(*) FROM throughput"), "2");
    ck_assert_str_eq(cell("SELECT prompt_tokens||' '||tokens_per_s||' '||running||' '||power_mw||"
                          "' '||cached_tokens FROM throughput WHERE minute LIKE '%:01'"),
                     "600 150.0 3.0 35000.0 10");
    scene_close();
}
END_TEST

/* --- what a question costs --- */

/* Does a line of the plan begin with these words? */
static bool plans(const char *sql, const char *words)
{
    char plan[1024];
    sqlite3_stmt *st = NULL;
    bool found = false;

    snprintf(plan, sizeof plan, "EXPLAIN QUERY PLAN %s", sql);
    ck_assert_msg(sqlite3_prepare_v2(db, plan, -1, &st, NULL) == SQLITE_OK, "%s: %s",
                  sqlite3_errmsg(db), sql);
    while (sqlite3_step(st) == SQLITE_ROW) {
        const char *line = (const char *)sqlite3_column_text(st, 3);
        size_t n = strlen(words);

        found |= !strncmp(line, words, n) && (line[n] == '\0' || line[n] == ' ');
    }
    sqlite3_finalize(st);
    return found;
}

/* Does it walk a whole table of rows? */
static bool scans(const char *sql)
{
    static const char *const TABLES[] = {"SCAN j", "SCAN p", "SCAN r",
                                         "SCAN a", "SCAN m", "SCAN job"};

    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++)
        if (plans(sql, TABLES[i])) return true;
    return false;
}

START_TEST(a_question_about_one_batch_reads_no_other)
{
    scene_open();
    ck_assert(scans("SELECT * FROM results")); /* the test can tell */
    ck_assert(!scans("SELECT * FROM results WHERE batch='b'"));
    ck_assert(!scans("SELECT * FROM results WHERE batch='b' AND custom_id='row0'"));
    ck_assert(!scans("SELECT * FROM results WHERE job_id=3"));
    ck_assert_str_eq(cell("SELECT id_hash=(SELECT id_hash FROM job WHERE job_id=1) FROM results"
                          " WHERE custom_id='row0'"),
                     "1");
    ck_assert(!scans("SELECT * FROM errors WHERE batch='b'"));
    ck_assert(plans("SELECT * FROM errors WHERE batch='b'", /* not the others of the batch */
                    "SEARCH j USING INDEX job_failed (batch_id=?)"));
    ck_assert(!scans("SELECT * FROM attempts WHERE batch='b'"));
    ck_assert(!scans("SELECT * FROM attempts WHERE job_id=1"));
    ck_assert(!scans("SELECT * FROM slowest WHERE batch='b' LIMIT 3"));
    ck_assert(!scans("SELECT * FROM instances WHERE state='here'"));
    ck_assert(!scans("SELECT * FROM progress")); /* from the counters alone */
    scene_close();
}
END_TEST

/* --- the manual --- */

START_TEST(every_column_of_every_view_is_in_the_manual)
{
    struct buf page = process_read("docs/database.md");
    sqlite3_stmt *st = NULL;
    int n = 0;

    scene_open();
    ck_assert_int_eq(sqlite3_prepare_v2(db,
                                        "SELECT v.name, c.name FROM sqlite_schema v, "
                                        "pragma_table_info(v.name) c WHERE v.type='view'",
                                        -1, &st, NULL),
                     SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        const char *view = (const char *)sqlite3_column_text(st, 0);
        char head[64], column[64], *from, *to;

        snprintf(head, sizeof head, "\n### %s\n", view);
        snprintf(column, sizeof column, "`%s`", (const char *)sqlite3_column_text(st, 1));
        from = strstr(page.data, head);
        ck_assert_msg(from != NULL, "docs/database.md has no section ### %s", view);
        from += strlen(head);
        to = strstr(from, "\n##");
        ck_assert_ptr_nonnull(to);
        ck_assert_msg(memmem(from, (size_t)(to - from), column, strlen(column)) != NULL,
                      "docs/database.md, ### %s: no %s", view, column);
        n++;
    }
    ck_assert_int_ge(n, 90);
    sqlite3_finalize(st);
    buf_fini(&page);
    scene_close();
}
END_TEST

START_TEST(every_column_of_every_table_is_in_the_manual)
{
    struct buf page = process_read("docs/database.md");
    const char *tables = strstr(page.data, "\n## Tables"), *end;
    sqlite3_stmt *st = NULL;
    int n = 0;

    scene_open();
    ck_assert_ptr_nonnull(tables);
    end = strstr(tables, "\n## Queries");
    ck_assert_ptr_nonnull(end);
    ck_assert_int_eq(sqlite3_prepare_v2(db,
                                        "SELECT t.name, c.name FROM sqlite_schema t, "
                                        "pragma_table_info(t.name) c WHERE t.type='table' AND "
                                        "t.name NOT LIKE 'sqlite%'",
                                        -1, &st, NULL),
                     SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(st, 0);
        char name[64], column[64], *from, *to;

        snprintf(name, sizeof name, "\n`%s`", table);
        snprintf(column, sizeof column, "`%s`", (const char *)sqlite3_column_text(st, 1));
        from = strstr(tables, name);
        ck_assert_msg(from && from < end, "docs/database.md, ## Tables: no %s", table);
        to = strstr(from, "\n\n`"); /* the next table's */
        if (!to || to > end) to = (char *)(uintptr_t)end;
        ck_assert_msg(memmem(from, (size_t)(to - from), column, strlen(column)) != NULL,
                      "docs/database.md, table %s: no %s", table, column);
        n++;
    }
    ck_assert_int_ge(n, 100);
    sqlite3_finalize(st);
    buf_fini(&page);
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("views");
    TCase *t = tcase_create("views");

    tcase_add_test(t, each_state_is_named_and_counted);
    tcase_add_test(t, what_is_left_of_a_cancelled_batch_is_cancelled);
    tcase_add_test(t, what_is_ready_in_a_paused_batch_is_paused);
    tcase_add_test(t, a_batch_that_is_being_deleted_says_so);
    tcase_add_test(t, a_batch_waits_for_its_time_and_its_window);
    tcase_add_test(t, every_attempt_is_there_and_the_last_one_gave_the_answer);
    tcase_add_test(t, a_reused_answer_is_no_attempt_of_its_own);
    tcase_add_test(t, an_error_is_that_of_the_latest_generation);
    tcase_add_test(t, instances_show_their_last_metric_and_the_speed_of_its_minute);
    tcase_add_test(t, an_instance_without_a_metric_is_shown);
    tcase_add_test(t, a_plan_shows_while_it_is_active_and_who_is_there_for_it);
    tcase_add_test(t, nobody_here_means_no_time_left);
    tcase_add_test(t, throughput_sums_a_minute);
    tcase_add_test(t, a_question_about_one_batch_reads_no_other);
    tcase_add_test(t, every_column_of_every_view_is_in_the_manual);
    tcase_add_test(t, every_column_of_every_table_is_in_the_manual);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
