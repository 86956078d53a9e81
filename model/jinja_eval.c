/* jinja_eval.c - the value of an expression. */
#include "model/jinja_eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/jinja.h"

static const char *const FUNCTIONS[] = {"namespace", "raise_exception", "range",  "strftime_now",
                                        "dict",      "lipsum",          "cycler", "joiner"};

bool eval_enter(struct eval *v, const struct node *n)
{
    struct run *r = &v->run;

    r->line = n->line;
    if (++r->steps > JINJA_MAX_STEPS) run_fail(r, ERR_FULL, "more than %d steps", JINJA_MAX_STEPS);
    if (++r->depth > JINJA_MAX_DEPTH) run_fail(r, ERR_FULL, "deeper than %d", JINJA_MAX_DEPTH);
    return !r->rc;
}

void eval_leave(struct eval *v)
{
    v->run.depth--;
}

int eval_bind(struct eval *v, size_t base, const char *name, json_t *value,
              const struct node *macro)
{
    struct binding x = {name, value, macro};

    for (size_t i = v->n_names; i > base; i--) {
        if (strcmp(v->names[i - 1].name, name)) continue;
        v->names[i - 1] = x;
        return ERR_OK;
    }
    if (v->n_names == v->names_cap) {
        size_t cap = v->names_cap ? v->names_cap * 2 : 32;
        struct binding *names = realloc(v->names, cap * sizeof *names);

        if (!names) {
            run_fail(&v->run, ERR_NOMEM, "no memory");
            return v->run.rc;
        }
        v->names = names;
        v->names_cap = cap;
    }
    v->names[v->n_names++] = x;
    if (!v->in_scope) v->n_globals = v->n_names;
    return ERR_OK;
}

static const struct binding *find_name(const struct eval *v, const char *name)
{
    for (size_t i = v->n_names; i > v->floor && i > v->n_globals; i--)
        if (!strcmp(v->names[i - 1].name, name)) return &v->names[i - 1];
    for (size_t i = v->n_globals; i > 0; i--)
        if (!strcmp(v->names[i - 1].name, name)) return &v->names[i - 1];
    return NULL;
}

static json_t *eval_name(struct eval *v, const char *name)
{
    const struct binding *b = find_name(v, name);
    json_t *x = b ? NULL : json_object_get(v->vars, name);

    if (b) return b->macro ? v->run.function : b->value;
    if (x) return x;
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; i++)
        if (!strcmp(name, FUNCTIONS[i])) return v->run.function;
    return v->run.undefined;
}

bool eval_is_namespace(const struct eval *v, const json_t *x)
{
    for (size_t i = 0; i < json_array_size(v->spaces); i++)
        if (json_array_get(v->spaces, i) == x) return true;
    return false;
}

/* ---- calls ---- */

static bool eval_args(struct eval *v, const struct node *first, struct args *a)
{
    memset(a, 0, sizeof *a);
    for (const struct node *n = first; n; n = n->next) {
        json_t *x;

        if (a->n == ARGS_MAX || a->n_named == ARGS_MAX) {
            run_fail(&v->run, ERR_UNSUPPORTED, "more than %d arguments", ARGS_MAX);
            return false;
        }
        x = eval_expr(v, n->kind == NODE_KEYWORD ? n->a : n);
        if (!x) return false;
        if (n->kind == NODE_KEYWORD) {
            a->name[a->n_named] = n->name;
            a->named[a->n_named++] = x;
        } else {
            a->at[a->n++] = x;
        }
    }
    return true;
}

static json_t *call_namespace(struct eval *v, const struct args *a)
{
    json_t *space = run_keep(&v->run, a->n == 1 && json_is_object(a->at[0]) ? json_copy(a->at[0])
                                                                            : json_object());

    if (!space) return NULL;
    if (a->n > 1 || (a->n == 1 && !json_is_object(a->at[0])))
        return run_fail(&v->run, ERR_UNSUPPORTED, "namespace with such arguments");
    for (int i = 0; i < a->n_named; i++)
        if (json_object_set(space, a->name[i], a->named[i]))
            return run_fail(&v->run, ERR_NOMEM, "no memory");
    if (json_array_append((json_t *)(uintptr_t)v->spaces, space))
        return run_fail(&v->run, ERR_NOMEM, "no memory");
    return space;
}

