/* engine.c - runs many sequences through one model, a step at a time. */
#include "worker/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "kernels/pool.h"
#include "worker/batch.h"
#include "worker/fit.h"
#include "worker/forward.h"
#include "worker/graphs.h"
#include "worker/intake.h"
#include "worker/kv.h"
#include "worker/picker.h"
#include "worker/sample.h"
#include "worker/seq.h"

struct engine {
    const struct model *model;
    int max_len;
    struct forward *forward;
    struct stream *own_pool; /* on an asynchronous device; the host's stream is a pool itself */
    struct kv *kv;
    size_t kv_bytes, table_bytes;
    struct batch batch;
    struct picker *picker;
    bool graphs;
    int sm_count;          /* of rank 0's stream */
    struct kv_table spare; /* for engine_logits */
    struct seq_list waiting, running, done;
    struct seq **late; /* [max_num_seqs] the first n_late: their last token has no text yet */
    int n_late;
    bool keeps; /* blocks for whoever comes: the prefix cache is on */
    int64_t next_order;
    void (*watch)(void *arg, void *const *owners, int n);
    void *watch_arg, **owners; /* [max_num_seqs] of the step */
    int64_t steps, prefill_tokens, decode_tokens, step_ns;
    struct perf_sample last;
    enum dtype kv_dtype;
};

const char *finish_name(enum finish f)
{
    static const char *const NAMES[] = {[FINISH_STOP] = "stop",
                                        [FINISH_LENGTH] = "length",
                                        [FINISH_ABORT] = "abort",
                                        [FINISH_NO_TOKEN] = "no_token"};

    return NAMES[f];
}

static int open_forward(struct engine *en, const struct engine_opts *o, int max_seqs,
                        struct errmsg *e)
{
    const int share = o->tp > 1 ? o->threads / o->tp : o->threads;
    const int threads = share < 1 && o->threads >= 1 ? 1 : share; /* of a rank */
    struct device_opts parts[ENGINE_MAX_DEVICES];
    struct forward_opts f = {.model = o->model,
                             .device = o->device,
                             .parts = parts,
                             .n_parts = o->n_devices ? o->n_devices : 1,
                             .coll = o->coll,
                             .max_tokens = o->max_batched_tokens,
                             .max_rows = max_seqs,
                             .max_model_len = en->max_len,
                             .tp = o->tp};
    int rc = fit_ops(&f.ops, o, e);

    if (!rc) en->kv_dtype = fit_kv_dtype(o, f.ops);
    if (!rc) rc = fit_matrix(&f.matrix, o, f.ops, e);
    for (int i = 0; i < f.n_parts; i++)
        parts[i] = (struct device_opts){.index = o->n_devices ? o->devices[i] : 0,
                                        .threads = threads,
                                        .sm_count = o->sm_count,
                                        .batch_invariant = o->batch_invariant,
                                        .tuning = o->tuning};
    if (!rc) rc = forward_open(&en->forward, &f, e);
    if (!rc && o->device->async) rc = pool_open(&en->own_pool, o->threads, e);
    return rc;
}

/* As many blocks as the memory holds, and no more than all sequences together could use. */
static int open_kv(struct engine *en, const struct engine_opts *o, const struct fit_room *before,
                   int max_seqs, struct errmsg *e)
{
    const struct kv_shape shape = forward_kv_shape(en->forward, en->kv_dtype);
    const struct kv_home home = {o->device, forward_streams(en->forward),
                                 forward_ranks(en->forward)};
    const size_t most = (size_t)max_seqs * (size_t)kv_table_blocks(en->max_len);
    int n, rc = fit_kv_blocks(&n, o, before, &shape, most, e);

    if (rc) return rc;
    en->kv_bytes = (size_t)n * kv_block_bytes(&shape);
    return kv_open(&en->kv, &shape, &home, n, !o->no_prefix_caching, e);
}

static int open_tables(struct engine *en, int max_seqs, int max_blocks, struct errmsg *e)
{
    en->owners = calloc((size_t)max_seqs, sizeof *en->owners);
    en->late = calloc((size_t)max_seqs, sizeof *en->late);
    en->spare.blocks = malloc((size_t)max_blocks * sizeof *en->spare.blocks);
    en->spare.cap = max_blocks;
    en->table_bytes = (size_t)max_seqs * (size_t)max_blocks * sizeof(int32_t);
    if (en->spare.blocks && en->owners && en->late) return ERR_OK;
    return err_set(e, ERR_NOMEM, "no memory for the tables of %d sequences", max_seqs);
}

static void tell_memory(const struct engine *en, const struct engine_opts *o)
{
    struct engine_stats s;

    engine_stats(en, &s);
    log_info("engine", "device=%s weights=%zu work=%zu kv=%zu blocks=%d bytes_free=%lld",
             o->device->name, s.weight_bytes, s.work_bytes, s.kv_bytes, s.kv_blocks,
             (long long)fit_free_bytes(o));
}

