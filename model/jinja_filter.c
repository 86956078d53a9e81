/* jinja_filter.c - filters. */
#include "model/jinja_filter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/jinja_arith.h"
#include "model/jinja_list.h"
#include "model/jinja_lookup.h"
#include "model/jinja_method.h"
#include "model/jinja_print.h"
#include "model/jinja_text_filter.h"

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

    if (args_given(a, 1) && !args_int(r, a, 1, -1, &style.indent)) return NULL;
    if (args_given(a, 1) && (style.indent < 0 || style.indent > 100))
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
    return list_join(r, v, a->at[0], args_given(a, 1));
}

static struct value *do_reverse(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    if (v->kind == VALUE_STR) return list_join(r, list_reverse(r, v, VALUE_LIST), NULL, NULL);
    return list_reverse(r, v, v->kind == VALUE_ITER ? VALUE_LIST : VALUE_ITER);
}

static struct value *do_sort(struct run *r, struct value *v, const struct args *a)
{
    return list_sort(r, v, args_given(a, 2), args_true(a, 1, false), args_true(a, 0, false));
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
    return list_unique(r, v, args_given(a, 1), args_true(a, 0, false));
}

static struct value *do_min(struct run *r, struct value *v, const struct args *a)
{
    return list_extreme(r, v, args_given(a, 1), args_true(a, 0, false), false);
}

static struct value *do_max(struct run *r, struct value *v, const struct args *a)
{
    return list_extreme(r, v, args_given(a, 1), args_true(a, 0, false), true);
}

static struct value *do_sum(struct run *r, struct value *v, const struct args *a)
{
    struct value *list = value_items(r, v), *sum = a->at[1] ? a->at[1] : run_int(r, 0);

    for (size_t i = 0; list && sum && i < list->list.n && run_work(r, 1); i++) {
        struct value *x = list_attribute(r, list->list.at[i], args_given(a, 0), NULL);

        if (x && sum->kind == VALUE_STR) return run_fail(r, ERR_ARG, "sum of strs");
        sum = x ? arith_binary(r, OP_ADD, sum, x) : NULL;
    }
    return list ? sum : NULL;
}

static struct value *do_batch(struct run *r, struct value *v, const struct args *a)
{
    int64_t n;

    return args_int(r, a, 0, 0, &n) ? list_batch(r, v, n, args_given(a, 1)) : NULL;
}

static struct value *do_slice(struct run *r, struct value *v, const struct args *a)
{
    int64_t n;

    return args_int(r, a, 0, 0, &n) ? list_slice(r, v, n, args_given(a, 1)) : NULL;
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

    if (!list || !list->list.n) return list ? run_items(r, VALUE_ITER, &out) : NULL;
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
    return run_items(r, VALUE_ITER, &out);
}

/* ---- by name ---- */

static const struct builtin FILTERS[] = {
    {"length", "", do_length},
    {"count", "", do_length},
    {"default", "default_value boolean", do_default},
    {"d", "default_value boolean", do_default},
    {"attr", "name", do_attr},
    {"tojson", "ensure_ascii indent separators sort_keys", do_tojson},
    {"items", "", do_items},
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

    if (!b) b = builtin_find(TEXT_FILTERS, name);
    if (!b) return run_fail(r, ERR_UNSUPPORTED, "the filter %s is not known", name);
    if (v->kind == VALUE_STR && v->flag && !takes_markup(name))
        return run_fail(r, ERR_UNSUPPORTED, "the filter %s of escaped text", name);
    if (!args_bind(r, a, name, b->params)) return NULL;
    return b->call(r, v, a);
}
