/* coll_nccl.cu - collectives by NCCL: one process, a thread and a device for each rank.
 *
 * gather: the other ranks send their columns to room on rank 0's device, from where they are copied
 * into the rows.  The room grows to what the largest gather needs.
 */
#include "kernels/cuda_stream.cuh"

extern "C" {
#include "base/barrier.h"
#include "kernels/coll_nccl.h"
}

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NCCL_F16  6
#define NCCL_F32  7
#define NCCL_BF16 9
#define NCCL_SUM  0
#define SLOTS     2 /* a rank is at most one collective ahead of another */

struct coll_group {
    int n, dtype;
    struct barrier *barrier;
    struct coll *ranks;
    int failed; /* atomic: the error of the first rank that had one */
};

struct coll {
    struct coll_group *group;
    int index;
    struct nccl_comm *comm; /* NULL once it is given up */
    struct stream *stream;
    unsigned turn;
    /* what this rank brings to a collective, read by the others until the next but one */
    int rc[SLOTS], width[SLOTS];
    float *room; /* rank 0's */
    size_t room_bytes;
};

static struct nccl nccl; /* the library, once it is opened */

static int failed_of(const struct coll_group *g)
{
    return __atomic_load_n(&g->failed, __ATOMIC_ACQUIRE);
}

int coll_failed(const struct coll *c)
{
    return failed_of(c->group);
}

void coll_fail(struct coll *c, int rc)
{
    int none = 0;

    __atomic_compare_exchange_n(&c->group->failed, &none, rc, 0, __ATOMIC_ACQ_REL,
                                __ATOMIC_ACQUIRE);
}

/* Lets go what waits on the device for another rank. */
void coll_give_up(struct coll *c)
{
    if (c->comm) nccl.abort(c->comm);
    c->comm = NULL;
}

/* All ranks are here, with the same error or none. */
static int agree(struct coll *c, int width, int rc)
{
    const struct coll_group *g = c->group;
    const unsigned slot = c->turn++ % SLOTS;

    c->rc[slot] = rc ? rc : failed_of(g);
    c->width[slot] = width;
    barrier_wait(c->group->barrier);
    rc = ERR_OK;
    for (int i = 0; i < g->n && !rc; i++)
        rc = g->ranks[i].rc[slot];
    if (!rc) return ERR_OK;
    coll_fail(c, rc);
    coll_give_up(c);
    return rc;
}

/* What fails from here on fails on this rank alone, and the others have gone on: it is kept in the
 * stream, and brought to the next collective (CO2). */
static int alone(struct coll *c)
{
    if (c->stream->rc) coll_fail(c, c->stream->rc);
    return ERR_OK;
}

static int called(struct coll *c, int said, const char *op, size_t count)
{
    struct stream *s = c->stream;

    if (!said)
        stream_launched(s, op, "of %zu numbers", count);
    else if (!s->rc)
        s->rc = err_set(&s->failed, ERR_CUDA, "NCCL: %s, in %s of %zu numbers", nccl.text(said), op,
                        count);
    return alone(c);
}

static int nccl_sum(struct coll *c, void *x, size_t count, int rc, struct stream *s)
{
    if (!rc) rc = stream_enter(s);
    if ((rc = agree(c, 0, rc))) return rc;
    if (count == 0) return ERR_OK;
    return called(c, nccl.sum(x, x, count, c->group->dtype, NCCL_SUM, c->comm, s->at), "sum",
                  count);
}

static bool take_room(struct coll *c, size_t bytes)
{
    struct stream *s = c->stream;

    if (bytes <= c->room_bytes) return true;
    if (s->recording) { /* the same was gathered before it is noted */
        s->rc = err_set(&s->failed, ERR_ARG, "gather: no room for %zu bytes", bytes);
        return false;
    }
    c->room = (float *)stream_take(s, bytes, "gather");
    c->room_bytes = c->room ? bytes : 0;
    return c->room != NULL;
}

/* y's columns from `at` on. */
static cudaError_t put_columns(float *y, size_t row, size_t at, const float *x, size_t T, size_t N,
                               cudaStream_t s)
{
    return cudaMemcpy2DAsync(y + at, row * sizeof *y, x, N * sizeof *x, N * sizeof *x, T,
                             cudaMemcpyDeviceToDevice, s);
}

