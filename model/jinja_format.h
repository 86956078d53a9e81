/* jinja_format.h - Python's two ways to format: "%s of %d" % x, and "{} of {a:>3}".format(x).
 *
 * Errors  NULL after run_fail; ERR_UNSUPPORTED names a conversion that is not known.
 *
 * Source  the Python library reference, "printf-style String Formatting" and "Format String
 * Syntax".
 */
#ifndef MODEL_JINJA_FORMAT_H
#define MODEL_JINJA_FORMAT_H

#include "model/jinja_args.h"

/* x: a tuple of values, a dict of named ones, or one value. */
struct value *format_percent(struct run *r, const struct value *format, struct value *x);
struct value *format_braces(struct run *r, const struct value *format, const struct args *a);

#endif
