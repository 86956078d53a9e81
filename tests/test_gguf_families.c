/* test_gguf_families.c - model/gguf_config and gguf_names: the models of tests/golden as GGUF
 * files, held to the same logits.
 *
 * The files are made here as llama.cpp's converter makes them: its names, its keys, q and k of the
 * llama architecture with the rows of neighbours together, Gemma's norms with the 1 added.  Files
 * that the converter's own package wrote of the same models gave the same logits in llama.cpp and
 * here, within 1e-6; but for Gemma, whose gate llama.cpp takes from a table of half floats, and for
 * Phi 3's window, which it leaves out.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "model/gguf_config.h"
#include "model/weights.h"
#include "tests/family.h"
#include "tests/gguffile.h"
#include "tests/test.h"

#define TOLERANCE 1e-4

/* Whose golden, as which architecture. */
static const struct {
    const char *name, *arch;
} CASES[] = {
    {"llama", "llama"},         {"llama-linear", "llama"},  {"llama-llama3", "llama"},
    {"llama-yarn", "llama"},    {"llama-bias", "llama"},    {"smollm", "llama"},
    {"mistral", "llama"},       {"qwen2", "qwen2"},         {"qwen3", "qwen3"},
    {"phi3", "phi3"},           {"phi3-long", "phi3"},      {"phi3-short", "phi3"},
    {"gemma2-scale", "gemma2"}, {"gemma3-scale", "gemma3"},
};
#define N_CASES (int)(sizeof CASES / sizeof CASES[0])

/* Hugging Face's name of a part, the GGUF's, and the GGUF's of Gemma where it is another. */
static const struct {
    const char *from, *to, *gemma;
} NAMES[] = {
    {"input_layernorm", "attn_norm", NULL},
    {"self_attn.q_proj", "attn_q", NULL},
    {"self_attn.k_proj", "attn_k", NULL},
    {"self_attn.v_proj", "attn_v", NULL},
    {"self_attn.qkv_proj", "attn_qkv", NULL},
    {"self_attn.o_proj", "attn_output", NULL},
    {"self_attn.q_norm", "attn_q_norm", NULL},
    {"self_attn.k_norm", "attn_k_norm", NULL},
    {"post_attention_layernorm", "ffn_norm", "post_attention_norm"},
    {"pre_feedforward_layernorm", NULL, "ffn_norm"},
    {"post_feedforward_layernorm", NULL, "post_ffw_norm"},
    {"mlp.gate_proj", "ffn_gate", NULL},
    {"mlp.up_proj", "ffn_up", NULL},
    {"mlp.gate_up_proj", "ffn_up", NULL},
    {"mlp.down_proj", "ffn_down", NULL},
};

static void rename_tensor(char *out, size_t size, const char *name, bool gemma)
{
    int layer = 0, rest = 0;
    const char *dot;

    if (!strcmp(name, "model.embed_tokens.weight")) name = "token_embd.weight";
    if (!strcmp(name, "model.norm.weight")) name = "output_norm.weight";
    if (!strcmp(name, "lm_head.weight")) name = "output.weight";
    snprintf(out, size, "%s", name);
    if (sscanf(name, "model.layers.%d.%n", &layer, &rest) != 1) return;
    dot = strrchr(name, '.');
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strlen(NAMES[i].from) == (size_t)(dot - name - rest) &&
            !strncmp(name + rest, NAMES[i].from, strlen(NAMES[i].from)))
            snprintf(out, size, "blk.%d.%s%s", layer,
                     gemma && NAMES[i].gemma ? NAMES[i].gemma : NAMES[i].to, dot);
}

/* Row 2i of a head is the old row i, row 2i + 1 the old row i + HD/2. */
static void neighbours(float *to, const float *from, int heads, int HD, size_t row)
{
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < HD; i++) {
            const int old = h * HD + i / 2 + i % 2 * (HD / 2);

            memcpy(to + (size_t)(h * HD + i) * row, from + (size_t)old * row, row * sizeof *to);
        }
}

