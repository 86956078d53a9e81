/* bpe.h - byte-pair merges: a word's first ids, joined as the merge table ranks them.
 *
 * A long word is a linked list with a heap of the pairs that can be joined, so a word of n ids
 * costs O(n log n) however long it is; a short one is searched through each time.
 *
 * Threads    one bpe_work per thread.
 * Ownership  bpe_work is the caller's: zero it, bpe_work_fini it.
 *
 * B1  of all pairs that the table knows, the one of lowest rank is joined first, the leftmost of
 * equals; so the result does not depend on the order of the search.
 *
 * Source  Sennrich et al. 2016.
 */
#ifndef MODEL_BPE_H
#define MODEL_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/merges.h"
#include "model/tokenizer.h"

struct bpe_work {
    struct bpe_node *nodes;
    size_t nodes_cap;
    struct bpe_pair *heap;
    size_t heap_n;
    size_t heap_cap;
};
void bpe_work_fini(struct bpe_work *w);

/* Joins word[0..n) and appends the result to out.  0 or ERR_NOMEM. */
int bpe_join(const struct merges *table, struct bpe_work *w, const int32_t *word, size_t n,
             struct ids *out) MUSTCHECK;

#endif
