/* jinja_filter.h - filters, tests and methods: what a value can be asked for by name.
 *
 * Errors  as in jinja_value.h: NULL after run_fail; ERR_UNSUPPORTED names what is not known.
 */
#ifndef MODEL_JINJA_FILTER_H
#define MODEL_JINJA_FILTER_H

#include "model/jinja_value.h"

#define ARGS_MAX   8
#define ARGS_NAMED -1 /* args_get: only by name */

struct args {
    int n, n_named;
    json_t *at[ARGS_MAX];
    const char *name[ARGS_MAX]; /* of the named ones */
    json_t *named[ARGS_MAX];
};
/* The i-th argument, or the one called `name`; NULL when it is absent. */
json_t *args_get(const struct args *a, int i, const char *name);

json_t *filter_call(struct run *r, const char *name, json_t *v, const struct args *a);
json_t *test_call(struct run *r, const char *name, json_t *v, const struct args *a);

/* v.name(...) */
json_t *method_call(struct run *r, const char *name, json_t *v, const struct args *a);
/* Has Python's type of v a method or attribute of this name?  Then v.name is not v["name"]. */
bool method_exists(const struct run *r, const json_t *v, const char *name);

/* v[name] for a dict, what is undefined otherwise. */
json_t *value_attr(struct run *r, json_t *v, const char *name);

#endif
