/* jinja.c - a template's statements, run. */
#include "model/jinja.h"

#include <stdlib.h>
#include <string.h>

#include "model/jinja_eval.h"

struct jinja {
    struct tree tree;
    enum content_form content;
};

static int run_body(struct eval *v, const struct node *first);

static int no_memory(struct eval *v)
{
    run_fail(&v->run, ERR_NOMEM, "no memory");
    return v->run.rc;
}

/* Runs a body into a value of its own. */
static json_t *capture(struct eval *v, const struct node *body)
{
    struct buf text = {0}, *out = v->out;

    v->out = &text;
    run_body(v, body);
    v->out = out;
    if (v->run.rc) {
        buf_fini(&text);
        return NULL;
    }
    return run_buf(&v->run, &text);
}

/* Where names set now begin to be this scope's own. */
struct scope {
    size_t base, outer;
    bool in_scope;
};

static struct scope scope_open(struct eval *v)
{
    struct scope s = {v->n_names, v->base, v->in_scope};

    v->base = v->n_names;
    v->in_scope = true;
    return s;
}

static void scope_close(struct eval *v, struct scope s)
{
    v->n_names = s.base;
    v->base = s.outer;
    v->in_scope = s.in_scope;
}

static json_t *macro_arg(struct eval *v, const struct node *param, int i, const struct args *a)
{
    json_t *x = args_get(a, i, param->name);

    if (x) return x;
    return param->a ? eval_expr(v, param->a) : v->run.undefined;
}

json_t *eval_macro(struct eval *v, const struct node *macro, const struct args *a)
{
    size_t floor = v->floor;
    struct scope s = scope_open(v);
    json_t *text = NULL, *x;
    int n = 0;

    if (!eval_enter(v, macro)) goto out;
    v->floor = s.base;
    for (const struct node *p = macro->args; p; p = p->next, n++) {
        x = macro_arg(v, p, n, a);
        if (!x || eval_bind(v, s.base, p->name, x, NULL)) goto out;
    }
    if (a->n > n) {
        run_fail(&v->run, ERR_ARG, "%s takes %d arguments", macro->name, n);
        goto out;
    }
    text = capture(v, macro->body);
out:
    scope_close(v, s);
    v->floor = floor;
    eval_leave(v);
    return text;
}

static int set_one(struct eval *v, size_t base, const struct node *target, json_t *x)
{
    json_t *space;

    if (target->kind == NODE_NAME) return eval_bind(v, base, target->name, x, NULL);
    space = eval_expr(v, target->a);
    if (!space) return v->run.rc;
    if (!eval_is_namespace(v, space)) {
        run_fail(&v->run, ERR_ARG, "set %s.%s: no namespace", target->a->name, target->name);
        return v->run.rc;
    }
    return json_object_set(space, target->name, x) ? no_memory(v) : ERR_OK;
}

/* One target takes the value, several take its items. */
static int set_targets(struct eval *v, size_t base, const struct node *targets, json_t *x)
{
    size_t i = 0;
    int rc = ERR_OK;

    if (!targets->next) return set_one(v, base, targets, x);
    for (const struct node *t = targets; t && !rc; t = t->next, i++) {
        if (i >= json_array_size(x)) break;
        rc = set_one(v, base, t, json_array_get(x, i));
        if (!t->next && i + 1 == json_array_size(x)) return rc;
    }
    if (!rc) run_fail(&v->run, ERR_ARG, "%s cannot be taken apart", value_kind(&v->run, x));
    return v->run.rc;
}

static int run_set(struct eval *v, const struct node *n)
{
    json_t *x = n->kind == NODE_SET ? eval_expr(v, n->a) : capture(v, n->body);

    return x ? set_targets(v, v->base, n->args, x) : v->run.rc;
}

static int put(struct eval *v, json_t *loop, const char *name, json_t *x)
{
    if (!x) return v->run.rc;
    return json_object_set(loop, name, x) ? no_memory(v) : ERR_OK;
}

/* The loop variable at the i-th of n items. */
static json_t *make_loop(struct eval *v, json_t *list, size_t i)
{
    struct run *r = &v->run;
    json_t *loop = run_keep(r, json_object());
    size_t n = json_array_size(list);
    const struct {
        const char *name;
        size_t n;
    } NUMBERS[] = {{"index", i + 1}, {"index0", i}, {"revindex", n - i}, {"revindex0", n - i - 1},
                   {"length", n},    {"depth", 1},  {"depth0", 0}};

    if (!loop) return NULL;
    for (size_t k = 0; k < sizeof NUMBERS / sizeof NUMBERS[0]; k++)
        if (put(v, loop, NUMBERS[k].name, run_int(r, (json_int_t)NUMBERS[k].n))) return NULL;
    if (put(v, loop, "first", run_bool(i == 0)) || put(v, loop, "last", run_bool(i + 1 == n)))
        return NULL;
    if (i && put(v, loop, "previtem", json_array_get(list, i - 1))) return NULL;
    if (i + 1 < n && put(v, loop, "nextitem", json_array_get(list, i + 1))) return NULL;
    return loop;
}

