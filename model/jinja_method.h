/* jinja_method.h - what a value can be asked for with a dot and brackets: v.split(",").
 *
 * Methods that would change a list or a dict fail, as in Hugging Face's sandbox; Python's others
 * that are not known here are refused by name.
 *
 * Errors  NULL after run_fail.
 */
#ifndef MODEL_JINJA_METHOD_H
#define MODEL_JINJA_METHOD_H

#include "model/jinja_args.h"

struct loop {
    struct value *items; /* a list */
    size_t index, depth;
    struct value *changed;   /* what loop.changed was last called with, or NULL */
    const struct node *node; /* a recursive loop's own; else NULL */
    struct scope *scope;     /* where it stands */
};

/* Has Python's type of v a method of this name? */
bool method_exists(const struct value *v, const char *name);
/* m: a VALUE_METHOD. */
struct value *method_call(struct run *r, struct value *m, struct args *a);

#endif
