/* jinja_format.c - Python's two ways to format. */
#include "model/jinja_format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/jinja_print.h"
#include "model/jinja_text.h"

#define MAX_WIDTH 10000

/* One conversion: [fill][align][sign][#][0][width][,][.precision]type */
struct spec {
    const struct value *fill; /* NULL: a blank */
    char align;               /* '<', '>', '^', '=', or 0: as the type has it */
    char sign;                /* '+', ' ' or 0 */
    bool alternate, zero, commas;
    int width, precision; /* -1: none */
    char type;            /* 0: none */
};

struct reader {
    const char *s, *end;
};

static char look(const struct reader *x)
{
    return x->s < x->end ? *x->s : '\0';
}

static bool take(struct reader *x, char c)
{
    if (x->s >= x->end || *x->s != c) return false;
    x->s++;
    return true;
}

/* A number that is there, or -1. */
static int read_number(struct run *r, struct reader *x)
{
    int n = -1;

    while (look(x) >= '0' && look(x) <= '9') {
        n = (n < 0 ? 0 : n * 10) + (*x->s++ - '0');
        if (n > MAX_WIDTH) {
            run_fail(r, ERR_FULL, "a format wider than %d", MAX_WIDTH);
            return -1;
        }
    }
    return n;
}

/* ---- one value ---- */

/* Digits, sign included, padded between them when the format says so. */
static struct value *pad_number(struct run *r, const char *digits, const struct spec *p)
{
    char text[700];
    int n = (int)strlen(digits), sign = digits[0] == '-' || digits[0] == '+' || digits[0] == ' ';
    int zeros = (p->zero && !p->align) || p->align == '=' ? p->width - n : 0;

    if (zeros > 0 && (size_t)(n + zeros) < sizeof text) {
        snprintf(text, sizeof text, "%.*s", sign, digits);
        memset(text + sign, p->fill ? p->fill->text.s[0] : '0', (size_t)zeros);
        snprintf(text + sign + zeros, sizeof text - (size_t)(sign + zeros), "%s", digits + sign);
        return run_text(r, text, strlen(text));
    }
    if (zeros > 0) return run_fail(r, ERR_UNSUPPORTED, "a number of %d digits", p->width);
    return run_text(r, digits, (size_t)n);
}

static void put_commas(char *digits, size_t cap)
{
    size_t n = strlen(digits), whole = strcspn(digits, ".e"), first = digits[0] == '-';

    for (size_t at = whole; at > first + 3 && n + 1 < cap; n++) {
        at -= 3;
        memmove(digits + at + 1, digits + at, n - at + 1);
        digits[at] = ',';
    }
}

static struct value *format_float(struct run *r, double f, const struct spec *p)
{
    char text[700], pattern[8] = "%.*f";
    int precision = p->precision < 0 ? 6 : p->precision;

    if (precision > 300) return run_fail(r, ERR_UNSUPPORTED, "a precision of %d", precision);
    if (p->commas && fabs(f) >= 1e18)
        return run_fail(r, ERR_UNSUPPORTED, "commas in a number beyond 64 bits");
    if (!isfinite(f)) return run_fail(r, ERR_UNSUPPORTED, "the format of a number without end");
    pattern[3] = p->type == '%' ? 'f' : p->type;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* one of eEfFgG */
    snprintf(text + 1, sizeof text - 1, pattern, precision, p->type == '%' ? f * 100 : f);
#pragma GCC diagnostic pop
    if (p->type == '%') strcat(text + 1, "%");
    text[0] = p->sign;
    if (p->commas) put_commas(text + 1, sizeof text - 1);
    return pad_number(r, p->sign && text[1] != '-' ? text : text + 1, p);
}

