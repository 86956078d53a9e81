/* seq.c - one sequence: a prompt, the tokens sampled so far, its KV blocks, its text. */
#include "worker/seq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/tokenizer.h"
#include "worker/stop.h"

#define TEXT_START 1024 /* most tokens that text is reserved for at once */
#define TEXT_BYTES 6    /* for each of them */

#define TO(s) (1u << SEQ_##s)
static const struct {
    const char *name;
    unsigned next; /* states reachable in one move */
} STATES[SEQ_N_STATES] = {
    [SEQ_NEW] = {"new", TO(WAITING)},
    [SEQ_WAITING] = {"waiting", TO(RUNNING) | TO(DONE)},
    [SEQ_RUNNING] = {"running", TO(WAITING) | TO(DONE)},
    [SEQ_DONE] = {"done", 0},
};

struct seq *seq_new(const int32_t *prompt, int n_prompt, const struct sampling *p, int max_out)
{
    struct seq *s = calloc(1, sizeof *s);

    if (!s) return NULL;
    s->sampling = *p;
    s->n_prompt = n_prompt;
    s->max_out = max_out;
    s->table.cap = kv_table_blocks(n_prompt + max_out);
    s->prompt = malloc((size_t)n_prompt * sizeof *s->prompt);
    s->out = malloc((size_t)max_out * sizeof *s->out);
    s->table.blocks = malloc((size_t)s->table.cap * sizeof *s->table.blocks);
    if (p->logprobs)
        s->logprobs = malloc((size_t)max_out * (1 + (size_t)p->top_logprobs) * sizeof *s->logprobs);
    if (!s->prompt || !s->out || !s->table.blocks || (p->logprobs && !s->logprobs) ||
        buf_reserve(&s->text, TEXT_BYTES * (size_t)(max_out < TEXT_START ? max_out : TEXT_START)))
        seq_free(&s);
    else
        memcpy(s->prompt, prompt, (size_t)n_prompt * sizeof *prompt);
    return s;
}

void seq_free(struct seq **sp)
{
    struct seq *s = *sp;

    if (!s) return;
    assert(s->table.n == 0);
    free(s->prompt);
    free(s->out);
    free(s->logprobs);
    free(s->table.blocks);
    buf_fini(&s->text);
    free(s);
    *sp = NULL;
}

static void unlink_seq(struct seq *s, struct seq_list *l)
{
    *(s->prev ? &s->prev->next : &l->first) = s->next;
    *(s->next ? &s->next->prev : &l->last) = s->prev;
    l->n--;
}

void seq_move(struct seq *s, struct seq_list *from, struct seq_list *to)
{
    struct seq *before = to->last;

    assert(STATES[s->state].next & 1u << to->state);
    log_debug("seq", "%s -> %s order=%lld tokens=%d", STATES[s->state].name, STATES[to->state].name,
              (long long)s->order, seq_len(s));
    if (from) unlink_seq(s, from);
    while (before && before->order > s->order)
        before = before->prev;
    s->prev = before;
    s->next = before ? before->next : to->first;
    *(s->prev ? &s->prev->next : &to->first) = s;
    *(s->next ? &s->next->prev : &to->last) = s;
    to->n++;
    s->state = to->state;
}

int seq_len(const struct seq *s)
{
    return s->n_prompt + s->n_out;
}

int32_t seq_id_at(const struct seq *s, int i)
{
    return i < s->n_prompt ? s->prompt[i] : s->out[i - s->n_prompt];
}

struct logprob *seq_logprobs(const struct seq *s, int i)
{
    return s->logprobs + (size_t)i * (1 + (size_t)s->sampling.top_logprobs);
}

int seq_left(const struct seq *s)
{
    return seq_len(s) - s->n_kv;
}

bool seq_is_decoding(const struct seq *s)
{
    return s->n_out > 0 && seq_left(s) == 1;
}

/* The ids of its block i; false when it has not so many among its first n. */
static bool block_ids(const struct seq *s, int i, int n, int32_t ids[KV_BLOCK_TOKENS])
{
    if ((i + 1) * KV_BLOCK_TOKENS > n) return false;
    for (int k = 0; k < KV_BLOCK_TOKENS; k++)
        ids[k] = seq_id_at(s, i * KV_BLOCK_TOKENS + k);
    return true;
}

void seq_share(struct seq *s, struct kv *kv)
{
    int32_t ids[KV_BLOCK_TOKENS];

    assert(s->table.n == 0);
    while (block_ids(s, s->table.n, seq_len(s) - 1, ids) && kv_share(kv, &s->table, s->scope, ids))
        ;
    s->n_sealed = s->table.n;
    s->n_kv = s->n_sealed * KV_BLOCK_TOKENS;
}

void seq_seal(struct seq *s, struct kv *kv, int n, bool swap)
{
    int32_t ids[KV_BLOCK_TOKENS];

    while (!s->alone && block_ids(s, s->n_sealed, n, ids) &&
           kv_seal(kv, &s->table, s->n_sealed, s->scope, ids, swap))
        s->n_sealed++;
}

void seq_release(struct seq *s, struct kv *kv)
{
    kv_release(kv, &s->table);
    s->n_kv = s->n_sealed = 0;
}

static bool is_end(const struct model_config *c, int32_t id)
{
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos_ids[i] == id) return true;
    return false;
}

static bool is_stop(const struct sampling *p, int32_t id)
{
    for (int i = 0; i < p->n_stop_ids; i++)
        if (p->stop_ids[i] == id) return true;
    return false;
}

/* Appends the token's text, and cuts it at a stop string. */
static int put_text(struct seq *s, int32_t id, const struct model *m, bool *stopped)
{
    size_t at;

    if (!tokenizer_is_special(m->tokenizer, id)) {
        if (tokenizer_piece(m->tokenizer, id, !s->has_text, &s->text)) return ERR_NOMEM;
        s->has_text = true;
    } else if (!s->sampling.keep_specials) {
        return ERR_OK;
    } else if (tokenizer_spell(m->tokenizer, id, &s->text)) {
        return ERR_NOMEM;
    }
    if (s->n_out >= s->sampling.min_tokens &&
        stop_find(&s->sampling, s->text.data, s->text.len, s->searched, &at)) {
        s->text.data[s->text.len = at] = '\0';
        *stopped = true;
    }
    s->searched = s->text.len;
    return ERR_OK;
}

bool seq_put(struct seq *s, int32_t id, const struct model_config *c)
{
    assert(s->n_out < s->max_out && !s->stopped);
    s->out[s->n_out++] = id;
    s->stopped = is_stop(&s->sampling, id) || (is_end(c, id) && !s->sampling.ignore_eos);
    return s->stopped || s->n_out == s->max_out;
}

int seq_spell(struct seq *s, const struct model *m, bool *done)
{
    bool stopped = s->stopped;
    int rc;

    assert(s->n_out > 0);
    if (!stopped || s->sampling.include_stop) {
        rc = put_text(s, s->out[s->n_out - 1], m, &stopped);
        if (rc) return rc;
    }
    *done = stopped || s->n_out == s->max_out;
    if (*done) s->finish = stopped ? FINISH_STOP : FINISH_LENGTH;
    return ERR_OK;
}
