/* vocab_file.c - a vocabulary for a model that a benchmark writes.
 *
 * Source  the GGUF format, version 3; the tokenizers library's file format; GPT-2's byte letters.
 */
#include "bench/vocab_file.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

#define LLAMA3                                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "                     \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* --- reading ---------------------------------------------------------------------------------- */

struct reader {
    const char *path;
    struct buf file;
    size_t at;
};

static const char *take(struct reader *r, uint64_t n)
{
    const char *p = r->file.data + r->at;

    if (n > r->file.len - r->at) report_fail("%s: ends at byte %zu", r->path, r->file.len);
    r->at += (size_t)n;
    return p;
}

static uint64_t number(struct reader *r, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, take(r, n), n);
    return v;
}

static uint64_t scalar(struct reader *r, uint64_t type)
{
    static const size_t BYTES[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

    if (type > F64 || !BYTES[type]) report_fail("%s: a value of type %d", r->path, (int)type);
    return number(r, BYTES[type]);
}

static struct vocab_text *texts(struct reader *r, struct buf *text, int *n)
{
    const uint64_t type = number(r, 4), count = number(r, 8);
    struct vocab_text *out;

    if (type != STRING || count > r->file.len) report_fail("%s: no array of texts", r->path);
    out = calloc((size_t)count + 1, sizeof *out);
    if (!out) report_fail("no memory for %d texts", (int)count);
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t len = number(r, 8);

        out[i] = (struct vocab_text){text->len, (size_t)len};
        buf_add(text, take(r, len), (size_t)len);
    }
    *n = (int)count;
    return out;
}

