/* export.h - a batch's finished rows out of the queue file, in the order in which they came in.
 *
 * The files are sinks: they appear whole (X1).
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
    const char *input;  /* a file that must not be overwritten; NULL: none */
    enum output_format format;
    bool unordered; /* in the order in which they finished */
};

struct export_counts {
    int64_t done, failed, left; /* left: rows that are not finished */
};

/* Before any work is done for it: may and can the output be written?  ERR_ARG: it would overwrite
 * the queue file, the input or itself; ERR_IO. */
int export_check(const struct export_opts *o, struct errmsg *e) MUSTCHECK;

/* ERR_EMPTY: there is no such batch. */
int export_batch(const struct export_opts *o, struct export_counts *n, struct errmsg *e) MUSTCHECK;

#endif
