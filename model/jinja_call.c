/* jinja_call.c - calls. */
#include "model/jinja_call.h"

#include <string.h>
#include <time.h>

#include "model/jinja_method.h"
#include "model/jinja_print.h"

#define MAX_RANGE 100000 /* as the sandbox has it */

/* ---- arguments ---- */

static bool add_all(struct run *r, struct args *a, struct value *list)
{
    list = list ? value_items(r, list) : NULL;
    for (size_t i = 0; list && i < list->list.n; i++)
        if (!args_add(r, a, list->list.at[i])) return false;
    return list != NULL;
}

static bool add_all_named(struct run *r, struct args *a, const struct value *dict)
{
    if (!dict) return false;
    if (dict->kind != VALUE_DICT) run_fail(r, ERR_ARG, "** of %s", value_name(dict));
    for (size_t i = 0; !r->rc && i < dict->dict->n; i++) {
        const struct value *key = dict->dict->at[i].key;
        struct value *name;

        if (key->kind != VALUE_STR) run_fail(r, ERR_ARG, "** of a key that is no str");
        name = r->rc ? NULL : run_text(r, key->text.s, key->text.len);
        if (name) args_add_named(r, a, name->text.s, dict->dict->at[i].value);
    }
    return !r->rc;
}

bool call_args(struct eval *v, const struct node *first, struct args *a)
{
    for (const struct node *n = first; n; n = n->next) {
        bool wraps =
            n->kind == NODE_KEYWORD || n->kind == NODE_SPREAD || n->kind == NODE_SPREAD_NAMED;
        struct value *x = eval_expr(v, wraps ? n->a : n);
        bool ok;

        if (n->kind == NODE_KEYWORD)
            ok = args_add_named(&v->run, a, n->name, x);
        else if (n->kind == NODE_SPREAD)
            ok = add_all(&v->run, a, x);
        else if (n->kind == NODE_SPREAD_NAMED)
            ok = add_all_named(&v->run, a, x);
        else
            ok = args_add(&v->run, a, x);
        if (!ok) return false;
    }
    return true;
}

/* ---- functions ---- */

/* A dict, or pairs; and names. */
static struct value *make_dict(struct run *r, enum value_kind kind, const struct args *a)
{
    struct value *out = run_dict(r, kind), *from = a->n ? a->at[0] : NULL, *pair;

    if (!out || a->n > 1 || (from && from->kind == VALUE_UNDEFINED))
        return run_fail(r, ERR_ARG, "dict and namespace take one dict");
    if (from && from->kind == VALUE_DICT) from = dict_list(r, from->dict, VALUE_LIST, true, true);
    from = from ? value_items(r, from) : NULL;
    if (a->n && !from) return NULL;
    for (size_t i = 0; from && i < from->list.n; i++) {
        pair = value_items(r, from->list.at[i]);
        if (!pair || pair->list.n != 2) return run_fail(r, ERR_ARG, "a dict of other than pairs");
        if (!dict_set(r, out->dict, pair->list.at[0], pair->list.at[1])) return NULL;
    }
    for (int i = 0; i < a->n_named; i++)
        if (!dict_put(r, out->dict, a->name[i], a->named[i])) return NULL;
    return out;
}

static struct value *fn_namespace(struct eval *v, const struct args *a)
{
    return make_dict(&v->run, VALUE_NAMESPACE, a);
}

static struct value *fn_dict(struct eval *v, const struct args *a)
{
    return make_dict(&v->run, VALUE_DICT, a);
}

static struct value *fn_range(struct eval *v, const struct args *a)
{
    struct run *r = &v->run;
    int64_t x[3] = {0, 0, 1};
    struct items list = {0};

    for (int i = 0; i < a->n && i < 3; i++)
        if (!value_int(a->at[i], &x[a->n == 1 ? 1 : i]))
            return run_fail(r, ERR_ARG, "range of %s", value_name(a->at[i]));
    if (!a->n || a->n > 3 || !x[2] || a->n_named)
        return run_fail(r, ERR_ARG, "range with such arguments");
    for (int64_t i = x[0]; x[2] > 0 ? i < x[1] : i > x[1];) {
        if (list.n == MAX_RANGE) return run_fail(r, ERR_ARG, "a range over %d numbers", MAX_RANGE);
        if (!run_work(r, 1) || !items_add(r, &list, run_int(r, i))) return NULL;
        if (__builtin_add_overflow(i, x[2], &i)) break;
    }
    return run_items(r, VALUE_RANGE, &list);
}

