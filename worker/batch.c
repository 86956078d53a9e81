/* batch.c - chooses what the next step does, and lays it out as a ragged batch. */
#include "worker/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int batch_open(struct batch *b, int max_tokens, int max_seqs, int max_blocks, struct errmsg *e)
{
    const size_t T = (size_t)max_tokens, S = (size_t)max_seqs, B = S * (size_t)max_blocks;

    memset(b, 0, sizeof *b);
    b->max_tokens = max_tokens;
    b->max_seqs = max_seqs;
    b->max_blocks = max_blocks;
    b->ids = malloc(T * sizeof *b->ids);
    b->pos = malloc(T * sizeof *b->pos);
    b->seq = malloc(T * sizeof *b->seq);
    b->start = malloc((S + 1) * sizeof *b->start);
    b->blocks = malloc(B * sizeof *b->blocks);
    b->seqs = malloc(S * sizeof *b->seqs);
    b->rows = malloc(S * sizeof *b->rows);
    b->row_seq = malloc(S * sizeof *b->row_seq);
    if (!b->ids || !b->pos || !b->seq || !b->start || !b->blocks || !b->seqs || !b->rows ||
        !b->row_seq) {
        batch_close(b);
        return err_set(e, ERR_NOMEM, "no memory for steps of %d tokens, %d sequences", max_tokens,
                       max_seqs);
    }
    batch_clear(b);
    return ERR_OK;
}

void batch_close(struct batch *b)
{
    free(b->ids);
    free(b->pos);
    free(b->seq);
    free(b->start);
    free(b->blocks);
    free(b->seqs);
    free(b->rows);
    free(b->row_seq);
    memset(b, 0, sizeof *b);
}

void batch_clear(struct batch *b)
{
    b->r = (struct ragged){.ids = b->ids,
                           .pos = b->pos,
                           .seq = b->seq,
                           .start = b->start,
                           .blocks = b->blocks,
                           .rows = b->rows,
                           .max_blocks = b->max_blocks};
    b->start[0] = 0;
    b->n_prefill = b->n_decode = 0;
}

void batch_add(struct batch *b, struct seq *s, int n)
{
    const int S = b->r.S++;

    assert(S < b->max_seqs && n <= seq_left(s) && b->r.T + n <= b->max_tokens);
    if (seq_is_decoding(s))
        b->n_decode += n;
    else
        b->n_prefill += n;
    b->seqs[S] = s;
    memcpy(b->blocks + (size_t)S * (size_t)b->max_blocks, s->table.blocks,
           (size_t)s->table.n * sizeof *b->blocks);
    for (int i = 0; i < n; i++, b->r.T++) {
        b->ids[b->r.T] = seq_id_at(s, s->n_kv + i);
        b->pos[b->r.T] = s->n_kv + i;
        b->seq[b->r.T] = S;
    }
    b->start[S + 1] = b->r.T;
    if (n == seq_left(s)) {
        b->row_seq[b->r.n_rows] = S;
        b->rows[b->r.n_rows++] = b->r.T - 1;
    }
}

/* The next n tokens of s, in blocks that it has. */
static void schedule(struct batch *b, struct seq *s, int n, struct kv *kv)
{
    batch_add(b, s, n);
    seq_seal(s, kv, s->n_kv + n, false);
}

static void put_back(struct batch *b, struct seq *s, struct seq_list *running,
                     struct seq_list *waiting, struct kv *kv)
{
    seq_release(s, kv);
    seq_move(s, running, waiting);
    b->put_back++;
}

/* Blocks for n more tokens of s, from those younger than s where none are free.  False when s
 * itself was put back. */
static bool make_room(struct batch *b, struct seq *s, int n, struct seq_list *running,
                      struct seq_list *waiting, struct kv *kv)
{
    while (kv_reserve(kv, &s->table, s->n_kv + n)) {
        struct seq *youngest = running->last;

        put_back(b, youngest, running, waiting, kv);
        if (youngest == s) return false;
    }
    return true;
}

/* All its blocks at once, and one for each running sequence to grow into: one that is let in
 * should not have to go again at once. */
static bool take_blocks(struct seq *s, const struct seq_list *running, struct kv *kv)
{
    int need;

    seq_share(s, kv);
    need = kv_table_blocks(seq_len(s)) - s->table.n;
    if ((!running->n || need + running->n <= kv_blocks_free(kv)) &&
        !kv_reserve(kv, &s->table, seq_len(s)))
        return true;
    seq_release(s, kv);
    return false;
}

static void admit(struct batch *b, struct seq_list *running, struct seq_list *waiting,
                  struct kv *kv, int budget)
{
    while (waiting->first && running->n < b->max_seqs && budget > 0) {
        struct seq *s = waiting->first;
        int n;

        if (!take_blocks(s, running, kv)) return;
        if (!s->started_ns) s->n_cached = s->n_kv;
        b->cached_tokens += s->n_kv;
        n = seq_left(s) < budget ? seq_left(s) : budget;
        seq_move(s, waiting, running);
        schedule(b, s, n, kv);
        budget -= n;
    }
}

void batch_build(struct batch *b, struct seq_list *running, struct seq_list *waiting, struct kv *kv)
{
    const int64_t put_back_before = b->put_back;
    int budget = b->max_tokens; /* what decoding leaves for prefill */
    struct seq *next;

    batch_clear(b);
    for (struct seq *s = running->first; s; s = s->next)
        budget -= seq_is_decoding(s);
    for (struct seq *s = running->first; s; s = next) {
        const bool decoding = seq_is_decoding(s);
        int n = 1;

        next = s->next;
        if (!decoding) n = seq_left(s) < budget ? seq_left(s) : budget;
        if (n == 0) continue;
        if (!make_room(b, s, n, running, waiting, kv)) break; /* s was the youngest: the last */
        next = s->next;
        schedule(b, s, n, kv);
        if (!decoding) budget -= n;
    }
    /* What was just put back would come in again at once. */
    if (b->put_back == put_back_before) admit(b, running, waiting, kv, budget);
}

bool batch_only_decodes(const struct batch *b)
{
    return b->r.T == b->r.S && b->r.n_rows == b->r.S;
}

struct ragged batch_filled(struct batch *b, int n, int32_t trash)
{
    struct ragged r = b->r;

    assert(batch_only_decodes(b) && n >= r.S && n <= b->max_seqs && n <= b->max_tokens);
    for (int i = r.S; i < n; i++) {
        b->ids[i] = b->pos[i] = 0;
        b->seq[i] = b->rows[i] = i;
        b->start[i + 1] = i + 1;
        b->blocks[(size_t)i * (size_t)b->max_blocks] = trash;
    }
    r.T = r.S = r.n_rows = n;
    return r;
}
