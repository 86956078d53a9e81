/* vocab.c - token spellings and their ids. */
#include "model/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define MAX_ID      (1 << 23)
#define FIRST_SLOTS 1024 /* a power of two */

struct vocab {
    struct vocab_arrays a; /* open addressing, at most half full */
    struct buf text;       /* what a points at, empty in a view */
    struct vocab_entry *entries;
    size_t cap;
    int32_t *slots;
    size_t n;
};

static uint64_t hash_text(const char *s, size_t len)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static bool same(const struct vocab_arrays *a, int32_t id, const char *text, size_t len)
{
    const struct vocab_entry *x = &a->entries[id];

    return x->len == len && !memcmp(a->text + x->at, text, len);
}

/* The slot that holds this spelling, or the empty one where it belongs. */
static size_t slot_of(const struct vocab_arrays *a, const char *text, size_t len)
{
    size_t at = (size_t)hash_text(text, len) & (a->n_slots - 1);

    while (a->slots[at] >= 0 && !same(a, a->slots[at], text, len))
        at = (at + 1) & (a->n_slots - 1);
    return at;
}

static int grow_slots(struct vocab *v, size_t n_slots)
{
    int32_t *slots = malloc(n_slots * sizeof *slots);

    if (!slots) return ERR_NOMEM;
    memset(slots, 0xFF, n_slots * sizeof *slots);
    free(v->slots);
    v->a.slots = v->slots = slots;
    v->a.n_slots = n_slots;
    for (size_t id = 0; id < v->a.size; id++) {
        const struct vocab_entry *x = &v->entries[id];

        if (x->len) slots[slot_of(&v->a, v->a.text + x->at, x->len)] = (int32_t)id;
    }
    return ERR_OK;
}

static int grow_entries(struct vocab *v, size_t need)
{
    size_t cap = v->cap ? v->cap : 1024;
    struct vocab_entry *entries;

    while (cap < need)
        cap *= 2;
    if (cap == v->cap) return ERR_OK;
    entries = realloc(v->entries, cap * sizeof *entries);
    if (!entries) return ERR_NOMEM;
    memset(entries + v->cap, 0, (cap - v->cap) * sizeof *entries);
    v->a.entries = v->entries = entries;
    v->cap = cap;
    return ERR_OK;
}

/* Room for one more token of this id. */
static int make_room(struct vocab *v, size_t len, size_t id, struct errmsg *e)
{
    if (v->text.len + len > UINT32_MAX)
        return err_set(e, ERR_FORMAT, "vocabulary: more than %u bytes", UINT32_MAX);
    if (grow_entries(v, id + 1) ||
        ((v->n + 1) * 2 > v->a.n_slots && grow_slots(v, v->a.n_slots * 2)))
        return err_set(e, ERR_NOMEM, "vocabulary: no memory");
    return ERR_OK;
}

static int put(struct vocab *v, const char *text, size_t len, size_t id, struct errmsg *e)
{
    const struct vocab_entry x = {(uint32_t)v->text.len, (uint32_t)len};

    if (buf_add(&v->text, text, len)) return err_set(e, ERR_NOMEM, "vocabulary: no memory");
    v->a.text = v->text.data;
    v->a.text_len = v->text.len;
    v->entries[id] = x;
    if (id >= v->a.size) v->a.size = id + 1;
    if (!len) return ERR_OK;
    v->slots[slot_of(&v->a, text, len)] = (int32_t)id;
    v->n++;
    return ERR_OK;
}

int vocab_add(struct vocab *v, const char *text, size_t len, int64_t id, struct errmsg *e)
{
    int32_t old = vocab_find(v, text, len);
    int rc;

    if (id < 0 || id >= MAX_ID)
        return err_set(e, ERR_FORMAT, "token '%.*s': id %lld is not in [0, %d]",
                       VOCAB_SHOW(text, len), (long long)id, MAX_ID - 1);
    if (old == id) return ERR_OK;
    if (old >= 0)
        return err_set(e, ERR_FORMAT, "token '%.*s': has the ids %d and %lld",
                       VOCAB_SHOW(text, len), old, (long long)id);
    if ((size_t)id < v->a.size && v->a.entries[id].len)
        return err_set(e, ERR_FORMAT, "token '%.*s': id %lld is in use", VOCAB_SHOW(text, len),
                       (long long)id);
    if (!v->slots)
        return err_set(e, ERR_FORMAT, "token '%.*s': is not in the vocabulary's view",
                       VOCAB_SHOW(text, len));
    rc = make_room(v, len, (size_t)id, e);
    return rc ? rc : put(v, text, len, (size_t)id, e);
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
    if (!v || grow_slots(v, FIRST_SLOTS)) {
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
    return (int)v->a.size;
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    return v->a.slots[slot_of(&v->a, text, len)];
}

const char *vocab_text(const struct vocab *v, int32_t id, size_t *len)
{
    if (id < 0 || (size_t)id >= v->a.size || !v->a.entries[id].len) return NULL;
    *len = v->a.entries[id].len;
    return v->a.text + v->a.entries[id].at;
}

struct vocab_arrays vocab_arrays(const struct vocab *v)
{
    return v->a;
}

static int check_arrays(const struct vocab_arrays *a, struct errmsg *e)
{
    size_t n = 0;

    if (a->size > MAX_ID || !a->n_slots || a->n_slots & (a->n_slots - 1))
        return err_set(e, ERR_FORMAT, "vocabulary: %zu tokens in %zu slots", a->size, a->n_slots);
    for (size_t id = 0; id < a->size; id++)
        if (a->entries[id].at > a->text_len || a->entries[id].len > a->text_len - a->entries[id].at)
            return err_set(e, ERR_FORMAT, "vocabulary: token %zu lies outside", id);
    for (size_t i = 0; i < a->n_slots; i++) {
        if (a->slots[i] < -1 || a->slots[i] >= (int64_t)a->size)
            return err_set(e, ERR_FORMAT, "vocabulary: slot %zu holds id %d", i, a->slots[i]);
        n += a->slots[i] >= 0;
    }
    if (n == a->n_slots) return err_set(e, ERR_FORMAT, "vocabulary: no slot is free");
    return ERR_OK;
}

int vocab_view(struct vocab **out, const struct vocab_arrays *a, struct errmsg *e)
{
    int rc = check_arrays(a, e);

    *out = rc ? NULL : calloc(1, sizeof **out);
    if (rc) return rc;
    if (!*out) return err_set(e, ERR_NOMEM, "vocabulary: no memory");
    (*out)->a = *a;
    return ERR_OK;
}