static struct value *format_int(struct run *r, int64_t i, const struct spec *p)
{
    char text[80];
    uint64_t size = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const char *prefix = !p->alternate    ? ""
                         : p->type == 'x' ? "0x"
                         : p->type == 'X' ? "0X"
                         : p->type == 'o' ? "0o"
                                          : "";
    int n = snprintf(text, sizeof text, "%s%s",
                     i < 0            ? "-"
                     : p->sign == '+' ? "+"
                     : p->sign == ' ' ? " "
                                      : "",
                     prefix);

    if (p->type == 'x')
        snprintf(text + n, sizeof text - (size_t)n, "%llx", (unsigned long long)size);
    else if (p->type == 'X')
        snprintf(text + n, sizeof text - (size_t)n, "%llX", (unsigned long long)size);
    else if (p->type == 'o')
        snprintf(text + n, sizeof text - (size_t)n, "%llo", (unsigned long long)size);
    else
        snprintf(text + n, sizeof text - (size_t)n, "%llu", (unsigned long long)size);
    if (p->commas) put_commas(text, sizeof text);
    return pad_number(r, text, p);
}

/* Pads a text that has its characters. */
static struct value *align(struct run *r, struct value *v, const struct spec *p, char usual)
{
    struct value blank = {.kind = VALUE_STR, .text = {" ", 1}};
    char how = p->align ? p->align : usual;
    int sides = how == '^' ? TEXT_LEFT | TEXT_RIGHT : how == '<' ? TEXT_RIGHT : TEXT_LEFT;
    size_t n;

    if (!v || p->width < 0) return v;
    value_length(v, &n);
    if (how == '^' && p->width > (int)n) { /* format puts the odd blank right, always */
        int half = (p->width - (int)n) / 2;

        v = text_pad(r, v, (int64_t)n + half, p->fill ? p->fill : &blank, TEXT_LEFT);
        sides = TEXT_RIGHT;
    }
    return v ? text_pad(r, v, p->width, p->fill ? p->fill : &blank, sides) : NULL;
}

static struct value *format_text(struct run *r, struct value *v, const struct spec *p)
{
    return p->precision < 0 ? v : text_slice(r, v, 0, p->precision, 1);
}

static struct value *format_number(struct run *r, const struct value *v, const struct spec *p)
{
    double f = value_is_number(v) ? value_number(v) : 0;
    struct spec q = *p;
    int64_t i;

    if (!value_is_number(v))
        return run_fail(r, ERR_ARG, "the format %%%c of %s", p->type, value_name(v));
    if (strchr("eEfFgG%", p->type)) return format_float(r, f, p);
    if (value_int(v, &i)) {
        if (p->precision >= 0) return run_fail(r, ERR_UNSUPPORTED, "a precision of an int");
        return format_int(r, i, &q);
    }
    if (p->type != 'd' && p->type != 'i')
        return run_fail(r, ERR_ARG, "the format %c of a float", p->type);
    if (!(fabs(f) < 9e18)) return run_fail(r, ERR_UNSUPPORTED, "a number beyond 64 bits");
    return format_int(r, (int64_t)f, &q);
}

static struct value *repr(struct run *r, const struct value *v)
{
    struct buf out = {0};

    value_repr(r, v, &out);
    return run_buf(r, &out);
}

/* ---- % ---- */

struct percent {
    struct run *r;
    struct value *x;
    size_t next; /* of a tuple's items */
};

static struct value *next_value(struct percent *q)
{
    if (q->x->kind == VALUE_TUPLE) {
        if (q->next < q->x->list.n) return q->x->list.at[q->next++];
    } else if (!q->next++) {
        return q->x;
    }
    return run_fail(q->r, ERR_ARG, "not enough values for the format");
}

static struct value *named_value(struct percent *q, struct reader *x)
{
    const char *name = x->s, *end = memchr(x->s, ')', (size_t)(x->end - x->s));
    struct value *v;

