/* jinja_lookup.c - v.name, v[key] and v[a:b:c]. */
#include "model/jinja_lookup.h"

#include <string.h>

#include "model/jinja_method.h"
#include "model/jinja_text.h"

/* A method of v as a value; NULL without a failure when v has none of that name. */
static struct value *method_of(struct run *r, struct value *v, const char *name)
{
    struct value *m = method_exists(v, name) ? run_undefined(r, name) : NULL;

    if (!m) return NULL;
    m->kind = VALUE_METHOD;
    m->name = name;
    m->of = v;
    return m;
}

static struct value *loop_attr(struct run *r, const struct loop *l, const char *name)
{
    size_t n = l->items->list.n, i = l->index;
    const struct {
        const char *name;
        size_t value;
    } NUMBERS[] = {{"index", i + 1},         {"index0", i}, {"revindex", n - i},
                   {"revindex0", n - i - 1}, {"length", n}, {"depth", l->depth + 1},
                   {"depth0", l->depth}};

    for (size_t k = 0; k < sizeof NUMBERS / sizeof NUMBERS[0]; k++)
        if (!strcmp(name, NUMBERS[k].name)) return run_int(r, (int64_t)NUMBERS[k].value);
    if (!strcmp(name, "first")) return run_bool(r, i == 0);
    if (!strcmp(name, "last")) return run_bool(r, i + 1 == n);
    if (!strcmp(name, "previtem") && i) return l->items->list.at[i - 1];
    if (!strcmp(name, "nextitem") && i + 1 < n) return l->items->list.at[i + 1];
    return run_undefined(r, name);
}

/* Names that Python's numbers have. */
static bool is_number_attr(const char *name)
{
    static const char *const NAMES[] = {
        "real",       "imag",      "numerator", "denominator",      "is_integer",
        "bit_length", "bit_count", "conjugate", "as_integer_ratio", "to_bytes",
        "from_bytes", "hex",       "fromhex"};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (!strcmp(name, NAMES[i])) return true;
    return false;
}

/* What the sandbox keeps to itself: __class__. */
static bool is_internal(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && !strncmp(name, "__", 2) && !strcmp(name + n - 2, "__");
}

struct value *lookup_attr(struct run *r, struct value *v, const char *name)
{
    struct value *x;

    if (v->kind == VALUE_UNDEFINED)
        return run_fail(r, ERR_ARG, "%s of what is undefined: %.*s", name, (int)v->text.len,
                        v->text.s);
    if (is_internal(name)) return run_undefined(r, name);
    if ((x = method_of(r, v, name)) || r->rc) return x;
    if (v->kind == VALUE_LOOP) return loop_attr(r, v->loop, name);
    if (v->kind == VALUE_CYCLER && !strcmp(name, "current"))
        return v->list.at[v->list.next % v->list.n];
    if (v->kind == VALUE_MACRO || (value_is_number(v) && is_number_attr(name)))
        return run_fail(r, ERR_UNSUPPORTED, "%s of %s is not known", name, value_name(v));
    if (v->kind == VALUE_DICT || v->kind == VALUE_NAMESPACE)
        if ((x = dict_get(r, v->dict, name)) || r->rc) return x;
    return run_undefined(r, name);
}

static struct value *item_at(struct run *r, struct value *v, int64_t i)
{
    size_t n;

    if (v->kind == VALUE_STR && v->flag)
        return run_fail(r, ERR_UNSUPPORTED, "a part of escaped text");
    value_length(v, &n);
    if (i < 0) i += (int64_t)n;
    if (i < 0 || i >= (int64_t)n) return run_undefined(r, "an item");
    if (v->kind == VALUE_STR) return text_slice(r, v, i, i + 1, 1);
    return v->list.at[i];
}

struct value *lookup_item(struct run *r, struct value *v, const struct value *key)
{
    struct value *x = NULL, *name;
    int64_t i;

    if (v->kind == VALUE_UNDEFINED)
        return run_fail(r, ERR_ARG, "an item of what is undefined: %.*s", (int)v->text.len,
                        v->text.s);
    if ((value_is_list(v) || v->kind == VALUE_STR) && value_int(key, &i)) return item_at(r, v, i);
    if (v->kind == VALUE_DICT) x = dict_find(r, v->dict, key);
    if (x || r->rc) return r->rc ? NULL : x;
    if (key->kind != VALUE_STR) return run_undefined(r, "an item");
    name = run_text(r, key->text.s, key->text.len);
    if (!name) return NULL;
    if (v->kind != VALUE_DICT) return lookup_attr(r, v, name->text.s);
    x = method_of(r, v, name->text.s);
    return x || r->rc ? x : run_undefined(r, name->text.s);
}

/* One bound, as Python limits it to [low, high]. */
static bool bound(struct run *r, const struct value *x, int64_t dflt, int64_t len, int64_t low,
                  int64_t high, int64_t *out)
{
    *out = dflt;
    if (!x || x->kind == VALUE_NONE) return true;
    if (!value_int(x, out)) {
        run_fail(r, ERR_ARG, "a slice with %s", value_name(x));
        return false;
    }
    if (*out < 0) *out += len;
    if (*out < low) *out = low;
    if (*out > high) *out = high;
    return true;
}

struct value *lookup_slice(struct run *r, struct value *v, const struct value *from,
                           const struct value *to, const struct value *step)
{
    struct items out = {0};
    int64_t len, a, b, by;
    size_t n;
    bool back;

    if (!value_is_list(v) && v->kind != VALUE_STR)
        return run_fail(r, ERR_ARG, "a slice of %s", value_name(v));
    if (v->kind == VALUE_STR && v->flag)
        return run_fail(r, ERR_UNSUPPORTED, "a part of escaped text");
    value_length(v, &n);
    len = (int64_t)n;
    if (!bound(r, step, 1, 0, INT64_MIN, INT64_MAX, &by)) return NULL;
    if (!by) return run_fail(r, ERR_ARG, "a slice whose step is 0");
    if (by > len + 1) by = len + 1; /* one step leaves the list, however long it is */
    if (by < -len - 1) by = -len - 1;
    back = by < 0;
    if (!bound(r, from, back ? len - 1 : 0, len, back ? -1 : 0, back ? len - 1 : len, &a) ||
        !bound(r, to, back ? -1 : len, len, back ? -1 : 0, back ? len - 1 : len, &b))
        return NULL;
    if (v->kind == VALUE_STR) return text_slice(r, v, a, b, by);
    for (; back ? a > b : a < b; a += by)
        if (!items_add(r, &out, v->list.at[a])) return NULL;
    return run_items(r, v->kind, &out);
}
