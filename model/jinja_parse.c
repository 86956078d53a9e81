/* jinja_parse.c - tokens to a tree, by recursive descent; the order of binding is Jinja's. */
#include "model/jinja_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/jinja_lex.h"

#define MAX_DEPTH 120

struct parser {
    const struct token *t; /* the next token */
    struct tree *tree;
    int depth;
    int rc;
    struct errmsg *e;
};

/* Every parse function returns NULL after a failure (p->rc says which); a statement list may be
 * NULL without one. */
static struct node *parse_expr(struct parser *p);
static struct node *parse_unary(struct parser *p, bool filters);
static struct node *parse_body(struct parser *p);

static void *fail(struct parser *p, int rc, const char *what, const char *word)
{
    if (!p->rc) p->rc = err_set(p->e, rc, "template line %d: %s '%s'", p->t->line, what, word);
    return NULL;
}

static struct node *make(struct parser *p, enum node_kind kind)
{
    struct node *n = calloc(1, sizeof *n);

    if (!n) {
        p->rc = err_set(p->e, ERR_NOMEM, "template: no memory");
        return NULL;
    }
    n->kind = kind;
    n->line = p->t->line;
    n->made = p->tree->made;
    p->tree->made = n;
    return n;
}

static bool is(const struct parser *p, enum token_kind kind, const char *text)
{
    return p->t->kind == kind && !strcmp(p->t->text, text);
}

static bool is_op(const struct parser *p, const char *text)
{
    return is(p, TOKEN_OP, text);
}

static bool take(struct parser *p, enum token_kind kind, const char *text)
{
    if (!is(p, kind, text)) return false;
    p->t++;
    return true;
}

static bool take_op(struct parser *p, const char *text)
{
    return take(p, TOKEN_OP, text);
}

static bool take_word(struct parser *p, const char *text)
{
    return take(p, TOKEN_NAME, text);
}

static bool need_op(struct parser *p, const char *text)
{
    if (take_op(p, text)) return true;
    fail(p, ERR_FORMAT, "here must stand", text);
    return false;
}

static bool take_name(struct parser *p, struct node *n)
{
    if (p->t->kind != TOKEN_NAME) {
        fail(p, ERR_FORMAT, "here must stand a name, not", p->t->text);
        return false;
    }
    strcpy(n->name, p->t->text);
    p->t++;
    return true;
}

static bool deeper(struct parser *p)
{
    if (++p->depth <= MAX_DEPTH) return true;
    fail(p, ERR_FULL, "nested too deep at", p->t->text);
    return false;
}

static struct node *make2(struct parser *p, enum node_kind kind, struct node *a, struct node *b)
{
    struct node *n = a && b ? make(p, kind) : NULL;

    if (!n) return NULL;
    n->a = a;
    n->b = b;
    return n;
}

static struct node *make_const(struct parser *p, json_t *value)
{
    struct node *n = value ? make(p, NODE_CONST) : NULL;

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

    while (!p->rc && !take_op(p, close)) {
        *end = parse_expr(p);
        if (!*end) return NULL;
        end = &(*end)->next;
        if (!is_op(p, close) && !need_op(p, ",")) return NULL;
    }
    return first;
}

static struct node *parse_dict(struct parser *p)
{
    struct node *n = make(p, NODE_DICT), **end = n ? &n->args : NULL;

    while (n && !p->rc && !take_op(p, "}")) {
        *end = parse_expr(p);
        if (!*end || !need_op(p, ":")) return NULL;
        end = &(*end)->next;
        *end = parse_expr(p);
        if (!*end) return NULL;
        end = &(*end)->next;
        if (!is_op(p, "}") && !need_op(p, ",")) return NULL;
    }
    return p->rc ? NULL : n;
}

/* Behind "(": one expression in brackets, or a tuple. */
static struct node *parse_group(struct parser *p)
{
    struct node *n, *first;

