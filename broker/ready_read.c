/* ready_read.c - reading ahead, and what becomes of the rows that were read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/body.h"
#include "broker/dbfile.h"
#include "broker/ready_batch.h"

#define NEEDY_ROWS 32 /* of a batch, in the window at a time */

/* --- one row ---------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What is to be expected of a body, in tokens. */
static void estimate(struct ready_job *j, const struct ready_batch *b)
{
    double answer = b->answer_tokens;

    j->max_tokens = body_max_tokens(j->body, j->body_len);
    if (j->max_tokens && (double)j->max_tokens < answer) answer = (double)j->max_tokens;
    j->prompt_tokens = (int64_t)((double)j->body_len / b->bytes_per_token);
    j->est_tokens = (int64_t)((double)j->body_len / b->bytes_per_token + answer) + 1;
}

/* The row that st stands on, for whoever wants it. */
static int make_job(const struct ready *r, const struct ready_batch *b, sqlite3_stmt *st,
                    struct ready_job **out, struct errmsg *e)
{
    const size_t len = (size_t)sqlite3_column_bytes(st, 8);
    struct ready_job *j = malloc(sizeof *j + len);

    *out = j;
    if (!j) return err_set(e, ERR_NOMEM, "out of memory");
    *j = (struct ready_job){.job_id = sqlite3_column_int64(st, 0),
                            .batch_id = b->batch_id,
                            .model = b->model,
                            .generation = sqlite3_column_int64(st, 1) + b->generation,
                            .attempts = sqlite3_column_int64(st, 2),
                            .priority = sqlite3_column_int64(st, 4),
                            .group = sqlite3_column_int64(st, 5),
                            .suspect = sqlite3_column_int64(st, 6) > 0,
                            .endpoint = sqlite3_column_int(st, 3),
                            .body_len = len};
    j->need_tokens = needs_of(&r->needs, j->job_id, j->generation);
    if (len) memcpy(j->body, sqlite3_column_blob(st, 8), len);
    estimate(j, b);
    return ERR_OK;
}

/* The same; *out NULL when it is not to be read. */
static int read_job(const struct ready *r, const struct ready_batch *b, sqlite3_stmt *st,
                    struct ready_job **out, struct errmsg *e)
{
    const int64_t job_id = sqlite3_column_int64(st, 0);

    *out = NULL;
    if (idmap_get(&r->here, job_id) || r->world.is_known(r->world.arg, job_id))
        return ERR_OK; /* W1 */
    return make_job(r, b, st, out, e);
}

static int keep(struct ready *r, struct ready_batch *b, struct ready_job *j, struct errmsg *e)
{
    int rc;

    if (j->need_tokens > b->largest || (j->need_tokens && b->n_needy >= NEEDY_ROWS)) {
        rc = needs_queue(&r->needs, j->job_id); /* it is read again when there is somebody for it */
        free(j);
    } else if (!(rc = idmap_put(&r->here, j->job_id, j))) {
        b->read_rows++;
        b->read_tokens += j->prompt_tokens;
        b->n_needy += j->need_tokens > 0;
        ready_list_add(&b->fresh, j);
    } else {
        free(j);
    }
    return rc ? err_set(e, rc, "out of memory") : ERR_OK;
}

/* --- a batch ---------------------------------------------------------------------------------- */

/* A row by its id, as it is now; *out NULL when it is not ready, or somebody's, or a suspect. */
static int read_one(const struct ready *r, const struct ready_batch *b, int64_t job_id,
                    struct ready_job **out, struct errmsg *e)
{
    int rc = ERR_OK;

    *out = NULL;
    sqlite3_bind_int64(r->one, 1, job_id);
    if (sqlite3_step(r->one) == SQLITE_ROW && !sqlite3_column_int64(r->one, 6))
        rc = read_job(r, b, r->one, out, e);
    sqlite3_reset(r->one);
    return rc;
}

/* Rows that were given and came back. */
static int read_back(struct ready *r, struct ready_batch *b, size_t most, struct errmsg *e)
{
    int rc = ERR_OK;

    while (!rc && b->n_back && ready_rows(b) < most) {
        struct ready_job *j;

        rc = read_one(r, b, b->back[--b->n_back], &j, e);
        if (!rc && j) rc = keep(r, b, j, e);
    }
    return rc;
}

/* What is known to need much, and somebody has it. */
static int read_needy(struct ready *r, struct ready_batch *b, struct errmsg *e)
{
    int64_t job_id;
    int rc = ERR_OK;

    while (!rc && b->n_needy < NEEDY_ROWS &&
           needs_pop(&r->needs, b->batch_id, b->largest, &job_id)) {
        struct ready_job *j;

        rc = read_one(r, b, job_id, &j, e);
        if (!rc && j) rc = keep(r, b, j, e);
    }
    return rc;
}

static size_t most_bytes(const struct ready *r)
{
    return READY_BYTES / (r->n_open ? r->n_open : 1);
}

static size_t bytes_here(const struct ready_batch *b)
{
    return b->fresh.bytes + b->told.bytes;
}

