/* jinja_expr.c - expressions by recursive descent; the order of binding is Jinja's. */
#include "model/jinja_expr.h"

#include <string.h>

#include "base/buf.h"

static struct node *parse_unary(struct parser *p, bool filters);

static struct node *make2(struct parser *p, enum node_kind kind, struct node *a, struct node *b)
{
    struct node *n = a && b ? parser_make(p, kind) : NULL;

    if (!n) return NULL;
    n->a = a;
    n->b = b;
    return n;
}

static struct node *make_const(struct parser *p, json_t *value)
{
    struct node *n = value ? parser_make(p, NODE_CONST) : NULL;

    if (!n) {
        json_decref(value);
        if (!p->rc) p->rc = err_set(p->e, ERR_NOMEM, "template: no memory");
        return NULL;
    }
    n->value = value;
    return n;
}

/* Expressions up to the closing bracket, with commas between. */
static struct node *parse_items(struct parser *p, const char *close)
{
    struct node *first = NULL, **end = &first;

    while (!p->rc && !parser_take_op(p, close)) {
        *end = expr_parse(p);
        if (!*end) return NULL;
        end = &(*end)->next;
        if (!parser_at_op(p, close) && !parser_need_op(p, ",")) return NULL;
    }
    return first;
}

static struct node *parse_dict(struct parser *p)
{
    struct node *n = parser_make(p, NODE_DICT), **end = n ? &n->args : NULL;

    while (n && !p->rc && !parser_take_op(p, "}")) {
        *end = expr_parse(p);
        if (!*end || !parser_need_op(p, ":")) return NULL;
        end = &(*end)->next;
        *end = expr_parse(p);
        if (!*end) return NULL;
        end = &(*end)->next;
        if (!parser_at_op(p, "}") && !parser_need_op(p, ",")) return NULL;
    }
    return p->rc ? NULL : n;
}

/* Behind "(": one expression in brackets, or a tuple. */
static struct node *parse_group(struct parser *p)
{
    struct node *n, *first;

    if (!parser_at_op(p, ")")) {
        first = expr_parse(p);
        if (!first || parser_take_op(p, ")")) return first;
        if (!parser_need_op(p, ",")) return NULL;
    } else {
        first = NULL;
    }
    n = parser_make(p, NODE_TUPLE);
    if (!n) return NULL;
    n->args = parse_items(p, ")");
    if (first) {
        first->next = n->args;
        n->args = first;
    }
    return p->rc ? NULL : n;
}

static struct node *parse_named(struct parser *p)
{
    static const char *const TRUES[] = {"true", "True"}, *const FALSES[] = {"false", "False"},
                             *const NONES[] = {"none", "None"};
    struct node *n;

    for (int i = 0; i < 2; i++) {
        if (parser_take_word(p, TRUES[i])) return make_const(p, json_true());
        if (parser_take_word(p, FALSES[i])) return make_const(p, json_false());
        if (parser_take_word(p, NONES[i])) return make_const(p, json_null());
    }
    n = parser_make(p, NODE_NAME);
    if (!n || !parser_take_name(p, n)) return NULL;
    if (!strcmp(n->name, "varargs")) p->uses |= USES_VARARGS;
    if (!strcmp(n->name, "kwargs")) p->uses |= USES_KWARGS;
    if (!strcmp(n->name, "caller")) p->uses |= USES_CALLER;
    return n;
}

/* Strings that stand side by side are one. */
static struct node *parse_const(struct parser *p)
{
    json_t *value = json_incref(p->t->value);

    p->t++;
    while (json_is_string(value) && p->t->kind == TOKEN_CONST && json_is_string(p->t->value)) {
        struct buf both = {0};

        buf_add(&both, json_string_value(value), json_string_length(value));
        buf_add(&both, json_string_value(p->t->value), json_string_length(p->t->value));
        json_decref(value);
        value = both.failed ? NULL : json_stringn(both.data ? both.data : "", both.len);
        buf_fini(&both);
        p->t++;
    }
    return make_const(p, value);
}

static struct node *parse_primary(struct parser *p)
{
    struct node *n;

    if (p->t->kind == TOKEN_NAME) return parse_named(p);
    if (p->t->kind == TOKEN_CONST) return parse_const(p);
    if (parser_take_op(p, "(")) return parse_group(p);
    if (parser_take_op(p, "{")) return parse_dict(p);
    if (!parser_take_op(p, "["))
        return parser_fail(p, ERR_FORMAT, "an expression cannot begin with", p->t->text);
    n = parser_make(p, NODE_LIST);
    if (n) n->args = parse_items(p, "]");
    return p->rc ? NULL : n;
}

/* One argument of a call: a value, name=value, *list or **dict. */
static struct node *parse_arg(struct parser *p)
{
    struct node *n;
    bool named = p->t->kind == TOKEN_NAME && p->t[1].kind == TOKEN_OP && !strcmp(p->t[1].text, "=");

