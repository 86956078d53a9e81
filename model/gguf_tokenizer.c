/* gguf_tokenizer.c - the tokenizer and the chat template of a GGUF. */
#include "model/gguf_tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/gguf_pre.h"

#define KEY  "tokenizer.ggml."
#define MARK "\xE2\x96\x81" /* stands for a space */

/* The file's lists, and what is made of them. */
struct source {
    const struct gguf *g;
    struct errmsg *e;
    const struct gguf_value *types; /* NULL: all normal */
    struct tokenizer_text *tokens, *merges;
    float *scores;
    size_t n_tokens, n_merges;
    bool sentencepiece;
    bool add_bos, add_prefix; /* where no key says; then what holds */
    json_t *tree;
};

static int refuse(const struct source *s, int rc, const char *key, const char *what)
{
    return err_set(s->e, rc, "%s: " KEY "%s %s", gguf_path(s->g), key, what);
}

static int no_memory(const struct source *s)
{
    return err_set(s->e, ERR_NOMEM, "%s: no memory", gguf_path(s->g));
}

static const struct gguf_value *field(const struct source *s, const char *key)
{
    char name[80];

    snprintf(name, sizeof name, KEY "%s", key);
    return gguf_find(s->g, name);
}

static bool flag(const struct source *s, const char *key, bool dflt)
{
    gguf_bool(field(s, key), &dflt);
    return dflt;
}

static int read_texts(const struct source *s, const char *key, struct tokenizer_text **out,
                      size_t *n)
{
    const struct gguf_value *v = field(s, key);
    size_t at = 0, i = 0;

    if (!v) return refuse(s, ERR_FORMAT, key, "is missing");
    if (!v->is_array || v->type != GGUF_TEXT)
        return refuse(s, ERR_FORMAT, key, "is not a list of texts");
    *out = malloc((v->n + 1) * sizeof **out);
    if (!*out) return no_memory(s);
    while (i < v->n && gguf_text(v, &at, &(*out)[i].at, &(*out)[i].len))
        i++;
    *n = i;
    return ERR_OK;
}

static enum gguf_token type_of(const struct source *s, size_t id)
{
    int64_t type = GGUF_TOKEN_NORMAL;

    gguf_int(s->types, id, &type);
    return (enum gguf_token)type;
}

static int read_scores(struct source *s)
{
    const struct gguf_value *v = field(s, "scores");

    if (!v) return refuse(s, ERR_FORMAT, "scores", "is missing");
    if (!v->is_array || v->type != GGUF_F32 || v->n != s->n_tokens)
        return refuse(s, ERR_FORMAT, "scores", "is not one F32 for each token");
    s->scores = malloc((s->n_tokens + 1) * sizeof *s->scores);
    if (!s->scores) return no_memory(s);
    memcpy(s->scores, v->at, s->n_tokens * sizeof *s->scores);
    for (size_t id = 0; id < s->n_tokens; id++)
        if (type_of(s, id) != GGUF_TOKEN_NORMAL && type_of(s, id) != GGUF_TOKEN_UNUSED)
            s->scores[id] = -INFINITY;
    return ERR_OK;
}

static int read_model(struct source *s, const char **pre, size_t *pre_len)
{
    const char *name = "";
    size_t at = 0, len = 0;
    const struct gguf_value *model = field(s, "model"), *v = field(s, "pre");

    if (!model) return refuse(s, ERR_FORMAT, "model", "is missing");
    gguf_text(model, &at, &name, &len);
    s->sentencepiece = len == 5 && !memcmp(name, "llama", 5);
    if (!s->sentencepiece && (len != 4 || memcmp(name, "gpt2", 4) != 0))
        return err_set(s->e, ERR_UNSUPPORTED, "%s: " KEY "model is %.*s; known are gpt2, llama",
                       gguf_path(s->g), (int)(len < 60 ? len : 60), name);
    at = 0;
    if (!v || !gguf_text(v, &at, pre, pre_len)) *pre_len = 0;
    if (!v && !s->sentencepiece)
        return refuse(s, ERR_FORMAT, "pre", "is missing: how words are cut is not known");
    return ERR_OK;
}

/* Sets a member of the tree; takes v. */
static int put(struct source *s, const char *name, json_t *v)
{
    return v && !json_object_set_new(s->tree, name, v) ? ERR_OK : no_memory(s);
}

