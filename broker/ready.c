/* ready.c - the read-ahead of ready jobs. */
#include "broker/ready.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/idmap.h"
#include "broker/dbfile.h"

#define MAX_BATCHES 256 /* looked at in one fill; more wait for their turn */

static const char BATCHES_SQL[] = "SELECT batch_id, priority, model FROM batch"
                                  " WHERE state=0 AND n_ready>0 AND (model='' OR model=?1)"
                                  " ORDER BY priority, batch_id LIMIT ?2";
static const char JOBS_SQL[] =
    "SELECT job_id, generation, attempts, endpoint FROM job INDEXED BY job_ready"
    " WHERE batch_id=?1 AND state=0 AND not_before_ms=0"
    " ORDER BY priority, prefix_group, job_id";
static const char BODY_SQL[] = "SELECT body FROM prompt WHERE job_id=?1";
static const char BACKLOG_SQL[] = "SELECT ifnull(sum(n_ready),0) FROM batch WHERE state=0";
static const char LEFT_SQL[] = "SELECT n_ready FROM batch WHERE batch_id=?1";
static const char RATES_SQL[] =
    "SELECT n_done, output_tokens, prompt_tokens, body_bytes FROM batch WHERE batch_id=?1";

/* What a job was found to need; a job that was replaced may need less. */
struct need {
    int64_t batch_id, generation, tokens;
};

struct ready {
    sqlite3 *db;
    sqlite3_stmt *batches, *jobs, *body, *backlog, *rates, *left;
    struct ready_job *head, **tail;
    struct idmap here;  /* job id -> struct ready_job */
    struct idmap needs; /* job id -> struct need, owned */
    size_t bytes;
};

int ready_open(struct ready **out, const char *path, struct errmsg *e)
{
    struct ready *r = calloc(1, sizeof *r);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!r) {
        err_set(e, rc, "out of memory");
        goto out;
    }
    r->tail = &r->head;
    if ((rc = dbfile_open_read(&r->db, path, e))) goto out;
    rc = ERR_DB;
    if (sqlite3_prepare_v2(r->db, BATCHES_SQL, -1, &r->batches, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, JOBS_SQL, -1, &r->jobs, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, BODY_SQL, -1, &r->body, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, BACKLOG_SQL, -1, &r->backlog, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, LEFT_SQL, -1, &r->left, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, RATES_SQL, -1, &r->rates, NULL) != SQLITE_OK) {
        dbfile_error(r->db, e, "ready");
        goto out;
    }
    *out = r;
    r = NULL;
    rc = ERR_OK;
out:
    ready_close(&r);
    return rc;
}

void ready_clear(struct ready *r)
{
    while (r->head) {
        struct ready_job *j = r->head;

        r->head = j->next;
        free(j);
    }
    r->tail = &r->head;
    r->bytes = 0;
    idmap_fini(&r->here);
}

void ready_close(struct ready **r)
{
    size_t at = 0;
    void *need;

    if (!*r) return;
    ready_clear(*r);
    while ((need = idmap_next(&(*r)->needs, &at)))
        free(need);
    idmap_fini(&(*r)->needs);
    sqlite3_finalize((*r)->batches);
    sqlite3_finalize((*r)->jobs);
    sqlite3_finalize((*r)->body);
    sqlite3_finalize((*r)->backlog);
    sqlite3_finalize((*r)->left);
    sqlite3_finalize((*r)->rates);
    sqlite3_close((*r)->db);
    free(*r);
    *r = NULL;
}

/* --- the window ------------------------------------------------------------------------------- */

bool ready_is_full(const struct ready *r)
{
    return r->here.n >= READY_ROWS || r->bytes >= READY_BYTES;
}

bool ready_is_low(const struct ready *r)
{
    return r->here.n < READY_ROWS / 8 && r->bytes < READY_BYTES / 2;
}

static int append(struct ready *r, struct ready_job *j)
{
    if (idmap_put(&r->here, j->job_id, j)) return ERR_NOMEM;
    j->next = NULL;
    *r->tail = j;
    r->tail = &j->next;
    r->bytes += j->body_len;
    return ERR_OK;
}

/* Unlinks *at. */
static struct ready_job *unlink_job(struct ready *r, struct ready_job **at)
{
    struct ready_job *j = *at;

    *at = j->next;
    if (r->tail == &j->next) r->tail = at;
    idmap_remove(&r->here, j->job_id);
    r->bytes -= j->body_len;
    return j;
}

static bool fits(const struct ready_job *j, const char *model, int64_t max_tokens)
{
    return (!j->model[0] || !strcmp(j->model, model)) && j->need_tokens <= max_tokens;
}

