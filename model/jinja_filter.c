/* jinja_filter.c - filters. */
#include "model/jinja_filter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "model/jinja_arith.h"
#include "model/jinja_format.h"
#include "model/jinja_list.h"
#include "model/jinja_lookup.h"
#include "model/jinja_method.h"
#include "model/jinja_print.h"
#include "model/jinja_text.h"

/* An argument that is there and not none. */
static struct value *given(const struct args *a, int k)
{
    return a->at[k] && a->at[k]->kind != VALUE_NONE ? a->at[k] : NULL;
}

/* ---- text ---- */

static struct value *do_trim(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *set = given(a, 0);

    if (set && set->kind != VALUE_STR) return run_fail(r, ERR_ARG, "trim of %s", value_name(set));
    return text ? text_strip(r, text, set, TEXT_LEFT | TEXT_RIGHT) : NULL;
}

static struct value *in_case(struct run *r, struct value *v, enum letter_case want)
{
    struct value *text = value_str(r, v);

    return text ? text_case(r, text, want) : NULL;
}

static struct value *do_upper(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, CASE_UPPER);
}

static struct value *do_lower(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, CASE_LOWER);
}

static struct value *do_capitalize(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, CASE_CAPITALIZE);
}

static bool begins_word(uint32_t cp)
{
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || text_is_space(cp);
}

/* Behind a blank, a hyphen or a bracket the first letter is upper case, the others are lower. */
static struct value *do_title(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *part;
    struct buf out = {0};
    size_t end;
    uint32_t cp = 0;

    (void)a;
    for (size_t at = 0; text && at < text->text.len && !r->rc; at = end) {
        bool first = true, between;

        end = at + (size_t)utf8_next(text->text.s + at, text->text.len - at, &cp);
        between = begins_word(cp);
        first = !between && (!at || begins_word((unsigned char)text->text.s[at - 1]));
        while (!first && end < text->text.len) {
            int n = utf8_next(text->text.s + end, text->text.len - end, &cp);

            if (begins_word(cp) != between) break;
            end += (size_t)n;
        }
        part = run_view(r, text->text.s + at, end - at);
        part = part ? text_case(r, part, first ? CASE_UPPER : CASE_LOWER) : NULL;
        if (part) text_add(r, &out, part->text.s, part->text.len);
    }
    return run_buf(r, &out);
}

static struct value *do_string(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return value_str(r, v);
}

static struct value *do_safe(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);

    (void)a;
    text = text ? run_view(r, text->text.s, text->text.len) : NULL;
    if (text) text->flag = true;
    return text;
}

static struct value *do_escape(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);

    (void)a;
    return text ? text_escape(r, text) : NULL;
}

static struct value *do_forceescape(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);

    (void)a;
    text = text ? run_view(r, text->text.s, text->text.len) : NULL;
    return text ? text_escape(r, text) : NULL;
}

static struct value *do_replace(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *from, *to, *count = given(a, 2);
    int64_t n = -1;

    if (!a->at[0] || !a->at[1]) return run_fail(r, ERR_ARG, "replace wants two strs");
    from = value_str(r, a->at[0]);
    to = value_str(r, a->at[1]);
    if (count && !args_int(r, a, 2, -1, &n)) return NULL;
    return text && from && to ? text_replace(r, text, from, to, n) : NULL;
}

static struct value *do_format(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *x;

    if (a->n && a->n_named) return run_fail(r, ERR_ARG, "format takes values or names, not both");
    x = a->n_named ? run_dict(r, VALUE_DICT) : run_list(r, VALUE_TUPLE, (size_t)a->n);
    for (int i = 0; x && i < a->n; i++)
        x->list.at[i] = a->at[i];
    for (int i = 0; x && i < a->n_named; i++)
        if (!dict_put(r, x->dict, a->name[i], a->named[i])) return NULL;
    return text && x ? format_percent(r, text, x) : NULL;
}