    if (!end || q->x->kind != VALUE_DICT)
        return run_fail(q->r, ERR_ARG, "a format of names wants a dict");
    v = dict_find(q->r, q->x->dict,
                  &(struct value){.kind = VALUE_STR, .text = {name, (size_t)(end - name)}});
    x->s = end + 1;
    q->next = 1;
    return v ? v : run_fail(q->r, ERR_ARG, "a name of the format is not in the dict");
}

static void read_flags(struct reader *x, struct spec *p)
{
    for (;; x->s++) {
        char c = look(x);

        if (c == '-')
            p->align = '<';
        else if (c == '+' || (c == ' ' && !p->sign))
            p->sign = c;
        else if (c == '#')
            p->alternate = true;
        else if (c == '0')
            p->zero = true;
        else if (c != ' ')
            return;
    }
}

/* Behind "%". */
static struct value *convert(struct percent *q, struct reader *x)
{
    struct spec p = {.precision = -1};
    struct value *v = take(x, '(') ? named_value(q, x) : NULL;

    if (q->r->rc) return NULL;
    read_flags(x, &p);
    p.width = read_number(q->r, x);
    if (take(x, '.')) p.precision = read_number(q->r, x);
    p.type = look(x);
    if (!p.type || !strchr("srdiouxXeEfFgG", p.type))
        return run_fail(q->r, ERR_UNSUPPORTED, "the conversion %%%c", p.type ? p.type : '?');
    x->s++;
    if (!v && !(v = next_value(q))) return NULL;
    if (p.type == 's' || p.type == 'r') {
        v = p.type == 's' ? value_str(q->r, v) : repr(q->r, v);
        return v ? align(q->r, format_text(q->r, v, &p), &p, '>') : NULL;
    }
    if (p.type == 'u') p.type = 'd';
    return align(q->r, format_number(q->r, v, &p), &p, '>');
}

/* Python takes these for mappings, of which a format need not use all. */
static bool has_items(const struct value *x)
{
    return x->kind == VALUE_DICT || x->kind == VALUE_LIST || x->kind == VALUE_RANGE ||
           x->kind == VALUE_UNDEFINED;
}

struct value *format_percent(struct run *r, const struct value *format, struct value *x)
{
    struct reader in = {format->text.s, format->text.s + format->text.len};
    struct percent q = {r, x, 0};
    struct buf out = {0};

    while (in.s < in.end && !r->rc) {
        const char *hit = memchr(in.s, '%', (size_t)(in.end - in.s));
        struct value *v;

        text_add(r, &out, in.s, (size_t)((hit ? hit : in.end) - in.s));
        in.s = hit ? hit + 1 : in.end;
        if (!hit) break;
        if (take(&in, '%')) {
            text_add(r, &out, "%", 1);
        } else if ((v = convert(&q, &in))) {
            text_add(r, &out, v->text.s, v->text.len);
        }
    }
    if (!r->rc && (x->kind == VALUE_TUPLE ? q.next < x->list.n : !q.next && !has_items(x)))
        run_fail(r, ERR_ARG, "values are left over from the format");
    return run_buf(r, &out);
}

/* ---- {} ---- */

static bool is_align(char c)
{
    return c && strchr("<>^=", c);
}

static bool read_spec(struct run *r, struct reader *x, struct spec *p)
{
    static const char TYPES[] = "sdxXoeEfFgG%";

    if (x->s < x->end && x->s + 1 < x->end && is_align(x->s[1])) {
        if (x->s[0] & 0x80) run_fail(r, ERR_UNSUPPORTED, "a fill beyond ASCII");
        p->fill = run_text(r, x->s++, 1);
    }
    if (is_align(look(x))) p->align = *x->s++;
    if (look(x) == '+' || look(x) == '-' || look(x) == ' ') p->sign = *x->s++;
    if (p->sign == '-') p->sign = '\0';
    p->alternate = take(x, '#');
    p->zero = take(x, '0');
    p->width = read_number(r, x);
    p->commas = take(x, ',');
    if (take(x, '.')) p->precision = read_number(r, x);
    if (look(x) && look(x) != '}' && strchr(TYPES, look(x))) p->type = *x->s++;
    if (look(x) != '}') run_fail(r, ERR_UNSUPPORTED, "a format with such a part behind ':'");
    return !r->rc;
}

