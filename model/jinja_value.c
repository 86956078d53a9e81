/* jinja_value.c - the values of a render. */
#include "model/jinja_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/jinja.h"

#define CHUNK_BYTES ((size_t)32 << 10)

struct chunk {
    struct chunk *next;
    size_t used, cap;
    _Alignas(16) char bytes[];
};

void run_init(struct run *r, struct errmsg *e)
{
    memset(r, 0, sizeof *r);
    r->e = e;
}

void run_fini(struct run *r)
{
    while (r->chunks) {
        struct chunk *c = r->chunks;

        r->chunks = c->next;
        free(c);
    }
    memset(r, 0, sizeof *r);
}

void *run_fail(struct run *r, int rc, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    if (r->rc) return NULL;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->rc = err_set(r->e, rc, "template line %d: %s", r->line, text);
    return NULL;
}

bool run_work(struct run *r, size_t n)
{
    r->steps += n;
    if (r->steps > JINJA_MAX_STEPS) run_fail(r, ERR_FULL, "more than %d steps", JINJA_MAX_STEPS);
    return !r->rc;
}

bool run_nest(struct run *r)
{
    if (++r->nesting > JINJA_MAX_NESTING)
        run_fail(r, ERR_FULL, "a value nested deeper than %d", JINJA_MAX_NESTING);
    return run_work(r, 1);
}

static bool count_bytes(struct run *r, size_t n)
{
    if (n <= JINJA_MAX_BYTES - r->bytes) {
        r->bytes += n;
        return true;
    }
    run_fail(r, ERR_FULL, "more than %zu bytes of text and values", JINJA_MAX_BYTES);
    return false;
}

void *run_take(struct run *r, size_t n)
{
    struct chunk *c = r->chunks;
    size_t cap;

    if (!count_bytes(r, n)) return NULL;
    n = (n + 15) & ~(size_t)15;
    if (!c || n > c->cap - c->used) {
        cap = n > CHUNK_BYTES / 4 ? n : CHUNK_BYTES;
        c = malloc(sizeof *c + cap);
        if (!c) return run_fail(r, ERR_NOMEM, "no memory");
        c->used = 0;
        c->cap = cap;
        if (cap == n && r->chunks) { /* a large one: the chunk under way stays first */
            c->next = r->chunks->next;
            r->chunks->next = c;
        } else {
            c->next = r->chunks;
            r->chunks = c;
        }
    }
    c->used += n;
    return c->bytes + c->used - n;
}

/* ---- making ---- */

static struct value *make(struct run *r, enum value_kind kind)
{
    struct value *v = run_take(r, sizeof *v);

    if (!v) return NULL;
    memset(v, 0, sizeof *v);
    v->kind = kind;
    return v;
}

struct value *run_undefined(struct run *r, const char *name)
{
    struct value *v = make(r, VALUE_UNDEFINED);

    if (v) v->text.s = name;
    if (v) v->text.len = strlen(name);
    return v;
}

struct value *run_none(struct run *r)
{
    return make(r, VALUE_NONE);
}

struct value *run_bool(struct run *r, bool b)
{
    struct value *v = make(r, VALUE_BOOL);

    if (v) v->flag = b;
    return v;
}

struct value *run_int(struct run *r, int64_t i)
{
    struct value *v = make(r, VALUE_INT);

    if (v) v->i = i;
    return v;
}

struct value *run_float(struct run *r, double f)
{
    struct value *v = make(r, VALUE_FLOAT);

    if (v) v->f = f;
    return v;
}

struct value *run_view(struct run *r, const char *s, size_t len)
{
    struct value *v = make(r, VALUE_STR);

    if (v) v->text.s = s ? s : "";
    if (v) v->text.len = len;
    return v;
}

struct value *run_text(struct run *r, const char *s, size_t len)
{
    char *copy = run_take(r, len + 1);

    if (!copy || !run_work(r, len / 1024)) return NULL;
    if (len) memcpy(copy, s, len);
    copy[len] = '\0';
    return run_view(r, copy, len);
}

