/* jsontext.h - bytes as a JSON string, fast: what a million lines of output are made of.
 *
 * Quotes, backslashes and control characters are escaped as jansson does it; malformed UTF-8
 * becomes U+FFFD; everything else stands as it is.
 *
 * Errors  0 or ERR_NOMEM; out->failed is set too.
 */
#ifndef CLIENTS_JSONTEXT_H
#define CLIENTS_JSONTEXT_H

#include "base/buf.h"

int jsontext_add(struct buf *out, const char *s, size_t len); /* null for NULL */
int jsontext_adds(struct buf *out, const char *text);         /* likewise */

#endif
