/* jinja_value.c - the values of a render. */
#include "model/jinja_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "model/jinja.h"

#define MAX_NESTING 64 /* of a value that is printed */

int run_init(struct run *r, struct errmsg *e)
{
    memset(r, 0, sizeof *r);
    r->e = e;
    r->undefined = run_keep(r, json_object());
    r->function = run_keep(r, json_object());
    return r->rc;
}

void run_release(struct run *r, size_t mark)
{
    /* the newest first: an outer list goes before its items, so no decref runs deep */
    while (r->n_kept > mark)
        json_decref(r->kept[--r->n_kept]);
}

void run_fini(struct run *r)
{
    run_release(r, 0);
    free(r->kept);
    memset(r, 0, sizeof *r);
}

json_t *run_fail(struct run *r, int rc, const char *fmt, ...)
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

json_t *run_keep(struct run *r, json_t *v)
{
    if (!v) return run_fail(r, ERR_NOMEM, "no memory");
    if (r->n_kept == r->kept_cap) {
        size_t cap = r->kept_cap ? r->kept_cap * 2 : 256;
        json_t **kept = realloc(r->kept, cap * sizeof(json_t *));

        if (!kept) {
            json_decref(v);
            return run_fail(r, ERR_NOMEM, "no memory");
        }
        r->kept = kept;
        r->kept_cap = cap;
    }
    r->kept[r->n_kept++] = v;
    return v;
}

json_t *run_bool(bool b)
{
    return b ? json_true() : json_false(); /* these two are never freed */
}

json_t *run_int(struct run *r, json_int_t n)
{
    return run_keep(r, json_integer(n));
}

json_t *run_text(struct run *r, const char *s, size_t len)
{
    r->bytes += len;
    if (r->bytes > JINJA_MAX_BYTES)
        return run_fail(r, ERR_FULL, "more than %zu bytes of text", JINJA_MAX_BYTES);
    return run_keep(r, json_stringn(s ? s : "", len));
}

json_t *run_buf(struct run *r, struct buf *b)
{
    json_t *v = b->failed ? run_fail(r, ERR_NOMEM, "no memory") : run_text(r, b->data, b->len);

    buf_fini(b);
    return v;
}

bool value_is_true(const struct run *r, const json_t *v)
{
    if (v == r->undefined) return false;
    if (v == r->function) return true;
    switch (json_typeof(v)) {
    case JSON_STRING: return json_string_length(v) > 0;
    case JSON_INTEGER: return json_integer_value(v) != 0;
    case JSON_REAL: return json_real_value(v) != 0;
    case JSON_ARRAY: return json_array_size(v) > 0;
    case JSON_OBJECT: return json_object_size(v) > 0;
    case JSON_TRUE: return true;
    case JSON_FALSE:
    case JSON_NULL: break;
    }
    return false;
}

/* A number, True and False counting as 1 and 0. */
static bool as_number(const json_t *v, double *out)
{
    if (json_is_boolean(v))
        *out = json_is_true(v);
    else if (json_is_number(v))
        *out = json_number_value(v);
    else
        return false;
    return true;
}

bool value_equal(const struct run *r, const json_t *a, const json_t *b)
{
    double x, y;

    if (a == r->undefined || b == r->undefined || a == r->function || b == r->function)
        return a == b;
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    if (as_number(a, &x) && as_number(b, &y)) return x == y;
    return json_equal(a, b);
}

int value_compare(struct run *r, const json_t *a, const json_t *b, int *order)
{
    double x, y;

    if (as_number(a, &x) && as_number(b, &y)) {
        *order = (x > y) - (x < y);
    } else if (json_is_string(a) && json_is_string(b)) {
        size_t n = json_string_length(a), m = json_string_length(b);
        int c = memcmp(json_string_value(a), json_string_value(b), n < m ? n : m);

        *order = c ? c : (n > m) - (n < m); /* UTF-8 sorts as its code points do */
    } else {
        run_fail(r, ERR_ARG, "%s and %s have no order", value_kind(r, a), value_kind(r, b));
    }
    return r->rc;
}

