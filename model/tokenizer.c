/* tokenizer.c - text to token ids and back: the parts of tokenizer.json put together.
 *
 * encode: cut at added tokens (added), normalize what is between (normal), cut into words
 * (pretoken), spell each word in first ids (here), join them (bpe).  decode: one lookup (decoder).
 */
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/added.h"
#include "model/affix.h"
#include "model/bpe.h"
#include "model/decoder.h"
#include "model/jsonfile.h"
#include "model/letters.h"
#include "model/merges.h"
#include "model/normal.h"
#include "model/pretoken.h"
#include "model/vocab.h"

#define FILE_NAME      "tokenizer.json"
#define MAX_FILE_BYTES ((size_t)256 << 20)

struct tokenizer {
    struct vocab *vocab;
    struct added *added;
    struct normal *normal;
    struct pretoken *pretoken;
    struct merges *merges;
    struct decoder *decoder;
    struct affix affix;
    unsigned char *special; /* [size] bool by id */
    int size;
    bool byte_level;
    int32_t byte_ids[256]; /* the id of each byte: its letter's, or its <0xNN>; -1: none */
    int32_t unk;           /* -1: none */
    bool fuse_unk;
    bool byte_fallback;
    bool ignore_merges; /* a word that is a token is that token */
};

/* One call's memory. */
struct work {
    struct words words;
    struct buf normal;
    struct buf letters;
    struct ids first; /* the word's ids before merges */
    struct bpe_work bpe;
};

int ids_add(struct ids *v, int32_t id)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        int32_t *at = cap > SIZE_MAX / sizeof *at ? NULL : realloc(v->at, cap * sizeof *at);

        if (!at) return ERR_NOMEM;
        v->at = at;
        v->cap = cap;
    }
    v->at[v->n++] = id;
    return ERR_OK;
}

void ids_fini(struct ids *v)
{
    free(v->at);
    memset(v, 0, sizeof *v);
}

static int check_model(const json_t *m, struct errmsg *e)
{
    static const char *const MUST_BE_EMPTY[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *type = json_object_get(m, "type"), *dropout = json_object_get(m, "dropout");

    if (!json_is_object(m)) return err_set(e, ERR_FORMAT, "model: missing");
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "BPE")))
        return err_set(e, ERR_UNSUPPORTED, "model %.60s; known is BPE",
                       json_is_string(type) ? json_string_value(type) : "");
    if (json_number_value(dropout) > 0)
        return err_set(e, ERR_UNSUPPORTED, "model: dropout %g", json_number_value(dropout));
    for (size_t i = 0; i < 2; i++)
        if (json_string_length(json_object_get(m, MUST_BE_EMPTY[i])))
            return err_set(e, ERR_UNSUPPORTED, "model: %s '%.60s'", MUST_BE_EMPTY[i],
                           json_string_value(json_object_get(m, MUST_BE_EMPTY[i])));
    return ERR_OK;
}

static int read_unk(struct tokenizer *t, const json_t *m, struct errmsg *e)
{
    const json_t *unk = json_object_get(m, "unk_token");

    t->unk = -1;
    if (json_is_string(unk)) {
        t->unk = vocab_find(t->vocab, json_string_value(unk), json_string_length(unk));
        if (t->unk < 0)
            return err_set(e, ERR_FORMAT, "model: unk_token '%.60s' is not in the vocabulary",
                           json_string_value(unk));
    }
    t->fuse_unk = json_is_true(json_object_get(m, "fuse_unk"));
    t->byte_fallback = json_is_true(json_object_get(m, "byte_fallback"));
    t->ignore_merges = json_is_true(json_object_get(m, "ignore_merges"));
    return ERR_OK;
}

