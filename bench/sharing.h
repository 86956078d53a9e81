/* sharing.h - the prefix cache of a simulated instance: which pieces its KV memory holds.
 *
 * It does what worker/kv.c does with blocks, a piece at a time: a row that begins takes over the
 * pieces that are there and makes the others known at once, since those behind it in the same step
 * are computed later; pieces that no row uses any more stay, and go when the room is wanted, the
 * one let go of longest ago first, a chain from its end.
 *
 * Units    tokens.
 * Threads  one.
 * Ownership  chains are borrowed.
 * Errors   ERR_NOMEM.
 *
 * SH1  what a row finds are its first pieces, without a gap.
 * SH2  a piece that a row uses is not dropped.
 */
#ifndef BENCH_SHARING_H
#define BENCH_SHARING_H

#include "bench/chains.h"

struct sharing;

int sharing_open(struct sharing **out, const struct chains *c) MUSTCHECK;
void sharing_close(struct sharing **s);

/* What a row would find if it began: the tokens of its prompt that need not be computed; *woken:
 * tokens of its pieces that are kept, used by no row until now. */
int32_t sharing_look(const struct sharing *s, int64_t row, int32_t *woken);
/* It begins; likewise. */
int32_t sharing_begin(struct sharing *s, int64_t row, int32_t *woken);
/* It ends, or is put back, with so many of its prompt's tokens computed.  Returns the tokens that
 * no row uses any more (they are kept); *shared: those of its computed pieces, used or not. */
int32_t sharing_end(struct sharing *s, int64_t row, int32_t computed, int32_t *shared);
/* So much room is left for what is kept. */
void sharing_fit(struct sharing *s, int64_t tokens);

int64_t sharing_kept(const struct sharing *s);

#endif