static int put_byte_level(struct source *s, const char *pre, size_t len)
{
    char known[256];
    bool is_known, ignore_merges = false;
    json_t *cut = gguf_pre(pre, len, &is_known, &ignore_merges, &s->add_bos);
    int rc;

    if (!is_known) {
        gguf_pre_names(known, sizeof known);
        return err_set(s->e, ERR_UNSUPPORTED, "%s: " KEY "pre is %.*s; known are %s",
                       gguf_path(s->g), (int)(len < 60 ? len : 60), pre, known);
    }
    rc = put(s, "pre_tokenizer", cut);
    if (!rc) rc = put(s, "decoder", json_pack("{ss}", "type", "ByteLevel"));
    return rc ? rc
              : put(s, "model",
                    json_pack("{ss sb}", "type", "BPE", "ignore_merges", (int)ignore_merges));
}

static json_t *replace(const char *from, const char *to)
{
    return json_pack("{ss s{ss} ss}", "type", "Replace", "pattern", "String", from, "content", to);
}

/* The unknown token's spelling, for characters that have no bytes either. */
static json_t *make_sentencepiece_model(const struct source *s)
{
    json_t *m = json_pack("{ss sb sb}", "type", "BPE", "byte_fallback", 1, "fuse_unk", 1);
    int64_t id = -1;

    if (gguf_int(field(s, "unknown_token_id"), 0, &id) && id >= 0 && (size_t)id < s->n_tokens)
        /* a spelling that is no text leaves the model without one */
        (void)json_object_set_new(m, "unk_token",
                                  json_stringn(s->tokens[id].at, s->tokens[id].len));
    return m;
}

static int put_sentencepiece(struct source *s)
{
    const struct gguf_value *map = field(s, "precompiled_charsmap");
    json_t *before = json_array(), *after = json_array();
    int bad = 0;

    s->add_bos = true;
    s->add_prefix = flag(s, "add_space_prefix", true);
    if (s->add_prefix)
        bad |=
            json_array_append_new(before, json_pack("{ss ss}", "type", "Prepend", "prepend", MARK));
    bad |= json_array_append_new(before, replace(" ", MARK));
    bad |= json_array_append_new(after, replace(MARK, " "));
    bad |= json_array_append_new(after, json_pack("{ss}", "type", "ByteFallback"));
    bad |= json_array_append_new(after, json_pack("{ss}", "type", "Fuse"));
    if (s->add_prefix)
        bad |= json_array_append_new(after, json_pack("{ss ss si si}", "type", "Strip", "content",
                                                      " ", "start", 1, "stop", 0));
    bad |= put(s, "normalizer", json_pack("{ss so}", "type", "Sequence", "normalizers", before));
    bad |= put(s, "decoder", json_pack("{ss so}", "type", "Sequence", "decoders", after));
    bad |= put(s, "model", make_sentencepiece_model(s));
    if (bad) return no_memory(s);
    if (flag(s, "remove_extra_whitespaces", false))
        return refuse(s, ERR_UNSUPPORTED, "remove_extra_whitespaces", "is true; known is false");
    if (map && map->bytes)
        return refuse(s, ERR_UNSUPPORTED, "precompiled_charsmap",
                      "is there; known is text as it stands");
    return ERR_OK;
}

static json_t *make_added(const struct source *s, size_t id, bool special, bool rstrip)
{
    json_t *text = json_stringn(s->tokens[id].at, s->tokens[id].len);

    if (!text) return NULL;
    return json_pack("{si so sb sb sb sb sb}", "id", (int)id, "content", text, "special",
                     (int)special, "normalized", 0, "single_word", 0, "lstrip", 0, "rstrip",
                     (int)rstrip);
}

/* Phi 3's markers take the white space behind them; its GGUF does not say so. */
static bool takes_space(const struct source *s, size_t id)
{
    static const char *const NOT[] = {"<unk>", "<s>", "<|endoftext|>"};
    const struct tokenizer_text *t = &s->tokens[id];
    char arch[64];

    if (!s->sentencepiece || gguf_architecture(arch, sizeof arch, s->g, NULL)) return false;
    for (size_t i = 0; i < sizeof NOT / sizeof NOT[0]; i++)
        if (t->len == strlen(NOT[i]) && !memcmp(t->at, NOT[i], t->len)) return false;
    return !strcmp(arch, "phi3");
}

static int put_added(struct source *s)
{
    json_t *list = json_array();

    for (size_t id = 0; id < s->n_tokens; id++) {
        const enum gguf_token type = type_of(s, id);
        const bool special = type == GGUF_TOKEN_CONTROL || type == GGUF_TOKEN_UNKNOWN;
        json_t *v;

        if (!special && type != GGUF_TOKEN_USER) continue;
        v = make_added(s, id, special, takes_space(s, id));
        if (!v || json_array_append_new(list, v)) {
            json_decref(list);
            return err_set(s->e, ERR_FORMAT, "%s: token %zu is no text", gguf_path(s->g), id);
        }
    }
    return put(s, "added_tokens", list);
}

