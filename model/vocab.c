/* vocab.c - token spellings and their ids. */
#include "model/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define MAX_ID (1 << 23)

struct entry {
    size_t at; /* in text */
    size_t len;
    bool used;
};

struct vocab {
    struct buf text;
    struct entry *entries; /* [cap] by id */
    int cap;
    int size;
    int32_t *slots; /* open addressing, -1 is empty; n_slots is a power of two, at most half full */
    size_t n_slots;
    size_t n;
};

static uint64_t hash_text(const char *s, size_t len)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static bool same(const struct vocab *v, int32_t id, const char *text, size_t len)
{
    const struct entry *x = &v->entries[id];

    return x->len == len && !memcmp(v->text.data + x->at, text, len);
}

/* The slot that holds this spelling, or the empty one where it belongs. */
static size_t slot_of(const struct vocab *v, const char *text, size_t len)
{
    size_t at = (size_t)hash_text(text, len) & (v->n_slots - 1);

    while (v->slots[at] >= 0 && !same(v, v->slots[at], text, len))
        at = (at + 1) & (v->n_slots - 1);
    return at;
}

static int grow_slots(struct vocab *v, size_t n_slots)
{
    int32_t *slots = malloc(n_slots * sizeof *slots);

    if (!slots) return ERR_NOMEM;
    for (size_t i = 0; i < n_slots; i++)
        slots[i] = -1;
    free(v->slots);
    v->slots = slots;
    v->n_slots = n_slots;
    for (int32_t id = 0; id < v->size; id++) {
        const struct entry *x = &v->entries[id];

        if (x->used) v->slots[slot_of(v, v->text.data + x->at, x->len)] = id;
    }
    return ERR_OK;
}

static int grow_entries(struct vocab *v, int need)
{
    int cap = v->cap ? v->cap : 1024;
    struct entry *entries;

    while (cap < need)
        cap *= 2;
    if (cap == v->cap) return ERR_OK;
    entries = realloc(v->entries, (size_t)cap * sizeof *entries);
    if (!entries) return ERR_NOMEM;
    memset(entries + v->cap, 0, (size_t)(cap - v->cap) * sizeof *entries);
    v->entries = entries;
    v->cap = cap;
    return ERR_OK;
}

int vocab_add(struct vocab *v, const char *text, size_t len, int64_t id, struct errmsg *e)
{
    int32_t old = vocab_find(v, text, len);

    if (id < 0 || id >= MAX_ID)
        return err_set(e, ERR_FORMAT, "token '%.60s': id %lld is not in [0, %d]", text,
                       (long long)id, MAX_ID - 1);
    if (old == id) return ERR_OK;
    if (old >= 0)
        return err_set(e, ERR_FORMAT, "token '%.60s': has the ids %d and %lld", text, old,
                       (long long)id);
    if (id < v->size && v->entries[id].used)
        return err_set(e, ERR_FORMAT, "token '%.60s': id %lld is in use", text, (long long)id);
    if (grow_entries(v, (int)id + 1) ||
        ((v->n + 1) * 2 > v->n_slots && grow_slots(v, v->n_slots * 2)))
        return err_set(e, ERR_NOMEM, "vocabulary: no memory");
    v->entries[id] = (struct entry){v->text.len, len, true};
    if (buf_add(&v->text, text, len)) {
        v->entries[id].used = false;
        return err_set(e, ERR_NOMEM, "vocabulary: no memory");
    }
    v->slots[slot_of(v, text, len)] = (int32_t)id;
    v->n++;
    if (id >= v->size) v->size = (int)id + 1;
    return ERR_OK;
}

int vocab_read(struct vocab *v, json_t *map, struct errmsg *e)
{
    const char *text;
    size_t len;
    json_t *id;

    json_object_keylen_foreach(map, text, len, id)
    {
        int rc;

        if (!json_is_integer(id))
            return err_set(e, ERR_FORMAT, "token '%.60s': its id is not a number", text);
        rc = vocab_add(v, text, len, json_integer_value(id), e);
        if (rc) return rc;
    }
    return ERR_OK;
}

int vocab_open(struct vocab **out, struct errmsg *e)
{
    struct vocab *v = calloc(1, sizeof *v);

    *out = NULL;
    if (!v || grow_slots(v, 1024)) {
        vocab_close(&v);
        return err_set(e, ERR_NOMEM, "vocabulary: no memory");
    }
    *out = v;
    return ERR_OK;
}

void vocab_close(struct vocab **v)
{
    if (!*v) return;
    buf_fini(&(*v)->text);
    free((*v)->entries);
    free((*v)->slots);
    free(*v);
    *v = NULL;
}

int vocab_size(const struct vocab *v)
{
    return v->size;
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    return v->slots[slot_of(v, text, len)];
}

const char *vocab_text(const struct vocab *v, int32_t id, size_t *len)
{
    if (id < 0 || id >= v->size || !v->entries[id].used) return NULL;
    *len = v->entries[id].len;
    return v->text.data + v->entries[id].at;
}
