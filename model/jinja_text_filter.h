/* jinja_text_filter.h - the filters that make text of their value first. */
#ifndef MODEL_JINJA_TEXT_FILTER_H
#define MODEL_JINJA_TEXT_FILTER_H

#include "model/jinja_args.h"

extern const struct builtin TEXT_FILTERS[]; /* ended by a NULL name */

#endif
