/* jinja_arith.h - operators between two values, as Python has them.
 *
 * Ints are of 64 bits; what leaves them is refused, never wrapped.
 *
 * Errors  NULL after run_fail.
 */
#ifndef MODEL_JINJA_ARITH_H
#define MODEL_JINJA_ARITH_H

#include "model/jinja_parse.h"
#include "model/jinja_value.h"

struct value *arith_binary(struct run *r, enum binary_op op, struct value *a, struct value *b);
/* The operators that answer yes or no. */
struct value *arith_compare(struct run *r, enum binary_op op, struct value *a, struct value *b);
struct value *arith_sign(struct run *r, struct value *a, bool minus);

#endif