bool ready_has(const struct ready *r, const char *model, int64_t max_tokens)
{
    for (const struct ready_job *j = r->head; j; j = j->next)
        if (fits(j, model, max_tokens)) return true;
    return false;
}

struct ready_job *ready_pop(struct ready *r, const char *model, int64_t max_tokens)
{
    for (struct ready_job **at = &r->head; *at; at = &(*at)->next)
        if (fits(*at, model, max_tokens)) return unlink_job(r, at);
    return NULL;
}

void ready_push(struct ready *r, struct ready_job *j)
{
    if (idmap_put(&r->here, j->job_id, j)) {
        free(j); /* it is still ready in the database and will be read again */
        return;
    }
    j->next = r->head;
    if (!r->head) r->tail = &j->next;
    r->head = j;
    r->bytes += j->body_len;
}

void ready_remove(struct ready *r, int64_t job_id)
{
    struct ready_job *j = idmap_get(&r->here, job_id);

    if (!j) return;
    for (struct ready_job **at = &r->head; *at; at = &(*at)->next) {
        if (*at != j) continue;
        free(unlink_job(r, at));
        return;
    }
}

size_t ready_count(const struct ready *r)
{
    return r->here.n;
}

int ready_need(struct ready *r, int64_t job_id, int64_t batch_id, int64_t generation,
               int64_t tokens)
{
    struct need *own = idmap_get(&r->needs, job_id);
    struct need *n = own ? own : malloc(sizeof *n);

    if (!n) return ERR_NOMEM;
    *n = (struct need){batch_id, generation, tokens};
    if (own || !idmap_put(&r->needs, job_id, n)) return ERR_OK;
    free(n);
    return ERR_NOMEM;
}

void ready_forget(struct ready *r, int64_t job_id)
{
    free(idmap_remove(&r->needs, job_id));
}

const struct ready_job *ready_needy(const struct ready *r, const struct ready_job *last)
{
    if (!r->needs.n) return NULL;
    for (const struct ready_job *j = last ? last->next : r->head; j; j = j->next)
        if (j->need_tokens) return j;
    return NULL;
}

