/* finished.c - a batch's finished rows out of the queue file. */
#include "clients/finished.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "broker/dbfile.h"
#include "schema/state.h"

#define LOOK_EVERY 64 /* rows between two looks at the clock */

/* By job id, not by an index: what is sorted is read once, and in ranges.  In the order of the ids
 * the three tables are walked side by side. */
#define FROM_JOB                                                                                   \
    " FROM job j NOT INDEXED CROSS JOIN prompt p USING (job_id) LEFT JOIN result r USING (job_id)" \
    " WHERE j.job_id BETWEEN ?2 AND ?3 AND j.batch_id=?1 AND (j.state IN (1,2,4) OR ?4)"

/* The choices of a row that has more to say than its text: several of them, or logprobs.  Within a
 * string of JSON these quotes would stand behind a backslash. */
#define SPECIAL_CHOICES                                                                            \
    "CASE WHEN instr(r.choices,'\"index\":1,')+instr(r.choices,'\"logprobs\":{') THEN r.choices "  \
    "END"

enum statement { ST_BATCH, ST_ENDS, ST_ROWS, ST_TIMES, ST_FAILURE, ST_INSTANCE, ST_COUNT };

static const char *const SQL[ST_COUNT] = {
    [ST_BATCH] = "SELECT batch_id, n_ready + n_paused, state FROM batch WHERE name=?1",
    [ST_ENDS] = "SELECT ifnull(min(job_id),1), ifnull(max(job_id),0) FROM job INDEXED BY job_by_id"
                " WHERE batch_id=?1",
    [ST_ROWS] = "SELECT j.job_id, p.custom_id, j.endpoint, j.state, j.generation, r.text,"
                " r.finish_reason, r.prompt_tokens, r.output_tokens, r.cached_tokens, r.done_ms,"
                " r.instance_id, r.reused_from IS NOT NULL, j.line, " SPECIAL_CHOICES FROM_JOB
                " ORDER BY j.job_id",
    [ST_TIMES] = "SELECT j.job_id, CASE j.state WHEN 1 THEN r.done_ms WHEN 2 THEN"
                 " (SELECT ended_ms FROM attempt a WHERE a.job_id=j.job_id AND"
                 " a.generation=j.generation ORDER BY n DESC LIMIT 1) ELSE 1<<62 END" FROM_JOB
                 " ORDER BY j.job_id",
    [ST_FAILURE] = "SELECT code, message, param, ended_ms FROM attempt"
                   " WHERE job_id=?1 AND generation=?2 ORDER BY n DESC LIMIT 1",
    [ST_INSTANCE] = "SELECT model, engine, name FROM instance WHERE instance_id=?1",
};

struct instance {
    int64_t id;
    char *model, *engine, *name; /* owned */
};

struct when {
    int64_t ms, job_id;
};

struct finished {
    sqlite3 *db;
    sqlite3_stmt *st[ST_COUNT];
    char *batch;
    uint64_t batch_hash;
    int64_t batch_id, left;
    bool is_cancelled; /* the batch: what was not done will not be */
    int64_t at, last;  /* the next id to be looked at; the batch's last */
    int64_t to;        /* of this range */
    int64_t until_ms;
    int n; /* rows of this range so far */
    bool in_range, reading;
    struct when *order; /* [n_order], unordered only; at and last count in it */
    size_t n_order;
    struct instance *instances; /* [n_instances] */
    size_t n_instances;
};

static int db_error(struct finished *f, struct errmsg *e)
{
    return dbfile_error(f->db, e, "results");
}

/* --- open and close --------------------------------------------------------------------------- */

static int find_batch(struct finished *f, struct errmsg *e)
{
    sqlite3_stmt *st = f->st[ST_BATCH], *ends = f->st[ST_ENDS];

    sqlite3_bind_text(st, 1, f->batch, -1, SQLITE_STATIC);
    switch (sqlite3_step(st)) {
    case SQLITE_ROW: break;
    case SQLITE_DONE: return err_set(e, ERR_EMPTY, "there is no batch '%s'", f->batch);
    default: return db_error(f, e);
    }
    f->batch_id = sqlite3_column_int64(st, 0);
    f->is_cancelled = sqlite3_column_int(st, 2) == JOB_CANCELLED;
    f->left = f->is_cancelled ? 0 : sqlite3_column_int64(st, 1);
    sqlite3_reset(st);
    sqlite3_bind_int64(ends, 1, f->batch_id);
    if (sqlite3_step(ends) != SQLITE_ROW) return db_error(f, e);
    f->at = sqlite3_column_int64(ends, 0);
    f->last = sqlite3_column_int64(ends, 1);
    sqlite3_reset(ends);
    return ERR_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct when *x = a, *y = b;

    if (x->ms != y->ms) return x->ms < y->ms ? -1 : 1;
    return (x->job_id > y->job_id) - (x->job_id < y->job_id);
}

