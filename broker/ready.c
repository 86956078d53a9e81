/* ready.c - the read-ahead of ready jobs. */
#include "broker/ready.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/dbfile.h"
#include "broker/ready_batch.h"
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

/* --- open and close --------------------------------------------------------------------------- */

int ready_open(struct ready **out, const char *path, const struct ready_world *w, struct errmsg *e)
{
    struct ready *r = calloc(1, sizeof *r);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!r) {
        err_set(e, rc, "out of memory");
        goto out;
    }
    r->world = *w;
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

/* Which of its lists it is in. */
static struct ready_list *list_of(struct ready_batch *b, const struct ready_job *j)
{
    return j->told ? &b->told : &b->fresh;
}

void ready_dismiss(struct ready *r, struct ready_batch *b, struct ready_job *j)
{
    ready_list_take(list_of(b, j), j);
    idmap_remove(&r->here, j->job_id);
    b->n_needy -= j->need_tokens > 0;
    if (j->told)
        ready_list_add(&r->gone, j);
    else
        free(j);
}

void ready_rewind(struct ready *r, struct ready_batch *b)
{
    while (b->fresh.head)
        ready_dismiss(r, b, b->fresh.head);
    while (b->told.head)
        ready_dismiss(r, b, b->told.head);
    needs_unqueue(&r->needs, b->batch_id);
    b->n_back = 0;
    b->at_priority = b->at_group = b->at_job = INT64_MIN;
    b->dry = b->behind = false;
}

static void drop_batch(struct ready *r, struct ready_batch *b)
{
    ready_rewind(r, b);
    free(b->back);
    free(b);
}

void ready_close(struct ready **r)
{
    if (!*r) return;
    for (size_t i = 0; i < (*r)->n; i++)
        drop_batch(*r, (*r)->at[i]);
    while (ready_gone(*r))
        ;
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

struct ready_batch *ready_batch_of(const struct ready *r, int64_t batch_id)
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
    ready_rewind(r, b);
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

/* Rows that need more than anybody has now wait elsewhere. */
static void set_aside(struct ready *r, struct ready_batch *b, struct ready_list *l)
{
    for (struct ready_job *j = l->head, *next; j; j = next) {
        const int64_t job_id = j->job_id;

        next = j->next;
        if (j->need_tokens <= b->largest) continue;
        ready_dismiss(r, b, j);
        if (needs_queue(&r->needs, job_id)) b->behind = true; /* out of memory: it is read again */
    }
}

/* Who could run the batch, as it is now?  Batches of one model stand side by side, mostly. */
static void measure(struct ready *r, struct ready_batch *b, const struct ready_batch *before)
{
    if (before && !strcmp(before->model, b->model))
        b->largest = before->largest;
    else
        b->largest = r->world.largest(r->world.arg, b->model);
    if (!b->largest && ready_rows(b)) ready_rewind(r, b);
    if (!b->n_needy) return;
    set_aside(r, b, &b->fresh);
    set_aside(r, b, &b->told);
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
        r->n_open += !r->at[i]->why_not && r->at[i]->largest;
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
        struct ready_batch *b = ready_batch_of(r, sqlite3_column_int64(r->batches, 0));

        if (!b && !(b = add_batch(r, sqlite3_column_int64(r->batches, 0)))) {
            rc = err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
        if (!read_batch(b, r->batches, wall_ms)) continue;
        *changed = true;
        if (b->why_not) ready_rewind(r, b);
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(r->db, e, "ready");
    sqlite3_reset(r->batches);
    for (size_t i = 0; !rc && i < r->n; i++)
        measure(r, r->at[i], i ? r->at[i - 1] : NULL);
    if (!rc && sweep(r)) *changed = true;
    return rc;
}

const char *ready_why_not(const struct ready *r, int64_t batch_id)
{
    const struct ready_batch *b = ready_batch_of(r, batch_id);

    return b ? b->why_not : "deleted";
}

int64_t ready_expired(const struct ready *r, int64_t batch_id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->at[i]->batch_id > batch_id && r->at[i]->is_expired) return r->at[i]->batch_id;
    return 0;
}

int64_t ready_backlog(const struct ready *r, int64_t *tokens)
{
    int64_t n = 0;

    *tokens = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct ready_batch *b = r->at[i];
        int64_t rows = (int64_t)b->n_back, prompt;

        if (b->why_not || !b->largest) continue;
        if (!b->dry || b->behind)
            rows = b->n_ready - r->world.n_held(r->world.arg, b->batch_id) -
                   (int64_t)(ready_rows(b) + needs_queued(&r->needs, b->batch_id));
        if (rows <= 0) continue;
        prompt = b->read_rows ? b->read_tokens / b->read_rows : 0;
        n += rows;
        *tokens += rows * (prompt + (int64_t)b->answer_tokens);
    }
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

bool ready_has_suspects(struct ready *r)
{
    int step = sqlite3_step(r->any_suspect);

    sqlite3_reset(r->any_suspect);
    return step != SQLITE_DONE;
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
    const struct ready_batch *b = ready_batch_of(r, batch_id);

    return b && (int64_t)needs_queued(&r->needs, batch_id) >= b->n_ready;
}
