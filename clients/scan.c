/* scan.c - the tokens of JSON, one after the other. */
#include "clients/scan.h"

#include <ctype.h>
#include <string.h>

#include "clients/member.h"

#define FRACTION 15 /* digits behind a point: none of them is lost in a double */

void scan_copy(struct scan *s)
{
    size_t n = (size_t)(s->at - s->from);

    if (s->out) {
        memcpy(s->out, s->from, n);
        s->out += n;
    }
    s->from = s->at;
}

void scan_skip(struct scan *s)
{
    const char *c = s->at;

    while (c < s->end && (*c == ' ' || *c == '\t' || *c == '\r' || *c == '\n'))
        c++;
    if (c == s->at) return;
    scan_copy(s);
    s->at = s->from = c;
}

bool scan_take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c) return false;
    s->at++;
    scan_skip(s);
    return true;
}

bool scan_is_next(const struct scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

/* \uXXXX that is a character by itself. */
static bool is_code(const char *s, size_t len)
{
    if (len < 6) return false;
    for (int i = 2; i < 6; i++)
        if (!isxdigit((unsigned char)s[i])) return false;
    return (s[2] != 'd' && s[2] != 'D') || s[3] < '8'; /* not a surrogate, D800 to DFFF */
}

bool scan_string(struct scan *s, bool escapes, struct scan_text *t)
{
    const char *c;

    if (!scan_is_next(s, '"')) return false;
    t->at = c = s->at + 1;
    for (;;) {
        c += member_plain(c, (size_t)(s->end - c));
        if (c == s->end) return false;
        if (*c == '"') break;
        if (*c != '\\' || !escapes || s->end - c < 2) return false;
        if (c[1] != 'u' && (!c[1] || !strchr("\"\\/bfnrt", c[1]))) return false;
        if (c[1] == 'u' && !is_code(c, (size_t)(s->end - c))) return false;
        c += c[1] == 'u' ? 6 : 2;
    }
    t->len = (size_t)(c - t->at);
    s->at = c + 1;
    scan_skip(s);
    return true;
}

bool scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0) return false;
    s->at += len;
    scan_skip(s);
    return true;
}

bool scan_digits(struct scan *s, int most, int64_t *out)
{
    const char *c = s->at;

    for (*out = 0; c < s->end && isdigit((unsigned char)*c) && c - s->at < most; c++)
        *out = *out * 10 + (*c - '0');
    if (c == s->at || (*s->at == '0' && c - s->at > 1)) return false;
    s->at = c;
    scan_skip(s);
    return true;
}

bool scan_integer(struct scan *s, int most, int64_t *out)
{
    bool minus = scan_is_next(s, '-');

    if (minus) s->at++;
    if (!scan_digits(s, most, out)) return false;
    if (minus) *out = -*out;
    return true;
}

bool scan_decimal(struct scan *s, int *whole, bool *rest)
{
    const char *c = s->at, *point;

    *rest = false;
    if (c == s->end || !isdigit((unsigned char)*c)) return false;
    *whole = *c++ - '0';
    if (c < s->end && *c == '.') {
        for (point = c++; c < s->end && isdigit((unsigned char)*c); c++)
            *rest |= *c != '0';
        if (c - point < 2 || c - point > FRACTION + 1) return false;
    }
    s->at = c;
    scan_skip(s);
    return true;
}