static void bind_range(struct finished *f, enum statement which, int64_t from, int64_t to)
{
    sqlite3_bind_int64(f->st[which], 1, f->batch_id);
    sqlite3_bind_int64(f->st[which], 2, from);
    sqlite3_bind_int64(f->st[which], 3, to);
    sqlite3_bind_int(f->st[which], 4, f->is_cancelled);
}

/* The times of the rows from..to, behind those that are known; *room is what the array holds. */
static int read_times(struct finished *f, int64_t from, int64_t to, size_t *room, struct errmsg *e)
{
    sqlite3_stmt *st = f->st[ST_TIMES];
    int step, rc = ERR_OK;

    bind_range(f, ST_TIMES, from, to);
    while ((step = sqlite3_step(st)) == SQLITE_ROW) {
        if (f->n_order == *room) {
            struct when *more = realloc(f->order, (*room ? *room * 2 : 1024) * sizeof *more);

            if (!more) {
                rc = err_set(e, ERR_NOMEM, "out of memory");
                break;
            }
            *room = *room ? *room * 2 : 1024;
            f->order = more;
        }
        f->order[f->n_order++] =
            (struct when){sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 0)};
    }
    if (!rc && step != SQLITE_DONE) rc = db_error(f, e);
    sqlite3_reset(st);
    return rc;
}

static int sort_rows(struct finished *f, struct errmsg *e)
{
    size_t room = 0;
    int rc = ERR_OK;

    for (int64_t at = f->at; !rc && at <= f->last; at += FINISHED_RANGE)
        rc = read_times(f, at, at + FINISHED_RANGE - 1, &room, e);
    if (rc) return rc;
    if (f->n_order) qsort(f->order, f->n_order, sizeof *f->order, by_time);
    f->at = 0;
    f->last = (int64_t)f->n_order - 1;
    return ERR_OK;
}

int finished_open(struct finished **out, const char *db, const char *batch, bool unordered,
                  struct errmsg *e)
{
    struct finished *f = calloc(1, sizeof *f);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!f || !(f->batch = strdup(batch))) {
        err_set(e, rc, "out of memory");
        goto out;
    }
    f->batch_hash = hash64(batch, strlen(batch));
    if ((rc = dbfile_open_read(&f->db, db, e))) goto out;
    for (int i = 0; !rc && i < ST_COUNT; i++)
        if (sqlite3_prepare_v3(f->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &f->st[i], NULL) !=
            SQLITE_OK)
            rc = db_error(f, e);
    if (!rc) rc = find_batch(f, e);
    if (!rc && unordered) rc = sort_rows(f, e);
    if (rc) goto out;
    *out = f;
    f = NULL;
out:
    finished_close(&f);
    return rc;
}

void finished_close(struct finished **f)
{
    if (!*f) return;
    for (int i = 0; i < ST_COUNT; i++)
        sqlite3_finalize((*f)->st[i]);
    sqlite3_close((*f)->db);
    for (size_t i = 0; i < (*f)->n_instances; i++) {
        free((*f)->instances[i].model);
        free((*f)->instances[i].engine);
        free((*f)->instances[i].name);
    }
    free((*f)->instances);
    free((*f)->order);
    free((*f)->batch);
    free(*f);
    *f = NULL;
}

int64_t finished_left(const struct finished *f)
{
    return f->left;
}

/* --- a row ------------------------------------------------------------------------------------ */

static const char *text_at(sqlite3_stmt *st, int i)
{
    return (const char *)sqlite3_column_text(st, i);
}

static char *copy_at(sqlite3_stmt *st, int i)
{
    const char *s = text_at(st, i);

    return strdup(s ? s : "");
}

/* Few instances answer many rows: each is read once.  NULL: out of memory, or it cannot be read. */
static const struct instance *instance_of(struct finished *f, int64_t id)
{
    sqlite3_stmt *st = f->st[ST_INSTANCE];
    struct instance *i, *more;

    for (size_t k = f->n_instances; k-- > 0;)
        if (f->instances[k].id == id) return &f->instances[k];
    more = realloc(f->instances, (f->n_instances + 1) * sizeof *more);
    if (!more) return NULL;
    f->instances = more;
    i = &more[f->n_instances];
    *i = (struct instance){.id = id};
    sqlite3_bind_int64(st, 1, id);
    if (sqlite3_step(st) == SQLITE_ROW) {
        i->model = copy_at(st, 0);
        i->engine = copy_at(st, 1);
        i->name = copy_at(st, 2);
    }
    sqlite3_reset(st);
    f->n_instances++; /* also one that is not whole, to be freed */
    return i->model && i->engine && i->name ? i : NULL;
}

