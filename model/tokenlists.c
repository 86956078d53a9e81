/* tokenlists.c - the two long lists of a tokenizer.json, read straight from its text. */
#include "model/tokenlists.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

/* Where the reading is.  `bad` once something is not as usual; then nothing moves any more. */
struct cursor {
    const char *at, *end;
    char *to; /* where decoded text goes; there is room for as much as is read */
    bool bad;
    bool no_memory;
};

struct cut {
    const char *begin, *end; /* of a list in the text; NULL: it was not there */
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

/* Takes this character, behind white space. */
static bool take(struct cursor *c, char want)
{
    skip_space(c);
    if (c->bad || c->at == c->end || *c->at != want) return false;
    c->at++;
    return true;
}

static void need(struct cursor *c, char want)
{
    if (!take(c, want)) c->bad = true;
}

static bool read_hex(struct cursor *c, uint32_t *out)
{
    *out = 0;
    if (c->end - c->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", x = *c->at++;
        const char *hit = x ? strchr(digits, x >= 'A' && x <= 'F' ? x | 0x20 : x) : NULL;

        if (!hit) return false;
        *out = *out * 16 + (uint32_t)(hit - digits);
    }
    return true;
}

/* Behind "\u". */
static bool read_unicode(struct cursor *c)
{
    struct buf utf8 = {0};
    uint32_t cp, low;

    if (!read_hex(c, &cp)) return false;
    if (cp >= 0xD800 && cp < 0xDC00) {
        if (c->end - c->at < 2 || c->at[0] != '\\' || c->at[1] != 'u') return false;
        c->at += 2;
        if (!read_hex(c, &low) || low < 0xDC00 || low > 0xDFFF) return false;
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
    } else if (cp >= 0xDC00 && cp < 0xE000) {
        return false;
    }
    if (utf8_put(&utf8, cp)) {
        c->no_memory = true;
        return false;
    }
    memcpy(c->to, utf8.data, utf8.len);
    c->to += utf8.len;
    buf_fini(&utf8);
    return true;
}

/* Behind the backslash. */
static bool read_escape(struct cursor *c)
{
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    const char *hit;

    if (c->at == c->end) return false;
    if (*c->at == 'u') {
        c->at++;
        return read_unicode(c);
    }
    hit = *c->at ? strchr(FROM, *c->at) : NULL;
    if (!hit) return false;
    c->at++;
    *c->to++ = TO[hit - FROM];
    return true;
}

/* The rest of a string that is copied because of an escape in it. */
static struct tokenizer_text copy_string(struct cursor *c, const char *begin)
{
    char *copy = c->to;

    memcpy(c->to, begin, (size_t)(c->at - begin));
    c->to += c->at - begin;
    while (c->at < c->end && *c->at != '"') {
        if ((unsigned char)*c->at < 0x20) {
            c->bad = true;
        } else if (*c->at == '\\') {
            c->at++;
            c->bad = !read_escape(c);
        } else {
            *c->to++ = *c->at++;
        }
        if (c->bad) break;
    }
    return (struct tokenizer_text){copy, (size_t)(c->to - copy)};
}

static struct tokenizer_text read_string(struct cursor *c)
{
    struct tokenizer_text text = {0};

    need(c, '"');
    if (c->bad) return text;
    text.at = c->at;
    while (c->at < c->end && *c->at != '"' && *c->at != '\\' && (unsigned char)*c->at >= 0x20)
        c->at++;
    text.len = (size_t)(c->at - text.at);
    if (c->at < c->end && *c->at == '\\') text = copy_string(c, text.at);
    if (c->bad || c->at == c->end || *c->at != '"') {
        c->bad = true;
        return text;
    }
    c->at++;
    return text;
}

static void skip_string(struct cursor *c)
{
    need(c, '"');
    while (!c->bad && c->at < c->end && *c->at != '"')
        c->at += *c->at == '\\' && c->end - c->at > 1 ? 2 : 1;
    need(c, '"');
}

/* Any value.  Only brackets and strings matter: the long way's parser reads this part again. */
static void skip_value(struct cursor *c)
{
    int depth = 0;

    do {
        skip_space(c);
        if (c->at >= c->end) c->bad = true;
        if (c->bad) return;
        if (*c->at == '"') {
            skip_string(c);
            continue;
        }
        if (depth && (*c->at == ',' || *c->at == ':')) {
            c->at++;
            continue;
        }
        if (*c->at == '{' || *c->at == '[') depth++;
        if (*c->at == '}' || *c->at == ']') depth--;
        if (strchr("{}[]", *c->at)) {
            c->at++;
            continue;
        }
        while (c->at < c->end && !strchr(",:{}[]\" \n\r\t", *c->at))
            c->at++;
    } while (depth > 0);
    if (depth < 0) c->bad = true;
}

/* Room for text number i of a list that has no more entries than the file has bytes. */
static bool make_room(struct cursor *c, struct tokenizer_text **list, size_t *cap, size_t i)
{
    size_t more = *cap ? *cap : 4096;
    struct tokenizer_text *grown;

    while (more <= i)
        more *= 2;
    if (more == *cap) return true;
    grown = realloc(*list, more * sizeof *grown);
    if (!grown) {
        c->bad = c->no_memory = true;
        return false;
    }
    memset(grown + *cap, 0, (more - *cap) * sizeof *grown);
    *list = grown;
    *cap = more;
    return true;
}

/* A number without sign or point; SIZE_MAX when it is none. */
static size_t read_number(struct cursor *c)
{
    size_t v = 0, n = 0;

    skip_space(c);
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9' && n < 9; n++)
        v = v * 10 + (size_t)(*c->at++ - '0');
    if (!n || (n > 1 && c->at[-(ptrdiff_t)n] == '0')) c->bad = true;
    return c->bad ? SIZE_MAX : v;
}

static void read_vocab(struct cursor *c, struct tokenlists *l)
{
    const size_t most = (size_t)(c->end - c->at); /* an id beyond it is not the usual form */

    need(c, '{');
    if (take(c, '}')) return;
    do {
        struct tokenizer_text text = read_string(c);
        size_t id;

        need(c, ':');
        id = read_number(c);
        if (c->bad || !text.len || id > most || (id < l->n_tokens && l->tokens[id].at)) {
            c->bad = true;
            return;
        }
        if (!make_room(c, &l->tokens, &l->tokens_cap, id)) return;
        l->tokens[id] = text;
        if (id >= l->n_tokens) l->n_tokens = id + 1;
    } while (take(c, ','));
    need(c, '}');
}

/* ["a", "b"] becomes "a b", which is shorter. */
static struct tokenizer_text read_pair(struct cursor *c)
{
    struct tokenizer_text a, b;
    char *begin;

