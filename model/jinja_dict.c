/* jinja_dict.c - a render's dicts: entries in order, and an index once there are many. */
#include <string.h>

#include "base/hash.h"
#include "model/jinja_value.h"

#define FEW 8 /* entries that are searched one by one */

struct value *run_dict(struct run *r, enum value_kind kind)
{
    struct value *v = run_list(r, kind, 0);
    struct dict *d = v ? run_take(r, sizeof *d) : NULL;

    if (!d) return NULL;
    memset(d, 0, sizeof *d);
    v->dict = d;
    return v;
}

/* Equal values have equal hashes, whatever number they are. */
static bool hash_of(struct run *r, const struct value *v, uint64_t *out)
{
    double f;
    uint64_t part;

    *out = (uint64_t)v->kind;
    switch (v->kind) {
    case VALUE_STR: *out = hash64(v->text.s, v->text.len); return run_work(r, v->text.len / 1024);
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
        f = value_number(v) + 0.0; /* -0.0 is 0 */
        *out = hash64(&f, sizeof f);
        return true;
    case VALUE_TUPLE:
        if (!run_nest(r)) return false;
        for (size_t i = 0; i < v->list.n; i++) {
            if (!hash_of(r, v->list.at[i], &part)) return false;
            *out = *out * 31 + part;
        }
        r->nesting--;
        return true;
    case VALUE_UNDEFINED:
    case VALUE_NONE: return true;
    default: run_fail(r, ERR_ARG, "%s cannot be a key", value_name(v)); return false;
    }
}

static struct entry *find(struct run *r, const struct dict *d, const struct value *key,
                          uint64_t hash)
{
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++)
            if (d->at[i].hash == hash && value_equal(r, d->at[i].key, key)) return &d->at[i];
        return NULL;
    }
    for (size_t k = hash % d->n_slots; d->slots[k] && run_work(r, 1); k = (k + 1) % d->n_slots) {
        struct entry *e = &d->at[d->slots[k] - 1];

        if (e->hash == hash && value_equal(r, e->key, key)) return e;
    }
    return NULL;
}

static void index_entry(struct dict *d, size_t i)
{
    size_t k = d->at[i].hash % d->n_slots;

    while (d->slots[k])
        k = (k + 1) % d->n_slots;
    d->slots[k] = (uint32_t)(i + 1);
}

static bool grow(struct run *r, struct dict *d)
{
    size_t cap = d->cap ? d->cap * 2 : 4;
    struct entry *at = run_take(r, cap * sizeof *at);

    if (!at) return false;
    if (d->n) memcpy(at, d->at, d->n * sizeof *at);
    d->at = at;
    d->cap = cap;
    if (cap <= FEW) return true;
    d->n_slots = cap * 2;
    d->slots = run_take(r, d->n_slots * sizeof *d->slots);
    if (!d->slots) return false;
    memset(d->slots, 0, d->n_slots * sizeof *d->slots);
    for (size_t i = 0; i < d->n; i++)
        index_entry(d, i);
    return true;
}

bool dict_set(struct run *r, struct dict *d, struct value *key, struct value *v)
{
    struct entry *e;
    uint64_t hash;

    if (!key || !v || !hash_of(r, key, &hash)) return false;
    if ((e = find(r, d, key, hash))) {
        e->value = v;
        return true;
    }
    if (r->rc || (d->n == d->cap && !grow(r, d))) return false;
    d->at[d->n++] = (struct entry){key, v, hash};
    if (d->slots) index_entry(d, d->n - 1);
    return true;
}

bool dict_put(struct run *r, struct dict *d, const char *name, struct value *v)
{
    return dict_set(r, d, run_view(r, name, strlen(name)), v);
}

struct value *dict_find(struct run *r, const struct dict *d, const struct value *key)
{
    struct entry *e;
    uint64_t hash;

    if (!hash_of(r, key, &hash)) return NULL;
    e = find(r, d, key, hash);
    return e ? e->value : NULL;
}

struct value *dict_get(struct run *r, const struct dict *d, const char *name)
{
    struct value key = {.kind = VALUE_STR, .text = {name, strlen(name)}};

    return dict_find(r, d, &key);
}

struct value *dict_list(struct run *r, const struct dict *d, enum value_kind kind, bool keys,
                        bool values)
{
    struct value *list = run_list(r, kind, d->n);

    for (size_t i = 0; list && i < d->n; i++) {
        struct entry *e = &d->at[i];
        struct value *v = keys && values ? run_pair(r, e->key, e->value) : keys ? e->key : e->value;

        if (!v) return NULL;
        list->list.at[i] = v;
    }
    if (list && kind == VALUE_VIEW)
        list->name = keys && values ? "dict_items" : keys ? "dict_keys" : "dict_values";
    return list;
}
