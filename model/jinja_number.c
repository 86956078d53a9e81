/* jinja_number.c - numbers that stand in text, as Python's int and float read them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/jinja_filter.h"
#include "model/jinja_text.h"

#define MAX_DIGITS 400

/* The text without the space around it and the underscores between digits; false when it is too
 * long for a number, or holds what none holds. */
static bool clean(struct run *r, const struct value *v, char out[MAX_DIGITS])
{
    struct value *text =
        text_strip(r, &(struct value){.kind = VALUE_STR, .text = {v->text.s, v->text.len}}, NULL,
                   TEXT_LEFT | TEXT_RIGHT);
    const char *s = text ? text->text.s : "";
    size_t n = 0, len = text ? text->text.len : 0;

    if (len >= MAX_DIGITS) return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] & 0x80) run_fail(r, ERR_UNSUPPORTED, "digits beyond ASCII");
        if (!s[i]) return false;
        if (s[i] != '_') {
            out[n++] = s[i];
        } else if (!i || i + 1 == len || s[i - 1] == '_' ||
                   !strchr("0123456789abcdefABCDEF", s[i - 1])) {
            return false;
        }
    }
    out[n] = '\0';
    return n > 0 && !r->rc;
}

struct value *number_read_int(struct run *r, const struct value *v, int64_t base)
{
    char text[MAX_DIGITS], *s = text, *end;
    int64_t i;
    bool minus;

    if (base && (base < 2 || base > 36))
        return run_fail(r, ERR_ARG, "a base of %lld", (long long)base);
    if (!clean(r, v, text)) return NULL;
    minus = *s == '-';
    if (minus || *s == '+') s++;
    if (*s == '-' || *s == '+' || text_is_space((unsigned char)*s)) return NULL;
    if (s[0] == '0' && s[1] && strchr("bBoO", s[1])) {
        if (base != 0 && base != (strchr("bB", s[1]) ? 2 : 8)) return NULL;
        base = strchr("bB", s[1]) ? 2 : 8;
        s += 2;
    } else if (base == 0 && s[0] == '0' && strspn(s, "0123456789") == strlen(s)) {
        base = 10; /* Python takes 0 and 00, no other */
        if (strspn(s, "0") != strlen(s)) return NULL;
    }
    errno = 0;
    i = strtoll(s, &end, (int)base);
    if (end == s || *end) return NULL;
    if (errno) return run_fail(r, ERR_UNSUPPORTED, "a number beyond 64 bits");
    return run_int(r, minus ? -i : i);
}

struct value *number_read_float(struct run *r, const struct value *v)
{
    char text[MAX_DIGITS], *end;
    double f;

    if (!clean(r, v, text) || strpbrk(text, "xX(")) return NULL;
    f = strtod(text, &end);
    return *end || end == text ? NULL : run_float(r, f);
}
