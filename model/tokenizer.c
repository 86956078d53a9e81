/* tokenizer.c - text to token ids and back: the parts of tokenizer.json put together.
 *
 * encode: what the post-processor asks for (affix) around the text's ids (encoder).  decode: one
 * lookup (decoder).
 */
#include "model/tokenizer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/added.h"
#include "model/affix.h"
#include "model/decoder.h"
#include "model/encoder.h"
#include "model/image.h"
#include "model/jsonfile.h"
#include "model/merges.h"
#include "model/normal.h"
#include "model/pretoken.h"
#include "model/tokenlists.h"
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
    unsigned char *marks; /* [size] of added tokens, by id */
    char *rules;          /* tokenizer.json without its two long lists */
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

static int mark_added(struct tokenizer *t, struct errmsg *e)
{
    t->size = vocab_size(t->vocab);
    t->marks = calloc((size_t)t->size + 1, 1);
    if (!t->marks) return err_set(e, ERR_NOMEM, "tokenizer: no memory");
    added_mark(t->added, t->marks);
    return ERR_OK;
}

static int fill_vocab(struct vocab **out, const struct tokenizer_source *s, struct errmsg *e)
{
    json_t *map = json_object_get(json_object_get(s->tree, "model"), "vocab");
    int rc = vocab_open(out, e);

    if (!rc && !s->tokens && !json_is_object(map))
        return err_set(e, ERR_FORMAT, "model: vocab is missing");
    if (!rc && !s->tokens) return vocab_read(*out, map, e);
    for (size_t id = 0; id < s->n_tokens && !rc; id++)
        if (s->tokens[id].at)
            rc = vocab_add(*out, s->tokens[id].at, s->tokens[id].len, (int64_t)id, e);
    return rc;
}

static int fill_merges(struct merges **out, const struct vocab *v, const struct tokenizer_source *s,
                       struct errmsg *e)
{
    const json_t *list = json_object_get(json_object_get(s->tree, "model"), "merges");
    int rc = merges_open(out, e);

    assert(!s->scores || s->tokens);
    if (rc) return rc;
    if (s->scores) return merges_score(*out, v, s->scores, e);
    if (!s->merges && !json_is_array(list))
        return err_set(e, ERR_FORMAT, "model: merges are missing");
    if (!s->merges) return merges_read(*out, v, list, e);
    for (size_t i = 0; i < s->n_merges && !rc; i++)
        rc = merges_add(*out, v, s->merges[i].at, s->merges[i].len, i, e);
    return rc;
}

static int open_encoder(struct tokenizer *t, const json_t *model, struct errmsg *e)
{
    const struct encoder_parts parts = {t->vocab, t->merges, t->added, t->normal, t->pretoken};

    return encoder_open(&t->encoder, &parts, model, e);
}

/* All but the vocabulary and the merges, which are there.  texts: what ids stand for, or NULL. */
static int read_rules(struct tokenizer *t, const json_t *tree, const struct decoder_arrays *texts,
                      struct errmsg *e)
{
    const json_t *m = json_object_get(tree, "model");
    int rc = normal_open(&t->normal, json_object_get(tree, "normalizer"), e);

    if (!rc)
        rc = added_open(&t->added, json_object_get(tree, "added_tokens"), t->vocab, t->normal, e);
    if (!rc) rc = pretoken_open(&t->pretoken, json_object_get(tree, "pre_tokenizer"), e);
    if (!rc) rc = mark_added(t, e);
    if (!rc)
        rc = decoder_open(&t->decoder, json_object_get(tree, "decoder"), t->vocab, t->marks, texts,
                          e);
    if (!rc) rc = affix_read(&t->affix, json_object_get(tree, "post_processor"), t->size, e);
    return rc ? rc : open_encoder(t, m, e);
}

