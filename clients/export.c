/* export.c - a batch's finished rows out of the queue file. */
#include "clients/export.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/dbfile.h"
#include "clients/sink.h"
#include "schema/state.h"

#define RANGE 4096 /* rows in one read */

/* A cancelled batch keeps its rows' states: what is not finished in it was cancelled with it. */
static const char BATCH_SQL[] =
    "SELECT batch_id, state=4, CASE state WHEN 4 THEN 0 ELSE n_ready + n_paused END FROM batch "
    "WHERE name=?1";
static const char ROWS_SQL[] =
    "SELECT j.job_id, p.custom_id, j.endpoint, j.state, r.text, r.finish_reason, r.prompt_tokens, "
    "r.output_tokens,"
    " r.cached_tokens, r.done_ms, i.model, i.engine, a.code, a.message, a.param, a.ended_ms,"
    " r.reused_from IS NOT NULL, j.line, i.name"
    " FROM job j JOIN prompt p USING (job_id) LEFT JOIN result r USING (job_id) LEFT JOIN instance "
    "i USING (instance_id)"
    " LEFT JOIN attempt a ON j.state=2 AND a.job_id=j.job_id AND a.n=(SELECT max(n) FROM attempt "
    "WHERE job_id=j.job_id AND generation=j.generation)"
    " WHERE j.batch_id=?1 AND (j.state IN (1,2,4) OR ?4)";
static const char IN_ORDER[] = " AND j.job_id>?2 ORDER BY j.job_id LIMIT ?3";
static const char AS_DONE[] =
    " ORDER BY coalesce(r.done_ms, a.ended_ms, 1 << 62), j.job_id LIMIT ?3 OFFSET ?2";

static const char *text_at(sqlite3_stmt *st, int i)
{
    return (const char *)sqlite3_column_text(st, i);
}

static void read_row(sqlite3_stmt *st, const char *batch, struct output_row *r)
{
    enum job_state state = (enum job_state)sqlite3_column_int(st, 3);

    *r = (struct output_row){.batch = batch,
                             .job_id = sqlite3_column_int64(st, 0),
                             .custom_id = text_at(st, 1),
                             .custom_id_len = (size_t)sqlite3_column_bytes(st, 1),
                             .endpoint = (enum endpoint)sqlite3_column_int(st, 2),
                             .line = sqlite3_column_int64(st, 17),
                             .instance = text_at(st, 18)};
    if (state == JOB_DONE) {
        r->text = text_at(st, 4);
        r->text_len = (size_t)sqlite3_column_bytes(st, 4);
        r->finish_reason = text_at(st, 5);
        r->prompt_tokens = sqlite3_column_int64(st, 6);
        r->completion_tokens = sqlite3_column_int64(st, 7);
        r->cached_tokens = sqlite3_column_int64(st, 8);
        r->created_s = sqlite3_column_int64(st, 9) / 1000;
        r->model = text_at(st, 10);
        r->system_fingerprint = text_at(st, 11);
        r->is_reused = sqlite3_column_int(st, 16);
    } else if (state != JOB_FAILED) {
        r->error_code = "batch_cancelled";
        r->error_message = "This request was cancelled before it was executed.";
    } else {
        r->error_code = text_at(st, 12) ? text_at(st, 12) : "unknown";
        r->error_message = text_at(st, 13);
        r->error_param = text_at(st, 14);
        r->created_s = sqlite3_column_int64(st, 15) / 1000;
        r->http_status = output_status(r->error_code);
    }
}

struct export
{
    const struct export_opts *o;
    struct export_counts *n;
    sqlite3 *db;
    sqlite3_stmt *st;
    int64_t batch_id;
    bool cancelled; /* the whole batch */
    struct sink out, errors;
    struct buf line;
};

