/* ready.c - the read-ahead of ready jobs. */
#include "broker/ready.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/idmap.h"
#include "broker/dbfile.h"
#include "broker/needs.h"
#include "broker/ready_list.h"
#include "broker/window.h"
#include "schema/state.h"

#define DFLT_ANSWER 64.0 /* tokens, while a batch has no answers */
#define DFLT_BYTES  4.0  /* for each token, likewise */
#define EXPIRED     "batch_expired"

static const char BATCHES_SQL[] =
    "SELECT batch_id, state, generation, not_before_ms, deadline_ms, window_from, window_to,"
    " n_ready, n_done, output_tokens, prompt_tokens, body_bytes, model"
    " FROM batch WHERE n_ready + n_paused > 0 AND deleting = 0 ORDER BY batch_id";

#define COLUMNS                                                                                    \
    "SELECT j.job_id, j.generation, j.attempts, j.endpoint, j.priority, j.prefix_group, "          \
    "j.suspect,"                                                                                   \
    " j.batch_id, p.body FROM job j"
/* As one comparison of three values the last, which is the row's id, would not be part of the seek:
 * every leased row of the group would be stepped over. */
#define AFTER(what)                                                                                \
    COLUMNS " INDEXED BY job_ready CROSS JOIN prompt p USING (job_id)"                             \
            " WHERE j.batch_id=?1 AND j.state=0 AND j.not_before_ms=0 AND " what
#define SAME_GROUP  AFTER("j.priority=?2 AND j.prefix_group=?3 AND j.job_id>?4")
#define NEXT_GROUPS AFTER("j.priority=?2 AND j.prefix_group>?3")
#define NEXT_LEVELS AFTER("j.priority>?2")
static const char NEXT_SQL[] = SAME_GROUP " UNION ALL " NEXT_GROUPS " UNION ALL " NEXT_LEVELS
                                          " ORDER BY priority, prefix_group, job_id";
static const char ONE_SQL[] = COLUMNS " CROSS JOIN prompt p USING (job_id)"
                                      " WHERE j.job_id=?1 AND j.state=0 AND j.not_before_ms=0";
static const char SUSPECTS_SQL[] =
    COLUMNS " INDEXED BY job_suspect CROSS JOIN prompt p USING (job_id)"
            " WHERE j.suspect>0 AND j.state=0 AND j.not_before_ms=0 ORDER BY j.job_id";

static const char ANY_SUSPECT_SQL[] =
    "SELECT 1 FROM job INDEXED BY job_suspect WHERE suspect>0 AND state=0 LIMIT 1";
static const char LOOK_UP_SQL[] =
    "SELECT batch_id, j.generation + b.generation, j.state=0 AND j.not_before_ms=0 AND b.state=0,"
    " j.suspect>0"
    " FROM job j JOIN batch b USING (batch_id) WHERE j.job_id=?1";

struct ready_batch {
    int64_t batch_id, generation, n_ready;
    char model[256];
    double answer_tokens, bytes_per_token; /* of what it has done so far */
    const char *why_not;                   /* NULL: it may run now */
    bool seen, is_expired;
    double served; /* tokens given, from where the others stood when it came */
    /* The cursor: the last row that was read. */
    int64_t at_priority, at_group, at_job;
    bool dry;    /* nothing lies behind the cursor */
    bool behind; /* there may be rows before it: then it starts over */
    struct ready_list rows;
    int64_t *back; /* job ids to be read again; owned */
    size_t n_back, cap_back;
};

struct ready {
    sqlite3 *db;
    sqlite3_stmt *batches, *next, *one, *suspects, *look_up, *any_suspect;
    bool (*is_known)(void *arg, int64_t job_id);
    void *arg;
    struct ready_batch **at; /* by batch id; owned */
    size_t n, cap;
    size_t n_open;
    struct idmap here; /* job id -> struct ready_job */
    struct needs needs;
};

/* --- open and close --------------------------------------------------------------------------- */

int ready_open(struct ready **out, const char *path, bool (*is_known)(void *arg, int64_t job_id),
               void *arg, struct errmsg *e)
{
    struct ready *r = calloc(1, sizeof *r);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!r) {
        err_set(e, rc, "out of memory");
        goto out;
    }
    r->is_known = is_known;
    r->arg = arg;
    if ((rc = dbfile_open_read(&r->db, path, e))) goto out;
    if (sqlite3_prepare_v2(r->db, BATCHES_SQL, -1, &r->batches, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, NEXT_SQL, -1, &r->next, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, ONE_SQL, -1, &r->one, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, SUSPECTS_SQL, -1, &r->suspects, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, ANY_SUSPECT_SQL, -1, &r->any_suspect, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, LOOK_UP_SQL, -1, &r->look_up, NULL) != SQLITE_OK) {
        rc = dbfile_error(r->db, e, "ready");
        goto out;
    }
    *out = r;
    r = NULL;
