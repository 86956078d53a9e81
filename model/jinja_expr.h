/* jinja_expr.h - expressions, from tokens to nodes.
 *
 * Errors  NULL after parser_fail.
 */
#ifndef MODEL_JINJA_EXPR_H
#define MODEL_JINJA_EXPR_H

#include "model/jinja_parser.h"

struct node *expr_parse(struct parser *p);
struct node *expr_parse_or(struct parser *p);    /* without "a if b else c" */
struct node *expr_parse_tuple(struct parser *p); /* with commas between: a tuple */
/* At a comma behind the first of a tuple. */
struct node *expr_parse_rest(struct parser *p, struct node *first);

/* Behind "|": one filter of the value `of`. */
struct node *expr_parse_filter(struct parser *p, struct node *of);

#endif
