/* charclass.h - the classes of characters that pre-tokenizers tell apart.
 *
 * Threads  any: tables only.
 * Source   Unicode's general categories (utf8proc); white space is the property White_Space: what
 *          \s means to Oniguruma.  (PCRE2's \s takes U+180E besides.)
 */
#ifndef MODEL_CHARCLASS_H
#define MODEL_CHARCLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum charclass {
    CHAR_OTHER,  /* [^\s\p{L}\p{N}] */
    CHAR_LETTER, /* \p{L} */
    CHAR_NUMBER, /* \p{N} */
    CHAR_SPACE   /* \s */
};

enum charclass charclass_of(uint32_t cp);
bool charclass_is_word(uint32_t cp); /* \w: alphabetic, mark, digit, connector or joiner */

/* The class of the character at s and its length in bytes; s is valid UTF-8 and not at its end. */
enum charclass charclass_at(const char *s, size_t len, size_t *n);

#endif
