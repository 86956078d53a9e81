/* needs.c - rows that were found to need more KV memory than some instance has. */
#include "broker/needs.h"

#include <stdlib.h>

#include "base/err.h"

struct need {
    int64_t job_id, batch_id, generation, tokens;
    size_t at; /* 1 + its place in the heap; 0: not queued */
};

/* The smallest first. */
struct need_heap {
    struct need **at; /* borrowed from jobs */
    size_t n, cap;
};

static void free_heap(struct need_heap *h)
{
    if (h) free(h->at);
    free(h);
}

void needs_fini(struct needs *n)
{
    struct need_heap *h;
    struct need *x;
    size_t at = 0;

    while ((x = idmap_next(&n->jobs, &at)))
        free(x);
    at = 0;
    while ((h = idmap_next(&n->batches, &at)))
        free_heap(h);
    idmap_fini(&n->jobs);
    idmap_fini(&n->batches);
}

/* --- the heap --------------------------------------------------------------------------------- */

static void put_at(struct need_heap *h, size_t i, struct need *x)
{
    h->at[i] = x;
    x->at = i + 1;
}

static void sift_up(struct need_heap *h, size_t i, struct need *x)
{
    while (i && h->at[(i - 1) / 2]->tokens > x->tokens) {
        put_at(h, i, h->at[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put_at(h, i, x);
}

static void sift_down(struct need_heap *h, size_t i, struct need *x)
{
    for (size_t kid; (kid = 2 * i + 1) < h->n; i = kid) {
        if (kid + 1 < h->n && h->at[kid + 1]->tokens < h->at[kid]->tokens) kid++;
        if (h->at[kid]->tokens >= x->tokens) break;
        put_at(h, i, h->at[kid]);
    }
    put_at(h, i, x);
}

static void take_out(struct need_heap *h, struct need *x)
{
    const size_t i = x->at - 1;
    struct need *last = h->at[--h->n];

    x->at = 0;
    if (last == x) return;
    if (i && h->at[(i - 1) / 2]->tokens > last->tokens)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

static struct need_heap *heap_of(const struct needs *n, int64_t batch_id)
{
    return idmap_get(&n->batches, batch_id);
}

static int make_room(struct needs *n, int64_t batch_id, struct need_heap **out)
{
    struct need_heap *h = heap_of(n, batch_id);

    if (!h) {
        if (!(h = calloc(1, sizeof *h)) || idmap_put(&n->batches, batch_id, h)) {
            free(h);
            return ERR_NOMEM;
        }
    }
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;
        struct need **at = realloc(h->at, cap * sizeof(*at));

        if (!at) return ERR_NOMEM;
        h->at = at;
        h->cap = cap;
    }
    *out = h;
    return ERR_OK;
}

/* --- needs ------------------------------------------------------------------------------------ */

int needs_put(struct needs *n, int64_t job_id, int64_t batch_id, int64_t generation, int64_t tokens)
{
    struct need *x = idmap_get(&n->jobs, job_id);

    if (x && x->at) take_out(heap_of(n, x->batch_id), x);
    if (!x) {
        if (!(x = malloc(sizeof *x)) || idmap_put(&n->jobs, job_id, x)) {
            free(x);
            return ERR_NOMEM;
        }
    }
    *x = (struct need){job_id, batch_id, generation, tokens, 0};
    return ERR_OK;
}

int64_t needs_of(const struct needs *n, int64_t job_id, int64_t generation)
{
    const struct need *x = n->jobs.n ? idmap_get(&n->jobs, job_id) : NULL;

    return x && x->generation == generation ? x->tokens : 0;
}

void needs_forget(struct needs *n, int64_t job_id)
{
    struct need *x = n->jobs.n ? idmap_remove(&n->jobs, job_id) : NULL;

    if (x && x->at) take_out(heap_of(n, x->batch_id), x);
    free(x);
}

void needs_forget_batch(struct needs *n, int64_t batch_id)
{
    const struct need *x;
    size_t at = 0;

    while (n->jobs.n && (x = idmap_next(&n->jobs, &at))) {
        if (x->batch_id != batch_id) continue;
        needs_forget(n, x->job_id);
        at--; /* removal shifts a later slot into this one */
    }
    free_heap(idmap_remove(&n->batches, batch_id));
}

int needs_queue(struct needs *n, int64_t job_id)
{
    struct need *x = idmap_get(&n->jobs, job_id);
    struct need_heap *h;

    if (!x || x->at) return ERR_OK; /* N1 */
    if (make_room(n, x->batch_id, &h)) return ERR_NOMEM;
    sift_up(h, h->n++, x);
    return ERR_OK;
}

void needs_unqueue(struct needs *n, int64_t batch_id)
{
    struct need_heap *h = heap_of(n, batch_id);

    for (size_t i = 0; h && i < h->n; i++)
        h->at[i]->at = 0;
    if (h) h->n = 0;
}

bool needs_pop(struct needs *n, int64_t batch_id, int64_t max_tokens, int64_t *job_id)
{
    struct need_heap *h = heap_of(n, batch_id);
    struct need *x = h && h->n ? h->at[0] : NULL;

    if (!x || x->tokens > max_tokens) return false;
    take_out(h, x);
    *job_id = x->job_id;
    return true;
}

size_t needs_queued(const struct needs *n, int64_t batch_id)
{
    const struct need_heap *h = heap_of(n, batch_id);

    return h ? h->n : 0;
}

int64_t needs_least(const struct needs *n, int64_t batch_id)
{
    const struct need_heap *h = heap_of(n, batch_id);

    return h && h->n ? h->at[0]->tokens : 0;
}