static int read_answer(struct finished *f, struct output_row *r, struct errmsg *e)
{
    sqlite3_stmt *st = f->st[ST_ROWS];
    const struct instance *i = instance_of(f, sqlite3_column_int64(st, 11));

    if (!i) return err_set(e, ERR_NOMEM, "out of memory");
    r->text = text_at(st, 5);
    r->text_len = (size_t)sqlite3_column_bytes(st, 5);
    r->finish_reason = text_at(st, 6);
    r->prompt_tokens = sqlite3_column_int64(st, 7);
    r->completion_tokens = sqlite3_column_int64(st, 8);
    r->cached_tokens = sqlite3_column_int64(st, 9);
    r->created_s = sqlite3_column_int64(st, 10) / 1000;
    r->model = i->model;
    r->system_fingerprint = i->engine;
    r->instance = i->name;
    r->is_reused = sqlite3_column_int(st, 12);
    r->choices = text_at(st, 14);
    return ERR_OK;
}

/* The attempt that ended the row. */
static int read_failure(struct finished *f, struct output_row *r, struct errmsg *e)
{
    sqlite3_stmt *st = f->st[ST_FAILURE];
    int step;

    sqlite3_reset(st); /* the texts of the row before are not needed any more */
    sqlite3_bind_int64(st, 1, r->job_id);
    sqlite3_bind_int64(st, 2, sqlite3_column_int64(f->st[ST_ROWS], 4));
    step = sqlite3_step(st);
    if (step != SQLITE_ROW && step != SQLITE_DONE) return db_error(f, e);
    r->error_code = step == SQLITE_ROW && text_at(st, 0) ? text_at(st, 0) : "unknown";
    if (step == SQLITE_ROW) {
        r->error_message = text_at(st, 1);
        r->error_param = text_at(st, 2);
        r->created_s = sqlite3_column_int64(st, 3) / 1000;
    }
    r->http_status = output_status(r->error_code);
    return ERR_OK;
}

static int read_row(struct finished *f, struct output_row *r, struct errmsg *e)
{
    sqlite3_stmt *st = f->st[ST_ROWS];

    *r = (struct output_row){.batch = f->batch,
                             .batch_hash = f->batch_hash,
                             .job_id = sqlite3_column_int64(st, 0),
                             .line = sqlite3_column_int64(st, 13),
                             .custom_id = text_at(st, 1),
                             .custom_id_len = (size_t)sqlite3_column_bytes(st, 1),
                             .endpoint = (enum endpoint)sqlite3_column_int(st, 2)};
    switch (sqlite3_column_int(st, 3)) {
    case JOB_DONE: return read_answer(f, r, e);
    case JOB_FAILED: return read_failure(f, r, e);
    default:
        r->error_code = "batch_cancelled";
        r->error_message = "This request was cancelled before it was executed.";
        return ERR_OK;
    }
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* Ends the range, and with it the read: the log can be checkpointed. */
static void end_range(struct finished *f)
{
    sqlite3_reset(f->st[ST_FAILURE]);
    sqlite3_reset(f->st[ST_ROWS]);
    if (f->in_range && f->order) sqlite3_exec(f->db, "COMMIT", NULL, NULL, NULL);
    f->in_range = f->reading = false;
}

static int begin_range(struct finished *f, struct errmsg *e)
{
    /* Out of order each row is a statement of its own; one read holds them together. */
    if (f->order && sqlite3_exec(f->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return db_error(f, e);
    f->in_range = true;
    f->n = 0;
    f->until_ms = clock_mono_ms() + FINISHED_MS;
    f->to = f->last - f->at < FINISHED_RANGE ? f->last : f->at + FINISHED_RANGE - 1;
    return ERR_OK;
}

/* Sets the statement to the rest of the range, or to its next row. */
static void begin_read(struct finished *f)
{
    sqlite3_reset(f->st[ST_FAILURE]);
    sqlite3_reset(f->st[ST_ROWS]);
    if (f->order)
        bind_range(f, ST_ROWS, f->order[f->at].job_id, f->order[f->at].job_id);
    else
        bind_range(f, ST_ROWS, f->at, f->to);
    f->reading = true;
}

static bool is_over(struct finished *f)
{
    return ++f->n % LOOK_EVERY == 0 && clock_mono_ms() > f->until_ms;
}

int finished_next(struct finished *f, struct output_row *row, struct errmsg *e)
{
    int rc;

    for (;;) {
        if (f->in_range && (f->at > f->to || is_over(f))) end_range(f);
        if (f->at > f->last) {
            end_range(f);
            return ERR_EMPTY;
        }
        if (!f->in_range && (rc = begin_range(f, e))) return rc;
        if (!f->reading) begin_read(f);
        switch (sqlite3_step(f->st[ST_ROWS])) {
        case SQLITE_ROW:
            rc = read_row(f, row, e);
            if (f->order)
                f->at++, f->reading = false;
            else
                f->at = row->job_id + 1;
            return rc;
        case SQLITE_DONE:
            f->at = f->order ? f->at + 1 : f->to + 1;
            f->reading = false;
            break;
        default: return db_error(f, e);
        }
    }
}
