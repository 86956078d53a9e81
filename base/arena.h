/* arena.h - memory taken once and handed out in order.
 *
 * Lifetimes  process, sequence and step each have their own arena; nothing is freed singly.
 * Ownership  arena_init takes its memory from the host at once; arena_fini gives it back.
 * Threads    one owner.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

struct arena {
    char *base;
    size_t used; /* bytes handed out since the last reset */
    size_t cap;
    size_t peak; /* largest used ever */
};

int arena_init(struct arena *a, size_t cap) MUSTCHECK; /* 0 or ERR_NOMEM */
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);

/* n bytes, 64-byte aligned, not cleared, or NULL when they do not fit.  Valid until arena_reset. */
void *arena_take(struct arena *a, size_t n);

#endif
