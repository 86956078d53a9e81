/* idmap.c - from a positive 64-bit id to a pointer. */
#include "base/idmap.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

static size_t home(const struct idmap *m, int64_t id)
{
    uint64_t h = (uint64_t)id * 0x9E3779B97F4A7C15u; /* Fibonacci hashing: ids come in runs */

    return (size_t)(h >> 32) & (m->cap - 1);
}

/* The slot of id, or the free one where it would go. */
static size_t find(const struct idmap *m, int64_t id)
{
    size_t i = home(m, id);

    while (m->slots[i].id && m->slots[i].id != id)
        i = (i + 1) & (m->cap - 1);
    return i;
}

static int grow(struct idmap *m)
{
    struct idmap bigger = {.cap = m->cap ? m->cap * 2 : 64, .n = m->n};

    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots) return ERR_NOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].id) bigger.slots[find(&bigger, m->slots[i].id)] = m->slots[i];
    free(m->slots);
    *m = bigger;
    return ERR_OK;
}

int idmap_put(struct idmap *m, int64_t id, void *value)
{
    size_t i;

    assert(id > 0 && value);
    if (m->n * 4 >= m->cap * 3 && grow(m)) return ERR_NOMEM;
    i = find(m, id);
    if (!m->slots[i].id) m->n++;
    m->slots[i] = (struct idmap_slot){id, value};
    return ERR_OK;
}

void *idmap_get(const struct idmap *m, int64_t id)
{
    return m->cap && id > 0 ? m->slots[find(m, id)].value : NULL;
}

void *idmap_remove(struct idmap *m, int64_t id)
{
    size_t i, j;
    void *value;

    if (!m->cap || id <= 0) return NULL;
    i = find(m, id);
    value = m->slots[i].value;
    if (!m->slots[i].id) return NULL;
    m->n--;
    for (j = (i + 1) & (m->cap - 1); m->slots[j].id; j = (j + 1) & (m->cap - 1)) {
        size_t h = home(m, m->slots[j].id);

        /* j may move to the hole at i unless its home lies between them. */
        if (((j - h) & (m->cap - 1)) < ((j - i) & (m->cap - 1))) continue;
        m->slots[i] = m->slots[j];
        i = j;
    }
    m->slots[i] = (struct idmap_slot){0, NULL};
    return value;
}

void idmap_fini(struct idmap *m)
{
    free(m->slots);
    *m = (struct idmap){0};
}

void *idmap_next(const struct idmap *m, size_t *at)
{
    while (*at < m->cap) {
        struct idmap_slot *s = &m->slots[(*at)++];

        if (s->id) return s->value;
    }
    return NULL;
}
