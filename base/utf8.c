/* utf8.c - what is text. */
#include "base/utf8.h"

#include <string.h>

#include "base/err.h"

int utf8_next(const char *s, size_t len, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    uint32_t c;
    unsigned lo = 0x80, hi = 0xBF; /* limits of the second byte */
    int n;

    if (!len) return -1;
    c = u[0];
    if (c < 0x80) {
        if (cp) *cp = c;
        return 1;
    }
    if (c < 0xC2 || c > 0xF4) return 0;
    n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (c == 0xE0) lo = 0xA0;
    if (c == 0xED) hi = 0x9F;
    if (c == 0xF0) lo = 0x90;
    if (c == 0xF4) hi = 0x8F;
    c &= 0x7Fu >> n;
    for (int i = 1; i < n; i++) {
        if ((size_t)i >= len) return -1;
        if (u[i] < lo || u[i] > hi) return 0;
        lo = 0x80;
        hi = 0xBF;
        c = c << 6 | (u[i] & 0x3Fu);
    }
    if (cp) *cp = c;
    return n;
}

/* Bytes of ASCII in front, by whole words: most text is little else. */
static size_t ascii_words(const char *s, size_t len)
{
    uint64_t w;
    size_t at = 0;

    for (; at + sizeof w <= len; at += sizeof w) {
        memcpy(&w, s + at, sizeof w);
        if (w & 0x8080808080808080u) break;
    }
    return at;
}

size_t utf8_valid_prefix(const char *s, size_t len)
{
    size_t at = ascii_words(s, len);

    while (at < len) {
        int n = utf8_next(s + at, len - at, NULL);

        if (n <= 0) break;
        if (n == 1) at += ascii_words(s + at + 1, len - at - 1);
        at += (size_t)n;
    }
    return at;
}

bool utf8_is_valid(const char *s, size_t len)
{
    return utf8_valid_prefix(s, len) == len;
}

/* Bytes of the maximal bad part at s (Unicode 15, section 3.9: the longest start of a good
 * character, or one byte). */
static size_t bad_part(const char *s, size_t len)
{
    size_t n = 1;

    while (n < len && utf8_next(s, n + 1, NULL) < 0)
        n++;
    return utf8_next(s, n, NULL) < 0 ? n : 1;
}

int utf8_repair(struct buf *out, const char *s, size_t len)
{
    while (len) {
        size_t good = utf8_valid_prefix(s, len), bad;

        if (buf_add(out, s, good)) return ERR_NOMEM;
        s += good;
        len -= good;
        if (!len) break;
        bad = bad_part(s, len);
        if (buf_add(out, "\xEF\xBF\xBD", 3)) return ERR_NOMEM;
        s += bad;
        len -= bad;
    }
    return ERR_OK;
}

int utf8_put(struct buf *out, uint32_t cp)
{
    char s[4];
    size_t n;

    if (cp < 0x80) {
        s[0] = (char)cp;
        n = 1;
    } else if (cp < 0x800) {
        s[0] = (char)(0xC0 | cp >> 6);
        s[1] = (char)(0x80 | (cp & 0x3F));
        n = 2;
    } else if (cp < 0x10000) {
        s[0] = (char)(0xE0 | cp >> 12);
        s[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        s[2] = (char)(0x80 | (cp & 0x3F));
        n = 3;
    } else {
        s[0] = (char)(0xF0 | cp >> 18);
        s[1] = (char)(0x80 | (cp >> 12 & 0x3F));
        s[2] = (char)(0x80 | (cp >> 6 & 0x3F));
        s[3] = (char)(0x80 | (cp & 0x3F));
        n = 4;
    }
    return buf_add(out, s, n);
}
