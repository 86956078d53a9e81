/* jinja_print.c - a value as text. */
#include "model/jinja_print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "model/jinja_eval.h"
#include "model/jinja_method.h"

static bool adds(struct run *r, struct buf *out, const char *s)
{
    return text_add(r, out, s, strlen(s));
}

/* A float as repr writes it: the shortest digits that read back as the same number; Python writes
 * an exponent below 1e-4 and from 1e16. */
static bool float_print(struct run *r, double f, struct buf *out)
{
    char text[40], digits[24];
    int precision = 0, exponent, n = 0;

    if (!isfinite(f)) return adds(r, out, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    do {
        snprintf(text, sizeof text, "%.*e", precision, f);
    } while (strtod(text, NULL) != f && ++precision <= 16);
    exponent = atoi(strchr(text, 'e') + 1);
    if (exponent >= -4 && exponent < 16) {
        int places = precision - exponent;

        snprintf(text, sizeof text, "%.*f", places < 1 ? 1 : places, f);
        return adds(r, out, text);
    }
    for (const char *p = text; *p != 'e'; p++)
        digits[n++] = *p;
    digits[n] = '\0';
    snprintf(text, sizeof text, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
    return adds(r, out, text);
}

static bool is_printable(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

    return cp == ' ' || (c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS);
}

static bool print_char(struct run *r, struct buf *out, const char *s, int n, uint32_t cp,
                       char quote)
{
    char text[16];

    if (cp == (uint32_t)quote || cp == '\\')
        snprintf(text, sizeof text, "\\%c", (char)cp);
    else if (cp == '\n' || cp == '\r' || cp == '\t')
        snprintf(text, sizeof text, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
    else if (is_printable(cp))
        return text_add(r, out, s, (size_t)n);
    else if (cp < 0x100)
        snprintf(text, sizeof text, "\\x%02x", cp);
    else
        snprintf(text, sizeof text, cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    return adds(r, out, text);
}

/* A string as Python's repr writes it. */
static bool print_quoted(struct run *r, struct buf *out, const char *s, size_t len)
{
    char quote = memchr(s, '\'', len) && !memchr(s, '"', len) ? '"' : '\'';
    uint32_t cp = 0;
    int n;

    text_add(r, out, &quote, 1);
    for (size_t at = 0; at < len && (n = utf8_next(s + at, len - at, &cp)) > 0; at += (size_t)n)
        if (!print_char(r, out, s + at, n, cp, quote)) return false;
    return text_add(r, out, &quote, 1);
}

static bool repr_items(struct run *r, const struct value *v, struct buf *out)
{
    for (size_t i = 0; i < v->list.n; i++) {
        if (i) adds(r, out, ", ");
        if (!value_repr(r, v->list.at[i], out)) return false;
    }
    return true;
}

static bool repr_dict(struct run *r, const struct dict *d, struct buf *out)
{
    adds(r, out, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) adds(r, out, ", ");
        if (!value_repr(r, d->at[i].key, out)) return false;
        adds(r, out, ": ");
        if (!value_repr(r, d->at[i].value, out)) return false;
    }
    return adds(r, out, "}");
}

static bool repr_list(struct run *r, const struct value *v, struct buf *out)
{
    if (v->kind == VALUE_VIEW) adds(r, out, v->name);
    if (v->kind == VALUE_VIEW) adds(r, out, "(");
    adds(r, out, v->kind == VALUE_TUPLE ? "(" : "[");
    repr_items(r, v, out);
    adds(r, out, v->kind != VALUE_TUPLE ? "]" : v->list.n == 1 ? ",)" : ")");
    if (v->kind == VALUE_VIEW) adds(r, out, ")");
    return !r->rc;
}

static bool print_odd(struct run *r, const struct value *v, struct buf *out)
{
    char text[96];

    if (v->kind == VALUE_LOOP) {
        snprintf(text, sizeof text, "<LoopContext %zu/%zu>", v->loop->index + 1,
                 v->loop->items->list.n);
        return adds(r, out, text);
    }
    if (v->kind == VALUE_MACRO) {
        adds(r, out, "<Macro ");
        value_repr(r,
                   &(struct value){.kind = VALUE_STR,
                                   .text = {v->macro->node->name, strlen(v->macro->node->name)}},
                   out);
        return adds(r, out, ">");
    }
    run_fail(r, ERR_UNSUPPORTED, "printing %s", value_name(v));
    return false;
}

bool value_repr(struct run *r, const struct value *v, struct buf *out)
{
    bool ok;

    if (!run_nest(r)) return false;
    switch (v->kind) {
    case VALUE_STR:
        if (v->flag) adds(r, out, "Markup(");
        ok = print_quoted(r, out, v->text.s, v->text.len);
        if (v->flag) adds(r, out, ")");
        break;
    case VALUE_UNDEFINED: ok = adds(r, out, "Undefined"); break;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: ok = repr_list(r, v, out); break;
    case VALUE_DICT: ok = repr_dict(r, v->dict, out); break;
    case VALUE_NAMESPACE:
        adds(r, out, "<Namespace ");
        repr_dict(r, v->dict, out);
        ok = adds(r, out, ">");
        break;
    default: ok = value_print(r, v, out);
    }
    r->nesting--;
    return ok && !r->rc;
}

bool value_print(struct run *r, const struct value *v, struct buf *out)
{
    char text[32];

    switch (v->kind) {
    case VALUE_UNDEFINED: return true;
    case VALUE_NONE: return adds(r, out, "None");
    case VALUE_BOOL: return adds(r, out, v->flag ? "True" : "False");
    case VALUE_INT: snprintf(text, sizeof text, "%lld", (long long)v->i); return adds(r, out, text);
    case VALUE_FLOAT: return float_print(r, v->f, out);
    case VALUE_STR: return text_add(r, out, v->text.s, v->text.len);
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW:
    case VALUE_DICT:
    case VALUE_NAMESPACE: return value_repr(r, v, out);
    default: return print_odd(r, v, out);
    }
}

struct value *value_str(struct run *r, struct value *v)
{
    struct buf out = {0};

    if (v->kind == VALUE_STR) return v;
    value_print(r, v, &out);
    return run_buf(r, &out);
}

/* ---- JSON ---- */

static bool json_escape(struct run *r, struct buf *out, uint32_t cp)
{
    char text[16];

    if (cp >= 0x10000)
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + ((cp - 0x10000) >> 10),
                 0xDC00 + ((cp - 0x10000) & 0x3FF));
    else
        snprintf(text, sizeof text, "\\u%04x", cp);
    return adds(r, out, text);
}

static bool json_text(struct run *r, const char *s, size_t len, bool ascii, struct buf *out)
{
    static const char FROM[] = "\"\\\n\r\t\f\b", TO[] = "\"\\nrtfb";
    uint32_t cp = 0;
    int n;

    text_add(r, out, "\"", 1);
    for (size_t at = 0; at < len && (n = utf8_next(s + at, len - at, &cp)) > 0; at += (size_t)n) {
        const char *p = cp && cp < 0x80 ? strchr(FROM, (int)cp) : NULL;
        bool ok;

        if (p)
            ok = text_add(r, out, (char[]){'\\', TO[p - FROM]}, 2);
        else if (cp < 0x20 || (ascii && cp >= 0x7F))
            ok = json_escape(r, out, cp);
        else
            ok = text_add(r, out, s + at, (size_t)n);
        if (!ok) return false;
    }
    return text_add(r, out, "\"", 1);
}

/* What stands before an item: a comma, and a new line or the separator's space. */
static bool json_gap(struct run *r, const struct json_style *style, bool comma, struct buf *out)
{
    int64_t blanks = style->indent * r->nesting;

    if (comma && style->item)
        text_add(r, out, style->item->text.s, style->item->text.len);
    else if (comma)
        adds(r, out, style->indent < 0 ? ", " : ",");
    if (style->indent < 0) return !r->rc;
    adds(r, out, "\n");
    for (int64_t i = 0; i < blanks && !r->rc; i++)
        adds(r, out, " ");
    return !r->rc;
}

static bool json_value(struct run *r, const struct value *v, const struct json_style *style,
                       struct buf *out);

static bool json_items(struct run *r, const struct value *v, const struct json_style *style,
                       struct buf *out)
{
    adds(r, out, "[");
    for (size_t i = 0; i < v->list.n; i++)
        if (!json_gap(r, style, i > 0, out) || !json_value(r, v->list.at[i], style, out))
            return false;
    r->nesting--;
    if (v->list.n) json_gap(r, style, false, out);
    r->nesting++;
    return adds(r, out, "]");
}

static bool json_key(struct run *r, const struct value *key, const struct json_style *style,
                     struct buf *out)
{
    bool quote = key->kind != VALUE_STR;

    if (quote && !value_is_number(key) && key->kind != VALUE_NONE) {
        run_fail(r, ERR_ARG, "tojson of a dict whose key is %s", value_name(key));
        return false;
    }
    if (quote) adds(r, out, "\"");
    json_value(r, key, style, out);
    if (quote) adds(r, out, "\"");
    if (style->key) return text_add(r, out, style->key->text.s, style->key->text.len);
    return adds(r, out, ": ");
}

/* The entries' order: their own, or by key. */
static const struct entry **json_order(struct run *r, const struct dict *d, bool sorted)
{
    const struct entry **at = run_take(r, (d->n + 1) * sizeof(struct entry *));
    int order;

    for (size_t i = 0; at && i < d->n; i++) {
        size_t k = i;

        for (; sorted && k && run_work(r, 1); k--) {
            if (!value_compare(r, at[k - 1]->key, d->at[i].key, &order)) return NULL;
            if (order <= 0) break;
            at[k] = at[k - 1];
        }
        at[k] = &d->at[i];
    }
    return r->rc ? NULL : at;
}

static bool json_dict(struct run *r, const struct dict *d, const struct json_style *style,
                      struct buf *out)
{
    const struct entry **at = json_order(r, d, style->sorted);

    adds(r, out, "{");
    for (size_t i = 0; at && i < d->n; i++)
        if (!json_gap(r, style, i > 0, out) || !json_key(r, at[i]->key, style, out) ||
            !json_value(r, at[i]->value, style, out))
            return false;
    r->nesting--;
    if (d->n) json_gap(r, style, false, out);
    r->nesting++;
    return adds(r, out, "}");
}

static bool json_value(struct run *r, const struct value *v, const struct json_style *style,
                       struct buf *out)
{
    if (!run_nest(r)) return false;
    switch (v->kind) {
    case VALUE_NONE: adds(r, out, "null"); break;
    case VALUE_BOOL: adds(r, out, v->flag ? "true" : "false"); break;
    case VALUE_STR: json_text(r, v->text.s, v->text.len, style->ascii, out); break;
    case VALUE_LIST:
    case VALUE_TUPLE: json_items(r, v, style, out); break;
    case VALUE_DICT: json_dict(r, v->dict, style, out); break;
    case VALUE_INT: value_print(r, v, out); break;
    case VALUE_FLOAT:
        if (isfinite(v->f))
            float_print(r, v->f, out);
        else
            adds(r, out, isnan(v->f) ? "NaN" : v->f < 0 ? "-Infinity" : "Infinity");
        break;
    default: run_fail(r, ERR_ARG, "tojson of %s", value_name(v));
    }
    r->nesting--;
    return !r->rc;
}

bool value_to_json(struct run *r, const struct value *v, const struct json_style *style,
                   struct buf *out)
{
    int outer = r->nesting;

    r->nesting = 0; /* it is the indent's depth too */
    json_value(r, v, style, out);
    r->nesting = outer;
    return !r->rc;
}
