/* field.h - the fields of a JSON object that describes a model, each checked against its limits.
 *
 * A field that is null counts as absent.
 *
 * Errors  ERR_FORMAT for a field that is missing, of another type or out of range; the text names
 *         the file, the field and the number.
 */
#ifndef MODEL_FIELD_H
#define MODEL_FIELD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct fields {
    const char *where;    /* what messages call the object */
    const json_t *object; /* borrowed */
    struct errmsg *e;
};

const json_t *field_at(const struct fields *f, const char *name); /* NULL when absent */

/* A whole number in [lo, hi]; dflt when absent, and absent is an error when dflt < 0. */
int field_int(const struct fields *f, const char *name, int lo, int hi, int dflt,
              int *out) MUSTCHECK;
/* A number in (0, hi]; the same of dflt. */
int field_float(const struct fields *f, const char *name, float hi, float dflt,
                float *out) MUSTCHECK;
int field_bool(const struct fields *f, const char *name, bool dflt, bool *out) MUSTCHECK;
/* Borrowed from the object. */
int field_text(const struct fields *f, const char *name, const char *dflt,
               const char **out) MUSTCHECK;

#endif
