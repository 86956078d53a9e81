/* jinja_str.c - the methods of a str. */
#include "model/jinja_str.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "model/jinja_format.h"
#include "model/jinja_lookup.h"
#include "model/jinja_text.h"

static struct value *strip(struct run *r, struct value *v, const struct args *a, int sides)
{
    const struct value *set = args_given(a, 0);

    if (set && set->kind != VALUE_STR) return run_fail(r, ERR_ARG, "strip of %s", value_name(set));
    return text_strip(r, v, set, sides);
}

static struct value *str_strip(struct run *r, struct value *v, const struct args *a)
{
    return strip(r, v, a, TEXT_LEFT | TEXT_RIGHT);
}

static struct value *str_lstrip(struct run *r, struct value *v, const struct args *a)
{
    return strip(r, v, a, TEXT_LEFT);
}

static struct value *str_rstrip(struct run *r, struct value *v, const struct args *a)
{
    return strip(r, v, a, TEXT_RIGHT);
}

static struct value *split(struct run *r, struct value *v, const struct args *a, bool right)
{
    const struct value *sep = args_given(a, 0);
    int64_t max;

    if (sep && sep->kind != VALUE_STR) return run_fail(r, ERR_ARG, "split at %s", value_name(sep));
    return args_int(r, a, 1, -1, &max) ? text_split(r, v, sep, max, right) : NULL;
}

static struct value *str_split(struct run *r, struct value *v, const struct args *a)
{
    return split(r, v, a, false);
}

static struct value *str_rsplit(struct run *r, struct value *v, const struct args *a)
{
    return split(r, v, a, true);
}

static struct value *str_splitlines(struct run *r, struct value *v, const struct args *a)
{
    return text_lines(r, v, args_true(a, 0, false));
}

/* startswith and endswith: a str, or a tuple of them, within v[start:end]. */
static struct value *edge(struct run *r, struct value *v, const struct args *a,
                          bool (*has)(const struct value *, const struct value *))
{
    struct value *x = a->at[0];
    bool found = false;

    if (a->at[1] || a->at[2]) v = lookup_slice(r, v, a->at[1], a->at[2], NULL);
    if (!v || !x) return run_fail(r, ERR_ARG, "startswith or endswith of nothing");
    if (x->kind == VALUE_STR) return run_bool(r, has(v, x));
    if (x->kind != VALUE_TUPLE)
        return run_fail(r, ERR_ARG, "startswith or endswith of %s", value_name(x));
    for (size_t i = 0; i < x->list.n && !found; i++) {
        if (x->list.at[i]->kind != VALUE_STR)
            return run_fail(r, ERR_ARG, "startswith of %s", value_name(x->list.at[i]));
        found = has(v, x->list.at[i]);
    }
    return run_bool(r, found);
}

static struct value *str_startswith(struct run *r, struct value *v, const struct args *a)
{
    return edge(r, v, a, text_begins);
}

static struct value *str_endswith(struct run *r, struct value *v, const struct args *a)
{
    return edge(r, v, a, text_ends);
}

static struct value *str_replace(struct run *r, struct value *v, const struct args *a)
{
    struct value *from, *to;
    int64_t count;

    if (!args_text(r, a, 0, NULL, &from) || !args_text(r, a, 1, NULL, &to) ||
        !args_int(r, a, 2, -1, &count))
        return NULL;
    return text_replace(r, v, from, to, count);
}

static struct value *str_upper(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return text_case(r, v, CASE_UPPER);
}

static struct value *str_lower(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return text_case(r, v, CASE_LOWER);
}

static struct value *str_title(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return text_case(r, v, CASE_TITLE);
}

static struct value *str_capitalize(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return text_case(r, v, CASE_CAPITALIZE);
}

static struct value *str_swapcase(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return text_case(r, v, CASE_SWAP);
}

static struct value *find(struct run *r, struct value *v, const struct args *a, bool last,
                          bool needed)
{
    struct value *x, *at = args_text(r, a, 0, NULL, &x) ? text_find(r, v, x, last) : NULL;

    if (at && at->i < 0 && needed) return run_fail(r, ERR_ARG, "index of what is not there");
    return at;
}

static struct value *str_find(struct run *r, struct value *v, const struct args *a)
{
    return find(r, v, a, false, false);
}

