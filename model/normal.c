/* normal.c - the normalizer of tokenizer.json. */
#include "model/normal.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "model/pattern.h"

#define MAX_STEPS  16
#define MAX_GROWTH 64                /* a text becomes at most so many times longer, */
#define MIN_BYTES  ((size_t)1 << 16) /* or so long */
#define KNOWN      "Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD"

enum kind { PREPEND, REPLACE, UNICODE };

struct step {
    enum kind kind;
    struct pattern *pattern; /* REPLACE */
    char *content;           /* PREPEND, REPLACE */
    size_t len;
    utf8proc_option_t options; /* UNICODE */
};

struct normal {
    int n;
    struct step steps[MAX_STEPS];
};

static const struct {
    const char *name;
    int options;
} FORMS[] = {
    {"NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
    {"NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
    {"NFKC", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
    {"NFKD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT},
};

static int read_content(struct step *s, const json_t *text, const char *type, struct errmsg *e)
{
    if (!json_is_string(text))
        return err_set(e, ERR_FORMAT, "normalizer %s: its text is missing", type);
    s->len = json_string_length(text);
    s->content = malloc(s->len + 1);
    if (!s->content) return err_set(e, ERR_NOMEM, "normalizer: no memory");
    memcpy(s->content, json_string_value(text), s->len);
    return ERR_OK;
}

static int read_step(struct step *s, const json_t *spec, const char *type, struct errmsg *e)
{
    int rc;

    if (!strcmp(type, "Prepend")) {
        s->kind = PREPEND;
        return read_content(s, json_object_get(spec, "prepend"), type, e);
    }
    if (!strcmp(type, "Replace")) {
        s->kind = REPLACE;
        rc = read_content(s, json_object_get(spec, "content"), type, e);
        return rc ? rc : pattern_open(&s->pattern, json_object_get(spec, "pattern"), e);
    }
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        if (strcmp(type, FORMS[i].name)) continue;
        s->kind = UNICODE;
        s->options = (utf8proc_option_t)FORMS[i].options;
        return ERR_OK;
    }
    return err_set(e, ERR_UNSUPPORTED, "normalizer %.60s; known are " KNOWN, type);
}

static int read_spec(struct normal *n, const json_t *spec, int depth, struct errmsg *e)
{
    const char *type = json_string_value(json_object_get(spec, "type"));
    const json_t *list = json_object_get(spec, "normalizers");
    int rc = ERR_OK;

    if (!spec || json_is_null(spec)) return ERR_OK;
    if (!type) return err_set(e, ERR_FORMAT, "normalizer: it has no type");
    if (!strcmp(type, "Sequence") && depth < MAX_STEPS) {
        for (size_t i = 0; i < json_array_size(list) && !rc; i++)
            rc = read_spec(n, json_array_get(list, i), depth + 1, e);
        return rc;
    }
    if (n->n == MAX_STEPS)
        return err_set(e, ERR_UNSUPPORTED, "normalizer: more than %d steps", MAX_STEPS);
    return read_step(&n->steps[n->n++], spec, type, e);
}

int normal_open(struct normal **out, const json_t *spec, struct errmsg *e)
{
    struct normal *n = calloc(1, sizeof *n);
    int rc = n ? read_spec(n, spec, 0, e) : err_set(e, ERR_NOMEM, "normalizer: no memory");

    if (rc) normal_close(&n);
    *out = n;
    return rc;
}

void normal_close(struct normal **n)
{
    if (!*n) return;
    for (int i = 0; i < (*n)->n; i++) {
        pattern_close(&(*n)->steps[i].pattern);
        free((*n)->steps[i].content);
    }
    free(*n);
    *n = NULL;
}

static int prepend(const struct step *s, struct buf *text)
{
    if (!text->len) return ERR_OK; /* nothing is put in front of nothing */
    if (buf_reserve(text, s->len)) return ERR_NOMEM;
    memmove(text->data + s->len, text->data, text->len + 1);
    memcpy(text->data, s->content, s->len);
    text->len += s->len;
    return ERR_OK;
}

/* Characters that NFC leaves alone, whatever of them stands beside them: each is its own form, and
 * none joins with one in front.  Latin, punctuation, Greek and Cyrillic letters, kana, Han. */
static const struct {
    uint32_t first, last;
} STABLE[] = {{0, 0x2FF},       {0x391, 0x3A1},   {0x3A3, 0x3CE},   {0x400, 0x482},
              {0x48A, 0x52F},   {0x2010, 0x2027}, {0x2030, 0x205E}, {0x3001, 0x3029},
              {0x3041, 0x3096}, {0x30A1, 0x30FF}, {0x4E00, 0x9FFF}, {0xFF01, 0xFF5E}};

static bool is_stable(uint32_t cp)
{
    for (size_t i = 0; i < sizeof STABLE / sizeof STABLE[0]; i++)
        if (cp <= STABLE[i].last) return cp >= STABLE[i].first;
    return false;
}

/* Each form leaves ASCII as it is. */
static bool unicode_leaves(const struct step *s, const char *text, size_t len)
{
    const bool nfc = s->options == (UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    uint32_t cp;

    for (size_t at = 0; at < len;) {
        int n;

        if (!((unsigned char)text[at] & 0x80)) {
            at++;
            continue;
        }
        n = nfc ? utf8_next(text + at, len - at, &cp) : 0;
        if (n <= 0 || !is_stable(cp)) return false;
        at += (size_t)n;
    }
    return true;
}

bool normal_leaves(const struct normal *n, const char *text, size_t len)
{
    for (int i = 0; i < n->n; i++)
        if (n->steps[i].kind != UNICODE || !unicode_leaves(&n->steps[i], text, len)) return false;
    return true;
}

static int unicode(const struct step *s, struct buf *text, struct errmsg *e)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n;
    int rc;

    if (unicode_leaves(s, text->data, text->len)) return ERR_OK;
    n = utf8proc_map((const utf8proc_uint8_t *)text->data, (utf8proc_ssize_t)text->len, &mapped,
                     s->options);
    if (n == UTF8PROC_ERROR_NOMEM) return ERR_NOMEM;
    if (n < 0) return err_set(e, ERR_FORMAT, "normalizer: %s", utf8proc_errmsg(n));
    buf_clear(text);
    rc = buf_add(text, mapped, (size_t)n);
    free(mapped);
    return rc;
}

int normal_apply(const struct normal *n, struct buf *text, struct errmsg *e)
{
    const size_t max = text->len * MAX_GROWTH + MIN_BYTES;

    for (int i = 0; i < n->n; i++) {
        const struct step *s = &n->steps[i];
        int rc = s->kind == PREPEND ? prepend(s, text)
                 : s->kind == REPLACE
                     ? pattern_replace(s->pattern, text, s->content, s->len, max, e)
                     : unicode(s, text, e);

        if (rc == ERR_NOMEM) err_set(e, rc, "normalizer: no memory");
        if (rc) return rc;
    }
    return ERR_OK;
}
