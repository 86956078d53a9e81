/* arena.h - memory taken once and handed out in order.
 *
 * Lifetimes  all of it at once: nothing is freed singly.
 * Ownership  arena_init takes its memory from the host at once; arena_fini gives it back.
 * Threads    one owner.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

struct arena {
    char *base;
    size_t used; /* bytes handed out */
    size_t cap;
};

int arena_init(struct arena *a, size_t cap) MUSTCHECK; /* 0 or ERR_NOMEM */
void arena_fini(struct arena *a);

/* n bytes, 64-byte aligned, not cleared, or NULL when they do not fit.  Valid until arena_fini. */
void *arena_take(struct arena *a, size_t n);

#endif
