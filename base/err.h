/* err.h - what a function returns, and where the text of a failure lives.
 *
 * Every function that can fail returns 0 or a negative enum err.  The text for a person is one line
 * that names the thing and the number; it is written into the struct errmsg of the caller, or into
 * the object that failed.
 *
 * Threads  no shared state.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define MUSTCHECK __attribute__((warn_unused_result))

enum err {
    ERR_OK = 0,
    ERR_NOMEM = -1,       /* host allocation failed: give back what you hold */
    ERR_ARG = -2,         /* a caller's value is out of range: fix the caller or the flag */
    ERR_IO = -3,          /* a file or socket said no; errno is in the text */
    ERR_FORMAT = -4,      /* a file or message is malformed: refuse it, nothing else is lost */
    ERR_UNSUPPORTED = -5, /* well formed, but not known here: refuse it by name */
    ERR_DB = -6,          /* SQLite said no; the text is in the owner's errmsg */
    ERR_EMPTY = -7,       /* nothing there now: ask again later */
    ERR_STALE = -8,       /* the job moved on: drop the work, do not retry */
    ERR_FULL = -9,        /* no room now (KV blocks, disk, queue): wait for room */
    ERR_EXISTS = -10,     /* it is there already, perhaps with other content */
    ERR_TIMEOUT = -11,    /* the other side did not answer in time */
    ERR_CUDA = -12,       /* device or driver: drain, give leases back, end */
    ERR_INTERRUPTED = -13 /* a signal asked us to stop: leave in order */
};

struct errmsg {
    char text[512];
};

/* Writes the line (cut at the buffer's end) and returns rc, so that `return err_set(e, ERR_IO,
 * ...)` reads well. e may be NULL. */
int err_set(struct errmsg *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The enum's name, for logs: "ERR_FORMAT". */
const char *err_name(int rc);

#endif