/* The ids of single bytes, in the spelling of the style. */
static int find_bytes(struct tokenizer *t, struct errmsg *e)
{
    for (int b = 0; b < 256; b++) {
        struct buf letter = {0};
        char c = (char)b;

        if (t->byte_level ? letters_put(&letter, &c, 1)
                          : buf_printf(&letter, "<0x%02X>", (unsigned)b))
            return err_set(e, ERR_NOMEM, "tokenizer: no memory");
        t->byte_ids[b] = vocab_find(t->vocab, letter.data, letter.len);
        buf_fini(&letter);
        if (t->byte_level && t->byte_ids[b] < 0 && t->unk < 0)
            return err_set(e, ERR_FORMAT, "model: byte %d has no token", b); /* T1 */
    }
    return ERR_OK;
}

static int note_specials(struct tokenizer *t, struct errmsg *e)
{
    t->size = vocab_size(t->vocab);
    t->special = calloc((size_t)t->size + 1, 1);
    if (!t->special) return err_set(e, ERR_NOMEM, "tokenizer: no memory");
    added_mark_specials(t->added, t->special);
    return ERR_OK;
}

static int fill_vocab(struct vocab *v, const struct tokenizer_source *s, struct errmsg *e)
{
    json_t *map = json_object_get(json_object_get(s->tree, "model"), "vocab");
    int rc = ERR_OK;

    if (!s->tokens && !json_is_object(map))
        return err_set(e, ERR_FORMAT, "model: vocab is missing");
    if (!s->tokens) return vocab_read(v, map, e);
    for (size_t id = 0; id < s->n_tokens && !rc; id++)
        if (s->tokens[id].at)
            rc = vocab_add(v, s->tokens[id].at, s->tokens[id].len, (int64_t)id, e);
    return rc;
}

static int fill_merges(struct merges *m, const struct vocab *v, const struct tokenizer_source *s,
                       struct errmsg *e)
{
    const json_t *list = json_object_get(json_object_get(s->tree, "model"), "merges");
    int rc = ERR_OK;

    if (s->scores) return merges_score(m, v, s->scores, e);
    if (!s->merges && !json_is_array(list))
        return err_set(e, ERR_FORMAT, "model: merges are missing");
    if (!s->merges) return merges_read(m, v, list, e);
    for (size_t i = 0; i < s->n_merges && !rc; i++)
        rc = merges_add(m, v, s->merges[i].at, s->merges[i].len, i, e);
    return rc;
}

static int read_source(struct tokenizer *t, const struct tokenizer_source *s, struct errmsg *e)
{
    const json_t *file = s->tree, *m = json_object_get(file, "model");
    int rc = check_model(m, e);

    if (!rc) rc = vocab_open(&t->vocab, e);
    if (!rc) rc = merges_open(&t->merges, e);
    if (!rc) rc = fill_vocab(t->vocab, s, e);
    if (!rc) rc = fill_merges(t->merges, t->vocab, s, e);
    if (!rc) rc = normal_open(&t->normal, json_object_get(file, "normalizer"), e);
    if (!rc)
        rc = added_open(&t->added, json_object_get(file, "added_tokens"), t->vocab, t->normal, e);
    if (!rc) rc = pretoken_open(&t->pretoken, json_object_get(file, "pre_tokenizer"), e);
    if (!rc) rc = decoder_open(&t->decoder, json_object_get(file, "decoder"), t->vocab, e);
    if (!rc) rc = note_specials(t, e);
    if (!rc) rc = affix_read(&t->affix, json_object_get(file, "post_processor"), t->size, e);
    if (!rc) rc = read_unk(t, m, e);
    if (rc) return rc;
    t->byte_level = pretoken_is_byte_level(t->pretoken);
    return find_bytes(t, e);
}

int tokenizer_build(struct tokenizer **out, const struct tokenizer_source *s, const char *where,
                    struct errmsg *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    struct errmsg why = {""};
    int rc = t ? read_source(t, s, &why) : err_set(&why, ERR_NOMEM, "no memory");

    if (rc) {
        err_set(e, rc, "%s: %.300s", where, why.text);
        tokenizer_close(&t);
    }
    *out = t;
    return rc;
}

