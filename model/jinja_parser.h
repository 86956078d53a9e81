/* jinja_parser.h - the place in the tokens, and the steps that statements and expressions share.
 *
 * A function that makes a node returns NULL after a failure; p->rc says which.
 *
 * Ownership  every node belongs to the tree.
 */
#ifndef MODEL_JINJA_PARSER_H
#define MODEL_JINJA_PARSER_H

#include "model/jinja_lex.h"
#include "model/jinja_parse.h"

struct parser {
    const struct token *t; /* the next token */
    struct tree *tree;
    int depth;
    int loops;     /* that are open here: break and continue need one */
    unsigned uses; /* of the macro that is open, so far */
    int rc;
    struct errmsg *e;
};

/* Notes the failure with its line, unless there is one; returns NULL. */
void *parser_fail(struct parser *p, int rc, const char *what, const char *word);
struct node *parser_make(struct parser *p, enum node_kind kind);

bool parser_at(const struct parser *p, enum token_kind kind, const char *text);
bool parser_at_op(const struct parser *p, const char *text);
bool parser_take_op(struct parser *p, const char *text); /* if it is there */
bool parser_take_word(struct parser *p, const char *text);
bool parser_need_op(struct parser *p, const char *text); /* a failure when it is not */
bool parser_take_name(struct parser *p, struct node *n); /* into n->name */
bool parser_deeper(struct parser *p);                    /* undone by p->depth-- */

#endif
