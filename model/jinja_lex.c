/* jinja_lex.c - a template as tokens. */
#include "model/jinja_lex.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

#define MAX_NESTING 200 /* brackets in one tag */

struct lexer {
    const char *s;
    size_t at, len;
    int line;
    struct tokens *out;
    bool line_start; /* the text that comes next begins a line */
    struct errmsg *e;
};

void tokens_fini(struct tokens *t)
{
    for (size_t i = 0; i < t->n; i++)
        json_decref(t->at[i].value);
    free(t->at);
    memset(t, 0, sizeof *t);
}

static struct token *add(struct lexer *x, enum token_kind kind)
{
    struct tokens *t = x->out;

    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        struct token *at = realloc(t->at, cap * sizeof *at);

        if (!at) return NULL;
        t->at = at;
        t->cap = cap;
    }
    t->at[t->n] = (struct token){.kind = kind, .line = x->line};
    return &t->at[t->n++];
}

static int no_memory(struct lexer *x)
{
    return err_set(x->e, ERR_NOMEM, "template: no memory");
}

static int add_value(struct lexer *x, enum token_kind kind, json_t *value)
{
    struct token *t = value ? add(x, kind) : NULL;

    if (!t) {
        json_decref(value);
        return no_memory(x);
    }
    t->value = value;
    return ERR_OK;
}

static int add_word(struct lexer *x, enum token_kind kind, const char *word, size_t n)
{
    struct token *t;

    if (n >= sizeof t->text)
        return err_set(x->e, ERR_UNSUPPORTED, "template line %d: a name of %zu bytes", x->line, n);
    t = add(x, kind);
    if (!t) return no_memory(x);
    memcpy(t->text, word, n);
    return ERR_OK;
}

/* Moves on and counts lines. */
static void skip(struct lexer *x, size_t n)
{
    for (; n && x->at < x->len; n--)
        x->line += x->s[x->at++] == '\n';
}

