/* jinja_list.c - what filters do to lists. */
#include "model/jinja_list.h"

#include <stdlib.h>
#include <string.h>

#include "model/jinja_lookup.h"
#include "model/jinja_print.h"
#include "model/jinja_text.h"

/* One step of a path: a number where it is one. */
static struct value *step(struct run *r, struct value *v, const char *s, size_t len)
{
    struct value *key = run_text(r, s, len);

    if (!key) return NULL;
    if (len && len < 18 && strspn(key->text.s, "0123456789") == len)
        key = run_int(r, atoll(key->text.s));
    return key ? lookup_item(r, v, key) : NULL;
}

struct value *list_attribute(struct run *r, struct value *v, const struct value *path,
                             struct value *dflt)
{
    const char *s, *end;

    if (!path) return v;
    if (path->kind != VALUE_STR && path->kind != VALUE_INT)
        return run_fail(r, ERR_ARG, "an attribute is a str or an int");
    if (path->kind == VALUE_INT) {
        v = lookup_item(r, v, path);
        return v && v->kind == VALUE_UNDEFINED && dflt ? dflt : v;
    }
    s = path->text.s;
    end = s + path->text.len;
    for (const char *dot; v && s <= end; s = dot + 1) {
        dot = memchr(s, '.', (size_t)(end - s));
        if (!dot) dot = end;
        v = step(r, v, s, (size_t)(dot - s));
        if (v && v->kind == VALUE_UNDEFINED && dflt) v = dflt;
    }
    return v;
}

struct value *list_join(struct run *r, struct value *v, const struct value *sep,
                        const struct value *attribute)
{
    struct value *list = value_items(r, v);
    struct buf out = {0};

    for (size_t i = 0; list && i < list->list.n && run_work(r, 1); i++) {
        struct value *item = list_attribute(r, list->list.at[i], attribute, NULL);

        if (i && sep) value_print(r, sep, &out);
        if (!item || !value_print(r, item, &out)) break;
    }
    return run_buf(r, &out);
}

/* ---- order ---- */

/* What an item is ordered by. */
struct sorted {
    struct value *key, *item;
};

static struct value *fold(struct run *r, struct value *v, bool case_sensitive)
{
    return v && v->kind == VALUE_STR && !case_sensitive ? text_case(r, v, CASE_LOWER) : v;
}

/* a[lo, mid) and a[mid, hi) are in order: merges them, equals staying in their order. */
static bool merge(struct run *r, struct sorted *a, struct sorted *b, size_t lo, size_t mid,
                  size_t hi, bool reverse)
{
    size_t i = lo, k = mid, at = lo;
    int order;

    if (!run_work(r, hi - lo)) return false;
    while (i < mid || k < hi) {
        order = i == mid ? 1 : -1;
        if (i < mid && k < hi && !value_compare(r, a[i].key, a[k].key, &order)) return false;
        if (i < mid && k < hi && reverse) order = -order;
        b[at++] = order <= 0 ? a[i++] : a[k++];
    }
    memcpy(a + lo, b + lo, (hi - lo) * sizeof *a);
    return true;
}

static bool sort(struct run *r, struct sorted *a, size_t n, bool reverse)
{
    struct sorted *b = run_take(r, (n + 1) * sizeof *b);

    for (size_t width = 1; b && width < n; width *= 2)
        for (size_t lo = 0; lo + width < n; lo += 2 * width) {
            size_t hi = lo + 2 * width < n ? lo + 2 * width : n;

            if (!merge(r, a, b, lo, lo + width, hi, reverse)) return false;
        }
    return b != NULL;
}

static struct value *sort_by(struct run *r, struct sorted *a, size_t n, bool reverse)
{
    struct value *out = run_list(r, VALUE_LIST, n);

    if (!out || !sort(r, a, n, reverse)) return NULL;
    for (size_t i = 0; i < n; i++)
        out->list.at[i] = a[i].item;
    return out;
}

struct value *list_sort(struct run *r, struct value *v, const struct value *attribute,
                        bool case_sensitive, bool reverse)
{
    struct value *list = value_items(r, v);
    struct sorted *a = list ? run_take(r, (list->list.n + 1) * sizeof *a) : NULL;

    if (attribute && attribute->kind == VALUE_STR &&
        memchr(attribute->text.s, ',', attribute->text.len))
        return run_fail(r, ERR_UNSUPPORTED, "sort by several attributes");
    for (size_t i = 0; a && i < list->list.n; i++) {
        struct value *item = list->list.at[i];

        a[i] = (struct sorted){fold(r, list_attribute(r, item, attribute, NULL), case_sensitive),
                               item};
        if (!a[i].key) return NULL;
    }
    return a ? sort_by(r, a, list->list.n, reverse) : NULL;
}

