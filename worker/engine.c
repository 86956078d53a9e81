/* engine.c - runs many sequences through one model, a step at a time. */
#include "worker/engine.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "kernels/pool.h"
#include "model/tokenizer.h"
#include "worker/batch.h"
#include "worker/forward.h"
#include "worker/kv.h"
#include "worker/sample.h"
#include "worker/seq.h"

struct engine {
    const struct model *model;
    int max_len;
    struct stream *stream;
    struct kv *kv;
    size_t kv_bytes, work_bytes;
    struct forward *forward;
    struct batch batch;
    struct candidate *candidates; /* [V] */
    struct kv_table spare;        /* for engine_logits */
    struct seq_list waiting, running, done;
    bool keeps; /* blocks for whoever comes: the prefix cache is on */
    int64_t next_order;
    void (*watch)(void *arg, void *const *owners, int n);
    void *watch_arg, **owners; /* [max_num_seqs] of the step */
    int64_t steps, prefill_tokens, decode_tokens, step_ns;
};

const char *finish_name(enum finish f)
{
    return f == FINISH_STOP ? "stop" : f == FINISH_LENGTH ? "length" : "abort";
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
    if (o->kv_dtype != DTYPE_F32)
        return err_set(e, ERR_UNSUPPORTED, "KV dtype %s is not known on the CPU; known: f32",
                       dtype_name(o->kv_dtype));
    return ERR_OK;
}

/* As many blocks as the memory holds, and no more than all sequences together could use. */
static int open_kv(struct engine *en, const struct engine_opts *o, int max_seqs, struct errmsg *e)
{
    const struct model_config *c = &o->model->config;
    const struct kv_shape shape = {c->n_layers, c->n_kv_heads, c->head_dim, o->kv_dtype};
    const size_t one = kv_block_bytes(&shape), fit = o->kv_bytes / one;
    const size_t most = (size_t)max_seqs * (size_t)kv_table_blocks(en->max_len);
    const size_t n = fit < most ? fit : most;

    if (n == 0)
        return err_set(e, ERR_ARG, "%zu bytes for KV hold no block of %d tokens: one needs %zu",
                       o->kv_bytes, KV_BLOCK_TOKENS, one);
    en->kv_bytes = n * one;
    return kv_open(&en->kv, &shape, n > INT32_MAX - 1 ? INT32_MAX - 1 : (int)n,
                   !o->no_prefix_caching, e);
}

static int open_parts(struct engine *en, const struct engine_opts *o, struct errmsg *e)
{
    const int max_blocks = kv_table_blocks(en->max_len);
    /* Each sequence of a step has at least one of its tokens. */
    const int S = o->max_num_seqs < o->max_batched_tokens ? o->max_num_seqs : o->max_batched_tokens;
    const size_t V = (size_t)o->model->config.vocab_size;
    int rc = pool_open(&en->stream, o->threads, e);

    if (!rc) rc = forward_open(&en->forward, o->model, o->ops, o->max_batched_tokens, S, e);
    if (!rc) rc = open_kv(en, o, S, e);
    if (!rc) rc = batch_open(&en->batch, o->max_batched_tokens, S, max_blocks, e);
    if (rc) return rc;
    en->candidates = malloc(V * sizeof *en->candidates);
    en->owners = calloc((size_t)S, sizeof *en->owners);
    en->spare.blocks = malloc((size_t)max_blocks * sizeof *en->spare.blocks);
    en->spare.cap = max_blocks;
    en->work_bytes = forward_work_bytes(en->forward) + V * sizeof *en->candidates +
                     (size_t)S * (size_t)max_blocks * sizeof(int32_t);
    if (!en->candidates || !en->spare.blocks || !en->owners)
        return err_set(e, ERR_NOMEM, "no memory to sample from %zu tokens", V);
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
    forward_close(&en->forward);
    kv_close(&en->kv);
    pool_close(&en->stream);
    free(en->candidates);
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

static int check_ids(const struct engine *en, const int32_t *ids, int n, struct errmsg *e)
{
    const int V = en->model->config.vocab_size;

    if (n < 1) return err_set(e, ERR_ARG, "the prompt has no tokens");
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= V)
            return err_set(e, ERR_ARG, "token %d of the prompt is %d, outside the vocabulary of %d",
                           i + 1, ids[i], V);
    return ERR_OK;
}

static bool spells_something(const struct engine *en, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        if (!tokenizer_is_special(en->model->tokenizer, ids[i])) return true;
    return false;
}

int engine_add(struct engine *en, const int32_t *ids, int n, const struct sampling *p, void *owner,
               struct errmsg *e)
{
    struct seq *s;
    int max_out, rc;