    if (!is_op(p, ")")) {
        first = parse_expr(p);
        if (!first || take_op(p, ")")) return first;
        if (!need_op(p, ",")) return NULL;
    } else {
        first = NULL;
    }
    n = make(p, NODE_LIST);
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
        if (take_word(p, TRUES[i])) return make_const(p, json_true());
        if (take_word(p, FALSES[i])) return make_const(p, json_false());
        if (take_word(p, NONES[i])) return make_const(p, json_null());
    }
    n = make(p, NODE_NAME);
    return n && take_name(p, n) ? n : NULL;
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
    if (take_op(p, "(")) return parse_group(p);
    if (take_op(p, "{")) return parse_dict(p);
    if (!take_op(p, "[")) return fail(p, ERR_FORMAT, "an expression cannot begin with", p->t->text);
    n = make(p, NODE_LIST);
    if (n) n->args = parse_items(p, "]");
    return p->rc ? NULL : n;
}

/* Behind "(". */
static struct node *parse_args(struct parser *p)
{
    struct node *first = NULL, **end = &first;

    while (!p->rc && !take_op(p, ")")) {
        if (is_op(p, "*") || is_op(p, "**"))
            return fail(p, ERR_UNSUPPORTED, "an argument with", p->t->text);
        if (p->t->kind == TOKEN_NAME && p->t[1].kind == TOKEN_OP && !strcmp(p->t[1].text, "=")) {
            *end = make(p, NODE_KEYWORD);
            if (!*end || !take_name(p, *end) || !need_op(p, "=")) return NULL;
            (*end)->a = parse_expr(p);
        } else {
            *end = parse_expr(p);
        }
        if (!*end || p->rc) return NULL;
        end = &(*end)->next;
        if (!is_op(p, ")") && !need_op(p, ",")) return NULL;
    }
    return first;
}

/* Behind "[": a key, or a slice. */
static struct node *parse_key(struct parser *p, struct node *of)
{
    struct node *n = make(p, NODE_ITEM), *part[3] = {NULL, NULL, NULL};
    int k = 0;

    if (!n) return NULL;
    if (!is_op(p, ":")) part[0] = parse_expr(p);
    while (!p->rc && take_op(p, ":")) {
        if (++k == 3) return fail(p, ERR_FORMAT, "a slice has three parts, not", ":");
        if (!is_op(p, ":") && !is_op(p, "]")) part[k] = parse_expr(p);
    }
    n->kind = k ? NODE_SLICE : NODE_ITEM;
    n->a = of;
    n->b = part[0];
    n->c = part[1];
    n->d = part[2];
    return !p->rc && need_op(p, "]") ? n : NULL;
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    struct node *m;