static json_t *call_range(struct eval *v, const struct args *a)
{
    json_int_t x[3] = {0, 0, 1}, n = 0;
    json_t *list = run_keep(&v->run, json_array());

    for (int i = 0; i < a->n && i < 3; i++) {
        if (!json_is_integer(a->at[i])) return run_fail(&v->run, ERR_ARG, "range wants numbers");
        x[a->n == 1 ? 1 : i] = json_integer_value(a->at[i]);
    }
    if (!list) return NULL;
    if (!a->n || a->n > 3 || !x[2] || a->n_named)
        return run_fail(&v->run, ERR_ARG, "range with such arguments");
    for (json_int_t i = x[0]; x[2] > 0 ? i < x[1] : i > x[1]; i += x[2]) {
        json_t *k = ++n > 100000 ? run_fail(&v->run, ERR_FULL, "a range over 100000 numbers")
                                 : run_int(&v->run, i);

        if (!k || json_array_append(list, k)) return NULL;
    }
    return list;
}

static json_t *call_strftime(struct eval *v, const struct args *a)
{
    char text[256];
    time_t now = (time_t)v->now_s;
    struct tm tm;
    size_t n;

    if (a->n != 1 || !json_is_string(a->at[0]) || !localtime_r(&now, &tm))
        return run_fail(&v->run, ERR_ARG, "strftime_now wants one str");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the template's own format */
    n = strftime(text, sizeof text, json_string_value(a->at[0]), &tm);
#pragma GCC diagnostic pop
    return run_text(&v->run, text, n);
}

static json_t *call_function(struct eval *v, const char *name, const struct args *a)
{
    if (!strcmp(name, "namespace")) return call_namespace(v, a);
    if (!strcmp(name, "range")) return call_range(v, a);
    if (!strcmp(name, "strftime_now")) return call_strftime(v, a);
    if (!strcmp(name, "raise_exception")) {
        const char *text = a->n ? json_string_value(a->at[0]) : NULL;

        return run_fail(&v->run, ERR_ARG, "%.300s", text ? text : "an exception");
    }
    return run_fail(&v->run, eval_name(v, name) == v->run.undefined ? ERR_ARG : ERR_UNSUPPORTED,
                    "the function %s is not known", name);
}

static json_t *eval_call(struct eval *v, const struct node *n)
{
    const struct binding *b;
    struct args a;
    json_t *of;

    if (n->a->kind == NODE_ATTR) {
        of = eval_expr(v, n->a->a);
        if (!of || !eval_args(v, n->args, &a)) return NULL;
        v->run.line = n->line;
        if (eval_is_namespace(v, of))
            return run_fail(&v->run, ERR_UNSUPPORTED, "a call of a namespace's %s", n->a->name);
        return method_call(&v->run, n->a->name, of, &a);
    }
    if (n->a->kind != NODE_NAME)
        return run_fail(&v->run, ERR_UNSUPPORTED, "a call of what has no name");
    if (!eval_args(v, n->args, &a)) return NULL;
    v->run.line = n->line;
    b = find_name(v, n->a->name);
    if (b && b->macro) return eval_macro(v, b->macro, &a);
    if (b || json_object_get(v->vars, n->a->name))
        return run_fail(&v->run, ERR_ARG, "%s is no function", n->a->name);
    return call_function(v, n->a->name, &a);
}

json_t *eval_filters(struct eval *v, const struct node *n, json_t *in)
{
    struct args a;

    if (n->a) in = n->a->kind == NODE_FILTER && !in ? eval_expr(v, n->a) : in;
    if (!in || !eval_args(v, n->args, &a)) return NULL;
    v->run.line = n->line;
    return filter_call(&v->run, n->name, in, &a);
}

/* ---- attributes, items, slices ---- */

static json_t *eval_attr(struct eval *v, const struct node *n)
{
    json_t *of = eval_expr(v, n->a), *x;

    if (!of) return NULL;
    v->run.line = n->line;
    if (of == v->run.undefined)
        return run_fail(&v->run, ERR_ARG, "%s of what is undefined", n->name);
    if (method_exists(&v->run, of, n->name) && !eval_is_namespace(v, of))
        return run_fail(&v->run, ERR_UNSUPPORTED, "the method %s without a call", n->name);
    x = value_attr(&v->run, of, n->name);
    return eval_is_namespace(v, of) ? run_keep(&v->run, json_incref(x)) : x;
}

