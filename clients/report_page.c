/* report_page.c - what a night came to: the tables, and how they are written. */
#include "clients/report_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/dbfile.h"
#include "clients/html.h"
#include "clients/report_charts.h"
#include "clients/table.h"

#define LONG_TEXT 40 /* bytes */

/* A table: @ becomes the choice of the batch; ?1 is its name, ?2 and ?3 the time it took. */
struct section {
    const char *title, *empty, *sql;
};

#define CLOCK(column) "strftime('%Y-%m-%d %H:%M:%S', " column "/1000, 'unixepoch', 'localtime')"
#define SECONDS(a, b) "round((" b "-" a ")/1000.0, 1)"
/* In the order of the files' pages, not of a batch's index: most of them are wanted. */
#define DONE                                                                                       \
    " FROM result r CROSS JOIN job j USING (job_id) CROSS JOIN batch b USING (batch_id) WHERE @"

static const struct section SECTIONS[] = {
    {"Batches", "no batch yet",
     "SELECT batch, state, jobs AS rows, done, failed, cancelled, ready+paused AS left,"
     " prompt_tokens AS 'prompt tokens', cached_tokens AS cached, output_tokens AS 'output tokens',"
     " " CLOCK("created_ms") " AS created, " SECONDS(
         "created_ms", "last_done_ms") " AS seconds,"
                                       " round((prompt_tokens+output_tokens)*1000.0/"
                                       "nullif(last_done_ms-created_ms,0)) AS 'tokens/s'"
                                       " FROM progress WHERE @ ORDER BY batch_id"},
    {"Who answered", "no answer yet",
     "SELECT i.name AS instance, i.device, i.model, sum(n) AS rows, sum(p) AS 'prompt tokens',"
     " sum(o) AS 'output tokens', round(sum(q)*1.0/sum(n)) AS 'queue ms', round(sum(f)*1.0/sum(n))"
     " AS 'prefill ms', round(sum(d)*1.0/sum(n)) AS 'decode ms' FROM (SELECT r.instance_id,"
     " count(*) AS n, sum(r.prompt_tokens) AS p, sum(r.output_tokens) AS o, sum(r.queue_ms) AS q,"
     " sum(r.prefill_ms) AS f, sum(r.decode_ms) AS d" DONE " GROUP BY r.instance_id) JOIN instance"
     " i USING (instance_id) GROUP BY i.name, i.device, i.model ORDER BY rows DESC"},
    {"How fast", "no metric yet",
     "SELECT i.name AS instance, " CLOCK(
         "min(m.at_ms-m.span_ms)") " AS first,"
                                   " " CLOCK(
                                       "max(m.at_ms)") " AS last, round(sum(m.step_ms)/1000.0, 1) "
                                                       "AS 'busy seconds',"
                                                       " round(sum(m.prompt_tokens+m.output_tokens)"
                                                       "*1000.0/nullif(sum(m.step_ms),0)) AS"
                                                       " 'tokens/s busy', "
                                                       "round(sum(m.step_ms)*1.0/"
                                                       "nullif(sum(m.steps),0), 2) AS 'ms/step',"
                                                       " round(avg(m.running),1) AS running, "
                                                       "max((m.kv_blocks-m.kv_free)*100/"
                                                       "max(m.kv_blocks,1)) AS"
                                                       " 'KV %', max(m.memory_bytes)/1000000 AS "
                                                       "'memory MB', round(avg(m.power_mw)/1000) "
                                                       "AS watts,"
                                                       " round(sum(m.power_mw*m.span_ms)/3.6e9, 3) "
                                                       "AS Wh"
                                                       " FROM instance_metric m JOIN instance i "
                                                       "USING (instance_id) WHERE m.at_ms BETWEEN "
                                                       "?2 AND ?3"
                                                       " GROUP BY m.instance_id HAVING "
                                                       "sum(m.steps)>0 ORDER BY i.joined_ms"},
    {"What failed", "no row failed",
     "SELECT code, count(*) AS rows, min(line) AS 'first line', min(custom_id) AS 'for example',"
     " min(message) AS message FROM errors WHERE @ GROUP BY code ORDER BY rows DESC"},
    {"How attempts ended", "no attempt yet",
     "SELECT a.code, count(*) AS attempts, sum(a.counts) AS 'used up', count(DISTINCT a.job_id) AS"
     " rows, " CLOCK("min(a.ended_ms)") " AS first, " CLOCK(
         "max(a.ended_ms)") " AS last"
                            " FROM attempt a CROSS JOIN job j USING (job_id) CROSS JOIN batch b "
                            "USING (batch_id) WHERE @"
                            " GROUP BY a.code UNION ALL"
                            " SELECT iif(r.reused_from IS NULL, 'done', 'reused') AS code, "
                            "count(*), sum(r.reused_from IS"
                            " NULL), count(*), " CLOCK("min(r.done_ms)") ", " CLOCK(
                                "max(r.done_ms)") DONE
     " GROUP BY r.reused_from IS NULL ORDER BY attempts DESC"},
    {"The slowest rows", "no answer yet",
     "SELECT p.custom_id, t.batch, i.name AS instance, t.prompt_tokens AS 'prompt tokens',"
     " t.output_tokens AS 'output tokens', t.queue_ms AS 'queue ms', t.prefill_ms AS 'prefill ms',"
     " t.decode_ms AS 'decode ms', t.run_ms AS 'run ms' FROM (SELECT r.job_id, r.instance_id, "
     "r.prompt_tokens, r.output_tokens, r.queue_ms, r.prefill_ms, r.decode_ms, b.name AS batch,"
     " r.prefill_ms+r.decode_ms AS run_ms" DONE " AND r.reused_from IS NULL ORDER BY run_ms DESC"
     " LIMIT 10) t JOIN prompt p USING (job_id) LEFT JOIN instance i USING (instance_id)"
     " ORDER BY t.run_ms DESC"},
    {"What ran when", "nobody worked on it",
     "SELECT name AS instance, host, device, model, state, " CLOCK(
         "joined_ms") " AS joined,"
                      " " CLOCK("seen_ms") " AS 'last seen' FROM instance"
                                           " WHERE joined_ms<=?3 AND (state='here' OR seen_ms>=?2) "
                                           "ORDER BY joined_ms"},
    {"Warnings", "no warning",
     "SELECT " CLOCK("at_ms") " AS time, level, unit, text FROM event WHERE level<>'info'"
                              " AND at_ms BETWEEN ?2 AND ?3 ORDER BY event_id DESC LIMIT 20"},
};
#define N_SECTIONS (sizeof SECTIONS / sizeof SECTIONS[0])