static struct value *str_rfind(struct run *r, struct value *v, const struct args *a)
{
    return find(r, v, a, true, false);
}

static struct value *str_index(struct run *r, struct value *v, const struct args *a)
{
    return find(r, v, a, false, true);
}

static struct value *str_rindex(struct run *r, struct value *v, const struct args *a)
{
    return find(r, v, a, true, true);
}

static struct value *str_count(struct run *r, struct value *v, const struct args *a)
{
    struct value *x;

    return args_text(r, a, 0, NULL, &x) ? text_count(r, v, x) : NULL;
}

static struct value *str_partition(struct run *r, struct value *v, const struct args *a)
{
    struct value *x;

    return args_text(r, a, 0, NULL, &x) ? text_partition(r, v, x, false) : NULL;
}

static struct value *str_rpartition(struct run *r, struct value *v, const struct args *a)
{
    struct value *x;

    return args_text(r, a, 0, NULL, &x) ? text_partition(r, v, x, true) : NULL;
}

static struct value *str_removeprefix(struct run *r, struct value *v, const struct args *a)
{
    struct value *x;

    if (!args_text(r, a, 0, NULL, &x)) return NULL;
    return text_begins(v, x) ? run_view(r, v->text.s + x->text.len, v->text.len - x->text.len) : v;
}

static struct value *str_removesuffix(struct run *r, struct value *v, const struct args *a)
{
    struct value *x;

    if (!args_text(r, a, 0, NULL, &x)) return NULL;
    return text_ends(v, x) ? run_view(r, v->text.s, v->text.len - x->text.len) : v;
}

static struct value *str_join(struct run *r, struct value *v, const struct args *a)
{
    struct value *list = a->at[0] ? value_items(r, a->at[0]) : NULL;
    struct buf out = {0};

    if (!list) return run_fail(r, ERR_ARG, "join of no list");
    for (size_t i = 0; i < list->list.n && run_work(r, 1); i++) {
        struct value *x = list->list.at[i];

        if (x->kind != VALUE_STR) run_fail(r, ERR_ARG, "join of %s", value_name(x));
        if (i) text_add(r, &out, v->text.s, v->text.len);
        if (r->rc || !text_add(r, &out, x->text.s, x->text.len)) break;
    }
    return run_buf(r, &out);
}

static struct value *str_format(struct run *r, struct value *v, const struct args *a)
{
    return format_braces(r, v, a);
}

static struct value *pad(struct run *r, struct value *v, const struct args *a, int sides)
{
    struct value *blank = run_view(r, " ", 1), *fill;
    int64_t width;

    if (!a->at[0] || !blank) return run_fail(r, ERR_ARG, "a width is missing");
    if (!args_int(r, a, 0, 0, &width) || !args_text(r, a, 1, blank, &fill)) return NULL;
    return text_pad(r, v, width, fill, sides);
}

static struct value *str_center(struct run *r, struct value *v, const struct args *a)
{
    return pad(r, v, a, TEXT_LEFT | TEXT_RIGHT);
}

static struct value *str_ljust(struct run *r, struct value *v, const struct args *a)
{
    return pad(r, v, a, TEXT_RIGHT);
}

static struct value *str_rjust(struct run *r, struct value *v, const struct args *a)
{
    return pad(r, v, a, TEXT_LEFT);
}

static struct value *str_zfill(struct run *r, struct value *v, const struct args *a)
{
    bool sign = v->text.len && (v->text.s[0] == '-' || v->text.s[0] == '+');
    struct value *zero = run_view(r, "0", 1), *rest;
    int64_t width;

    if (!a->at[0] || !args_int(r, a, 0, 0, &width) || !zero)
        return run_fail(r, ERR_ARG, "a width is missing");
    if (!sign) return text_pad(r, v, width, zero, TEXT_LEFT);
    rest = run_view(r, v->text.s + 1, v->text.len - 1);
    rest = rest ? text_pad(r, rest, width - 1, zero, TEXT_LEFT) : NULL;
    return rest ? text_concat(r, &(struct value){.kind = VALUE_STR, .text = {v->text.s, 1}}, rest)
                : NULL;
}

