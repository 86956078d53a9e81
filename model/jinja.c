/* jinja.c - a template's statements, run. */
#include "model/jinja.h"

#include <stdlib.h>
#include <string.h>

#include "model/jinja_call.h"
#include "model/jinja_method.h"
#include "model/jinja_print.h"

struct jinja {
    struct tree tree;
    enum content_form content;
};

static bool run_body(struct eval *v, const struct node *first);

struct value *run_captured(struct eval *v, const struct node *body)
{
    struct buf text = {0}, *out = v->out;
    int jump = v->jump;

    v->out = &text;
    run_body(v, body);
    v->out = out;
    v->jump = jump;
    return run_buf(&v->run, &text);
}

/* A body whose names are its own, into a str. */
static struct value *run_inner(struct eval *v, const struct node *body)
{
    struct scope *outer = v->scope;
    struct value *text = eval_open(v, outer) ? run_captured(v, body) : NULL;

    v->scope = outer;
    return text;
}

/* ---- set ---- */

static bool set_attr(struct eval *v, const struct node *target, struct value *x)
{
    struct value *space = eval_name(v, target->a->name);

    if (!space) return false;
    if (space->kind != VALUE_NAMESPACE)
        run_fail(&v->run, ERR_ARG, "set %s.%s: no namespace", target->a->name, target->name);
    return !v->run.rc && dict_put(&v->run, space->dict, target->name, x);
}

static size_t count_nodes(const struct node *n)
{
    size_t k = 0;

    for (; n; n = n->next)
        k++;
    return k;
}

/* A name takes the value; a list of targets takes its items, one each. */
static bool set_target(struct eval *v, const struct node *target, struct value *x)
{
    struct value *list;
    size_t n, i = 0;

    if (target->kind == NODE_NAME) return eval_bind(v, v->scope, target->name, x);
    if (target->kind == NODE_ATTR) return set_attr(v, target, x);
    if (!(list = value_items(&v->run, x))) return false;
    n = count_nodes(target->args);
    if (n != list->list.n)
        run_fail(&v->run, ERR_ARG, "%zu items cannot be taken apart into %zu", list->list.n, n);
    for (const struct node *t = target->args; t && !v->run.rc; t = t->next)
        set_target(v, t, list->list.at[i++]);
    return !v->run.rc;
}

static bool run_set(struct eval *v, const struct node *n)
{
    struct value *x = n->kind == NODE_SET ? eval_expr(v, n->a) : run_inner(v, n->body);

    if (x && n->kind == NODE_SET_BODY && n->a) x = eval_filters(v, n->a, x);
    return x && set_target(v, n->args, x);
}

static bool run_with(struct eval *v, const struct node *n)
{
    struct scope *outer = v->scope, *inner;
    bool ok = eval_open(v, outer);

    inner = v->scope;
    for (const struct node *p = n->args; ok && p; p = p->next) {
        struct value *x;

        v->scope = outer; /* the values do not see each other */
        x = eval_expr(v, p->a);
        v->scope = inner;
        ok = eval_bind(v, inner, p->name, x);
    }
    ok = ok && run_body(v, n->body);
    v->scope = outer;
    return ok;
}

/* ---- for ---- */

/* The items that the loop's own condition lets through. */
static struct value *filter_items(struct eval *v, const struct node *n, struct value *list)
{
    struct scope *outer = v->scope;
    struct items out = {0};

    for (size_t i = 0; i < list->list.n; i++) {
        struct value *item = list->list.at[i], *x;

        if (!eval_open(v, outer) || !set_target(v, n->args, item)) break;
        x = eval_expr(v, n->b);
        if (!x || (value_is_true(x) && !items_add(&v->run, &out, item))) break;
    }
    v->scope = outer;
    return run_items(&v->run, VALUE_LIST, &out);
}

/* The loop variable of a list. */
static struct value *make_loop(struct eval *v, const struct node *n, struct value *list,
                               size_t depth)
{
    struct value *x = run_none(&v->run);
    struct loop *l = x ? run_take(&v->run, sizeof *l) : NULL;

    if (!l) return NULL;
    *l = (struct loop){
        .items = list, .depth = depth, .node = n->is_recursive ? n : NULL, .scope = v->scope};
    x->kind = VALUE_LOOP;
    x->loop = l;
    return x;
}

static bool run_rounds(struct eval *v, const struct node *n, struct value *list, size_t depth)
{
    struct scope *outer = v->scope;
    struct value *loop;

    if (n->b) list = filter_items(v, n, list);
    if (!list) return false;
    if (!list->list.n) return run_body(v, n->orelse);
    loop = make_loop(v, n, list, depth);
    for (size_t i = 0; loop && i < list->list.n && v->jump != BREAK; i++) {
        loop->loop->index = i;
        v->jump = GO_ON;
        if (!eval_open(v, outer) || !eval_bind(v, v->scope, "loop", loop) ||
            !set_target(v, n->args, list->list.at[i]) || !run_body(v, n->body))
            break;
    }
    v->jump = GO_ON;
    v->scope = outer;
    return !v->run.rc;
}

