/* pipe.c - commands to a rival's server over its socket. */
#include "bench/pipe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/report.h"

#define PIPE_BYTES ((size_t)1 << 20)
#define WAIT_MS    10000

void pipe_open(struct pipe *p, const char *path)
{
    const int64_t until_ms = clock_mono_ms() + WAIT_MS;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const struct timespec ms = {0, 1000000};

    *p = (struct pipe){.in = malloc(PIPE_BYTES)};
    if (!p->in) report_fail("out of memory");
    if (strlen(path) >= sizeof to.sun_path) report_fail("%s is too long for a socket", path);
    strcpy(to.sun_path, path);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(p->fd, (const struct sockaddr *)&to, sizeof to)) {
        if (clock_mono_ms() > until_ms) report_fail("%s: %s", path, strerror(errno));
        nanosleep(&ms, NULL);
    }
}

void pipe_close(struct pipe *p)
{
    close(p->fd);
    free(p->in);
    buf_fini(&p->out);
}

void pipe_add(struct pipe *p, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= (int)sizeof text || buf_add(&p->out, text, (size_t)n))
        report_fail("a command of %d bytes", n);
}

void pipe_send(struct pipe *p)
{
    for (size_t at = 0; at < p->out.len;) {
        const ssize_t n = write(p->fd, p->out.data + at, p->out.len - at);

        if (n < 0) report_fail("a rival: %s", strerror(errno));
        at += (size_t)n;
    }
    buf_clear(&p->out);
}

static void read_more(struct pipe *p)
{
    ssize_t n;

    if (p->at) memmove(p->in, p->in + p->at, p->end - p->at);
    p->end -= p->at;
    p->at = 0;
    n = read(p->fd, p->in + p->end, PIPE_BYTES - p->end);
    if (n <= 0) report_fail("a rival ended: %s", strerror(errno));
    p->end += (size_t)n;
}

const char *pipe_line(struct pipe *p, const char *beginning)
{
    char *end;
    const char *line;

    while (!(end = p->end > p->at ? memchr(p->in + p->at, '\n', p->end - p->at) : NULL))
        read_more(p);
    *end = '\0';
    if (end > p->in + p->at && end[-1] == '\r') end[-1] = '\0';
    line = p->in + p->at;
    p->at = (size_t)(end + 1 - p->in);
    if (strncmp(line, beginning, strlen(beginning)))
        report_fail("a rival said %s, not %s", line, beginning);
    return line;
}

void pipe_skip(struct pipe *p, size_t n)
{
    while (p->end - p->at < n)
        read_more(p);
    p->at += n;
}
