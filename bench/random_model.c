/* random_model.c - the weights of a Llama-shaped model that nobody trained.
 *
 * Source  splitmix64 (Steele, Lea and Flood 2014); a sum of four even draws is near enough to a
 * bell.
 */
#include "bench/random_model.h"

#include <math.h>
#include <stdio.h>

#include "bench/report.h"

#define NORM_GRID 64 /* a norm is the same number in f32 and in bf16 */
#define GOLDEN    0x9E3779B97F4A7C15u

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* Variance 1. */
static float bell(uint64_t x)
{
    const int32_t sum = (int32_t)(x & 65535) + (int32_t)(x >> 16 & 65535) +
                        (int32_t)(x >> 32 & 65535) + (int32_t)(x >> 48);

    return (float)(sum - 2 * 65535) * (1.7320508f / 65535.5f);
}

int random_tensors(const struct random_model *m)
{
    return 2 + RANDOM_LAYER_TENSORS * m->layers + m->untied;
}

static void layer_tensor(const struct random_model *m, int layer, int i, struct random_tensor *t)
{
    const int D = m->hidden, Q = m->heads * m->head_dim, KV = m->kv_heads * m->head_dim;
    const struct {
        const char *name, *gguf;
        int rows, cols, heads;
    } parts[RANDOM_LAYER_TENSORS] = {
        {"input_layernorm", "attn_norm", D, 0, 0},
        {"self_attn.q_proj", "attn_q", Q, D, m->heads},
        {"self_attn.k_proj", "attn_k", KV, D, m->kv_heads},
        {"self_attn.v_proj", "attn_v", KV, D, 0},
        {"self_attn.o_proj", "attn_output", D, Q, 0},
        {"post_attention_layernorm", "ffn_norm", D, 0, 0},
        {"mlp.gate_proj", "ffn_gate", m->feed, D, 0},
        {"mlp.up_proj", "ffn_up", m->feed, D, 0},
        {"mlp.down_proj", "ffn_down", D, m->feed, 0},
    };

    *t = (struct random_tensor){
        .rows = parts[i].rows, .cols = parts[i].cols, .heads = parts[i].heads};
    snprintf(t->name, sizeof t->name, "model.layers.%d.%s.weight", layer, parts[i].name);
    snprintf(t->gguf, sizeof t->gguf, "blk.%d.%s.weight", layer, parts[i].gguf);
}

void random_tensor(const struct random_model *m, int i, struct random_tensor *t)
{
    if (i == 0)
        *t = (struct random_tensor){
            "model.embed_tokens.weight", "token_embd.weight", m->vocab, m->hidden, 0, 0, 0};
    else if (i == 1 + RANDOM_LAYER_TENSORS * m->layers)
        *t = (struct random_tensor){
            "model.norm.weight", "output_norm.weight", m->hidden, 0, 0, 0, 0};
    else if (i > RANDOM_LAYER_TENSORS * m->layers)
        *t =
            (struct random_tensor){"lm_head.weight", "output.weight", m->vocab, m->hidden, 0, 0, 0};
    else
        layer_tensor(m, (i - 1) / RANDOM_LAYER_TENSORS, (i - 1) % RANDOM_LAYER_TENSORS, t);
    t->seed = mix(m->seed + GOLDEN * (uint64_t)(i + 1));
    t->repeat = m->repeat;
}

void random_row(const struct random_tensor *t, int row, float *out)
{
    const bool norm = t->cols == 0, embedding = !t->heads && t->gguf[0] == 't';
    const int n = norm ? t->rows : t->cols;
    const float spread = norm ? 0.1f : embedding ? 0.02f : 1 / sqrtf((float)t->cols);
    uint64_t state;

    if (t->repeat) row %= t->repeat;
    state = t->seed ^ mix((uint64_t)row + 1);
    for (int k = 0; k < n; k++) {
        state += GOLDEN;
        out[k] = norm ? 1 + roundf(spread * bell(mix(state)) * NORM_GRID) / NORM_GRID
                      : spread * bell(mix(state));
    }
}

/* safetensors rotates row i of a head with row i + HD/2; GGUF's llama has each such pair side by
 * side. */
int random_row_of_gguf(const struct random_tensor *t, int row)
{
    const int HD = t->heads ? t->rows / t->heads : 0;
    const int in_head = t->heads ? row % HD : 0;

    if (!t->heads) return row;
    return row - in_head + in_head % 2 * (HD / 2) + in_head / 2;
}
