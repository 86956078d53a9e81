/* lines.h - the lines of a stream, in bounded memory.
 *
 * A byte order mark at the start, a CR before the LF and lines of nothing but spaces and tabs are
 * taken away; the last line may lack its LF.  A line over the limit is streamed past, never held.
 *
 * Units      len and offset are bytes; number counts every line from 1, blank ones too.
 * Ownership  the descriptor stays the caller's; a line's bytes are good until the next call.
 * Errors     ERR_EMPTY at the end, ERR_IO, ERR_NOMEM; ERR_INTERRUPTED after a signal, and the
 *            next call goes on where this one stopped.
 *
 * Memory: 1 MiB and at most twice the longest line that is not over the limit.
 */
#ifndef CLIENTS_LINES_H
#define CLIENTS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct lines;

struct line {
    const char *bytes; /* without the line's end, NUL allowed; NULL when too_long */
    size_t len;        /* the true length, also when too_long */
    int64_t number;
    int64_t offset; /* of the first byte in the stream, a byte order mark counted */
    bool too_long;  /* len is over max_bytes */
};

int lines_open(struct lines **out, int fd, size_t max_bytes, struct errmsg *e) MUSTCHECK;
void lines_close(struct lines **l);

/* A wait for input ends with ERR_INTERRUPTED when this descriptor becomes readable. */
void lines_wake(struct lines *l, int fd);

/* The next line that is not blank. */
int lines_next(struct lines *l, struct line *out, struct errmsg *e) MUSTCHECK;

int64_t lines_blank(const struct lines *l); /* blank lines so far */

#endif
