/* jinja_lex.c - a template as tokens. */
#include "model/jinja_lex.h"

#include <ctype.h>
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
    if (c >= '0' && c <= '7')
        return err_set(x->e, ERR_UNSUPPORTED, "template line %d: the escape \\%c", x->line, c);
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

static int lex_number(struct lexer *x)
{
    char digits[32] = "";
    size_t n = 0;
    bool real = false;

    for (; x->at < x->len && n + 1 < sizeof digits; skip(x, 1)) {
        char c = x->s[x->at];

        if (c == '_') continue;
        if (c == '.' && !real && x->at + 1 < x->len && isdigit((unsigned char)x->s[x->at + 1]))
            real = true;
        else if (!isdigit((unsigned char)c))
            break;
        digits[n++] = c;
    }
    if (n > 18 || (x->at < x->len && isalpha((unsigned char)x->s[x->at])))
        return err_set(x->e, ERR_UNSUPPORTED, "template line %d: the number %s...", x->line,
                       digits);
    return add_value(x, TOKEN_CONST,
                     real ? json_real(strtod(digits, NULL)) : json_integer(atoll(digits)));
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
    *plus = c == '+';
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

static int lex_all(struct lexer *x)
{
    x->line_start = true;
    while (x->at < x->len) {
        int rc = lex_text(x);

        if (!rc && x->at < x->len)
            rc = x->s[x->at + 1] == '#' ? lex_comment(x) : lex_tag(x, x->s[x->at + 1] == '%');
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
