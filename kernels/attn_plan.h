/* attn_plan.h - how attention of one step is cut into pieces for a device, worked out on the host.
 *
 * A sequence with one token in the step (it decodes) is cut along its positions: splits.  One with
 * several tokens is cut along its tokens: tiles.  A piece is of all heads; a kernel multiplies the
 * pieces by the KV heads.  Sliding windows differ from layer to layer, so a split says which
 * positions it covers, and a kernel leaves out what its layer does not see.
 *
 *   split size   of a token at position pos: ATTN_SPLIT, doubled until ATTN_MAX_SPLITS of them
 *                cover 0..pos
 *   tiles        four lists of all tokens that are not decoded, in runs of 16, 32, 64 and 128
 *                tokens of one sequence: a kernel takes the list that suits the heads that share a
 *                KV head
 *
 * The plan is one piece of memory: struct attn_plan, then the lists, each at `*_at` bytes from its
 * start.  It holds no pointers, so it is copied to a device as it is.
 *
 * Ownership  the caller's memory of attn_plan_bytes, at a multiple of 16.
 * Threads    no shared state.
 *
 * AP1  how a token is cut depends on its position and, for tiles, on the step's tokens of its
 *      sequence only; splits and their order of merging not on the step at all.
 * AP2  each token of the step is in the splits of one merge, or one whole split, or in one tile of
 *      each list.
 * AP3  lists begin with the longest pieces, so that a device's last wave is short.
 * AP4  where every sequence has one token, the number of tiles is S in each list with all_tiles,
 * and 0 without.
 */
#ifndef KERNELS_ATTN_PLAN_H
#define KERNELS_ATTN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ragged;

#define ATTN_SPLIT      256 /* positions */
#define ATTN_MAX_SPLITS 32  /* of a token */
#define ATTN_TILE_LISTS 4   /* of tiles of ATTN_TILE << i tokens */
#define ATTN_TILE       16

/* Positions from..to-1 of the sequence of one token. */
struct attn_split {
    int32_t token, seq, pos; /* pos: of the token */
    int32_t from, to;
    int32_t part; /* where its result waits for the merge; -1: it is the whole, written to o */
};

/* A token whose splits are parts part..part+n-1; number i covers positions i*size and up. */
struct attn_merge {
    int32_t token, pos, part, n, size;
};

/* n tokens of a sequence, the first at position pos. */
struct attn_tile {
    int32_t token, seq, pos, n;
};

struct attn_plan {
    int32_t n_splits, n_merges, n_parts;
    int32_t splits_at, merges_at; /* bytes */
    int32_t n_tiles[ATTN_TILE_LISTS], tiles_at[ATTN_TILE_LISTS];
    int32_t bytes; /* of all */
};

/* The most that a plan takes, for steps of these limits, and the most parts. */
size_t attn_plan_bytes(int max_tokens, int max_seqs);
size_t attn_plan_parts(int max_seqs, int max_blocks);

/* all_tiles: tokens that decode are tiles too (a token's arithmetic is then the same however it
 * came in).  r lies on the host. */
void attn_plan_make(struct attn_plan *p, const struct ragged *r, bool all_tiles);

#endif
