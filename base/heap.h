/* heap.h - the least of many things whose keys change: a binary heap that knows where each is.
 *
 * A thing carries a struct heap_node (zeroed: in no heap) for each heap it may be in.  Equal keys
 * are ordered by `tie`, so that the order never depends on where things lie in memory.
 *
 * Cost       O(log n) to put, to move and to remove; the least is known at once.
 * Ownership  the nodes are the caller's; the heap owns its array.
 * Threads    one owner.
 *
 * HP1  no entry comes before its parent.
 * HP2  a node knows its place, or that it is in no heap.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct heap_node {
    size_t at; /* its place, counted from 1; 0: in no heap */
};

struct heap {
    struct heap_entry {
        double key;
        int64_t tie;
        struct heap_node *node;
    } * entries;
    size_t n, cap;
};

int heap_reserve(struct heap *h, size_t n) MUSTCHECK; /* room for n in all: 0 or ERR_NOMEM */

/* Puts it in, or moves it to where its new key belongs.  ERR_NOMEM only beyond what is reserved. */
int heap_put(struct heap *h, struct heap_node *node, double key, int64_t tie) MUSTCHECK;
void heap_remove(struct heap *h, struct heap_node *node);  /* one that is in no heap: nothing */
struct heap_node *heap_least(const struct heap *h);        /* NULL: empty */
struct heap_node *heap_at(const struct heap *h, size_t k); /* in no order; k below n */
void heap_fini(struct heap *h);                            /* the nodes are left as they are */

#endif
