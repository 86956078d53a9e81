/* ingest.h - an input file into the queue: read, checked, keyed, sent in groups, acked when
 * durable.
 *
 * Threads  one.
 * Errors   what stops the whole file: ERR_IO, ERR_TIMEOUT, ERR_ARG (strict, with the first bad
 * line).  A bad line does not: it is stored as a failed row.
 *
 * G2  strict: one bad line, and nothing is sent.  Then a file without rows, and lines for two
 * models or two endpoints, are bad too.
 */
#ifndef CLIENTS_INGEST_H
#define CLIENTS_INGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "clients/batch.h"
#include "clients/group.h"
#include "clients/request.h"

struct ingest_opts {
    const char *file;   /* a path, or "-" */
    const char *errors; /* the list of bad lines goes here; NULL: none is written */
    const char *batch;  /* the batch's name; NULL: the file's name */
    struct batch_wish wish;
    bool strict, replace;
    struct request_format format;
    int signals; /* a descriptor of command_signals, or -1 */
};

struct ingest_counts {
    char batch[256];
    struct batch_found found;
    int64_t rows, refused; /* lines that hold something; of them bad ones */
    struct group_counts sent;
    struct field_counts ignored;
};

int ingest_file(struct client *c, const struct ingest_opts *o, struct ingest_counts *n,
                struct errmsg *e) MUSTCHECK;

/* The summary and the warnings, for people, to stderr. */
void ingest_report(const char *command, const struct ingest_counts *n);

#endif