int value_contains(struct run *r, const json_t *in, const json_t *x, bool *found)
{
    *found = false;
    if (json_is_string(in) && json_is_string(x)) {
        *found = !json_string_length(x) || memmem(json_string_value(in), json_string_length(in),
                                                  json_string_value(x), json_string_length(x));
    } else if (json_is_array(in)) {
        for (size_t i = 0; i < json_array_size(in) && !*found; i++)
            *found = value_equal(r, json_array_get(in, i), x);
    } else if (json_is_object(in) && in != r->function) {
        *found = json_is_string(x) &&
                 json_object_getn(in, json_string_value(x), json_string_length(x)) != NULL;
    } else {
        run_fail(r, ERR_ARG, "'in' cannot look into %s", value_kind(r, in));
    }
    return r->rc;
}

const char *value_kind(const struct run *r, const json_t *v)
{
    if (v == r->undefined) return "what is undefined";
    if (v == r->function) return "a function";
    switch (json_typeof(v)) {
    case JSON_STRING: return "a str";
    case JSON_INTEGER: return "an int";
    case JSON_REAL: return "a float";
    case JSON_ARRAY: return "a list";
    case JSON_OBJECT: return "a dict";
    case JSON_TRUE:
    case JSON_FALSE: return "a bool";
    case JSON_NULL: break;
    }
    return "None";
}

/* The shortest digits that read back as the same number, as Python writes them. */
static int print_real(struct run *r, double x, struct buf *out)
{
    char text[40];

    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    if (!isfinite(x) || strchr(text, 'e')) {
        run_fail(r, ERR_UNSUPPORTED, "the number %s cannot be printed", text);
        return r->rc;
    }
    if (buf_printf(out, "%s%s", text, strchr(text, '.') ? "" : ".0"))
        run_fail(r, ERR_NOMEM, "no memory");
    return r->rc;
}

static bool is_printable(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

    return cp == ' ' || (c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS);
}

static void print_quoted_char(struct buf *out, const char *s, int n, uint32_t cp, char quote)
{
    if (cp == (uint32_t)quote || cp == '\\')
        buf_printf(out, "\\%c", (char)cp);
    else if (cp == '\n')
        buf_adds(out, "\\n");
    else if (cp == '\r')
        buf_adds(out, "\\r");
    else if (cp == '\t')
        buf_adds(out, "\\t");
    else if (is_printable(cp))
        buf_add(out, s, (size_t)n);
    else if (cp < 0x100)
        buf_printf(out, "\\x%02x", cp);
    else if (cp < 0x10000)
        buf_printf(out, "\\u%04x", cp);
    else
        buf_printf(out, "\\U%08x", cp);
}

/* A string as Python's repr writes it. */
static void print_quoted(struct buf *out, const char *s, size_t len)
{
    char quote = memchr(s, '\'', len) && !memchr(s, '"', len) ? '"' : '\'';
    uint32_t cp = 0;
    int n;

    buf_addc(out, quote);
    for (size_t at = 0; at < len && (n = utf8_next(s + at, len - at, &cp)) > 0; at += (size_t)n)
        print_quoted_char(out, s + at, n, cp, quote);
    buf_addc(out, quote);
}

static int print_repr(struct run *r, const json_t *v, int depth, struct buf *out);

static void print_dict(struct run *r, const json_t *v, int depth, struct buf *out)
{
    json_t *item;
    const char *key;
    size_t len, i = 0;

    buf_addc(out, '{');
    json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, item)
    {
        if (i++) buf_adds(out, ", ");
        print_quoted(out, key, len);
        buf_adds(out, ": ");
        print_repr(r, item, depth + 1, out);
    }
    buf_addc(out, '}');
}

static int print_repr(struct run *r, const json_t *v, int depth, struct buf *out)
{
    if (v == r->undefined || v == r->function || depth > MAX_NESTING) {
        run_fail(r, ERR_UNSUPPORTED, "printing %s in a list", value_kind(r, v));
    } else if (json_is_string(v)) {
        print_quoted(out, json_string_value(v), json_string_length(v));
    } else if (json_is_array(v)) {
        buf_addc(out, '[');
        for (size_t i = 0; i < json_array_size(v); i++) {
            if (i) buf_adds(out, ", ");
            print_repr(r, json_array_get(v, i), depth + 1, out);
        }
        buf_addc(out, ']');
    } else if (json_is_object(v)) {
        print_dict(r, v, depth, out);
    } else {
        value_print(r, v, out);
    }
    return r->rc;
}

