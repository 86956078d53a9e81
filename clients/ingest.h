/* ingest.h - an input file into the queue: read, checked, keyed, sent in groups, acked when
 * durable.
 *
 * Threads  one.
 * Errors   what stops the whole file: ERR_IO, ERR_TIMEOUT, ERR_ARG (strict, with the first bad
 * line).  A bad line does not: it is stored as a failed row.
 *
 * G1  a row that was counted as added, same, replaced or mended is on disk.
 * G2  strict: one bad line, and nothing is sent.
 */
#ifndef CLIENTS_INGEST_H
#define CLIENTS_INGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "clients/client.h"
#include "clients/request.h"

struct ingest_opts {
    const char *file;  /* a path, or "-" */
    const char *batch; /* the batch's name; NULL: the file's name */
    const char *model; /* the batch's model; "" is any */
    int64_t priority, max_attempts;
    bool strict, replace;
    struct request_format format;
    int signals; /* a descriptor of command_signals, or -1 */
};

struct ingest_counts {
    char batch[256];
    int64_t batch_id;
    bool existed;
    int64_t rows, refused; /* lines that hold something; of them bad ones */
    int64_t added, same, differs, replaced, mended; /* as the broker says */
    struct field_counts ignored;
};

int ingest_file(struct client *c, const struct ingest_opts *o, struct ingest_counts *n,
                struct errmsg *e) MUSTCHECK;

/* The summary and the warnings, for people, to stderr. */
void ingest_report(const char *command, const struct ingest_counts *n);

#endif
