/* tiny.c - a small model with random weights, written by the test that needs it. */
#include "tests/tiny.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "model/tokenizer.h"
#include "model/weights.h"
#include "tests/test.h"

enum { D = 36, H = 6, HK = 2, HD = 20, F = 50, LAYERS = 3 };

static const char CONFIG[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": %d, "
    "\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
    "\"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d, "
    "\"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, "
    "\"hidden_act\": \"silu\", \"tie_word_embeddings\": %s, \"attention_bias\": false, "
    "\"mlp_bias\": false, \"bos_token_id\": null, \"eos_token_id\": 0, \"torch_dtype\": "
    "\"float32\"}";

struct file {
    const struct tiny *t;
    struct buf header, data;
    uint64_t state;
};

/* Sum of four even draws: near enough to a bell, variance 1. */
static float bell(struct file *f)
{
    float sum = 0;

    for (int i = 0; i < 4; i++) {
        f->state = f->state * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(int32_t)(f->state >> 32) * 0x1p-31f;
    }
    return sum * 0.8660254f;
}

static void put_number(struct file *f, float x)
{
    uint32_t bits;
    uint16_t half;

    memcpy(&bits, &x, sizeof bits);
    if (f->t->dtype == DTYPE_F32) {
        buf_add(&f->data, &bits, sizeof bits);
        return;
    }
    half = (uint16_t)(bits >> 16);
    if (f->t->dtype == DTYPE_F16) { /* cut, not rounded: any f16 near x will do */
        const int exp = (int)(bits >> 23 & 255) - 112;

        half = (uint16_t)(bits >> 16 & 0x8000u);
        if (exp > 0) half = (uint16_t)(half | (uint32_t)exp << 10 | (bits >> 13 & 1023u));
    }
    buf_add(&f->data, &half, sizeof half);
}

/* around: 0 for a matrix, 1 for a norm's gain. */
static void put_tensor(struct file *f, const char *name, int rows, int cols, float around)
{
    static const char *const DTYPES[] = {"F32", "F16", "BF16"};
    const size_t from = f->data.len;
    const float spread = around != 0 ? 0.1f : 1.5f / sqrtf((float)cols);

    const float by = !f->t->steep                                              ? 1
                     : !strcmp(name, TINY_STEEP)                               ? 0x1p20f
                     : !strcmp(name, "model.layers.1.self_attn.o_proj.weight") ? 0x1p-20f
                                                                               : 1;

    if (f->t->without && !strcmp(name, f->t->without)) return;
    if (f->t->bent && !strcmp(name, f->t->bent)) *(cols ? &cols : &rows) -= 1;
    for (int i = 0; i < rows * (cols ? cols : 1); i++)
        put_number(f, (around + spread * bell(f)) * by);
    buf_printf(&f->header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [%d",
               f->header.len ? ", " : "{", name, DTYPES[f->t->dtype], rows);
    if (cols) buf_printf(&f->header, ", %d", cols);
    buf_printf(&f->header, "], \"data_offsets\": [%zu, %zu]}", from, f->data.len);
}

static void put_layer(struct file *f, int layer)
{
    static const struct {
        const char *name;
        int rows, cols;
    } PARTS[] = {
        {"input_layernorm", D, 0},        {"self_attn.q_proj", H * HD, D},
        {"self_attn.k_proj", HK * HD, D}, {"self_attn.v_proj", HK * HD, D},
        {"self_attn.o_proj", D, H * HD},  {"post_attention_layernorm", D, 0},
        {"mlp.gate_proj", F, D},          {"mlp.up_proj", F, D},
        {"mlp.down_proj", D, F},
    };
    char name[96];

    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, PARTS[i].name);
        put_tensor(f, name, PARTS[i].rows, PARTS[i].cols, PARTS[i].cols ? 0.0f : 1.0f);
    }
}

static void write_weights(const struct tiny *t)
{
    struct file f = {.t = t, .state = 20240229};
    uint64_t len;
    struct buf all = {0};

    put_tensor(&f, "model.embed_tokens.weight", TINY_VOCAB, D, 0);
    for (int l = 0; l < LAYERS; l++)
        put_layer(&f, l);
    put_tensor(&f, "model.norm.weight", D, 0, 1);
    if (!t->tied) put_tensor(&f, "lm_head.weight", TINY_VOCAB, D, 0);
    if (t->extra) put_tensor(&f, t->extra, 4, 0, 1);
    buf_addc(&f.header, '}');
    while (f.header.len % 8)
        buf_addc(&f.header, ' ');
    len = f.header.len;
    buf_add(&all, &len, sizeof len);
    buf_add(&all, f.header.data, f.header.len);
    buf_add(&all, f.data.data, f.data.len);
    test_file("model.safetensors", all.data, all.len);
    buf_fini(&f.header), buf_fini(&f.data), buf_fini(&all);
}

static void write_tokenizer(void)
{
    struct buf b = {0};

    buf_adds(&b, "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 0, \"content\": \"<|end|>\", "
                 "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": "
                 "false, \"special\": true}], \"normalizer\": {\"type\": \"Replace\", \"pattern\": "
                 "{\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"}, \"pre_tokenizer\": null, "
                 "\"post_processor\": null, \"decoder\": {\"type\": \"Sequence\", \"decoders\": "
                 "[{\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, "
                 "\"content\": \" \"}, {\"type\": \"Fuse\"}]}, \"model\": {\"type\": \"BPE\", "
                 "\"vocab\": {\"<|end|>\": 0, \"\xE2\x96\x81\": 1");
    for (int i = 2; i < 28; i++)
        buf_printf(&b, ", \"%c\": %d", 'a' + i - 2, i);
    for (int i = 28; i < TINY_VOCAB; i++)
        buf_printf(&b, ", \"%c%c\": %d", 'a' + i % 26, 'a' + i / 26 * 5, i);
    buf_adds(&b, "}, \"merges\": [");
    for (int i = 28; i < TINY_VOCAB; i++)
        buf_printf(&b, "%s\"%c %c\"", i > 28 ? ", " : "", 'a' + i % 26, 'a' + i / 26 * 5);
    buf_adds(&b, "]}}");
    test_file("tokenizer.json", b.data, b.len);
    buf_fini(&b);
}

void tiny_open_dir(struct model *m, const char *dir)
{
    struct errmsg e = {""};

    memset(m, 0, sizeof *m);
    ck_assert_msg(config_read(&m->config, dir, &e) == ERR_OK, "%s", e.text);
    ck_assert_msg(weights_open(&m->weights, dir, &e) == ERR_OK, "%s", e.text);
    ck_assert_msg(tokenizer_open(&m->tokenizer, dir, &e) == ERR_OK, "%s", e.text);
}

void tiny_open(struct model *m, const struct tiny *t)
{
    struct buf b = {0};

    buf_printf(&b, CONFIG, D, F, LAYERS, H, HK, HD, TINY_VOCAB, TINY_POSITIONS,
               t->tied ? "true" : "false");
    test_file("config.json", b.data, b.len);
    buf_fini(&b);
    write_tokenizer();
    write_weights(t);
    tiny_open_dir(m, test_dir());
}

void tiny_close(struct model *m)
{
    weights_close(&m->weights);
    tokenizer_close(&m->tokenizer);
}
