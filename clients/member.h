/* member.h - the members of a JSON object as the user spelled them.
 *
 * A body is stored as text.  Written again from parsed values, 0.7 would become 0.69999999999999996
 * and the row's hash would change with the library, so the text is cut out of the line instead.
 * All input here was accepted by a JSON parser before: nothing is checked again.
 */
#ifndef CLIENTS_MEMBER_H
#define CLIENTS_MEMBER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct member {
    const char *key; /* with its quotes */
    size_t key_len;
    const char *value;
    size_t value_len;
};

/* Bytes before the first quote, backslash or control character. */
size_t member_plain(const char *s, size_t len);

/* Appends JSON text without the space between its tokens.  0 or ERR_NOMEM. */
int member_compact(struct buf *out, const char *json, size_t len);

/* The length of the value that compact JSON begins with here: it ends at the comma or the bracket
 * behind it. */
size_t member_value_len(const char *value, size_t len);

/* The next member of a compact object.  *at is 0 before the first call. */
bool member_next(const char *object, size_t len, size_t *at, struct member *m);

/* Is this the key, however it is escaped? */
bool member_is(const struct member *m, const char *name);

#endif
