/* lines.c - the lines of a stream, in bounded memory. */
#include "clients/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

#define READ_BYTES ((size_t)1 << 20)

struct lines {
    int fd;
    int wake_fd; /* -1: none */
    size_t max_bytes;
    char *chunk; /* [READ_BYTES] what the last read gave */
    size_t at, end;
    struct buf part;  /* the line's bytes from earlier chunks, dropped once it is too long */
    size_t raw_bytes; /* of this line so far, its end not counted */
    char last;        /* the newest of them */
    int64_t number, offset, blank;
    bool started, ended;
};

int lines_open(struct lines **out, int fd, size_t max_bytes, struct errmsg *e)
{
    struct lines *l = calloc(1, sizeof *l);

    *out = NULL;
    if (!l || !(l->chunk = malloc(READ_BYTES))) {
        lines_close(&l);
        return err_set(e, ERR_NOMEM, "no memory to read lines");
    }
    l->wake_fd = -1;
    l->fd = fd;
    l->max_bytes = max_bytes < SIZE_MAX / 8 ? max_bytes : SIZE_MAX / 8;
    *out = l;
    return ERR_OK;
}

void lines_wake(struct lines *l, int fd)
{
    l->wake_fd = fd;
}

void lines_close(struct lines **l)
{
    if (!*l) return;
    buf_fini(&(*l)->part);
    free((*l)->chunk);
    free(*l);
    *l = NULL;
}

int64_t lines_blank(const struct lines *l)
{
    return l->blank;
}

/* Reads behind what the chunk holds; sets ended at the end of the stream. */
static int read_more(struct lines *l, struct errmsg *e)
{
    struct pollfd waits[2] = {{l->fd, POLLIN, 0}, {l->wake_fd, POLLIN, 0}};
    ssize_t n;

    if (l->wake_fd >= 0 && poll(waits, 2, -1) > 0 && waits[1].revents)
        return err_set(e, ERR_INTERRUPTED, "interrupted");
    n = read(l->fd, l->chunk + l->end, READ_BYTES - l->end);

    if (n < 0 && errno == EINTR) return err_set(e, ERR_INTERRUPTED, "reading: %s", strerror(errno));
    if (n < 0)
        return err_set(e, ERR_IO, "reading line %lld: %s", (long long)l->number + 1,
                       strerror(errno));
    if (n == 0) l->ended = true;
    l->end += (size_t)n;
    return ERR_OK;
}

/* A pipe may give the mark's three bytes one by one. */
static int skip_mark(struct lines *l, struct errmsg *e)
{
    while (!l->started) {
        if (l->end >= 3 || l->ended) {
            l->started = true;
            if (l->end >= 3 && !memcmp(l->chunk, "\xEF\xBB\xBF", 3)) l->at = 3;
            l->offset = (int64_t)l->at;
        } else {
            int rc = read_more(l, e);

            if (rc) return rc;
        }
    }
    return ERR_OK;
}

/* Holds n more bytes of the line.  One byte over the limit is kept: it may be the CR. */
static int keep(struct lines *l, const char *bytes, size_t n)
{
    if (!n) return ERR_OK;
    l->raw_bytes += n;
    l->last = bytes[n - 1];
    if (l->raw_bytes <= l->max_bytes + 1) return buf_add(&l->part, bytes, n);
    buf_clear(&l->part);
    return ERR_OK;
}

static bool is_blank(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r') return false;
    return true;
}

/* The line is complete: describes it, and gets ready for the one after it. */
static void finish(struct lines *l, const char *bytes, size_t end_bytes, struct line *out)
{
    *out = (struct line){
        .bytes = bytes, .len = l->raw_bytes, .number = ++l->number, .offset = l->offset};
    if (out->len && l->last == '\r') out->len--;
    out->too_long = out->len > l->max_bytes;
    if (out->too_long) out->bytes = NULL;
    l->offset += (int64_t)(l->raw_bytes + end_bytes);
    l->raw_bytes = 0;
    l->last = '\0';
}

/* One line, blank or not. */
static int next_raw(struct lines *l, struct line *out, struct errmsg *e)
{
    if (!l->raw_bytes) buf_clear(&l->part);
    for (;;) {
        const char *s = l->chunk + l->at;
        size_t left = l->end - l->at;
        const char *nl = left ? memchr(s, '\n', left) : NULL;
        size_t n = nl ? (size_t)(nl - s) : left;
        int rc;

        if (nl && !l->raw_bytes) { /* all of it is in the chunk */
            l->raw_bytes = n;
            l->last = n ? s[n - 1] : '\0';
            l->at += n + 1;
            finish(l, s, 1, out);
            return ERR_OK;
        }
        if (keep(l, s, n))
            return err_set(e, ERR_NOMEM, "no memory for line %lld", (long long)l->number + 1);
        l->at += n;
        if (nl) {
            l->at++;
            finish(l, l->part.data, 1, out);
            return ERR_OK;
        }
        if (l->ended) {
            if (!l->raw_bytes) return ERR_EMPTY;
            finish(l, l->part.data, 0, out);
            return ERR_OK;
        }
        l->at = l->end = 0;
        if ((rc = read_more(l, e))) return rc;
    }
}

int lines_next(struct lines *l, struct line *out, struct errmsg *e)
{
    int rc = skip_mark(l, e);

    while (!rc) {
        rc = next_raw(l, out, e);
        if (rc || out->too_long || !is_blank(out->bytes, out->len)) break;
        l->blank++;
    }
    return rc;
}