out:
    ready_close(&r);
    return rc;
}

static void drop_rows(struct ready *r, struct ready_list *l)
{
    struct ready_job *j;

    while ((j = l->head)) {
        ready_list_take(l, j);
        idmap_remove(&r->here, j->job_id);
        free(j);
    }
}

/* Forgets what was read of it: the cursor stands at the start. */
static void rewind_batch(struct ready *r, struct ready_batch *b)
{
    drop_rows(r, &b->rows);
    needs_unqueue(&r->needs, b->batch_id);
    b->n_back = 0;
    b->at_priority = b->at_group = b->at_job = INT64_MIN;
    b->dry = b->behind = false;
}

static void drop_batch(struct ready *r, struct ready_batch *b)
{
    rewind_batch(r, b);
    free(b->back);
    free(b);
}

void ready_close(struct ready **r)
{
    if (!*r) return;
    for (size_t i = 0; i < (*r)->n; i++)
        drop_batch(*r, (*r)->at[i]);
    free((*r)->at);
    needs_fini(&(*r)->needs);
    idmap_fini(&(*r)->here);
    sqlite3_finalize((*r)->batches);
    sqlite3_finalize((*r)->next);
    sqlite3_finalize((*r)->one);
    sqlite3_finalize((*r)->suspects);
    sqlite3_finalize((*r)->look_up);
    sqlite3_finalize((*r)->any_suspect);
    sqlite3_close((*r)->db);
    free(*r);
    *r = NULL;
}

/* --- batches ---------------------------------------------------------------------------------- */

static struct ready_batch *batch_of(const struct ready *r, int64_t batch_id)
{
    size_t lo = 0, hi = r->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (r->at[mid]->batch_id < batch_id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < r->n && r->at[lo]->batch_id == batch_id ? r->at[lo] : NULL;
}

/* Batches come by id, and a new one has the largest: the array stays in order. */
static struct ready_batch *add_batch(struct ready *r, int64_t batch_id)
{
    struct ready_batch *b;
    size_t i;

    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        struct ready_batch **at = realloc(r->at, cap * sizeof(*at));

        if (!at) return NULL;
        r->at = at;
        r->cap = cap;
    }
    if (!(b = calloc(1, sizeof *b))) return NULL;
    b->batch_id = batch_id;
    for (i = r->n++; i > 0 && r->at[i - 1]->batch_id > batch_id; i--)
        r->at[i] = r->at[i - 1];
    r->at[i] = b;
    b->why_not = "new";
    rewind_batch(r, b);
    return b;
}

/* W3 */
static const char *why_closed(sqlite3_stmt *st, int64_t wall_ms)
{
    const int64_t deadline_ms = sqlite3_column_int64(st, 4);

    if (sqlite3_column_int(st, 1) == JOB_CANCELLED) return "cancelled";
    if (deadline_ms && wall_ms >= deadline_ms) return EXPIRED;
    if (sqlite3_column_int(st, 1) != JOB_READY) return "paused";
    if (wall_ms < sqlite3_column_int64(st, 3) ||
        !window_is_open(sqlite3_column_int64(st, 5), sqlite3_column_int64(st, 6), wall_ms))
        return "window";
    return NULL;
}

/* The columns of BATCHES_SQL; true when the batch has opened, or closed. */
static bool read_batch(struct ready_batch *b, sqlite3_stmt *st, int64_t wall_ms)
{
    const char *was = b->why_not, *model = (const char *)sqlite3_column_text(st, 12);
    const int64_t n_done = sqlite3_column_int64(st, 8), output = sqlite3_column_int64(st, 9);
    const int64_t prompt = sqlite3_column_int64(st, 10), bytes = sqlite3_column_int64(st, 11);

    b->seen = true;
    b->generation = sqlite3_column_int64(st, 2);
    b->n_ready = sqlite3_column_int64(st, 7);
    b->answer_tokens = n_done > 0 ? (double)output / (double)n_done : DFLT_ANSWER;
    b->bytes_per_token =
        n_done > 0 && prompt > 0 && bytes > 0 ? (double)bytes / (double)prompt : DFLT_BYTES;
    /* Without memory for it nobody holds that model, until the next look; "" would be any. */
    snprintf(b->model, sizeof b->model, "%s", model ? model : "?");
    b->why_not = why_closed(st, wall_ms);
    b->is_expired = b->why_not && !strcmp(b->why_not, EXPIRED);
    return !b->why_not != !was;
}

