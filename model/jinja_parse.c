/* jinja_parse.c - statements, from tokens to a tree. */
#include "model/jinja_parse.h"

#include <stdlib.h>
#include <string.h>

#include "model/jinja_expr.h"

/* A statement list may be empty, that is NULL, without a failure. */
static struct node *parse_body(struct parser *p);

static bool end_block(struct parser *p)
{
    if (p->t->kind == TOKEN_BLOCK_END) {
        p->t++;
        return true;
    }
    parser_fail(p, ERR_FORMAT, "the tag does not end at", p->t->text);
    return false;
}

/* {% word %}, which ends a body. */
static bool end_body(struct parser *p, const char *word)
{
    if (p->t->kind == TOKEN_BLOCK && p->t[1].kind == TOKEN_NAME && !strcmp(p->t[1].text, word)) {
        p->t += 2;
        return end_block(p);
    }
    parser_fail(p, ERR_FORMAT, "here must stand", word);
    return false;
}

static bool at_block(const struct parser *p, const char *word)
{
    return p->t->kind == TOKEN_BLOCK && p->t[1].kind == TOKEN_NAME && !strcmp(p->t[1].text, word);
}

/* Behind "if" or "elif". */
static struct node *parse_if(struct parser *p)
{
    struct node *n = parser_make(p, NODE_IF);

    if (!n || !parser_deeper(p)) return NULL;
    n->a = expr_parse(p);
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

static struct node *parse_targets(struct parser *p);

/* A name, perhaps with an attribute, or targets in brackets. */
static struct node *parse_target(struct parser *p)
{
    struct node *n, *m;
    const char *close = parser_at_op(p, "(") ? ")" : "]";

    if (parser_take_op(p, "(") || parser_take_op(p, "[")) {
        if (!parser_deeper(p)) return NULL;
        n = parse_targets(p);
        p->depth--;
        return n && parser_need_op(p, close) ? n : NULL;
    }
    n = parser_make(p, NODE_NAME);
    if (!n || !parser_take_name(p, n)) return NULL;
    if (!parser_take_op(p, ".")) return n;
    m = parser_make(p, NODE_ATTR);
    if (!m || !parser_take_name(p, m)) return NULL;
    m->a = n;
    return m;
}

/* One target, or several with commas between: a TUPLE. */
static struct node *parse_targets(struct parser *p)
{
    struct node *first = parse_target(p), *list, **end;

    if (!first || !parser_at_op(p, ",")) return first;
    list = parser_make(p, NODE_TUPLE);
    if (!list) return NULL;
    list->args = first;
    end = &first->next;
    while (parser_take_op(p, ",") && (parser_at_op(p, "(") || (p->t->kind == TOKEN_NAME &&
                                                               !parser_at(p, TOKEN_NAME, "in")))) {
        *end = parse_target(p);
        if (!*end) return NULL;
        end = &(*end)->next;
    }
    return list;
}

static struct node *parse_for(struct parser *p)
{
    struct node *n = parser_make(p, NODE_FOR);

    if (!n) return NULL;
    n->args = parse_targets(p);
    if (p->rc) return NULL;
    if (!parser_take_word(p, "in")) return parser_fail(p, ERR_FORMAT, "here must stand", "in");
    n->a = expr_parse_or(p);
    if (n->a && parser_at_op(p, ",")) n->a = expr_parse_rest(p, n->a);
    if (n->a && parser_take_word(p, "if")) n->b = expr_parse(p);
    if (p->rc) return NULL;
    n->is_recursive = parser_take_word(p, "recursive");
    if (!end_block(p)) return NULL;
    p->loops++;
    n->body = parse_body(p);
    p->loops--;
    if (!p->rc && at_block(p, "else") && end_body(p, "else")) n->orelse = parse_body(p);
    return !p->rc && end_body(p, "endfor") ? n : NULL;
}

static struct node *parse_set(struct parser *p)
{
    struct node *n = parser_make(p, NODE_SET);

    if (!n) return NULL;
    n->args = parse_targets(p);
    if (p->rc) return NULL;
    if (parser_take_op(p, "=")) {
        n->a = expr_parse_tuple(p);
        return n->a && end_block(p) ? n : NULL;
    }
    while (parser_take_op(p, "|")) {
        n->a = expr_parse_filter(p, n->a);
        if (!n->a) return NULL;
    }
    n->kind = NODE_SET_BODY;
    if (!end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endset") ? n : NULL;
}

/* Behind "(": a macro's parameters, up to ")". */
static struct node *parse_parameters(struct parser *p)
{
    struct node *first = NULL, **end = &first;

