/* graphs.c - the steps of a rank that come again in the same shape, recorded and replayed. */
#include "worker/graphs.h"

#include <assert.h>

#include "base/log.h"

/* Close enough that little is computed for nobody; from the last one on in steps of STRIDE. */
static const int BUCKETS[] = {1,  2,   4,   8,   16,  24,  32,  48,  64,
                              96, 128, 160, 192, 256, 320, 384, 448, 512};
#define N_BUCKETS ((int)(sizeof BUCKETS / sizeof BUCKETS[0]))
#define STRIDE    128

static int index_of(int n)
{
    int i = 0;

    if (n > BUCKETS[N_BUCKETS - 1]) return N_BUCKETS + (n - BUCKETS[N_BUCKETS - 1] - 1) / STRIDE;
    while (BUCKETS[i] < n)
        i++;
    return i;
}

int graphs_bucket(int n, int max)
{
    const int i = index_of(n);
    const int bucket =
        i < N_BUCKETS ? BUCKETS[i] : BUCKETS[N_BUCKETS - 1] + (i - N_BUCKETS + 1) * STRIDE;

    if (n > max || i >= GRAPHS_MAX) return 0;
    return bucket < max ? bucket : max;
}

static int64_t free_bytes(const struct graphs *g)
{
    struct device_facts facts;
    struct errmsg e;

    return g->device->facts(g->index, &facts, &e) ? 0 : facts.free_bytes;
}

static int record(struct graphs *g, int i, struct stream *s, int (*work)(void *arg), void *arg)
{
    const int64_t before = free_bytes(g);
    int rc = g->device->record(s), ended;

    if (rc) return rc;
    rc = work(arg);
    ended = g->device->recorded(&g->at[i], s);
    if (rc || ended) return ended ? ended : rc;
    g->bytes += before - free_bytes(g);
    return ERR_OK;
}

int graphs_run(struct graphs *g, int bucket, struct stream *s, int (*work)(void *arg), void *arg)
{
    const int i = index_of(bucket);
    int rc;

    assert(i < GRAPHS_MAX);
    if (g->at[i]) return g->device->replay(g->at[i], s);
    if (!g->ran[i] || g->off) {
        g->ran[i] = true;
        return work(arg);
    }
    rc = record(g, i, s, work, arg);
    if (rc == ERR_UNSUPPORTED) {
        g->off = true;
        log_warn("engine", "the device records no step of %d sequences: ops are launched singly",
                 bucket);
    }
    if (rc) return rc;
    log_debug("engine", "recorded sequences=%d graph_bytes=%lld", bucket, (long long)g->bytes);
    return g->device->replay(g->at[i], s);
}

void graphs_close(struct graphs *g)
{
    for (int i = 0; i < GRAPHS_MAX; i++)
        if (g->at[i]) g->device->forget(&g->at[i]);
}
