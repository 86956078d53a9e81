/* jinja_text_filter.c - the filters that make text of their value first. */
#include "model/jinja_text_filter.h"

#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "model/jinja_format.h"
#include "model/jinja_print.h"
#include "model/jinja_text.h"

static struct value *do_trim(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *set = args_given(a, 0);

    if (set && set->kind != VALUE_STR) return run_fail(r, ERR_ARG, "trim of %s", value_name(set));
    return text ? text_strip(r, text, set, TEXT_LEFT | TEXT_RIGHT) : NULL;
}

static struct value *in_case(struct run *r, struct value *v, enum letter_case want)
{
    struct value *text = value_str(r, v);

    return text ? text_case(r, text, want) : NULL;
}

static struct value *do_upper(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, CASE_UPPER);
}

static struct value *do_lower(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, CASE_LOWER);
}

static struct value *do_capitalize(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return in_case(r, v, CASE_CAPITALIZE);
}

static bool begins_word(uint32_t cp)
{
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || text_is_space(cp);
}

/* Behind a blank, a hyphen or a bracket the first letter is upper case, the others are lower. */
static struct value *do_title(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *part;
    struct buf out = {0};
    bool begins = true;
    size_t end;
    uint32_t cp = 0;

    (void)a;
    for (size_t at = 0; text && at < text->text.len && !r->rc; at = end) {
        end = at + (size_t)utf8_next(text->text.s + at, text->text.len - at, &cp);
        while (!begins && !begins_word(cp) && end < text->text.len) { /* the rest of a word */
            int n = utf8_next(text->text.s + end, text->text.len - end, &cp);

            if (!begins_word(cp)) end += (size_t)n;
        }
        part = run_view(r, text->text.s + at, end - at);
        part = part ? text_case(r, part, begins ? CASE_UPPER : CASE_LOWER) : NULL;
        if (part) text_add(r, &out, part->text.s, part->text.len);
        utf8_next(text->text.s + at, text->text.len - at, &cp);
        begins = begins_word(cp);
    }
    return run_buf(r, &out);
}

static struct value *do_string(struct run *r, struct value *v, const struct args *a)
{
    (void)a;
    return value_str(r, v);
}

static struct value *do_safe(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);

    (void)a;
    text = text ? run_view(r, text->text.s, text->text.len) : NULL;
    if (text) text->flag = true;
    return text;
}

static struct value *do_escape(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);

    (void)a;
    return text ? text_escape(r, text) : NULL;
}

static struct value *do_forceescape(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);

    (void)a;
    text = text ? run_view(r, text->text.s, text->text.len) : NULL;
    return text ? text_escape(r, text) : NULL;
}

static struct value *do_replace(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *from, *to, *count = args_given(a, 2);
    int64_t n = -1;

    if (!a->at[0] || !a->at[1]) return run_fail(r, ERR_ARG, "replace wants two strs");
    from = value_str(r, a->at[0]);
    to = value_str(r, a->at[1]);
    if (count && !args_int(r, a, 2, -1, &n)) return NULL;
    return text && from && to ? text_replace(r, text, from, to, n) : NULL;
}

static struct value *do_format(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *x;

    if (a->n && a->n_named) return run_fail(r, ERR_ARG, "format takes values or names, not both");
    x = a->n_named ? run_dict(r, VALUE_DICT) : run_list(r, VALUE_TUPLE, (size_t)a->n);
    for (int i = 0; x && i < a->n; i++)
        x->list.at[i] = a->at[i];
    for (int i = 0; x && i < a->n_named; i++)
        if (!dict_put(r, x->dict, a->name[i], a->named[i])) return NULL;
    return text && x ? format_percent(r, text, x) : NULL;
}

static struct value *do_center(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *blank = run_view(r, " ", 1);
    int64_t width;

    if (!text || !blank || !args_int(r, a, 0, 80, &width)) return NULL;
    return text_pad(r, text, width, blank, TEXT_LEFT | TEXT_RIGHT);
}

/* What stands before an indented line. */
static struct value *indention(struct run *r, const struct args *a)
{
    struct value *blank = run_view(r, " ", 1);
    int64_t width;

    if (a->at[0] && a->at[0]->kind == VALUE_STR) return a->at[0];
    return blank && args_int(r, a, 0, 4, &width) ? text_repeat(r, blank, width) : NULL;
}

static struct value *do_indent(struct run *r, struct value *v, const struct args *a)
{
    struct value *text, *by = indention(r, a), *lines;
    bool first = args_true(a, 1, false), blank = args_true(a, 2, false);
    struct buf out = {0};

