/* row_error.c - why a row has no answer. */
#include "clients/row_error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

void row_error_quote(char *out, size_t cap, const char *s, size_t len)
{
    size_t n = 0, cut = 0; /* cut: the last end of a character with room for "..." behind it */

    assert(cap >= 8);
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        int k = utf8_next(s + i, len - i, &cp);
        bool plain = k > 0 && cp >= 0x20 && (cp < 0x7F || cp > 0x9F);
        size_t width = plain ? (size_t)k : 1;

        if (n + width > cap - 1) {
            memcpy(out + cut, "...", 3);
            n = cut + 3;
            break;
        }
        if (plain)
            memcpy(out + n, s + i, width);
        else
            out[n] = '?';
        n += width;
        if (n <= cap - 4) cut = n;
        i += k > 0 ? (size_t)k : 1;
    }
    out[n] = '\0';
}

void row_error_set(struct row_error *err, const char *code, const char *param, const char *fmt, ...)
{
    char text[2 * sizeof err->message];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) n = 0;
    if ((size_t)n >= sizeof text) n = (int)sizeof text - 1;
    err->code = code;
    err->column = 0;
    row_error_quote(err->message, sizeof err->message, text, (size_t)n);
    row_error_quote(err->param, sizeof err->param, param ? param : "", param ? strlen(param) : 0);
}

void row_error_duplicate(struct row_error *err, const char *id, size_t len, int64_t line,
                         int64_t first_line)
{
    char name[80];

    row_error_quote(name, sizeof name, id, len);
    row_error_set(err, ROW_DUPLICATE, "custom_id", "custom_id \"%s\" was used before, by line %lld",
                  name, (long long)first_line);
    err->line = line;
}
