/* tokenizer.c - text to token ids and back: the parts of tokenizer.json put together.
 *
 * encode: what the post-processor asks for (affix) around the text's ids (encoder).  decode: one
 * lookup (decoder).
 */
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/added.h"
#include "model/affix.h"
#include "model/decoder.h"
#include "model/encoder.h"
#include "model/jsonfile.h"
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
    struct encoder *encoder;
    struct decoder *decoder;
    struct affix affix;
    unsigned char *special; /* [size] bool by id */
    int size;
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

static int open_encoder(struct tokenizer *t, const json_t *model, struct errmsg *e)
{
    const struct encoder_parts parts = {t->vocab, t->merges, t->added, t->normal, t->pretoken};

    return encoder_open(&t->encoder, &parts, model, e);
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
    return rc ? rc : open_encoder(t, m, e);
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
    encoder_close(&(*t)->encoder);
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

static int add_affix(struct ids *out, const int32_t *ids, int n, unsigned flags)
{
    for (int i = 0; (flags & TOKENIZER_BOS) && i < n; i++)
        if (ids_add(out, ids[i])) return ERR_NOMEM;
    return ERR_OK;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                     struct ids *out, struct errmsg *e)
{
    const struct affix *a = &t->affix;
    size_t before = out->n;
    int rc;

    if (!utf8_is_valid(text, len))
        return err_set(e, ERR_FORMAT, "text: not UTF-8 at byte %zu", utf8_valid_prefix(text, len));
    rc = add_affix(out, a->front, a->n_front, flags);
    if (!rc) rc = encoder_run(t->encoder, text, len, flags & TOKENIZER_SPECIALS, out, e);
    if (!rc) rc = add_affix(out, a->back, a->n_back, flags);
    if (rc == ERR_NOMEM) err_set(e, rc, "tokenizer: no memory");
    if (rc) out->n = before;
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