/* W4: it starts where the one that has been given the least stands. */
static void open_batch(struct ready *r, struct ready_batch *b)
{
    double least = -1;

    for (size_t i = 0; i < r->n; i++)
        if (r->at[i] != b && !r->at[i]->why_not && (least < 0 || r->at[i]->served < least))
            least = r->at[i]->served;
    if (least > b->served) b->served = least;
}

/* Batches that have no rows left, or are being deleted, go; true when one of them was open. */
static bool sweep(struct ready *r)
{
    size_t kept = 0;
    bool closed = false;

    r->n_open = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (!r->at[i]->seen) {
            closed |= !r->at[i]->why_not;
            needs_forget_batch(&r->needs, r->at[i]->batch_id);
            drop_batch(r, r->at[i]);
            continue;
        }
        r->n_open += !r->at[i]->why_not;
        r->at[kept++] = r->at[i];
    }
    r->n = kept;
    return closed;
}

int ready_refresh(struct ready *r, int64_t wall_ms, bool *changed, struct errmsg *e)
{
    int step, rc = ERR_OK;

    *changed = false;
    for (size_t i = 0; i < r->n; i++)
        r->at[i]->seen = false;
    while (!rc && (step = sqlite3_step(r->batches)) == SQLITE_ROW) {
        struct ready_batch *b = batch_of(r, sqlite3_column_int64(r->batches, 0));

        if (!b && !(b = add_batch(r, sqlite3_column_int64(r->batches, 0)))) {
            rc = err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
        if (!read_batch(b, r->batches, wall_ms)) continue;
        *changed = true;
        if (b->why_not)
            rewind_batch(r, b);
        else
            open_batch(r, b);
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(r->db, e, "ready");
    sqlite3_reset(r->batches);
    if (!rc && sweep(r)) *changed = true;
    return rc;
}

const char *ready_why_not(const struct ready *r, int64_t batch_id)
{
    const struct ready_batch *b = batch_of(r, batch_id);

    return b ? b->why_not : "deleted";
}

int64_t ready_expired(const struct ready *r, int64_t batch_id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->at[i]->batch_id > batch_id && r->at[i]->is_expired) return r->at[i]->batch_id;
    return 0;
}

static bool serves(const struct ready_batch *b, const char *model)
{
    return !b->why_not && (!b->model[0] || !strcmp(b->model, model));
}

int64_t ready_backlog(const struct ready *r, const char *model,
                      int64_t (*n_held)(void *arg, int64_t batch_id), void *arg)
{
    int64_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        if (serves(r->at[i], model)) n += r->at[i]->n_ready - n_held(arg, r->at[i]->batch_id);
    return n;
}

int ready_look_up(struct ready *r, int64_t job_id, struct ready_state *out, struct errmsg *e)
{
    int rc = ERR_OK;

    sqlite3_bind_int64(r->look_up, 1, job_id);
    switch (sqlite3_step(r->look_up)) {
    case SQLITE_ROW:
        *out = (struct ready_state){
            sqlite3_column_int64(r->look_up, 0), sqlite3_column_int64(r->look_up, 1),
            sqlite3_column_int(r->look_up, 2), sqlite3_column_int(r->look_up, 3)};
        break;
    case SQLITE_DONE: rc = ERR_EMPTY; break;
    default: rc = dbfile_error(r->db, e, "ready");
    }
    sqlite3_reset(r->look_up);
    return rc;
}

/* --- reading ahead ---------------------------------------------------------------------------- */

/* The row that st stands on; *out NULL when it is not to be read. */
static int read_job(struct ready *r, const struct ready_batch *b, sqlite3_stmt *st,
                    struct ready_job **out, struct errmsg *e)
{
    const int64_t job_id = sqlite3_column_int64(st, 0);
    const size_t len = (size_t)sqlite3_column_bytes(st, 8);
    struct ready_job *j;

    *out = NULL;
    if (idmap_get(&r->here, job_id) || r->is_known(r->arg, job_id)) return ERR_OK; /* W1 */
    if (!(j = malloc(sizeof *j + len))) return err_set(e, ERR_NOMEM, "out of memory");
    *j = (struct ready_job){.job_id = job_id,
                            .batch_id = b->batch_id,
                            .generation = sqlite3_column_int64(st, 1) + b->generation,
                            .attempts = sqlite3_column_int64(st, 2),
                            .priority = sqlite3_column_int64(st, 4),
                            .suspect = sqlite3_column_int64(st, 6) > 0,
                            .endpoint = sqlite3_column_int(st, 3),
                            .body_len = len};
    j->est_tokens = (int64_t)((double)len / b->bytes_per_token + b->answer_tokens) + 1;
    j->need_tokens = needs_of(&r->needs, job_id, j->generation);
    if (len) memcpy(j->body, sqlite3_column_blob(st, 8), len);
    *out = j;
    return ERR_OK;
}

static int keep(struct ready *r, struct ready_batch *b, struct ready_job *j, struct errmsg *e)
{
    int rc;

    if (j->need_tokens) {
        rc = needs_queue(&r->needs, j->job_id); /* it is read again when it is taken */
        free(j);
    } else if (!(rc = idmap_put(&r->here, j->job_id, j))) {
        ready_list_add(&b->rows, j);
    } else {
        free(j);
    }
    return rc ? err_set(e, rc, "out of memory") : ERR_OK;
}

/* Rows that were given and came back, by their ids. */
static int read_back(struct ready *r, struct ready_batch *b, struct errmsg *e)
{
    int rc = ERR_OK;

    while (!rc && b->n_back && b->rows.n < READY_CHUNK) {
        struct ready_job *j = NULL;

        sqlite3_bind_int64(r->one, 1, b->back[--b->n_back]);
        if (sqlite3_step(r->one) == SQLITE_ROW && !sqlite3_column_int64(r->one, 6))
            rc = read_job(r, b, r->one, &j, e);
        sqlite3_reset(r->one);
        if (!rc && j) rc = keep(r, b, j, e);
    }
    return rc;
}

/* Rows behind the cursor, up to a chunk of them. */
static int read_on(struct ready *r, struct ready_batch *b, struct errmsg *e)
{
    const size_t most = READY_BYTES / (r->n_open ? r->n_open : 1);
    int step = SQLITE_ROW, rc = ERR_OK;

    sqlite3_bind_int64(r->next, 1, b->batch_id);
    sqlite3_bind_int64(r->next, 2, b->at_priority);
    sqlite3_bind_int64(r->next, 3, b->at_group);
    sqlite3_bind_int64(r->next, 4, b->at_job);
    while (!rc && b->rows.n < READY_CHUNK && (b->rows.bytes < most || !b->rows.n) &&
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

/* Puts rows into an empty list, if there are any. */
static int fill(struct ready *r, struct ready_batch *b, struct errmsg *e)
{
    int rc = read_back(r, b, e);

    if (!rc && !b->rows.n && !b->dry) rc = read_on(r, b, e);
    if (!rc && !b->rows.n && b->dry && b->behind) {
        b->at_priority = b->at_group = b->at_job = INT64_MIN;
        b->behind = false;
        rc = read_on(r, b, e);
    }
    return rc;
}

/* --- giving ----------------------------------------------------------------------------------- */

/* What is known to need much, for an instance that has it: the row as it is now, or NULL. */
static int take_needy(struct ready *r, struct ready_batch *b, int64_t max_tokens,
                      struct ready_job **out, struct errmsg *e)
{
    int64_t job_id;
    int rc = ERR_OK;

    *out = NULL;
    while (!rc && !*out && needs_pop(&r->needs, b->batch_id, max_tokens, &job_id)) {
        sqlite3_bind_int64(r->one, 1, job_id);
        if (sqlite3_step(r->one) == SQLITE_ROW && !sqlite3_column_int64(r->one, 6))
            rc = read_job(r, b, r->one, out, e);
        sqlite3_reset(r->one);
    }
    return rc;
}

static struct ready_job *take_first(struct ready *r, struct ready_batch *b)
{
    struct ready_job *j = b->rows.head;

    ready_list_take(&b->rows, j);
    idmap_remove(&r->here, j->job_id);
    return j;
}

int ready_pop(struct ready *r, const char *model, int64_t max_tokens, struct ready_job **out,
              struct errmsg *e)
{
    struct ready_batch *best = NULL;
    int rc = ERR_OK;

    *out = NULL;
    for (size_t i = 0; i < r->n; i++) {
        struct ready_batch *b = r->at[i];

        if (!serves(b, model)) continue;
        if (!b->rows.n && (rc = fill(r, b, e))) return rc;
        if ((rc = take_needy(r, b, max_tokens, out, e))) return rc;
        if (*out) {
            best = b;
            break;
        }
        if (!b->rows.n) continue;
        if (best &&
            (b->rows.head->priority > best->rows.head->priority ||
             (b->rows.head->priority == best->rows.head->priority && b->served >= best->served)))
            continue;
        best = b;
    }
    if (!best) return ERR_EMPTY;
    if (!*out) *out = take_first(r, best);
    best->served += (double)(*out)->est_tokens;
    return ERR_OK;
}

int ready_pop_suspect(struct ready *r, const char *model, int64_t max_tokens,
                      struct ready_job **out, struct errmsg *e)
{
    struct ready_job *j = NULL;
    int step, rc = ERR_OK;

    while (!rc && !j && (step = sqlite3_step(r->suspects)) == SQLITE_ROW) {
        const struct ready_batch *b = batch_of(r, sqlite3_column_int64(r->suspects, 7));

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

bool ready_has_suspects(struct ready *r)
{
    int step = sqlite3_step(r->any_suspect);

    sqlite3_reset(r->any_suspect);
    return step != SQLITE_DONE;
}

void ready_push(struct ready *r, struct ready_job *j)
{
    struct ready_batch *b = batch_of(r, j->batch_id);

    if (!b || b->why_not || j->suspect || idmap_get(&r->here, j->job_id)) {
        free(j); /* it is still ready in the database and will be read again */
        return;
    }
    b->served -= (double)j->est_tokens;
    if (j->need_tokens) {
        if (needs_queue(&r->needs, j->job_id)) rewind_batch(r, b);
        free(j);
        return;
    }
    if (idmap_put(&r->here, j->job_id, j)) {
        free(j);
        rewind_batch(r, b); /* out of memory: it is read again later */
        return;
    }
    ready_list_push(&b->rows, j);
}

void ready_remove(struct ready *r, int64_t job_id)
{
    struct ready_job *j = idmap_remove(&r->here, job_id);
    struct ready_batch *b = j ? batch_of(r, j->batch_id) : NULL;

    if (!b) return;
    ready_list_take(&b->rows, j);
    free(j);
}

size_t ready_count(const struct ready *r)
{
    return r->here.n;
}

void ready_return(struct ready *r, int64_t batch_id, int64_t job_id)
{
    struct ready_batch *b = batch_of(r, batch_id);

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

void ready_stir(struct ready *r, int64_t batch_id, int64_t least)
{
    for (size_t i = 0; i < r->n; i++) {
        struct ready_batch *b = r->at[i];

        if (batch_id && b->batch_id != batch_id) continue;
        b->dry = false;
        b->behind = true;
        if (least < b->at_priority || least == INT64_MIN) rewind_batch(r, b);
    }
}

void ready_drop(struct ready *r, int64_t batch_id)
{
    struct ready_batch *b = batch_of(r, batch_id);

    if (b) rewind_batch(r, b);
}

/* --- needs ------------------------------------------------------------------------------------ */

int ready_need(struct ready *r, int64_t job_id, int64_t batch_id, int64_t generation,
               int64_t tokens)
{
    return needs_put(&r->needs, job_id, batch_id, generation, tokens);
}

void ready_forget(struct ready *r, int64_t job_id)
{
    needs_forget(&r->needs, job_id);
}

int64_t ready_next_needy(const struct ready *r, int64_t batch_id, const char **model,
                         int64_t *least)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct ready_batch *b = r->at[i];

        if (b->batch_id <= batch_id || !needs_queued(&r->needs, b->batch_id)) continue;
        *model = b->model;
        *least = needs_least(&r->needs, b->batch_id);
        return b->batch_id;
    }
    return 0;
}

bool ready_only_needy(const struct ready *r, int64_t batch_id)
{
    const struct ready_batch *b = batch_of(r, batch_id);

    return b && (int64_t)needs_queued(&r->needs, batch_id) >= b->n_ready;
}

int ready_pop_needy(struct ready *r, int64_t batch_id, struct ready_job **out, struct errmsg *e)
{
    struct ready_batch *b = batch_of(r, batch_id);
    int rc = b ? take_needy(r, b, INT64_MAX, out, e) : ERR_EMPTY;

    return rc || *out ? rc : ERR_EMPTY;
}
