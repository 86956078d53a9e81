/* forward.c - the model's layers, run over a ragged step on every TP rank. */
#include "worker/forward.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/coll.h"
#include "kernels/pool.h"
#include "model/rope.h"
#include "worker/layers.h"
#include "worker/rank.h"

#define MAX_TP 64

struct forward {
    const struct model_config *c;
    const struct device *device;
    const struct ops *ops;
    int tp;
    struct layers layers;
    struct rotary rotary;
    const struct coll_ops *coll_ops;
    struct coll *coll[MAX_TP]; /* NULL when there is one rank */
    struct rank *ranks[MAX_TP];
    struct stream *streams[MAX_TP];
    struct stream *team; /* a thread for each rank */
    int max_logits;

    /* what the ranks do in this call */
    const struct ragged *r;
    const struct kv *kv;
    int first, n;
    int rc[MAX_TP];
    struct errmsg waited[MAX_TP]; /* what each rank's device said */
};

static int open_rotary(struct forward *f, const struct forward_opts *o, struct errmsg *e)
{
    const struct model_config *c = f->c;
    const struct rope_config *kinds[] = {&c->rope, &c->rope_local};
    int rc = ERR_OK;

    for (int i = 0; i < 2 && !rc; i++)
        rc = rope_table(f->rotary.inv_freq[i], &f->rotary.scale[i], kinds[i], c->n_rot,
                        o->max_model_len, c->max_positions, e);
    return rc;
}

static int open_rank(struct forward *f, const struct forward_opts *o, int i, struct errmsg *e)
{
    const struct rank_opts ro = {.config = f->c,
                                 .device = f->device,
                                 .ops = f->ops,
                                 .stream = f->streams[i],
                                 .layers = &f->layers,
                                 .rotary = &f->rotary,
                                 .coll_ops = f->coll_ops,
                                 .coll = f->coll[i],
                                 .index = i,
                                 .n = f->tp,
                                 .on = o->parts[i % o->n_parts].index,
                                 .max_tokens = o->max_tokens,
                                 .max_rows = o->max_rows,
                                 .max_logits = f->max_logits,
                                 .max_blocks = kv_table_blocks(o->max_model_len),
                                 .matrix = o->matrix};

    return rank_open(&f->ranks[i], &ro, e);
}

static int open_group(struct forward *f, const struct forward_opts *o, struct errmsg *e)
{
    const int most = f->device->async ? FORWARD_ASYNC_LOGITS : FORWARD_LOGITS;
    int rc = ERR_OK;

    f->max_logits = o->max_rows < most ? o->max_rows : most;
    for (int i = 0; i < f->tp && !rc; i++)
        rc = f->device->open(&f->streams[i], &o->parts[i % o->n_parts], e);
    if (!rc && f->tp > 1) {
        f->coll_ops = o->coll ? o->coll : coll_threads();
        rc = f->coll_ops->open(f->coll, f->streams, f->tp, f->ops->act, e);
        if (!rc) rc = pool_open(&f->team, f->tp, e);
    }
    for (int i = 0; i < f->tp && !rc; i++)
        rc = open_rank(f, o, i, e);
    return rc;
}

int forward_open(struct forward **out, const struct forward_opts *o, struct errmsg *e)
{
    const int tp = o->tp ? o->tp : 1;
    struct forward *f = NULL;
    int rc;

    *out = NULL;
    if (tp < 1 || tp > MAX_TP)
        return err_set(e, ERR_ARG, "tensor-parallel-size is %d, not in [1, %d]", tp, MAX_TP);
    f = calloc(1, sizeof *f);
    if (!f) return err_set(e, ERR_NOMEM, "no memory for %d ranks", tp);
    f->c = &o->model->config;
    f->device = o->device;
    f->ops = o->ops;
    f->tp = tp;
    rc = layers_open(&f->layers, o->model, e);
    if (!rc) rc = open_rotary(f, o, e);
    if (!rc) rc = open_group(f, o, e);
    if (rc) goto out;
    *out = f;
    f = NULL;
out:
    forward_close(&f);
    return rc;
}

void forward_close(struct forward **fp)
{
    struct forward *f = *fp;

    if (!f) return;
    pool_close(&f->team);
    for (int i = 0; i < f->tp; i++)
        rank_close(&f->ranks[i]);
    if (f->coll_ops) f->coll_ops->close(f->coll, f->tp);
    for (int i = 0; i < f->tp; i++)
        if (f->streams[i]) f->device->close(&f->streams[i]);
    layers_fini(&f->layers);
    free(f);
    *fp = NULL;
}

bool forward_is_async(const struct forward *f)
{
    return f->device->async;
}

bool forward_can_choose(const struct forward *f)
{
    return f->device->async && f->ops->choose;
}

int forward_ranks(const struct forward *f)
{
    return f->tp;
}

struct stream *const *forward_streams(const struct forward *f)
{
    return f->streams;
}

