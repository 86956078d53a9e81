/* jinja_str.h - the methods of a str. */
#ifndef MODEL_JINJA_STR_H
#define MODEL_JINJA_STR_H

#include "model/jinja_args.h"

/* Ended by a NULL name; without a function: Python has it, and it is not known here. */
extern const struct builtin STR_METHODS[];

#endif
