/* jsonfile.h - a JSON file of a model directory, read whole and checked field by field.
 *
 * Errors  ERR_IO with errno's text; ERR_FORMAT with the line of the bad JSON, or with the field's
 * name and number.  Duplicate keys are refused: two readers could believe different ones.
 */
#ifndef MODEL_JSONFILE_H
#define MODEL_JSONFILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Is there a dir/name? */
bool jsonfile_exists(const char *dir, const char *name);

/* The bytes of dir/name, at most max of them. */
int jsonfile_bytes(struct buf *out, const char *dir, const char *name, size_t max,
                   struct errmsg *e) MUSTCHECK;

/* The object in dir/name; json_decref it.  The file has at most max bytes. */
int jsonfile_read(json_t **out, const char *dir, const char *name, size_t max,
                  struct errmsg *e) MUSTCHECK;

#endif