    rc = sample_check(p, e);
    if (!rc) rc = check_ids(en, ids, n, e);
    if (rc) return rc;
    if (n >= en->max_len)
        return err_set(e, ERR_ARG,
                       "the prompt has %d tokens, and the limit is %d for prompt and answer", n,
                       en->max_len);
    max_out = en->max_len - n;
    if (p->max_tokens && p->max_tokens < max_out) max_out = p->max_tokens;
    /* The last token's K and V are never needed. */
    if (n + max_out - 1 > engine_kv_tokens(en))
        return err_set(e, ERR_FULL,
                       "the prompt has %d tokens and the answer up to %d, and the KV blocks here "
                       "hold %d tokens",
                       n, max_out, engine_kv_tokens(en));
    s = seq_new(ids, n, p, max_out);
    if (!s) return err_set(e, ERR_NOMEM, "no memory for a sequence of %d tokens", n + max_out);
    s->owner = owner;
    s->order = en->next_order++;
    s->scope = CHAIN_SCOPE - (en->keeps ? 0 : 1 + s->order);
    s->added_ns = clock_mono_ns();
    s->has_text = spells_something(en, ids, n);
    seq_move(s, NULL, &en->waiting);
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

    for (int i = 0; i < 2; i++)
        for (struct seq *s = lists[i]->first; s; s = s->next)
            if (s->owner == owner) {
                s->finish = FINISH_ABORT;
                finish(en, s, lists[i], clock_mono_ns());
                return;
            }
}

/* No end token before min_tokens. */
static void mask_end(const struct engine *en, const struct seq *s, float *logits)
{
    const struct model_config *c = &en->model->config;

    if (s->n_out >= s->sampling.min_tokens || s->sampling.ignore_eos) return;
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos_ids[i] >= 0 && c->eos_ids[i] < c->vocab_size) logits[c->eos_ids[i]] = -HUGE_VALF;
}

static int sample_row(struct engine *en, struct seq *s, float *logits, struct errmsg *e)
{
    const int64_t now_ns = clock_mono_ns();
    bool done;
    int32_t id;

    mask_end(en, s, logits);
    id = sample_token(logits, en->model->config.vocab_size, &s->sampling, seq_len(s),
                      en->candidates);
    if (!s->first_ns) s->first_ns = now_ns;
    if (seq_put(s, id, en->model, &done))
        return err_set(e, ERR_NOMEM, "no memory for the text of a sequence");
    if (done) finish(en, s, &en->running, now_ns);
    return ERR_OK;
}

static int sample_rows(struct engine *en, struct errmsg *e)
{
    const struct batch *b = &en->batch;
    const size_t V = (size_t)en->model->config.vocab_size;
    int rc = ERR_OK;

    for (int first = 0; first < b->n_rows && !rc; first += FORWARD_LOGITS) {
        const int n = b->n_rows - first < FORWARD_LOGITS ? b->n_rows - first : FORWARD_LOGITS;
        float *logits;

        rc = forward_logits(en->forward, first, n, &logits, en->stream, e);
        for (int i = 0; i < n && !rc; i++)
            rc = sample_row(en, b->seqs[b->row_seq[first + i]], logits + (size_t)i * V, e);
    }
    return rc;
}

void engine_watch(struct engine *en, void (*fn)(void *arg, void *const *owners, int n), void *arg)
{
    en->watch = fn;
    en->watch_arg = arg;
}

static void tell_watch(struct engine *en)
{
    if (!en->watch) return;
    for (int i = 0; i < en->batch.r.S; i++)
        en->owners[i] = en->batch.seqs[i]->owner;
    en->watch(en->watch_arg, en->owners, en->batch.r.S);
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
    rc = model_forward(en->forward, &b->r, b->rows, b->n_rows, en->kv, en->stream, e);
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
                            .finish = s->finish,
                            .text = s->text,
                            .ids = s->out,
                            .n_ids = s->n_out,
                            .n_prompt = s->n_prompt,
                            .n_cached = s->n_cached,
                            .added_ns = s->added_ns,
                            .first_ns = s->first_ns,
                            .started_ns = s->started_ns,
                            .done_ns = s->done_ns};
    buf_init(&s->text); /* now the taker's */
    s->out = NULL;
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
    int rc = check_ids(en, ids, n, e);

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
        rc = model_forward(en->forward, &b->r, b->rows, b->n_rows, en->kv, en->stream, e);
        s.n_kv += chunk;
    }
    if (!rc) rc = forward_logits(en->forward, 0, 1, &row, en->stream, e);
    if (!rc) memcpy(logits, row, (size_t)en->model->config.vocab_size * sizeof *logits);
    kv_release(en->kv, &s.table);
    return rc;
}
