/* lease.c - who may work on a job, and until when. */
#include "broker/lease.h"

#include <stdlib.h>

#include "base/idmap.h"

/* What a holder, or a batch, has out. */
struct sum {
    size_t n, n_alone;
    size_t rows; /* not settling */
    int64_t tokens;
};

struct lease_table {
    struct idmap by_job, copies;
    struct idmap holders, batches; /* id -> struct sum, owned */
};

int lease_table_open(struct lease_table **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ERR_OK : ERR_NOMEM;
}

static void free_all(struct idmap *m)
{
    size_t at = 0;
    void *v;

    while ((v = idmap_next(m, &at)))
        free(v);
    idmap_fini(m);
}

void lease_table_close(struct lease_table **lt)
{
    if (!*lt) return;
    free_all(&(*lt)->by_job);
    free_all(&(*lt)->copies);
    free_all(&(*lt)->holders);
    free_all(&(*lt)->batches);
    free(*lt);
    *lt = NULL;
}

/* The sum of an id, made when it is not there; NULL: out of memory. */
static struct sum *sum_of(struct idmap *m, int64_t id)
{
    struct sum *s = idmap_get(m, id);

    if (s) return s;
    s = calloc(1, sizeof *s);
    if (s && idmap_put(m, id, s)) {
        free(s);
        s = NULL;
    }
    return s;
}

/* A sum of nothing goes. */
static void drop_sum(struct idmap *m, int64_t id)
{
    struct sum *s = idmap_get(m, id);

    if (s && !s->n) free(idmap_remove(m, id));
}

/* What the lease adds to its holder's sum, or takes from it. */
static void count(struct sum *s, const struct lease *l, int sign)
{
    s->n += (size_t)sign;
    if (l->alone) s->n_alone += (size_t)sign;
    if (l->settling) return;
    s->rows += (size_t)sign;
    s->tokens += sign * l->est_tokens;
}

/* Keeps a copy of l in the map. */
static int keep(struct lease_table *lt, struct idmap *map, const struct lease *l)
{
    struct sum none = {0}, *holder = &none, *batch = &none;
    struct lease *own = malloc(sizeof *own);

    if (l->holder > 0) holder = sum_of(&lt->holders, l->holder);
    if (l->batch_id > 0 && !l->copy) batch = sum_of(&lt->batches, l->batch_id);
    if (!own || !holder || !batch || idmap_put(map, l->job_id, own)) {
        free(own);
        drop_sum(&lt->holders, l->holder);
        drop_sum(&lt->batches, l->batch_id);
        return ERR_NOMEM;
    }
    *own = *l;
    count(holder, l, 1);
    batch->n++;
    return ERR_OK;
}

int lease_grant(struct lease_table *lt, const struct lease *l)
{
    if (lease_find(lt, l->job_id)) return ERR_EXISTS; /* L1 */
    return keep(lt, &lt->by_job, l);
}

int lease_copy(struct lease_table *lt, const struct lease *l)
{
    const struct lease *first = lease_find(lt, l->job_id);
    struct lease copy = *l;

    if (!first) return ERR_STALE;
    if (first->holder == l->holder || lease_beside(lt, first)) return ERR_EXISTS; /* L1 */
    copy.copy = true;
    return keep(lt, &lt->copies, &copy);
}

struct lease *lease_find(const struct lease_table *lt, int64_t job_id)
{
    return idmap_get(&lt->by_job, job_id);
}

struct lease *lease_of(const struct lease_table *lt, int64_t job_id, int64_t holder)
{
    struct lease *l = lease_find(lt, job_id);

    if (l && l->holder != holder) l = lt->copies.n ? idmap_get(&lt->copies, job_id) : NULL;
    return l && l->holder == holder ? l : NULL;
}

struct lease *lease_beside(const struct lease_table *lt, const struct lease *l)
{
    if (l->copy) return lease_find(lt, l->job_id);
    return lt->copies.n ? idmap_get(&lt->copies, l->job_id) : NULL;
}