    if (v->kind != VALUE_STR) return run_fail(r, ERR_ARG, "indent of %s", value_name(v));
    if (!by) return NULL;
    text = text_concat(r, v, &(struct value){.kind = VALUE_STR, .text = {"\n", 1}});
    lines = text ? text_lines(r, text, false) : NULL;
    for (size_t i = 0; lines && i < lines->list.n && !r->rc; i++) {
        const struct value *line = lines->list.at[i];

        if (i) text_add(r, &out, "\n", 1);
        if (i ? blank || line->text.len : first) text_add(r, &out, by->text.s, by->text.len);
        text_add(r, &out, line->text.s, line->text.len);
    }
    return run_buf(r, &out);
}

static struct value *do_truncate(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v), *end, *head, *blank = run_view(r, " ", 1);
    int64_t length, leeway;
    size_t n, n_end;

    if (v->kind == VALUE_UNDEFINED) return v;
    if (v->kind != VALUE_STR) return run_fail(r, ERR_UNSUPPORTED, "truncate of %s", value_name(v));
    if (!text || !blank || !args_int(r, a, 0, 255, &length) || !args_int(r, a, 3, 5, &leeway) ||
        !args_text(r, a, 2, run_view(r, "...", 3), &end))
        return NULL;
    value_length(text, &n);
    value_length(end, &n_end);
    if ((int64_t)n_end > length || leeway < 0)
        return run_fail(r, ERR_ARG, "truncate to %lld characters", (long long)length);
    if ((int64_t)n <= length + leeway) return text;
    head = text_slice(r, text, 0, length - (int64_t)n_end, 1);
    if (head && !args_true(a, 1, false)) {
        head = text_split(r, head, blank, 1, true);
        if (head) head = head->list.at[0];
    }
    return head ? text_concat(r, head, end) : NULL;
}

static struct value *do_wordcount(struct run *r, struct value *v, const struct args *a)
{
    struct value *text = value_str(r, v);
    int64_t n = 0;
    bool inside = false;
    uint32_t cp = 0;

    (void)a;
    if (!text || !run_work(r, text->text.len / 64)) return NULL;
    for (size_t at = 0; at < text->text.len;) {
        utf8proc_category_t c;
        bool word;

        at += (size_t)utf8_next(text->text.s + at, text->text.len - at, &cp);
        c = utf8proc_category((utf8proc_int32_t)cp);
        word = cp == '_' || (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) ||
               (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
        n += word && !inside;
        inside = word;
    }
    return run_int(r, n);
}

/* Holds it a character that ends an attribute's name? */
static bool ends_name(const struct value *key)
{
    uint32_t cp = 0;

    for (size_t at = 0; at < key->text.len;) {
        at += (size_t)utf8_next(key->text.s + at, key->text.len - at, &cp);
        if (text_is_space(cp) || cp == '/' || cp == '>' || cp == '=') return true;
    }
    return false;
}

static struct value *do_xmlattr(struct run *r, struct value *v, const struct args *a)
{
    struct buf out = {0};

    if (v->kind != VALUE_DICT) return run_fail(r, ERR_ARG, "xmlattr of %s", value_name(v));
    for (size_t i = 0; i < v->dict->n && !r->rc; i++) {
        struct value *key = v->dict->at[i].key, *x = v->dict->at[i].value;

        if (x->kind == VALUE_NONE || x->kind == VALUE_UNDEFINED) continue;
        if (key->kind != VALUE_STR || ends_name(key))
            run_fail(r, ERR_ARG, "an attribute's name is a str without /, >, = and space");
        key = r->rc ? NULL : text_escape(r, key);
        if (!key) break;
        if (out.len || args_true(a, 0, true)) text_add(r, &out, " ", 1);
        text_add(r, &out, key->text.s, key->text.len);
        text_add(r, &out, "=\"", 2);
        if ((x = do_escape(r, x, a))) text_add(r, &out, x->text.s, x->text.len);
        text_add(r, &out, "\"", 1);
    }
    return run_buf(r, &out);
}

const struct builtin TEXT_FILTERS[] = {{"trim", "chars", do_trim},
                                       {"upper", "", do_upper},
                                       {"lower", "", do_lower},
                                       {"capitalize", "", do_capitalize},
                                       {"title", "", do_title},
                                       {"string", "", do_string},
                                       {"safe", "", do_safe},
                                       {"e", "", do_escape},
                                       {"escape", "", do_escape},
                                       {"forceescape", "", do_forceescape},
                                       {"replace", "old new count", do_replace},
                                       {"format", "* **", do_format},
                                       {"center", "width", do_center},
                                       {"indent", "width first blank", do_indent},
                                       {"truncate", "length killwords end leeway", do_truncate},
                                       {"wordcount", "", do_wordcount},
                                       {"xmlattr", "autospace", do_xmlattr},
                                       {0}};
