/* jinja_eval.h - the value of an expression, and the names that are visible to it.
 *
 * Names lie in scopes, each inside another: the template, a round of a loop, a call of a macro, a
 * body that is captured.  A macro's body stands in the scope where the macro was defined.
 */
#ifndef MODEL_JINJA_EVAL_H
#define MODEL_JINJA_EVAL_H

#include "model/jinja_args.h"
#include "model/jinja_parse.h"

struct binding {
    struct binding *next;
    const char *name; /* borrowed from the tree */
    struct value *value;
};

struct scope {
    struct scope *up;
    struct binding *first;
};

struct macro {
    const struct node *node;
    struct scope *scope; /* where it was defined */
};

struct eval {
    struct run run;
    struct value *vars; /* a dict: what the caller passed in */
    int64_t now_s;
    struct buf *out;
    struct scope *scope; /* the innermost */
    enum { GO_ON, BREAK, CONTINUE } jump;
};

/* NULL after a failure (run.rc). */
struct value *eval_expr(struct eval *v, const struct node *n);

/* The name's value, or one that is undefined. */
struct value *eval_name(struct eval *v, const char *name);
bool eval_bind(struct eval *v, struct scope *s, const char *name, struct value *value);
/* Goes into a new scope inside `up`; what was the scope is given back by v->scope = outer. */
bool eval_open(struct eval *v, struct scope *up);

/* Counts a node and a level; undone by eval_leave. */
bool eval_enter(struct eval *v, const struct node *n);
void eval_leave(struct eval *v);

/* A chain of filters whose innermost value is `in`. */
struct value *eval_filters(struct eval *v, const struct node *n, struct value *in);

#endif