/* The id of a key, -1 when it is not asked for. */
static int read_affix(const struct source *s, const char *wanted, bool dflt, const char *key,
                      int64_t *id)
{
    *id = -1;
    if (!flag(s, wanted, dflt)) return ERR_OK;
    if (!gguf_int(field(s, key), 0, id) || *id < 0 || (uint64_t)*id >= s->n_tokens)
        return refuse(s, ERR_FORMAT, key, "is missing or not the id of a token");
    return ERR_OK;
}

static json_t *make_special(const char *name)
{
    return json_pack("{s{ss si}}", "SpecialToken", "id", name, "type_id", 0);
}

static int put_affixes(struct source *s)
{
    int64_t bos, eos;
    json_t *single, *ids;
    int bad = 0, rc = read_affix(s, "add_bos_token", s->add_bos, "bos_token_id", &bos);

    if (!rc) rc = read_affix(s, "add_eos_token", false, "eos_token_id", &eos);
    if (rc || (bos < 0 && eos < 0)) return rc;
    single = json_array();
    if (bos >= 0) bad |= json_array_append_new(single, make_special("bos"));
    bad |=
        json_array_append_new(single, json_pack("{s{ss si}}", "Sequence", "id", "A", "type_id", 0));
    if (eos >= 0) bad |= json_array_append_new(single, make_special("eos"));
    ids = json_pack("{s{s[I]} s{s[I]}}", "bos", "ids", (json_int_t)bos, "eos", "ids",
                    (json_int_t)eos);
    bad |= put(s, "post_processor",
               json_pack("{ss so so}", "type", "TemplateProcessing", "single", single,
                         "special_tokens", ids));
    return bad ? no_memory(s) : ERR_OK;
}

static int read_source(struct source *s)
{
    const char *pre = "";
    size_t len = 0;
    int rc = read_model(s, &pre, &len);

    if (!rc) rc = read_texts(s, "tokens", &s->tokens, &s->n_tokens);
    if (rc) return rc;
    s->types = field(s, "token_type");
    if (s->types && s->types->n != s->n_tokens)
        return refuse(s, ERR_FORMAT, "token_type", "is not one number for each token");
    rc = s->sentencepiece ? read_scores(s) : read_texts(s, "merges", &s->merges, &s->n_merges);
    if (!rc) rc = s->sentencepiece ? put_sentencepiece(s) : put_byte_level(s, pre, len);
    if (!rc) rc = put_added(s);
    return rc ? rc : put_affixes(s);
}

int gguf_tokenizer(struct tokenizer **out, const struct gguf *g, struct errmsg *e)
{
    struct source s = {.g = g, .e = e, .tree = json_object()};
    int rc = s.tree ? read_source(&s) : no_memory(&s);

    *out = NULL;
    if (!rc)
        rc = tokenizer_build(out,
                             &(struct tokenizer_source){.tree = s.tree,
                                                        .tokens = s.tokens,
                                                        .n_tokens = s.n_tokens,
                                                        .merges = s.merges,
                                                        .n_merges = s.n_merges,
                                                        .scores = s.scores},
                             gguf_path(g), e);
    json_decref(s.tree);
    free(s.tokens);
    free(s.merges);
    free(s.scores);
    return rc;
}

/* The spelling of the token that a key names; NULL in out->data when there is none. */
static int token_text(struct buf *out, const struct gguf *g, const char *key)
{
    const struct gguf_value *tokens = gguf_find(g, KEY "tokens");
    const char *text;
    size_t at = 0, len;
    int64_t id;

    if (!gguf_int(gguf_find(g, key), 0, &id)) return ERR_OK;
    while (gguf_text(tokens, &at, &text, &len))
        if (id-- == 0) return buf_add(out, text, len);
    return ERR_OK;
}

int gguf_chat(struct chat **out, const struct gguf *g, struct errmsg *e)
{
    const struct gguf_value *v = gguf_find(g, "tokenizer.chat_template");
    struct buf bos = {0}, eos = {0};
    const char *text = "";
    size_t at = 0, len = 0;
    int rc = ERR_OK;

    *out = NULL;
    if (!gguf_text(v, &at, &text, &len) || v->is_array)
        return err_set(e, ERR_EMPTY, "%s: no chat template", gguf_path(g));
    if (token_text(&bos, g, KEY "bos_token_id") || token_text(&eos, g, KEY "eos_token_id"))
        rc = err_set(e, ERR_NOMEM, "%s: no memory", gguf_path(g));
    if (!rc) rc = chat_from_text(out, text, len, bos.data, eos.data, gguf_path(g), e);
    buf_fini(&bos);
    buf_fini(&eos);
    return rc;
}
