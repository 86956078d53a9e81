/* mapping.h - a file, mapped read-only.
 *
 * Pages are read when they are touched; another process that maps the file shares them.
 *
 * Threads    immutable after open.
 * Ownership  caller's storage: mapping_open, mapping_close.
 * Errors     ERR_IO with errno's text; ERR_FORMAT: not a regular file, or shorter than it must be.
 */
#ifndef BASE_MAPPING_H
#define BASE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct mapping {
    const char *at; /* NULL: closed */
    size_t size;    /* bytes */
    bool borrowed;  /* the caller's memory, not a mapping */
};

/* min: the least bytes that the file must have, at least 1. */
int mapping_open(struct mapping *m, const char *path, size_t min, struct errmsg *e) MUSTCHECK;

/* A file's bytes that are in memory already, and stay there. */
struct mapping mapping_of(const void *bytes, size_t size);
void mapping_close(struct mapping *m);

#endif
