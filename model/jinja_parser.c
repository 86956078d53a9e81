/* jinja_parser.c - the place in the tokens. */
#include "model/jinja_parser.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 120

void *parser_fail(struct parser *p, int rc, const char *what, const char *word)
{
    if (!p->rc) p->rc = err_set(p->e, rc, "template line %d: %s '%s'", p->t->line, what, word);
    return NULL;
}

struct node *parser_make(struct parser *p, enum node_kind kind)
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

bool parser_at(const struct parser *p, enum token_kind kind, const char *text)
{
    return p->t->kind == kind && !strcmp(p->t->text, text);
}

bool parser_at_op(const struct parser *p, const char *text)
{
    return parser_at(p, TOKEN_OP, text);
}

static bool take(struct parser *p, enum token_kind kind, const char *text)
{
    if (!parser_at(p, kind, text)) return false;
    p->t++;
    return true;
}

bool parser_take_op(struct parser *p, const char *text)
{
    return take(p, TOKEN_OP, text);
}

bool parser_take_word(struct parser *p, const char *text)
{
    return take(p, TOKEN_NAME, text);
}

bool parser_need_op(struct parser *p, const char *text)
{
    if (parser_take_op(p, text)) return true;
    parser_fail(p, ERR_FORMAT, "here must stand", text);
    return false;
}

bool parser_take_name(struct parser *p, struct node *n)
{
    if (p->t->kind != TOKEN_NAME) {
        parser_fail(p, ERR_FORMAT, "here must stand a name, not", p->t->text);
        return false;
    }
    strcpy(n->name, p->t->text);
    p->t++;
    return true;
}

bool parser_deeper(struct parser *p)
{
    if (++p->depth <= MAX_DEPTH) return true;
    parser_fail(p, ERR_FULL, "nested too deep at", p->t->text);
    return false;
}
