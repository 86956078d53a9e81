/* report_charts.c - a report's pictures. */
#include "clients/report_charts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/dbfile.h"
#include "clients/chart.h"

#define STEPS  150
#define MARGIN 2000 /* the last metric comes a little after the last answer */
#define MOST   64   /* instances with a bar of their own */
#define NAME   64

static const char SPAN_SQL[] =
    "SELECT min(created_ms), max(CASE WHEN ready+paused>0 THEN ?2 ELSE"
    " ifnull(last_done_ms, created_ms) END), count(*) FROM progress WHERE ?1 IS NULL OR batch=?1";
/* The instances that did most, first; the others are one series. */
static const char WHO_SQL[] =
    "SELECT m.instance_id, i.name FROM instance_metric m JOIN instance i USING (instance_id)"
    " WHERE m.at_ms BETWEEN ?1 AND ?2 GROUP BY m.instance_id"
    " HAVING sum(m.prompt_tokens+m.output_tokens)>0"
    " ORDER BY sum(m.prompt_tokens+m.output_tokens) DESC";
static const char WORK_SQL[] =
    "SELECT instance_id, at_ms, span_ms, prompt_tokens+output_tokens FROM instance_metric"
    " WHERE at_ms BETWEEN ?1 AND ?2 AND prompt_tokens+output_tokens>0";
static const char HERE_SQL[] =
    "SELECT name, joined_ms, CASE state WHEN 'here' THEN ?2 ELSE seen_ms END, instance_id"
    " FROM instance WHERE joined_ms<=?2 AND (state='here' OR seen_ms>=?1) ORDER BY joined_ms";

int report_find_span(sqlite3 *db, const char *batch, int64_t now_ms, struct report_span *out,
                     struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int rc = ERR_OK;

    if (sqlite3_prepare_v2(db, SPAN_SQL, -1, &st, NULL) != SQLITE_OK)
        return dbfile_error(db, e, "report");
    if (batch) sqlite3_bind_text(st, 1, batch, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, now_ms);
    if (sqlite3_step(st) != SQLITE_ROW)
        rc = dbfile_error(db, e, "report");
    else if (batch && !sqlite3_column_int(st, 2))
        rc = err_set(e, ERR_EMPTY, "there is no batch '%s'", batch);
    else
        *out =
            (struct report_span){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1) + MARGIN};
    sqlite3_finalize(st);
    return rc;
}

/* --- throughput ------------------------------------------------------------------------------- */

struct work {
    int64_t from_ms, step_ms, ids[CHART_COLOURS]; /* the last place is the others' */
    char names[CHART_COLOURS][NAME];
    int n;
    double y[CHART_COLOURS][STEPS]; /* tokens a second */
};

