/* model_out.c - a random model, written as a model directory and as GGUF files.
 *
 * Source  the safetensors format; the GGUF format, version 3; Q8_0: blocks of 32 numbers, a scale
 * in f16 (the largest magnitude / 127) and 32 signed bytes.
 */
#include "bench/model_out.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/dtype.h"
#include "bench/report.h"

#define EPS        1e-5
#define ALIGNMENT  32 /* of tensors in GGUF */
#define Q8_NUMBERS 32
#define Q8_BYTES   (2 + Q8_NUMBERS)

struct out {
    char path[4100], part[4110];
    FILE *f;
    size_t at;
};

static void out_open(struct out *o, const char *dir, const char *name)
{
    *o = (struct out){.f = NULL};
    snprintf(o->path, sizeof o->path, "%s%s%s", dir, *name ? "/" : "", name);
    snprintf(o->part, sizeof o->part, "%s.part", o->path);
    o->f = fopen(o->part, "we");
    if (!o->f) report_fail("%s: %s", o->part, strerror(errno));
}

static void out_put(struct out *o, const void *data, size_t n)
{
    if (n && fwrite(data, n, 1, o->f) != 1) report_fail("%s: %s", o->part, strerror(errno));
    o->at += n;
}

static void out_close(struct out *o)
{
    if (fclose(o->f) || rename(o->part, o->path)) report_fail("%s: %s", o->part, strerror(errno));
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void q8_block(const float *x, char *out)
{
    float most = 0, d;
    uint16_t scale;

    for (int i = 0; i < Q8_NUMBERS; i++)
        most = fmaxf(most, fabsf(x[i]));
    d = most / 127;
    scale = most > 0 ? f32_to_f16(d) : 0;
    memcpy(out, &scale, sizeof scale);
    for (int i = 0; i < Q8_NUMBERS; i++)
        out[2 + i] = (char)(signed char)lrintf(most > 0 ? x[i] / d : 0);
}

/* Packs n numbers; the bytes that makes. */
static size_t pack(const float *x, int n, enum model_type type, char *out)
{
    if (type == MODEL_F32) {
        memcpy(out, x, (size_t)n * sizeof *x);
        return (size_t)n * sizeof *x;
    }
    if (type == MODEL_BF16) {
        for (int i = 0; i < n; i++) {
            const uint16_t h = f32_to_bf16(x[i]);

            memcpy(out + 2 * i, &h, sizeof h);
        }
        return (size_t)n * 2;
    }
    for (int i = 0; i < n; i += Q8_NUMBERS)
        q8_block(x + i, out + i / Q8_NUMBERS * Q8_BYTES);
    return (size_t)n / Q8_NUMBERS * Q8_BYTES;
}

static size_t tensor_bytes(const struct random_tensor *t, enum model_type type)
{
    const size_t n = (size_t)t->rows * (size_t)(t->cols ? t->cols : 1);

    return type == MODEL_F32 ? n * 4 : type == MODEL_BF16 ? n * 2 : n / Q8_NUMBERS * Q8_BYTES;
}

static void put_tensor(struct out *o, const struct random_tensor *t, enum model_type type,
                       bool gguf)
{
    const int n = t->cols ? t->cols : t->rows, rows = t->cols ? t->rows : 1;
    const int kept = !gguf && t->repeat && t->repeat < rows ? t->repeat : 1;
    float *row = malloc((size_t)n * sizeof *row);
    char *packed = malloc((size_t)kept * (size_t)n * sizeof *row);
    size_t bytes = 0;

    if (!row || !packed) report_fail("no memory for a row of %d", n);
    for (int r = 0; r < rows; r++) {
        char *at = packed + (size_t)(r % kept) * bytes;

        if (kept == 1 || r < kept) {
            random_row(t, gguf && t->cols ? random_row_of_gguf(t, r) : r, row);
            bytes = pack(row, n, type, at);
        }
        out_put(o, at, bytes);
    }
    free(row);
    free(packed);
}

/* --- a model directory ------------------------------------------------------------------------ */

static void write_json(json_t *j, const char *dir, const char *name)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!j || json_dump_file(j, path, JSON_INDENT(1))) report_fail("%s: cannot be written", path);
    json_decref(j);
}

