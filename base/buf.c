/* buf.c - a growable run of bytes. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void buf_init(struct buf *b)
{
    memset(b, 0, sizeof *b);
}

void buf_fini(struct buf *b)
{
    free(b->data);
    buf_init(b);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data) b->data[0] = '\0';
}

int buf_reserve(struct buf *b, size_t more)
{
    size_t want, cap = b->cap ? b->cap : 64;
    char *data;

    if (more > SIZE_MAX / 4 - b->len) goto fail;
    want = b->len + more + 1;
    if (want <= b->cap) return ERR_OK;
    while (cap < want)
        cap *= 2;
    data = realloc(b->data, cap);
    if (!data) goto fail;
    b->data = data;
    b->cap = cap;
    return ERR_OK;
fail:
    b->failed = true;
    return ERR_NOMEM;
}

int buf_add(struct buf *b, const void *data, size_t len)
{
    if (buf_reserve(b, len)) return ERR_NOMEM;
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return ERR_OK;
}

int buf_adds(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

int buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_addi(struct buf *b, int64_t v)
{
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    char text[20];
    size_t at = sizeof text;

    do
        text[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0) text[--at] = '-';
    return buf_add(b, text + at, sizeof text - at);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || buf_reserve(b, (size_t)n)) return ERR_NOMEM;
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return ERR_OK;
}
