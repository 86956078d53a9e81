/* engine.c - runs many sequences through one model, a step at a time. */
#include "worker/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "kernels/pool.h"
#include "worker/batch.h"
#include "worker/chooser.h"
#include "worker/forward.h"
#include "worker/intake.h"
#include "worker/kv.h"
#include "worker/sample.h"
#include "worker/seq.h"

#define MAX_CHOOSERS 8

struct engine {
    const struct model *model;
    int max_len;
    struct stream *pool; /* rank 0's stream on the host */
    struct kv *kv;
    size_t kv_bytes, work_bytes;
    struct forward *forward;
    struct batch batch;
    struct chooser *choosers[MAX_CHOOSERS]; /* [n_choosers], one for each thread that samples */
    int n_choosers;
    int32_t *picks;        /* [FORWARD_LOGITS] tokens chosen for the rows at hand */
    struct kv_table spare; /* for engine_logits */
    struct seq_list waiting, running, done;
    bool keeps; /* blocks for whoever comes: the prefix cache is on */
    int64_t next_order;
    void (*watch)(void *arg, void *const *owners, int n);
    void *watch_arg, **owners; /* [max_num_seqs] of the step */
    int64_t steps, prefill_tokens, decode_tokens, step_ns;
};

const char *finish_name(enum finish f)
{
    static const char *const NAMES[] = {[FINISH_STOP] = "stop",
                                        [FINISH_LENGTH] = "length",
                                        [FINISH_ABORT] = "abort",
                                        [FINISH_NO_TOKEN] = "no_token"};

    return NAMES[f];
}

static int check_opts(const struct engine_opts *o, struct errmsg *e)
{
    if (o->max_num_seqs < 1)
        return err_set(e, ERR_ARG, "max-num-seqs is %d, must be at least 1", o->max_num_seqs);
    if (o->max_batched_tokens < 1)
        return err_set(e, ERR_ARG, "max-num-batched-tokens is %d, must be at least 1",
                       o->max_batched_tokens);
    if (o->max_model_len < 0 || o->max_model_len > o->model->config.max_positions)
        return err_set(e, ERR_ARG, "max-model-len is %d, and the model's limit is %d",
                       o->max_model_len, o->model->config.max_positions);
    if (o->n_devices < 0 || o->n_devices > ENGINE_MAX_DEVICES)
        return err_set(e, ERR_ARG, "%d devices, and %d are the most", o->n_devices,
                       ENGINE_MAX_DEVICES);
    if (!dtype_is_float(o->kv_dtype))
        return err_set(e, ERR_UNSUPPORTED, "KV dtype %s is not known; known: f32, f16, bf16",
                       dtype_name(o->kv_dtype));
    return ERR_OK;
}

/* As many blocks as the memory holds, and no more than all sequences together could use. */
static int open_kv(struct engine *en, const struct engine_opts *o, int max_seqs, struct errmsg *e)
{
    const struct kv_shape shape = forward_kv_shape(en->forward, o->kv_dtype);
    const size_t one = kv_block_bytes(&shape), fit = o->kv_bytes / one;
    const struct kv_home home = {o->device, forward_streams(en->forward),
                                 forward_ranks(en->forward)};
    const size_t most = (size_t)max_seqs * (size_t)kv_table_blocks(en->max_len);
    const size_t n = fit < most ? fit : most;

    if (n == 0)
        return err_set(e, ERR_ARG, "%zu bytes for KV hold no block of %d tokens: one needs %zu",
                       o->kv_bytes, KV_BLOCK_TOKENS, one);
    en->kv_bytes = n * one;
    return kv_open(&en->kv, &shape, &home, n > INT32_MAX - 1 ? INT32_MAX - 1 : (int)n,
                   !o->no_prefix_caching, e);
}