    while (!p->rc && !parser_take_op(p, ")")) {
        *end = parser_make(p, NODE_KEYWORD);
        if (!*end || !parser_take_name(p, *end)) return NULL;
        for (const struct node *n = first; n != *end; n = n->next)
            if (!strcmp(n->name, (*end)->name))
                return parser_fail(p, ERR_FORMAT, "a second parameter", n->name);
        if (parser_take_op(p, "=")) (*end)->a = expr_parse(p);
        if (p->rc || (!parser_at_op(p, ")") && !parser_need_op(p, ","))) return NULL;
        end = &(*end)->next;
    }
    return first;
}

/* The body of a macro, or of the caller of a call block: no loop outside is its own. */
static bool parse_macro_body(struct parser *p, struct node *n, const char *end)
{
    unsigned uses = p->uses;
    int loops = p->loops;

    if (!end_block(p)) return false;
    p->uses = 0;
    p->loops = 0;
    n->body = parse_body(p);
    n->uses = p->uses;
    p->uses |= uses;
    p->loops = loops;
    return !p->rc && end_body(p, end);
}

static struct node *parse_macro(struct parser *p)
{
    struct node *n = parser_make(p, NODE_MACRO);

    if (!n || !parser_take_name(p, n) || !parser_need_op(p, "(")) return NULL;
    n->args = parse_parameters(p);
    return !p->rc && parse_macro_body(p, n, "endmacro") ? n : NULL;
}

/* {% call(x) f(y) %}: the body becomes a macro that f knows as caller. */
static struct node *parse_call_block(struct parser *p)
{
    struct node *n = parser_make(p, NODE_CALL_BODY);

    if (!n || !(n->b = parser_make(p, NODE_MACRO))) return NULL;
    strcpy(n->b->name, "caller");
    if (parser_take_op(p, "(")) n->b->args = parse_parameters(p);
    if (p->rc || !(n->a = expr_parse(p))) return NULL;
    if (n->a->kind != NODE_CALL)
        return parser_fail(p, ERR_FORMAT, "a call block without a call at", p->t->text);
    return parse_macro_body(p, n->b, "endcall") ? n : NULL;
}

static struct node *parse_with(struct parser *p)
{
    struct node *n = parser_make(p, NODE_WITH), **end = n ? &n->args : NULL;

    while (n && !p->rc && p->t->kind != TOKEN_BLOCK_END) {
        *end = parser_make(p, NODE_KEYWORD);
        if (!*end || !parser_take_name(p, *end) || !parser_need_op(p, "=")) return NULL;
        (*end)->a = expr_parse(p);
        end = &(*end)->next;
        if (p->t->kind != TOKEN_BLOCK_END && !parser_need_op(p, ",")) return NULL;
    }
    if (p->rc || !end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endwith") ? n : NULL;
}

static struct node *parse_group_block(struct parser *p)
{
    struct node *n = parser_make(p, NODE_GROUP);

    if (!n || !end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endgeneration") ? n : NULL;
}

static struct node *parse_filter_block(struct parser *p)
{
    struct node *n = parser_make(p, NODE_FILTER_BODY);

    if (!n) return NULL;
    n->a = expr_parse_filter(p, NULL);
    while (n->a && parser_take_op(p, "|"))
        n->a = expr_parse_filter(p, n->a);
    if (p->rc || !end_block(p)) return NULL;
    n->body = parse_body(p);
    return !p->rc && end_body(p, "endfilter") ? n : NULL;
}

static struct node *parse_jump(struct parser *p, enum node_kind kind)
{
    struct node *n = parser_make(p, kind);

    if (!p->loops) return parser_fail(p, ERR_FORMAT, "no loop is open at", p->t[-1].text);
    return n && end_block(p) ? n : NULL;
}

/* Behind "{%": one statement. */
static struct node *parse_block(struct parser *p)
{
    if (parser_take_word(p, "if")) return parse_if(p);
    if (parser_take_word(p, "for")) return parse_for(p);
    if (parser_take_word(p, "set")) return parse_set(p);
    if (parser_take_word(p, "macro")) return parse_macro(p);
    if (parser_take_word(p, "call")) return parse_call_block(p);
    if (parser_take_word(p, "with")) return parse_with(p);
    if (parser_take_word(p, "generation")) return parse_group_block(p);
    if (parser_take_word(p, "filter")) return parse_filter_block(p);
    if (parser_take_word(p, "break")) return parse_jump(p, NODE_BREAK);
    if (parser_take_word(p, "continue")) return parse_jump(p, NODE_CONTINUE);
    return parser_fail(p, ERR_UNSUPPORTED, "the statement", p->t->text);
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
        n = parser_make(p, NODE_TEXT);
        if (n) n->value = json_incref(p->t->value);
        p->t++;
        return n;
    }
    if (p->t->kind == TOKEN_BLOCK) {
        p->t++;
        return parse_block(p);
    }
    n = parser_make(p, NODE_PRINT);
    p->t++; /* {{ */
    if (n) n->a = expr_parse_tuple(p);
    if (p->rc) return NULL;
    if (p->t->kind != TOKEN_PRINT_END)
        return parser_fail(p, ERR_FORMAT, "the tag does not end at", p->t->text);
    p->t++;
    return n;
}

static struct node *parse_body(struct parser *p)
{
    struct node *first = NULL, **end = &first;

    if (!parser_deeper(p)) return NULL;
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
            parser_fail(&p, ERR_FORMAT, "no body is open at", p.t[1].text);
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