static struct value *fn_strftime(struct eval *v, const struct args *a)
{
    char text[512];
    time_t now = (time_t)v->now_s;
    struct tm tm;
    struct value *format;
    size_t n;

    if (a->n != 1 || a->n_named || a->at[0]->kind != VALUE_STR || !localtime_r(&now, &tm))
        return run_fail(&v->run, ERR_ARG, "strftime_now wants one str");
    format = run_text(&v->run, a->at[0]->text.s, a->at[0]->text.len);
    if (!format) return NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the template's own format */
    n = strftime(text, sizeof text, format->text.s, &tm);
#pragma GCC diagnostic pop
    if (!n && format->text.len > 100)
        return run_fail(&v->run, ERR_FULL, "a time of over 511 bytes");
    return run_text(&v->run, text, n);
}

static struct value *fn_raise(struct eval *v, const struct args *a)
{
    struct value *text = a->n ? value_str(&v->run, a->at[0]) : NULL;

    return run_fail(&v->run, ERR_ARG, "%.*s",
                    text ? (int)(text->text.len < 300 ? text->text.len : 300) : 12,
                    text ? text->text.s : "an exception");
}

static struct value *fn_cycler(struct eval *v, const struct args *a)
{
    struct value *out = run_list(&v->run, VALUE_CYCLER, (size_t)a->n);

    if (!a->n || a->n_named) return run_fail(&v->run, ERR_ARG, "cycler wants items");
    for (int i = 0; out && i < a->n; i++)
        out->list.at[i] = a->at[i];
    return out;
}

static struct value *fn_joiner(struct eval *v, const struct args *a)
{
    struct value *out = run_view(&v->run, ", ", 2), *sep = NULL;
    struct args bound = *a;

    if (!out || !args_bind(&v->run, &bound, "joiner", "sep")) return NULL;
    if (bound.at[0] && !(sep = value_str(&v->run, bound.at[0]))) return NULL;
    if (sep) out->text = sep->text;
    out->kind = VALUE_JOINER;
    return out;
}

static const struct {
    const char *name;
    struct value *(*call)(struct eval *v, const struct args *a); /* NULL: not known here */
} FUNCTIONS[] = {{"namespace", fn_namespace},
                 {"dict", fn_dict},
                 {"range", fn_range},
                 {"cycler", fn_cycler},
                 {"joiner", fn_joiner},
                 {"strftime_now", fn_strftime},
                 {"lipsum", NULL},
                 {"raise_exception", fn_raise}};
#define N_FUNCTIONS (sizeof FUNCTIONS / sizeof FUNCTIONS[0])

struct value *call_find(struct run *r, const char *name)
{
    struct value *f = NULL;

    for (size_t i = 0; i < N_FUNCTIONS && !f; i++) {
        if (strcmp(FUNCTIONS[i].name, name)) continue;
        f = run_view(r, name, strlen(name));
        if (f) f->kind = VALUE_FUNCTION;
    }
    return f;
}

static struct value *call_function(struct eval *v, const struct value *f, const struct args *a)
{
    for (size_t i = 0; i < N_FUNCTIONS; i++)
        if (!strcmp(FUNCTIONS[i].name, f->text.s) && FUNCTIONS[i].call)
            return FUNCTIONS[i].call(v, a);
    return run_fail(&v->run, ERR_UNSUPPORTED, "the function %s is not known", f->text.s);
}

/* ---- macros ---- */

static struct value *macro_arg(struct eval *v, const struct node *param, int i, struct args *a)
{
    struct value *x = args_take(a, param->name);

    if (x && i < a->n)
        return run_fail(&v->run, ERR_ARG, "the argument %s is there twice", param->name);
    if (i < a->n) return a->at[i];
    if (x) return x;
    return param->a ? eval_expr(v, param->a) : run_undefined(&v->run, param->name);
}

