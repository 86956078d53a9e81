/* overview.c - batches, instances and events as lines for people. */
#include "clients/overview.h"

#include <stdio.h>
#include <string.h>

#include "broker/dbfile.h"
#include "clients/progress.h"
#include "clients/table.h"

#define BAR_WIDTH 10 /* of KV use */
#define KV_TEXT   64

static const char BATCHES_SQL[] =
    "SELECT batch, state, done, failed, jobs - cancelled, tokens_per_s, eta_s, window FROM progress"
    " ORDER BY CASE state WHEN 'running' THEN 0 WHEN 'deleting' THEN 1 WHEN 'waiting' THEN 2"
    " WHEN 'paused' THEN 3 ELSE 4 END, batch_id DESC LIMIT ?1";
static const char INSTANCES_SQL[] =
    "SELECT name, iif(drifted AND state='here', 'drifted', state), device, model, tokens_per_s, "
    "running, waiting, leased_rows, kv_blocks,"
    " kv_free, memory_bytes, power_mw, rows_done, clock_mhz FROM instances"
    " WHERE state='here' OR ?1 ORDER BY state DESC, joined_ms, instance_id";
static const char HEAD_SQL[] =
    "SELECT (SELECT count(*) FROM batch), (SELECT sum(ready + paused) FROM progress),"
    " (SELECT sum(state='running') FROM progress), count(*), sum(tokens_per_s), sum(power_mw)"
    " FROM instances WHERE state='here'";
static const char EVENTS_SQL[] =
    "SELECT * FROM (SELECT strftime('%H:%M:%S', at_ms/1000, 'unixepoch', 'localtime'), level, unit,"
    " text, event_id FROM event ORDER BY event_id DESC LIMIT ?1) ORDER BY event_id";

static int prepare(sqlite3 *db, const char *sql, int64_t arg, sqlite3_stmt **st, struct errmsg *e)
{
    if (sqlite3_prepare_v2(db, sql, -1, st, NULL) != SQLITE_OK)
        return dbfile_error(db, e, "overview");
    if (sqlite3_bind_parameter_count(*st)) sqlite3_bind_int64(*st, 1, arg);
    return ERR_OK;
}

static const char *text_at(sqlite3_stmt *st, int i)
{
    return (const char *)sqlite3_column_text(st, i);
}

static bool is_null(sqlite3_stmt *st, int i)
{
    return sqlite3_column_type(st, i) == SQLITE_NULL;
}

/* "20.8k"; empty when it is not known. */
static const char *count_at(sqlite3_stmt *st, int i, char text[PROGRESS_TEXT])
{
    if (is_null(st, i)) return "";
    return progress_count(text, sqlite3_column_double(st, i));
}

static struct progress progress_at(sqlite3_stmt *st)
{
    bool running = !strcmp(text_at(st, 1), "running") && !is_null(st, 6);
    struct progress p = {.done = sqlite3_column_int64(st, 2),
                         .failed = sqlite3_column_int64(st, 3),
                         .total = sqlite3_column_int64(st, 4),
                         .eta_s = -1};

    if (running) p.tokens_s = sqlite3_column_double(st, 5);
    if (running) p.eta_s = sqlite3_column_double(st, 6);
    return p;
}

static int add_batch(struct table *t, sqlite3_stmt *st, int width)
{
    struct progress p = progress_at(st);
    char state[64];
    const char *cells[3] = {text_at(st, 0), state, NULL};
    struct buf line = {0};
    int rc = progress_line(&line, &p, width > 50 ? width - 30 : 80);

    snprintf(state, sizeof state, "%s%s%s", text_at(st, 1), is_null(st, 7) ? "" : " ",
             is_null(st, 7) ? "" : text_at(st, 7));
    cells[2] = line.data;
    if (!rc) rc = table_row(t, cells);
    buf_fini(&line);
    return rc;
}