static json_t *list_item(struct eval *v, json_t *of, json_int_t i)
{
    json_int_t n = (json_int_t)json_array_size(of);

    if (i < 0) i += n;
    return i >= 0 && i < n ? json_array_get(of, (size_t)i) : v->run.undefined;
}

static json_t *text_item(struct eval *v, json_t *of, json_int_t i)
{
    const char *s = json_string_value(of);
    size_t len = json_string_length(of), begin, end;
    json_int_t n = (json_int_t)text_count(s, len);

    if (i < 0) i += n;
    if (i < 0 || i >= n) return v->run.undefined;
    begin = text_offset(s, len, (size_t)i);
    end = begin + text_offset(s + begin, len - begin, 1);
    return run_text(&v->run, s + begin, end - begin);
}

static json_t *eval_item(struct eval *v, const struct node *n)
{
    json_t *of = eval_expr(v, n->a), *key = of ? eval_expr(v, n->b) : NULL, *x;
    struct run *r = &v->run;

    if (!key) return NULL;
    r->line = n->line;
    if (of == r->undefined) return run_fail(r, ERR_ARG, "an item of what is undefined");
    if (of == r->function) return run_fail(r, ERR_UNSUPPORTED, "an item of a function");
    if (json_is_array(of) && json_is_integer(key)) return list_item(v, of, json_integer_value(key));
    if (json_is_string(of) && json_is_integer(key))
        return text_item(v, of, json_integer_value(key));
    if (!json_is_string(key)) return r->undefined;
    x = json_object_getn(of, json_string_value(key), json_string_length(key));
    if (x) return eval_is_namespace(v, of) ? run_keep(r, json_incref(x)) : x;
    if (method_exists(r, of, json_string_value(key)))
        return run_fail(r, ERR_UNSUPPORTED, "the method %s as an item", json_string_value(key));
    return r->undefined;
}

/* One bound of a slice, as Python limits it. */
static bool slice_bound(struct eval *v, const struct node *n, json_int_t dflt, json_int_t len,
                        json_int_t *out)
{
    json_t *x = n ? eval_expr(v, n) : NULL;

    *out = dflt;
    if (!n) return true;
    if (!x) return false;
    if (json_is_null(x)) return true;
    if (!json_is_integer(x)) {
        run_fail(&v->run, ERR_ARG, "a slice wants numbers");
        return false;
    }
    *out = json_integer_value(x);
    if (*out < 0) *out += len;
    if (*out < 0) *out = 0;
    if (*out > len) *out = len;
    return true;
}

static bool slice_step(struct eval *v, const struct node *n, json_int_t *out)
{
    json_t *x = n ? eval_expr(v, n) : NULL;

    *out = 1;
    if (!n) return true;
    if (!x) return false;
    *out = json_integer_value(x);
    if (json_is_integer(x) && (*out > 0 || *out == -1)) return true;
    run_fail(&v->run, ERR_UNSUPPORTED, "a slice with that step");
    return false;
}

static json_t *slice_list(struct eval *v, json_t *of, json_int_t from, json_int_t to,
                          json_int_t step)
{
    json_t *list = run_keep(&v->run, json_array());

    for (json_int_t i = step > 0 ? from : to - 1; list && i >= from && i < to; i += step)
        if (json_array_append(list, json_array_get(of, (size_t)i)))
            return run_fail(&v->run, ERR_NOMEM, "no memory");
    return list;
}

static json_t *eval_slice(struct eval *v, const struct node *n)
{
    json_t *of = eval_expr(v, n->a);
    const char *s = json_string_value(of);
    json_int_t len, from, to, step;

    if (!of) return NULL;
    v->run.line = n->line;
    if (!s && !json_is_array(of))
        return run_fail(&v->run, ERR_ARG, "a slice of %s", value_kind(&v->run, of));
    len = (json_int_t)(s ? text_count(s, json_string_length(of)) : json_array_size(of));
    if (!slice_bound(v, n->b, 0, len, &from) || !slice_bound(v, n->c, len, len, &to) ||
        !slice_step(v, n->d, &step))
        return NULL;
    if (step < 0 && (n->b || n->c))
        return run_fail(&v->run, ERR_UNSUPPORTED, "a slice that runs back between bounds");
    if (!s) return slice_list(v, of, from, to, step);
    if (step != 1) return run_fail(&v->run, ERR_UNSUPPORTED, "a str's slice with a step");
    if (to < from) to = from;
    from = (json_int_t)text_offset(s, json_string_length(of), (size_t)from);
    to = (json_int_t)text_offset(s, json_string_length(of), (size_t)to);
    return run_text(&v->run, s + from, (size_t)(to - from));
}

