/* gguf_parts.h - a GGUF in several files: NAME-00001-of-00003.gguf and its sisters.
 *
 * The first holds the metadata; each says which part it is (split.no from 0, split.count), and has
 * tensors of its own.  A part that is missing, says something else, or has a tensor that another
 * has, is refused by its name.
 */
#ifndef MODEL_GGUF_PARTS_H
#define MODEL_GGUF_PARTS_H

#include <stddef.h>

#include "base/err.h"
#include "model/gguf.h"

/* The bytes of a file's name before "-00002-of-00003.gguf", and the two numbers; or before ".gguf",
 * and 1 and 1; or all of another name, likewise. */
size_t gguf_stem(const char *name, int *no, int *count);

/* Opens path and, when it is the first of several, the others with it. */
int gguf_open_parts(struct gguf **out, const char *path, struct errmsg *e) MUSTCHECK;

#endif
