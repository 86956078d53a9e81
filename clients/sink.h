/* sink.h - a file that appears whole, or standard output.
 *
 * Ownership  caller's storage; sink_close in every case, also when sink_open failed.
 * Errors     ERR_IO, ERR_ARG with the name.
 *
 * X1  a file appears whole under its name (written beside it, then renamed); a pipe or a device is
 *     written to.
 */
#ifndef CLIENTS_SINK_H
#define CLIENTS_SINK_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"

struct sink {
    FILE *f;          /* NULL: a sink that is not used */
    const char *name; /* borrowed; NULL: standard output, or not used */
    char beside[PATH_MAX];
    struct buf lines; /* gathered, not yet written */
};

/* s is all zero. */
int sink_open(struct sink *s, const char *name, bool use_stdout, struct errmsg *e) MUSTCHECK;

/* Writes what was gathered in lines. */
int sink_write(struct sink *s, struct errmsg *e) MUSTCHECK;

/* keep false: the file is dropped.  Without `keep` e may be NULL. */
int sink_close(struct sink *s, bool keep, struct errmsg *e);

/* Do two names mean one file?  NULL means none. */
bool sink_is_same(const char *a, const char *b);

#endif