int tokenizer_from_json(struct tokenizer **out, json_t *tree, const char *where, struct errmsg *e)
{
    return tokenizer_build(out, &(struct tokenizer_source){.tree = tree}, where, e);
}

int tokenizer_open(struct tokenizer **out, const char *dir, struct errmsg *e)
{
    char where[512];
    json_t *file = NULL;
    int rc = jsonfile_read(&file, dir, FILE_NAME, MAX_FILE_BYTES, e);

    *out = NULL;
    if (rc) return rc;
    snprintf(where, sizeof where, "%s/" FILE_NAME, dir);
    rc = tokenizer_from_json(out, file, where, e);
    json_decref(file);
    return rc;
}

void tokenizer_close(struct tokenizer **t)
{
    if (!*t) return;
    vocab_close(&(*t)->vocab);
    added_close(&(*t)->added);
    normal_close(&(*t)->normal);
    pretoken_close(&(*t)->pretoken);
    merges_close(&(*t)->merges);
    decoder_close(&(*t)->decoder);
    free((*t)->special);
    free(*t);
    *t = NULL;
}

int tokenizer_size(const struct tokenizer *t)
{
    return t->size;
}

/* Byte-level: one id for each byte. */
static int spell_bytes(const struct tokenizer *t, struct ids *word, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int32_t id = t->byte_ids[(unsigned char)s[i]];

        if (ids_add(word, id >= 0 ? id : t->unk)) return ERR_NOMEM;
    }
    return ERR_OK;
}

static bool has_byte_ids(const struct tokenizer *t, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (t->byte_ids[(unsigned char)s[i]] < 0) return false;
    return t->byte_fallback;
}

/* SentencePiece style: one id for each character, else its bytes, else the unknown token. */
static int spell_chars(const struct tokenizer *t, struct ids *word, const char *s, size_t len,
                       struct errmsg *e)
{
    bool after_unk = false;

    for (size_t at = 0; at < len;) {
        int n = utf8_next(s + at, len - at, NULL);
        size_t k = n > 0 ? (size_t)n : 1;
        int32_t id = vocab_find(t->vocab, s + at, k);
        int rc = ERR_OK;

        if (id < 0 && has_byte_ids(t, s + at, k)) {
            rc = spell_bytes(t, word, s + at, k);
            after_unk = false;
        } else if (id < 0 && t->unk < 0) {
            return err_set(e, ERR_FORMAT, "the character '%.*s' has no token", (int)k, s + at);
        } else {
            if (id >= 0 || !after_unk || !t->fuse_unk) rc = ids_add(word, id >= 0 ? id : t->unk);
            after_unk = id < 0;
        }
        if (rc) return rc;
        at += k;
    }
    return ERR_OK;
}

/* The id of the whole word, -1 when it is no token. */
static int find_word(const struct tokenizer *t, struct work *w, const char *s, size_t len,
                     int32_t *id)
{
    if (t->byte_level) {
        buf_clear(&w->letters);
        if (letters_put(&w->letters, s, len)) return ERR_NOMEM;
        s = w->letters.data;
        len = w->letters.len;
    }
    *id = vocab_find(t->vocab, s, len);
    return ERR_OK;
}

static int encode_word(const struct tokenizer *t, struct work *w, const char *s, size_t len,
                       struct ids *out, struct errmsg *e)
{
    int32_t whole = -1;
    int rc = t->ignore_merges ? find_word(t, w, s, len, &whole) : ERR_OK;

    if (rc) return rc;
    if (whole >= 0) return ids_add(out, whole);
    w->first.n = 0;
    rc = t->byte_level ? spell_bytes(t, &w->first, s, len) : spell_chars(t, &w->first, s, len, e);
    return rc ? rc : bpe_join(t->merges, &w->bpe, w->first.at, w->first.n, out);
}