static struct value *do_center(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *blank = run_view(r, " ", 1);
    int64_t width;

    if (!text || !blank || !args_int(r, a, 0, 80, &width)) return NULL;
    return text_pad(r, text, width, blank, TEXT_LEFT | TEXT_RIGHT);
}

/* What stands before an indented line. */
static struct value *indention(struct run *r, const struct args *a)
{
    struct value *blank = run_view(r, " ", 1);
    int64_t width;

    if (a->at[0] && a->at[0]->kind == VALUE_STR) return a->at[0];
    return blank && args_int(r, a, 0, 4, &width) ? text_repeat(r, blank, width) : NULL;
}

static struct value *do_indent(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *by = indention(r, a), *lines;
    bool first = args_true(a, 1, false), blank = args_true(a, 2, false);
    struct buf out = {0};

    if (!text || !by) return NULL;
    text = text_concat(r, text, &(struct value){.kind = VALUE_STR, .text = {"\n", 1}});
    lines = text ? text_lines(r, text, false) : NULL;
    for (size_t i = 0; lines && i < lines->list.n && !r->rc; i++) {
        const struct value *line = lines->list.at[i];

        if (i) text_add(r, &out, "\n", 1);
        if (i ? blank || line->text.len : first) text_add(r, &out, by->text.s, by->text.len);
        text_add(r, &out, line->text.s, line->text.len);
    }
    return run_buf(r, &out);
}

static struct value *do_truncate(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *end, *head, *blank = run_view(r, " ", 1);
    int64_t length, leeway;
    size_t n, n_end;

    if (!text || !blank || !args_int(r, a, 0, 255, &length) || !args_int(r, a, 3, 5, &leeway) ||
        !args_text(r, a, 2, run_view(r, "...", 3), &end))
        return NULL;
    value_length(text, &n);
    value_length(end, &n_end);
    if ((int64_t)n_end > length || leeway < 0)
        return run_fail(r, ERR_ARG, "truncate to %lld characters", (long long)length);
    if ((int64_t)n <= length + leeway) return text;
    head = text_slice(r, text, 0, length - (int64_t)n_end, 1);
    if (head && !args_true(a, 1, false)) {
        head = text_split(r, head, blank, 1, true);
        if (head) head = head->list.at[0];
    }
    return head ? text_concat(r, head, end) : NULL;
}

static struct value *do_wordcount(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);
    int64_t n = 0;
    bool inside = false;
    uint32_t cp = 0;

    (void)a;
    if (!text || !run_work(r, text->text.len / 64)) return NULL;
    for (size_t at = 0; at < text->text.len;) {
        utf8proc_category_t c;
        bool word;

        at += (size_t)utf8_next(text->text.s + at, text->text.len - at, &cp);
        c = utf8proc_category((utf8proc_int32_t)cp);
        word = cp == '_' || (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) ||
               (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
        n += word && !inside;
        inside = word;
    }
    return run_int(r, n);
}

/* ---- any value ---- */

static struct value *do_length(struct run *r, struct value *v, const struct args *a)
{
    size_t n;

    (void)a;
    if (!value_length(v, &n)) return run_fail(r, ERR_ARG, "%s has no length", value_name(v));
    return run_work(r, v->kind == VALUE_STR ? v->text.len / 256 : 0) ? run_int(r, (int64_t)n)
                                                                     : NULL;
}

static struct value *do_default(struct run *r, struct value *v, const struct args *a)
{
    if (v->kind != VALUE_UNDEFINED && (!args_true(a, 1, false) || value_is_true(v))) return v;
    return a->at[0] ? a->at[0] : run_view(r, "", 0);
}

static struct value *do_attr(struct run *r, struct value *v, const struct args *a)
{
    struct value *name;

    if (!args_text(r, a, 0, NULL, &name)) return NULL;
    name = run_text(r, name->text.s, name->text.len);
    if (!name) return NULL;
    if (v->kind == VALUE_DICT && !method_exists(v, name->text.s))
        return run_undefined(r, name->text.s); /* no keys here */
    return lookup_attr(r, v, name->text.s);
}

