/* kv.c - the memory for keys and values, in blocks, and who holds which block. */
#include "worker/kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A list of kept blocks, by block number. */
struct kept {
    int32_t prev, next;
};

struct kv {
    int n_layers, n_blocks, n_free, n_kept;
    bool keep;
    int32_t *free_list; /* [n_blocks], the first n_free are free; the last one is taken next */
    int32_t *count;     /* [n_blocks] tables that list it */
    struct kept *kept;  /* [n_blocks + 1]; the last is the list's head: oldest, newest */
    struct chain *chain;
    struct kv_layer *layers;
    struct stream **streams; /* [n_layers] whose memory a layer is in */
    const struct device *device;
    struct kv_shape shape;
};

/* Of a block, in one layer: K or V, and the scales of either. */
static size_t layer_bytes(const struct kv_shape *p)
{
    return (size_t)p->n_kv_heads * KV_BLOCK_TOKENS * (size_t)p->head_dim * dtype_bytes(p->dtype);
}

static size_t scale_bytes(const struct kv_shape *p)
{
    return p->dtype == DTYPE_FP8 ? (size_t)p->n_kv_heads * KV_BLOCK_TOKENS * sizeof(float) : 0;
}

size_t kv_block_bytes(const struct kv_shape *shape)
{
    return 2 * (size_t)shape->n_layers * (layer_bytes(shape) + scale_bytes(shape));
}

int kv_table_blocks(int n_tokens)
{
    return n_tokens / KV_BLOCK_TOKENS + (n_tokens % KV_BLOCK_TOKENS != 0);
}

static size_t aligned(size_t bytes)
{
    return (bytes + DEVICE_ALIGN - 1) & ~(size_t)(DEVICE_ALIGN - 1);
}

/* L layers from the first one on, for n blocks, in memory of one stream. */
static int take_layers(struct kv_layer *first, int L, const struct kv_shape *shape, size_t n,
                       const struct kv_home *home, struct stream *s, struct errmsg *e)
{
    const size_t half = aligned(n * layer_bytes(shape)), scale = aligned(n * scale_bytes(shape));
    char *at = home->device->take(s, 2 * (size_t)L * (half + scale), e);

    if (!at) return ERR_NOMEM;
    for (int l = 0; l < L; l++, at += 2 * (half + scale))
        first[l] = (struct kv_layer){.k = at,
                                     .v = at + half,
                                     .dtype = shape->dtype,
                                     .k_scales = scale ? (float *)(at + 2 * half) : NULL,
                                     .v_scales = scale ? (float *)(at + 2 * half + scale) : NULL};
    return ERR_OK;
}

int kv_open(struct kv **out, const struct kv_shape *shape, const struct kv_home *home, int n_blocks,
            bool keep, struct errmsg *e)
{
    const size_t n = (size_t)n_blocks + (home->device->record != NULL);
    const int share = shape->n_layers / home->n;
    struct kv *kv = calloc(1, sizeof *kv);
    int rc = err_set(e, ERR_NOMEM, "no memory for %d KV blocks of %zu bytes", n_blocks,
                     kv_block_bytes(shape));

    *out = NULL;
    assert(n_blocks > 0 && share * home->n == shape->n_layers);
    if (!kv) goto out;
    kv->n_layers = shape->n_layers;
    kv->n_blocks = kv->n_free = n_blocks;
    kv->free_list = malloc((size_t)n_blocks * sizeof *kv->free_list);
    kv->count = calloc((size_t)n_blocks, sizeof *kv->count);
    kv->keep = keep;
    kv->kept = calloc((size_t)n_blocks + 1, sizeof *kv->kept);
    kv->layers = calloc((size_t)shape->n_layers, sizeof *kv->layers);
    kv->streams = calloc((size_t)shape->n_layers, sizeof(struct stream *));
    kv->device = home->device;
    kv->shape = *shape;
    if (!kv->free_list || !kv->count || !kv->kept || !kv->layers || !kv->streams) goto out;
    if ((rc = chain_open(&kv->chain, n_blocks, e))) goto out;
    kv->kept[n_blocks] = (struct kept){n_blocks, n_blocks};
    for (int i = 0; i < n_blocks; i++)
        kv->free_list[i] = n_blocks - 1 - i;
    for (int l = 0; l < shape->n_layers; l++)
        kv->streams[l] = home->streams[l / share];
    for (int i = 0; i < home->n && !rc; i++)
        rc = take_layers(kv->layers + i * share, share, shape, n, home, home->streams[i], e);
    if (rc) goto out;
    *out = kv;
    kv = NULL;
out:
    kv_close(&kv);
    return rc;
}

void kv_close(struct kv **kvp)
{
    struct kv *kv = *kvp;

    if (!kv) return;
    free(kv->free_list);
    free(kv->count);
    free(kv->kept);
    chain_close(&kv->chain);
    free(kv->layers);
    free(kv->streams);
    free(kv);
    *kvp = NULL;
}