/* The items that the loop's own condition lets through. */
static json_t *filter_items(struct eval *v, const struct node *n, json_t *list)
{
    json_t *out = run_keep(&v->run, json_array()), *x;
    struct scope s = scope_open(v);

    for (size_t i = 0; out && i < json_array_size(list); i++) {
        v->n_names = s.base;
        if (set_targets(v, s.base, n->args, json_array_get(list, i))) break;
        x = eval_expr(v, n->b);
        if (!x) break;
        if (value_is_true(&v->run, x) && json_array_append(out, json_array_get(list, i)))
            no_memory(v);
    }
    scope_close(v, s);
    return v->run.rc ? NULL : out;
}

static json_t *loop_items(struct eval *v, const struct node *n)
{
    struct args none = {0};
    json_t *list = eval_expr(v, n->a);

    if (!list) return NULL;
    list = filter_call(&v->run, "list", list, &none);
    if (list && n->b) list = filter_items(v, n, list);
    return list;
}

static int run_for(struct eval *v, const struct node *n)
{
    json_t *list = loop_items(v, n), *loop;
    struct scope s;
    size_t mark;

    if (!list) return v->run.rc;
    if (!json_array_size(list)) return run_body(v, n->orelse);
    s = scope_open(v);
    mark = v->run.n_kept;
    for (size_t i = 0; i < json_array_size(list) && !v->run.rc && v->jump != BREAK; i++) {
        v->n_names = s.base;
        v->jump = GO_ON;
        loop = make_loop(v, list, i);
        if (loop && !eval_bind(v, s.base, "loop", loop, NULL) &&
            !set_targets(v, s.base, n->args, json_array_get(list, i)))
            run_body(v, n->body);
        run_release(&v->run, mark);
    }
    v->jump = GO_ON;
    scope_close(v, s);
    return v->run.rc;
}

static int run_if(struct eval *v, const struct node *n)
{
    json_t *x = eval_expr(v, n->a);

    if (!x) return v->run.rc;
    return run_body(v, value_is_true(&v->run, x) ? n->body : n->orelse);
}

static int run_print(struct eval *v, const struct node *n)
{
    json_t *x = eval_expr(v, n->a);

    return x ? value_print(&v->run, x, v->out) : v->run.rc;
}

static int run_filter_body(struct eval *v, const struct node *n)
{
    json_t *x;

    if (n->a->a) {
        run_fail(&v->run, ERR_UNSUPPORTED, "a filter block with several filters");
        return v->run.rc;
    }
    x = capture(v, n->body);
    if (x) x = eval_filters(v, n->a, x);
    return x ? value_print(&v->run, x, v->out) : v->run.rc;
}

static int run_one(struct eval *v, const struct node *n)
{
    switch (n->kind) {
    case NODE_TEXT: return value_print(&v->run, n->value, v->out);
    case NODE_PRINT: return run_print(v, n);
    case NODE_IF: return run_if(v, n);
    case NODE_FOR: return run_for(v, n);
    case NODE_SET:
    case NODE_SET_BODY: return run_set(v, n);
    case NODE_MACRO: return eval_bind(v, v->base, n->name, v->run.function, n);
    case NODE_GROUP: return run_body(v, n->body);
    case NODE_FILTER_BODY: return run_filter_body(v, n);
    case NODE_BREAK: v->jump = BREAK; return ERR_OK;
    case NODE_CONTINUE: v->jump = CONTINUE; return ERR_OK;
    default: run_fail(&v->run, ERR_UNSUPPORTED, "a statement of kind %d", n->kind);
    }
    return v->run.rc;
}

static int run_body(struct eval *v, const struct node *first)
{
    for (const struct node *n = first; n && !v->run.rc && v->jump == GO_ON; n = n->next) {
        if (eval_enter(v, n)) run_one(v, n);
        eval_leave(v);
    }
    return v->run.rc;
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

int jinja_render(const struct jinja *j, json_t *vars, int64_t now_s, struct buf *out,
                 struct errmsg *e)
{
    struct eval v = {.vars = vars, .now_s = now_s, .out = out};
    size_t before = out->len;
    int rc = run_init(&v.run, e);

    v.spaces = rc ? NULL : run_keep(&v.run, json_array());
    if (v.spaces) run_body(&v, j->tree.root);
    rc = v.run.rc;
    free(v.names);
    run_fini(&v.run);
    if (rc && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return rc;
}
