/* jinja_case.c - upper and lower case, as Python's strings change them.
 *
 * Letters change one for one by Unicode's simple mappings; of those that become several letters the
 * common ones are known, and the others are refused by their number.
 *
 * Source  Unicode 15 UnicodeData.txt and SpecialCasing.txt.
 */
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "model/jinja_text.h"

static const struct {
    uint32_t cp;
    const char *upper, *title;
} SPECIAL[] = {
    {0xDF, "SS", "Ss"},     {0x149, "\u02BCN", "\u02BCN"}, {0xFB00, "FF", "Ff"},
    {0xFB01, "FI", "Fi"},   {0xFB02, "FL", "Fl"},          {0xFB03, "FFI", "Ffi"},
    {0xFB04, "FFL", "Ffl"}, {0xFB05, "ST", "St"},          {0xFB06, "ST", "St"},
};

/* Has it an upper case of several letters that SPECIAL lacks? */
static bool is_unknown(uint32_t cp)
{
    return cp == 0x1F0 || cp == 0x390 || cp == 0x3B0 || cp == 0x587 ||
           (cp >= 0x1E96 && cp <= 0x1E9A) || (cp >= 0xFB13 && cp <= 0xFB17) || cp == 0x1F50 ||
           cp == 0x1F52 || cp == 0x1F54 || cp == 0x1F56 || (cp >= 0x1F80 && cp <= 0x1FFC);
}

static bool is_cased(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

static bool put(struct run *r, struct buf *out, uint32_t cp)
{
    struct buf one = {0};
    bool ok = !utf8_put(&one, cp) && text_add(r, out, one.data, one.len);

    buf_fini(&one);
    return ok;
}

static bool raise(struct run *r, struct buf *out, uint32_t cp, bool title)
{
    for (size_t i = 0; i < sizeof SPECIAL / sizeof SPECIAL[0]; i++) {
        const char *s = title ? SPECIAL[i].title : SPECIAL[i].upper;

        if (SPECIAL[i].cp == cp) return text_add(r, out, s, strlen(s));
    }
    if (is_unknown(cp)) {
        run_fail(r, ERR_UNSUPPORTED, "the upper case of U+%04X", cp);
        return false;
    }
    return put(r, out,
               (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)cp)
                                : utf8proc_toupper((utf8proc_int32_t)cp)));
}

/* after: the character before is a letter; at: where the next one begins. */
static bool lower(struct run *r, struct buf *out, uint32_t cp, bool after, const struct value *v,
                  size_t at)
{
    uint32_t next = 0;

    if (cp == 0x130) return put(r, out, 'i') && put(r, out, 0x307);
    if (cp == 0x3A3 && after) { /* a sigma that ends its word */
        if (at < v->text.len) utf8_next(v->text.s + at, v->text.len - at, &next);
        if (!is_cased(next)) return put(r, out, 0x3C2);
    }
    return put(r, out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
}

struct value *text_case(struct run *r, struct value *v, enum letter_case want)
{
    const char *s = v->text.s;
    size_t len = v->text.len, at = 0;
    bool after = false, ok = run_work(r, len / 64);
    struct buf out = {0};
    uint32_t cp = 0;

    while (ok && at < len) {
        bool first = at == 0, up = want == CASE_UPPER;

        at += (size_t)utf8_next(s + at, len - at, &cp);
        if (want == CASE_CAPITALIZE) up = first;
        if (want == CASE_TITLE) up = !after;
        if (want == CASE_SWAP) up = utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LL;
        ok = up ? raise(r, &out, cp, want == CASE_CAPITALIZE || want == CASE_TITLE)
                : lower(r, &out, cp, after, v, at);
        after = is_cased(cp);
    }
    return run_buf(r, &out);
}
