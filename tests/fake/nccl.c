/* nccl.c - collectives of threads of one process on memory of this machine, for test_cuda_coll.c.
 *
 * Work is done at once, as the emulation does it: a rank waits in the call until the others are
 * there, or until the group is aborted.  Between two ranks there is one message at a time.
 *
 *   FAKE_NCCL_VERSION  instead of 22803      FAKE_NCCL  "open": no group opens
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"

#define MAX_RANKS 8

struct stream;
struct comm;

int ncclGetVersion(int *out);
const char *ncclGetErrorString(int rc);
int ncclCommInitAll(struct comm **out, int n, const int *devices);
int ncclCommDestroy(struct comm *c);
int ncclCommAbort(struct comm *c);
int ncclAllReduce(const void *from, void *to, size_t count, int dtype, int op, struct comm *c,
                  struct stream *s);
int ncclSend(const void *from, size_t count, int dtype, int to, struct comm *c, struct stream *s);
int ncclRecv(void *to, size_t count, int dtype, int from, struct comm *c, struct stream *s);
int ncclGroupStart(void);
int ncclGroupEnd(void);

struct group {
    int n, n_left, n_here;
    unsigned turn;
    bool aborted;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    const void *in[MAX_RANKS]; /* what each brings to a sum */
    struct {
        const void *at;
        size_t bytes;
    } sent[MAX_RANKS]; /* to rank 0; NULL: nothing */
};

struct comm {
    struct group *group;
    int index;
};

static const char *setting(const char *name)
{
    const char *text = getenv(name);

    return text ? text : "";
}

int ncclGetVersion(int *out)
{
    *out = *setting("FAKE_NCCL_VERSION") ? atoi(setting("FAKE_NCCL_VERSION")) : 22803;
    return 0;
}

const char *ncclGetErrorString(int rc)
{
    return rc == 6 ? "remote process exited or there was a network error"
                   : "invalid usage (run with NCCL_DEBUG=WARN for details)";
}

int ncclCommInitAll(struct comm **out, int n, const int *devices)
{
    struct group *g;

    if (n < 1 || n > MAX_RANKS || !strcmp(setting("FAKE_NCCL"), "open")) return 5;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (devices[i] == devices[k]) return 5;
    g = calloc(1, sizeof *g);
    if (!g) return 2;
    g->n = g->n_left = n;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->moved, NULL);
    for (int i = 0; i < n; i++) {
        out[i] = calloc(1, sizeof *out[i]);
        if (!out[i]) return 2;
        *out[i] = (struct comm){g, i};
    }
    return 0;
}

static int leave(struct comm *c, bool abort)
{
    struct group *g = c->group;
    bool last;

    pthread_mutex_lock(&g->lock);
    g->aborted |= abort;
    last = --g->n_left == 0;
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
    free(c);
    if (last) {
        pthread_cond_destroy(&g->moved);
        pthread_mutex_destroy(&g->lock);
        free(g);
    }
    return 0;
}

int ncclCommDestroy(struct comm *c)
{
    return leave(c, false);
}

int ncclCommAbort(struct comm *c)
{
    return leave(c, true);
}

/* Under the lock: all are here, or the group is aborted. */
static int meet(struct group *g)
{
    const unsigned turn = g->turn;

    if (++g->n_here == g->n) {
        g->n_here = 0;
        g->turn++;
        pthread_cond_broadcast(&g->moved);
    }
    while (g->turn == turn && !g->aborted)
        pthread_cond_wait(&g->moved, &g->lock);
    return g->turn == turn ? 6 : 0;
}

static float number(const void *at, int dtype, size_t i)
{
    if (dtype == 7) return ((const float *)at)[i];
    return dtype == 6 ? f16_to_f32(((const uint16_t *)at)[i])
                      : bf16_to_f32(((const uint16_t *)at)[i]);
}

static void put_number(void *at, int dtype, size_t i, float v)
{
    if (dtype == 7)
        ((float *)at)[i] = v;
    else
        ((uint16_t *)at)[i] = dtype == 6 ? f32_to_f16(v) : f32_to_bf16(v);
}

int ncclAllReduce(const void *from, void *to, size_t count, int dtype, int op, struct comm *c,
                  struct stream *s)
{
    struct group *g = c->group;
    float *sum = malloc(count * sizeof *sum);
    int rc;

    (void)s;
    if (op || (dtype != 6 && dtype != 7 && dtype != 9) || !sum) {
        free(sum);
        return 4;
    }
    pthread_mutex_lock(&g->lock);
    g->in[c->index] = from;
    rc = meet(g);
    for (size_t i = 0; i < count && !rc; i++) {
        sum[i] = 0;
        for (int k = 0; k < g->n; k++)
            sum[i] += number(g->in[k], dtype, i);
    }
    if (!rc) rc = meet(g);
    pthread_mutex_unlock(&g->lock);
    for (size_t i = 0; i < count && !rc; i++)
        put_number(to, dtype, i, sum[i]);
    free(sum);
    return rc;
}

int ncclSend(const void *from, size_t count, int dtype, int to, struct comm *c, struct stream *s)
{
    struct group *g = c->group;

    (void)s;
    if (to != 0 || dtype != 7) return 4;
    pthread_mutex_lock(&g->lock);
    g->sent[c->index].at = from;
    g->sent[c->index].bytes = count * 4;
    pthread_cond_broadcast(&g->moved);
    while (g->sent[c->index].at && !g->aborted)
        pthread_cond_wait(&g->moved, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return 0;
}

int ncclRecv(void *to, size_t count, int dtype, int from, struct comm *c, struct stream *s)
{
    struct group *g = c->group;
    int rc = 0;

    (void)s;
    if (c->index || dtype != 7) return 4;
    pthread_mutex_lock(&g->lock);
    while (!g->sent[from].at && !g->aborted)
        pthread_cond_wait(&g->moved, &g->lock);
    if (!g->sent[from].at)
        rc = 6;
    else if (g->sent[from].bytes != count * 4)
        rc = 4;
    else
        memcpy(to, g->sent[from].at, count * 4);
    g->sent[from].at = NULL;
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
    return rc;
}

int ncclGroupStart(void)
{
    return 0;
}

int ncclGroupEnd(void)
{
    return 0;
}
