/* jinja_filter.h - filters and tests by name.
 *
 * Errors  NULL after run_fail; ERR_UNSUPPORTED names what is not known.
 */
#ifndef MODEL_JINJA_FILTER_H
#define MODEL_JINJA_FILTER_H

#include "model/jinja_args.h"

struct value *filter_call(struct run *r, const char *name, struct value *v, struct args *a);
struct value *test_call(struct run *r, const char *name, struct value *v, struct args *a);

/* int(v) and float(v) for text: NULL without a failure when it is no number. */
struct value *number_read_int(struct run *r, const struct value *v, int64_t base);
struct value *number_read_float(struct run *r, const struct value *v);

#endif