static int open_parts(struct engine *en, const struct engine_opts *o, struct errmsg *e)
{
    const int max_blocks = kv_table_blocks(en->max_len);
    /* Each sequence of a step has at least one of its tokens. */
    const int S = o->max_num_seqs < o->max_batched_tokens ? o->max_num_seqs : o->max_batched_tokens;
    const int V = o->model->config.vocab_size, samplers = o->threads < S ? o->threads : S;
    const int share = o->tp > 1 ? o->threads / o->tp : o->threads;
    const int threads = share < 1 && o->threads >= 1 ? 1 : share; /* of a rank */
    struct device_opts parts[ENGINE_MAX_DEVICES];
    const struct forward_opts f = {.model = o->model,
                                   .device = o->device,
                                   .ops = o->device->ops(DTYPE_F32),
                                   .parts = parts,
                                   .n_parts = o->n_devices ? o->n_devices : 1,
                                   .coll = o->coll,
                                   .max_tokens = o->max_batched_tokens,
                                   .max_rows = S,
                                   .max_model_len = en->max_len,
                                   .tp = o->tp};
    int rc;

    for (int i = 0; i < f.n_parts; i++)
        parts[i] = (struct device_opts){.index = o->n_devices ? o->devices[i] : 0,
                                        .threads = threads,
                                        .sm_count = o->sm_count,
                                        .batch_invariant = o->batch_invariant,
                                        .tuning = o->tuning};
    rc = forward_open(&en->forward, &f, e);
    if (!rc) en->pool = forward_streams(en->forward)[0];
    if (!rc) rc = open_kv(en, o, S, e);
    if (!rc) rc = batch_open(&en->batch, o->max_batched_tokens, S, max_blocks, e);
    while (!rc && en->n_choosers < samplers && en->n_choosers < MAX_CHOOSERS)
        rc = chooser_open(&en->choosers[en->n_choosers++], V, e);
    if (rc) return rc;
    en->picks = malloc(FORWARD_LOGITS * sizeof *en->picks);
    en->owners = calloc((size_t)S, sizeof *en->owners);
    en->spare.blocks = malloc((size_t)max_blocks * sizeof *en->spare.blocks);
    en->spare.cap = max_blocks;
    en->work_bytes = forward_work_bytes(en->forward) + (size_t)en->n_choosers * chooser_bytes(V) +
                     (size_t)S * (size_t)max_blocks * sizeof(int32_t);
    if (!en->picks || !en->spare.blocks || !en->owners)
        return err_set(e, ERR_NOMEM, "no memory for the tables of %d sequences", S);
    return ERR_OK;
}

int engine_open(struct engine **out, const struct engine_opts *o, struct errmsg *e)
{
    struct engine *en = NULL;
    int rc = check_opts(o, e);

    *out = NULL;
    if (rc) return rc;
    en = calloc(1, sizeof *en);
    if (!en) return err_set(e, ERR_NOMEM, "no memory for an engine");
    en->model = o->model;
    en->keeps = !o->no_prefix_caching;
    en->max_len = o->max_model_len ? o->max_model_len : o->model->config.max_positions;
    en->waiting.state = SEQ_WAITING;
    en->running.state = SEQ_RUNNING;
    en->done.state = SEQ_DONE;
    rc = open_parts(en, o, e);
    if (rc) goto out;
    *out = en;
    en = NULL;
out:
    engine_close(&en);
    return rc;
}

static void drop_all(struct engine *en, struct seq_list *l)
{
    for (struct seq *s = l->first, *next; s; s = next) {
        next = s->next;
        seq_release(s, en->kv);
        seq_free(&s);
    }
}

void engine_close(struct engine **enp)
{
    struct engine *en = *enp;

    if (!en) return;
    drop_all(en, &en->waiting);
    drop_all(en, &en->running);
    drop_all(en, &en->done);
    batch_close(&en->batch);
    kv_close(&en->kv);
    forward_close(&en->forward);
    for (int i = 0; i < en->n_choosers; i++)
        chooser_close(&en->choosers[i]);
    free(en->picks);
    free(en->owners);
    free(en->spare.blocks);
    free(en);
    *enp = NULL;
}

int engine_max_len(const struct engine *en)
{
    return en->max_len;
}

int engine_kv_tokens(const struct engine *en)
{
    return kv_blocks(en->kv) * KV_BLOCK_TOKENS;
}

static struct intake intake_of(const struct engine *en)
{
    return (struct intake){en->model, en->max_len, engine_kv_tokens(en)};
}

