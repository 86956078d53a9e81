/* kv.h - the memory for keys and values, in blocks, and who holds which block.
 *
 * A KV block is KV_BLOCK_TOKENS token slots in every layer; a block table lists the blocks of one
 * sequence in order of position.  A block may stand in several tables: it is free again when the
 * last of them lets go.
 *
 * Threads    the engine's thread only.
 * Ownership  kv_open takes all memory; reserve and release move numbers, never bytes.  A table's
 *            storage is the caller's.
 * Errors     ERR_FULL when there are not enough free blocks; the table is unchanged then.
 *
 * KV1  a block is free, or its count is the number of tables that list it.
 * KV2  reserve gives all that is asked for or nothing.
 */
#ifndef WORKER_KV_H
#define WORKER_KV_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/ops.h"

struct kv;

struct kv_shape {
    int n_layers, n_kv_heads, head_dim;
    enum dtype dtype;
};

struct kv_table {
    int32_t *blocks; /* [cap] */
    int n, cap;
};

size_t kv_block_bytes(const struct kv_shape *shape); /* of one block, in all layers */
int kv_table_blocks(int n_tokens);                   /* blocks that n tokens need */

int kv_open(struct kv **out, const struct kv_shape *shape, int n_blocks,
            struct errmsg *e) MUSTCHECK;
void kv_close(struct kv **kv);
const struct kv_layer *kv_layer_at(const struct kv *kv, int layer);
int kv_blocks(const struct kv *kv);
int kv_blocks_free(const struct kv *kv);

/* Makes the table long enough for n_tokens; it never shrinks here.  0 or ERR_FULL. */
int kv_reserve(struct kv *kv, struct kv_table *t, int n_tokens) MUSTCHECK;

/* Appends the first n blocks of `from`, which both then hold.  Only full blocks may be shared: a
 * sequence writes into its own. */
void kv_share(struct kv *kv, struct kv_table *t, const struct kv_table *from, int n);

void kv_release(struct kv *kv, struct kv_table *t); /* lets go of all; the table is empty */

#endif