static bool run_for(struct eval *v, const struct node *n)
{
    struct value *list = eval_expr(v, n->a);

    list = list ? value_items(&v->run, list) : NULL;
    return list && run_rounds(v, n, list, 0);
}

struct value *run_again(struct eval *v, const struct node *n, struct value *items, size_t depth)
{
    struct buf text = {0}, *out = v->out;
    int jump = v->jump;

    if (eval_enter(v, n) && (items = value_items(&v->run, items))) {
        v->out = &text;
        run_rounds(v, n, items, depth);
        v->out = out;
    }
    v->jump = jump;
    eval_leave(v);
    return run_buf(&v->run, &text);
}

/* ---- the others ---- */

static bool print(struct eval *v, const struct value *x)
{
    return x && value_print(&v->run, x, v->out);
}

static bool run_if(struct eval *v, const struct node *n)
{
    struct value *x = eval_expr(v, n->a);

    return x && run_body(v, value_is_true(x) ? n->body : n->orelse);
}

static bool run_filter_body(struct eval *v, const struct node *n)
{
    struct value *x = run_inner(v, n->body);

    return print(v, x ? eval_filters(v, n->a, x) : NULL);
}

/* A macro as a value: it remembers where it was defined. */
static struct value *make_macro(struct eval *v, const struct node *n)
{
    struct value *x = run_none(&v->run);
    struct macro *m = x ? run_take(&v->run, sizeof *m) : NULL;

    if (!m) return NULL;
    *m = (struct macro){n, v->scope};
    x->kind = VALUE_MACRO;
    x->macro = m;
    return x;
}

static bool run_call(struct eval *v, const struct node *n)
{
    struct value *caller = make_macro(v, n->b);

    return caller && print(v, call_node(v, n->a, caller));
}

static bool run_text_node(struct eval *v, const struct node *n)
{
    return text_add(&v->run, v->out, json_string_value(n->value), json_string_length(n->value));
}

static bool run_one(struct eval *v, const struct node *n)
{
    switch (n->kind) {
    case NODE_TEXT: return run_text_node(v, n);
    case NODE_PRINT: return print(v, eval_expr(v, n->a));
    case NODE_IF: return run_if(v, n);
    case NODE_FOR: return run_for(v, n);
    case NODE_SET:
    case NODE_SET_BODY: return run_set(v, n);
    case NODE_WITH: return run_with(v, n);
    case NODE_MACRO: return eval_bind(v, v->scope, n->name, make_macro(v, n));
    case NODE_CALL_BODY: return run_call(v, n);
    case NODE_GROUP: return print(v, run_inner(v, n->body));
    case NODE_FILTER_BODY: return run_filter_body(v, n);
    case NODE_BREAK: v->jump = BREAK; return true;
    case NODE_CONTINUE: v->jump = CONTINUE; return true;
    default: run_fail(&v->run, ERR_UNSUPPORTED, "a statement of kind %d", n->kind);
    }
    return false;
}

static bool run_body(struct eval *v, const struct node *first)
{
    for (const struct node *n = first; n && !v->run.rc && v->jump == GO_ON; n = n->next) {
        if (eval_enter(v, n)) run_one(v, n);
        eval_leave(v);
    }
    return !v->run.rc;
}

int jinja_open(struct jinja **out, const char *text, size_t len, struct errmsg *e)
{
    struct jinja *j = calloc(1, sizeof *j);
    int rc = j ? jinja_parse(&j->tree, text, len, e) : err_set(e, ERR_NOMEM, "template: no memory");

    if (rc)
        jinja_close(&j);
    else
        j->content = content_form_of(&j->tree);
    *out = j;
    return rc;
}

enum content_form jinja_content(const struct jinja *j)
{
    return j->content;
}

void jinja_close(struct jinja **j)
{
    if (!*j) return;
    tree_fini(&(*j)->tree);
    free(*j);
    *j = NULL;
}

int jinja_render(const struct jinja *j, const json_t *vars, int64_t now_s, struct buf *out,
                 struct errmsg *e)
{
    struct eval v = {.now_s = now_s, .out = out};
    size_t before = out->len;
    int rc;

    run_init(&v.run, e);
    v.vars = run_json(&v.run, vars);
    if (v.vars && eval_open(&v, NULL)) run_body(&v, j->tree.root);
    rc = v.run.rc;
    run_fini(&v.run);
    if (rc && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return rc;
}