/* The tree as text, without its two long lists. */
static int keep_rules(struct tokenizer *t, json_t *tree, struct errmsg *e)
{
    json_t *copy = json_copy(tree), *model = json_copy(json_object_get(tree, "model"));

    (void)json_object_del(model, "vocab"), (void)json_object_del(model, "merges");
    if (copy && model && !json_object_set(copy, "model", model))
        t->rules = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    json_decref(model);
    return t->rules ? ERR_OK : err_set(e, ERR_NOMEM, "no memory");
}

static int read_source(struct tokenizer *t, const struct tokenizer_source *s, struct errmsg *e)
{
    int rc = check_model(json_object_get(s->tree, "model"), e);

    if (!rc) rc = keep_rules(t, s->tree, e);
    if (!rc) rc = fill_vocab(&t->vocab, s, e);
    if (!rc) rc = fill_merges(&t->merges, t->vocab, s, e);
    return rc ? rc : read_rules(t, s->tree, NULL, e);
}

/* Hands the tokenizer over, or closes it and says where it failed. */
static int finish(struct tokenizer **out, struct tokenizer *t, int rc, const char *where,
                  const struct errmsg *why, struct errmsg *e)
{
    if (rc) {
        err_set(e, rc, "%s: %.300s", where, why->text);
        tokenizer_close(&t);
    }
    *out = t;
    return rc;
}

int tokenizer_build(struct tokenizer **out, const struct tokenizer_source *s, const char *where,
                    struct errmsg *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    struct errmsg why = {""};
    int rc = t ? read_source(t, s, &why) : err_set(&why, ERR_NOMEM, "no memory");

    return finish(out, t, rc, where, &why, e);
}

/* The parts of an image. */
enum part { RULES, TEXT, ENTRIES, SLOTS, MERGES, BYTES, BYTES_AT, N_PARTS };

int tokenizer_save(const struct tokenizer *t, struct buf *out)
{
    const struct vocab_arrays v = vocab_arrays(t->vocab);
    const struct decoder_arrays d = decoder_arrays(t->decoder);
    size_t n_merges;
    const struct merge *m = merges_slots(t->merges, &n_merges);
    const struct image_part parts[N_PARTS] = {
        [RULES] = {t->rules, strlen(t->rules)},
        [TEXT] = {v.text, v.text_len},
        [ENTRIES] = {v.entries, v.size * sizeof v.entries[0]},
        [SLOTS] = {v.slots, v.n_slots * sizeof v.slots[0]},
        [MERGES] = {m, n_merges * sizeof *m},
        [BYTES] = {d.bytes, d.n_bytes},
        [BYTES_AT] = {d.at, (d.size + 1) * sizeof d.at[0]},
    };

    return image_write(out, parts, N_PARTS);
}

static int check_widths(const struct image_part p[N_PARTS], struct errmsg *e)
{
    static const size_t WIDTHS[N_PARTS] = {1,
                                           1,
                                           sizeof(struct vocab_entry),
                                           sizeof(int32_t),
                                           sizeof(struct merge),
                                           1,
                                           sizeof(uint32_t)};

    for (int i = 0; i < N_PARTS; i++)
        if (p[i].len % WIDTHS[i])
            return err_set(e, ERR_FORMAT, "image: part %d has %zu bytes", i, p[i].len);
    if (!p[BYTES_AT].len) return err_set(e, ERR_FORMAT, "image: part %d is empty", BYTES_AT);
    return ERR_OK;
}

static int load_parts(struct tokenizer *t, const struct image_part p[N_PARTS], struct errmsg *e)
{
    const struct vocab_arrays v = {p[TEXT].at,    p[TEXT].len,
                                   p[ENTRIES].at, p[ENTRIES].len / sizeof(struct vocab_entry),
                                   p[SLOTS].at,   p[SLOTS].len / sizeof(int32_t)};
    const struct decoder_arrays d = {p[BYTES].at, p[BYTES].len, p[BYTES_AT].at,
                                     p[BYTES_AT].len / sizeof(uint32_t) - 1};
    json_t *tree = NULL;
    int rc = vocab_view(&t->vocab, &v, e);

    if (!rc)
        rc = merges_view(&t->merges, p[MERGES].at, p[MERGES].len / sizeof(struct merge),
                         (int)v.size, e);
    if (rc) return rc;
    tree = json_loadb(p[RULES].at, p[RULES].len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!tree) return err_set(e, ERR_FORMAT, "image: the rules are no JSON");
    rc = check_model(json_object_get(tree, "model"), e);
    if (!rc) rc = keep_rules(t, tree, e);
    if (!rc) rc = read_rules(t, tree, &d, e);
    json_decref(tree);
    return rc;
}

