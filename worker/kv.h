/* kv.h - the memory for keys and values, in blocks, and who holds which block.
 *
 * A KV block is KV_BLOCK_TOKENS token slots in every layer; a block table lists the blocks of one
 * sequence in order of position.  A block may stand in several tables.
 *
 * The prefix cache: a full block may be sealed, which makes it known by its tokens and those before
 * them (chain.h); from then on nobody writes into it, and other tables may share it.  When the last
 * table lets go of a sealed block it stays, and is taken only when no free block is left, the one
 * that was let go of longest ago first.  A table lets go from its end, so what stands behind a
 * block always goes before it.
 *
 * The numbers are on the host, the memory is of the streams: each TP rank's of its own, in the
 * layout of its table of ops.  Where steps are recorded there is one more block at the end, the
 * trash block, which rows that only fill a step up write to; nobody else looks at it.
 *
 * Threads    the engine's thread only.
 * Ownership  kv_open takes all memory and borrows the streams; theirs, which on the host comes page
 *            by page as it is first written, stays until they are closed.  Reserve and release move
 *            numbers, never bytes.  A table's storage is the caller's.
 * Errors     ERR_FULL when there are not enough free blocks; the table is unchanged then.
 *
 * KV1  a block is free, or kept (sealed, in no table), or its count is the number of tables that
 *      list it.  Free and kept ones together are what kv_blocks_free counts.
 * KV2  reserve gives all that is asked for or nothing.
 * KV3  the sealed blocks of a table are its first ones, so a table that lists a block lists all
 *      that it stands behind; a block is kept only while nobody holds one behind it.
 */
#ifndef WORKER_KV_H
#define WORKER_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/device.h"
#include "worker/chain.h"

struct kv;

struct kv_shape {
    int n_layers, n_kv_heads, head_dim; /* layers of all ranks, heads of one */
    enum dtype dtype;
};

/* Where the memory is: layers are shared out evenly, the first ones to the first stream. */
struct kv_home {
    const struct device *device;
    struct stream *const *streams; /* [n] */
    int n;
};

struct kv_table {
    int32_t *blocks; /* [cap] */
    int n, cap;
};

size_t kv_block_bytes(const struct kv_shape *shape); /* of one block, in all layers */
int kv_table_blocks(int n_tokens);                   /* blocks that n tokens need */

/* keep: sealed blocks outlive their tables; without it they only serve tables that live at once. */
int kv_open(struct kv **out, const struct kv_shape *shape, const struct kv_home *home, int n_blocks,
            bool keep, struct errmsg *e) MUSTCHECK;
void kv_close(struct kv **kv);
const struct kv_layer *kv_layer_at(const struct kv *kv, int layer);
int kv_blocks(const struct kv *kv); /* the trash block is not among them */
int32_t kv_trash(const struct kv *kv);
int kv_blocks_free(const struct kv *kv);

/* Makes the table long enough for n_tokens; it never shrinks here.  0 or ERR_FULL. */
int kv_reserve(struct kv *kv, struct kv_table *t, int n_tokens) MUSTCHECK;

/* Appends the sealed block that holds ids [KV_BLOCK_TOKENS] behind those of t, all sealed; false
 * when there is none.  Tables of different scopes (at most CHAIN_SCOPE) share nothing. */
bool kv_share(struct kv *kv, struct kv_table *t, int64_t scope, const int32_t *ids);

/* Seals block i of t, those before it being sealed: it holds ids, or will when the step that is
 * being built is done.  When another block does already, this one stays as it is and the answer is
 * false; with `swap` (never while a step is built) t lists that one instead, and it is true. */
bool kv_seal(struct kv *kv, struct kv_table *t, int i, int64_t scope, const int32_t *ids,
             bool swap);

/* Writes zeros into the blocks of t for its first n_tokens; none of them is sealed.  ERR_CUDA. */
int kv_blank(struct kv *kv, const struct kv_table *t, int n_tokens, struct errmsg *e) MUSTCHECK;

void kv_release(struct kv *kv, struct kv_table *t); /* lets go of all; the table is empty */

#endif