static int open_parts(struct engine *en, const struct engine_opts *o, struct errmsg *e)
{
    const int max_blocks = kv_table_blocks(en->max_len);
    /* Each sequence of a step has at least one of its tokens. */
    const int S = o->max_num_seqs < o->max_batched_tokens ? o->max_num_seqs : o->max_batched_tokens;
    struct fit_room before;
    int rc;

    fit_look(&before, o);
    rc = open_forward(en, o, S, e);
    if (!rc) rc = open_kv(en, o, &before, S, e);
    if (!rc) rc = batch_open(&en->batch, o->max_batched_tokens, S, max_blocks, e);
    if (!rc) rc = open_tables(en, S, max_blocks, e);
    if (rc) return rc;
    en->graphs = o->device->record && !o->no_graphs;
    en->sm_count = o->device->sm_count(forward_streams(en->forward)[0]);
    return picker_open(&en->picker, en->forward, &o->model->config,
                       en->own_pool ? en->own_pool : forward_streams(en->forward)[0], S, e);
}

int engine_open(struct engine **out, const struct engine_opts *o, struct errmsg *e)
{
    struct engine *en = NULL;
    int rc = fit_check(o, e);

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
    tell_memory(en, o);
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
    picker_close(&en->picker);
    pool_close(&en->own_pool);
    free(en->owners);
    free(en->late);
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

enum dtype engine_kv_dtype(const struct engine *en)
{
    return en->kv_dtype;
}

int engine_sm_count(const struct engine *en)
{
    return en->sm_count;
}

static struct intake intake_of(const struct engine *en)
{
    return (struct intake){en->model, en->max_len, engine_kv_tokens(en)};
}

static void queue_seq(struct engine *en, struct seq *s, void *owner, int64_t own_scope)
{
    s->next = NULL;
    s->owner = owner;
    s->order = en->next_order++;
    s->scope = CHAIN_SCOPE - own_scope;
    s->added_ns = clock_mono_ns();
    seq_move(s, NULL, &en->waiting);
}

int engine_add(struct engine *en, const int32_t *ids, int n, const struct sampling *p, void *owner,
               struct errmsg *e)
{
    const struct intake in = intake_of(en);
    const int64_t own_scope = en->keeps ? 0 : 1 + en->next_order;
    struct seq *s, *next;
    int rc = intake_check_ids(&in, ids, n, e);

    if (!rc) rc = intake_seqs(&in, ids, n, p, &s, e);
    if (rc) return rc;
    for (; s; s = next) {
        next = s->next;
        queue_seq(en, s, owner, own_scope);
    }
    return ERR_OK;
}

int engine_place(struct engine *en, const int32_t *ids, int n, int n_kv, const struct sampling *p,
                 void *owner, struct errmsg *e)
{
    const struct intake in = intake_of(en);
    struct seq *s = NULL;
    int rc = intake_check_ids(&in, ids, n, e);

    if (!rc && (n_kv < 0 || n_kv >= n || p->n > 1))
        rc = err_set(e, ERR_ARG, "%d of %d tokens are computed, for %d answers", n_kv, n, p->n);
    if (!rc && en->running.n >= en->batch.max_seqs)
        rc = err_set(e, ERR_FULL, "a step has no place beside %d sequences", en->running.n);
    if (!rc) rc = intake_seqs(&in, ids, n, p, &s, e);
    if (rc) return rc;
    if ((rc = kv_reserve(en->kv, &s->table, n)))
        err_set(e, rc, "%d tokens need more KV blocks than the %d that are free", n,
                kv_blocks_free(en->kv));
    if (!rc) rc = kv_blank(en->kv, &s->table, n_kv, e);
    if (rc) {
        seq_release(s, en->kv);
        seq_free(&s);
        return rc;
    }
    s->alone = true;
    s->n_kv = n_kv;
    queue_seq(en, s, owner, 1 + en->next_order);
    seq_move(s, &en->waiting, &en->running);
    return ERR_OK;
}

static int no_text(struct errmsg *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the text of a sequence");
}

static void finish(struct engine *en, struct seq *s, struct seq_list *from, int64_t now_ns)
{
    seq_release(s, en->kv);
    s->done_ns = now_ns;
    seq_move(s, from, &en->done);
}

/* The text of the tokens of the step before.  A stop string in it is the sequence's end; what is
 * being computed for it belongs to nobody. */
static int spell_late(struct engine *en, struct errmsg *e)
{
    const int64_t now_ns = clock_mono_ns();
    int rc = ERR_OK;

    for (int i = 0; i < en->n_late && !rc; i++) {
        struct seq *s = en->late[i];
        bool done = false;

        if (seq_spell(s, en->model, &done)) rc = no_text(e);
        if (done) finish(en, s, s->state == SEQ_WAITING ? &en->waiting : &en->running, now_ns);
    }
    en->n_late = 0;
    return rc;
}

void engine_abort(struct engine *en, const void *owner)
{
    struct seq_list *lists[] = {&en->waiting, &en->running};
    struct seq *next;
    struct errmsg e;

    if (spell_late(en, &e)) log_warn("engine", "%s", e.text);
    for (int i = 0; i < 2; i++)
        for (struct seq *s = lists[i]->first; s; s = next) {
            next = s->next;
            if (s->owner != owner) continue;
            s->finish = FINISH_ABORT;
            finish(en, s, lists[i], clock_mono_ns());
        }
}

/* On an asynchronous device only what decides whether the sequence goes on; the rest is late. */
static int put_token(struct engine *en, struct seq *s, int32_t id, struct errmsg *e)
{
    const int64_t now_ns = clock_mono_ns();
    bool done = id == SAMPLE_NONE;

    if (!s->first_ns) s->first_ns = now_ns;
    if (done) {
        s->finish = FINISH_NO_TOKEN;
    } else if (!seq_put(s, id, &en->model->config) && forward_is_async(en->forward)) {
        en->late[en->n_late++] = s;
        return ERR_OK;
    } else if (seq_spell(s, en->model, &done)) {
        return no_text(e);
    }
    if (done) finish(en, s, &en->running, now_ns);
    return ERR_OK;
}

/* The sequences that still run: one may have ended late, by the token before. */
static int put_tokens(struct engine *en, struct errmsg *e)
{
    const struct batch *b = &en->batch;
    int rc = ERR_OK;

    for (int i = 0; i < b->r.n_rows && !rc; i++) {
        struct seq *s = b->seqs[b->row_seq[i]];

        if (s->state == SEQ_RUNNING) rc = put_token(en, s, picker_token(en->picker, b, i), e);
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

/* The layers.  A step that comes again in the same shape is filled up to one that is recorded. */
static int run_layers(struct engine *en, struct errmsg *e)
{
    struct batch *b = &en->batch;
    const bool again = en->graphs && batch_only_decodes(b);
    const int bucket = again ? graphs_bucket(b->r.S, b->max_seqs) : 0;
    struct ragged r;

    if (!bucket) return model_forward(en->forward, &b->r, en->kv, e);
    r = batch_filled(b, bucket, kv_trash(en->kv));
    return forward_again(en->forward, &r, en->kv, e);
}

/* The next c tokens of s are computed. */
static void note_tokens(struct perf_sample *last, const struct seq *s, int c)
{
    if (seq_is_decoding(s)) {
        last->n++;
        last->m += s->n_kv + 1;
    } else {
        last->p += c;
        last->x += (double)c * s->n_kv + (double)c * (c + 1) / 2;
    }
}

/* The step's K and V are in the blocks, or will be before anybody else's work. */
static void advance(struct engine *en, int64_t start_ns)
{
    const struct batch *b = &en->batch;

    en->last = (struct perf_sample){0};
    for (int i = 0; i < b->r.S; i++) {
        struct seq *s = b->seqs[i];

        note_tokens(&en->last, s, b->start[i + 1] - b->start[i]);
        s->n_kv += b->start[i + 1] - b->start[i];
        seq_seal(s, en->kv, s->n_kv, true);
        if (!s->started_ns) s->started_ns = start_ns;
    }
    en->steps++;
    en->prefill_tokens += b->n_prefill;
    en->decode_tokens += b->n_decode;
}

int engine_step(struct engine *en, struct errmsg *e)
{
    const int64_t start_ns = clock_mono_ns();
    int64_t step_ns;
    int rc;

    if (fault_here("step")) return err_set(e, ERR_NOMEM, "a step failed, as the fault asks for");
    batch_build(&en->batch, &en->running, &en->waiting, en->kv);
    if (en->batch.r.T == 0) return ERR_EMPTY;
    tell_watch(en);
    rc = run_layers(en, e);
    if (rc) return rc;
    advance(en, start_ns);
    rc = picker_start(en->picker, &en->batch, e);
    if (!rc) rc = spell_late(en, e);
    if (!rc && forward_is_async(en->forward)) rc = forward_wait(en->forward, e);
    if (!rc) rc = put_tokens(en, e);
    if (en->watch && !rc) en->watch(en->watch_arg, NULL, 0);
    step_ns = clock_mono_ns() - start_ns;
    en->step_ns += step_ns;
    en->last.ms = rc ? 0 : (double)step_ns / 1e6;
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
                                 .last = en->last,
                                 .kv_blocks = kv_blocks(en->kv),
                                 .kv_blocks_free = kv_blocks_free(en->kv),
                                 .weight_bytes = forward_weight_bytes(en->forward),
                                 .kv_bytes = en->kv_bytes,
                                 .graph_bytes = forward_graph_bytes(en->forward),
                                 .work_bytes = forward_work_bytes(en->forward) + en->table_bytes +
                                               (en->picker ? picker_bytes(en->picker) : 0)};
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
    if (!rc) rc = forward_fetch(en->forward, logits, row, (size_t)en->model->config.vocab_size, e);
    kv_release(en->kv, &s.table);
    return rc;
}
