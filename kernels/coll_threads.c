/* coll_threads.c - collectives of ranks that are threads of one process. */
#include "kernels/coll.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"

struct group {
    int n;
    struct barrier *barrier;
    struct coll *ranks;
};

struct coll {
    struct group *group;
    int index;
    /* what this rank brings to a collective, read by the others between two barriers */
    float *x;
    const float *part;
    int width, rc;
};

/* The error of the first rank that has one. */
static int first_error(const struct group *g)
{
    for (int i = 0; i < g->n; i++)
        if (g->ranks[i].rc) return g->ranks[i].rc;
    return ERR_OK;
}

/* Elements [from, to) of every rank's x: this rank alone touches them. */
static void sum_share(const struct group *g, size_t from, size_t to)
{
    float *sum = g->ranks[0].x;

    for (int k = 1; k < g->n; k++) {
        const float *x = g->ranks[k].x;

        for (size_t i = from; i < to; i++)
            sum[i] += x[i];
    }
    for (int k = 1; k < g->n; k++)
        memcpy(g->ranks[k].x + from, sum + from, (to - from) * sizeof *sum);
}

static int threads_sum(struct coll *c, void *x, size_t count, int rc, struct stream *s)
{
    const size_t n = (size_t)c->group->n, i = (size_t)c->index;

    (void)s;
    c->x = x;
    c->rc = rc;
    barrier_wait(c->group->barrier);
    rc = first_error(c->group);
    if (!rc) sum_share(c->group, count * i / n, count * (i + 1) / n);
    barrier_wait(c->group->barrier);
    return rc;
}

/* This rank's columns into rank 0's rows. */
static void put_columns(const struct coll *c, int T, int N)
{
    const struct group *g = c->group;
    size_t at = 0, row = 0;

    for (int k = 0; k < g->n; k++) {
        if (k == c->index) at = row;
        row += (size_t)g->ranks[k].width;
    }
    for (size_t t = 0; t < (size_t)T; t++)
        memcpy(g->ranks[0].x + t * row + at, c->part + t * (size_t)N, (size_t)N * sizeof(float));
}

static int threads_gather(struct coll *c, void *y, const void *x, int T, int N, int rc,
                          struct stream *s)
{
    (void)s;
    c->x = y;
    c->part = x;
    c->width = N;
    c->rc = rc;
    barrier_wait(c->group->barrier);
    rc = first_error(c->group);
    if (!rc) put_columns(c, T, N);
    barrier_wait(c->group->barrier);
    return rc;
}

static void threads_close(struct coll **ranks, int n)
{
    struct group *g = n > 0 && ranks[0] ? ranks[0]->group : NULL;

    if (!g) return;
    barrier_close(&g->barrier);
    free(g->ranks);
    free(g);
    memset(ranks, 0, (size_t)n * sizeof(struct coll *));
}

static int threads_open(struct coll **ranks, struct stream *const *streams, int n, enum dtype act,
                        struct errmsg *e)
{
    struct group *g = calloc(1, sizeof *g);
    struct coll *all = calloc((size_t)n, sizeof *all);

    assert(n > 0 && act == DTYPE_F32);
    (void)streams;
    memset(ranks, 0, (size_t)n * sizeof(struct coll *));
    if (!g || !all || barrier_open(&g->barrier, n)) {
        free(g);
        free(all);
        return err_set(e, ERR_NOMEM, "no memory for a group of %d ranks", n);
    }
    g->n = n;
    g->ranks = all;
    for (int i = 0; i < n; i++) {
        all[i] = (struct coll){.group = g, .index = i};
        ranks[i] = &all[i];
    }
    return ERR_OK;
}

const struct coll_ops *coll_threads(void)
{
    static const struct coll_ops THREADS = {
        .name = "threads",
        .open = threads_open,
        .close = threads_close,
        .sum = threads_sum,
        .gather = threads_gather,
    };

    return &THREADS;
}
