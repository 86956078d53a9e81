/* export.h - a batch's finished rows out of the queue file, in the order of the input.
 *
 * Reads in ranges of job ids, each its own short read, so that the log can be checkpointed
 * meanwhile (Q5).
 *
 * X1  a file appears whole under its name (written beside it, then renamed).
 */
#ifndef CLIENTS_EXPORT_H
#define CLIENTS_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "clients/output.h"

struct export_opts {
    const char *db, *batch;
    const char *file;   /* NULL: standard output */
    const char *errors; /* failed rows go here instead; NULL: with the others */
    enum output_format format;
    bool unordered; /* in the order in which they finished */
};

struct export_counts {
    int64_t done, failed, left; /* left: rows that are not finished */
};

/* ERR_EMPTY: there is no such batch. */
int export_batch(const struct export_opts *o, struct export_counts *n, struct errmsg *e) MUSTCHECK;

#endif