/* ---- operators ---- */

static json_t *concat(struct eval *v, const json_t *a, const json_t *b)
{
    struct buf out = {0};

    if (value_print(&v->run, a, &out) || value_print(&v->run, b, &out)) {
        buf_fini(&out);
        return NULL;
    }
    return run_buf(&v->run, &out);
}

static json_t *calculate_real(struct eval *v, enum binary_op op, double a, double b)
{
    switch (op) {
    case OP_ADD: return run_keep(&v->run, json_real(a + b));
    case OP_SUB: return run_keep(&v->run, json_real(a - b));
    case OP_MUL: return run_keep(&v->run, json_real(a * b));
    case OP_DIV:
        if (b != 0) return run_keep(&v->run, json_real(a / b));
        return run_fail(&v->run, ERR_ARG, "a division by zero");
    default: return run_fail(&v->run, ERR_UNSUPPORTED, "that operator between floats");
    }
}

static json_t *calculate(struct eval *v, enum binary_op op, json_int_t a, json_int_t b)
{
    json_int_t x = 0;
    bool wild = false;

    if ((op == OP_DIV || op == OP_FLOOR || op == OP_MOD) && !b)
        return run_fail(&v->run, ERR_ARG, "a division by zero");
    if (op == OP_DIV) return calculate_real(v, op, (double)a, (double)b);
    if (op == OP_ADD) wild = __builtin_add_overflow(a, b, &x);
    if (op == OP_SUB) wild = __builtin_sub_overflow(a, b, &x);
    if (op == OP_MUL) wild = __builtin_mul_overflow(a, b, &x);
    if ((op == OP_FLOOR || op == OP_MOD) && b == -1) wild = true;
    if (wild) return run_fail(&v->run, ERR_UNSUPPORTED, "a number beyond 64 bits");
    if (op == OP_FLOOR) x = a / b - (a % b != 0 && (a < 0) != (b < 0));
    if (op == OP_MOD) x = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
    return run_int(&v->run, x);
}

static json_t *join_lists(struct eval *v, json_t *a, json_t *b)
{
    json_t *list = run_keep(&v->run, json_copy(a));

    if (list && json_array_extend(list, b)) return run_fail(&v->run, ERR_NOMEM, "no memory");
    return list;
}

static json_t *arithmetic(struct eval *v, enum binary_op op, json_t *a, json_t *b)
{
    if (op == OP_CONCAT || (op == OP_ADD && json_is_string(a) && json_is_string(b)))
        return concat(v, a, b);
    if (op == OP_ADD && json_is_array(a) && json_is_array(b)) return join_lists(v, a, b);
    if (json_is_integer(a) && json_is_integer(b))
        return calculate(v, op, json_integer_value(a), json_integer_value(b));
    if (json_is_number(a) && json_is_number(b))
        return calculate_real(v, op, json_number_value(a), json_number_value(b));
    if (op == OP_MOD && json_is_string(a))
        return run_fail(&v->run, ERR_UNSUPPORTED, "str %% value");
    if (op == OP_MUL) return run_fail(&v->run, ERR_UNSUPPORTED, "a product of other than numbers");
    return run_fail(&v->run, ERR_ARG, "%s and %s do not go together", value_kind(&v->run, a),
                    value_kind(&v->run, b));
}

static json_t *eval_binary(struct eval *v, const struct node *n)
{
    json_t *a = eval_expr(v, n->a), *b = a ? eval_expr(v, n->b) : NULL;
    struct run *r = &v->run;
    bool found;
    int order;

    if (!b) return NULL;
    r->line = n->line;
    switch (n->op) {
    case OP_EQ: return run_bool(value_equal(r, a, b));
    case OP_NE: return run_bool(!value_equal(r, a, b));
    case OP_IN:
    case OP_NOT_IN:
        return value_contains(r, b, a, &found) ? NULL : run_bool(found == (n->op == OP_IN));
    case OP_LT: return value_compare(r, a, b, &order) ? NULL : run_bool(order < 0);
    case OP_LE: return value_compare(r, a, b, &order) ? NULL : run_bool(order <= 0);
    case OP_GT: return value_compare(r, a, b, &order) ? NULL : run_bool(order > 0);
    case OP_GE: return value_compare(r, a, b, &order) ? NULL : run_bool(order >= 0);
    default: return arithmetic(v, n->op, a, b);
    }
}