static bool json_separators(struct run *r, const struct value *v, struct json_style *style)
{
    if (!v || v->kind == VALUE_NONE) return true;
    if ((v->kind != VALUE_TUPLE && v->kind != VALUE_LIST) || v->list.n != 2 ||
        v->list.at[0]->kind != VALUE_STR || v->list.at[1]->kind != VALUE_STR) {
        run_fail(r, ERR_ARG, "tojson's separators are two strs");
        return false;
    }
    style->item = v->list.at[0];
    style->key = v->list.at[1];
    return true;
}

static struct value *do_tojson(struct run *r, struct value *v, const struct args *a)
{
    struct json_style style = {
        .indent = -1, .ascii = args_true(a, 0, false), .sorted = args_true(a, 3, false)};
    struct buf out = {0};

    if (given(a, 1) && !args_int(r, a, 1, -1, &style.indent)) return NULL;
    if (given(a, 1) && (style.indent < 0 || style.indent > 100))
        return run_fail(r, ERR_UNSUPPORTED, "tojson with an indent of %lld",
                        (long long)style.indent);
    if (!json_separators(r, a->at[2], &style)) return NULL;
    value_to_json(r, v, &style, &out);
    return run_buf(r, &out);
}

static struct value *do_items(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    if (v->kind == VALUE_UNDEFINED) return run_list(r, VALUE_ITER, 0);
    if (v->kind == VALUE_DICT) return dict_list(r, v->dict, VALUE_ITER, true, true);
    return run_fail(r, ERR_ARG, "items of %s", value_name(v));
}

static struct value *do_xmlattr(struct run *r, struct value *v, const struct args *a)
{
    struct buf out = {0};

    if (v->kind != VALUE_DICT) return run_fail(r, ERR_ARG, "xmlattr of %s", value_name(v));
    for (size_t i = 0; i < v->dict->n && !r->rc; i++) {
        struct value *key = do_escape(r, v->dict->at[i].key, a), *x = v->dict->at[i].value;

        if (!key || x->kind == VALUE_NONE || x->kind == VALUE_UNDEFINED) continue;
        if (strcspn(key->text.s, " \t\n\r\f/>=") < key->text.len)
            run_fail(r, ERR_ARG, "an attribute's name with a character that ends it");
        if (out.len || args_true(a, 0, true)) text_add(r, &out, " ", 1);
        text_add(r, &out, key->text.s, key->text.len);
        text_add(r, &out, "=\"", 2);
        if ((x = do_escape(r, x, a))) text_add(r, &out, x->text.s, x->text.len);
        text_add(r, &out, "\"", 1);
    }
    return run_buf(r, &out);
}

/* ---- numbers ---- */

static struct value *do_int(struct run *r, struct value *v, const struct args *a)
{
    struct value *x = NULL, *dflt = a->at[0] ? a->at[0] : run_int(r, 0);
    int64_t base, i;

    if (!dflt || !args_int(r, a, 1, 10, &base)) return NULL;
    if (v->kind == VALUE_UNDEFINED) return run_fail(r, ERR_ARG, "int of %s", value_name(v));
    if (value_int(v, &i)) return run_int(r, i);
    if (v->kind == VALUE_STR) {
        x = number_read_int(r, v, base);
        if (x || r->rc) return x;
        x = number_read_float(r, v);
    } else if (v->kind == VALUE_FLOAT) {
        x = v;
    }
    if (!x || !isfinite(x->f)) return r->rc ? NULL : dflt;
    if (!(fabs(x->f) < 9e18)) return run_fail(r, ERR_UNSUPPORTED, "a number beyond 64 bits");
    return run_int(r, (int64_t)x->f);
}

static struct value *do_float(struct run *r, struct value *v, const struct args *a)
{
    struct value *x = NULL;

    if (value_is_number(v)) return run_float(r, value_number(v));
    if (v->kind == VALUE_UNDEFINED) return run_fail(r, ERR_ARG, "float of %s", value_name(v));
    if (v->kind == VALUE_STR) x = number_read_float(r, v);
    if (x || r->rc) return x;
    return a->at[0] ? a->at[0] : run_float(r, 0);
}