    while (n && !p->rc) {
        if (take_op(p, ".")) {
            m = make(p, NODE_ATTR);
            if (!m || !take_name(p, m)) return NULL;
            m->a = n;
            n = m;
        } else if (take_op(p, "[")) {
            n = parse_key(p, n);
        } else if (take_op(p, "(")) {
            m = make(p, NODE_CALL);
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
static struct node *parse_filter(struct parser *p, struct node *of)
{
    struct node *n = make(p, NODE_FILTER);

    if (!n || !take_name(p, n)) return NULL;
    n->a = of;
    if (take_op(p, "(")) n->args = parse_args(p);
    return p->rc ? NULL : n;
}

static bool begins_test_arg(const struct parser *p)
{
    static const char *const NOT[] = {"else", "or", "and", "is", "if", "not", "in"};

    if (p->t->kind == TOKEN_CONST || is_op(p, "[") || is_op(p, "{")) return true;
    if (p->t->kind != TOKEN_NAME) return false;
    for (size_t i = 0; i < sizeof NOT / sizeof NOT[0]; i++)
        if (is(p, TOKEN_NAME, NOT[i])) return false;
    return true;
}

/* Behind "is". */
static struct node *parse_test(struct parser *p, struct node *of)
{
    bool negated = take_word(p, "not");
    struct node *n = make(p, NODE_TEST), *m;

    if (!n || !take_name(p, n)) return NULL;
    n->a = of;
    if (take_op(p, "("))
        n->args = parse_args(p);
    else if (begins_test_arg(p))
        n->args = parse_postfix(p, parse_primary(p));
    if (p->rc || !negated) return p->rc ? NULL : n;
    m = make(p, NODE_NOT);
    if (m) m->a = n;
    return m;
}

static struct node *parse_filters(struct parser *p, struct node *n)
{
    while (n && !p->rc) {
        if (take_op(p, "|"))
            n = parse_filter(p, n);
        else if (take_word(p, "is"))
            n = parse_test(p, n);
        else
            break;
    }
    return p->rc ? NULL : n;
}

static struct node *parse_unary(struct parser *p, bool filters)
{
    struct node *n;

    if (!deeper(p)) return NULL;
    if (take_op(p, "-")) {
        n = make(p, NODE_MINUS);
        if (n) n->a = parse_unary(p, false);
    } else {
        take_op(p, "+");
        n = parse_primary(p);
    }
    p->depth--;
    n = p->rc ? NULL : parse_postfix(p, n);
    if (is_op(p, "**")) return fail(p, ERR_UNSUPPORTED, "the operator", "**");
    return filters ? parse_filters(p, n) : n;
}

static const struct {
    const char *text;
    enum binary_op op;
    int level;
} OPS[] = {
    {"+", OP_ADD, 1},    {"-", OP_SUB, 1}, {"~", OP_CONCAT, 2}, {"*", OP_MUL, 3}, {"/", OP_DIV, 3},
    {"//", OP_FLOOR, 3}, {"%", OP_MOD, 3}, {"==", OP_EQ, 0},    {"!=", OP_NE, 0}, {"<", OP_LT, 0},
    {"<=", OP_LE, 0},    {">", OP_GT, 0},  {">=", OP_GE, 0},
};
#define N_OPS    (sizeof OPS / sizeof OPS[0])
#define TIGHTEST 3

static bool take_binary(struct parser *p, int level, enum binary_op *op)
{
    for (size_t i = 0; i < N_OPS; i++) {
        if (OPS[i].level != level || !take_op(p, OPS[i].text)) continue;
        *op = OPS[i].op;
        return true;
    }
    if (level) return false;
    *op = OP_IN;
    if (take_word(p, "in")) return true;
    if (!is(p, TOKEN_NAME, "not") || p->t[1].kind != TOKEN_NAME || strcmp(p->t[1].text, "in"))
        return false;
    p->t += 2;
    *op = OP_NOT_IN;
    return true;
}

/* Level 0 compares, once; 1 to 3 calculate, from the left. */
static struct node *parse_binary(struct parser *p, int level)
{
    struct node *n = level == TIGHTEST ? parse_unary(p, true) : parse_binary(p, level + 1);
    enum binary_op op;
    bool again = false;

    while (n && take_binary(p, level, &op)) {
        if (again && !level)
            return fail(p, ERR_UNSUPPORTED, "a chain of comparisons at", p->t->text);
        n = make2(p, NODE_BINARY, n,
                  level == TIGHTEST ? parse_unary(p, true) : parse_binary(p, level + 1));
        if (n) n->op = op;
        again = true;
    }
    return n;
}

static struct node *parse_not(struct parser *p)
{
    struct node *n;

    if (!take_word(p, "not")) return parse_binary(p, 0);
    if (!deeper(p)) return NULL;
    n = make(p, NODE_NOT);
    if (n) n->a = parse_not(p);
    p->depth--;
    return p->rc ? NULL : n;
}

static struct node *parse_and(struct parser *p)
{
    struct node *n = parse_not(p);

    while (n && take_word(p, "and"))
        n = make2(p, NODE_AND, n, parse_not(p));
    return n;
}

static struct node *parse_or(struct parser *p)
{
    struct node *n = parse_and(p);

    while (n && take_word(p, "or"))
        n = make2(p, NODE_OR, n, parse_and(p));
    return n;
}

static struct node *parse_expr(struct parser *p)
{
    struct node *n, *m;

    if (!deeper(p)) return NULL;
    n = parse_or(p);
    while (n && take_word(p, "if")) {
        m = make2(p, NODE_CHOICE, parse_or(p), n);
        if (m && take_word(p, "else")) m->c = parse_expr(p);
        n = p->rc ? NULL : m;
    }
    p->depth--;
    return n;
}

/* An expression, or several with commas between: a tuple. */
static struct node *parse_tuple(struct parser *p)
{
    struct node *n = parse_expr(p), *list, **end;

    if (!n || !is_op(p, ",")) return n;
    list = make(p, NODE_LIST);
    if (!list) return NULL;
    list->args = n;
    end = &n->next;
    while (take_op(p, ",") && p->t->kind != TOKEN_BLOCK_END && !p->rc) {
        *end = parse_expr(p);
        if (*end) end = &(*end)->next;
    }
    return p->rc ? NULL : list;
}

static bool end_block(struct parser *p)
{
    if (p->t->kind == TOKEN_BLOCK_END) {
        p->t++;
        return true;
    }
    fail(p, ERR_FORMAT, "the tag does not end at", p->t->text);
    return false;
}

/* {% word %}, which ends a body. */
static bool end_body(struct parser *p, const char *word)
{
    if (p->t->kind == TOKEN_BLOCK && p->t[1].kind == TOKEN_NAME && !strcmp(p->t[1].text, word)) {
        p->t += 2;
        return end_block(p);
    }
    fail(p, ERR_FORMAT, "here must stand", word);
    return false;
}

static bool at_block(const struct parser *p, const char *word)
{
    return p->t->kind == TOKEN_BLOCK && p->t[1].kind == TOKEN_NAME && !strcmp(p->t[1].text, word);
}

/* Behind "if" or "elif". */
static struct node *parse_if(struct parser *p)
{
    struct node *n = make(p, NODE_IF);

    if (!n || !deeper(p)) return NULL;
    n->a = parse_expr(p);
    if (!n->a || !end_block(p)) return NULL;
    n->body = parse_body(p);
    if (p->rc) return NULL;
    if (at_block(p, "elif")) {
        p->t += 2;
        n->orelse = parse_if(p);
        p->depth--;
        return p->rc ? NULL : n;
    }
    p->depth--;
    if (at_block(p, "else")) {
        if (!end_body(p, "else")) return NULL;
        n->orelse = parse_body(p);
    }
    return !p->rc && end_body(p, "endif") ? n : NULL;
}

/* Names with commas between, perhaps with an attribute (set). */
static struct node *parse_targets(struct parser *p)
{
    struct node *first = NULL, **end = &first;
    bool bracket = take_op(p, "(");

    do {
        struct node *n = make(p, NODE_NAME), *m;

        if (!n || !take_name(p, n)) return NULL;
        if (take_op(p, ".")) {
            m = make(p, NODE_ATTR);
            if (!m || !take_name(p, m)) return NULL;
            m->a = n;
            n = m;
        }
        *end = n;
        end = &n->next;
    } while (take_op(p, ","));
    return bracket && !need_op(p, ")") ? NULL : first;
}

static struct node *parse_for(struct parser *p)
{
    struct node *n = make(p, NODE_FOR);

    if (!n) return NULL;
    n->args = parse_targets(p);
    if (p->rc) return NULL;
    if (!take_word(p, "in")) return fail(p, ERR_FORMAT, "here must stand", "in");
    n->a = parse_or(p);
    if (n->a && take_word(p, "if")) n->b = parse_expr(p);
    if (p->rc) return NULL;
    if (is(p, TOKEN_NAME, "recursive"))
        return fail(p, ERR_UNSUPPORTED, "a loop that is", "recursive");
    if (!end_block(p)) return NULL;
    n->body = parse_body(p);
    if (!p->rc && at_block(p, "else") && end_body(p, "else")) n->orelse = parse_body(p);
    return !p->rc && end_body(p, "endfor") ? n : NULL;
}

static struct node *parse_set(struct parser *p)
{
    struct node *n = make(p, NODE_SET);

    if (!n) return NULL;
    n->args = parse_targets(p);
    if (p->rc) return NULL;
    if (take_op(p, "=")) {
        n->a = parse_tuple(p);
        return n->a && end_block(p) ? n : NULL;
    }
    if (is_op(p, "|")) return fail(p, ERR_UNSUPPORTED, "set with a body and", "|");
    n->kind = NODE_SET_BODY;
    if (!end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endset") ? n : NULL;
}

static struct node *parse_macro(struct parser *p)
{
    struct node *n = make(p, NODE_MACRO), **end;

    if (!n || !take_name(p, n) || !need_op(p, "(")) return NULL;
    end = &n->args;
    while (!take_op(p, ")")) {
        *end = make(p, NODE_KEYWORD);
        if (!*end || !take_name(p, *end)) return NULL;
        if (take_op(p, "=")) (*end)->a = parse_expr(p);
        if (p->rc || (!is_op(p, ")") && !need_op(p, ","))) return NULL;
        end = &(*end)->next;
    }
    if (!end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endmacro") ? n : NULL;
}

static struct node *parse_group_block(struct parser *p)
{
    struct node *n = make(p, NODE_GROUP);

    if (!n || !end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endgeneration") ? n : NULL;
}

static struct node *parse_filter_block(struct parser *p)
{
    struct node *n = make(p, NODE_FILTER_BODY);

    if (!n) return NULL;
    n->a = parse_filter(p, NULL);
    while (n->a && take_op(p, "|"))
        n->a = parse_filter(p, n->a);
    if (p->rc || !end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endfilter") ? n : NULL;
}

static struct node *parse_jump(struct parser *p, enum node_kind kind)
{
    struct node *n = make(p, kind);

    return n && end_block(p) ? n : NULL;
}

/* Behind "{%": one statement. */
static struct node *parse_block(struct parser *p)
{
    if (take_word(p, "if")) return parse_if(p);
    if (take_word(p, "for")) return parse_for(p);
    if (take_word(p, "set")) return parse_set(p);
    if (take_word(p, "macro")) return parse_macro(p);
    if (take_word(p, "generation")) return parse_group_block(p);
    if (take_word(p, "filter")) return parse_filter_block(p);
    if (take_word(p, "break")) return parse_jump(p, NODE_BREAK);
    if (take_word(p, "continue")) return parse_jump(p, NODE_CONTINUE);
    return fail(p, ERR_UNSUPPORTED, "the statement", p->t->text);
}

static bool ends_a_body(const struct parser *p)
{
    return p->t->kind == TOKEN_END ||
           (p->t->kind == TOKEN_BLOCK && p->t[1].kind == TOKEN_NAME &&
            (!strncmp(p->t[1].text, "end", 3) || !strcmp(p->t[1].text, "else") ||
             !strcmp(p->t[1].text, "elif")));
}

static struct node *parse_statement(struct parser *p)
{
    struct node *n;

    if (p->t->kind == TOKEN_TEXT) {
        n = make(p, NODE_TEXT);
        if (n) n->value = json_incref(p->t->value);
        p->t++;
        return n;
    }
    if (p->t->kind == TOKEN_BLOCK) {
        p->t++;
        return parse_block(p);
    }
    n = make(p, NODE_PRINT);
    p->t++; /* {{ */
    if (n) n->a = parse_tuple(p);
    if (p->rc) return NULL;
    if (p->t->kind != TOKEN_PRINT_END)
        return fail(p, ERR_FORMAT, "the tag does not end at", p->t->text);
    p->t++;
    return n;
}

static struct node *parse_body(struct parser *p)
{
    struct node *first = NULL, **end = &first;

    if (!deeper(p)) return NULL;
    while (!p->rc && !ends_a_body(p)) {
        *end = parse_statement(p);
        if (*end) end = &(*end)->next;
    }
    p->depth--;
    return p->rc ? NULL : first;
}

int jinja_parse(struct tree *out, const char *text, size_t len, struct errmsg *e)
{
    struct tokens tokens = {0};
    struct parser p = {.tree = out, .e = e};

    memset(out, 0, sizeof *out);
    p.rc = jinja_lex(&tokens, text, len, e);
    if (!p.rc) {
        p.t = tokens.at;
        out->root = parse_body(&p);
        if (!p.rc && p.t->kind != TOKEN_END)
            fail(&p, ERR_FORMAT, "no body is open at", p.t[1].text);
    }
    tokens_fini(&tokens);
    if (p.rc) tree_fini(out);
    return p.rc;
}

void tree_fini(struct tree *t)
{
    while (t->made) {
        struct node *n = t->made;

        t->made = n->made;
        json_decref(n->value);
        free(n);
    }
    t->root = NULL;
}