static bool is_alpha(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

static bool is_decimal(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND;
}

/* The superscripts and subscripts are digits too. */
static bool is_digit(uint32_t cp)
{
    return is_decimal(cp) || cp == 0xB2 || cp == 0xB3 || cp == 0xB9 || cp == 0x2070 ||
           (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089);
}

static bool is_alnum(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);

    return is_alpha(cp) || (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

static bool is_ascii(uint32_t cp)
{
    return cp < 0x80;
}

/* Are all characters so, and is there one? */
static struct value *all(struct run *r, const struct value *v, bool (*is)(uint32_t), bool of_none)
{
    bool yes = v->text.len > 0 || of_none;
    uint32_t cp = 0;

    for (size_t at = 0; yes && at < v->text.len;) {
        at += (size_t)utf8_next(v->text.s + at, v->text.len - at, &cp);
        yes = is(cp);
    }
    return run_work(r, v->text.len / 64) ? run_bool(r, yes) : NULL;
}

static struct value *str_isalpha(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return all(r, v, is_alpha, false);
}

static struct value *str_isdecimal(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return all(r, v, is_decimal, false);
}

static struct value *str_isdigit(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return all(r, v, is_digit, false);
}

static struct value *str_isalnum(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return all(r, v, is_alnum, false);
}

static struct value *str_isspace(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return all(r, v, text_is_space, false);
}

static struct value *str_isascii(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return all(r, v, is_ascii, true);
}

/* Is there a letter of this case, and none of the other? */
static struct value *in_case(struct run *r, const struct value *v, utf8proc_category_t want,
                             utf8proc_category_t other)
{
    bool some = false;
    uint32_t cp = 0;

    for (size_t at = 0; at < v->text.len;) {
        utf8proc_category_t c;

        at += (size_t)utf8_next(v->text.s + at, v->text.len - at, &cp);
        c = utf8proc_category((utf8proc_int32_t)cp);
        if (c == other || c == UTF8PROC_CATEGORY_LT) return run_bool(r, false);
        some = some || c == want;
    }
    return run_work(r, v->text.len / 64) ? run_bool(r, some) : NULL;
}

static struct value *str_isupper(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL);
}

static struct value *str_islower(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LU);
}

const struct builtin STR_METHODS[] = {{"strip", "chars", str_strip},
                                      {"lstrip", "chars", str_lstrip},
                                      {"rstrip", "chars", str_rstrip},
                                      {"split", "sep maxsplit", str_split},
                                      {"rsplit", "sep maxsplit", str_rsplit},
                                      {"splitlines", "keepends", str_splitlines},
                                      {"startswith", "prefix start end", str_startswith},
                                      {"endswith", "suffix start end", str_endswith},
                                      {"replace", "old new count", str_replace},
                                      {"upper", "", str_upper},
                                      {"lower", "", str_lower},
                                      {"title", "", str_title},
                                      {"capitalize", "", str_capitalize},
                                      {"swapcase", "", str_swapcase},
                                      {"find", "sub", str_find},
                                      {"rfind", "sub", str_rfind},
                                      {"index", "sub", str_index},
                                      {"rindex", "sub", str_rindex},
                                      {"count", "sub", str_count},
                                      {"partition", "sep", str_partition},
                                      {"rpartition", "sep", str_rpartition},
                                      {"removeprefix", "prefix", str_removeprefix},
                                      {"removesuffix", "suffix", str_removesuffix},
                                      {"join", "iterable", str_join},
                                      {"format", "* **", str_format},
                                      {"center", "width fill", str_center},
                                      {"ljust", "width fill", str_ljust},
                                      {"rjust", "width fill", str_rjust},
                                      {"zfill", "width", str_zfill},
                                      {"isalpha", "", str_isalpha},
                                      {"isdecimal", "", str_isdecimal},
                                      {"isdigit", "", str_isdigit},
                                      {"isalnum", "", str_isalnum},
                                      {"isspace", "", str_isspace},
                                      {"isascii", "", str_isascii},
                                      {"isupper", "", str_isupper},
                                      {"islower", "", str_islower},
                                      {"casefold", "", NULL},
                                      {"encode", "", NULL},
                                      {"expandtabs", "", NULL},
                                      {"format_map", "", NULL},
                                      {"isidentifier", "", NULL},
                                      {"isnumeric", "", NULL},
                                      {"isprintable", "", NULL},
                                      {"istitle", "", NULL},
                                      {"maketrans", "", NULL},
                                      {"translate", "", NULL},
                                      {0}};
