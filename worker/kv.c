/* kv.c - the memory for keys and values, in blocks, and who holds which block. */
#include "worker/kv.h"

#include <assert.h>
#include <stdlib.h>

struct kv {
    int n_layers, n_blocks, n_free;
    int32_t *free_list; /* [n_blocks], the first n_free are free; the last one is taken next */
    int32_t *count;     /* [n_blocks] tables that list it */
    struct kv_layer *layers;
    void *memory;
};

static size_t layer_bytes(const struct kv_shape *p)
{
    return (size_t)p->n_kv_heads * KV_BLOCK_TOKENS * (size_t)p->head_dim * dtype_bytes(p->dtype);
}

size_t kv_block_bytes(const struct kv_shape *shape)
{
    return 2 * (size_t)shape->n_layers * layer_bytes(shape);
}

int kv_table_blocks(int n_tokens)
{
    return n_tokens / KV_BLOCK_TOKENS + (n_tokens % KV_BLOCK_TOKENS != 0);
}

int kv_open(struct kv **out, const struct kv_shape *shape, int n_blocks, struct errmsg *e)
{
    const size_t half = (size_t)n_blocks * layer_bytes(shape), L = (size_t)shape->n_layers;
    struct kv *kv = calloc(1, sizeof *kv);
    int rc = err_set(e, ERR_NOMEM, "no memory for %d KV blocks of %zu bytes", n_blocks,
                     kv_block_bytes(shape));

    *out = NULL;
    assert(n_blocks > 0);
    if (!kv) goto out;
    kv->n_layers = shape->n_layers;
    kv->n_blocks = kv->n_free = n_blocks;
    kv->free_list = malloc((size_t)n_blocks * sizeof *kv->free_list);
    kv->count = calloc((size_t)n_blocks, sizeof *kv->count);
    kv->layers = calloc(L, sizeof *kv->layers);
    kv->memory = aligned_alloc(64, (2 * L * half + 63) & ~(size_t)63);
    if (!kv->free_list || !kv->count || !kv->layers || !kv->memory) goto out;
    for (int i = 0; i < n_blocks; i++)
        kv->free_list[i] = n_blocks - 1 - i;
    for (size_t l = 0; l < L; l++)
        kv->layers[l] = (struct kv_layer){(char *)kv->memory + 2 * l * half,
                                          (char *)kv->memory + (2 * l + 1) * half, shape->dtype};
    *out = kv;
    kv = NULL;
    rc = ERR_OK;
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
    free(kv->layers);
    free(kv->memory);
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

int kv_blocks_free(const struct kv *kv)
{
    return kv->n_free;
}

int kv_reserve(struct kv *kv, struct kv_table *t, int n_tokens)
{
    const int want = kv_table_blocks(n_tokens);

    assert(want <= t->cap);
    if (want - t->n > kv->n_free) return ERR_FULL;
    while (t->n < want) {
        const int32_t b = kv->free_list[--kv->n_free];

        assert(kv->count[b] == 0);
        kv->count[b] = 1;
        t->blocks[t->n++] = b;
    }
    return ERR_OK;
}

void kv_share(struct kv *kv, struct kv_table *t, const struct kv_table *from, int n)
{
    assert(n <= from->n && t->n + n <= t->cap);
    for (int i = 0; i < n; i++) {
        kv->count[from->blocks[i]]++;
        t->blocks[t->n++] = from->blocks[i];
    }
}

void kv_release(struct kv *kv, struct kv_table *t)
{
    while (t->n > 0) {
        const int32_t b = t->blocks[--t->n];

        assert(kv->count[b] > 0);
        if (--kv->count[b] == 0) kv->free_list[kv->n_free++] = b;
    }
}
