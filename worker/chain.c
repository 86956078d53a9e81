/* chain.c - which full KV blocks are known by their tokens. */
#include "worker/chain.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mix.h"
#include "kernels/ops.h"

struct link {
    int64_t before; /* block or scope; 0 and up only where `in` */
    uint64_t hash;
    int32_t ids[KV_BLOCK_TOKENS];
    int32_t next;   /* with the same place in heads; CHAIN_NONE: the last */
    int32_t behind; /* blocks that stand behind this one */
    bool in;
};

struct chain {
    struct link *links; /* [n_blocks] */
    int32_t *heads;     /* [mask + 1] */
    uint64_t mask;
};

int chain_open(struct chain **out, int n_blocks, struct errmsg *e)
{
    struct chain *c = calloc(1, sizeof *c);
    size_t n = 16;
    int rc = err_set(e, ERR_NOMEM, "no memory to index %d KV blocks", n_blocks);

    *out = NULL;
    if (!c) goto out;
    while (n < (size_t)n_blocks)
        n *= 2;
    c->mask = n - 1;
    c->links = calloc((size_t)n_blocks, sizeof *c->links);
    c->heads = malloc(n * sizeof *c->heads);
    if (!c->links || !c->heads) goto out;
    memset(c->heads, 0xFF, n * sizeof *c->heads); /* CHAIN_NONE */
    *out = c;
    c = NULL;
    rc = ERR_OK;
out:
    chain_close(&c);
    return rc;
}

void chain_close(struct chain **c)
{
    if (!*c) return;
    free((*c)->links);
    free((*c)->heads);
    free(*c);
    *c = NULL;
}

static uint64_t hash_of(int64_t before, const int32_t *ids)
{
    uint64_t h = mix64((uint64_t)before);

    for (int i = 0; i < KV_BLOCK_TOKENS; i += 2)
        h = mix64(h ^ ((uint64_t)(uint32_t)ids[i] << 32 | (uint32_t)ids[i + 1]));
    return h;
}

int32_t chain_find(const struct chain *c, int64_t before, const int32_t *ids)
{
    const uint64_t h = hash_of(before, ids);

    for (int32_t b = c->heads[h & c->mask]; b != CHAIN_NONE; b = c->links[b].next) {
        const struct link *l = &c->links[b];

        if (l->hash == h && l->before == before && !memcmp(l->ids, ids, sizeof l->ids)) return b;
    }
    return CHAIN_NONE;
}

bool chain_has(const struct chain *c, int32_t block)
{
    return c->links[block].in;
}

void chain_add(struct chain *c, int32_t block, int64_t before, const int32_t *ids)
{
    struct link *l = &c->links[block];
    int32_t *head;

    assert(!l->in && chain_find(c, before, ids) == CHAIN_NONE);
    assert(before <= CHAIN_SCOPE || c->links[before].in);
    l->in = true;
    l->before = before;
    l->behind = 0;
    l->hash = hash_of(before, ids);
    memcpy(l->ids, ids, sizeof l->ids);
    head = &c->heads[l->hash & c->mask];
    l->next = *head;
    *head = block;
    if (before >= 0) c->links[before].behind++;
}

void chain_remove(struct chain *c, int32_t block)
{
    struct link *l = &c->links[block];
    int32_t *at = &c->heads[l->hash & c->mask];

    assert(l->in && l->behind == 0);
    while (*at != block)
        at = &c->links[*at].next;
    *at = l->next;
    l->in = false;
    if (l->before >= 0) c->links[l->before].behind--;
}
