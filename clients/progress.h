/* progress.h - how far a batch is, in one line.
 *
 * A function of its arguments: no clock, no terminal.
 *
 * Units   rows; tokens a second; seconds.
 * Errors  ERR_NOMEM.
 */
#ifndef CLIENTS_PROGRESS_H
#define CLIENTS_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define PROGRESS_TEXT 32 /* room for a duration or a count */

struct progress {
    int64_t done, failed, total; /* failed rows are not among the done ones */
    double tokens_s;             /* 0: not known */
    double eta_s;                /* under 0: not known */
};

/* Appends a line for a terminal of `width` columns, without a line break: a bar and the numbers;
 * what does not fit is left out, the bar first, never more than width. */
int progress_line(struct buf *out, const struct progress *p, int width) MUSTCHECK;

/* Appends the same as plain text with a line break, for a log file. */
int progress_plain(struct buf *out, const struct progress *p) MUSTCHECK;

/* "47s", "3m 20s", "1h 02m", "2d 03h"; "?" when under 0.  Gives out back. */
char *progress_duration(char out[PROGRESS_TEXT], double seconds);

/* "999", "12.3k", "4.0M"; three digits or so.  Gives out back. */
char *progress_count(char out[PROGRESS_TEXT], double n);

#endif