int value_print(struct run *r, const json_t *v, struct buf *out)
{
    if (v == r->undefined) return r->rc;
    if (v == r->function)
        run_fail(r, ERR_UNSUPPORTED, "printing a function");
    else if (json_is_string(v))
        buf_add(out, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        buf_printf(out, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        print_real(r, json_real_value(v), out);
    else if (json_is_boolean(v))
        buf_adds(out, json_is_true(v) ? "True" : "False");
    else if (json_is_null(v))
        buf_adds(out, "None");
    else
        print_repr(r, v, 0, out);
    if (out->failed) run_fail(r, ERR_NOMEM, "no memory");
    if (out->len > JINJA_MAX_BYTES)
        run_fail(r, ERR_FULL, "more than %zu bytes of text", JINJA_MAX_BYTES);
    return r->rc;
}

static void json_text(struct buf *out, const char *s, size_t len)
{
    static const char FROM[] = "\"\\\n\r\t\f\b", TO[] = "\"\\nrtfb";

    buf_addc(out, '"');
    for (size_t i = 0; i < len; i++) {
        const char *p = s[i] ? strchr(FROM, s[i]) : NULL;

        if (p)
            buf_printf(out, "\\%c", TO[p - FROM]);
        else if ((unsigned char)s[i] < 0x20)
            buf_printf(out, "\\u%04x", (unsigned)(unsigned char)s[i]);
        else
            buf_addc(out, s[i]);
    }
    buf_addc(out, '"');
}

/* What stands between two items: a new line, or the separator's space. */
static void json_gap(struct buf *out, int indent, int depth, bool comma)
{
    if (comma) buf_addc(out, ',');
    if (indent < 0) {
        if (comma) buf_addc(out, ' ');
        return;
    }
    buf_addc(out, '\n');
    for (int i = 0; i < indent * depth; i++)
        buf_addc(out, ' ');
}

static int json_value(struct run *r, const json_t *v, int indent, int depth, struct buf *out);

static void json_list(struct run *r, const json_t *v, int indent, int depth, struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_gap(out, indent, depth + 1, i > 0);
        json_value(r, json_array_get(v, i), indent, depth + 1, out);
    }
    if (json_array_size(v)) json_gap(out, indent, depth, false);
    buf_addc(out, ']');
}

static void json_dict(struct run *r, const json_t *v, int indent, int depth, struct buf *out)
{
    json_t *item;
    const char *key;
    size_t len, i = 0;

    buf_addc(out, '{');
    json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, item)
    {
        json_gap(out, indent, depth + 1, i++ > 0);
        json_text(out, key, len);
        buf_adds(out, ": ");
        json_value(r, item, indent, depth + 1, out);
    }
    if (i) json_gap(out, indent, depth, false);
    buf_addc(out, '}');
}

static int json_value(struct run *r, const json_t *v, int indent, int depth, struct buf *out)
{
    if (v == r->undefined || v == r->function || depth > MAX_NESTING)
        run_fail(r, ERR_ARG, "tojson of %s", value_kind(r, v));
    else if (json_is_string(v))
        json_text(out, json_string_value(v), json_string_length(v));
    else if (json_is_array(v))
        json_list(r, v, indent, depth, out);
    else if (json_is_object(v))
        json_dict(r, v, indent, depth, out);
    else if (json_is_boolean(v))
        buf_adds(out, json_is_true(v) ? "true" : "false");
    else if (json_is_null(v))
        buf_adds(out, "null");
    else
        value_print(r, v, out);
    return r->rc;
}

int value_to_json(struct run *r, const json_t *v, int indent, struct buf *out)
{
    json_value(r, v, indent, 0, out);
    if (out->failed) run_fail(r, ERR_NOMEM, "no memory");
    return r->rc;
}

size_t text_count(const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

size_t text_offset(const char *s, size_t len, size_t nth)
{
    size_t at = 0;

    for (; nth && at < len; nth--) {
        at++;
        while (at < len && ((unsigned char)s[at] & 0xC0) == 0x80)
            at++;
    }
    return at;
}

bool text_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202F || cp == 0x205F || cp == 0x3000;
}