    if (parser_at_op(p, "*") || parser_at_op(p, "**")) {
        n = parser_make(p, parser_at_op(p, "*") ? NODE_SPREAD : NODE_SPREAD_NAMED);
        p->t++;
    } else if (named) {
        n = parser_make(p, NODE_KEYWORD);
        if (!n || !parser_take_name(p, n) || !parser_need_op(p, "=")) return NULL;
    } else {
        return expr_parse(p);
    }
    if (n) n->a = expr_parse(p);
    return p->rc ? NULL : n;
}

/* Behind "(". */
static struct node *parse_args(struct parser *p)
{
    struct node *first = NULL, **end = &first;

    while (!p->rc && !parser_take_op(p, ")")) {
        *end = parse_arg(p);
        if (!*end) return NULL;
        end = &(*end)->next;
        if (!parser_at_op(p, ")") && !parser_need_op(p, ",")) return NULL;
    }
    return first;
}

/* Behind "[": a key, or a slice. */
static struct node *parse_key(struct parser *p, struct node *of)
{
    struct node *n = parser_make(p, NODE_ITEM), *part[3] = {NULL, NULL, NULL};
    int k = 0;

    if (!n) return NULL;
    if (!parser_at_op(p, ":")) part[0] = expr_parse(p);
    while (!p->rc && parser_take_op(p, ":")) {
        if (++k == 3) return parser_fail(p, ERR_FORMAT, "a slice has three parts, not", ":");
        if (!parser_at_op(p, ":") && !parser_at_op(p, "]")) part[k] = expr_parse(p);
    }
    n->kind = k ? NODE_SLICE : NODE_ITEM;
    n->a = of;
    n->b = part[0];
    n->c = part[1];
    n->d = part[2];
    return !p->rc && parser_need_op(p, "]") ? n : NULL;
}

/* Behind ".": a name, or a number, which is an item. */
static struct node *parse_attr(struct parser *p, struct node *of)
{
    struct node *n;

    if (p->t->kind == TOKEN_CONST && json_is_integer(p->t->value)) {
        n = parser_make(p, NODE_ITEM);
        if (n) n->b = make_const(p, json_incref(p->t->value));
        p->t++;
    } else {
        n = parser_make(p, NODE_ATTR);
        if (n && !parser_take_name(p, n)) return NULL;
    }
    if (n) n->a = of;
    return p->rc ? NULL : n;
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    struct node *m;

    while (n && !p->rc) {
        if (parser_take_op(p, ".")) {
            n = parse_attr(p, n);
        } else if (parser_take_op(p, "[")) {
            n = parse_key(p, n);
        } else if (parser_take_op(p, "(")) {
            m = parser_make(p, NODE_CALL);
            if (!m) return NULL;
            m->a = n;
            m->args = parse_args(p);
            n = m;
        } else {
            break;
        }
    }
    return p->rc ? NULL : n;
}

/* Behind "|". */
struct node *expr_parse_filter(struct parser *p, struct node *of)
{
    struct node *n = parser_make(p, NODE_FILTER);

    if (!n || !parser_take_name(p, n)) return NULL;
    n->a = of;
    if (parser_take_op(p, "(")) n->args = parse_args(p);
    return p->rc ? NULL : n;
}

static bool begins_test_arg(const struct parser *p)
{
    static const char *const NOT[] = {"else", "or", "and", "is", "if", "not", "in", "recursive"};

    if (p->t->kind == TOKEN_CONST || parser_at_op(p, "[") || parser_at_op(p, "{")) return true;
    if (p->t->kind != TOKEN_NAME) return false;
    for (size_t i = 0; i < sizeof NOT / sizeof NOT[0]; i++)
        if (parser_at(p, TOKEN_NAME, NOT[i])) return false;
    return true;
}

/* Behind "is". */
static struct node *parse_test(struct parser *p, struct node *of)
{
    bool negated = parser_take_word(p, "not");
    struct node *n = parser_make(p, NODE_TEST), *m;

    if (!n || !parser_take_name(p, n)) return NULL;
    n->a = of;
    if (parser_take_op(p, "("))
        n->args = parse_args(p);
    else if (begins_test_arg(p))
        n->args = parse_postfix(p, parse_primary(p));
    if (p->rc || !negated) return p->rc ? NULL : n;
    m = parser_make(p, NODE_NOT);
    if (m) m->a = n;
    return m;
}

static struct node *parse_filters(struct parser *p, struct node *n)
{
    while (n && !p->rc) {
        if (parser_take_op(p, "|"))
            n = expr_parse_filter(p, n);
        else if (parser_take_word(p, "is"))
            n = parse_test(p, n);
        else
            break;
    }
    return p->rc ? NULL : n;
}

static struct node *parse_unary(struct parser *p, bool filters)
{
    struct node *n;

