/* test_report.c - a report's pages and pictures. */
#include <sqlite3.h>
#include <string.h>

#include "clients/chart.h"
#include "clients/html.h"
#include "clients/overview.h"
#include "clients/report_page.h"
#include "tests/rows.h"
#include "tests/test.h"

static struct errmsg e;
static sqlite3 *db;
static struct buf out;

static void exec(const char *sql)
{
    char *error = NULL;

    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK, "%s: %s", error, sql);
}

static void scene_open(void)
{
    const char *path = test_path("r.db");
    struct queue *q = rows_open(path);

    rows_add(q, rows_batch(q, "b<i>", "", 0), "row", 3);
    rows_add(q, rows_batch(q, "other", "", 0), "else", 2);
    rows_instance(q, "u1");
    queue_close(&q);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
}

/* One row of the first batch is done, one has failed by a hostile message, twenty seconds of work.
 */
static void fill(void)
{
    exec("UPDATE instance SET name='<script>alert(1)</script>';"
         "UPDATE job SET state=1 WHERE job_id=1; UPDATE job SET state=2 WHERE job_id=2;"
         "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,cached_tokens,"
         "output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,batch_invariant,text,choices)"
         " VALUES(1,1,1,'stop',10,0,3,1,20,300,1800000020000,7,1,'answer','[]');"
         "INSERT INTO attempt VALUES(2,1,0,1,1800000001000,1,'boom','<b>&\"',NULL,1800000000500);"
         "UPDATE batch SET n_ready=1, n_done=1, n_failed=1, last_done_ms=1800000020000"
         " WHERE batch_id=1");
    for (int i = 1; i <= 10; i++) {
        char sql[256];

        snprintf(sql, sizeof sql,
                 "INSERT INTO instance_metric VALUES(1,%lld,2000,1,900,100,4,100,3,0,64,48,0,1,1,1,"
                 "1000000,36000,2000,NULL)",
                 1800000000000LL + i * 2000);
        exec(sql);
    }
}

static int page(const char *batch, bool html)
{
    struct report_opts o = {"night.db", batch, html, 1800000030000};

    buf_clear(&out);
    return report_page(db, &o, &out, &e);
}

static bool says(const char *words)
{
    return memmem(out.data, out.len, words, strlen(words)) != NULL;
}

static void scene_close(void)
{
    sqlite3_close(db);
    buf_fini(&out);
}

START_TEST(text_holds_every_section)
{
    scene_open();
    fill();
    ck_assert_int_eq(page(NULL, false), ERR_OK);
    ck_assert(says("boom"));
    ck_assert(says("row0"));
    ck_assert(says("other"));
    ck_assert(says("10000")); /* tokens a second while busy */
    ck_assert(says("0.2"));   /* 36 W for 20 s, in Wh */
    ck_assert(!says("<h2>"));
    scene_close();
}
END_TEST

START_TEST(a_batch_is_told_of_alone)
{
    scene_open();
    fill();
    ck_assert_int_eq(page("other", false), ERR_OK);
    ck_assert(!says("boom"));
    ck_assert(!says("row0"));
    ck_assert(says("no row failed"));
    ck_assert_int_eq(page("b<i>", false), ERR_OK);
    ck_assert(says("boom"));
    scene_close();
}
END_TEST

START_TEST(an_unknown_batch_is_named)
{
    scene_open();
    ck_assert_int_eq(page("nobody", true), ERR_EMPTY);
    ck_assert_ptr_nonnull(strstr(e.text, "nobody"));
    scene_close();
}
END_TEST

START_TEST(a_file_without_any_work_has_a_page)
{
    scene_open();
    ck_assert_int_eq(page(NULL, true), ERR_OK);
    ck_assert(says("no answer yet"));
    ck_assert(says("</html>"));
    exec("DELETE FROM prompt; DELETE FROM job; DELETE FROM batch");
    ck_assert_int_eq(page(NULL, true), ERR_OK);
    ck_assert(says("no batch yet"));
    scene_close();
}
END_TEST