int engine_add(struct engine *en, const int32_t *ids, int n, const struct sampling *p, void *owner,
               struct errmsg *e)
{
    const struct intake in = intake_of(en);
    const int64_t now_ns = clock_mono_ns(), own_scope = 1 + en->next_order;
    struct seq *s, *next;
    int rc = intake_check_ids(&in, ids, n, e);

    if (!rc) rc = intake_seqs(&in, ids, n, p, &s, e);
    if (rc) return rc;
    for (; s; s = next) {
        next = s->next;
        s->next = NULL;
        s->owner = owner;
        s->order = en->next_order++;
        s->scope = CHAIN_SCOPE - (en->keeps ? 0 : own_scope);
        s->added_ns = now_ns;
        seq_move(s, NULL, &en->waiting);
    }
    return ERR_OK;
}

static void finish(struct engine *en, struct seq *s, struct seq_list *from, int64_t now_ns)
{
    seq_release(s, en->kv);
    s->done_ns = now_ns;
    seq_move(s, from, &en->done);
}

void engine_abort(struct engine *en, const void *owner)
{
    struct seq_list *lists[] = {&en->waiting, &en->running};
    struct seq *next;

    for (int i = 0; i < 2; i++)
        for (struct seq *s = lists[i]->first; s; s = next) {
            next = s->next;
            if (s->owner != owner) continue;
            s->finish = FINISH_ABORT;
            finish(en, s, lists[i], clock_mono_ns());
        }
}

static int put_token(struct engine *en, struct seq *s, int32_t id, struct errmsg *e)
{
    const int64_t now_ns = clock_mono_ns();
    bool done = id == SAMPLE_NONE;

    if (!s->first_ns) s->first_ns = now_ns;
    if (done)
        s->finish = FINISH_NO_TOKEN;
    else if (seq_put(s, id, en->model, &done))
        return err_set(e, ERR_NOMEM, "no memory for the text of a sequence");
    if (done) finish(en, s, &en->running, now_ns);
    return ERR_OK;
}

/* Rows of logits that are at hand. */
struct rows {
    struct engine *en;
    float *logits;
    int first, n;
};

static struct seq *seq_of_row(const struct rows *r, int i)
{
    const struct batch *b = &r->en->batch;

    return b->seqs[b->row_seq[r->first + i]];
}

/* Every n_choosers-th row. */
static void pick_some(void *arg, int which)
{
    const struct rows *r = arg;
    const struct model_config *c = &r->en->model->config;

    for (int i = which; i < r->n; i += r->en->n_choosers)
        r->en->picks[i] = chooser_pick(r->en->choosers[which], seq_of_row(r, i),
                                       r->logits + (size_t)i * (size_t)c->vocab_size, c);
}

static int sample_rows(struct engine *en, struct errmsg *e)
{
    const int n_rows = en->batch.r.n_rows;
    struct rows r = {.en = en};
    int rc = ERR_OK;

    for (; r.first < n_rows && !rc; r.first += r.n) {
        r.n = n_rows - r.first < FORWARD_LOGITS ? n_rows - r.first : FORWARD_LOGITS;
        rc = forward_logits(en->forward, r.first, r.n, &r.logits, e);
        if (!rc) pool_run(en->pool, en->n_choosers, pick_some, &r);
        for (int i = 0; i < r.n && !rc; i++)
            rc = put_token(en, seq_of_row(&r, i), en->picks[i], e);
    }
    return rc;
}

void engine_watch(struct engine *en, void (*fn)(void *arg, void *const *owners, int n), void *arg)
{
    en->watch = fn;
    en->watch_arg = arg;
}

/* An owner's sequences stand side by side in the step. */
static void tell_watch(struct engine *en)
{
    int n = 0;

    if (!en->watch) return;
    for (int i = 0; i < en->batch.r.S; i++)
        if (!n || en->owners[n - 1] != en->batch.seqs[i]->owner)
            en->owners[n++] = en->batch.seqs[i]->owner;
    en->watch(en->watch_arg, en->owners, n);
}