static void put_tensor(struct gguffile *g, const struct model_config *c, const struct tensor *t,
                       const char *arch)
{
    const bool gemma = !strncmp(arch, "gemma", 5), vector = t->n_dims == 1;
    const size_t row = vector ? 1 : (size_t)t->shape[1], n = (size_t)t->shape[0] * row;
    const uint64_t dims[] = {(uint64_t)t->shape[vector ? 0 : 1], (uint64_t)t->shape[0]};
    const float *from = t->data;
    float *data = malloc(t->bytes);
    char name[128];

    memcpy(data, from, t->bytes);
    if (!strcmp(arch, "llama") && strstr(t->name, ".q_proj."))
        neighbours(data, from, c->n_heads, c->head_dim, row);
    if (!strcmp(arch, "llama") && strstr(t->name, ".k_proj."))
        neighbours(data, from, c->n_kv_heads, c->head_dim, row);
    for (size_t i = 0; i < n && gemma && strstr(t->name, "norm.weight"); i++)
        data[i] += 1;
    rename_tensor(name, sizeof name, t->name, gemma);
    gguffile_tensor(g, name, 0, dims, vector ? 1 : 2, t->bytes, data);
    free(data);
}

static void put_row(struct gguffile *g, const char *name, const float *x, int n)
{
    gguffile_tensor(g, name, 0, &(uint64_t){(uint64_t)n}, 1, (size_t)n * sizeof *x, x);
}

/* What the converter writes for Llama 3: each frequency's divisor. */
static void put_freqs(struct gguffile *g, const struct rope_config *r, int n_rot)
{
    float factors[CONFIG_MAX_HD / 2];
    const double lo = (double)r->low_freq_factor, hi = (double)r->high_freq_factor;

    for (int i = 0; i < n_rot / 2; i++) {
        const double f = pow((double)r->theta, -2.0 * i / n_rot);
        const double turns = (double)r->original_positions * f / (2 * acos(-1));
        const double s = fmin(fmax((turns - lo) / (hi - lo), 0), 1);

        factors[i] = (float)(1 / ((1 - s) / (double)r->factor + s));
    }
    put_row(g, "rope_freqs.weight", factors, n_rot / 2);
}

/* Keys are "ARCH.name". */
static const char *key(const char *arch, const char *name)
{
    static char keys[4][96];
    static int at;

    at = (at + 1) % 4;
    snprintf(keys[at], sizeof keys[0], "%s.%s", arch, name);
    return keys[at];
}

static void put_rope(struct gguffile *g, const struct model_config *c, const char *arch)
{
    const struct rope_config *r = &c->rope;
    const double stretch = (double)c->max_positions / (double)r->original_positions;

    gguffile_f32(g, key(arch, "rope.freq_base"), r->theta);
    if (r->kind == ROPE_LINEAR || r->kind == ROPE_YARN) {
        gguffile_text(g, key(arch, "rope.scaling.type"), r->kind == ROPE_YARN ? "yarn" : "linear");
        gguffile_f32(g, key(arch, "rope.scaling.factor"), r->factor);
    }
    if (r->kind == ROPE_YARN || r->kind == ROPE_LONGROPE)
        gguffile_u32(g, key(arch, "rope.scaling.original_context_length"),
                     (uint32_t)r->original_positions);
    if (r->kind == ROPE_LLAMA3) put_freqs(g, r, c->n_rot);
    if (r->kind == ROPE_LONGROPE) {
        gguffile_f32(g, key(arch, "rope.scaling.attn_factor"),
                     (float)sqrt(1 + log(stretch) / log((double)r->original_positions)));
        put_row(g, "rope_factors_long.weight", r->long_factor, r->n_factors);
        put_row(g, "rope_factors_short.weight", r->short_factor, r->n_factors);
    }
}