struct value *run_buf(struct run *r, struct buf *b)
{
    struct value *v =
        b->failed ? run_fail(r, ERR_NOMEM, "no memory") : run_text(r, b->data, b->len);

    buf_fini(b);
    return r->rc ? NULL : v;
}

struct value *run_list(struct run *r, enum value_kind kind, size_t n)
{
    struct value *v = make(r, kind);

    if (!v || !run_work(r, n / 16)) return NULL;
    v->list.at = run_take(r, (n ? n : 1) * sizeof *v->list.at);
    v->list.n = n;
    return v->list.at ? v : NULL;
}

struct value *run_pair(struct run *r, struct value *a, struct value *b)
{
    struct value *v = a && b ? run_list(r, VALUE_TUPLE, 2) : NULL;

    if (!v) return NULL;
    v->list.at[0] = a;
    v->list.at[1] = b;
    return v;
}

static struct value *json_list(struct run *r, const json_t *j)
{
    struct value *v = run_list(r, VALUE_LIST, json_array_size(j));

    for (size_t i = 0; v && i < v->list.n; i++)
        if (!(v->list.at[i] = run_json(r, json_array_get(j, i)))) return NULL;
    return v;
}

static struct value *json_dict(struct run *r, const json_t *j)
{
    struct value *v = run_dict(r, VALUE_DICT);
    const char *key;
    json_t *item;
    size_t len;

    if (!v) return NULL;
    json_object_keylen_foreach((json_t *)(uintptr_t)j, key, len, item)
    {
        struct value *x = run_json(r, item);

        if (!x || !dict_set(r, v->dict, run_view(r, key, len), x)) return NULL;
    }
    return v;
}

struct value *run_json(struct run *r, const json_t *j)
{
    struct value *v = NULL;

    if (!run_nest(r)) return NULL;
    switch (json_typeof(j)) {
    case JSON_STRING: v = run_view(r, json_string_value(j), json_string_length(j)); break;
    case JSON_INTEGER: v = run_int(r, json_integer_value(j)); break;
    case JSON_REAL: v = run_float(r, json_real_value(j)); break;
    case JSON_ARRAY: v = json_list(r, j); break;
    case JSON_OBJECT: v = json_dict(r, j); break;
    case JSON_TRUE:
    case JSON_FALSE: v = run_bool(r, json_is_true(j)); break;
    case JSON_NULL: v = run_none(r); break;
    }
    r->nesting--;
    return v;
}

bool text_add(struct run *r, struct buf *out, const char *s, size_t len)
{
    if (!count_bytes(r, len) || !run_work(r, len / 1024)) return false;
    if (buf_add(out, s, len)) run_fail(r, ERR_NOMEM, "no memory");
    return !r->rc;
}

bool items_add(struct run *r, struct items *list, struct value *v)
{
    if (!v || r->rc) return false;
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 8;
        struct value **at = run_take(r, cap * sizeof *at);

        if (!at) return false;
        if (list->n) memcpy(at, list->at, list->n * sizeof *at);
        list->at = at;
        list->cap = cap;
    }
    list->at[list->n++] = v;
    return true;
}

struct value *run_items(struct run *r, enum value_kind kind, const struct items *list)
{
    struct value *v = r->rc ? NULL : make(r, kind);

    if (!v) return NULL;
    v->list.at = list->at;
    v->list.n = list->n;
    return v;
}

/* ---- asking ---- */

bool value_is_list(const struct value *v)
{
    return v->kind == VALUE_LIST || v->kind == VALUE_TUPLE || v->kind == VALUE_RANGE;
}

bool value_is_number(const struct value *v)
{
    return v->kind == VALUE_INT || v->kind == VALUE_FLOAT || v->kind == VALUE_BOOL;
}

double value_number(const struct value *v)
{
    if (v->kind == VALUE_FLOAT) return v->f;
    return v->kind == VALUE_BOOL ? (double)v->flag : (double)v->i;
}

