/* buf.h - a growable run of bytes.
 *
 * Lengths are everywhere: the bytes may hold NUL.  One NUL stands behind the last byte, not counted
 * in len, so that text can also be handed to C.  After a failed append the buffer is unchanged and
 * `failed` is set; a caller may append many times and look once.
 *
 * Ownership  caller's storage: buf_init (or zero), buf_fini.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
    bool failed; /* an append ran out of memory since the last buf_clear */
};

void buf_init(struct buf *b);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */

/* Each returns 0 or ERR_NOMEM. */
int buf_reserve(struct buf *b, size_t more);
int buf_add(struct buf *b, const void *data, size_t len);
int buf_adds(struct buf *b, const char *text);
int buf_addc(struct buf *b, char c);
int buf_addi(struct buf *b, int64_t v); /* in decimal */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