bool ready_only_larger(struct ready *r, int64_t batch_id, int64_t max_tokens)
{
    int64_t n = 0, left = -1;
    const struct need *need;
    size_t at = 0;

    while ((need = idmap_next(&r->needs, &at)))
        n += need->batch_id == batch_id && need->tokens > max_tokens;
    sqlite3_bind_int64(r->left, 1, batch_id);
    if (sqlite3_step(r->left) == SQLITE_ROW) left = sqlite3_column_int64(r->left, 0);
    sqlite3_reset(r->left);
    return left > 0 && n >= left;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct batch_ref {
    int64_t batch_id, priority;
    char model[256];
};

static int read_batches(struct ready *r, const char *model, struct batch_ref *b, int *n,
                        struct errmsg *e)
{
    int step;

    *n = 0;
    sqlite3_bind_text(r->batches, 1, model, -1, SQLITE_STATIC);
    sqlite3_bind_int(r->batches, 2, MAX_BATCHES);
    while ((step = sqlite3_step(r->batches)) == SQLITE_ROW) {
        const unsigned char *name = sqlite3_column_text(r->batches, 2);

        if (!name) break; /* no memory; it is never NULL, and '' is for any model */
        b[*n].batch_id = sqlite3_column_int64(r->batches, 0);
        b[*n].priority = sqlite3_column_int64(r->batches, 1);
        snprintf(b[*n].model, sizeof b[*n].model, "%s", (const char *)name);
        (*n)++;
    }
    sqlite3_reset(r->batches);
    if (step == SQLITE_ROW) return err_set(e, ERR_NOMEM, "out of memory");
    return step == SQLITE_DONE ? ERR_OK : dbfile_error(r->db, e, "ready");
}

/* Reads one job's body and appends the job. */
static int read_job(struct ready *r, const struct batch_ref *b, struct errmsg *e)
{
    int64_t job_id = sqlite3_column_int64(r->jobs, 0);
    const struct need *need = idmap_get(&r->needs, job_id);
    struct ready_job *j = NULL;
    int rc = ERR_OK, step;

    sqlite3_bind_int64(r->body, 1, job_id);
    step = sqlite3_step(r->body);
    if (step == SQLITE_ROW) {
        const unsigned char *body = sqlite3_column_text(r->body, 0);
        size_t len = (size_t)sqlite3_column_bytes(r->body, 0);

        j = body ? calloc(1, sizeof *j + len + 1) : NULL; /* the column is never NULL */
        if (j) memcpy(j->body, body, len);
        if (j) j->body_len = len;
        if (!j) rc = err_set(e, ERR_NOMEM, "out of memory");
    } else if (step != SQLITE_DONE) {
        rc = dbfile_error(r->db, e, "ready");
    }
    sqlite3_reset(r->body);
    if (!j) return rc;
    j->job_id = job_id;
    j->batch_id = b->batch_id;
    j->generation = sqlite3_column_int64(r->jobs, 1);
    j->attempts = sqlite3_column_int64(r->jobs, 2);
    j->endpoint = sqlite3_column_int(r->jobs, 3);
    j->need_tokens = need && need->generation == j->generation ? need->tokens : 0;
    memcpy(j->model, b->model, sizeof j->model);
    if ((rc = append(r, j))) {
        err_set(e, rc, "out of memory");
        free(j);
    }
    return rc;
}

/* Up to `most` jobs of a batch that are not known yet, none known to need more than max_tokens. */
static int fill_batch(struct ready *r, const struct batch_ref *b, int most, int64_t max_tokens,
                      bool (*is_known)(void *, int64_t), void *arg, int *n, struct errmsg *e)
{
    size_t enough = r->bytes + READY_BYTES / 4;
    int got = 0, step = SQLITE_DONE, rc = ERR_OK;

    sqlite3_bind_int64(r->jobs, 1, b->batch_id);
    while (!rc && got < most && !ready_is_full(r) && r->bytes < enough &&
           (step = sqlite3_step(r->jobs)) == SQLITE_ROW) {
        int64_t job_id = sqlite3_column_int64(r->jobs, 0);
        const struct need *need = idmap_get(&r->needs, job_id);

        if (need && need->generation == sqlite3_column_int64(r->jobs, 1) &&
            need->tokens > max_tokens)
            continue;
        if (idmap_get(&r->here, job_id) || is_known(arg, job_id)) continue;
        rc = read_job(r, b, e);
        got += !rc;
    }
    if (!rc && step != SQLITE_ROW && step != SQLITE_DONE) rc = dbfile_error(r->db, e, "ready");
    sqlite3_reset(r->jobs);
    *n += got;
    return rc;
}

/* One look through the batches, by priority. */
static int fill_window(struct ready *r, const struct batch_ref *b, int n_batches,
                       int64_t max_tokens, bool (*is_known)(void *, int64_t), void *arg, int *n,
                       struct errmsg *e)
{
    int rc = ERR_OK;

    for (int first = 0; !rc && first < n_batches && !*n;) {
        int last = first, share;

        while (last < n_batches && b[last].priority == b[first].priority)
            last++;
        share = READY_ROWS / 4 / (last - first) + 1;
        for (int i = first; !rc && i < last; i++)
            rc = fill_batch(r, &b[i], share, max_tokens, is_known, arg, n, e);
        first = last; /* the next priority only when this one had nothing */
    }
    return rc;
}

int ready_fill(struct ready *r, const char *model, int64_t max_tokens,
               bool (*is_known)(void *, int64_t), void *arg, int *n, struct errmsg *e)
{
    struct batch_ref *b = calloc(MAX_BATCHES, sizeof *b);
    int n_batches = 0, rc;

    *n = 0;
    if (!b) return err_set(e, ERR_NOMEM, "out of memory");
    rc = read_batches(r, model, b, &n_batches, e);
    if (!rc) rc = fill_window(r, b, n_batches, max_tokens, is_known, arg, n, e);
    if (!rc && !*n && r->needs.n) rc = fill_window(r, b, n_batches, INT64_MAX, is_known, arg, n, e);
    free(b);
    return rc;
}

int64_t ready_backlog(struct ready *r)
{
    int64_t n = sqlite3_step(r->backlog) == SQLITE_ROW ? sqlite3_column_int64(r->backlog, 0) : -1;

    sqlite3_reset(r->backlog);
    return n;
}

void ready_rates(struct ready *r, int64_t batch_id, double *answer_tokens, double *bytes_per_token)
{
    sqlite3_bind_int64(r->rates, 1, batch_id);
    if (sqlite3_step(r->rates) == SQLITE_ROW && sqlite3_column_int64(r->rates, 0) > 0) {
        *answer_tokens = sqlite3_column_double(r->rates, 1) / sqlite3_column_double(r->rates, 0);
        if (sqlite3_column_int64(r->rates, 2) > 0 && sqlite3_column_int64(r->rates, 3) > 0)
            *bytes_per_token =
                sqlite3_column_double(r->rates, 3) / sqlite3_column_double(r->rates, 2);
    }
    sqlite3_reset(r->rates);
}