bool value_int(const struct value *v, int64_t *out)
{
    if (v->kind == VALUE_INT) *out = v->i;
    if (v->kind == VALUE_BOOL) *out = v->flag;
    return v->kind == VALUE_INT || v->kind == VALUE_BOOL;
}

bool value_is(const struct value *v, const char *text)
{
    return v->kind == VALUE_STR && v->text.len == strlen(text) &&
           !memcmp(v->text.s, text, v->text.len);
}

bool value_is_true(const struct value *v)
{
    size_t n;

    switch (v->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: return false;
    case VALUE_BOOL: return v->flag;
    case VALUE_INT: return v->i != 0;
    case VALUE_FLOAT: return v->f < 0 || v->f > 0 || v->f != v->f;
    default: return !value_length(v, &n) || n > 0;
    }
}

static bool equal_lists(struct run *r, const struct value *a, const struct value *b)
{
    bool equal = a->list.n == b->list.n;

    for (size_t i = 0; equal && i < a->list.n; i++)
        equal = value_equal(r, a->list.at[i], b->list.at[i]);
    return equal;
}

static bool equal_dicts(struct run *r, const struct dict *a, const struct dict *b)
{
    bool equal = a->n == b->n;

    for (size_t i = 0; equal && i < a->n; i++) {
        struct value *v = dict_find(r, b, a->at[i].key);

        equal = v && value_equal(r, a->at[i].value, v);
    }
    return equal;
}

static bool equal_deep(struct run *r, const struct value *a, const struct value *b)
{
    bool equal = a == b;

    if (equal || a->kind != b->kind || !run_nest(r)) return equal;
    switch (a->kind) {
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE: equal = equal_lists(r, a, b); break;
    case VALUE_DICT: equal = equal_dicts(r, a->dict, b->dict); break;
    default: break;
    }
    r->nesting--;
    return equal && !r->rc;
}

bool value_equal(struct run *r, const struct value *a, const struct value *b)
{
    int64_t x, y;

    if (value_int(a, &x) && value_int(b, &y)) return x == y;
    if (value_is_number(a) && value_is_number(b))
        return !(value_number(a) < value_number(b)) && value_number(a) <= value_number(b);
    if (a->kind == VALUE_STR && b->kind == VALUE_STR) {
        run_work(r, a->text.len / 1024);
        return a->text.len == b->text.len && !memcmp(a->text.s, b->text.s, a->text.len);
    }
    if (a->kind == b->kind && (a->kind == VALUE_UNDEFINED || a->kind == VALUE_NONE)) return true;
    return equal_deep(r, a, b);
}

static int order_of_texts(struct run *r, const struct value *a, const struct value *b)
{
    size_t n = a->text.len, m = b->text.len;
    int c = memcmp(a->text.s, b->text.s, n < m ? n : m);

    run_work(r, n / 1024);
    return c ? (c > 0) - (c < 0) : (n > m) - (n < m); /* UTF-8 sorts as its code points do */
}

static bool compare_lists(struct run *r, const struct value *a, const struct value *b, int *order)
{
    size_t n = a->list.n, m = b->list.n, i = 0;

    if (!run_nest(r)) return false;
    while (i < n && i < m && value_equal(r, a->list.at[i], b->list.at[i]))
        i++;
    if (i < n && i < m)
        value_compare(r, a->list.at[i], b->list.at[i], order);
    else
        *order = (n > m) - (n < m);
    r->nesting--;
    return !r->rc;
}