/* One range; *at moves behind it, *more says whether there may be another. */
static int export_range(struct export *x, int64_t *at, bool *more, struct errmsg *e)
{
    int step, rows = 0, rc = ERR_OK;

    sqlite3_bind_int64(x->st, 1, x->batch_id);
    sqlite3_bind_int64(x->st, 2, *at);
    sqlite3_bind_int(x->st, 3, RANGE);
    sqlite3_bind_int(x->st, 4, x->cancelled);
    while (!rc && (step = sqlite3_step(x->st)) == SQLITE_ROW) {
        struct output_row r;
        FILE *f;

        read_row(x->st, x->o->batch, &r);
        f = r.error_code && x->errors.f ? x->errors.f : x->out.f;
        if (r.error_code)
            x->n->failed++;
        else
            x->n->done++;
        buf_clear(&x->line);
        rc = output_row(&x->line, x->o->format, &r);
        if (rc)
            err_set(e, rc, "out of memory");
        else
            fwrite(x->line.data, 1, x->line.len, f);
        *at = x->o->unordered ? *at + 1 : r.job_id;
        rows++;
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(x->db, e, "results");
    sqlite3_reset(x->st);
    *more = rows == RANGE;
    return rc;
}

static int find_batch(struct export *x, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int rc = ERR_OK;

    if (sqlite3_prepare_v2(x->db, BATCH_SQL, -1, &st, NULL) != SQLITE_OK)
        return dbfile_error(x->db, e, "results");
    sqlite3_bind_text(st, 1, x->o->batch, -1, SQLITE_STATIC);
    if (sqlite3_step(st) == SQLITE_ROW) {
        x->batch_id = sqlite3_column_int64(st, 0);
        x->cancelled = sqlite3_column_int(st, 1);
        x->n->left = sqlite3_column_int64(st, 2);
    } else {
        rc = err_set(e, ERR_EMPTY, "there is no batch '%s'", x->o->batch);
    }
    sqlite3_finalize(st);
    return rc;
}

static int write_head(struct export *x, struct errmsg *e)
{
    if (output_head(&x->line, x->o->format)) return err_set(e, ERR_NOMEM, "out of memory");
    if (x->line.len) fwrite(x->line.data, 1, x->line.len, x->out.f);
    if (x->line.len && x->errors.f) fwrite(x->line.data, 1, x->line.len, x->errors.f);
    return ERR_OK;
}

/* Can a file of this name be made? */
static int check_place(const char *name, struct errmsg *e)
{
    char dir[PATH_MAX];
    const char *slash = name ? strrchr(name, '/') : NULL;

    if (!name) return ERR_OK;
    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - name) + 1, name);
    if (!access(dir, W_OK)) return ERR_OK;
    return err_set(e, ERR_IO, "%s: the folder cannot be written: %s", name, strerror(errno));
}

int export_check(const struct export_opts *o, struct errmsg *e)
{
    int rc;

    if (sink_is_same(o->file, o->db) || sink_is_same(o->errors, o->db))
        return err_set(e, ERR_ARG, "%s: the output would take the queue file's place", o->db);
    if (sink_is_same(o->file, o->errors))
        return err_set(e, ERR_ARG, "%s: answers and errors cannot go to one file", o->file);
    if (sink_is_same(o->file, o->input) || sink_is_same(o->errors, o->input))
        return err_set(e, ERR_ARG, "%s: the output would take the input's place", o->input);
    if ((rc = check_place(o->file, e))) return rc;
    return check_place(o->errors, e);
}

int export_batch(const struct export_opts *o, struct export_counts *n, struct errmsg *e)
{
    struct export x = {.o = o, .n = n};
    char sql[2048];
    bool more = true;
    int64_t at = 0;
    int rc, end;

    memset(n, 0, sizeof *n);
    if ((rc = export_check(o, e))) return rc;
    if ((rc = dbfile_open_read(&x.db, o->db, e))) return rc;
    if ((rc = find_batch(&x, e))) goto out;
    snprintf(sql, sizeof sql, "%s%s", ROWS_SQL, o->unordered ? AS_DONE : IN_ORDER);
    if (sqlite3_prepare_v2(x.db, sql, -1, &x.st, NULL) != SQLITE_OK) {
        rc = dbfile_error(x.db, e, "results");
        goto out;
    }
    if ((rc = sink_open(&x.out, o->file, true, e))) goto out;
    if ((rc = sink_open(&x.errors, o->errors, false, e))) goto out;
    rc = write_head(&x, e);
    while (!rc && more)
        rc = export_range(&x, &at, &more, e);
out:
    end = sink_close(&x.errors, !rc, rc ? NULL : e);
    if (!rc) rc = end;
    end = sink_close(&x.out, !rc, rc ? NULL : e);
    if (!rc) rc = end;
    sqlite3_finalize(x.st);
    sqlite3_close(x.db);
    buf_fini(&x.line);
    return rc;
}