static struct value *do_abs(struct run *r, struct value *v, const struct args *a)
{
    int64_t i;

    (void)a;
    if (value_int(v, &i) && i > INT64_MIN) return run_int(r, i < 0 ? -i : i);
    if (v->kind == VALUE_FLOAT) return run_float(r, fabs(v->f));
    return run_fail(r, ERR_ARG, "abs of %s", value_name(v));
}

/* To so many decimals, a half to the even digit of what the float holds exactly. */
static struct value *round_common(struct run *r, const struct value *v, int64_t precision)
{
    char text[400];
    int64_t i;

    if (value_int(v, &i)) return run_int(r, i);
    snprintf(text, sizeof text, "%.*f", (int)precision, v->f);
    return run_float(r, strtod(text, NULL));
}

static struct value *do_round(struct run *r, struct value *v, const struct args *a)
{
    struct value *method;
    int64_t precision;
    double scale;

    if (!args_int(r, a, 0, 0, &precision) || !args_text(r, a, 1, run_view(r, "common", 6), &method))
        return NULL;
    if (!value_is_number(v)) return run_fail(r, ERR_ARG, "round of %s", value_name(v));
    if (precision < 0 || precision > 15)
        return run_fail(r, ERR_UNSUPPORTED, "round to %lld decimals", (long long)precision);
    scale = pow(10, (double)precision);
    if (value_is(method, "ceil")) return run_float(r, ceil(value_number(v) * scale) / scale);
    if (value_is(method, "floor")) return run_float(r, floor(value_number(v) * scale) / scale);
    if (!value_is(method, "common")) return run_fail(r, ERR_ARG, "round: common, ceil or floor");
    return round_common(r, v, precision);
}

/* ---- lists ---- */

static struct value *do_list(struct run *r, struct value *v, const struct args *a)
{
    struct value *list = value_items(r, v);
    struct items all = {0};

    (void)a;
    if (!list || list->kind == VALUE_LIST) return list;
    all.at = list->list.at;
    all.n = list->list.n;
    return run_items(r, VALUE_LIST, &all);
}

static struct value *do_first(struct run *r, struct value *v, const struct args *a)
{
    struct value *list;

    (void)a;
    if (v->kind == VALUE_ITER)
        return v->list.next < v->list.n ? v->list.at[v->list.next++] : run_undefined(r, "first");
    list = value_items(r, v);
    if (!list) return NULL;
    return list->list.n ? list->list.at[0] : run_undefined(r, "the first of nothing");
}

static struct value *do_last(struct run *r, struct value *v, const struct args *a)
{
    struct value *list = v->kind == VALUE_ITER ? NULL : value_items(r, v);

    (void)a;
    if (!list) return run_fail(r, ERR_ARG, "last of %s", value_name(v));
    return list->list.n ? list->list.at[list->list.n - 1] : run_undefined(r, "the last of nothing");
}

static struct value *do_join(struct run *r, struct value *v, const struct args *a)
{
    return list_join(r, v, a->at[0], given(a, 1));
}

static struct value *do_reverse(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    if (v->kind == VALUE_STR) return list_join(r, list_reverse(r, v, VALUE_LIST), NULL, NULL);
    return list_reverse(r, v, v->kind == VALUE_ITER ? VALUE_LIST : VALUE_ITER);
}

static struct value *do_sort(struct run *r, struct value *v, const struct args *a)
{
    return list_sort(r, v, given(a, 2), args_true(a, 1, false), args_true(a, 0, false));
}

static struct value *do_dictsort(struct run *r, struct value *v, const struct args *a)
{
    struct value *by;

    if (!args_text(r, a, 1, run_view(r, "key", 3), &by)) return NULL;
    if (!value_is(by, "key") && !value_is(by, "value"))
        return run_fail(r, ERR_ARG, "dictsort by key or value");
    return list_dictsort(r, v, value_is(by, "value"), args_true(a, 0, false),
                         args_true(a, 2, false));
}