/* The argument that a field names by number, by name, or by its turn. */
static struct value *field_value(struct run *r, struct reader *x, const struct args *a, int *turn)
{
    const char *name = x->s;
    int i = read_number(r, x);

    if (r->rc) return NULL;
    if ((i >= 0 && *turn > 0) || (x->s == name && *turn < 0 && strchr("}:!", look(x))))
        return run_fail(r, ERR_ARG, "a format counts its fields, or numbers them, not both");
    if (i >= 0) *turn = -1;
    if (i >= 0) return i < a->n ? a->at[i] : run_fail(r, ERR_ARG, "a format names argument %d", i);
    while (look(x) && !strchr("}:!.[", look(x)))
        x->s++;
    if (x->s == name) {
        if (*turn < a->n) return a->at[(*turn)++];
        return run_fail(r, ERR_ARG, "not enough values for the format");
    }
    for (int k = 0; k < a->n_named; k++)
        if (strlen(a->name[k]) == (size_t)(x->s - name) &&
            !memcmp(a->name[k], name, (size_t)(x->s - name)))
            return a->named[k];
    return run_fail(r, ERR_ARG, "a format names an argument that is not there");
}

/* Behind "{": one field, its "}" included. */
static struct value *field(struct run *r, struct reader *x, const struct args *a, int *turn)
{
    struct spec p = {.width = -1, .precision = -1};
    struct value *v = field_value(r, x, a, turn);
    bool spec;

    if (!v) return NULL;
    if (take(x, '!')) {
        if (take(x, 'r'))
            v = repr(r, v);
        else if (take(x, 's'))
            v = value_str(r, v);
        else
            return run_fail(r, ERR_UNSUPPORTED, "a format with !%c", look(x) ? look(x) : '?');
    }
    spec = v && take(x, ':') && look(x) != '}';
    if (!v || (spec && !read_spec(r, x, &p))) return NULL;
    if (!take(x, '}')) return run_fail(r, ERR_UNSUPPORTED, "a format with such a field");
    if (!spec) return value_str(r, v);
    if (v->kind == VALUE_STR && (p.align == '=' || p.sign || p.commas || p.alternate))
        return run_fail(r, ERR_ARG, "a format of numbers for a str");
    if (v->kind == VALUE_STR && p.zero && !p.align)
        return run_fail(r, ERR_UNSUPPORTED, "a str filled with zeros");
    if (v->kind == VALUE_STR && (!p.type || p.type == 's'))
        return align(r, format_text(r, v, &p), &p, '<');
    if (!p.type && v->kind == VALUE_INT) p.type = 'd';
    if (!p.type || p.type == 's' || !value_is_number(v))
        return run_fail(r, ERR_UNSUPPORTED, "a format with that for %s", value_name(v));
    if (v->kind == VALUE_FLOAT && strchr("dxXo", p.type))
        return run_fail(r, ERR_ARG, "the format %c of a float", p.type);
    return align(r, format_number(r, v, &p), &p, '>');
}

struct value *format_braces(struct run *r, const struct value *format, const struct args *a)
{
    struct reader in = {format->text.s, format->text.s + format->text.len};
    struct buf out = {0};
    int turn = 0;

    while (in.s < in.end && !r->rc) {
        char c = *in.s++;
        struct value *v;

        if ((c == '{' || c == '}') && !take(&in, c)) {
            if (c == '}') run_fail(r, ERR_ARG, "a single } in a format");
            if (r->rc || !(v = field(r, &in, a, &turn))) break;
            text_add(r, &out, v->text.s, v->text.len);
        } else {
            text_add(r, &out, &c, 1);
        }
    }
    return run_buf(r, &out);
}
