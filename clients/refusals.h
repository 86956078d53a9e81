/* refusals.h - the bad lines of one file, as they are found: the first few for people, all of them
 * for programs.
 *
 * The file is OpenAI's list of a batch's errors: {"object":"list","data":[{"code", "message",
 * "param", "line"}]}; param and line are null where there is none.
 *
 * Ownership  caller's storage; refusals_close in every case.
 * Errors     ERR_IO, ERR_ARG, ERR_NOMEM.
 */
#ifndef CLIENTS_REFUSALS_H
#define CLIENTS_REFUSALS_H

#include <stdint.h>

#include "base/buf.h"
#include "clients/row_error.h"
#include "clients/sink.h"

#define REFUSALS_TOLD 20 /* lines on stderr; the rest is counted */

struct refusals {
    int64_t n;
    struct sink file;
};

/* file NULL: for people only. */
int refusals_open(struct refusals *r, const char *file, struct errmsg *e) MUSTCHECK;

/* A line of 0 is the file as a whole. */
int refusals_add(struct refusals *r, const struct row_error *bad, struct errmsg *e) MUSTCHECK;

/* keep false: the file is dropped. */
int refusals_close(struct refusals *r, bool keep, struct errmsg *e);

#endif