/* A run of normalized text without added tokens. */
static int encode_run(const struct tokenizer *t, struct work *w, const char *s, size_t len,
                      bool first, struct ids *out, struct errmsg *e)
{
    int rc;

    if (!len) return ERR_OK;
    buf_clear(&w->words.text);
    rc = buf_add(&w->words.text, s, len);
    if (!rc) rc = pretoken_cut(t->pretoken, &w->words, first, e);
    for (size_t i = 0; i < w->words.n && !rc; i++)
        rc = encode_word(t, w, w->words.text.data + w->words.at[i].at, w->words.at[i].len, out, e);
    return rc;
}

/* A run of the caller's text without unnormalized added tokens: normalize it, then look for the
 * normalized ones. */
static int encode_plain(const struct tokenizer *t, struct work *w, const char *s, size_t len,
                        bool first, unsigned flags, struct ids *out, struct errmsg *e)
{
    struct added_hit hit;
    size_t at = 0;
    int rc;

    if (!len) return ERR_OK;
    buf_clear(&w->normal);
    rc = buf_add(&w->normal, s, len);
    if (!rc) rc = normal_apply(t->normal, &w->normal, e);
    while (!rc && added_next(t->added, w->normal.data, w->normal.len, at, true,
                             flags & TOKENIZER_SPECIALS, &hit)) {
        rc = encode_run(t, w, w->normal.data + at, hit.begin - at, first && !at, out, e);
        if (!rc) rc = ids_add(out, hit.id);
        at = hit.end;
    }
    if (!rc && w->normal.len)
        rc = encode_run(t, w, w->normal.data + at, w->normal.len - at, first && !at, out, e);
    return rc;
}

static int encode_all(const struct tokenizer *t, struct work *w, const char *text, size_t len,
                      unsigned flags, struct ids *out, struct errmsg *e)
{
    struct added_hit hit;
    size_t at = 0;
    int rc = ERR_OK;

    for (int i = 0; (flags & TOKENIZER_BOS) && i < t->affix.n_front && !rc; i++)
        rc = ids_add(out, t->affix.front[i]);
    while (!rc && added_next(t->added, text, len, at, false, flags & TOKENIZER_SPECIALS, &hit)) {
        rc = encode_plain(t, w, text + at, hit.begin - at, !at, flags, out, e);
        if (!rc) rc = ids_add(out, hit.id);
        at = hit.end;
    }
    if (!rc && len) rc = encode_plain(t, w, text + at, len - at, !at, flags, out, e);
    for (int i = 0; (flags & TOKENIZER_BOS) && i < t->affix.n_back && !rc; i++)
        rc = ids_add(out, t->affix.back[i]);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                     struct ids *out, struct errmsg *e)
{
    struct work w = {0};
    size_t before = out->n;
    int rc;

    if (!utf8_is_valid(text, len))
        return err_set(e, ERR_FORMAT, "text: not UTF-8 at byte %zu", utf8_valid_prefix(text, len));
    rc = encode_all(t, &w, text, len, flags, out, e);
    if (rc == ERR_NOMEM) err_set(e, rc, "tokenizer: no memory");
    if (rc) out->n = before;
    words_fini(&w.words);
    buf_fini(&w.normal);
    buf_fini(&w.letters);
    ids_fini(&w.first);
    bpe_work_fini(&w.bpe);
    return rc;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *token)
{
    return vocab_find(t->vocab, token, strlen(token));
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->size && t->special[id];
}

int tokenizer_piece(const struct tokenizer *t, int32_t id, bool first, struct buf *out)
{
    const char *bytes;
    size_t len;

    if (tokenizer_is_special(t, id)) return ERR_OK;
    bytes = decoder_bytes(t->decoder, id, first, &len);
    return buf_add(out, bytes, len);
}

int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < n; i++) {
        if (tokenizer_is_special(t, ids[i])) continue;
        if (tokenizer_piece(t, ids[i], first, out)) return ERR_NOMEM;
        first = false;
    }
    return ERR_OK;
}
