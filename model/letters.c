/* letters.c - GPT-2's letters for bytes. */
#include "model/letters.h"

#include "base/err.h"
#include "base/utf8.h"

#define FIRST_MADE_UP 0x100u /* the letter of byte 0 */
#define N_CONTROL     33u    /* bytes 0..32 */
#define N_HIGH        34u    /* bytes 127..160 */
#define SOFT_HYPHEN   173u

/* Its code point. */
static uint32_t letter_of(unsigned char byte)
{
    if (byte < N_CONTROL) return FIRST_MADE_UP + byte;
    if (byte >= 127 && byte <= 160) return FIRST_MADE_UP + N_CONTROL + byte - 127u;
    if (byte == SOFT_HYPHEN) return FIRST_MADE_UP + N_CONTROL + N_HIGH;
    return byte;
}

/* The byte of a letter, or -1. */
static int byte_of(uint32_t cp)
{
    if (cp < FIRST_MADE_UP) return letter_of((unsigned char)cp) == cp ? (int)cp : -1;
    cp -= FIRST_MADE_UP;
    if (cp < N_CONTROL) return (int)cp;
    cp -= N_CONTROL;
    if (cp < N_HIGH) return (int)cp + 127;
    return cp == N_HIGH ? (int)SOFT_HYPHEN : -1;
}

int letters_put(struct buf *out, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (utf8_put(out, letter_of((unsigned char)bytes[i]))) return ERR_NOMEM;
    return ERR_OK;
}

bool letters_read(struct buf *out, const char *text, size_t len)
{
    size_t before = out->len, at = 0;

    while (at < len) {
        uint32_t cp;
        int n = utf8_next(text + at, len - at, &cp);
        int byte = n > 0 ? byte_of(cp) : -1;

        if (byte < 0 || buf_addc(out, (char)byte)) {
            out->len = before;
            return false;
        }
        at += (size_t)n;
    }
    return true;
}
