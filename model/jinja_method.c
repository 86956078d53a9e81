/* jinja_method.c - the methods of lists, dicts and loops, and of all by name. */
#include "model/jinja_method.h"

#include <string.h>

#include "model/jinja_str.h"

/* ---- list, dict ---- */

static struct value *list_index(struct run *r, struct value *v, const struct args *a)
{
    for (size_t i = 0; a->at[0] && i < v->list.n && run_work(r, 1); i++)
        if (value_equal(r, v->list.at[i], a->at[0])) return run_int(r, (int64_t)i);
    return run_fail(r, ERR_ARG, "index of what is not there");
}

static struct value *list_count(struct run *r, struct value *v, const struct args *a)
{
    int64_t n = 0;

    if (!a->at[0]) return run_fail(r, ERR_ARG, "count of nothing");
    for (size_t i = 0; i < v->list.n && run_work(r, 1); i++)
        n += value_equal(r, v->list.at[i], a->at[0]);
    return run_int(r, n);
}

static struct value *copy(struct run *r, struct value *v, const struct args *a)
{
    (void)r;
    (void)a;
    return v; /* nobody can change it */
}

static struct value *dict_value(struct run *r, struct value *v, const struct args *a)
{
    struct value *x;

    if (!a->at[0]) return run_fail(r, ERR_ARG, "get of nothing");
    x = dict_find(r, v->dict, a->at[0]);
    if (x || r->rc) return x;
    return a->at[1] ? a->at[1] : run_none(r);
}

static struct value *dict_items(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return dict_list(r, v->dict, VALUE_VIEW, true, true);
}

static struct value *dict_keys(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return dict_list(r, v->dict, VALUE_VIEW, true, false);
}

static struct value *dict_values(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return dict_list(r, v->dict, VALUE_VIEW, false, true);
}

/* ---- loop, cycler ---- */

static struct value *loop_cycle(struct run *r, struct value *v, const struct args *a)
{
    if (!a->n) return run_fail(r, ERR_ARG, "loop.cycle of nothing");
    return a->at[v->loop->index % (size_t)a->n];
}

static struct value *loop_changed(struct run *r, struct value *v, const struct args *a)
{
    struct value *now = run_list(r, VALUE_TUPLE, (size_t)a->n);
    bool changed;

    if (!now) return NULL;
    for (int i = 0; i < a->n; i++)
        now->list.at[i] = a->at[i];
    changed = !v->loop->changed || !value_equal(r, v->loop->changed, now);
    v->loop->changed = now;
    return run_bool(r, changed);
}

static struct value *cycler_next(struct run *r, struct value *v, const struct args *a)
{
    (void)r;
    (void)a;
    return v->list.at[v->list.next++ % v->list.n];
}

static struct value *cycler_reset(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    v->list.next = 0;
    return run_none(r);
}

/* ---- by name ---- */

/* Without a function: Python has it, and it is not known here. */
static const struct builtin LIST[] = {
    {"index", "value", list_index}, {"count", "value", list_count}, {"copy", "", copy}, {0}};
static const struct builtin TUPLE[] = {
    {"index", "value", list_index}, {"count", "value", list_count}, {0}};
static const struct builtin DICT[] = {{"get", "key default", dict_value},
                                      {"items", "", dict_items},
                                      {"keys", "", dict_keys},
                                      {"values", "", dict_values},
                                      {"copy", "", copy},
                                      {"fromkeys", "", NULL},
                                      {0}};
static const struct builtin LOOP[] = {
    {"cycle", "*", loop_cycle}, {"changed", "*", loop_changed}, {0}};
static const struct builtin CYCLER[] = {
    {"next", "", cycler_next}, {"reset", "", cycler_reset}, {0}};
static const struct builtin VIEW[] = {{"isdisjoint", "", NULL}, {"mapping", "", NULL}, {0}};
static const struct builtin NONE[] = {{0}};

/* What the sandbox does not let through. */
static const char *const LIST_CHANGES[] = {"append", "clear",   "extend", "insert", "pop",
                                           "remove", "reverse", "sort",   NULL};
static const char *const DICT_CHANGES[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};

static const struct builtin *methods_of(const struct value *v)
{
    switch (v->kind) {
    case VALUE_STR: return STR_METHODS;
    case VALUE_LIST: return LIST;
    case VALUE_TUPLE:
    case VALUE_RANGE: return TUPLE;
    case VALUE_DICT: return DICT;
    case VALUE_LOOP: return LOOP;
    case VALUE_CYCLER: return CYCLER;
    case VALUE_VIEW: return VIEW;
    default: return NONE;
    }
}

static bool would_change(const struct value *v, const char *name)
{
    const char *const *list = v->kind == VALUE_LIST   ? LIST_CHANGES
                              : v->kind == VALUE_DICT ? DICT_CHANGES
                                                      : NULL;

    for (; list && *list; list++)
        if (!strcmp(*list, name)) return true;
    return false;
}

bool method_exists(const struct value *v, const char *name)
{
    return builtin_find(methods_of(v), name) || would_change(v, name);
}

struct value *method_call(struct run *r, struct value *m, struct args *a)
{
    const struct builtin *b = builtin_find(methods_of(m->of), m->name);

    if (!b) return run_fail(r, ERR_ARG, "%s would change %s", m->name, value_name(m->of));
    if (!b->call || (m->of->kind == VALUE_STR && m->of->flag))
        return run_fail(r, ERR_UNSUPPORTED, "the method %s of %s is not known", m->name,
                        m->of->flag ? "escaped text" : value_name(m->of));
    return args_bind(r, a, m->name, b->params) ? b->call(r, m->of, a) : NULL;
}