int engine_step(struct engine *en, struct errmsg *e)
{
    const int64_t start_ns = clock_mono_ns();
    struct batch *b = &en->batch;
    int rc;

    if (fault_here("step")) return err_set(e, ERR_NOMEM, "a step failed, as the fault asks for");
    batch_build(b, &en->running, &en->waiting, en->kv);
    if (b->r.T == 0) return ERR_EMPTY;
    tell_watch(en);
    rc = model_forward(en->forward, &b->r, en->kv, e);
    if (rc) return rc;
    for (int i = 0; i < b->r.S; i++) {
        struct seq *s = b->seqs[i];

        s->n_kv += b->start[i + 1] - b->start[i];
        seq_seal(s, en->kv, s->n_kv, true);
        if (!s->started_ns) s->started_ns = start_ns;
    }
    rc = sample_rows(en, e);
    if (en->watch && !rc) en->watch(en->watch_arg, NULL, 0);
    en->steps++;
    en->prefill_tokens += b->n_prefill;
    en->decode_tokens += b->n_decode;
    en->step_ns += clock_mono_ns() - start_ns;
    return rc;
}

int64_t engine_beats(const struct engine *en)
{
    return forward_beats(en->forward);
}

bool engine_take(struct engine *en, struct outcome *out)
{
    struct seq *s = en->done.first;

    if (!s) return false;
    *out = (struct outcome){.owner = s->owner,
                            .index = s->index,
                            .finish = s->finish,
                            .text = s->text,
                            .ids = s->out,
                            .n_ids = s->n_out,
                            .logprobs = s->logprobs,
                            .n_prompt = s->n_prompt,
                            .n_cached = s->n_cached,
                            .added_ns = s->added_ns,
                            .first_ns = s->first_ns,
                            .started_ns = s->started_ns,
                            .done_ns = s->done_ns};
    buf_init(&s->text); /* now the taker's */
    s->out = NULL;
    s->logprobs = NULL;
    en->done.first = s->next;
    *(s->next ? &s->next->prev : &en->done.last) = NULL;
    en->done.n--;
    seq_free(&s);
    return true;
}

void engine_stats(const struct engine *en, struct engine_stats *out)
{
    *out = (struct engine_stats){.n_waiting = en->waiting.n,
                                 .n_running = en->running.n,
                                 .steps = en->steps,
                                 .prefill_tokens = en->prefill_tokens,
                                 .decode_tokens = en->decode_tokens,
                                 .put_back = en->batch.put_back,
                                 .cached_tokens = en->batch.cached_tokens,
                                 .step_ns = en->step_ns,
                                 .kv_blocks = kv_blocks(en->kv),
                                 .kv_blocks_free = kv_blocks_free(en->kv),
                                 .weight_bytes = forward_weight_bytes(en->forward),
                                 .kv_bytes = en->kv_bytes,
                                 .work_bytes = en->work_bytes};
}

int engine_logits(struct engine *en, const int32_t *ids, int n, float *logits, struct errmsg *e)
{
    struct batch *b = &en->batch;
    struct seq s = {.prompt = (int32_t *)(uintptr_t)ids, .n_prompt = n, .table = en->spare};
    float *row = NULL;
    const struct intake in = intake_of(en);
    int rc = intake_check_ids(&in, ids, n, e);

    if (rc) return rc;
    if (n > en->max_len)
        return err_set(e, ERR_ARG, "%d tokens, and the limit is %d", n, en->max_len);
    if (kv_reserve(en->kv, &s.table, n))
        return err_set(e, ERR_FULL, "%d tokens need %d KV blocks, and %d are free", n,
                       kv_table_blocks(n), kv_blocks_free(en->kv));
    while (s.n_kv < n && !rc) {
        const int chunk = n - s.n_kv < b->max_tokens ? n - s.n_kv : b->max_tokens;

        batch_clear(b);
        batch_add(b, &s, chunk);
        rc = model_forward(en->forward, &b->r, en->kv, e);
        s.n_kv += chunk;
    }
    if (!rc) rc = forward_logits(en->forward, 0, 1, &row, e);
    if (!rc) memcpy(logits, row, (size_t)en->model->config.vocab_size * sizeof *logits);
    kv_release(en->kv, &s.table);
    return rc;
}