const struct kv_layer *kv_layer_at(const struct kv *kv, int layer)
{
    assert(layer >= 0 && layer < kv->n_layers);
    return &kv->layers[layer];
}

int kv_blocks(const struct kv *kv)
{
    return kv->n_blocks;
}

int32_t kv_trash(const struct kv *kv)
{
    return kv->n_blocks;
}

int kv_blocks_free(const struct kv *kv)
{
    return kv->n_free + kv->n_kept;
}

static void keep(struct kv *kv, int32_t b)
{
    struct kept *list = &kv->kept[kv->n_blocks];

    kv->kept[b] = (struct kept){list->prev, kv->n_blocks};
    kv->kept[list->prev].next = b;
    list->prev = b;
    kv->n_kept++;
}

static void unkeep(struct kv *kv, int32_t b)
{
    const struct kept k = kv->kept[b];

    kv->kept[k.prev].next = k.next;
    kv->kept[k.next].prev = k.prev;
    kv->n_kept--;
}

/* One that nobody holds; the one kept longest when none is free. */
static int32_t take(struct kv *kv)
{
    int32_t b;

    if (kv->n_free) return kv->free_list[--kv->n_free];
    b = kv->kept[kv->n_blocks].next;
    unkeep(kv, b);
    chain_remove(kv->chain, b);
    return b;
}

static void hold(struct kv *kv, int32_t b)
{
    if (kv->count[b]++ == 0) unkeep(kv, b);
}

static void let_go(struct kv *kv, int32_t b)
{
    assert(kv->count[b] > 0);
    if (--kv->count[b] > 0) return;
    if (chain_has(kv->chain, b)) {
        if (kv->keep) {
            keep(kv, b);
            return;
        }
        chain_remove(kv->chain, b);
    }
    kv->free_list[kv->n_free++] = b;
}

int kv_reserve(struct kv *kv, struct kv_table *t, int n_tokens)
{
    const int want = kv_table_blocks(n_tokens);

    assert(want <= t->cap);
    if (want - t->n > kv_blocks_free(kv)) return ERR_FULL;
    while (t->n < want) {
        const int32_t b = take(kv);

        assert(kv->count[b] == 0);
        kv->count[b] = 1;
        t->blocks[t->n++] = b;
    }
    return ERR_OK;
}

/* What the block with this index of t stands behind. */
static int64_t before(const struct kv_table *t, int i, int64_t scope)
{
    return i ? t->blocks[i - 1] : scope;
}

bool kv_share(struct kv *kv, struct kv_table *t, int64_t scope, const int32_t *ids)
{
    const int32_t b = chain_find(kv->chain, before(t, t->n, scope), ids);

    if (b == CHAIN_NONE) return false;
    assert(t->n < t->cap);
    hold(kv, b);
    t->blocks[t->n++] = b;
    return true;
}

bool kv_seal(struct kv *kv, struct kv_table *t, int i, int64_t scope, const int32_t *ids, bool swap)
{
    const int64_t behind = before(t, i, scope);
    const int32_t b = chain_find(kv->chain, behind, ids);

    assert(i < t->n && b != t->blocks[i]);
    if (b == CHAIN_NONE) {
        chain_add(kv->chain, t->blocks[i], behind, ids);
        return true;
    }
    if (!swap) return false;
    hold(kv, b);
    let_go(kv, t->blocks[i]);
    t->blocks[i] = b;
    return true;
}

/* One block of one layer. */
static int blank_layer(struct kv *kv, int layer, int32_t b, const void *zeros)
{
    const struct kv_layer *l = &kv->layers[layer];
    const size_t bytes = layer_bytes(&kv->shape), scales = scale_bytes(&kv->shape);
    struct stream *s = kv->streams[layer];
    int rc = kv->device->put(s, (char *)l->k + (size_t)b * bytes, zeros, bytes);

    if (!rc) rc = kv->device->put(s, (char *)l->v + (size_t)b * bytes, zeros, bytes);
    if (!scales) return rc;
    if (!rc) rc = kv->device->put(s, (char *)l->k_scales + (size_t)b * scales, zeros, scales);
    if (!rc) rc = kv->device->put(s, (char *)l->v_scales + (size_t)b * scales, zeros, scales);
    return rc;
}

int kv_blank(struct kv *kv, const struct kv_table *t, int n_tokens, struct errmsg *e)
{
    const size_t bytes = layer_bytes(&kv->shape), scales = scale_bytes(&kv->shape);
    void *zeros = calloc(1, bytes > scales ? bytes : scales);
    int rc = zeros ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for an empty KV block");

    for (int i = 0; i < kv_table_blocks(n_tokens) && !rc; i++)
        for (int l = 0; l < kv->n_layers && !rc; l++)
            if ((rc = blank_layer(kv, l, t->blocks[i], zeros)))
                err_set(e, rc, "KV block %d cannot be written", (int)t->blocks[i]);
    free(zeros);
    return rc;
}

void kv_release(struct kv *kv, struct kv_table *t)
{
    while (t->n > 0)
        let_go(kv, t->blocks[--t->n]);
}