bool lease_is_live(const struct lease_table *lt, int64_t job_id, int64_t holder, int64_t now_ms)
{
    const struct lease *l = lease_of(lt, job_id, holder);

    return l && (l->settling || now_ms < l->deadline_ms); /* L2, L4 */
}

int lease_renew(struct lease_table *lt, int64_t job_id, int64_t holder, int64_t now_ms,
                int64_t ttl_ms)
{
    if (!lease_is_live(lt, job_id, holder, now_ms)) return ERR_STALE;
    lease_of(lt, job_id, holder)->deadline_ms = now_ms + ttl_ms;
    return ERR_OK;
}

void lease_settle(struct lease_table *lt, struct lease *l)
{
    struct sum *s = idmap_get(&lt->holders, l->holder);

    if (l->settling) return;
    l->settling = true;
    if (!s) return;
    s->rows--;
    s->tokens -= l->est_tokens;
}

static void end(struct lease_table *lt, struct lease *l)
{
    struct sum *holder = idmap_get(&lt->holders, l->holder);
    struct sum *batch = idmap_get(&lt->batches, l->batch_id);
    struct lease *beside = lease_beside(lt, l);

    if (holder) {
        count(holder, l, -1);
        drop_sum(&lt->holders, l->holder);
    }
    if (batch && !beside) {
        batch->n--;
        drop_sum(&lt->batches, l->batch_id);
    }
    if (beside && !l->copy) { /* the copy has its place, which a scan may stand on */
        *l = *beside;
        l->copy = false;
        l = beside;
    }
    idmap_remove(beside ? &lt->copies : &lt->by_job, l->job_id);
    free(l);
}

void lease_end(struct lease_table *lt, int64_t job_id, int64_t holder)
{
    struct lease *l = lease_of(lt, job_id, holder);

    if (l) end(lt, l);
}

size_t lease_reap(struct lease_table *lt, int64_t holder, int64_t now_ms,
                  void (*on_end)(void *arg, const struct lease *l), void *arg)
{
    const struct idmap *maps[] = {&lt->copies, &lt->by_job};
    size_t n = 0;

    for (int k = 0; k < 2; k++) {
        struct lease *l;
        size_t at = 0;

        while ((l = idmap_next(maps[k], &at))) {
            if (l->settling || (holder && l->holder != holder) || now_ms < l->deadline_ms) continue;
            if (on_end) on_end(arg, l);
            end(lt, l);
            n++;
            at--; /* removal shifts a later slot into this one, or its copy has it now */
        }
    }
    return n;
}

void lease_shift(struct lease_table *lt, int64_t by_ms)
{
    size_t at = 0;
    struct lease *l;

    while ((l = lease_next(lt, &at)))
        if (l->deadline_ms < INT64_MAX - by_ms) l->deadline_ms += by_ms;
}

size_t lease_count(const struct lease_table *lt)
{
    return lt->by_job.n;
}

size_t lease_count_batch(const struct lease_table *lt, int64_t batch_id)
{
    const struct sum *s = idmap_get(&lt->batches, batch_id);

    return s ? s->n : 0;
}

int64_t lease_tokens(const struct lease_table *lt, int64_t holder, size_t *rows)
{
    const struct sum *s = idmap_get(&lt->holders, holder);

    *rows = s ? s->rows : 0;
    return s ? s->tokens : 0;
}

bool lease_is_alone(const struct lease_table *lt, int64_t holder)
{
    const struct sum *s = idmap_get(&lt->holders, holder);

    return s && s->n_alone;
}

struct lease *lease_next(const struct lease_table *lt, size_t *at)
{
    const size_t n = lt->by_job.cap;
    size_t beyond;
    struct lease *l;

    if (*at < n && (l = idmap_next(&lt->by_job, at))) return l;
    beyond = *at - n;
    l = idmap_next(&lt->copies, &beyond);
    *at = n + beyond;
    return l;
}