/* Rows behind the cursor. */
static int read_on(struct ready *r, struct ready_batch *b, size_t most, struct errmsg *e)
{
    int step = SQLITE_ROW, rc = ERR_OK;

    sqlite3_bind_int64(r->next, 1, b->batch_id);
    sqlite3_bind_int64(r->next, 2, b->at_priority);
    sqlite3_bind_int64(r->next, 3, b->at_group);
    sqlite3_bind_int64(r->next, 4, b->at_job);
    while (!rc && ready_rows(b) < most && (bytes_here(b) < most_bytes(r) || !ready_rows(b)) &&
           (step = sqlite3_step(r->next)) == SQLITE_ROW) {
        struct ready_job *j = NULL;

        b->at_priority = sqlite3_column_int64(r->next, 4);
        b->at_group = sqlite3_column_int64(r->next, 5);
        b->at_job = sqlite3_column_int64(r->next, 0);
        if (!sqlite3_column_int64(r->next, 6)) rc = read_job(r, b, r->next, &j, e);
        if (!rc && j) rc = keep(r, b, j, e);
    }
    if (!rc && step != SQLITE_ROW && step != SQLITE_DONE) rc = dbfile_error(r->db, e, "ready");
    b->dry = step == SQLITE_DONE;
    sqlite3_reset(r->next);
    return rc;
}

/* Rows of a batch until it has so many of them, if there are. */
static int fill(struct ready *r, struct ready_batch *b, size_t most, struct errmsg *e)
{
    int rc = read_needy(r, b, e);

    if (!rc) rc = read_back(r, b, most, e);
    if (!rc && ready_rows(b) < most && !b->dry) rc = read_on(r, b, most, e);
    if (!rc && !ready_rows(b) && b->dry && b->behind) {
        b->at_priority = b->at_group = b->at_job = INT64_MIN;
        b->behind = false;
        rc = read_on(r, b, most, e);
    }
    return rc;
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool has_more(const struct ready *r, const struct ready_batch *b)
{
    const int64_t need = b->n_needy < NEEDY_ROWS ? needs_least(&r->needs, b->batch_id) : 0;

    if (b->why_not || !b->largest) return false;
    return b->n_back || (need && need <= b->largest) || !b->dry || (b->behind && !ready_rows(b));
}

/* Rows that a batch should have here (W2). */
static size_t share(const struct ready *r)
{
    const size_t n = READY_ROWS / (r->n_open ? r->n_open : 1);

    return n < READY_LEAST ? READY_LEAST : n;
}

static bool is_low(const struct ready *r, const struct ready_batch *b, bool wanted)
{
    const size_t rows = ready_rows(b), n = share(r);

    if (!has_more(r, b)) return false;
    if (!rows || b->n_back) return true;
    return rows < (wanted ? n : n / 2) && bytes_here(b) < most_bytes(r) / 2;
}

int ready_read(struct ready *r, bool wanted, bool *more, struct errmsg *e)
{
    size_t left = READY_CHUNK, n_low = 0;
    int rc = ERR_OK;

    r->is_partial = false;
    if (r->from >= r->n) r->from = 0;
    for (size_t k = 0; !rc && k < r->n; k++) {
        struct ready_batch *b = r->at[(r->from + k) % r->n];
        size_t had = ready_rows(b), most = share(r);

        if (!is_low(r, b, wanted)) continue;
        if (!left) {
            if (!n_low++) r->from = (r->from + k) % r->n; /* its turn is next */
            r->is_partial |= !had;
            continue;
        }
        if (most > had + left) most = had + left;
        rc = fill(r, b, most, e);
        left -= ready_rows(b) > had ? ready_rows(b) - had : 0;
        n_low += is_low(r, b, wanted);
    }
    *more = n_low > 0;
    return rc;
}

const struct ready_job *ready_tell(struct ready *r)
{
    struct ready_batch *best = NULL;
    struct ready_job *j;

    if (r->is_partial || r->gone.n) return NULL;
    for (size_t i = 0; i < r->n; i++) {
        struct ready_batch *b = r->at[i];

        if (!b->fresh.n) continue;
        if (best &&
            (b->fresh.head->priority > best->fresh.head->priority ||
             (b->fresh.head->priority == best->fresh.head->priority && b->turn >= best->turn)))
            continue;
        best = b;
    }
    if (!best) return NULL;
    j = best->fresh.head;
    best->turn = ++r->turn;
    ready_list_take(&best->fresh, j);
    j->told = true;
    ready_list_add(&best->told, j);
    return j;
}

void ready_untell(struct ready *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct ready_batch *b = r->at[i];
        struct ready_job *j;

        while ((j = b->told.head)) {
            ready_list_take(&b->told, j);
            j->told = false;
            ready_list_add(&b->fresh, j);
        }
    }
}

int64_t ready_gone(struct ready *r)
{
    struct ready_job *j = r->gone.head;
    const int64_t job_id = j ? j->job_id : 0;

    if (!j) return 0;
    ready_list_take(&r->gone, j);
    free(j);
    return job_id;
}

