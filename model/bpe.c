/* bpe.c - byte-pair merges. */
#include "model/bpe.h"

#include <stdlib.h>
#include <string.h>

#define NONE  ((size_t)-1)
#define SHORT 32 /* ids of a word that needs no heap */

struct bpe_node {
    int32_t id; /* -1: joined into its left neighbour */
    size_t prev, next;
};

struct bpe_pair {
    int32_t rank;
    int32_t joined;
    size_t at; /* the left node */
};

void bpe_work_fini(struct bpe_work *w)
{
    free(w->nodes);
    free(w->heap);
    memset(w, 0, sizeof *w);
}

static bool runs_before(const struct bpe_pair *a, const struct bpe_pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at; /* B1 */
}

static void heap_put(struct bpe_work *w, struct bpe_pair x)
{
    size_t i = w->heap_n++;

    while (i && runs_before(&x, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = x;
}

static struct bpe_pair heap_take(struct bpe_work *w)
{
    struct bpe_pair top = w->heap[0], last = w->heap[--w->heap_n];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= w->heap_n) break;
        if (child + 1 < w->heap_n && runs_before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!runs_before(&w->heap[child], &last)) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

/* Puts the pair (at, its next) on the heap if the table knows it. */
static void offer(const struct merges *table, struct bpe_work *w, size_t at)
{
    const struct bpe_node *n = &w->nodes[at];
    const struct merge *m;

    if (n->next == NONE) return;
    m = merges_find(table, n->id, w->nodes[n->next].id);
    if (m) heap_put(w, (struct bpe_pair){m->rank, m->joined, at});
}

/* Is the pair that was put on the heap still there? */
static bool is_current(const struct merges *table, const struct bpe_work *w,
                       const struct bpe_pair *p)
{
    const struct bpe_node *n = &w->nodes[p->at];
    const struct merge *m;

    if (n->id < 0 || n->next == NONE) return false;
    m = merges_find(table, n->id, w->nodes[n->next].id);
    return m && m->rank == p->rank;
}

/* Each join takes one pair off the heap and offers two, so 3n pairs are room enough. */
static int reserve(struct bpe_work *w, size_t n)
{
    if (n > SIZE_MAX / 64) return ERR_NOMEM;
    if (w->nodes_cap < n) {
        struct bpe_node *nodes = realloc(w->nodes, n * 2 * sizeof *nodes);

        if (!nodes) return ERR_NOMEM;
        w->nodes = nodes;
        w->nodes_cap = n * 2;
    }
    if (w->heap_cap < 3 * n) {
        struct bpe_pair *heap = realloc(w->heap, n * 6 * sizeof *heap);

        if (!heap) return ERR_NOMEM;
        w->heap = heap;
        w->heap_cap = n * 6;
    }
    return ERR_OK;
}

static void join_at(const struct merges *table, struct bpe_work *w, const struct bpe_pair *p)
{
    struct bpe_node *left = &w->nodes[p->at], *right = &w->nodes[left->next];

    left->id = p->joined;
    left->next = right->next;
    right->id = -1;
    if (left->next != NONE) w->nodes[left->next].prev = p->at;
    if (left->prev != NONE) offer(table, w, left->prev);
    offer(table, w, p->at);
}

/* A short word, without list or heap: the pairs lie side by side, and the best is looked for each
 * time.  The first of equals in the row is the leftmost (B1). */
static int join_short(const struct merges *table, const int32_t *word, size_t n, struct ids *out)
{
    int32_t id[SHORT];
    const struct merge *pair[SHORT]; /* of id[i] and id[i + 1]; NULL: not joined */

    for (size_t i = 0; i < n; i++) {
        id[i] = word[i];
        pair[i] = i + 1 < n ? merges_find(table, word[i], word[i + 1]) : NULL;
    }
    for (;;) {
        size_t at = n;

        for (size_t i = 0; i + 1 < n; i++)
            if (pair[i] && (at == n || pair[i]->rank < pair[at]->rank)) at = i;
        if (at == n) break;
        id[at] = pair[at]->joined;
        n--;
        memmove(id + at + 1, id + at + 2, (n - at - 1) * sizeof *id);
        memmove(pair + at + 1, pair + at + 2, (n - at - 1) * sizeof(pair[0]));
        pair[at] = at + 1 < n ? merges_find(table, id[at], id[at + 1]) : NULL;
        if (at) pair[at - 1] = merges_find(table, id[at - 1], id[at]);
    }
    for (size_t i = 0; i < n; i++)
        if (ids_add(out, id[i])) return ERR_NOMEM;
    return ERR_OK;
}

int bpe_join(const struct merges *table, struct bpe_work *w, const int32_t *word, size_t n,
             struct ids *out)
{
    if (!n) return ERR_OK;
    if (n <= SHORT) return join_short(table, word, n, out);
    if (reserve(w, n)) return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        w->nodes[i] = (struct bpe_node){word[i], i ? i - 1 : NONE, i + 1 < n ? i + 1 : NONE};
    w->heap_n = 0;
    for (size_t i = 0; i + 1 < n; i++)
        offer(table, w, i);
    while (w->heap_n) {
        struct bpe_pair p = heap_take(w);

        if (is_current(table, w, &p)) join_at(table, w, &p);
    }
    for (size_t i = 0; i != NONE; i = w->nodes[i].next)
        if (ids_add(out, w->nodes[i].id)) return ERR_NOMEM;
    return ERR_OK;
}