static bool looking_at(const struct lexer *x, const char *word)
{
    size_t n = strlen(word);

    return x->len - x->at >= n && !memcmp(x->s + x->at, word, n);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The place of the next tag, or the end. */
static size_t find_tag(const struct lexer *x)
{
    for (size_t i = x->at; i + 1 < x->len; i++)
        if (x->s[i] == '{' && (x->s[i + 1] == '{' || x->s[i + 1] == '%' || x->s[i + 1] == '#'))
            return i;
    return x->len;
}

/* Where the text before the tag at `tag` ends once white space is settled. */
static size_t text_end(const struct lexer *x, size_t tag)
{
    size_t end = tag, i = tag;
    char mark = tag + 2 < x->len ? x->s[tag + 2] : '\0';

    if (tag == x->len) return end;
    if (mark == '-') {
        while (end > x->at && is_blank(x->s[end - 1]))
            end--;
        return end;
    }
    if (x->s[tag + 1] == '{' || mark == '+') return end;
    while (i > x->at && is_blank(x->s[i - 1]) && x->s[i - 1] != '\n')
        i--;
    if (i > x->at ? x->s[i - 1] == '\n' : x->line_start) end = i;
    return end;
}

static int lex_text(struct lexer *x)
{
    size_t tag = find_tag(x), end = text_end(x, tag);

    if (end > x->at) {
        int rc = add_value(x, TOKEN_TEXT, json_stringn(x->s + x->at, end - x->at));

        if (rc) return rc;
    }
    skip(x, tag - x->at);
    return ERR_OK;
}

/* Behind a tag's end: "-" takes all white space, trim_blocks one newline. */
static void after_tag(struct lexer *x, bool minus, bool trims)
{
    x->line_start = false;
    if (minus) {
        while (x->at < x->len && is_blank(x->s[x->at])) {
            x->line_start = x->s[x->at] == '\n';
            skip(x, 1);
        }
    } else if (trims && looking_at(x, "\n")) {
        skip(x, 1);
        x->line_start = true;
    }
}

static int lex_comment(struct lexer *x)
{
    int line = x->line;
    bool minus;

    skip(x, 2);
    while (x->at < x->len && !looking_at(x, "#}"))
        skip(x, 1);
    if (x->at == x->len)
        return err_set(x->e, ERR_FORMAT, "template line %d: a comment without end", line);
    minus = x->s[x->at - 1] == '-';
    skip(x, 2);
    after_tag(x, minus, true);
    return ERR_OK;
}

static int hex_value(const struct lexer *x, size_t at, int digits, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        char c = at + (size_t)i < x->len ? x->s[at + (size_t)i] : '\0';

        if (!isxdigit((unsigned char)c)) return -1;
        *out = *out * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return 0;
}

static bool looking_at_octal(const struct lexer *x)
{
    return x->at < x->len && x->s[x->at] >= '0' && x->s[x->at] <= '7';
}

/* One escape behind a backslash, as Python reads it; one that is not known keeps its backslash. */
static int lex_escape(struct lexer *x, struct buf *out)
{
    static const char FROM[] = "ntr\\'\"bfav", TO[] = "\n\t\r\\'\"\b\f\a\v";
    char c = x->s[x->at];
    const char *p = c ? strchr(FROM, c) : NULL;
    uint32_t cp;
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;

    if (p) {
        skip(x, 1);
        return buf_addc(out, TO[p - FROM]);
    }
    if (c == '\n') { /* a line that goes on */
        skip(x, 1);
        return ERR_OK;
    }
    if (digits) {
        if (hex_value(x, x->at + 1, digits, &cp) || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
            return err_set(x->e, ERR_FORMAT, "template line %d: a bad \\%c", x->line, c);
        skip(x, 1 + (size_t)digits);
        return utf8_put(out, cp);
    }
    if (c >= '0' && c <= '7') {
        for (cp = 0; digits < 3 && looking_at_octal(x); digits++) {
            cp = cp * 8 + (uint32_t)(x->s[x->at] - '0');
            skip(x, 1);
        }
        return utf8_put(out, cp);
    }
    if (c == 'N')
        return err_set(x->e, ERR_UNSUPPORTED, "template line %d: the escape \\N", x->line);
    return buf_addc(out, '\\');
}

static int lex_string(struct lexer *x)
{
    struct buf text = {0};
    char quote = x->s[x->at];
    int line = x->line, rc = ERR_OK;

    skip(x, 1);
    while (!rc && x->at < x->len && x->s[x->at] != quote) {
        if (x->s[x->at] == '\\' && x->at + 1 < x->len) {
            skip(x, 1);
            rc = lex_escape(x, &text);
        } else {
            rc = buf_addc(&text, x->s[x->at]);
            skip(x, 1);
        }
    }
    if (!rc && x->at == x->len)
        rc = err_set(x->e, ERR_FORMAT, "template line %d: a string without end", line);
    skip(x, 1);
    if (!rc) rc = add_value(x, TOKEN_CONST, json_stringn(text.data ? text.data : "", text.len));
    buf_fini(&text);
    return rc;
}

/* Appends a run of digits, underscores left out; false when there is none, or no room. */
static bool take_digits(struct lexer *x, char out[64], size_t *n)
{
    size_t before = *n;

    for (; x->at < x->len && *n < 60; skip(x, 1)) {
        if (x->s[x->at] == '_' && x->at + 1 < x->len && isxdigit((unsigned char)x->s[x->at + 1]))
            continue;
        if (!isxdigit((unsigned char)x->s[x->at]) ||
            (!isdigit((unsigned char)x->s[x->at]) && !(out[0] == '0' && out[1] == 'x')))
            break;
        out[(*n)++] = x->s[x->at];
    }
    return *n > before;
}

/* 0x1f, 0o17, 0b11: the base, its sign skipped; else 10. */
static int take_base(struct lexer *x, char out[64], size_t *n)
{
    static const char SIGNS[] = "xXoObB";
    const char *p = x->at + 1 < x->len && x->s[x->at] == '0' && x->s[x->at + 1]
                        ? strchr(SIGNS, x->s[x->at + 1])
                        : NULL;

    if (!p) return 10;
    memcpy(out, p - SIGNS < 2 ? "0x" : "00", 2);
    *n = 2;
    skip(x, 2);
    return p - SIGNS < 2 ? 16 : p - SIGNS < 4 ? 8 : 2;
}

static bool digit_at(const struct lexer *x, size_t at)
{
    return at < x->len && isdigit((unsigned char)x->s[at]);
}

/* The rest of a float behind its whole part: .5, e-3, .5e-3. */
static bool take_fraction(struct lexer *x, char out[64], size_t *n)
{
    bool real = false;
    size_t at;

    if (x->at < x->len && x->s[x->at] == '.' && digit_at(x, x->at + 1)) {
        out[(*n)++] = '.';
        skip(x, 1);
        real = take_digits(x, out, n);
    }
    at = x->at + 1;
    if (at < x->len && (x->s[at] == '+' || x->s[at] == '-')) at++;
    if (x->at < x->len && (x->s[x->at] | 32) == 'e' && digit_at(x, at)) {
        while (x->at < at) {
            out[(*n)++] = x->s[x->at];
            skip(x, 1);
        }
        real = take_digits(x, out, n);
    }
    return real;
}

static int lex_number(struct lexer *x)
{
    const struct token *last = &x->out->at[x->out->n - 1];
    bool item = last->kind == TOKEN_OP && !strcmp(last->text, "."), real = false;
    char digits[64] = "", *end;
    size_t n = 0;
    int base = take_base(x, digits, &n);
    long long i;

    take_digits(x, digits, &n);
    if (base == 10 && !item) real = take_fraction(x, digits, &n);
    digits[n] = '\0';
    errno = 0;
    i = real ? 0 : strtoll(digits, &end, base);
    if (n > 56 || errno || (!real && *end) || (base == 10 && !real && n > 1 && digits[0] == '0') ||
        (x->at < x->len && (isalnum((unsigned char)x->s[x->at]) || x->s[x->at] == '_')))
        return err_set(x->e, ERR_UNSUPPORTED, "template line %d: the number %s...", x->line,
                       digits);
    return add_value(x, TOKEN_CONST, real ? json_real(strtod(digits, NULL)) : json_integer(i));
}

static int lex_op(struct lexer *x)
{
    static const char *const OPS[] = {"**", "//", "==", "!=", ">=", "<="};
    size_t n = 1;
    int rc;

    for (size_t i = 0; i < sizeof OPS / sizeof OPS[0]; i++)
        if (looking_at(x, OPS[i])) n = 2;
    if (!strchr("+-*/%~[](){}=!<>.:|,", x->s[x->at]) || !x->s[x->at])
        return err_set(x->e, ERR_FORMAT, "template line %d: a stray byte 0x%02X", x->line,
                       (unsigned)(unsigned char)x->s[x->at]);
    rc = add_word(x, TOKEN_OP, x->s + x->at, n);
    skip(x, n);
    return rc;
}

static int lex_one(struct lexer *x)
{
    size_t n = 0;
    char c = x->s[x->at];
    int rc;

    if (c == '\'' || c == '"') return lex_string(x);
    if (isdigit((unsigned char)c)) return lex_number(x);
    while (x->at + n < x->len &&
           (isalnum((unsigned char)x->s[x->at + n]) || x->s[x->at + n] == '_'))
        n++;
    if (!n) return lex_op(x);
    rc = add_word(x, TOKEN_NAME, x->s + x->at, n);
    skip(x, n);
    return rc;
}

/* At a tag's end, its sign included?  *minus says whether the sign is "-". */
static bool at_end(const struct lexer *x, const char *end, size_t *n, bool *minus, bool *plus)
{
    char c = x->s[x->at];

    *minus = c == '-';
    *plus = c == '+' && end[0] == '%'; /* a print tag knows none */
    *n = *minus || *plus ? 3 : 2;
    if (x->len - x->at < *n) return false;
    return !memcmp(x->s + x->at + *n - 2, end, 2);
}

static int depth_change(const struct lexer *x)
{
    const struct token *t = &x->out->at[x->out->n - 1];

    if (t->kind != TOKEN_OP) return 0;
    if (strchr("([{", t->text[0])) return 1;
    return strchr(")]}", t->text[0]) ? -1 : 0;
}

/* {{ ... }} or {% ... %} */
static int lex_tag(struct lexer *x, bool block)
{
    int line = x->line, depth = 0, rc;
    bool minus, plus;
    size_t n;

    if (!add(x, block ? TOKEN_BLOCK : TOKEN_PRINT)) return no_memory(x);
    skip(x, 2);
    if (x->at < x->len && (x->s[x->at] == '-' || x->s[x->at] == '+')) skip(x, 1);
    for (;;) {
        while (x->at < x->len && is_blank(x->s[x->at]))
            skip(x, 1);
        if (x->at == x->len)
            return err_set(x->e, ERR_FORMAT, "template line %d: a tag without end", line);
        if (!depth && at_end(x, block ? "%}" : "}}", &n, &minus, &plus)) break;
        rc = lex_one(x);
        if (rc) return rc;
        depth += depth_change(x);
        if (depth < 0 || depth > MAX_NESTING)
            return err_set(x->e, ERR_FORMAT, "template line %d: brackets do not pair", x->line);
    }
    if (!add(x, block ? TOKEN_BLOCK_END : TOKEN_PRINT_END)) return no_memory(x);
    skip(x, n);
    after_tag(x, minus, block && !plus);
    return ERR_OK;
}

/* At {% word %}: the tag's length, else 0. */
static size_t word_tag(const struct lexer *x, size_t at, const char *word, bool *minus, bool *plus)
{
    size_t i = at + 2, n = strlen(word);

    if (x->len - at < n + 4 || memcmp(x->s + at, "{%", 2)) return 0;
    if (x->s[i] == '-' || x->s[i] == '+') i++;
    while (i < x->len && is_blank(x->s[i]))
        i++;
    if (x->len - i < n + 2 || memcmp(x->s + i, word, n)) return 0;
    i += n;
    while (i < x->len && is_blank(x->s[i]))
        i++;
    *minus = i < x->len && x->s[i] == '-';
    *plus = i < x->len && x->s[i] == '+';
    i += *minus || *plus;
    return x->len - i >= 2 && !memcmp(x->s + i, "%}", 2) ? i + 2 - at : 0;
}

/* Behind {% raw %}: the text up to {% endraw %}, as it stands. */
static int lex_raw(struct lexer *x, size_t tag, bool minus)
{
    size_t end, n = 0;
    int line = x->line, rc = ERR_OK;
    bool plus;

    skip(x, tag);
    after_tag(x, minus, false);
    for (end = x->at; end < x->len && !(n = word_tag(x, end, "endraw", &minus, &plus)); end++)
        ;
    if (!n) return err_set(x->e, ERR_FORMAT, "template line %d: raw without endraw", line);
    if (text_end(x, end) > x->at)
        rc = add_value(x, TOKEN_TEXT, json_stringn(x->s + x->at, text_end(x, end) - x->at));
    skip(x, end - x->at + n);
    after_tag(x, minus, !plus);
    return rc;
}

static int lex_any_tag(struct lexer *x)
{
    bool minus, plus;
    size_t raw = word_tag(x, x->at, "raw", &minus, &plus);

    if (raw) return lex_raw(x, raw, minus);
    return x->s[x->at + 1] == '#' ? lex_comment(x) : lex_tag(x, x->s[x->at + 1] == '%');
}

static int lex_all(struct lexer *x)
{
    x->line_start = true;
    while (x->at < x->len) {
        int rc = lex_text(x);

        if (!rc && x->at < x->len) rc = lex_any_tag(x);
        if (rc) return rc;
    }
    return add(x, TOKEN_END) ? ERR_OK : no_memory(x);
}

/* Newlines as \n, without the last one. */
static int normalize(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool cr = text[i] == '\r';

        if (buf_addc(out, cr ? '\n' : text[i])) return ERR_NOMEM;
        if (cr && i + 1 < len && text[i + 1] == '\n') i++;
    }
    if (out->len && out->data[out->len - 1] == '\n') out->len--;
    return ERR_OK;
}

int jinja_lex(struct tokens *out, const char *text, size_t len, struct errmsg *e)
{
    struct buf clean = {0};
    struct lexer x = {.line = 1, .out = out, .e = e};
    int rc;

    if (!utf8_is_valid(text, len))
        return err_set(e, ERR_FORMAT, "template: not UTF-8 at byte %zu",
                       utf8_valid_prefix(text, len));
    rc = normalize(&clean, text, len);
    x.s = clean.data ? clean.data : "";
    x.len = clean.len;
    if (!rc) rc = lex_all(&x);
    if (rc == ERR_NOMEM) no_memory(&x);
    buf_fini(&clean);
    return rc;
}