static int *numbers(struct reader *r)
{
    const uint64_t type = number(r, 4), count = number(r, 8);
    int *out = count <= r->file.len ? calloc((size_t)count + 1, sizeof *out) : NULL;

    if (!out) report_fail("%s: an array of %llu", r->path, (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++)
        out[i] = (int)scalar(r, type);
    return out;
}

static void skip(struct reader *r, uint64_t type)
{
    if (type == STRING) {
        take(r, number(r, 8));
    } else if (type == ARRAY) {
        const uint64_t of = number(r, 4), count = number(r, 8);

        for (uint64_t i = 0; i < count; i++)
            skip(r, of);
    } else {
        scalar(r, type);
    }
}

static void read_file(struct buf *out, const char *path)
{
    const size_t n = strlen(path);
    const bool packed = n > 3 && !strcmp(path + n - 3, ".xz");
    char command[4200], part[65536];
    FILE *f;
    size_t got;

    snprintf(command, sizeof command, "xz -dc '%s'", path);
    f = packed ? popen(command, "re") : fopen(path, "re");
    while (f && (got = fread(part, 1, sizeof part, f)))
        buf_add(out, part, got);
    if (f && packed) pclose(f);
    if (f && !packed) fclose(f);
    if (!out->len) report_fail("%s: cannot be read", path);
}

static void read_keys(struct vocab_file *v, struct reader *r)
{
    uint64_t n_keys;

    if (memcmp(take(r, 4), "GGUF", 4) || number(r, 4) != 3)
        report_fail("%s: no GGUF file of version 3", r->path);
    take(r, 8);
    n_keys = number(r, 8);
    while (n_keys--) {
        const uint64_t len = number(r, 8);
        const char *key = take(r, len);
        const uint64_t type = number(r, 4);

#define IS(name) (len == strlen(name) && !memcmp(key, name, len))
        if (IS("tokenizer.ggml.tokens"))
            v->tokens = texts(r, &v->text, &v->n_tokens);
        else if (IS("tokenizer.ggml.merges"))
            v->merges = texts(r, &v->text, &v->n_merges);
        else if (IS("tokenizer.ggml.token_type"))
            v->types = numbers(r);
        else if (IS("tokenizer.ggml.bos_token_id"))
            v->bos_id = (int)scalar(r, type);
        else if (IS("tokenizer.ggml.eos_token_id"))
            v->eos_id = (int)scalar(r, type);
        else
            skip(r, type);
#undef IS
    }
    if (!v->tokens || !v->merges || !v->types) report_fail("%s: no vocabulary", r->path);
}

/* --- making up -------------------------------------------------------------------------------- */

static void add_token(struct vocab_file *v, const char *text, size_t len, int type)
{
    v->types[v->n_tokens] = type;
    v->tokens[v->n_tokens++] = (struct vocab_text){v->text.len, len};
    buf_add(&v->text, text, len);
}

/* The letters are the printable bytes of Latin-1; the others follow from 256 on. */
static void add_bytes(struct vocab_file *v)
{
    uint32_t other = 256;

    for (uint32_t b = 0; b < 256; b++) {
        const bool shown = (b > 32 && b < 127) || (b > 160 && b != 173);
        const uint32_t c = shown ? b : other++;
        char text[4];
        size_t n = 0;

        if (c >= 128) text[n++] = (char)(192 | c >> 6);
        text[n] = (char)(n ? 128 | (c & 63) : c);
        add_token(v, text, n + 1, VOCAB_NORMAL);
    }
}

static void make_up(struct vocab_file *v, int n_tokens)
{
    char text[32];

    if (n_tokens < 257) report_fail("a vocabulary of %d; at least 257", n_tokens);
    v->tokens = calloc((size_t)n_tokens, sizeof *v->tokens);
    v->merges = calloc(1, sizeof *v->merges);
    v->types = calloc((size_t)n_tokens, sizeof *v->types);
    if (!v->tokens || !v->merges || !v->types) report_fail("no memory for %d tokens", n_tokens);
    add_bytes(v);
    v->bos_id = v->eos_id = v->n_tokens;
    add_token(v, "<|end|>", 7, VOCAB_CONTROL);
    while (v->n_tokens < n_tokens) {
        const int n = snprintf(text, sizeof text, "<%d>", v->n_tokens);

        add_token(v, text, (size_t)n, VOCAB_NORMAL);
    }
}

void vocab_file_open(struct vocab_file *v, const char *path, int n_tokens)
{
    struct reader r = {.path = path};

    *v = (struct vocab_file){.bos_id = -1, .eos_id = -1};
    if (path) {
        read_file(&r.file, path);
        read_keys(v, &r);
        buf_fini(&r.file);
    } else {
        make_up(v, n_tokens);
    }
    if (v->text.failed) report_fail("no memory for a vocabulary");
    if (v->n_tokens > n_tokens)
        report_fail("%s: %d tokens, and the model has %d", path ? path : "made up", v->n_tokens,
                    n_tokens);
}

void vocab_file_close(struct vocab_file *v)
{
    buf_fini(&v->text);
    free(v->tokens);
    free(v->merges);
    free(v->types);
}

/* --- tokenizer.json --------------------------------------------------------------------------- */

static json_t *spelling(const struct vocab_file *v, const struct vocab_text *t)
{
    json_t *s = json_stringn(v->text.data + t->at, t->len);

    if (!s) report_fail("a spelling of %zu bytes is no UTF-8", t->len);
    return s;
}

static json_t *byte_level(void)
{
    return json_pack("{ss sb sb sb}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1,
                     "use_regex", 0);
}

static json_t *added(const struct vocab_file *v)
{
    json_t *all = json_array();

    for (int i = 0; i < v->n_tokens; i++)
        if (v->types[i] == VOCAB_CONTROL)
            json_array_append_new(all,
                                  json_pack("{si so sb sb sb sb sb}", "id", i, "content",
                                            spelling(v, &v->tokens[i]), "single_word", 0, "lstrip",
                                            0, "rstrip", 0, "normalized", 0, "special", 1));
    return all;
}

static json_t *bpe(const struct vocab_file *v)
{
    json_t *vocab = json_object(), *merges = json_array();

    for (int i = 0; i < v->n_tokens; i++)
        if (v->types[i] != VOCAB_CONTROL)
            json_object_setn_new_nocheck(vocab, v->text.data + v->tokens[i].at, v->tokens[i].len,
                                         json_integer(i));
    for (int i = 0; i < v->n_merges; i++)
        json_array_append_new(merges, spelling(v, &v->merges[i]));
    return json_pack("{ss sn sn sn sn sb sb sb so so}", "type", "BPE", "dropout", "unk_token",
                     "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                     "byte_fallback", 0, "ignore_merges", 1, "vocab", vocab, "merges", merges);
}

static void dump(json_t *j, const char *dir, const char *name)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!j || json_dump_file(j, path, JSON_COMPACT)) report_fail("%s: cannot be written", path);
    json_decref(j);
}

void vocab_file_write(const struct vocab_file *v, const char *dir)
{
    json_t *split = json_pack("{ss s{ss} ss sb}", "type", "Split", "pattern", "Regex", LLAMA3,
                              "behavior", "Isolated", "invert", 0);
    json_t *cut = json_pack("{ss s[oo]}", "type", "Sequence", "pretokenizers", split, byte_level());

    dump(json_pack("{ss sn sn so sn so sn so so}", "version", "1.0", "truncation", "padding",
                   "added_tokens", added(v), "normalizer", "pre_tokenizer", cut, "post_processor",
                   "decoder", byte_level(), "model", bpe(v)),
         dir, "tokenizer.json");
    dump(json_pack("{so ss}", "eos_token", spelling(v, &v->tokens[v->eos_id]), "tokenizer_class",
                   "PreTrainedTokenizerFast"),
         dir, "tokenizer_config.json");
}
