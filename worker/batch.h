/* batch.h - chooses what the next step does, and lays it out as a ragged batch.
 *
 * Running sequences come first, oldest first: one token for each that decodes; what is left of the
 * token budget goes to prefill in chunks, then to waiting sequences while there is room.  A running
 * sequence that finds no free KV block puts back the youngest one, itself at last.
 *
 * A block that a step fills is sealed when the step is built, and may be shared in the same step:
 * an op table writes a layer's K and V of all tokens before any of them attends.  So rows with one
 * prefix that arrive together compute it once.
 *
 * Threads    the engine's thread only.
 * Ownership  batch_open takes all memory; batch_build allocates nothing.
 *
 * B1  the oldest sequence always advances, so every sequence ends.
 * B2  a step holds at most max_tokens tokens and max_seqs sequences.
 * B3  a sequence is put back only for an older one, or because older ones hold all blocks.
 * B4  no sequence waits for another's prefix: while budget is left for one that waits, every
 * running sequence has all its tokens in the step, and what full blocks they make is already
 * sealed.
 */
#ifndef WORKER_BATCH_H
#define WORKER_BATCH_H

#include "base/err.h"
#include "kernels/ops.h"
#include "worker/kv.h"
#include "worker/seq.h"

struct batch {
    int max_tokens, max_seqs, max_blocks;
    struct ragged r; /* points to what follows */
    int32_t *ids, *pos, *seq, *start, *blocks, *rows;
    struct seq **seqs;       /* [S] */
    int *row_seq;            /* [r.n_rows] index of the rows' sequences in seqs */
    int n_prefill, n_decode; /* tokens */
    int64_t put_back;        /* since open */
    int64_t cached_tokens;   /* since open, not computed because blocks were shared */
};

/* max_blocks: longest block table. */
int batch_open(struct batch *b, int max_tokens, int max_seqs, int max_blocks,
               struct errmsg *e) MUSTCHECK;
void batch_close(struct batch *b);

/* The next step; moves sequences between the lists.  r.T is 0 when there is nothing to do. */
void batch_build(struct batch *b, struct seq_list *running, struct seq_list *waiting,
                 struct kv *kv);

/* The step filled up to n sequences of a token each, which write to block `trash`; all of its
 * sequences have one token, whose logits are wanted. */
struct ragged batch_filled(struct batch *b, int n, int32_t trash);
/* Is it such a step? */
bool batch_only_decodes(const struct batch *b);

/* By hand: an empty step, and n more tokens of one sequence, whose blocks are reserved. */
void batch_clear(struct batch *b);
void batch_add(struct batch *b, struct seq *s, int n);

#endif