/* Rank 0: everybody's columns. */
static int receive_all(struct coll *c, float *y, const float *x, size_t T, unsigned slot)
{
    const struct coll_group *g = c->group;
    struct stream *s = c->stream;
    const size_t own = (size_t)c->width[slot];
    size_t row = own, at = own;
    float *room = c->room;
    int said = nccl.group_start(), end;
    cudaError_t cu;

    for (int i = 1; i < g->n; i++) {
        const size_t N = (size_t)g->ranks[i].width[slot];

        if (!said) said = nccl.receive(room, T * N, NCCL_F32, i, c->comm, s->at);
        room += T * N;
        row += N;
    }
    end = nccl.group_end();
    if ((said = said ? said : end)) return called(c, said, "gather", T * row);
    cu = put_columns(y, row, 0, x, T, own, s->at);
    room = c->room;
    for (int i = 1; i < g->n && !cu; i++) {
        const size_t N = (size_t)g->ranks[i].width[slot];

        cu = put_columns(y, row, at, room, T, N, s->at);
        room += T * N;
        at += N;
    }
    stream_called(s, cu, "gather", "T=%zu V=%zu", T, row);
    return alone(c);
}

static int nccl_gather(struct coll *c, void *y, const void *x, int T, int N, int rc,
                       struct stream *s)
{
    const unsigned slot = c->turn % SLOTS;
    size_t others = 0;

    if (!rc) rc = stream_enter(s);
    if (!rc && (T < 0 || N <= 0)) rc = ERR_ARG;
    if ((rc = agree(c, N, rc))) return rc;
    if (T == 0) return ERR_OK;
    if (c->index)
        return called(c, nccl.send(x, (size_t)T * (size_t)N, NCCL_F32, 0, c->comm, s->at), "gather",
                      (size_t)T * (size_t)N);
    for (int i = 1; i < c->group->n; i++)
        others += (size_t)c->group->ranks[i].width[slot];
    if (!take_room(c, (size_t)T * others * sizeof(float))) return alone(c);
    return receive_all(c, (float *)y, (const float *)x, (size_t)T, slot);
}

static void nccl_close(struct coll **ranks, int n)
{
    struct coll_group *g = n > 0 && ranks[0] ? ranks[0]->group : NULL;

    if (!g) return;
    for (int i = 0; i < n; i++) {
        struct coll *c = &g->ranks[i];

        if (c->stream) c->stream->coll = NULL;
        if (c->comm && !failed_of(g)) nccl.close(c->comm);
        if (failed_of(g)) coll_give_up(c);
    }
    barrier_close(&g->barrier);
    free(g->ranks);
    free(g);
    memset(ranks, 0, (size_t)n * sizeof *ranks);
}

static int dtype_of(enum dtype act)
{
    return act == DTYPE_F32 ? NCCL_F32 : act == DTYPE_F16 ? NCCL_F16 : NCCL_BF16;
}

static int nccl_open(struct coll **ranks, struct stream *const *streams, int n, enum dtype act,
                     struct errmsg *e)
{
    struct coll_group *g = (struct coll_group *)calloc(1, sizeof *g);
    struct coll *all = (struct coll *)calloc((size_t)n, sizeof *all);
    struct nccl_comm **comms = (struct nccl_comm **)calloc((size_t)n, sizeof *comms);
    int *devices = (int *)calloc((size_t)n, sizeof *devices), rc, said;

    memset(ranks, 0, (size_t)n * sizeof *ranks);
    rc = err_set(e, ERR_NOMEM, "no memory for a group of %d ranks", n);
    if (!g || !all || !comms || !devices || barrier_open(&g->barrier, n)) goto out;
    for (int i = 0; i < n; i++)
        devices[i] = streams[i]->index;
    said = nccl.open_all(comms, n, devices);
    rc = said ? err_set(e, ERR_CUDA, "NCCL: %s, opening %d ranks", nccl.text(said), n) : ERR_OK;
    if (rc) goto out;
    g->n = n;
    g->dtype = dtype_of(act);
    g->ranks = all;
    for (int i = 0; i < n; i++) {
        all[i].group = g;
        all[i].index = i;
        all[i].comm = comms[i];
        all[i].stream = streams[i];
        streams[i]->coll = ranks[i] = &all[i];
    }
    g = NULL;
    all = NULL;
out:
    if (g) barrier_close(&g->barrier);
    free(g);
    free(all);
    free(comms);
    free(devices);
    return rc;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const struct coll_ops *coll_nccl(struct errmsg *e)
{
    static const struct coll_ops NCCL = {"nccl", nccl_open, nccl_close, nccl_sum, nccl_gather};
    int rc = ERR_OK;

    pthread_mutex_lock(&lock);
    if (!nccl.sum) rc = nccl_load(&nccl, e);
    if (rc) memset(&nccl, 0, sizeof nccl);
    pthread_mutex_unlock(&lock);
    return rc ? NULL : &NCCL;
}
