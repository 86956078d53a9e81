/* jinja_call.h - calls: functions, macros, methods, recursive loops.
 *
 * Errors  NULL after run_fail.
 */
#ifndef MODEL_JINJA_CALL_H
#define MODEL_JINJA_CALL_H

#include "model/jinja_eval.h"

/* The function of that name, or NULL. */
struct value *call_find(struct run *r, const char *name);
/* The values of a call's arguments, appended to a. */
bool call_args(struct eval *v, const struct node *first, struct args *a);
/* n: a NODE_CALL; caller: the body of a call block, or NULL. */
struct value *call_node(struct eval *v, const struct node *n, struct value *caller);

/* The statements, in jinja.c.  Runs a body into a str. */
struct value *run_captured(struct eval *v, const struct node *body);
/* A for over these items, at this depth, its text captured. */
struct value *run_again(struct eval *v, const struct node *n, struct value *items, size_t depth);

#endif