static void put_windows(struct gguffile *g, const struct model_config *c, const char *arch)
{
    char list[12 + CONFIG_MAX_LAYERS] = {7}; /* type bool, count, one byte a layer */
    const uint64_t n = (uint64_t)c->n_layers;

    gguffile_u32(g, key(arch, "attention.sliding_window"), (uint32_t)c->window);
    if (strcmp(arch, "gemma3") != 0) return;
    memcpy(list + 4, &n, sizeof n);
    memcpy(list + 12, c->windowed, n);
    gguffile_raw(g, key(arch, "attention.sliding_window_pattern"), 9, list, 12 + n);
    gguffile_f32(g, key(arch, "rope.freq_base_swa"), c->rope_local.theta);
}

static void put_keys(struct gguffile *g, const struct model_config *c, const char *arch)
{
    const struct {
        const char *name;
        int n;
    } SIZES[] = {
        {"context_length", c->max_positions},  {"embedding_length", c->hidden_size},
        {"block_count", c->n_layers},          {"feed_forward_length", c->intermediate_size},
        {"attention.head_count", c->n_heads},  {"attention.head_count_kv", c->n_kv_heads},
        {"attention.key_length", c->head_dim}, {"attention.value_length", c->head_dim},
        {"rope.dimension_count", c->n_rot},
    };

    gguffile_text(g, "general.architecture", arch);
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++)
        gguffile_u32(g, key(arch, SIZES[i].name), (uint32_t)SIZES[i].n);
    gguffile_f32(g, key(arch, "attention.layer_norm_rms_epsilon"), c->rms_eps);
    if (c->window || !strcmp(arch, "phi3")) put_windows(g, c, arch);
    if (c->attn_softcap > 0) gguffile_f32(g, key(arch, "attn_logit_softcapping"), c->attn_softcap);
    if (c->logit_softcap > 0)
        gguffile_f32(g, key(arch, "final_logit_softcapping"), c->logit_softcap);
}

/* The loaded model becomes the GGUF's. */
static void through_gguf(struct family_run *f, const char *arch)
{
    const struct model_config *c = &f->model.config;
    struct gguffile g = {0};
    json_t *config = NULL;
    const char *path;

    put_keys(&g, c, arch);
    put_rope(&g, c, arch);
    for (int i = 0; i < weights_count(f->model.weights); i++)
        put_tensor(&g, c, weights_at(f->model.weights, i), arch);
    path = gguffile_write(&g, "model.gguf");
    gguffile_fini(&g);
    weights_close(&f->model.weights);
    memset(&f->model.config, 0, sizeof f->model.config);
    ck_assert_msg(!weights_open(&f->model.weights, path, &f->e), "%s", f->e.text);
    ck_assert_msg(!gguf_config(&config, weights_gguf(f->model.weights), &f->e), "%s", f->e.text);
    ck_assert_msg(!config_from_json(&f->model.config, config, NULL, path, &f->e), "%s", f->e.text);
    json_decref(config);
}

static const struct family_case *case_of(const char *name)
{
    for (int i = 0; i < N_FAMILY_CASES; i++)
        if (!strcmp(FAMILY_CASES[i].name, name)) return &FAMILY_CASES[i];
    ck_abort_msg("no case %s", name);
}

START_TEST(a_gguf_of_a_family_has_the_golden_logits)
{
    static float logits[FAMILY_MAX_IDS * 128];
    const struct family_case *c = case_of(CASES[_i].name);
    struct family_run f;
    double off;

    family_load(&f, c);
    through_gguf(&f, CASES[_i].arch);
    ck_assert_msg(!family_forward(&f, c, ops_cpu(), 1), "%s: %s", c->name, f.e.text);
    family_prompt(&f, FAMILY_MAX_IDS, logits);
    off = family_off(&f, logits);
    ck_assert_msg(off <= TOLERANCE, "%s: off by %.2g", c->name, off);
    family_close(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("gguf_families");
    TCase *t = tcase_create("gguf_families");

    tcase_add_loop_test(t, a_gguf_of_a_family_has_the_golden_logits, 0, N_CASES);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
