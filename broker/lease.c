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
    struct idmap by_job;
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

int lease_grant(struct lease_table *lt, const struct lease *l)
{
    struct sum none, *holder, *batch;
    struct lease *own;

    if (lease_find(lt, l->job_id)) return ERR_EXISTS; /* L1 */
    own = malloc(sizeof *own);
    holder = l->holder > 0 ? sum_of(&lt->holders, l->holder) : &none;
    batch = l->batch_id > 0 ? sum_of(&lt->batches, l->batch_id) : &none;
    if (!own || !holder || !batch || idmap_put(&lt->by_job, l->job_id, own)) {
        free(own);
        drop_sum(&lt->holders, l->holder);
        drop_sum(&lt->batches, l->batch_id);
        return ERR_NOMEM;
    }
    *own = *l;
    if (holder != &none) {
        holder->n++;
        holder->n_alone += l->alone;
        holder->rows += !l->settling;
        holder->tokens += l->settling ? 0 : l->est_tokens;
    }
    if (batch != &none) batch->n++;
    return ERR_OK;
}

struct lease *lease_find(const struct lease_table *lt, int64_t job_id)
{
    return idmap_get(&lt->by_job, job_id);
}

bool lease_is_live(const struct lease_table *lt, int64_t job_id, int64_t holder, int64_t now_ms)
{
    const struct lease *l = lease_find(lt, job_id);

    return l && l->holder == holder && (l->settling || now_ms < l->deadline_ms); /* L2, L4 */
}

int lease_renew(struct lease_table *lt, int64_t job_id, int64_t holder, int64_t now_ms,
                int64_t ttl_ms)
{
    if (!lease_is_live(lt, job_id, holder, now_ms)) return ERR_STALE;
    lease_find(lt, job_id)->deadline_ms = now_ms + ttl_ms;
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

void lease_end(struct lease_table *lt, int64_t job_id)
{
    struct lease *l = idmap_remove(&lt->by_job, job_id);
    struct sum *holder = l ? idmap_get(&lt->holders, l->holder) : NULL;
    struct sum *batch = l ? idmap_get(&lt->batches, l->batch_id) : NULL;

    if (holder) {
        holder->n--;
        holder->n_alone -= l->alone;
        holder->rows -= !l->settling;
        holder->tokens -= l->settling ? 0 : l->est_tokens;
        drop_sum(&lt->holders, l->holder);
    }
    if (batch) {
        batch->n--;
        drop_sum(&lt->batches, l->batch_id);
    }
    free(l);
}

size_t lease_reap(struct lease_table *lt, int64_t holder, int64_t now_ms,
                  void (*on_end)(void *arg, const struct lease *l), void *arg)
{
    size_t n = 0, at = 0;
    struct lease *l;

    while ((l = idmap_next(&lt->by_job, &at))) {
        if (l->settling || (holder && l->holder != holder) || now_ms < l->deadline_ms) continue;
        if (on_end) on_end(arg, l);
        lease_end(lt, l->job_id);
        n++;
        at--; /* removal shifts a later slot into this one */
    }
    return n;
}

void lease_shift(struct lease_table *lt, int64_t by_ms)
{
    size_t at = 0;
    struct lease *l;

    while ((l = idmap_next(&lt->by_job, &at)))
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
    return idmap_next(&lt->by_job, at);
}