START_TEST(the_page_holds_pictures_and_nothing_from_elsewhere)
{
    scene_open();
    fill();
    ck_assert_int_eq(page(NULL, true), ERR_OK);
    ck_assert(says("<svg"));
    ck_assert(says("<path class=s0"));
    ck_assert(!says("http"));
    ck_assert(!says("src="));
    scene_close();
}
END_TEST

START_TEST(names_and_messages_cannot_become_markup)
{
    scene_open();
    fill();
    ck_assert_int_eq(page("b<i>", true), ERR_OK);
    ck_assert(!says("<script"));
    ck_assert(!says("<i>"));
    ck_assert(!says("<b>"));
    ck_assert(says("&lt;script&gt;"));
    ck_assert(says("&lt;b&gt;&amp;&quot;"));
    scene_close();
}
END_TEST

/* Each line's columns; a cut name is what nobody can tell from another. */
START_TEST(a_narrow_terminal_has_fewer_columns_of_instances)
{
    static const int WIDTHS[] = {80, 90, 100, 120, 0};
    int n;

    scene_open();
    fill();
    exec("UPDATE instance SET name='a-host-of-mine-1', model='a-model-of-8b'");
    for (size_t i = 0; i < sizeof WIDTHS / sizeof WIDTHS[0]; i++) {
        buf_clear(&out);
        ck_assert_int_eq(overview_instances(db, true, WIDTHS[i], &out, &n, &e), 0);
        ck_assert_int_eq(n, 1);
        if (WIDTHS[i]) ck_assert_uint_le(strcspn(out.data, "\n"), (size_t)WIDTHS[i]);
        ck_assert(says("a-host-of"));
        ck_assert(says("rows"));
        ck_assert(says("power") == (!WIDTHS[i] || WIDTHS[i] > 100));
    }
    scene_close();
}
END_TEST

START_TEST(text_is_escaped_and_repaired)
{
    ck_assert_int_eq(html_text(&out, "a<b>&\"'\x01\x7F\xFF\n"), ERR_OK);
    ck_assert_str_eq(out.data, "a&lt;b&gt;&amp;&quot;&#39;\xEF\xBF\xBD\n");
    ck_assert_int_eq(html_text(&out, NULL), ERR_OK);
    buf_fini(&out);
}
END_TEST

START_TEST(areas_stand_on_each_other_and_stay_in_the_picture)
{
    const double low[] = {100, 100}, high[] = {300, 100};
    const struct chart_series s[] = {{"low", low}, {"high", high}};

    ck_assert_int_eq(chart_areas(&out, s, 2, 2, 0, 1000, "/s"), ERR_OK);
    /* The axis ends at 500, the plot is 200 high and begins at 10: 100 is at 170, 400 at 50. */
    ck_assert(says("M70.0,170.0 479.0,170.0 479.0,170.0 888.0,170.0 "));
    ck_assert(says("M70.0,50.0 479.0,50.0 479.0,130.0 888.0,130.0 888.0,170.0 "));
    ck_assert(says(">500/s<"));
    buf_fini(&out);
}
END_TEST

START_TEST(bars_span_their_time)
{
    const struct chart_bar bars[] = {{"all", 0, 1000, 0}, {"half", 500, 1000, 1}};

    ck_assert_int_eq(chart_bars(&out, bars, 2, 0, 1000), ERR_OK);
    ck_assert(says("class=s0 x=160.0 y=13 width=728.0 "));
    ck_assert(says("class=s1 x=524.0 y=31 width=364.0 "));
    buf_fini(&out);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("report");
    TCase *t = tcase_create("report");

    tcase_add_test(t, text_holds_every_section);
    tcase_add_test(t, a_batch_is_told_of_alone);
    tcase_add_test(t, an_unknown_batch_is_named);
    tcase_add_test(t, a_file_without_any_work_has_a_page);
    tcase_add_test(t, the_page_holds_pictures_and_nothing_from_elsewhere);
    tcase_add_test(t, names_and_messages_cannot_become_markup);
    tcase_add_test(t, a_narrow_terminal_has_fewer_columns_of_instances);
    tcase_add_test(t, text_is_escaped_and_repaired);
    tcase_add_test(t, areas_stand_on_each_other_and_stay_in_the_picture);
    tcase_add_test(t, bars_span_their_time);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