static const char STYLE[] =
    "<style>:root{--fg:#1d2330;--bg:#fff;--dim:#6a7385;--line:#e3e6ec;--head:#f5f6f9}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6e8ee;--bg:#15181f;--dim:#98a1b3;--line:#"
    "2c3240;"
    "--head:#1d212b}}"
    "body{font:14px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);"
    "max-width:1120px;margin:24px auto;padding:0 16px}"
    "h1{font-size:22px;margin:0}h2{font-size:16px;margin:28px 0 6px}p{color:var(--dim);margin:2px "
    "0}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}"
    "th{text-align:left;font-weight:600;background:var(--head)}"
    "th,td{padding:4px 8px;border-bottom:1px solid "
    "var(--line);vertical-align:top;white-space:nowrap}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}td.w{white-space:normal}"
    "svg{width:100%;height:auto;display:block}svg text{font-size:11px;fill:var(--dim)}"
    ".grid{stroke:var(--line);stroke-width:1}.legend span{margin-right:14px;white-space:nowrap}"
    ".legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}"
    ".s0{fill:#0072b2}.s1{fill:#e69f00}.s2{fill:#009e73}.s3{fill:#cc79a7}.s4{fill:#56b4e9}"
    ".s5{fill:#d55e00}.s6{fill:#8a7fd1}.s7{fill:#8d99ae}"
    ".b0{background:#0072b2}.b1{background:#e69f00}.b2{background:#009e73}.b3{background:#cc79a7}"
    ".b4{background:#56b4e9}.b5{background:#d55e00}.b6{background:#8a7fd1}.b7{background:#8d99ae}"
    "</style>\n";

/* The section's SQL with the choice of the batch in its places. */
static int fill_in(struct buf *sql, const char *text, const char *batch)
{
    const char *choice = !batch ? "1" : strstr(text, "batch b") ? "b.name=?1" : "batch=?1";

    for (const char *at; (at = strchr(text, '@')); text = at + 1) {
        buf_add(sql, text, (size_t)(at - text));
        buf_adds(sql, choice);
    }
    buf_adds(sql, text);
    return sql->failed ? ERR_NOMEM : ERR_OK;
}

static int prepare(sqlite3 *db, const struct section *s, const char *batch,
                   const struct report_span *span, sqlite3_stmt **st, struct errmsg *e)
{
    struct buf sql = {0};
    int rc = fill_in(&sql, s->sql, batch);

    if (!rc && sqlite3_prepare_v2(db, sql.data, -1, st, NULL) != SQLITE_OK)
        rc = dbfile_error(db, e, s->title);
    buf_fini(&sql);
    if (rc) return rc;
    if (batch) sqlite3_bind_text(*st, 1, batch, -1, SQLITE_STATIC);
    sqlite3_bind_int64(*st, 2, span->from_ms);
    sqlite3_bind_int64(*st, 3, span->to_ms);
    return rc;
}

