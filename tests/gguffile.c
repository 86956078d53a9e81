/* gguffile.c - a GGUF made by the test that needs one. */
#include "tests/gguffile.h"

#include <string.h>

#include "tests/test.h"

static void add(struct buf *b, const void *at, size_t n)
{
    if (n) ck_assert_int_eq(buf_add(b, at, n), 0);
}

static void add_number(struct buf *b, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ck_assert_int_eq(buf_addc(b, (char)(v >> (8 * i) & 255)), 0);
}

static void add_text(struct buf *b, const char *text)
{
    add_number(b, strlen(text), 8);
    add(b, text, strlen(text));
}

static void add_key(struct gguffile *f, const char *key, uint32_t type)
{
    add_text(&f->keys, key);
    add_number(&f->keys, type, 4);
    f->n_keys++;
}

static void add_list(struct gguffile *f, const char *key, uint32_t type, size_t n)
{
    add_key(f, key, 9);
    add_number(&f->keys, type, 4);
    add_number(&f->keys, n, 8);
}

void gguffile_fini(struct gguffile *f)
{
    buf_fini(&f->keys);
    buf_fini(&f->infos);
    buf_fini(&f->data);
    memset(f, 0, sizeof *f);
}

void gguffile_raw(struct gguffile *f, const char *key, uint32_t type, const void *at, size_t n)
{
    add_key(f, key, type);
    add(&f->keys, at, n);
}

void gguffile_u32(struct gguffile *f, const char *key, uint32_t v)
{
    gguffile_raw(f, key, 4, &v, sizeof v);
}

void gguffile_f32(struct gguffile *f, const char *key, float v)
{
    gguffile_raw(f, key, 6, &v, sizeof v);
}

void gguffile_bool(struct gguffile *f, const char *key, bool v)
{
    gguffile_raw(f, key, 7, &(char){v}, 1);
}

void gguffile_text(struct gguffile *f, const char *key, const char *v)
{
    add_key(f, key, 8);
    add_text(&f->keys, v);
}

void gguffile_u32s(struct gguffile *f, const char *key, const uint32_t *v, size_t n)
{
    add_list(f, key, 4, n);
    add(&f->keys, v, n * sizeof *v);
}

void gguffile_f32s(struct gguffile *f, const char *key, const float *v, size_t n)
{
    add_list(f, key, 6, n);
    add(&f->keys, v, n * sizeof *v);
}

void gguffile_texts(struct gguffile *f, const char *key, const char *const *v, size_t n)
{
    add_list(f, key, 8, n);
    for (size_t i = 0; i < n; i++)
        add_text(&f->keys, v[i]);
}

static size_t alignment(const struct gguffile *f)
{
    return f->alignment ? f->alignment : 32;
}

static void pad(struct buf *b, size_t to)
{
    while (b->len % to)
        ck_assert_int_eq(buf_addc(b, 0), 0);
}

void gguffile_entry(struct gguffile *f, const char *name, uint32_t type, const uint64_t *dims,
                    uint32_t n_dims, uint64_t offset)
{
    add_text(&f->infos, name);
    add_number(&f->infos, n_dims, 4);
    for (uint32_t i = 0; i < n_dims; i++)
        add_number(&f->infos, dims[i], 8);
    add_number(&f->infos, type, 4);
    add_number(&f->infos, offset, 8);
    f->n_tensors++;
}

void gguffile_tensor(struct gguffile *f, const char *name, uint32_t type, const uint64_t *dims,
                     uint32_t n_dims, size_t bytes, const void *data)
{
    pad(&f->data, alignment(f));
    gguffile_entry(f, name, type, dims, n_dims, f->data.len);
    for (size_t i = 0; i < bytes; i++)
        ck_assert_int_eq(buf_addc(&f->data, data ? ((const char *)data)[i] : (char)i), 0);
}

void gguffile_bytes(const struct gguffile *f, struct buf *out)
{
    add(out, "GGUF", 4);
    add_number(out, f->version ? f->version : 3, 4);
    add_number(out, f->n_tensors, 8);
    add_number(out, f->n_keys, 8);
    add(out, f->keys.data, f->keys.len);
    add(out, f->infos.data, f->infos.len);
    pad(out, alignment(f));
    add(out, f->data.data, f->data.len);
}

const char *gguffile_write(const struct gguffile *f, const char *name)
{
    struct buf b = {0};
    const char *path;

    gguffile_bytes(f, &b);
    path = test_file(name, b.data, b.len);
    buf_fini(&b);
    return path;
}

void gguffile_model(struct gguffile *f, const char *arch)
{
    static const struct {
        const char *key;
        uint32_t v;
    } SIZES[] = {{"context_length", 4096},    {"embedding_length", 64},
                 {"block_count", 4},          {"feed_forward_length", 128},
                 {"attention.head_count", 4}, {"attention.head_count_kv", 2}};
    char key[96];

    gguffile_text(f, "general.architecture", arch);
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, SIZES[i].key);
        gguffile_u32(f, key, SIZES[i].v);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    gguffile_f32(f, key, 1e-5f);
    gguffile_tensor(f, "token_embd.weight", 0, (uint64_t[]){64, 8}, 2, 64 * 8 * 4, NULL);
}
