/* heap.c - the least of many things whose keys change. */
#include "base/heap.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static bool precedes(const struct heap_entry *a, const struct heap_entry *b)
{
    return a->key < b->key || (!(b->key < a->key) && a->tie < b->tie);
}

static void set(struct heap *h, size_t i, struct heap_entry x)
{
    h->entries[i] = x;
    x.node->at = i + 1;
}

static size_t rise(struct heap *h, size_t i, const struct heap_entry *x)
{
    while (i && precedes(x, &h->entries[(i - 1) / 2])) {
        set(h, i, h->entries[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    return i;
}

static size_t sink(struct heap *h, size_t i, const struct heap_entry *x)
{
    for (size_t c; (c = 2 * i + 1) < h->n; i = c) {
        if (c + 1 < h->n && precedes(&h->entries[c + 1], &h->entries[c])) c++;
        if (!precedes(&h->entries[c], x)) break;
        set(h, i, h->entries[c]);
    }
    return i;
}

/* x goes where it belongs, from the hole at i on. */
static void settle(struct heap *h, size_t i, struct heap_entry x)
{
    set(h, sink(h, rise(h, i, &x), &x), x);
}

int heap_reserve(struct heap *h, size_t n)
{
    size_t cap = h->cap ? h->cap : 16;
    struct heap_entry *more;

    if (n <= h->cap) return ERR_OK;
    while (cap < n)
        cap *= 2;
    more = realloc(h->entries, cap * sizeof *more);
    if (!more) return ERR_NOMEM;
    h->entries = more;
    h->cap = cap;
    return ERR_OK;
}

int heap_put(struct heap *h, struct heap_node *node, double key, int64_t tie)
{
    assert(!isnan(key));
    if (!node->at) {
        if (heap_reserve(h, h->n + 1)) return ERR_NOMEM;
        node->at = ++h->n;
    }
    settle(h, node->at - 1, (struct heap_entry){key, tie, node});
    return ERR_OK;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    size_t i = node->at;

    if (!i) return;
    assert(i <= h->n && h->entries[i - 1].node == node);
    node->at = 0;
    if (i-- < h->n--) settle(h, i, h->entries[h->n]);
}

struct heap_node *heap_least(const struct heap *h)
{
    return h->n ? h->entries[0].node : NULL;
}

struct heap_node *heap_at(const struct heap *h, size_t k)
{
    assert(k < h->n);
    return h->entries[k].node;
}

void heap_fini(struct heap *h)
{
    free(h->entries);
    *h = (struct heap){0};
}