static bool is_number(sqlite3_stmt *st, int i)
{
    int type = sqlite3_column_type(st, i);

    return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

/* Fractions are cut to what a person reads. */
static const char *cell_text(sqlite3_stmt *st, int i, char text[64])
{
    if (sqlite3_column_type(st, i) != SQLITE_FLOAT) return (const char *)sqlite3_column_text(st, i);
    snprintf(text, 64, "%.10g", sqlite3_column_double(st, i));
    return text;
}

/* Numbers stand right; only long text is broken into lines. */
static const char *cell_class(sqlite3_stmt *st, int i)
{
    if (is_number(st, i)) return " class=n";
    return sqlite3_column_bytes(st, i) > LONG_TEXT ? " class=w" : "";
}

static void html_row(sqlite3_stmt *st, bool head, struct buf *out)
{
    char text[64];

    buf_adds(out, "<tr>");
    for (int i = 0; i < sqlite3_column_count(st); i++) {
        buf_printf(out, "<%s%s>", head ? "th" : "td", cell_class(st, i));
        html_text(out, head ? sqlite3_column_name(st, i) : cell_text(st, i, text));
    }
    buf_adds(out, "</tr>\n");
}

static int html_table(sqlite3_stmt *st, int *step, struct buf *out)
{
    buf_adds(out, "<div class=wide><table>");
    html_row(st, true, out);
    do
        html_row(st, false, out);
    while ((*step = sqlite3_step(st)) == SQLITE_ROW);
    return buf_adds(out, "</table></div>\n");
}

static int text_table(sqlite3_stmt *st, int *step, struct buf *out)
{
    int n = sqlite3_column_count(st), rc = ERR_NOMEM;
    struct table_column *columns = calloc((size_t)n, sizeof *columns);
    const char **cells = calloc((size_t)n, sizeof *cells);
    char(*text)[64] = calloc((size_t)n, sizeof *text);
    struct table *t = NULL;

    if (!columns || !cells || !text) goto out;
    for (int i = 0; i < n; i++)
        columns[i] = (struct table_column){sqlite3_column_name(st, i), is_number(st, i), 60};
    rc = table_open(&t, columns, n);
    do {
        for (int i = 0; i < n; i++)
            cells[i] = cell_text(st, i, text[i]);
        if (!rc) rc = table_row(t, cells);
    } while ((*step = sqlite3_step(st)) == SQLITE_ROW);
    if (!rc) rc = table_print(t, 0, out);
out:
    table_close(&t);
    free(columns);
    free(cells);
    free(text);
    return rc;
}

static int add_section(sqlite3 *db, const struct section *s, const struct report_opts *o,
                       const struct report_span *span, struct buf *out, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int step, rc = prepare(db, s, o->batch, span, &st, e);

    if (rc) return rc;
    buf_printf(out, o->html ? "<h2>%s</h2>\n" : "\n%s\n\n", s->title);
    step = sqlite3_step(st);
    if (step == SQLITE_ROW)
        rc = o->html ? html_table(st, &step, out) : text_table(st, &step, out);
    else
        buf_printf(out, o->html ? "<p>%s</p>\n" : "%s\n", s->empty);
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, s->title);
    sqlite3_finalize(st);
    return rc;
}

static void add_head(const struct report_opts *o, struct buf *out)
{
    time_t now = (time_t)(o->now_ms / 1000);
    char at[32];
    struct tm tm;

    localtime_r(&now, &tm);
    strftime(at, sizeof at, "%Y-%m-%d %H:%M:%S", &tm);
    if (!o->html) {
        buf_printf(out, "%s, %s%s, %s\n", o->file, o->batch ? "batch " : "all batches",
                   o->batch ? o->batch : "", at);
        return;
    }
    buf_adds(out, "<!doctype html>\n<html lang=en><meta charset=utf-8>"
                  "<meta name=viewport content=\"width=device-width\">\n<title>");
    html_text(out, o->batch ? o->batch : o->file);
    buf_printf(out, "</title>\n%s<h1>", STYLE);
    html_text(out, o->batch ? o->batch : "All batches");
    buf_adds(out, "</h1><p>");
    html_text(out, o->file);
    buf_printf(out, ", %s</p>\n", at);
}

int report_page(sqlite3 *db, const struct report_opts *o, struct buf *out, struct errmsg *e)
{
    struct report_span span;
    int rc = report_find_span(db, o->batch, o->now_ms, &span, e);

    if (rc) return rc;
    add_head(o, out);
    for (size_t i = 0; !rc && i < N_SECTIONS; i++) {
        rc = add_section(db, &SECTIONS[i], o, &span, out, e);
        if (!rc && o->html && !i) rc = report_charts(db, &span, out, e);
    }
    if (o->html) buf_adds(out, "</html>\n");
    return rc ? rc : out->failed ? ERR_NOMEM : ERR_OK;
}
