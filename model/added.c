/* added.c - the added tokens of tokenizer.json. */
#include "model/added.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "model/charclass.h"

#define MAX_ADDED 65536

struct token {
    char *text; /* as it is looked for: normalized if the token is */
    size_t len;
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
};

struct added {
    struct token *tokens; /* by first byte, longest first */
    size_t n;
    size_t first[257]; /* tokens [first[b], first[b + 1]) begin with byte b */
};

static bool flag(const json_t *spec, const char *name)
{
    return json_is_true(json_object_get(spec, name));
}

static int set_text(struct token *t, const json_t *content, const struct normal *n,
                    struct errmsg *e)
{
    struct buf text = {0};
    int rc = buf_add(&text, json_string_value(content), json_string_length(content));

    if (rc)
        err_set(e, rc, "added_tokens: no memory");
    else if (t->normalized)
        rc = normal_apply(n, &text, e);
    if (rc || !text.len) {
        buf_fini(&text);
        return rc;
    }
    t->text = text.data; /* the buffer's memory is ours now */
    t->len = text.len;
    return ERR_OK;
}

static int read_token(struct token *t, const json_t *spec, struct vocab *v, const struct normal *n,
                      size_t i, struct errmsg *e)
{
    const json_t *content = json_object_get(spec, "content"), *id = json_object_get(spec, "id");
    int rc;

    if (!json_is_string(content) || !json_string_length(content) || !json_is_integer(id))
        return err_set(e, ERR_FORMAT, "added_tokens: entry %zu lacks content or id", i);
    rc = vocab_add(v, json_string_value(content), json_string_length(content),
                   json_integer_value(id), e);
    if (rc) return rc;
    t->id = (int32_t)json_integer_value(id);
    t->special = flag(spec, "special");
    t->normalized = flag(spec, "normalized");
    t->lstrip = flag(spec, "lstrip");
    t->rstrip = flag(spec, "rstrip");
    t->single_word = flag(spec, "single_word");
    return set_text(t, content, n, e);
}

static unsigned first_byte(const struct token *t)
{
    return t->len ? (unsigned char)t->text[0] : 0;
}

static int by_first_then_length(const void *a, const void *b)
{
    const struct token *x = a, *y = b;

    if (first_byte(x) != first_byte(y)) return first_byte(x) < first_byte(y) ? -1 : 1;
    if (x->len != y->len) return x->len > y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void index_tokens(struct added *a)
{
    size_t i = 0;

    if (a->n) qsort(a->tokens, a->n, sizeof *a->tokens, by_first_then_length);
    for (unsigned b = 0; b < 256; b++) {
        a->first[b] = i;
        while (i < a->n && first_byte(&a->tokens[i]) == b)
            i++;
    }
    a->first[256] = a->n;
}

int added_open(struct added **out, const json_t *list, struct vocab *v, const struct normal *n,
               struct errmsg *e)
{
    struct added *a = calloc(1, sizeof *a);
    size_t want = json_array_size(list);
    int rc = ERR_OK;

    *out = NULL;
    if (want > MAX_ADDED) {
        rc = err_set(e, ERR_FORMAT, "added_tokens: %zu of them, at most %d", want, MAX_ADDED);
        goto out;
    }
    if (!a || !(a->tokens = calloc(want + 1, sizeof *a->tokens))) {
        rc = err_set(e, ERR_NOMEM, "added_tokens: no memory");
        goto out;
    }
    for (size_t i = 0; i < want && !rc; i++)
        rc = read_token(&a->tokens[a->n++], json_array_get(list, i), v, n, i, e);
    if (rc) goto out;
    index_tokens(a);
    *out = a;
    a = NULL;
out:
    added_close(&a);
    return rc;
}

void added_close(struct added **a)
{
    if (!*a) return;
    for (size_t i = 0; i < (*a)->n; i++)
        free((*a)->tokens[i].text);
    free((*a)->tokens);
    free(*a);
    *a = NULL;
}

void added_mark(const struct added *a, unsigned char *marks)
{
    for (size_t i = 0; i < a->n; i++)
        marks[a->tokens[i].id] = a->tokens[i].special ? ADDED_SPECIAL : ADDED_PLAIN;
}

static bool is_space(uint32_t cp)
{
    return charclass_of(cp) == CHAR_SPACE;
}

/* The character that ends at `at`, and where it begins. */
static uint32_t before(const char *text, size_t at, size_t *begin)
{
    uint32_t cp = 0;

    *begin = at - 1;
    while (*begin && ((unsigned char)text[*begin] & 0xC0) == 0x80)
        --*begin;
    (void)utf8_next(text + *begin, at - *begin, &cp);
    return cp;
}

static bool stands_alone(const char *text, size_t len, size_t begin, size_t end)
{
    size_t at;
    uint32_t cp;

    if (begin && charclass_is_word(before(text, begin, &at))) return false;
    return end == len || utf8_next(text + end, len - end, &cp) <= 0 || !charclass_is_word(cp);
}

static void strip(const struct token *t, const char *text, size_t len, size_t from,
                  struct added_hit *hit)
{
    size_t begin;
    uint32_t cp;
    int n;

    while (t->lstrip && hit->begin > from && is_space(before(text, hit->begin, &begin)))
        hit->begin = begin;
    while (t->rstrip && hit->end < len &&
           (n = utf8_next(text + hit->end, len - hit->end, &cp)) > 0 && is_space(cp))
        hit->end += (size_t)n;
}

bool added_next(const struct added *a, const char *text, size_t len, size_t from, bool normalized,
                bool specials, struct added_hit *hit)
{
    for (size_t at = from; at < len; at++) {
        unsigned b = (unsigned char)text[at];

        for (size_t i = a->first[b]; i < a->first[b + 1]; i++) {
            const struct token *t = &a->tokens[i];

            if (!t->len || t->normalized != normalized || (t->special && !specials)) continue;
            if (t->len > len - at || memcmp(text + at, t->text, t->len)) continue;
            if (t->single_word && !stands_alone(text, len, at, at + t->len)) continue;
            *hit = (struct added_hit){at, at + t->len, t->id};
            strip(t, text, len, from, hit);
            return true;
        }
    }
    return false;
}
