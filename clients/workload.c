/* workload.c - what a file or a batch asks of a model. */
#include "clients/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/dbfile.h"
#include "clients/workload_take.h"
#include "schema/state.h"

#define RANGE 65536 /* job ids that are looked at in one read (Q5) */

/* What a row takes in the queue file beside its texts, its result among it; what JSON adds to an
 * answer; the most that a token of an answer is as text. */
#define ROW_BYTES    220
#define ANSWER_BYTES 110
#define TOKEN_BYTES  4.0
#define LOG_BYTES    (64 << 20) /* Q5 */

/* --- a file ----------------------------------------------------------------------------------- */

struct reading {
    struct take take;
    struct rowid *ids;
    struct request request;
};

static int take_line(struct reading *r, const struct line *l, struct errmsg *e)
{
    struct request *q = &r->request;
    const struct request_format *format = &r->take.o->format;
    struct row_error bad = {0};
    int64_t first;
    int rc = request_parse(q, l, format, NULL, &bad);

    if (!rc && q->body.len > format->max_bytes) {
        row_error_set(&bad, ROW_TOO_LONG, NULL, "the body has %zu bytes as JSON, at most %zu",
                      q->body.len, format->max_bytes);
        rc = ERR_FORMAT;
    }
    if ((!rc || rc == ERR_FORMAT) && q->has_custom_id) {
        const int claimed =
            rowid_claim(r->ids, q->custom_id.data, q->custom_id.len, l->number, &first);

        if (claimed == ERR_EXISTS)
            row_error_duplicate(&bad, q->custom_id.data, q->custom_id.len, l->number, first);
        if (claimed) rc = claimed == ERR_EXISTS ? ERR_FORMAT : claimed;
    }
    if (rc == ERR_FORMAT) {
        take_bad(&r->take, l->number, bad.code, bad.message);
        return ERR_OK;
    }
    if (rc) return err_set(e, rc, "out of memory");
    rc = take_good(&r->take, q->endpoint, l->number, q->body.data, q->body.len, e);
    if (!rc && take_is_full(&r->take)) rc = take_flush(&r->take, e);
    return rc;
}

