/* jinja_text.c - what Python's strings can do. */
#include "model/jinja_text.h"

#include <string.h>

#include "base/utf8.h"

bool text_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

static size_t characters(const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

/* Where the character before `at` begins. */
static size_t step_back(const char *s, size_t at)
{
    at--;
    while (at && ((unsigned char)s[at] & 0xC0) == 0x80)
        at--;
    return at;
}

/* The next x in s[0, len), or the last one. */
static const char *search(const char *s, size_t len, const struct value *x, bool last)
{
    const char *hit = NULL;
    size_t n = x->text.len;

    if (!last) return memmem(s, len, x->text.s, n);
    for (size_t at = len; !hit && at >= n; at--) {
        if (!memcmp(s + at - n, x->text.s, n)) hit = s + at - n;
        if (!at) break;
    }
    return hit;
}

/* Counts what a search may cost: from the right it compares at each place. */
static bool pay(struct run *r, const struct value *v, const struct value *x, bool last)
{
    return run_work(r, v->text.len / 256 * (last ? x->text.len / 16 + 1 : 1));
}

/* ---- taking away ---- */

static bool in_set(const struct value *set, uint32_t cp)
{
    uint32_t c = 0;
    int n;

    if (!set) return text_is_space(cp);
    for (size_t at = 0; at < set->text.len; at += (size_t)n) {
        n = utf8_next(set->text.s + at, set->text.len - at, &c);
        if (c == cp) return true;
    }
    return false;
}

struct value *text_strip(struct run *r, struct value *v, const struct value *set, int sides)
{
    const char *s = v->text.s;
    size_t begin = 0, end = v->text.len, cost = set ? set->text.len / 64 + 1 : 1;
    uint32_t cp = 0;

    while ((sides & TEXT_LEFT) && begin < end) {
        int n = utf8_next(s + begin, end - begin, &cp);

        if (!in_set(set, cp)) break;
        begin += (size_t)n;
        if (begin % 64 == 0 && !run_work(r, cost)) return NULL;
    }
    while ((sides & TEXT_RIGHT) && end > begin) {
        size_t at = step_back(s, end);

        utf8_next(s + at, end - at, &cp);
        if (!in_set(set, cp)) break;
        end = at;
        if (end % 64 == 0 && !run_work(r, cost)) return NULL;
    }
    return run_view(r, s + begin, end - begin);
}

/* ---- taking apart ---- */

static struct value *split_spaces(struct run *r, const struct value *v, int64_t max)
{
    const char *s = v->text.s;
    size_t len = v->text.len, begin = 0, at = 0;
    struct items list = {0};
    uint32_t cp = 0;
    int n;

    for (; at < len; at += (size_t)n) {
        n = utf8_next(s + at, len - at, &cp);
        if (!text_is_space(cp)) {
            if (max >= 0 && (int64_t)list.n == max) break; /* the rest is one */
            continue;
        }
        if (at > begin && !items_add(r, &list, run_view(r, s + begin, at - begin))) return NULL;
        begin = at + (size_t)n;
    }
    if (len > begin) items_add(r, &list, run_view(r, s + begin, len - begin));
    return run_items(r, VALUE_LIST, &list);
}

static void turn_round(struct items *list)
{
    for (size_t i = 0, k = list->n; i + 1 < k; i++) {
        struct value *v = list->at[i];

        list->at[i] = list->at[--k];
        list->at[k] = v;
    }
}

struct value *text_split(struct run *r, struct value *v, const struct value *sep, int64_t max,
                         bool right)
{
    const char *s = v->text.s, *end = s + v->text.len, *hit;
    struct items list = {0};

    if (!sep && right && max >= 0)
        return run_fail(r, ERR_UNSUPPORTED, "rsplit at white space with a limit");
    if (!sep) return split_spaces(r, v, max);
    if (!sep->text.len) return run_fail(r, ERR_ARG, "a split at an empty str");
    if (!pay(r, v, sep, right)) return NULL;
    while (max-- && (hit = search(s, (size_t)(end - s), sep, right))) {
        const char *from = right ? hit + sep->text.len : s, *to = right ? end : hit;

        if (!items_add(r, &list, run_view(r, from, (size_t)(to - from)))) return NULL;
        if (right)
            end = hit;
        else
            s = hit + sep->text.len;
    }
    items_add(r, &list, run_view(r, s, (size_t)(end - s)));
    if (right) turn_round(&list);
    return run_items(r, VALUE_LIST, &list);
}

/* Bytes of the line's end at s, 0 when there is none. */
static size_t line_end(const char *s, size_t len)
{
    uint32_t cp = 0;
    int n = utf8_next(s, len, &cp);

    if (cp == '\r' && len > 1 && s[1] == '\n') return 2;
    if ((cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
        cp == 0x2029)
        return (size_t)n;
    return 0;
}

struct value *text_lines(struct run *r, struct value *v, bool keep_ends)
{
    const char *s = v->text.s;
    size_t len = v->text.len, begin = 0, n;
    struct items list = {0};

    for (size_t at = 0; at < len;) {
        if (!(n = line_end(s + at, len - at))) {
            at += (size_t)utf8_next(s + at, len - at, NULL);
            continue;
        }
        if (!items_add(r, &list, run_view(r, s + begin, at - begin + (keep_ends ? n : 0))))
            return NULL;
        begin = at += n;
    }
    if (begin < len) items_add(r, &list, run_view(r, s + begin, len - begin));
    return run_items(r, VALUE_LIST, &list);
}

struct value *text_partition(struct run *r, struct value *v, struct value *sep, bool last)
{
    const char *s = v->text.s, *hit;
    struct value *out = run_list(r, VALUE_TUPLE, 3), *none = run_view(r, "", 0);
    size_t begin, end;

    if (!sep->text.len) return run_fail(r, ERR_ARG, "a partition at an empty str");
    if (!out || !none || !pay(r, v, sep, last)) return NULL;
    hit = search(s, v->text.len, sep, last);
    out->list.at[0] = last && !hit ? none : v;
    out->list.at[1] = hit ? sep : none;
    out->list.at[2] = last && !hit ? v : none;
    if (!hit) return out;
    begin = (size_t)(hit - s);
    end = begin + sep->text.len;
    out->list.at[0] = run_view(r, s, begin);
    out->list.at[2] = run_view(r, s + end, v->text.len - end);
    return r->rc ? NULL : out;
}

/* ---- looking ---- */

struct value *text_find(struct run *r, const struct value *v, const struct value *x, bool last)
{
    const char *hit = pay(r, v, x, last) ? search(v->text.s, v->text.len, x, last) : NULL;

    if (r->rc) return NULL;
    return run_int(r, hit ? (int64_t)characters(v->text.s, (size_t)(hit - v->text.s)) : -1);
}

struct value *text_count(struct run *r, const struct value *v, const struct value *x)
{
    const char *s = v->text.s, *end = s + v->text.len;
    int64_t n = 0;

    if (!run_work(r, v->text.len / 64)) return NULL;
    if (!x->text.len) return run_int(r, (int64_t)characters(s, v->text.len) + 1);
    for (; (s = memmem(s, (size_t)(end - s), x->text.s, x->text.len)); s += x->text.len)
        n++;
    return run_int(r, n);
}

bool text_begins(const struct value *v, const struct value *x)
{
    return x->text.len <= v->text.len && !memcmp(v->text.s, x->text.s, x->text.len);
}

bool text_ends(const struct value *v, const struct value *x)
{
    return x->text.len <= v->text.len &&
           !memcmp(v->text.s + v->text.len - x->text.len, x->text.s, x->text.len);
}

/* ---- making ---- */

struct value *text_concat(struct run *r, const struct value *a, const struct value *b)
{
    size_t n = a->text.len, m = b->text.len;
    char *s = run_take(r, n + m + 1);

    if (!s || !run_work(r, (n + m) / 1024)) return NULL;
    memcpy(s, a->text.s, n);
    memcpy(s + n, b->text.s, m);
    s[n + m] = '\0';
    return run_view(r, s, n + m);
}

struct value *text_repeat(struct run *r, const struct value *v, int64_t times)
{
    struct buf out = {0};

    if (!v->text.len) times = 0;
    for (int64_t i = 0; i < times; i++)
        if (!run_work(r, 1) || !text_add(r, &out, v->text.s, v->text.len)) break;
    return run_buf(r, &out);
}

/* Between all characters, and at both ends. */
static struct value *replace_nothing(struct run *r, const struct value *v, const struct value *to,
                                     int64_t count)
{
    struct buf out = {0};
    size_t at = 0;

    while (count-- && run_work(r, 1) && text_add(r, &out, to->text.s, to->text.len)) {
        int n = at < v->text.len ? utf8_next(v->text.s + at, v->text.len - at, NULL) : 0;

        if (!n) break;
        text_add(r, &out, v->text.s + at, (size_t)n);
        at += (size_t)n;
    }
    text_add(r, &out, v->text.s + at, v->text.len - at);
    return run_buf(r, &out);
}

struct value *text_replace(struct run *r, struct value *v, const struct value *from,
                           const struct value *to, int64_t count)
{
    const char *s = v->text.s, *end = s + v->text.len, *hit;
    size_t n = from->text.len;
    struct buf out = {0};

    if (!n) return replace_nothing(r, v, to, count);
    while (count && !r->rc && (hit = memmem(s, (size_t)(end - s), from->text.s, n))) {
        text_add(r, &out, s, (size_t)(hit - s));
        text_add(r, &out, to->text.s, to->text.len);
        s = hit + n;
        count--;
    }
    if (s == v->text.s && !r->rc) return v;
    text_add(r, &out, s, (size_t)(end - s));
    return run_buf(r, &out);
}

struct value *text_pad(struct run *r, struct value *v, int64_t width, const struct value *fill,
                       int sides)
{
    size_t n;
    int64_t left, pad;
    struct buf out = {0};

    value_length(v, &n);
    pad = width > (int64_t)n ? width - (int64_t)n : 0;
    if (!pad) return v;
    if (characters(fill->text.s, fill->text.len) != 1)
        return run_fail(r, ERR_ARG, "a fill of other than one character");
    /* as CPython centres: the odd blank goes left when the width is odd */
    left = sides == (TEXT_LEFT | TEXT_RIGHT) ? pad / 2 + (pad & width & 1)
           : sides == TEXT_LEFT              ? pad
                                             : 0;
    for (int64_t i = 0; i < left && run_work(r, 1); i++)
        text_add(r, &out, fill->text.s, fill->text.len);
    text_add(r, &out, v->text.s, v->text.len);
    for (int64_t i = left; i < pad && run_work(r, 1); i++)
        text_add(r, &out, fill->text.s, fill->text.len);
    return run_buf(r, &out);
}

struct value *text_escape(struct run *r, struct value *v)
{
    static const char CHARS[] = "&<>\"'";
    static const char *const NAMES[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    struct value *text;
    struct buf out = {0};

    if (v->flag) return v;
    for (size_t i = 0; i < v->text.len; i++) {
        const char *p = v->text.s[i] ? strchr(CHARS, v->text.s[i]) : NULL;
        const char *s = p ? NAMES[p - CHARS] : v->text.s + i;

        if (!text_add(r, &out, s, p ? strlen(s) : 1)) break;
    }
    text = run_buf(r, &out);
    if (text) text->flag = true;
    return text;
}

struct value *text_slice(struct run *r, struct value *v, int64_t from, int64_t to, int64_t step)
{
    struct value *all;
    struct buf out = {0};

    if (step == 1) {
        size_t at = 0, begin, end;

        if (!run_work(r, v->text.len / 256)) return NULL;
        for (; at < v->text.len && from > 0; from--, to--)
            at += (size_t)utf8_next(v->text.s + at, v->text.len - at, NULL);
        begin = end = at;
        for (; end < v->text.len && to > 0; to--)
            end += (size_t)utf8_next(v->text.s + end, v->text.len - end, NULL);
        return run_view(r, v->text.s + begin, end - begin);
    }
    all = value_items(r, v);
    for (int64_t i = from; all && !r->rc && (step > 0 ? i < to : i > to); i += step)
        text_add(r, &out, all->list.at[i]->text.s, all->list.at[i]->text.len);
    return run_buf(r, &out);
}
