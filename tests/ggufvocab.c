/* ggufvocab.c - the vocabulary of a GGUF file.
 *
 * Source  the GGUF specification: magic, version, counts, then keys with typed values.
 */
#include "tests/ggufvocab.h"

#include <math.h>
#include <string.h>

#include "tests/test.h"

enum type { F32 = 6, STRING = 8, ARRAY = 9 };

/* Bytes of a number of each type; 0: a string or an array. */
static const size_t WIDTHS[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct cursor {
    const char *at;
};

static uint64_t number(struct cursor *c, size_t width)
{
    uint64_t v = 0;

    memcpy(&v, c->at, width);
    c->at += width;
    return v;
}

static struct tokenizer_text text(struct cursor *c)
{
    const size_t len = (size_t)number(c, 8);
    const struct tokenizer_text t = {c->at, len};

    c->at += len;
    return t;
}

static struct tokenizer_text *texts(struct cursor *c, size_t n)
{
    struct tokenizer_text *list = calloc(n + 1, sizeof *list);

    for (size_t i = 0; i < n; i++)
        list[i] = text(c);
    return list;
}

static void *numbers(struct cursor *c, size_t n)
{
    void *list = malloc(n * 4 + 1);

    memcpy(list, c->at, n * 4);
    c->at += n * 4;
    return list;
}

static bool is(struct tokenizer_text key, const char *name)
{
    return key.len == strlen(name) && !memcmp(key.at, name, key.len);
}

static void read_array(struct ggufvocab *g, struct cursor *c, struct tokenizer_text key)
{
    const size_t type = (size_t)number(c, 4), n = (size_t)number(c, 8);

    if (is(key, "tokenizer.ggml.tokens")) {
        g->tokens = texts(c, n);
        g->n_tokens = n;
    } else if (is(key, "tokenizer.ggml.merges")) {
        g->merges = texts(c, n);
        g->n_merges = n;
    } else if (is(key, "tokenizer.ggml.scores")) {
        g->scores = numbers(c, n);
    } else if (is(key, "tokenizer.ggml.token_type")) {
        g->types = numbers(c, n);
    } else if (type == STRING) {
        for (size_t i = 0; i < n; i++)
            (void)text(c);
    } else {
        ck_assert(WIDTHS[type]);
        c->at += n * WIDTHS[type];
    }
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

void ggufvocab_read(struct ggufvocab *g, const char *name)
{
    char path[128];
    struct cursor c;
    uint64_t n;

    memset(g, 0, sizeof *g);
    snprintf(path, sizeof path, "tokenizers/ggml-vocab-%s.gguf.xz", name);
    ggufvocab_command(&g->file, "xz -dc", path);
    ck_assert(!memcmp(g->file.data, "GGUF", 4));
    c.at = g->file.data + 16; /* magic, version, number of tensors */
    n = number(&c, 8);
    for (uint64_t i = 0; i < n; i++) {
        const struct tokenizer_text key = text(&c);
        const size_t type = (size_t)number(&c, 4);

        if (type == ARRAY)
            read_array(g, &c, key);
        else if (type == STRING)
            (void)text(&c);
        else
            c.at += WIDTHS[type];
    }
    ck_assert_ptr_nonnull(g->tokens);
    ck_assert_ptr_nonnull(g->types);
    for (size_t i = 0; g->scores && i < g->n_tokens; i++)
        if (g->types[i] != GGUFVOCAB_NORMAL && g->types[i] != GGUFVOCAB_USER)
            g->scores[i] = -INFINITY;
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
