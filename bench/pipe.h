/* pipe.h - commands to a rival's server over its socket, many before the first answer is read.
 *
 * Errors  end the benchmark (report_fail).
 */
#ifndef BENCH_PIPE_H
#define BENCH_PIPE_H

#include <stddef.h>

#include "base/buf.h"

struct pipe {
    int fd;
    struct buf out;
    char *in; /* [PIPE_BYTES] */
    size_t at, end;
};

void pipe_open(struct pipe *p, const char *path); /* a Unix socket; waits until someone listens */
void pipe_close(struct pipe *p);

void pipe_add(struct pipe *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void pipe_send(struct pipe *p); /* what was added */

/* The next line, without its end, valid until the next call; it must begin so. */
const char *pipe_line(struct pipe *p, const char *beginning);
void pipe_skip(struct pipe *p, size_t n); /* so many bytes */

#endif