bool value_compare(struct run *r, const struct value *a, const struct value *b, int *order)
{
    int64_t x, y;

    *order = 0;
    if (value_int(a, &x) && value_int(b, &y)) {
        *order = (x > y) - (x < y);
    } else if (value_is_number(a) && value_is_number(b)) {
        *order = (value_number(a) > value_number(b)) - (value_number(a) < value_number(b));
    } else if (a->kind == VALUE_STR && b->kind == VALUE_STR) {
        *order = order_of_texts(r, a, b);
    } else if (a->kind == b->kind && (a->kind == VALUE_LIST || a->kind == VALUE_TUPLE)) {
        return compare_lists(r, a, b, order);
    } else {
        run_fail(r, ERR_ARG, "%s and %s have no order", value_name(a), value_name(b));
    }
    return !r->rc;
}

struct value *value_contains(struct run *r, struct value *in, const struct value *x)
{
    bool found = false;

    if (in->kind == VALUE_STR && x->kind == VALUE_STR) {
        if (!run_work(r, in->text.len / 1024)) return NULL;
        return run_bool(r, !x->text.len ||
                               memmem(in->text.s, in->text.len, x->text.s, x->text.len) != NULL);
    }
    if (in->kind == VALUE_DICT) return run_bool(r, dict_find(r, in->dict, x) != NULL);
    if (in->kind == VALUE_STR || !(in = value_items(r, in)))
        return run_fail(r, ERR_ARG, "'in' cannot look into that for %s", value_name(x));
    for (size_t i = 0; i < in->list.n && !found && run_work(r, 1); i++)
        found = value_equal(r, in->list.at[i], x);
    return r->rc ? NULL : run_bool(r, found);
}

static struct value *characters(struct run *r, const struct value *v)
{
    struct items list = {0};

    for (size_t at = 0, len = v->text.len; at < len;) {
        int n = utf8_next(v->text.s + at, len - at, NULL);

        if (!items_add(r, &list, run_view(r, v->text.s + at, (size_t)n))) return NULL;
        at += (size_t)n;
    }
    return run_items(r, VALUE_LIST, &list);
}

struct value *value_items(struct run *r, struct value *v)
{
    struct items rest = {0};

    switch (v->kind) {
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
    case VALUE_VIEW: return v;
    case VALUE_UNDEFINED: return run_list(r, VALUE_LIST, 0);
    case VALUE_DICT: return dict_list(r, v->dict, VALUE_LIST, true, false);
    case VALUE_STR: return characters(r, v);
    case VALUE_ITER:
        rest.at = v->list.at + v->list.next;
        rest.n = v->list.n - v->list.next;
        v->list.next = v->list.n;
        return run_items(r, VALUE_LIST, &rest);
    default: return run_fail(r, ERR_ARG, "%s is no list", value_name(v));
    }
}

bool value_length(const struct value *v, size_t *n)
{
    *n = 0;
    switch (v->kind) {
    case VALUE_UNDEFINED: return true;
    case VALUE_STR:
        for (size_t i = 0; i < v->text.len; i++)
            *n += ((unsigned char)v->text.s[i] & 0xC0) != 0x80;
        return true;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
    case VALUE_VIEW: *n = v->list.n; return true;
    case VALUE_DICT: *n = v->dict->n; return true;
    default: return false;
    }
}

const char *value_name(const struct value *v)
{
    static const char *const NAMES[] = {
        [VALUE_UNDEFINED] = "what is undefined",
        [VALUE_NONE] = "None",
        [VALUE_BOOL] = "a bool",
        [VALUE_INT] = "an int",
        [VALUE_FLOAT] = "a float",
        [VALUE_STR] = "a str",
        [VALUE_LIST] = "a list",
        [VALUE_TUPLE] = "a tuple",
        [VALUE_RANGE] = "a range",
        [VALUE_VIEW] = "a dict's view",
        [VALUE_ITER] = "a generator",
        [VALUE_DICT] = "a dict",
        [VALUE_NAMESPACE] = "a namespace",
        [VALUE_FUNCTION] = "a function",
        [VALUE_METHOD] = "a method",
        [VALUE_MACRO] = "a macro",
        [VALUE_LOOP] = "a loop",
        [VALUE_CYCLER] = "a cycler",
        [VALUE_JOINER] = "a joiner",
    };

    return NAMES[v->kind];
}
