/* held.c - the jobs that the broker has leased to us and has not settled. */
#include "worker/held.h"

#include <stdlib.h>

#include "schema/wire.h"

void held_fini(struct held_table *t)
{
    size_t at = 0;
    struct held *x;

    while ((x = idmap_next(&t->jobs, &at))) {
        result_free(&x->result);
        free(x);
    }
    idmap_fini(&t->jobs);
}

int held_add(struct held_table *t, const struct job *j, int64_t tokens)
{
    struct held *x;

    if (idmap_get(&t->jobs, j->job_id)) return ERR_EXISTS;
    x = calloc(1, sizeof *x);
    if (!x || idmap_put(&t->jobs, j->job_id, x)) {
        free(x);
        return ERR_NOMEM;
    }
    x->job_id = j->job_id;
    x->generation = j->generation;
    x->tokens = tokens;
    t->tokens += tokens;
    t->n_running++;
    return ERR_OK;
}

bool held_runs(const struct held_table *t, int64_t job_id)
{
    const struct held *x = job_id > 0 ? idmap_get(&t->jobs, job_id) : NULL;

    return x && !x->result;
}

static void queue_result(struct held_table *t, struct result *r)
{
    if (!t->unsent) t->unsent_tail = &t->unsent;
    r->mail.next = NULL;
    r->queued = true;
    *t->unsent_tail = r;
    t->unsent_tail = (struct result **)&r->mail.next;
}

static void unqueue(struct held_table *t, struct result *r)
{
    struct result **at = &t->unsent;

    while (*at && *at != r)
        at = (struct result **)&(*at)->mail.next;
    if (!*at) return;
    *at = (struct result *)r->mail.next;
    if (!*at) t->unsent_tail = at;
}

bool held_settle(struct held_table *t, int64_t job_id)
{
    struct held *x = job_id > 0 ? idmap_get(&t->jobs, job_id) : NULL;
    bool finished;

    if (!x || !x->result) return false; /* it still runs: its result will say how it ended */
    idmap_remove(&t->jobs, job_id);
    if (x->result->queued) unqueue(t, x->result); /* settled by what was sent before */
    finished = x->result->kind != WIRE_PUT_BACK;
    result_free(&x->result);
    free(x);
    return finished;
}

void held_result(struct held_table *t, struct result *r)
{
    struct held *x = idmap_get(&t->jobs, r->job_id);

    if (!x || x->result) {
        result_free(&r);
        return;
    }
    x->result = r;
    t->n_running--;
    t->tokens -= x->tokens;
    if (!x->forgotten) {
        queue_result(t, r);
        return;
    }
    t->n_forgotten--;
    held_settle(t, x->job_id);
}

void held_again(struct held_table *t, int64_t now_ms, int64_t after_ms)
{
    const struct held *x;
    size_t at = 0;

    while ((x = idmap_next(&t->jobs, &at)))
        if (x->result && !x->result->queued && now_ms - x->result->sent_ms >= after_ms)
            queue_result(t, x->result);
}

void held_sent(struct held_table *t, const struct result *end, int64_t now_ms)
{
    while (t->unsent != end) {
        struct result *r = t->unsent;

        t->unsent = (struct result *)r->mail.next;
        r->queued = false;
        r->sent_ms = now_ms;
    }
}

void held_forget(struct held_table *t, void (*end)(void *arg, int64_t job_id), void *arg)
{
    size_t at = 0;
    struct held *x;

    while ((x = idmap_next(&t->jobs, &at))) {
        if (x->result) {
            held_settle(t, x->job_id);
            at--;
            continue;
        }
        if (!x->forgotten) t->n_forgotten++;
        x->forgotten = true;
        end(arg, x->job_id);
    }
}

size_t held_count(const struct held_table *t)
{
    return t->jobs.n - t->n_forgotten;
}

const struct held *held_next(const struct held_table *t, size_t *at)
{
    const struct held *x;

    while ((x = idmap_next(&t->jobs, at)))
        if (!x->forgotten) return x;
    return NULL;
}