int overview_batches(sqlite3 *db, int width, int most, struct buf *out, int *n, struct errmsg *e)
{
    static const struct table_column COLUMNS[] = {
        {"batch", false, 24}, {"state", false, 24}, {"progress", false, 0}};
    struct table *t = NULL;
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE, rc = prepare(db, BATCHES_SQL, most, &st, e);

    *n = 0;
    if (!rc) rc = table_open(&t, COLUMNS, 3);
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
        (*n)++;
        rc = add_batch(t, st, width);
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "progress");
    if (!rc && *n) rc = table_print(t, width, out);
    sqlite3_finalize(st);
    table_close(&t);
    return rc;
}

/* How much of the KV blocks is used: percent, or -1. */
static int kv_percent(sqlite3_stmt *st)
{
    int64_t blocks = sqlite3_column_int64(st, 8);

    if (is_null(st, 8) || blocks <= 0) return -1;
    return (int)((blocks - sqlite3_column_int64(st, 9)) * 100 / blocks);
}

static void kv_text(sqlite3_stmt *st, bool bar, char text[KV_TEXT])
{
    int percent = kv_percent(st), full = (percent * BAR_WIDTH + 50) / 100;

    if (percent < 0)
        text[0] = '\0';
    else if (!bar)
        snprintf(text, KV_TEXT, "%d%%", percent);
    else
        snprintf(text, KV_TEXT, "[%.*s%.*s] %3d%%", full, "##########", BAR_WIDTH - full,
                 "----------", percent);
}

static void power_text(sqlite3_stmt *st, int i, char text[PROGRESS_TEXT])
{
    if (is_null(st, i))
        text[0] = '\0';
    else
        snprintf(text, PROGRESS_TEXT, "%.0f W", sqlite3_column_double(st, i) / 1000);
}

/* Columns of an instance, and how wide a terminal is that has room for them. */
static const struct {
    struct table_column column;
    int from;
} INSTANCE[] = {
    {{"instance", false, 24}, 0}, {{"state", false, 0}, 0},   {{"device", false, 16}, 0},
    {{"model", false, 24}, 0},    {{"tokens/s", true, 0}, 0}, {{"running", true, 0}, 0},
    {{"waiting", true, 0}, 90},   {{"leased", true, 0}, 0},   {{"KV use", true, 0}, 0},
    {{"memory", true, 0}, 98},    {{"power", true, 0}, 106},  {{"rows", true, 0}, 0}};
#define INSTANCE_COLUMNS (sizeof INSTANCE / sizeof INSTANCE[0])
#define BAR_FROM         120

static bool has_room(int width, int from)
{
    return !width || width >= from;
}

static int open_instances(struct table **t, int width)
{
    struct table_column columns[INSTANCE_COLUMNS];
    int n = 0;

    for (size_t i = 0; i < INSTANCE_COLUMNS; i++)
        if (has_room(width, INSTANCE[i].from)) columns[n++] = INSTANCE[i].column;
    return table_open(t, columns, n);
}

static int add_instance(struct table *t, int width, sqlite3_stmt *st)
{
    char rate[PROGRESS_TEXT], memory[PROGRESS_TEXT], power[PROGRESS_TEXT], rows[PROGRESS_TEXT],
        kv[KV_TEXT];
    const char *all[INSTANCE_COLUMNS] = {text_at(st, 0),
                                         text_at(st, 1),
                                         text_at(st, 2),
                                         text_at(st, 3),
                                         count_at(st, 4, rate),
                                         text_at(st, 5),
                                         text_at(st, 6),
                                         text_at(st, 7),
                                         kv,
                                         count_at(st, 10, memory),
                                         power,
                                         count_at(st, 12, rows)};
    const char *cells[INSTANCE_COLUMNS];
    int n = 0;

    kv_text(st, has_room(width, BAR_FROM), kv);
    power_text(st, 11, power);
    for (size_t i = 0; i < INSTANCE_COLUMNS; i++)
        if (has_room(width, INSTANCE[i].from)) cells[n++] = all[i];
    return table_row(t, cells);
}

