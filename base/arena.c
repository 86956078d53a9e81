/* arena.c - memory taken once and handed out in order. */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64

int arena_init(struct arena *a, size_t cap)
{
    memset(a, 0, sizeof *a);
    cap = (cap + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    a->base = aligned_alloc(ALIGN, cap ? cap : ALIGN);
    if (!a->base) return ERR_NOMEM;
    a->cap = cap;
    return ERR_OK;
}

void arena_fini(struct arena *a)
{
    free(a->base);
    memset(a, 0, sizeof *a);
}

void *arena_take(struct arena *a, size_t n)
{
    size_t at = (a->used + ALIGN - 1) & ~(size_t)(ALIGN - 1);

    if (at > a->cap || n > a->cap - at) return NULL;
    a->used = at + n;
    return a->base + at;
}
