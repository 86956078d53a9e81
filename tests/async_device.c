/* async_device.c - the reference's ops as a device that works later, in memory of its own. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/async_stream.h"

struct async_counts async_counts;

static _Atomic int64_t taken[ASYNC_DEVICES];

static void list_init(struct list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void list_free(struct list *l)
{
    for (struct work *w = l->first, *next; w; w = next) {
        next = w->next;
        free(w->bytes);
        free(w);
    }
    list_init(l);
}

int later(struct stream *s, struct work w)
{
    struct list *l = s->recording ? &s->recording->work : &s->queue;
    struct work *at;

    if (s->recording && async_counts.refuses) return ERR_CUDA;
    at = malloc(sizeof *at);
    *at = w;
    at->next = NULL;
    for (int i = 0; i < 3; i++)
        if (at->p[i].w) at->p[i].w = &at->weights[i];
    *l->end = at;
    l->end = &at->next;
    return ERR_OK;
}

void *copy_of(const void *from, size_t bytes)
{
    void *to = malloc(bytes ? bytes : 1);

    memcpy(to, from, bytes);
    return to;
}

static void protect(const struct stream *s, int how)
{
    for (const struct memory *m = s->memory; m; m = m->next)
        if (mprotect(m->at, m->bytes, how)) abort();
}

static bool is_here(const struct stream *s, const void *p)
{
    for (const struct memory *m = s->memory; m; m = m->next)
        if ((const char *)p >= m->at && (const char *)p < m->at + m->bytes) return true;
    return false;
}

void check_here(const struct stream *s, const char *op, const void *p)
{
    if (!p || is_here(s, p)) return;
    fprintf(stderr, "%s was given memory that is not its device's\n", op);
    abort();
}

static int run_one(const struct work *w, struct stream *s);

static int run_list(const struct list *l, struct stream *s)
{
    for (const struct work *w = l->first; w; w = w->next)
        run_one(w, s);
    return s->rc;
}

/* A rank that has failed still takes part in what the others wait for. */
static int run_one(const struct work *w, struct stream *s)
{
    int n, rc;

    if (w->graph) return run_list(&w->graph->work, s);
    if (s->rc && !w->coll) return s->rc;
    n = atomic_fetch_add(&async_counts.ops, 1) + 1;
    rc = n == async_counts.fail_at && !w->coll ? ERR_CUDA : w->run(w, s);
    if (rc && !s->rc)
        s->rc = err_set(&s->failed, rc, "async: %s T=%d: %s", w->name, w->T, err_name(rc));
    return s->rc;
}

static void drain(struct stream *s)
{
    protect(s, PROT_READ | PROT_WRITE);
    run_list(&s->queue, s);
    protect(s, PROT_NONE);
    list_free(&s->queue);
}

/* ---- the device ---- */

static void *async_take(struct stream *s, size_t bytes, struct errmsg *e)
{
    struct memory *m = malloc(sizeof *m);

    m->bytes = (bytes + 4096) & ~(size_t)4095;
    if (taken[s->index] + (int64_t)m->bytes > ASYNC_MEMORY) {
        free(m);
        err_set(e, ERR_FULL, "%zu bytes, and %lld are free", bytes,
                (long long)(ASYNC_MEMORY - taken[s->index]));
        return NULL;
    }
    m->at = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(m->at, 0xFF, m->bytes);
    mprotect(m->at, m->bytes, PROT_NONE);
    m->next = s->memory;
    s->memory = m;
    taken[s->index] += (int64_t)m->bytes;
    return m->at;
}

static int async_open(struct stream **out, const struct device_opts *o, struct errmsg *e)
{
    struct stream *s = NULL;

    *out = NULL;
    if (o->index < 0 || o->index >= ASYNC_DEVICES)
        return err_set(e, ERR_ARG, "async:%d: there are %d", o->index, ASYNC_DEVICES);
    s = calloc(1, sizeof *s);
    s->index = o->index;
    list_init(&s->queue);
    *out = s;
    return ERR_OK;
}

static void async_close(struct stream **sp)
{
    struct stream *s = *sp;

    if (!s) return;
    list_free(&s->queue);
    for (struct memory *m = s->memory, *next; m; m = next) {
        next = m->next;
        munmap(m->at, m->bytes);
        taken[s->index] -= (int64_t)m->bytes;
        free(m);
    }
    free(s);
    *sp = NULL;
}

static int run_put(const struct work *w, struct stream *s)
{
    (void)s;
    memcpy(w->y, w->bytes, w->n_bytes);
    return ERR_OK;
}

