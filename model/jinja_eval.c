/* jinja_eval.c - the value of an expression. */
#include "model/jinja_eval.h"

#include <string.h>

#include "model/jinja.h"
#include "model/jinja_arith.h"
#include "model/jinja_call.h"
#include "model/jinja_filter.h"
#include "model/jinja_lookup.h"

bool eval_enter(struct eval *v, const struct node *n)
{
    struct run *r = &v->run;

    r->line = n->line;
    if (++r->depth > JINJA_MAX_DEPTH) run_fail(r, ERR_FULL, "deeper than %d", JINJA_MAX_DEPTH);
    return run_work(r, 1);
}

void eval_leave(struct eval *v)
{
    v->run.depth--;
}

/* ---- names ---- */

bool eval_open(struct eval *v, struct scope *up)
{
    struct scope *s = run_take(&v->run, sizeof *s);

    if (!s) return false;
    s->up = up;
    s->first = NULL;
    v->scope = s;
    return true;
}

static struct binding *find(struct scope *s, const char *name)
{
    struct binding *b = s->first;

    while (b && strcmp(b->name, name))
        b = b->next;
    return b;
}

bool eval_bind(struct eval *v, struct scope *s, const char *name, struct value *value)
{
    struct binding *b = value ? find(s, name) : NULL;

    if (!value) return false;
    if (!b) {
        b = run_take(&v->run, sizeof *b);
        if (!b) return false;
        b->next = s->first;
        b->name = name;
        s->first = b;
    }
    b->value = value;
    return true;
}

struct value *eval_name(struct eval *v, const char *name)
{
    struct value *x;

    for (struct scope *s = v->scope; s; s = s->up) {
        struct binding *b = find(s, name);

        if (b) return b->value;
    }
    x = dict_get(&v->run, v->vars->dict, name);
    if (!x && !v->run.rc) x = call_find(&v->run, name);
    if (v->run.rc) return NULL;
    return x ? x : run_undefined(&v->run, name);
}

/* ---- parts ---- */

static struct value *eval_attr(struct eval *v, const struct node *n)
{
    struct value *of = eval_expr(v, n->a);

    v->run.line = n->line;
    return of ? lookup_attr(&v->run, of, n->name) : NULL;
}

static struct value *eval_item(struct eval *v, const struct node *n)
{
    struct value *of = eval_expr(v, n->a), *key = of ? eval_expr(v, n->b) : NULL;

    v->run.line = n->line;
    return key ? lookup_item(&v->run, of, key) : NULL;
}

static struct value *eval_slice(struct eval *v, const struct node *n)
{
    struct value *of = eval_expr(v, n->a);
    struct value *from = n->b ? eval_expr(v, n->b) : NULL, *to = n->c ? eval_expr(v, n->c) : NULL,
                 *step = n->d ? eval_expr(v, n->d) : NULL;

    v->run.line = n->line;
    return v->run.rc ? NULL : lookup_slice(&v->run, of, from, to, step);
}

static struct value *eval_list(struct eval *v, const struct node *n)
{
    struct items list = {0};

    for (const struct node *m = n->args; m; m = m->next)
        if (!items_add(&v->run, &list, eval_expr(v, m))) return NULL;
    return run_items(&v->run, n->kind == NODE_TUPLE ? VALUE_TUPLE : VALUE_LIST, &list);
}

static struct value *eval_dict(struct eval *v, const struct node *n)
{
    struct value *dict = run_dict(&v->run, VALUE_DICT);

    for (const struct node *m = n->args; dict && m; m = m->next->next) {
        struct value *key = eval_expr(v, m), *x = key ? eval_expr(v, m->next) : NULL;

        if (!x || !dict_set(&v->run, dict->dict, key, x)) return NULL;
    }
    return dict;
}

struct value *eval_filters(struct eval *v, const struct node *n, struct value *in)
{
    struct args a = {0};

    if (n->a && in && n->a->kind == NODE_FILTER) in = eval_filters(v, n->a, in);
    if (!in || !call_args(v, n->args, &a)) return NULL;
    v->run.line = n->line;
    return filter_call(&v->run, n->name, in, &a);
}

