/* charclass.c - the classes of characters that pre-tokenizers tell apart. */
#include "model/charclass.h"

#include <utf8proc.h>

#include "base/utf8.h"

#define O CHAR_OTHER
#define L CHAR_LETTER
#define N CHAR_NUMBER
#define S CHAR_SPACE
static const unsigned char ASCII[128] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, /* 0x00: tab to carriage return */
    O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, /* 0x10 */
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, /* 0x20: the space */
    N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O, /* 0x30 */
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* 0x40 */
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, /* 0x50 */
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* 0x60 */
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, /* 0x70 */
};

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp);
}

enum charclass charclass_of(uint32_t cp)
{
    utf8proc_category_t c;

    if (cp < 128) return ASCII[cp];
    if (cp == 0x85) return CHAR_SPACE; /* next line: white space, though its category is Cc */
    c = category(cp);
    if (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) return CHAR_LETTER;
    if (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO) return CHAR_NUMBER;
    if (c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP) return CHAR_SPACE;
    return CHAR_OTHER;
}

bool charclass_is_word(uint32_t cp)
{
    utf8proc_category_t c = category(cp);

    if ((c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC)
        return true;
    if (cp == 0x200C || cp == 0x200D) return true; /* the joiners */
    /* letters in circles and squares */
    return (cp >= 0x24B6 && cp <= 0x24E9) || (cp >= 0x1F130 && cp <= 0x1F149) ||
           (cp >= 0x1F150 && cp <= 0x1F169) || (cp >= 0x1F170 && cp <= 0x1F189);
}

enum charclass charclass_at(const char *s, size_t len, size_t *n)
{
    uint32_t cp;

    if ((unsigned char)*s < 128) {
        *n = 1;
        return ASCII[(unsigned char)*s];
    }
    *n = (size_t)utf8_next(s, len, &cp);
    return charclass_of(cp);
}
