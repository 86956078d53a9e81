/* chain.h - which full KV blocks are known by their tokens: the index of the prefix cache.
 *
 * A block stands for its KV_BLOCK_TOKENS ids behind what the block before it stands for; the first
 * one stands behind a scope (a number below 0: who may share it).  So a block that is found for
 * some ids behind a block that was found holds the keys and values of exactly these tokens: ids
 * are compared, the hash only says where to look.
 *
 * Threads    the engine's thread only.
 * Ownership  chain_open takes all memory.
 *
 * CH1  at most one block stands for the same ids behind the same block.
 * CH2  a block that others stand behind cannot be removed.
 */
#ifndef WORKER_CHAIN_H
#define WORKER_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct chain;

#define CHAIN_NONE  (-1) /* no block */
#define CHAIN_SCOPE (-2) /* scopes are this and below */

int chain_open(struct chain **out, int n_blocks, struct errmsg *e) MUSTCHECK;
void chain_close(struct chain **c);

/* The block that holds ids [KV_BLOCK_TOKENS] behind `before`, a block or a scope; or CHAIN_NONE. */
int32_t chain_find(const struct chain *c, int64_t before, const int32_t *ids);
bool chain_has(const struct chain *c, int32_t block);

/* block, which is not in the index, now holds ids behind `before`. */
void chain_add(struct chain *c, int32_t block, int64_t before, const int32_t *ids);
void chain_remove(struct chain *c, int32_t block);

#endif
