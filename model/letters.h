/* letters.h - GPT-2's letters for bytes: each of the 256 bytes as one printable character.
 *
 * Bytes that print as themselves in Latin-1 keep their place; the others become U+0100 and on, in
 * order.  So a vocabulary of byte strings can be written as JSON text.
 *
 * Source  Radford et al. 2019, the byte encoder of the GPT-2 release.
 */
#ifndef MODEL_LETTERS_H
#define MODEL_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends the letters of these bytes.  0 or ERR_NOMEM. */
int letters_put(struct buf *out, const char *bytes, size_t len);

/* Appends the bytes that these letters stand for.  False, and nothing appended, when some character
 * is no letter or memory ran out (out->failed). */
bool letters_read(struct buf *out, const char *text, size_t len);

#endif
