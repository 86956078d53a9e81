/* slot.h - where a position's K and V lie in the KV blocks, in numbers from the start.
 *
 *   K [NB][HK][HD][BS]   V [NB][HK][BS][HD]   block number from the sequence's block table
 */
#ifndef KERNELS_SLOT_H
#define KERNELS_SLOT_H

#include "kernels/ops.h"

/* First number of KV block b for KV head hk, of K and of V. */
static inline size_t slot_block(int32_t b, int hk, int HK, int HD)
{
    return ((size_t)b * (size_t)HK + (size_t)hk) * KV_BLOCK_TOKENS * (size_t)HD;
}

/* The block that holds position pos of sequence seq. */
static inline int32_t slot_of(const struct ragged *r, int32_t seq, int32_t pos)
{
    return r->blocks[(size_t)seq * (size_t)r->max_blocks + (size_t)pos / KV_BLOCK_TOKENS];
}

/* Number d of position pos, from its block's first number. */
static inline size_t slot_k(int32_t pos, int d)
{
    return (size_t)d * KV_BLOCK_TOKENS + (size_t)pos % KV_BLOCK_TOKENS;
}

static inline size_t slot_v(int32_t pos, int d, int HD)
{
    return (size_t)pos % KV_BLOCK_TOKENS * (size_t)HD + (size_t)d;
}

#endif