int overview_instances(sqlite3 *db, bool all, int width, struct buf *out, int *n, struct errmsg *e)
{
    struct table *t = NULL;
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE, rc = prepare(db, INSTANCES_SQL, all, &st, e);

    *n = 0;
    if (!rc) rc = open_instances(&t, width);
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
        (*n)++;
        rc = add_instance(t, width, st);
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "instances");
    if (!rc && *n) rc = table_print(t, width, out);
    sqlite3_finalize(st);
    table_close(&t);
    return rc;
}

int overview_head(sqlite3 *db, struct buf *out, struct errmsg *e)
{
    char left[PROGRESS_TEXT], rate[PROGRESS_TEXT];
    sqlite3_stmt *st = NULL;
    int rc = prepare(db, HEAD_SQL, 0, &st, e);

    if (!rc && sqlite3_step(st) != SQLITE_ROW) rc = dbfile_error(db, e, "overview");
    if (!rc)
        buf_printf(out, "%d batch%s, %d running, %s rows left   %d instance%s, %s tokens/s",
                   sqlite3_column_int(st, 0), sqlite3_column_int(st, 0) == 1 ? "" : "es",
                   sqlite3_column_int(st, 2), progress_count(left, sqlite3_column_double(st, 1)),
                   sqlite3_column_int(st, 3), sqlite3_column_int(st, 3) == 1 ? "" : "s",
                   progress_count(rate, sqlite3_column_double(st, 4)));
    if (!rc && !is_null(st, 5)) buf_printf(out, ", %.0f W", sqlite3_column_double(st, 5) / 1000);
    sqlite3_finalize(st);
    if (!rc && out->failed) rc = ERR_NOMEM;
    return rc;
}

int overview_events(sqlite3 *db, int width, int most, struct buf *out, struct errmsg *e)
{
    static const struct table_column COLUMNS[] = {
        {"time", false, 0}, {"level", false, 0}, {"unit", false, 0}, {"event", false, 0}};
    struct table *t = NULL;
    sqlite3_stmt *st = NULL;
    int n = 0, step = SQLITE_DONE, rc = prepare(db, EVENTS_SQL, most, &st, e);

    if (!rc) rc = table_open(&t, COLUMNS, 4);
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
        const char *cells[] = {text_at(st, 0), text_at(st, 1), text_at(st, 2), text_at(st, 3)};

        n++;
        rc = table_row(t, cells);
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "events");
    if (!rc && n) rc = table_print(t, width, out);
    sqlite3_finalize(st);
    table_close(&t);
    return rc;
}

static void plain_instance(sqlite3_stmt *st, const char *at, struct buf *out)
{
    char memory[PROGRESS_TEXT];
    int kv = kv_percent(st);

    buf_printf(out, "%s instance %s: %.0f tokens/s", at, text_at(st, 0),
               sqlite3_column_double(st, 4));
    if (!is_null(st, 5))
        buf_printf(out, ", %d running, %d waiting", sqlite3_column_int(st, 5),
                   sqlite3_column_int(st, 6));
    if (kv >= 0) buf_printf(out, ", KV %d %%", kv);
    if (!is_null(st, 10)) buf_printf(out, ", memory %s", count_at(st, 10, memory));
    if (!is_null(st, 11)) buf_printf(out, ", %.0f W", sqlite3_column_double(st, 11) / 1000);
    buf_addc(out, '\n');
}

int overview_plain(sqlite3 *db, const char *at, struct buf *out, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE, rc = prepare(db, BATCHES_SQL, -1, &st, e);

    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct progress p = progress_at(st);

        if (!strcmp(text_at(st, 1), "finished") || !strcmp(text_at(st, 1), "cancelled")) continue;
        buf_printf(out, "%s batch %s: %s, ", at, text_at(st, 0), text_at(st, 1));
        rc = progress_plain(out, &p);
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "progress");
    sqlite3_finalize(st);
    st = NULL;
    if (!rc) rc = prepare(db, INSTANCES_SQL, 0, &st, e);
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW)
        plain_instance(st, at, out);
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "instances");
    sqlite3_finalize(st);
    if (!rc && out->failed) rc = ERR_NOMEM;
    return rc;
}