static int open_input(int *fd, const char *path, struct errmsg *e)
{
    struct stat st;

    *fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (*fd < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (!fstat(*fd, &st) && S_ISDIR(st.st_mode))
        return err_set(e, ERR_IO, "%s: %s", path, strerror(EISDIR));
    return ERR_OK;
}

int workload_of_file(struct workload *w, const char *path, const struct workload_opts *o,
                     struct errmsg *e)
{
    struct reading r = {0};
    struct lines *lines = NULL;
    struct line l;
    int fd = -1, rc = take_open(&r.take, w, o, e);

    request_init(&r.request);
    if (!rc && rowid_open(&r.ids)) rc = err_set(e, ERR_NOMEM, "out of memory");
    if (!rc) rc = open_input(&fd, path, e);
    if (!rc) rc = lines_open(&lines, fd, o->format.max_bytes, e);
    if (!rc) lines_wake(lines, o->signals);
    while (!rc && !(rc = lines_next(lines, &l, e)))
        rc = take_line(&r, &l, e);
    if (rc == ERR_EMPTY) rc = take_flush(&r.take, e);
    if (rc == ERR_INTERRUPTED) err_set(e, rc, "interrupted");
    lines_close(&lines);
    if (fd >= 0) close(fd);
    if (r.ids) rowid_close(&r.ids);
    request_fini(&r.request);
    take_close(&r.take);
    return rc;
}

/* --- a batch ---------------------------------------------------------------------------------- */

struct batch_at {
    sqlite3 *db;
    int64_t id, first, last; /* of its jobs */
    int64_t done;            /* rows that nothing is left to do for */
};

static int find_batch(struct batch_at *b, const char *name, struct errmsg *e)
{
    static const char SQL[] =
        "SELECT batch_id, n_done + n_failed + n_cancelled, state, deleting,"
        " (SELECT min(job_id) FROM job INDEXED BY job_by_id WHERE batch_id=b.batch_id),"
        " (SELECT max(job_id) FROM job INDEXED BY job_by_id WHERE batch_id=b.batch_id)"
        " FROM batch b WHERE name=?1";
    sqlite3_stmt *st = NULL;
    int rc = ERR_OK;

    if (sqlite3_prepare_v2(b->db, SQL, -1, &st, NULL) != SQLITE_OK)
        return dbfile_error(b->db, e, "batch");
    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    switch (sqlite3_step(st)) {
    case SQLITE_ROW:
        if (sqlite3_column_int(st, 2) == JOB_CANCELLED || sqlite3_column_int(st, 3))
            rc = err_set(e, ERR_STALE, "batch %s was cancelled or is being deleted", name);
        b->id = sqlite3_column_int64(st, 0);
        b->done = sqlite3_column_int64(st, 1);
        b->first = sqlite3_column_int64(st, 4);
        b->last = sqlite3_column_int64(st, 5); /* 0: it has none */
        break;
    case SQLITE_DONE: rc = err_set(e, ERR_EMPTY, "there is no batch '%s'", name); break;
    default: rc = dbfile_error(b->db, e, "batch");
    }
    sqlite3_finalize(st);
    return rc;
}

static void bind_range(sqlite3_stmt *st, const struct batch_at *b, int64_t from)
{
    sqlite3_reset(st);
    sqlite3_bind_int64(st, 1, b->id);
    sqlite3_bind_int64(st, 2, from);
    sqlite3_bind_int64(st, 3, from + RANGE - 1);
}

/* The open rows from *at on: a range, or as many as are tokenised in one go. */
static int take_range(struct take *t, sqlite3_stmt *st, const struct batch_at *b, int64_t *at,
                      struct errmsg *e)
{
    int step = SQLITE_DONE, rc = ERR_OK;

    bind_range(st, b, *at);
    *at += RANGE;
    while (!rc && !take_is_full(t) && (step = sqlite3_step(st)) == SQLITE_ROW) {
        rc = take_good(t, (enum endpoint)sqlite3_column_int(st, 1), sqlite3_column_int64(st, 2),
                       (const char *)sqlite3_column_text(st, 3),
                       (size_t)sqlite3_column_bytes(st, 3), e);
        if (take_is_full(t)) *at = sqlite3_column_int64(st, 0) + 1;
    }
    if (!rc && step != SQLITE_DONE && step != SQLITE_ROW) rc = dbfile_error(b->db, e, "rows");
    sqlite3_reset(st); /* the log can be checkpointed while the rows are tokenised */
    return rc ? rc : take_flush(t, e);
}

int workload_of_batch(struct workload *w, const char *db, const char *batch,
                      const struct workload_opts *o, struct errmsg *e)
{
    static const char SQL[] =
        "SELECT j.job_id, j.endpoint, j.line, p.body FROM job j NOT INDEXED CROSS JOIN prompt p"
        " USING (job_id) WHERE j.job_id BETWEEN ?2 AND ?3 AND j.batch_id=?1 AND j.state IN (0,3)"
        " ORDER BY j.job_id";
    struct batch_at b = {0};
    sqlite3_stmt *st = NULL;
    struct take t;
    int rc = take_open(&t, w, o, e);

    if (!rc) rc = dbfile_open_read(&b.db, db, e);
    if (!rc) rc = find_batch(&b, batch, e);
    if (!rc && sqlite3_prepare_v2(b.db, SQL, -1, &st, NULL) != SQLITE_OK)
        rc = dbfile_error(b.db, e, "rows");
    for (int64_t at = b.first; !rc && b.last && at <= b.last;)
        rc = take_range(&t, st, &b, &at, e);
    w->done = b.done;
    sqlite3_finalize(st);
    sqlite3_close(b.db);
    take_close(&t);
    return rc;
}

int workload_finished(struct lengths **out, const char *db, const char *batch, struct errmsg *e)
{
    static const char SQL[] =
        "SELECT r.prompt_tokens, r.output_tokens FROM job j NOT INDEXED CROSS JOIN result r"
        " USING (job_id) WHERE j.job_id BETWEEN ?2 AND ?3 AND j.batch_id=?1";
    struct batch_at b = {0};
    sqlite3_stmt *st = NULL;
    int step, rc = lengths_open(out) ? err_set(e, ERR_NOMEM, "out of memory") : ERR_OK;

    if (!rc) rc = dbfile_open_read(&b.db, db, e);
    if (!rc) rc = find_batch(&b, batch, e);
    if (rc == ERR_STALE) rc = ERR_OK; /* its answers are as good as any */
    if (!rc && sqlite3_prepare_v2(b.db, SQL, -1, &st, NULL) != SQLITE_OK)
        rc = dbfile_error(b.db, e, "answers");
    for (int64_t at = b.first; !rc && b.last && at <= b.last; at += RANGE) {
        bind_range(st, &b, at);
        while ((step = sqlite3_step(st)) == SQLITE_ROW)
            lengths_add(*out, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1));
        if (step != SQLITE_DONE) rc = dbfile_error(b.db, e, "answers");
    }
    sqlite3_finalize(st);
    sqlite3_close(b.db);
    if (rc) lengths_close(out);
    return rc;
}

/* --- the disk --------------------------------------------------------------------------------- */

int64_t workload_disk_bytes(const struct workload *w)
{
    const struct lengths *l = w->lengths;
    const double token = l->prompt ? (double)w->body_bytes / (double)l->prompt : TOKEN_BYTES;
    /* The text stands in the result and among its choices. */
    const double answers = 2 * (double)l->output * (token < TOKEN_BYTES ? token : TOKEN_BYTES) +
                           (double)l->rows * ANSWER_BYTES;

    return w->body_bytes + (int64_t)answers + w->rows * ROW_BYTES + LOG_BYTES;
}
