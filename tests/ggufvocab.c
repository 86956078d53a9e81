/* ggufvocab.c - the vocabulary lists of a GGUF file of the shared test data. */
#include "tests/ggufvocab.h"

#include <math.h>
#include <string.h>

#include "model/gguf.h"
#include "tests/test.h"

static struct tokenizer_text *texts(const struct gguf *g, const char *key, size_t *n)
{
    const struct gguf_value *v = gguf_find(g, key);
    struct tokenizer_text *list;
    size_t at = 0;

    *n = v ? v->n : 0;
    if (!v) return NULL;
    list = calloc(v->n + 1, sizeof *list);
    for (size_t i = 0; i < v->n; i++)
        ck_assert(gguf_text(v, &at, &list[i].at, &list[i].len));
    return list;
}

/* Numbers of four bytes, of every token. */
static void *numbers(const struct gguf *g, const char *key, size_t n)
{
    const struct gguf_value *v = gguf_find(g, key);
    void *list;

    if (!v) return NULL;
    ck_assert_uint_eq(v->bytes, n * 4);
    list = malloc(v->bytes + 1);
    memcpy(list, v->at, v->bytes);
    return list;
}

void ggufvocab_command(struct buf *out, const char *command, const char *file)
{
    char line[1024], chunk[65536];
    size_t n;
    FILE *f;

    snprintf(line, sizeof line, "%s '%s'", command, test_data(file));
    f = popen(line, "r");
    ck_assert_ptr_nonnull(f);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(out, chunk, n);
    ck_assert_int_eq(pclose(f), 0);
    ck_assert(!out->failed);
}

void ggufvocab_read(struct ggufvocab *v, const char *name)
{
    char path[128];
    struct gguf *g;
    struct errmsg e = {""};

    memset(v, 0, sizeof *v);
    snprintf(path, sizeof path, "tokenizers/ggml-vocab-%s.gguf.xz", name);
    ggufvocab_command(&v->file, "xz -dc", path);
    ck_assert_msg(!gguf_from_bytes(&g, v->file.data, v->file.len, name, &e), "%s", e.text);
    v->tokens = texts(g, "tokenizer.ggml.tokens", &v->n_tokens);
    v->merges = texts(g, "tokenizer.ggml.merges", &v->n_merges);
    v->scores = numbers(g, "tokenizer.ggml.scores", v->n_tokens);
    v->types = numbers(g, "tokenizer.ggml.token_type", v->n_tokens);
    gguf_close(&g);
    ck_assert_ptr_nonnull(v->tokens);
    ck_assert_ptr_nonnull(v->types);
    for (size_t i = 0; v->scores && i < v->n_tokens; i++)
        if (v->types[i] != GGUF_TOKEN_NORMAL && v->types[i] != GGUF_TOKEN_USER)
            v->scores[i] = -INFINITY;
}

void ggufvocab_fini(struct ggufvocab *g)
{
    buf_fini(&g->file);
    free(g->tokens);
    free(g->merges);
    free(g->scores);
    free(g->types);
    memset(g, 0, sizeof *g);
}