static struct value *do_unique(struct run *r, struct value *v, const struct args *a)
{
    return list_unique(r, v, given(a, 1), args_true(a, 0, false));
}

static struct value *do_min(struct run *r, struct value *v, const struct args *a)
{
    return list_extreme(r, v, given(a, 1), args_true(a, 0, false), false);
}

static struct value *do_max(struct run *r, struct value *v, const struct args *a)
{
    return list_extreme(r, v, given(a, 1), args_true(a, 0, false), true);
}

static struct value *do_sum(struct run *r, struct value *v, const struct args *a)
{
    struct value *list = value_items(r, v), *sum = a->at[1] ? a->at[1] : run_int(r, 0);

    for (size_t i = 0; list && sum && i < list->list.n && run_work(r, 1); i++) {
        struct value *x = list_attribute(r, list->list.at[i], given(a, 0), NULL);

        if (x && sum->kind == VALUE_STR) return run_fail(r, ERR_ARG, "sum of strs");
        sum = x ? arith_binary(r, OP_ADD, sum, x) : NULL;
    }
    return list ? sum : NULL;
}

static struct value *do_batch(struct run *r, struct value *v, const struct args *a)
{
    int64_t n;

    return args_int(r, a, 0, 0, &n) ? list_batch(r, v, n, given(a, 1)) : NULL;
}

static struct value *do_slice(struct run *r, struct value *v, const struct args *a)
{
    int64_t n;

    return args_int(r, a, 0, 0, &n) ? list_slice(r, v, n, given(a, 1)) : NULL;
}

/* Drops the first k arguments, which named a test, a filter, an attribute. */
static struct args rest_of(const struct args *a, int k)
{
    struct args rest = *a;

    rest.n = a->n > k ? a->n - k : 0;
    for (int i = 0; i < rest.n; i++)
        rest.at[i] = a->at[i + k];
    return rest;
}

/* What is false has no items here, none and 0 too. */
static struct value *chosen_from(struct run *r, struct value *v)
{
    return value_is_true(v) ? value_items(r, v) : run_list(r, VALUE_LIST, 0);
}

/* The items whose test gives `want`. */
static struct value *choose(struct run *r, struct value *v, const struct args *a, bool attr,
                            bool want)
{
    struct value *list = chosen_from(r, v), *test = a->n > attr ? a->at[attr] : NULL;
    struct items out = {0};

    if (!list || !list->list.n) return list ? run_items(r, VALUE_ITER, &out) : NULL;
    if ((attr && !a->n) || (test && test->kind != VALUE_STR))
        return run_fail(r, ERR_ARG, "select or reject without a name");
    if (test) test = run_text(r, test->text.s, test->text.len);
    for (size_t i = 0; i < list->list.n && run_work(r, 1); i++) {
        struct value *item = list->list.at[i],
                     *x = attr ? list_attribute(r, item, a->at[0], NULL) : item;
        struct args rest = rest_of(a, attr + 1);

        if (x && test) x = test_call(r, test->text.s, x, &rest);
        if (!x) return NULL;
        if (value_is_true(x) == want && !items_add(r, &out, item)) return NULL;
    }
    return run_items(r, VALUE_ITER, &out);
}

static struct value *do_select(struct run *r, struct value *v, const struct args *a)
{
    return choose(r, v, a, false, true);
}

static struct value *do_reject(struct run *r, struct value *v, const struct args *a)
{
    return choose(r, v, a, false, false);
}

static struct value *do_selectattr(struct run *r, struct value *v, const struct args *a)
{
    return choose(r, v, a, true, true);
}

static struct value *do_rejectattr(struct run *r, struct value *v, const struct args *a)
{
    return choose(r, v, a, true, false);
}

/* One item through a filter, or its attribute. */
static struct value *map_one(struct run *r, struct value *item, const struct args *a,
                             const struct value *attr, struct value *dflt, const char *filter)
{
    struct args rest = rest_of(a, 1);

    if (attr) return list_attribute(r, item, attr, dflt);
    return filter_call(r, filter, item, &rest);
}