static void write_config(const struct random_model *m, const struct vocab_file *v, const char *dir)
{
    json_t *j = json_pack(
        "{s[s] ss si si si si si si si si sf sf ss sb sb sb si si ss}", "architectures",
        "LlamaForCausalLM", "model_type", "llama", "hidden_size", m->hidden, "intermediate_size",
        m->feed, "num_hidden_layers", m->layers, "num_attention_heads", m->heads,
        "num_key_value_heads", m->kv_heads, "head_dim", m->head_dim, "vocab_size", m->vocab,
        "max_position_embeddings", m->positions, "rms_norm_eps", EPS, "rope_theta", m->rope_theta,
        "hidden_act", "silu", "tie_word_embeddings", !m->untied, "attention_bias", 0, "mlp_bias", 0,
        "bos_token_id", v->bos_id, "eos_token_id", v->eos_id, "torch_dtype", "bfloat16");

    write_json(j, dir, "config.json");
    write_json(json_pack("{si si}", "bos_token_id", v->bos_id, "eos_token_id", v->eos_id), dir,
               "generation_config.json");
}

static void add_to_header(struct buf *h, const struct random_tensor *t, size_t *at)
{
    const size_t end = *at + tensor_bytes(t, MODEL_BF16);

    buf_printf(h, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%d", h->len ? "," : "{", t->name,
               t->rows);
    if (t->cols) buf_printf(h, ",%d", t->cols);
    buf_printf(h, "],\"data_offsets\":[%zu,%zu]}", *at, end);
    *at = end;
}

void model_out_dir(const struct random_model *m, const struct vocab_file *v, const char *dir)
{
    struct random_tensor t;
    struct buf header = {0};
    struct out o;
    uint64_t len;
    size_t at = 0;

    if (mkdir(dir, 0777) && errno != EEXIST) report_fail("%s: %s", dir, strerror(errno));
    write_config(m, v, dir);
    vocab_file_write(v, dir);
    for (int i = 0; i < random_tensors(m); i++) {
        random_tensor(m, i, &t);
        add_to_header(&header, &t, &at);
    }
    buf_addc(&header, '}');
    while (header.len % 8)
        buf_addc(&header, ' ');
    if (header.failed) report_fail("no memory for a header");
    len = header.len;
    out_open(&o, dir, "model.safetensors");
    out_put(&o, &len, sizeof len);
    out_put(&o, header.data, header.len);
    for (int i = 0; i < random_tensors(m); i++) {
        random_tensor(m, i, &t);
        put_tensor(&o, &t, MODEL_BF16, false);
    }
    out_close(&o);
    buf_fini(&header);
}

/* --- GGUF ------------------------------------------------------------------------------------- */

enum { KEY_U32 = 4, KEY_I32 = 5, KEY_F32 = 6, KEY_BOOL = 7, KEY_STRING = 8, KEY_ARRAY = 9 };

struct keys {
    struct buf b;
    uint64_t n;
};

static void add_u32(struct buf *b, uint32_t v)
{
    buf_add(b, &v, sizeof v);
}

static void add_u64(struct buf *b, uint64_t v)
{
    buf_add(b, &v, sizeof v);
}

static void add_text(struct buf *b, const char *text, size_t len)
{
    add_u64(b, len);
    buf_add(b, text, len);
}

static void key(struct keys *k, const char *name, uint32_t type)
{
    add_text(&k->b, name, strlen(name));
    add_u32(&k->b, type);
    k->n++;
}

static void key_number(struct keys *k, const char *name, int v)
{
    key(k, name, KEY_U32);
    add_u32(&k->b, (uint32_t)v);
}

static void key_float(struct keys *k, const char *name, double v)
{
    const float f = (float)v;

    key(k, name, KEY_F32);
    buf_add(&k->b, &f, sizeof f);
}

static void key_text(struct keys *k, const char *name, const char *text)
{
    key(k, name, KEY_STRING);
    add_text(&k->b, text, strlen(text));
}

static void key_texts(struct keys *k, const char *name, const struct vocab_file *v,
                      const struct vocab_text *t, int n)
{
    key(k, name, KEY_ARRAY);
    add_u32(&k->b, KEY_STRING);
    add_u64(&k->b, (uint64_t)n);
    for (int i = 0; i < n; i++)
        add_text(&k->b, v->text.data + t[i].at, t[i].len);
}

static void add_shape(struct keys *k, const struct random_model *m, enum model_type type)
{
    key_text(k, "general.architecture", "llama");
    key_text(k, "general.name", "random");
    key_number(k, "general.file_type", type == MODEL_Q8_0 ? 7 : 32);
    key_number(k, "llama.block_count", m->layers);
    key_number(k, "llama.context_length", m->positions);
    key_number(k, "llama.embedding_length", m->hidden);
    key_number(k, "llama.feed_forward_length", m->feed);
    key_number(k, "llama.attention.head_count", m->heads);
    key_number(k, "llama.attention.head_count_kv", m->kv_heads);
    key_number(k, "llama.attention.key_length", m->head_dim);
    key_number(k, "llama.attention.value_length", m->head_dim);
    key_number(k, "llama.rope.dimension_count", m->head_dim);
    key_number(k, "llama.vocab_size", m->vocab);
    key_float(k, "llama.rope.freq_base", m->rope_theta);
    key_float(k, "llama.attention.layer_norm_rms_epsilon", EPS);
}

static void add_vocab(struct keys *k, const struct vocab_file *v)
{
    key_text(k, "tokenizer.ggml.model", "gpt2");
    key_text(k, "tokenizer.ggml.pre", "llama-bpe");
    key_texts(k, "tokenizer.ggml.tokens", v, v->tokens, v->n_tokens);
    key(k, "tokenizer.ggml.token_type", KEY_ARRAY);
    add_u32(&k->b, KEY_I32);
    add_u64(&k->b, (uint64_t)v->n_tokens);
    for (int i = 0; i < v->n_tokens; i++)
        add_u32(&k->b, (uint32_t)v->types[i]);
    key_texts(k, "tokenizer.ggml.merges", v, v->merges, v->n_merges);
    key_number(k, "tokenizer.ggml.bos_token_id", v->bos_id);
    key_number(k, "tokenizer.ggml.eos_token_id", v->eos_id);
    key(k, "tokenizer.ggml.add_bos_token", KEY_BOOL);
    buf_addc(&k->b, 0);
}

static enum model_type type_of(const struct random_tensor *t, enum model_type type)
{
    return t->cols && (type != MODEL_Q8_0 || t->cols % Q8_NUMBERS == 0) ? type : MODEL_F32;
}

static size_t aligned(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Fastest axis first. */
static void add_tensor(struct buf *b, const struct random_tensor *t, enum model_type type,
                       size_t at)
{
    add_text(b, t->gguf, strlen(t->gguf));
    add_u32(b, t->cols ? 2 : 1);
    if (t->cols) add_u64(b, (uint64_t)t->cols);
    add_u64(b, (uint64_t)t->rows);
    add_u32(b, (uint32_t)type_of(t, type));
    add_u64(b, at);
}

static void put_zeros(struct out *o)
{
    static const char zeros[ALIGNMENT];

    out_put(o, zeros, aligned(o->at) - o->at);
}

void model_out_gguf(const struct random_model *m, const struct vocab_file *v, const char *path,
                    enum model_type type)
{
    struct keys keys = {.n = 0};
    struct buf head = {0}, tensors = {0};
    struct random_tensor t;
    struct out o;
    size_t at = 0;

    add_shape(&keys, m, type);
    add_vocab(&keys, v);
    for (int i = 0; i < random_tensors(m); i++) {
        random_tensor(m, i, &t);
        add_tensor(&tensors, &t, type, at);
        at = aligned(at + tensor_bytes(&t, type_of(&t, type)));
    }
    buf_adds(&head, "GGUF");
    add_u32(&head, 3);
    add_u64(&head, (uint64_t)random_tensors(m));
    add_u64(&head, keys.n);
    if (head.failed || keys.b.failed || tensors.failed) report_fail("no memory for a header");
    out_open(&o, path, "");
    out_put(&o, head.data, head.len);
    out_put(&o, keys.b.data, keys.b.len);
    out_put(&o, tensors.data, tensors.len);
    put_zeros(&o);
    for (int i = 0; i < random_tensors(m); i++) {
        random_tensor(m, i, &t);
        put_tensor(&o, &t, type_of(&t, type), true);
        put_zeros(&o);
    }
    out_close(&o);
    buf_fini(&head), buf_fini(&keys.b), buf_fini(&tensors);
}
