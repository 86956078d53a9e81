/* utf8.h - what is text.
 *
 * Well-formed means: shortest forms only, no surrogates, at most U+10FFFF.  NUL is a character like
 * any other.
 * Source  Unicode 15, table 3-7.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Length of the well-formed character at s, its code point in *cp (may be NULL); 0 when it is
 * malformed, and -1 when the bytes so far are a good start and more must follow. */
int utf8_next(const char *s, size_t len, uint32_t *cp);

bool utf8_is_valid(const char *s, size_t len);
size_t utf8_valid_prefix(const char *s,
                         size_t len); /* bytes before the first malformed or cut character */

/* Appends s with each malformed run replaced by U+FFFD (one for each maximal bad part).  0 or
 * ERR_NOMEM. */
int utf8_repair(struct buf *out, const char *s, size_t len);

/* Appends one code point.  0 or ERR_NOMEM. */
int utf8_put(struct buf *out, uint32_t cp);

#endif