static struct value *do_map(struct run *r, struct value *v, const struct args *a)
{
    struct value *list = chosen_from(r, v), *attr, *dflt = NULL, *filter = NULL;
    struct args named = *a;
    struct items out = {0};

    attr = a->n ? NULL : args_take(&named, "attribute");
    if (attr) dflt = args_take(&named, "default");
    if (!attr && (!a->n || a->at[0]->kind != VALUE_STR))
        return run_fail(r, ERR_ARG, "map wants a filter's name or an attribute");
    if (attr && named.n_named) return run_fail(r, ERR_ARG, "map has no argument %s", named.name[0]);
    if (!attr) filter = run_text(r, a->at[0]->text.s, a->at[0]->text.len);
    for (size_t i = 0; list && i < list->list.n && run_work(r, 1); i++)
        if (!items_add(r, &out,
                       map_one(r, list->list.at[i], a, attr, dflt, filter ? filter->text.s : NULL)))
            return NULL;
    return list ? run_items(r, VALUE_ITER, &out) : NULL;
}

/* ---- by name ---- */

static const struct builtin FILTERS[] = {
    {"trim", "chars", do_trim},
    {"upper", "", do_upper},
    {"lower", "", do_lower},
    {"capitalize", "", do_capitalize},
    {"title", "", do_title},
    {"string", "", do_string},
    {"safe", "", do_safe},
    {"e", "", do_escape},
    {"escape", "", do_escape},
    {"forceescape", "", do_forceescape},
    {"replace", "old new count", do_replace},
    {"format", "* **", do_format},
    {"center", "width", do_center},
    {"indent", "width first blank", do_indent},
    {"truncate", "length killwords end leeway", do_truncate},
    {"wordcount", "", do_wordcount},
    {"length", "", do_length},
    {"count", "", do_length},
    {"default", "default_value boolean", do_default},
    {"d", "default_value boolean", do_default},
    {"attr", "name", do_attr},
    {"tojson", "ensure_ascii indent separators sort_keys", do_tojson},
    {"items", "", do_items},
    {"xmlattr", "autospace", do_xmlattr},
    {"int", "default base", do_int},
    {"float", "default", do_float},
    {"abs", "", do_abs},
    {"round", "precision method", do_round},
    {"list", "", do_list},
    {"first", "", do_first},
    {"last", "", do_last},
    {"join", "d attribute", do_join},
    {"reverse", "", do_reverse},
    {"sort", "reverse case_sensitive attribute", do_sort},
    {"dictsort", "case_sensitive by reverse", do_dictsort},
    {"unique", "case_sensitive attribute", do_unique},
    {"min", "case_sensitive attribute", do_min},
    {"max", "case_sensitive attribute", do_max},
    {"sum", "attribute start", do_sum},
    {"batch", "linecount fill_with", do_batch},
    {"slice", "slices fill_with", do_slice},
    {"select", "* **", do_select},
    {"reject", "* **", do_reject},
    {"selectattr", "* **", do_selectattr},
    {"rejectattr", "* **", do_rejectattr},
    {"map", "* **", do_map},
    {0}};

/* Filters that give escaped text the result it has for plain text. */
static bool takes_markup(const char *name)
{
    static const char *const NAMES[] = {"string", "safe",  "e",        "escape", "forceescape",
                                        "length", "count", "default",  "d",      "tojson",
                                        "int",    "float", "wordcount"};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (!strcmp(NAMES[i], name)) return true;
    return false;
}

struct value *filter_call(struct run *r, const char *name, struct value *v, struct args *a)
{
    const struct builtin *b = builtin_find(FILTERS, name);

    if (!b) return run_fail(r, ERR_UNSUPPORTED, "the filter %s is not known", name);
    if (v->kind == VALUE_STR && v->flag && !takes_markup(name))
        return run_fail(r, ERR_UNSUPPORTED, "the filter %s of escaped text", name);
    if (!args_bind(r, a, name, b->params)) return NULL;
    return b->call(r, v, a);
}
