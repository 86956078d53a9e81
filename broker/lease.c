/* lease.c - who may work on a job, and until when. */
#include "broker/lease.h"

#include <stdlib.h>

#include "base/idmap.h"

struct lease_table {
    struct idmap by_job;
};

int lease_table_open(struct lease_table **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ERR_OK : ERR_NOMEM;
}

void lease_table_close(struct lease_table **lt)
{
    size_t at = 0;
    void *l;

    if (!*lt) return;
    while ((l = idmap_next(&(*lt)->by_job, &at)))
        free(l);
    idmap_fini(&(*lt)->by_job);
    free(*lt);
    *lt = NULL;
}

int lease_grant(struct lease_table *lt, const struct lease *l)
{
    struct lease *own;

    if (lease_find(lt, l->job_id)) return ERR_EXISTS; /* L1 */
    own = malloc(sizeof *own);
    if (!own) return ERR_NOMEM;
    *own = *l;
    if (idmap_put(&lt->by_job, l->job_id, own)) {
        free(own);
        return ERR_NOMEM;
    }
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

void lease_end(struct lease_table *lt, int64_t job_id)
{
    free(idmap_remove(&lt->by_job, job_id));
}

size_t lease_reap(struct lease_table *lt, int64_t holder, int64_t now_ms)
{
    size_t n = 0, at = 0;
    struct lease *l;

    while ((l = idmap_next(&lt->by_job, &at))) {
        if (l->settling || (holder && l->holder != holder) || now_ms < l->deadline_ms) continue;
        lease_end(lt, l->job_id);
        n++;
        at--; /* removal shifts a later slot into this one */
    }
    return n;
}

size_t lease_count(const struct lease_table *lt)
{
    return lt->by_job.n;
}

size_t lease_count_batch(const struct lease_table *lt, int64_t batch_id)
{
    size_t n = 0, at = 0;
    const struct lease *l;

    while ((l = idmap_next(&lt->by_job, &at)))
        n += l->batch_id == batch_id;
    return n;
}

int64_t lease_tokens(const struct lease_table *lt, int64_t holder, size_t *rows)
{
    int64_t tokens = 0;
    size_t at = 0;
    const struct lease *l;

    *rows = 0;
    while ((l = idmap_next(&lt->by_job, &at))) {
        if (l->holder != holder || l->settling) continue;
        tokens += l->est_tokens;
        (*rows)++;
    }
    return tokens;
}

const struct lease *lease_next(const struct lease_table *lt, size_t *at)
{
    return idmap_next(&lt->by_job, at);
}