size_t forward_weight_bytes(const struct forward *f)
{
    size_t bytes = 0;

    for (int i = 0; i < f->tp; i++)
        bytes += rank_weight_bytes(f->ranks[i]);
    return bytes ? bytes : f->layers.bytes;
}

size_t forward_work_bytes(const struct forward *f)
{
    size_t bytes = 0;

    for (int i = 0; i < f->tp; i++)
        bytes += rank_work_bytes(f->ranks[i]);
    return bytes;
}

int64_t forward_graph_bytes(const struct forward *f)
{
    return rank_graph_bytes(f->ranks[0]);
}

struct kv_shape forward_kv_shape(const struct forward *f, enum dtype dtype)
{
    return (struct kv_shape){.n_layers = f->layers.n * f->tp,
                             .n_kv_heads = rank_kv_heads(f->ranks[0]),
                             .head_dim = f->layers.HD,
                             .dtype = dtype};
}

int64_t forward_beats(const struct forward *f)
{
    return rank_beats(f->ranks[0]);
}

/* Each rank waits for the others in its collectives; the team has a thread for each, so all run. */
static void run_ranks(struct forward *f, void (*work)(void *arg, int i))
{
    pool_run(f->team, f->tp, work, f);
}

static void wait_on(void *arg, int i)
{
    struct forward *f = arg;

    f->rc[i] = f->device->wait(f->streams[i], &f->waited[i]);
}

/* The ranks' work waits for one another, so all are waited for at the same time. */
int forward_wait(struct forward *f, struct errmsg *e)
{
    run_ranks(f, wait_on);
    for (int i = 0; i < f->tp; i++)
        if (f->rc[i]) {
            *e = f->waited[i];
            return f->rc[i];
        }
    return ERR_OK;
}

/* What went wrong on an asynchronous device its stream knows better. */
static bool told_by_device(struct forward *f, int rc, struct errmsg *e)
{
    return f->device->async && rc == ERR_CUDA && forward_wait(f, e);
}

/* The first rank that failed by itself says where. */
static int report(struct forward *f, struct errmsg *e)
{
    char of[48] = "";
    int layer;

    for (int i = 0; i < f->tp; i++) {
        const int rc = rank_error(f->ranks[i], &layer);

        if (!rc) continue;
        if (told_by_device(f, rc, e)) return rc;
        if (f->tp > 1) snprintf(of, sizeof of, " on rank %d of %d", i, f->tp);
        if (layer == f->layers.n)
            return err_set(e, rc, "%s: the head failed%s: %s", f->ops->name, of, err_name(rc));
        return err_set(e, rc, "%s: layer %d of %d failed%s: %s", f->ops->name, layer, f->layers.n,
                       of, err_name(rc));
    }
    for (int i = 0; i < f->tp; i++)
        assert(f->rc[i] == ERR_OK);
    return ERR_OK;
}

static void forward_on(void *arg, int i)
{
    struct forward *f = arg;

    f->rc[i] = rank_forward(f->ranks[i], f->r, f->kv);
}

int model_forward(struct forward *f, const struct ragged *r, const struct kv *kv, struct errmsg *e)
{
    f->r = r;
    f->kv = kv;
    run_ranks(f, forward_on);
    return report(f, e);
}

static void again_on(void *arg, int i)
{
    struct forward *f = arg;

    f->rc[i] = rank_again(f->ranks[i], f->r, f->kv);
}

int forward_again(struct forward *f, const struct ragged *r, const struct kv *kv, struct errmsg *e)
{
    f->r = r;
    f->kv = kv;
    run_ranks(f, again_on);
    return report(f, e);
}

static void logits_on(void *arg, int i)
{
    struct forward *f = arg;

    f->rc[i] = rank_logits(f->ranks[i], f->first, f->n);
}

int forward_max_logits(const struct forward *f)
{
    return f->max_logits;
}

int forward_logits(struct forward *f, int first, int n, float **logits, struct errmsg *e)
{
    *logits = rank_logits_at(f->ranks[0]);
    f->first = first;
    f->n = n;
    run_ranks(f, logits_on);
    return report(f, e);
}

/* All ranks first: what one of them failed with is an error here too. */
int forward_fetch(struct forward *f, float *to, const float *logits, size_t n, struct errmsg *e)
{
    int rc = f->tp > 1 && f->device->async ? forward_wait(f, e) : ERR_OK;

    if (rc) return rc;
    rc = f->device->get(f->streams[0], to, logits, n * sizeof *to);
    if (!rc || told_by_device(f, rc, e)) return rc;
    return err_set(e, rc, "%s: logits cannot be fetched: %s", f->device->name, err_name(rc));
}

int forward_choose(struct forward *f, struct choice *out, float *logits, const struct wish *wishes,
                   int n, struct errmsg *e)
{
    const int rc = f->ops->choose(out, logits, wishes, n, f->c->vocab_size, f->streams[0]);

    if (!rc || told_by_device(f, rc, e)) return rc;
    return err_set(e, rc, "%s: no tokens for %d rows: %s", f->ops->name, n, err_name(rc));
}
