/* jinja_eval.h - the value of an expression, and the names that are visible to it.
 *
 * Names lie on a stack: the first n_globals are set at the top level, the others belong to loops
 * and macros.  A macro's body sees the globals and its own names, not its caller's: what lies below
 * `floor` is hidden from it.
 */
#ifndef MODEL_JINJA_EVAL_H
#define MODEL_JINJA_EVAL_H

#include "model/jinja_filter.h"
#include "model/jinja_parse.h"

struct binding {
    const char *name; /* borrowed from the tree */
    json_t *value;
    const struct node *macro; /* or NULL */
};

struct eval {
    struct run run;
    json_t *vars; /* borrowed: what the caller passed in */
    int64_t now_s;
    struct buf *out;
    struct binding *names;
    size_t n_names, names_cap;
    size_t n_globals, floor;
    size_t base;          /* where the names of the innermost scope begin */
    bool in_scope;        /* inside a loop or a macro: names are no globals */
    const json_t *spaces; /* the namespaces made so far, as an array */
    enum { GO_ON, BREAK, CONTINUE } jump;
};

/* NULL after a failure (run.rc). */
json_t *eval_expr(struct eval *v, const struct node *n);

/* Sets a name in the scope that begins at `base`. */
int eval_bind(struct eval *v, size_t base, const char *name, json_t *value,
              const struct node *macro);

/* Runs a macro's body and gives its text (jinja.c). */
json_t *eval_macro(struct eval *v, const struct node *macro, const struct args *a);

/* Counts a node and a level; undone by eval_leave. */
bool eval_enter(struct eval *v, const struct node *n);
void eval_leave(struct eval *v);

/* A chain of filters whose innermost value is `in`. */
json_t *eval_filters(struct eval *v, const struct node *n, json_t *in);

bool eval_is_namespace(const struct eval *v, const json_t *x);

#endif
