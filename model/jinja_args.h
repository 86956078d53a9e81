/* jinja_args.h - the arguments of a call, and what a builtin takes.
 *
 * A builtin says its parameters as one string, "width first blank"; args_bind puts each in its
 * place, NULL where it was not given.  "*" at the end takes more arguments, "**" more named ones.
 *
 * Errors  false after run_fail.
 */
#ifndef MODEL_JINJA_ARGS_H
#define MODEL_JINJA_ARGS_H

#include "model/jinja_value.h"

#define ARGS_MAX 16

struct args {
    int n, n_named;
    struct value *at[ARGS_MAX];
    const char *name[ARGS_MAX]; /* of the named ones */
    struct value *named[ARGS_MAX];
};

bool args_add(struct run *r, struct args *a, struct value *v);
bool args_add_named(struct run *r, struct args *a, const char *name, struct value *v);
/* Takes the named one out; NULL when there is none. */
struct value *args_take(struct args *a, const char *name);
bool args_bind(struct run *r, struct args *a, const char *what, const char *params);

/* An int that is bound to place k, or dflt. */
bool args_int(struct run *r, const struct args *a, int k, int64_t dflt, int64_t *out);
/* A str that is bound to place k; dflt may be NULL: then it must be there. */
bool args_text(struct run *r, const struct args *a, int k, struct value *dflt, struct value **out);
/* What is bound to place k and is not none, or NULL. */
struct value *args_given(const struct args *a, int k);
bool args_true(const struct args *a, int k, bool dflt);

/* A builtin: a filter, a test, a method. */
struct builtin {
    const char *name, *params;
    struct value *(*call)(struct run *r, struct value *v, const struct args *a);
};
/* NULL when the list (ended by a NULL name) has none of that name. */
const struct builtin *builtin_find(const struct builtin *list, const char *name);

#endif