static json_t *eval_list(struct eval *v, const struct node *n)
{
    json_t *list = run_keep(&v->run, json_array());

    for (const struct node *m = n->args; list && m; m = m->next) {
        json_t *x = eval_expr(v, m);

        if (!x) return NULL;
        if (json_array_append(list, x)) return run_fail(&v->run, ERR_NOMEM, "no memory");
    }
    return list;
}

static json_t *eval_dict(struct eval *v, const struct node *n)
{
    json_t *dict = run_keep(&v->run, json_object());

    for (const struct node *m = n->args; dict && m; m = m->next->next) {
        json_t *key = eval_expr(v, m), *x = key ? eval_expr(v, m->next) : NULL;

        if (!x) return NULL;
        if (!json_is_string(key)) return run_fail(&v->run, ERR_UNSUPPORTED, "a key that is no str");
        if (json_object_setn(dict, json_string_value(key), json_string_length(key), x))
            return run_fail(&v->run, ERR_NOMEM, "no memory");
    }
    return dict;
}

static json_t *eval_minus(struct eval *v, const struct node *n)
{
    json_t *x = eval_expr(v, n->a);

    if (!x) return NULL;
    if (json_is_integer(x)) return calculate(v, OP_SUB, 0, json_integer_value(x));
    if (json_is_real(x)) return run_keep(&v->run, json_real(-json_real_value(x)));
    return run_fail(&v->run, ERR_ARG, "minus %s", value_kind(&v->run, x));
}

static json_t *eval_test(struct eval *v, const struct node *n)
{
    json_t *x = eval_expr(v, n->a);
    struct args a;

    if (!x || !eval_args(v, n->args, &a)) return NULL;
    v->run.line = n->line;
    return test_call(&v->run, n->name, x, &a);
}

static json_t *eval_choice(struct eval *v, const struct node *n)
{
    json_t *x = eval_expr(v, n->a);

    if (!x) return NULL;
    if (value_is_true(&v->run, x)) return eval_expr(v, n->b);
    return n->c ? eval_expr(v, n->c) : v->run.undefined;
}

/* and, or: the deciding side's own value, as in Python. */
static json_t *eval_logic(struct eval *v, const struct node *n)
{
    json_t *x = eval_expr(v, n->a);

    if (!x || value_is_true(&v->run, x) == (n->kind == NODE_OR)) return x;
    return eval_expr(v, n->b);
}

static json_t *eval_kind(struct eval *v, const struct node *n)
{
    json_t *x;

    switch (n->kind) {
    case NODE_CONST: return n->value;
    case NODE_NAME: return eval_name(v, n->name);
    case NODE_LIST: return eval_list(v, n);
    case NODE_DICT: return eval_dict(v, n);
    case NODE_ATTR: return eval_attr(v, n);
    case NODE_ITEM: return eval_item(v, n);
    case NODE_SLICE: return eval_slice(v, n);
    case NODE_CALL: return eval_call(v, n);
    case NODE_FILTER: x = eval_expr(v, n->a); return x ? eval_filters(v, n, x) : NULL;
    case NODE_TEST: return eval_test(v, n);
    case NODE_NOT: x = eval_expr(v, n->a); return x ? run_bool(!value_is_true(&v->run, x)) : NULL;
    case NODE_MINUS: return eval_minus(v, n);
    case NODE_AND:
    case NODE_OR: return eval_logic(v, n);
    case NODE_BINARY: return eval_binary(v, n);
    case NODE_CHOICE: return eval_choice(v, n);
    default: return run_fail(&v->run, ERR_UNSUPPORTED, "an expression of kind %d", n->kind);
    }
}

json_t *eval_expr(struct eval *v, const struct node *n)
{
    json_t *x = eval_enter(v, n) ? eval_kind(v, n) : NULL;

    eval_leave(v);
    return v->run.rc ? NULL : x;
}