int tokenizer_load(struct tokenizer **out, const void *bytes, size_t len, const char *where,
                   struct errmsg *e)
{
    struct image_part parts[N_PARTS];
    struct tokenizer *t = calloc(1, sizeof *t);
    struct errmsg why = {""};
    int rc =
        t ? image_read(parts, N_PARTS, bytes, len, &why) : err_set(&why, ERR_NOMEM, "no memory");

    if (!rc) rc = check_widths(parts, &why);
    if (!rc) rc = load_parts(t, parts, &why);
    return finish(out, t, rc, where, &why, e);
}

int tokenizer_from_json(struct tokenizer **out, json_t *tree, const char *where, struct errmsg *e)
{
    return tokenizer_build(out, &(struct tokenizer_source){.tree = tree}, where, e);
}

/* ERR_EMPTY: not the usual form. */
static int parse_short(struct tokenizer **out, const char *text, size_t len, const char *where,
                       struct errmsg *e)
{
    struct tokenlists l = {0};
    int rc = tokenlists_read(&l, text, len, e);

    if (!rc) {
        const struct tokenizer_source s = {.tree = l.tree,
                                           .tokens = l.tokens,
                                           .n_tokens = l.n_tokens,
                                           .merges = l.merges,
                                           .n_merges = l.n_merges};

        rc = tokenizer_build(out, &s, where, e);
    }
    tokenlists_fini(&l);
    return rc;
}

int tokenizer_parse(struct tokenizer **out, const char *text, size_t len, const char *where,
                    struct errmsg *e)
{
    json_error_t bad;
    json_t *tree;
    int rc;

    *out = NULL;
    rc = parse_short(out, text, len, where, e);
    if (rc != ERR_EMPTY) return rc;
    tree = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &bad);
    if (tree)
        rc = tokenizer_from_json(out, tree, where, e);
    else
        rc = err_set(e, ERR_FORMAT, "%s: line %d: %s", where, bad.line, bad.text);
    json_decref(tree);
    return rc;
}

int tokenizer_open(struct tokenizer **out, const char *dir, struct errmsg *e)
{
    char where[512];
    struct buf text = {0};
    int rc = jsonfile_bytes(&text, dir, FILE_NAME, MAX_FILE_BYTES, e);

    *out = NULL;
    snprintf(where, sizeof where, "%s/" FILE_NAME, dir);
    if (!rc) rc = tokenizer_parse(out, text.data ? text.data : "", text.len, where, e);
    buf_fini(&text);
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
    free((*t)->marks);
    free((*t)->rules);
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

const char *tokenizer_spelling(const struct tokenizer *t, int32_t id, size_t *len)
{
    return vocab_text(t->vocab, id, len);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->size && t->marks[id] == ADDED_SPECIAL;
}

static int add_bytes(const struct tokenizer *t, int32_t id, bool first, struct buf *out)
{
    size_t len;
    const char *bytes = decoder_bytes(t->decoder, id, first, &len);

    return buf_add(out, bytes, len);
}

int tokenizer_piece(const struct tokenizer *t, int32_t id, bool first, struct buf *out)
{
    return tokenizer_is_special(t, id) ? ERR_OK : add_bytes(t, id, first, out);
}

int tokenizer_spell(const struct tokenizer *t, int32_t id, struct buf *out)
{
    return add_bytes(t, id, false, out);
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