struct value *list_dictsort(struct run *r, const struct value *v, bool by_value,
                            bool case_sensitive, bool reverse)
{
    struct sorted *a;

    if (v->kind != VALUE_DICT) return run_fail(r, ERR_ARG, "dictsort of %s", value_name(v));
    a = run_take(r, (v->dict->n + 1) * sizeof *a);
    for (size_t i = 0; a && i < v->dict->n; i++) {
        struct entry *e = &v->dict->at[i];

        a[i].item = run_pair(r, e->key, e->value);
        a[i].key = fold(r, by_value ? e->value : e->key, case_sensitive);
        if (!a[i].item || !a[i].key) return NULL;
    }
    return a ? sort_by(r, a, v->dict->n, reverse) : NULL;
}

struct value *list_unique(struct run *r, struct value *v, const struct value *attribute,
                          bool case_sensitive)
{
    struct value *list = value_items(r, v), *seen = run_dict(r, VALUE_DICT);
    struct items out = {0};

    for (size_t i = 0; list && seen && i < list->list.n && run_work(r, 1); i++) {
        struct value *item = list->list.at[i];
        struct value *key = fold(r, list_attribute(r, item, attribute, NULL), case_sensitive);

        if (!key) return NULL;
        if (dict_find(r, seen->dict, key)) continue;
        if (!dict_set(r, seen->dict, key, item) || !items_add(r, &out, item)) return NULL;
    }
    return run_items(r, VALUE_ITER, &out);
}

struct value *list_extreme(struct run *r, struct value *v, const struct value *attribute,
                           bool case_sensitive, bool greatest)
{
    struct value *list = value_items(r, v), *best = NULL, *best_key = NULL;
    int order;

    for (size_t i = 0; list && i < list->list.n && run_work(r, 1); i++) {
        struct value *item = list->list.at[i];
        struct value *key = fold(r, list_attribute(r, item, attribute, NULL), case_sensitive);

        if (!key || (best && !value_compare(r, key, best_key, &order))) return NULL;
        if (best && (greatest ? order <= 0 : order >= 0)) continue;
        best = item;
        best_key = key;
    }
    if (!list || r->rc) return NULL;
    return best ? best : run_undefined(r, "the least or greatest of nothing");
}

/* ---- rows ---- */

struct value *list_reverse(struct run *r, struct value *v, enum value_kind kind)
{
    struct value *list = value_items(r, v);
    struct value *out = list ? run_list(r, kind, list->list.n) : NULL;

    for (size_t i = 0; out && i < out->list.n; i++)
        out->list.at[i] = list->list.at[out->list.n - 1 - i];
    return out;
}

static bool add_row(struct run *r, struct items *rows, const struct value *list, size_t from,
                    size_t to, size_t fills, struct value *fill)
{
    struct items row = {0};

    while (from < to)
        if (!items_add(r, &row, list->list.at[from++])) return false;
    while (fills--)
        if (!items_add(r, &row, fill)) return false;
    return items_add(r, rows, run_items(r, VALUE_LIST, &row));
}

struct value *list_batch(struct run *r, struct value *v, int64_t n, struct value *fill)
{
    struct value *list = value_items(r, v);
    struct items rows = {0};
    size_t width = n > 0 ? (size_t)n : 0;

    if (!list) return NULL;
    if (!width) return run_fail(r, ERR_ARG, "rows of %lld", (long long)n);
    for (size_t i = 0; i < list->list.n; i += width) {
        size_t left = list->list.n - i, here = left < width ? left : width;

        if (!add_row(r, &rows, list, i, i + here, fill ? width - here : 0, fill)) return NULL;
        if (left <= width) break;
    }
    return run_items(r, VALUE_ITER, &rows);
}

struct value *list_slice(struct run *r, struct value *v, int64_t n, struct value *fill)
{
    struct value *list = value_items(r, v);
    struct items rows = {0};
    size_t size, more, at = 0;

    if (!list) return NULL;
    if (n <= 0) return run_fail(r, ERR_ARG, "%lld rows", (long long)n);
    size = list->list.n / (size_t)n;
    more = list->list.n % (size_t)n;
    for (size_t i = 0; i < (size_t)n && run_work(r, 1); i++) {
        size_t here = size + (i < more);

        if (!add_row(r, &rows, list, at, at + here, fill && i >= more, fill)) return NULL;
        at += here;
    }
    return run_items(r, VALUE_ITER, &rows);
}