    if (!parser_deeper(p)) return NULL;
    if (parser_at_op(p, "-") || parser_at_op(p, "+")) {
        n = parser_make(p, parser_at_op(p, "-") ? NODE_MINUS : NODE_PLUS);
        p->t++;
        if (n) n->a = parse_unary(p, false);
    } else {
        n = parse_primary(p);
    }
    p->depth--;
    n = p->rc ? NULL : parse_postfix(p, n);
    return filters ? parse_filters(p, n) : n;
}

static const struct {
    const char *text;
    enum binary_op op;
    int level;
} OPS[] = {
    {"+", OP_ADD, 1},    {"-", OP_SUB, 1}, {"~", OP_CONCAT, 2}, {"*", OP_MUL, 3}, {"/", OP_DIV, 3},
    {"//", OP_FLOOR, 3}, {"%", OP_MOD, 3}, {"**", OP_POW, 4},   {"==", OP_EQ, 0}, {"!=", OP_NE, 0},
    {"<", OP_LT, 0},     {"<=", OP_LE, 0}, {">", OP_GT, 0},     {">=", OP_GE, 0},
};
#define N_OPS    (sizeof OPS / sizeof OPS[0])
#define TIGHTEST 4

static bool take_binary(struct parser *p, int level, enum binary_op *op)
{
    for (size_t i = 0; i < N_OPS; i++) {
        if (OPS[i].level != level || !parser_take_op(p, OPS[i].text)) continue;
        *op = OPS[i].op;
        return true;
    }
    if (level) return false;
    *op = OP_IN;
    if (parser_take_word(p, "in")) return true;
    if (!parser_at(p, TOKEN_NAME, "not") || p->t[1].kind != TOKEN_NAME ||
        strcmp(p->t[1].text, "in"))
        return false;
    p->t += 2;
    *op = OP_NOT_IN;
    return true;
}

/* Levels 1 to 4 calculate, from the left. */
static struct node *parse_binary(struct parser *p, int level)
{
    struct node *n = level > TIGHTEST ? parse_unary(p, true) : parse_binary(p, level + 1);
    enum binary_op op;

    while (level <= TIGHTEST && n && take_binary(p, level, &op)) {
        n = make2(p, NODE_BINARY, n, parse_binary(p, level + 1));
        if (n) n->op = op;
    }
    return n;
}

/* Level 0 compares: a < b < c is one chain. */
static struct node *parse_compare(struct parser *p)
{
    struct node *first = parse_binary(p, 1), *n, **end;
    enum binary_op op;

    if (!first || !take_binary(p, 0, &op)) return first;
    n = parser_make(p, NODE_COMPARE);
    if (!n) return NULL;
    n->a = first;
    end = &n->args;
    do {
        *end = parser_make(p, NODE_OPERAND);
        if (!*end) return NULL;
        (*end)->op = op;
        (*end)->a = parse_binary(p, 1);
        if (p->rc) return NULL;
        end = &(*end)->next;
    } while (take_binary(p, 0, &op));
    return n;
}

static struct node *parse_not(struct parser *p)
{
    struct node *n;

    if (!parser_take_word(p, "not")) return parse_compare(p);
    if (!parser_deeper(p)) return NULL;
    n = parser_make(p, NODE_NOT);
    if (n) n->a = parse_not(p);
    p->depth--;
    return p->rc ? NULL : n;
}

static struct node *parse_and(struct parser *p)
{
    struct node *n = parse_not(p);

    while (n && parser_take_word(p, "and"))
        n = make2(p, NODE_AND, n, parse_not(p));
    return n;
}

struct node *expr_parse_or(struct parser *p)
{
    struct node *n = parse_and(p);

    while (n && parser_take_word(p, "or"))
        n = make2(p, NODE_OR, n, parse_and(p));
    return n;
}

struct node *expr_parse(struct parser *p)
{
    struct node *n, *m;

    if (!parser_deeper(p)) return NULL;
    n = expr_parse_or(p);
    while (n && parser_take_word(p, "if")) {
        m = make2(p, NODE_CHOICE, expr_parse_or(p), n);
        if (m && parser_take_word(p, "else")) m->c = expr_parse(p);
        n = p->rc ? NULL : m;
    }
    p->depth--;
    return n;
}

struct node *expr_parse_rest(struct parser *p, struct node *first)
{
    struct node *list = parser_make(p, NODE_TUPLE), **end = &first->next;

    if (!list) return NULL;
    list->args = first;
    while (!p->rc && parser_take_op(p, ",") && p->t->kind != TOKEN_BLOCK_END &&
           p->t->kind != TOKEN_PRINT_END) {
        *end = expr_parse(p);
        if (*end) end = &(*end)->next;
    }
    return p->rc ? NULL : list;
}

struct node *expr_parse_tuple(struct parser *p)
{
    struct node *n = expr_parse(p);

    return n && parser_at_op(p, ",") ? expr_parse_rest(p, n) : n;
}