static int find_who(sqlite3 *db, const struct report_span *span, struct work *w, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE;

    if (sqlite3_prepare_v2(db, WHO_SQL, -1, &st, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(st, 1, span->from_ms);
        sqlite3_bind_int64(st, 2, span->to_ms);
        while ((step = sqlite3_step(st)) == SQLITE_ROW) {
            const char *name = (const char *)sqlite3_column_text(st, 1);

            if (w->n == CHART_COLOURS) { /* one too many */
                w->ids[w->n - 1] = 0;
                name = "others";
            } else {
                w->ids[w->n++] = sqlite3_column_int64(st, 0);
            }
            snprintf(w->names[w->n - 1], NAME, "%s", name);
        }
    }
    sqlite3_finalize(st);
    return step == SQLITE_DONE ? ERR_OK : dbfile_error(db, e, "report");
}

/* Spreads tokens over the steps that the row's time touches. */
static void add_work(struct work *w, int64_t id, int64_t at_ms, int64_t span_ms, double tokens)
{
    double begin = (double)(at_ms - span_ms - w->from_ms) / (double)w->step_ms;
    double end = (double)(at_ms - w->from_ms) / (double)w->step_ms;
    int k = 0;

    while (k < w->n - 1 && w->ids[k] != id)
        k++;
    if (begin < 0) begin = 0;
    if (end > STEPS) end = STEPS;
    for (int i = (int)begin; i < STEPS && i < end; i++) {
        double from = begin > i ? begin : i, to = end < i + 1 ? end : i + 1;

        if (to > from)
            w->y[k][i] += tokens * (to - from) / (end - begin) * 1000 / (double)w->step_ms;
    }
}

static int read_work(sqlite3 *db, const struct report_span *span, struct work *w, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int step = SQLITE_ERROR;

    if (sqlite3_prepare_v2(db, WORK_SQL, -1, &st, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(st, 1, span->from_ms);
        sqlite3_bind_int64(st, 2, span->to_ms);
        while ((step = sqlite3_step(st)) == SQLITE_ROW)
            add_work(w, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                     sqlite3_column_int64(st, 2), sqlite3_column_double(st, 3));
    }
    sqlite3_finalize(st);
    return step == SQLITE_DONE ? ERR_OK : dbfile_error(db, e, "report");
}

static int add_throughput(sqlite3 *db, const struct report_span *span, struct work *w,
                          struct buf *out, struct errmsg *e)
{
    struct chart_series series[CHART_COLOURS];
    int rc = read_work(db, span, w, e);

    if (rc || !w->n) return rc;
    for (int k = 0; k < w->n; k++)
        series[k] = (struct chart_series){w->names[k], w->y[k]};
    buf_adds(out, "<h2>Tokens a second</h2>\n<p>prompts and answers, by instance</p>\n");
    return chart_areas(out, series, w->n, STEPS, w->from_ms, w->step_ms, "/s");
}

/* --- who was here ----------------------------------------------------------------------------- */

/* The colour that the instance has in the picture above. */
static int colour_of(const struct work *w, int64_t id)
{
    for (int k = 0; k < w->n; k++)
        if (w->ids[k] == id) return k;
    return CHART_COLOURS - 1;
}

static int add_presence(sqlite3 *db, const struct report_span *span, const struct work *w,
                        struct buf *out, struct errmsg *e)
{
    struct chart_bar bars[MOST];
    char names[MOST][NAME];
    sqlite3_stmt *st = NULL;
    int n = 0, step = SQLITE_ERROR, rc;

    if (sqlite3_prepare_v2(db, HERE_SQL, -1, &st, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(st, 1, span->from_ms);
        sqlite3_bind_int64(st, 2, span->to_ms);
        while ((step = sqlite3_step(st)) == SQLITE_ROW && n < MOST) {
            int64_t from = sqlite3_column_int64(st, 1), to = sqlite3_column_int64(st, 2);

            snprintf(names[n], NAME, "%s", (const char *)sqlite3_column_text(st, 0));
            bars[n] = (struct chart_bar){names[n], from > span->from_ms ? from : span->from_ms,
                                         to < span->to_ms ? to : span->to_ms,
                                         colour_of(w, sqlite3_column_int64(st, 3))};
            n++;
        }
    }
    rc = step == SQLITE_DONE || n == MOST ? ERR_OK : dbfile_error(db, e, "report");
    sqlite3_finalize(st);
    if (rc || !n) return rc;
    buf_adds(out, "<h2>Who was here</h2>\n");
    return chart_bars(out, bars, n, span->from_ms, span->to_ms);
}

int report_charts(sqlite3 *db, const struct report_span *span, struct buf *out, struct errmsg *e)
{
    struct work *w = calloc(1, sizeof *w);
    int rc = w ? find_who(db, span, w, e) : ERR_NOMEM;

    if (rc) goto out;
    w->from_ms = span->from_ms;
    w->step_ms = (span->to_ms - span->from_ms) / STEPS + 1;
    if ((rc = add_throughput(db, span, w, out, e))) goto out;
    rc = add_presence(db, span, w, out, e);
out:
    free(w);
    return rc;
}