    need(c, '[');
    a = read_string(c);
    need(c, ',');
    b = read_string(c);
    need(c, ']');
    if (c->bad || memchr(a.at, ' ', a.len) || memchr(b.at, ' ', b.len)) {
        c->bad = true;
        return a;
    }
    begin = c->to; /* behind copies of both, if there are any: all in all twice the file at most */
    memcpy(begin, a.at, a.len);
    begin[a.len] = ' ';
    memcpy(begin + a.len + 1, b.at, b.len);
    c->to += a.len + 1 + b.len;
    return (struct tokenizer_text){begin, a.len + 1 + b.len};
}

static void read_merges(struct cursor *c, struct tokenlists *l)
{
    need(c, '[');
    if (take(c, ']')) return;
    do {
        struct tokenizer_text text;

        skip_space(c);
        text = c->at < c->end && *c->at == '[' ? read_pair(c) : read_string(c);
        if (c->bad || !make_room(c, &l->merges, &l->merges_cap, l->n_merges)) return;
        l->merges[l->n_merges++] = text;
    } while (take(c, ','));
    need(c, ']');
}

static bool is_key(const struct cursor *c, const char *name)
{
    const size_t n = strlen(name);

    return (size_t)(c->end - c->at) > n + 2 && c->at[0] == '"' && !memcmp(c->at + 1, name, n) &&
           c->at[n + 1] == '"';
}

/* Reads a list where it is looked at, once. */
static void read_list(struct cursor *c, struct tokenlists *l, struct cut *cut,
                      void (*reader)(struct cursor *, struct tokenlists *))
{
    if (cut->begin) c->bad = true; /* there twice */
    skip_space(c);
    cut->begin = c->at;
    if (!c->bad) reader(c, l);
    cut->end = c->at;
}

/* The members of an object, of the file (deep false) or of its model. */
static void read_members(struct cursor *c, struct tokenlists *l, struct cut cuts[2], bool deep)
{
    need(c, '{');
    if (take(c, '}')) return;
    do {
        bool model, vocab, merges;

        skip_space(c);
        model = !deep && is_key(c, "model");
        vocab = deep && is_key(c, "vocab");
        merges = deep && is_key(c, "merges");
        skip_string(c);
        need(c, ':');
        if (c->bad) return;
        if (model)
            read_members(c, l, cuts, true);
        else if (vocab)
            read_list(c, l, &cuts[0], read_vocab);
        else if (merges)
            read_list(c, l, &cuts[1], read_merges);
        else
            skip_value(c);
    } while (take(c, ','));
    need(c, '}');
}

/* The rest of the file, with {} and [] in place of the lists. */
static int parse_rest(struct tokenlists *l, const char *text, size_t len, const struct cut cuts[2])
{
    const bool vocab_first = cuts[0].begin < cuts[1].begin;
    const struct cut *a = &cuts[!vocab_first], *b = &cuts[vocab_first];
    struct buf rest = {0};

    buf_add(&rest, text, (size_t)(a->begin - text));
    buf_adds(&rest, vocab_first ? "{}" : "[]");
    buf_add(&rest, a->end, (size_t)(b->begin - a->end));
    buf_adds(&rest, vocab_first ? "[]" : "{}");
    buf_add(&rest, b->end, (size_t)(text + len - b->end));
    if (!rest.failed)
        l->tree = json_loadb(rest.data, rest.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    buf_fini(&rest);
    return l->tree ? ERR_OK : ERR_EMPTY;
}

int tokenlists_read(struct tokenlists *l, const char *text, size_t len, struct errmsg *e)
{
    struct cursor c = {.at = text, .end = text + len};
    struct cut cuts[2] = {{0}};

    if (!len || len > SIZE_MAX / 2 || !utf8_is_valid(text, len)) return ERR_EMPTY;
    c.to = l->decoded = malloc(2 * len); /* only what is written costs memory */
    if (!l->decoded) return err_set(e, ERR_NOMEM, "tokenizer: no memory");
    read_members(&c, l, cuts, false);
    if (c.no_memory) return err_set(e, ERR_NOMEM, "tokenizer: no memory");
    if (c.bad || !cuts[0].begin || !cuts[1].begin) return ERR_EMPTY;
    return parse_rest(l, text, len, cuts);
}

void tokenlists_fini(struct tokenlists *l)
{
    json_decref(l->tree);
    free(l->tokens);
    free(l->merges);
    free(l->decoded);
    memset(l, 0, sizeof *l);
}