int64_t ready_depth(const struct ready *r)
{
    int64_t n = INT64_MAX;

    for (size_t i = 0; i < r->n; i++)
        if (has_more(r, r->at[i])) n = least(n, (int64_t)r->at[i]->told.n);
    return n;
}

/* --- taking and giving back ------------------------------------------------------------------- */

struct ready_job *ready_take(struct ready *r, int64_t job_id)
{
    struct ready_job *j = idmap_remove(&r->here, job_id);
    struct ready_batch *b = j ? ready_batch_of(r, j->batch_id) : NULL;

    if (!b) return NULL;
    ready_list_take(j->told ? &b->told : &b->fresh, j);
    b->n_needy -= j->need_tokens > 0;
    return j;
}

int ready_fetch(struct ready *r, int64_t job_id, int64_t batch_id, struct ready_job **out,
                struct errmsg *e)
{
    const struct ready_batch *b = ready_batch_of(r, batch_id);
    int rc = ERR_EMPTY;

    *out = NULL;
    if (!b || b->why_not) return rc;
    sqlite3_bind_int64(r->one, 1, job_id);
    if (sqlite3_step(r->one) == SQLITE_ROW) rc = make_job(r, b, r->one, out, e);
    sqlite3_reset(r->one);
    return rc;
}

static bool serves(const struct ready_batch *b, const char *model)
{
    return !b->why_not && (!b->model[0] || !strcmp(b->model, model));
}

int ready_pop_suspect(struct ready *r, const char *model, int64_t max_tokens,
                      struct ready_job **out, struct errmsg *e)
{
    struct ready_job *j = NULL;
    int step, rc = ERR_OK;

    while (!rc && !j && (step = sqlite3_step(r->suspects)) == SQLITE_ROW) {
        const struct ready_batch *b = ready_batch_of(r, sqlite3_column_int64(r->suspects, 7));

        if (!b || !serves(b, model)) continue;
        rc = read_job(r, b, r->suspects, &j, e);
        if (!j || j->need_tokens <= max_tokens) continue;
        free(j);
        j = NULL;
    }
    if (!rc && !j && step != SQLITE_DONE) rc = dbfile_error(r->db, e, "ready");
    sqlite3_reset(r->suspects);
    *out = j;
    return rc || j ? rc : ERR_EMPTY;
}

int ready_pop_needy(struct ready *r, int64_t batch_id, struct ready_job **out, struct errmsg *e)
{
    struct ready_batch *b = ready_batch_of(r, batch_id);
    int64_t job_id;
    int rc = ERR_OK;

    *out = NULL;
    while (b && !rc && !*out && needs_pop(&r->needs, batch_id, INT64_MAX, &job_id))
        rc = read_one(r, b, job_id, out, e);
    return rc || *out ? rc : ERR_EMPTY;
}

bool ready_push(struct ready *r, struct ready_job *j)
{
    struct ready_batch *b = ready_batch_of(r, j->batch_id);

    if (!b || b->why_not || j->suspect || !j->told || idmap_get(&r->here, j->job_id)) {
        free(j); /* it is still ready in the database and will be read again */
        return false;
    }
    if (idmap_put(&r->here, j->job_id, j)) {
        free(j);
        ready_rewind(r, b); /* out of memory: it is read again later */
        return false;
    }
    b->n_needy += j->need_tokens > 0;
    ready_list_push(&b->told, j);
    return true;
}

void ready_remove(struct ready *r, int64_t job_id)
{
    struct ready_job *j = idmap_get(&r->here, job_id);
    struct ready_batch *b = j ? ready_batch_of(r, j->batch_id) : NULL;

    if (b) ready_dismiss(r, b, j);
}

size_t ready_count(const struct ready *r)
{
    return r->here.n;
}

void ready_return(struct ready *r, int64_t batch_id, int64_t job_id)
{
    struct ready_batch *b = ready_batch_of(r, batch_id);

    if (!b || b->why_not) return; /* it is read from its start */
    if (b->n_back == b->cap_back) {
        size_t cap = b->cap_back ? b->cap_back * 2 : 64;
        int64_t *back = realloc(b->back, cap * sizeof *back);

        if (!back) {
            b->behind = true;
            return;
        }
        b->back = back;
        b->cap_back = cap;
    }
    b->back[b->n_back++] = job_id;
}

void ready_stir(struct ready *r, int64_t batch_id, int64_t least_priority)
{
    for (size_t i = 0; i < r->n; i++) {
        struct ready_batch *b = r->at[i];

        if (batch_id && b->batch_id != batch_id) continue;
        b->dry = false;
        b->behind = true;
        if (least_priority < b->at_priority || least_priority == INT64_MIN) ready_rewind(r, b);
    }
}

void ready_drop(struct ready *r, int64_t batch_id)
{
    struct ready_batch *b = ready_batch_of(r, batch_id);

    if (b) ready_rewind(r, b);
}