/* What is left behind the n parameters: varargs, kwargs and caller, where the body asks for them.
 */
static bool bind_rest(struct eval *v, const struct node *macro, int n, struct args *a)
{
    struct value *caller = args_take(a, "caller"), *list, *dict;

    if ((a->n > n && !(macro->uses & USES_VARARGS)) || (caller && !(macro->uses & USES_CALLER)) ||
        (a->n_named && !(macro->uses & USES_KWARGS))) {
        run_fail(&v->run, ERR_ARG, "macro %s takes %d arguments, and no %s", macro->name, n,
                 a->n_named ? a->name[0]
                 : caller   ? "caller"
                            : "more");
        return false;
    }
    if (macro->uses & USES_VARARGS) {
        list = run_list(&v->run, VALUE_TUPLE, a->n > n ? (size_t)(a->n - n) : 0);
        for (int i = n; list && i < a->n; i++)
            list->list.at[i - n] = a->at[i];
        if (!eval_bind(v, v->scope, "varargs", list)) return false;
    }
    if (macro->uses & USES_KWARGS) {
        dict = run_dict(&v->run, VALUE_DICT);
        for (int i = 0; dict && i < a->n_named; i++)
            if (!dict_put(&v->run, dict->dict, a->name[i], a->named[i])) return false;
        if (!eval_bind(v, v->scope, "kwargs", dict)) return false;
    }
    if (!(macro->uses & USES_CALLER)) return true;
    return eval_bind(v, v->scope, "caller", caller ? caller : run_undefined(&v->run, "caller"));
}

static struct value *call_macro(struct eval *v, const struct macro *m, struct args *a)
{
    struct scope *outer = v->scope;
    struct value *text = NULL;
    bool ok = eval_enter(v, m->node) && eval_open(v, m->scope);
    int n = 0;

    for (const struct node *p = m->node->args; ok && p; p = p->next, n++)
        ok = eval_bind(v, v->scope, p->name, macro_arg(v, p, n, a));
    if (ok && bind_rest(v, m->node, n, a)) text = run_captured(v, m->node->body);
    v->scope = outer;
    eval_leave(v);
    return text;
}

/* ---- any ---- */

static struct value *call_loop(struct eval *v, struct loop *l, struct args *a)
{
    struct scope *outer = v->scope;
    struct value *text;

    if (!l->node) return run_fail(&v->run, ERR_ARG, "a loop that is not recursive is called");
    if (a->n != 1 || a->n_named) return run_fail(&v->run, ERR_ARG, "loop takes one list");
    v->scope = l->scope;
    text = run_again(v, l->node, a->at[0], l->depth + 1);
    v->scope = outer;
    return text;
}

static struct value *call_joiner(struct run *r, struct value *j)
{
    bool used = j->flag;

    j->flag = true;
    return used ? run_view(r, j->text.s, j->text.len) : run_view(r, "", 0);
}

static struct value *call_value(struct eval *v, struct value *f, struct args *a)
{
    switch (f->kind) {
    case VALUE_FUNCTION: return call_function(v, f, a);
    case VALUE_METHOD: return method_call(&v->run, f, a);
    case VALUE_MACRO: return call_macro(v, f->macro, a);
    case VALUE_LOOP: return call_loop(v, f->loop, a);
    case VALUE_JOINER: return call_joiner(&v->run, f);
    case VALUE_UNDEFINED:
        return run_fail(&v->run, ERR_ARG, "a call of what is undefined: %.*s", (int)f->text.len,
                        f->text.s);
    default: return run_fail(&v->run, ERR_ARG, "a call of %s", value_name(f));
    }
}

struct value *call_node(struct eval *v, const struct node *n, struct value *caller)
{
    struct value *f = eval_expr(v, n->a);
    struct args a = {0};

    if (!f || !call_args(v, n->args, &a)) return NULL;
    if (caller && !args_add_named(&v->run, &a, "caller", caller)) return NULL;
    v->run.line = n->line;
    return call_value(v, f, &a);
}
