/* added.h - the added tokens of tokenizer.json: spelled out in a text, they are found before
 * anything else is done to it.
 *
 * The longest wins where several begin at one place.  Tokens that are marked `normalized` are
 * looked for in the normalized text, the others in the text as it came.
 *
 * Threads    immutable after open.
 * Ownership  added_open/added_close.
 *
 * A1  without `specials` a special token's spelling is plain text, so a user cannot write one.
 */
#ifndef MODEL_ADDED_H
#define MODEL_ADDED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/normal.h"
#include "model/vocab.h"

struct added;

/* Also puts the tokens into the vocabulary. */
int added_open(struct added **out, const json_t *list, struct vocab *v, const struct normal *n,
               struct errmsg *e) MUSTCHECK;
void added_close(struct added **a);

/* Marks each added token; the array covers the vocabulary. */
enum { ADDED_PLAIN = 1, ADDED_SPECIAL = 2 };
void added_mark(const struct added *a, unsigned char *marks);

struct added_hit {
    size_t begin, end; /* with the white space that lstrip and rstrip take */
    int32_t id;
};

/* The next hit at or after `from`. */
bool added_next(const struct added *a, const char *text, size_t len, size_t from, bool normalized,
                bool specials, struct added_hit *hit);

#endif