static int async_put(struct stream *s, void *to, const void *from, size_t bytes)
{
    assert(!s->recording);
    check_here(s, "put", to);
    return later(s, (struct work){.name = "put",
                                  .run = run_put,
                                  .y = to,
                                  .bytes = copy_of(from, bytes),
                                  .n_bytes = bytes});
}

static int async_wait(struct stream *s, struct errmsg *e)
{
    drain(s);
    return s->rc ? err_set(e, s->rc, "%s", s->failed.text) : ERR_OK;
}

static int async_get(struct stream *s, void *to, const void *from, size_t bytes)
{
    check_here(s, "get", from);
    async_counts.fetched++;
    drain(s);
    protect(s, PROT_READ);
    memcpy(to, from, bytes);
    protect(s, PROT_NONE);
    return s->rc;
}

static int async_record(struct stream *s)
{
    s->recording = malloc(sizeof *s->recording);
    list_init(&s->recording->work);
    return ERR_OK;
}

static void async_forget(struct graph **g)
{
    if (!*g) return;
    list_free(&(*g)->work);
    free(*g);
    *g = NULL;
}

static int async_recorded(struct graph **out, struct stream *s)
{
    *out = s->recording;
    s->recording = NULL;
    if (async_counts.refuses) {
        async_forget(out);
        return ERR_UNSUPPORTED;
    }
    async_counts.recorded++;
    return ERR_OK;
}

static int async_replay(struct graph *g, struct stream *s)
{
    async_counts.replayed++;
    return later(s, (struct work){.name = "replay", .graph = g});
}

static int async_count(struct errmsg *e)
{
    (void)e;
    return ASYNC_DEVICES;
}

static int async_facts(int index, struct device_facts *out, struct errmsg *e)
{
    if (index < 0 || index >= ASYNC_DEVICES)
        return err_set(e, ERR_ARG, "async:%d: there are %d devices", index, ASYNC_DEVICES);
    *out = (struct device_facts){.name = "async",
                                 .arch = 90,
                                 .memory_bytes = ASYNC_MEMORY,
                                 .free_bytes = ASYNC_MEMORY - taken[index]};
    return ERR_OK;
}

static int async_sms(const struct stream *s)
{
    (void)s;
    return 8;
}

const struct device *async_device(void)
{
    static const struct device ASYNC = {
        .name = "async",
        .async = true,
        .ops = async_ops,
        .count = async_count,
        .facts = async_facts,
        .open = async_open,
        .close = async_close,
        .sm_count = async_sms,
        .take = async_take,
        .put = async_put,
        .get = async_get,
        .wait = async_wait,
        .record = async_record,
        .recorded = async_recorded,
        .replay = async_replay,
        .forget = async_forget,
    };

    return &ASYNC;
}

/* ---- collectives: those of threads, when the streams come to them ---- */

static int run_sum(const struct work *w, struct stream *s)
{
    return coll_threads()->sum(w->coll, w->x, w->n_bytes, w->rc ? w->rc : s->rc, NULL);
}

static int async_sum(struct coll *c, void *x, size_t count, int rc, struct stream *s)
{
    check_here(s, "sum", x);
    return later(s,
                 (struct work){
                     .name = "sum", .run = run_sum, .coll = c, .x = x, .n_bytes = count, .rc = rc});
}

static int run_gather_coll(const struct work *w, struct stream *s)
{
    return coll_threads()->gather(w->coll, w->y, w->x, w->T, w->n, w->rc ? w->rc : s->rc, NULL);
}

static int async_gather_coll(struct coll *c, void *y, const void *x, int T, int N, int rc,
                             struct stream *s)
{
    return later(s, (struct work){.name = "gather",
                                  .run = run_gather_coll,
                                  .coll = c,
                                  .y = y,
                                  .x = (void *)(uintptr_t)x,
                                  .T = T,
                                  .n = N,
                                  .rc = rc});
}

static int async_coll_open(struct coll **ranks, struct stream *const *streams, int n,
                           enum dtype act, struct errmsg *e)
{
    return coll_threads()->open(ranks, streams, n, act, e);
}

static void async_coll_close(struct coll **ranks, int n)
{
    coll_threads()->close(ranks, n);
}

const struct coll_ops *async_coll(void)
{
    static const struct coll_ops COLL = {
        .name = "async",
        .open = async_coll_open,
        .close = async_coll_close,
        .sum = async_sum,
        .gather = async_gather_coll,
    };

    return &COLL;
}
