/* jinja_print.h - a value as text: as {{ v }} prints it, as Python's repr, as json.dumps.
 *
 * Errors  false after run_fail.
 */
#ifndef MODEL_JINJA_PRINT_H
#define MODEL_JINJA_PRINT_H

#include "model/jinja_value.h"

bool value_print(struct run *r, const struct value *v, struct buf *out);
bool value_repr(struct run *r, const struct value *v, struct buf *out);
struct value *value_str(struct run *r, struct value *v); /* a str itself, or as it prints */

/* What json.dumps is told; indent < 0 is None, a NULL separator the usual one. */
struct json_style {
    int64_t indent;
    bool ascii, sorted;
    const struct value *item, *key; /* separators */
};
bool value_to_json(struct run *r, const struct value *v, const struct json_style *style,
                   struct buf *out);

#endif
