/* bpe.c - byte-pair merges. */
#include "model/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define NONE ((size_t)-1)

struct merge {
    int32_t left, right; /* left < 0: an empty slot */
    int32_t rank;
    int32_t joined;
};

struct bpe {
    struct merge *slots; /* open addressing, at most half full */
    size_t n_slots;      /* a power of two */
};

struct bpe_node {
    int32_t id; /* -1: joined into its left neighbour */
    size_t prev, next;
};

struct bpe_pair {
    int32_t rank;
    int32_t joined;
    size_t at; /* the left node */
};

static struct merge *slot_of(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (b->n_slots - 1);

    while (b->slots[at].left >= 0 && (b->slots[at].left != left || b->slots[at].right != right))
        at = (at + 1) & (b->n_slots - 1);
    return &b->slots[at];
}

struct halves {
    const char *left, *right;
    size_t left_len, right_len;
};

static bool read_halves(struct halves *h, const json_t *m)
{
    const json_t *a = json_array_get(m, 0), *b = json_array_get(m, 1);

    if (json_is_string(m)) {
        const char *text = json_string_value(m), *space = strchr(text, ' ');
        size_t len = json_string_length(m);

        if (!space || memchr(space + 1, ' ', len - (size_t)(space + 1 - text))) return false;
        *h = (struct halves){text, space + 1, (size_t)(space - text),
                             len - (size_t)(space - text) - 1};
        return true;
    }
    if (json_array_size(m) != 2 || !json_is_string(a) || !json_is_string(b)) return false;
    *h = (struct halves){json_string_value(a), json_string_value(b), json_string_length(a),
                         json_string_length(b)};
    return true;
}

static int add_merge(struct bpe *b, const json_t *m, size_t rank, const struct vocab *v,
                     struct buf *both, struct errmsg *e)
{
    struct merge x = {.rank = (int32_t)rank};
    struct halves h;

    if (!read_halves(&h, m)) return err_set(e, ERR_FORMAT, "merge %zu: not two tokens", rank);
    buf_clear(both);
    if (buf_add(both, h.left, h.left_len) || buf_add(both, h.right, h.right_len))
        return err_set(e, ERR_NOMEM, "merges: no memory");
    x.left = vocab_find(v, h.left, h.left_len);
    x.right = vocab_find(v, h.right, h.right_len);
    x.joined = vocab_find(v, both->data, both->len);
    if (x.left < 0 || x.right < 0 || x.joined < 0)
        return err_set(e, ERR_FORMAT, "merge %zu: '%.60s' is not in the vocabulary", rank,
                       x.left < 0    ? h.left
                       : x.right < 0 ? h.right
                                     : both->data);
    *slot_of(b, x.left, x.right) = x;
    return ERR_OK;
}

int bpe_open(struct bpe **out, const json_t *merges, const struct vocab *v, struct errmsg *e)
{
    struct bpe *b = calloc(1, sizeof *b);
    size_t n = json_array_size(merges);
    struct buf both = {0};
    int rc = ERR_OK;

    *out = NULL;
    if (n > INT32_MAX / 4) {
        rc = err_set(e, ERR_FORMAT, "%zu merges", n);
        goto out;
    }
    if (b) {
        b->n_slots = 64;
        while (b->n_slots < 2 * n)
            b->n_slots *= 2;
        b->slots = malloc(b->n_slots * sizeof *b->slots);
    }
    if (!b || !b->slots) {
        rc = err_set(e, ERR_NOMEM, "merges: no memory");
        goto out;
    }
    for (size_t i = 0; i < b->n_slots; i++)
        b->slots[i].left = -1;
    for (size_t i = 0; i < n && !rc; i++)
        rc = add_merge(b, json_array_get(merges, i), i, v, &both, e);
    if (rc) goto out;
    *out = b;
    b = NULL;
out:
    buf_fini(&both);
    bpe_close(&b);
    return rc;
}

void bpe_close(struct bpe **b)
{
    if (!*b) return;
    free((*b)->slots);
    free(*b);
    *b = NULL;
}

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
static void offer(const struct bpe *b, struct bpe_work *w, size_t at)
{
    const struct bpe_node *n = &w->nodes[at];
    const struct merge *m;

    if (n->next == NONE) return;
    m = slot_of(b, n->id, w->nodes[n->next].id);
    if (m->left >= 0) heap_put(w, (struct bpe_pair){m->rank, m->joined, at});
}

/* Is the pair that was put on the heap still there? */
static bool is_current(const struct bpe *b, const struct bpe_work *w, const struct bpe_pair *p)
{
    const struct bpe_node *n = &w->nodes[p->at];
    const struct merge *m;

    if (n->id < 0 || n->next == NONE) return false;
    m = slot_of(b, n->id, w->nodes[n->next].id);
    return m->left >= 0 && m->rank == p->rank;
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

static void join_at(const struct bpe *b, struct bpe_work *w, const struct bpe_pair *p)
{
    struct bpe_node *left = &w->nodes[p->at], *right = &w->nodes[left->next];

    left->id = p->joined;
    left->next = right->next;
    right->id = -1;
    if (left->next != NONE) w->nodes[left->next].prev = p->at;
    if (left->prev != NONE) offer(b, w, left->prev);
    offer(b, w, p->at);
}

int bpe_join(const struct bpe *b, struct bpe_work *w, const int32_t *word, size_t n,
             struct ids *out)
{
    if (!n) return ERR_OK;
    if (reserve(w, n)) return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        w->nodes[i] = (struct bpe_node){word[i], i ? i - 1 : NONE, i + 1 < n ? i + 1 : NONE};
    w->heap_n = 0;
    for (size_t i = 0; i + 1 < n; i++)
        offer(b, w, i);
    while (w->heap_n) {
        struct bpe_pair p = heap_take(w);

        if (is_current(b, w, &p)) join_at(b, w, &p);
    }
    for (size_t i = 0; i != NONE; i = w->nodes[i].next)
        if (ids_add(out, w->nodes[i].id)) return ERR_NOMEM;
    return ERR_OK;
}