static struct value *eval_filter(struct eval *v, const struct node *n)
{
    struct value *x = eval_expr(v, n->a);
    struct args a = {0};

    if (!x || !call_args(v, n->args, &a)) return NULL;
    v->run.line = n->line;
    return filter_call(&v->run, n->name, x, &a);
}

static struct value *eval_test(struct eval *v, const struct node *n)
{
    struct value *x = eval_expr(v, n->a);
    struct args a = {0};

    if (!x || !call_args(v, n->args, &a)) return NULL;
    v->run.line = n->line;
    return test_call(&v->run, n->name, x, &a);
}

/* ---- operators ---- */

static struct value *eval_binary(struct eval *v, const struct node *n)
{
    struct value *a = eval_expr(v, n->a), *b = a ? eval_expr(v, n->b) : NULL;

    v->run.line = n->line;
    return b ? arith_binary(&v->run, n->op, a, b) : NULL;
}

/* a < b < c: each pair, until one says no. */
static struct value *eval_compare(struct eval *v, const struct node *n)
{
    struct value *a = eval_expr(v, n->a), *answer = NULL;

    for (const struct node *m = n->args; a && m; m = m->next) {
        struct value *b = eval_expr(v, m->a);

        v->run.line = n->line;
        answer = b ? arith_compare(&v->run, m->op, a, b) : NULL;
        if (!answer || !value_is_true(answer)) return answer;
        a = b;
    }
    return answer;
}

static struct value *eval_sign(struct eval *v, const struct node *n)
{
    struct value *x = eval_expr(v, n->a);

    v->run.line = n->line;
    return x ? arith_sign(&v->run, x, n->kind == NODE_MINUS) : NULL;
}

static struct value *eval_not(struct eval *v, const struct node *n)
{
    struct value *x = eval_expr(v, n->a);

    return x ? run_bool(&v->run, !value_is_true(x)) : NULL;
}

static struct value *eval_choice(struct eval *v, const struct node *n)
{
    struct value *x = eval_expr(v, n->a);

    if (!x) return NULL;
    if (value_is_true(x)) return eval_expr(v, n->b);
    return n->c ? eval_expr(v, n->c) : run_undefined(&v->run, "the else of an if without one");
}

/* and, or: the deciding side's own value, as in Python. */
static struct value *eval_logic(struct eval *v, const struct node *n)
{
    struct value *x = eval_expr(v, n->a);

    if (!x || value_is_true(x) == (n->kind == NODE_OR)) return x;
    return eval_expr(v, n->b);
}

static struct value *eval_kind(struct eval *v, const struct node *n)
{
    switch (n->kind) {
    case NODE_CONST: return run_json(&v->run, n->value);
    case NODE_NAME: return eval_name(v, n->name);
    case NODE_LIST:
    case NODE_TUPLE: return eval_list(v, n);
    case NODE_DICT: return eval_dict(v, n);
    case NODE_ATTR: return eval_attr(v, n);
    case NODE_ITEM: return eval_item(v, n);
    case NODE_SLICE: return eval_slice(v, n);
    case NODE_CALL: return call_node(v, n, NULL);
    case NODE_FILTER: return eval_filter(v, n);
    case NODE_TEST: return eval_test(v, n);
    case NODE_NOT: return eval_not(v, n);
    case NODE_MINUS:
    case NODE_PLUS: return eval_sign(v, n);
    case NODE_AND:
    case NODE_OR: return eval_logic(v, n);
    case NODE_BINARY: return eval_binary(v, n);
    case NODE_COMPARE: return eval_compare(v, n);
    case NODE_CHOICE: return eval_choice(v, n);
    default: return run_fail(&v->run, ERR_UNSUPPORTED, "an expression of kind %d", n->kind);
    }
}

struct value *eval_expr(struct eval *v, const struct node *n)
{
    struct value *x = eval_enter(v, n) ? eval_kind(v, n) : NULL;

    eval_leave(v);
    return v->run.rc ? NULL : x;
}
