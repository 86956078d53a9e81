/* jinja_lookup.h - v.name, v[key] and v[a:b:c], as Jinja looks them up: a dict's methods come
 * before its keys for v.name, and behind them for v["name"]; what is not there is undefined.
 *
 * Errors  NULL after run_fail: ERR_ARG of what is undefined, ERR_UNSUPPORTED by name.
 */
#ifndef MODEL_JINJA_LOOKUP_H
#define MODEL_JINJA_LOOKUP_H

#include "model/jinja_value.h"

struct value *lookup_attr(struct run *r, struct value *v, const char *name);
struct value *lookup_item(struct run *r, struct value *v, const struct value *key);
/* Each of from, to, step may be NULL. */
struct value *lookup_slice(struct run *r, struct value *v, const struct value *from,
                           const struct value *to, const struct value *step);

#endif
