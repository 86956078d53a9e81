/* family.c - the architectures that the engine computes, and what they differ in. */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

static const struct family FAMILIES[] = {
    /* Llama 2, Llama 3, SmolLM */
    {.name = "LlamaForCausalLM",
     .theta = 10000,
     .bias = BIAS_KEY,
     .mlp_bias_key = true,
     .act_key = "hidden_act",
     .act = "silu"},
    {.name = "MistralForCausalLM",
     .theta = 10000,
     .window = 4096,
     .windows = WINDOW_ALL,
     .act_key = "hidden_act",
     .act = "silu"},
    /* Qwen 2 and 2.5 */
    {.name = "Qwen2ForCausalLM",
     .theta = 10000,
     .window = 4096,
     .bias = BIAS_QKV,
     .windows = WINDOW_UPPER,
     .layer_types_key = true,
     .act_key = "hidden_act",
     .act = "silu"},
    {.name = "Qwen3ForCausalLM",
     .head_dim = 128,
     .theta = 10000,
     .window = 4096,
     .bias = BIAS_KEY,
     .windows = WINDOW_UPPER,
     .layer_types_key = true,
     .act_key = "hidden_act",
     .act = "silu",
     .qk_norm = true},
    /* Phi 3, 3.5 and 4 */
    {.name = "Phi3ForCausalLM",
     .theta = 10000,
     .windows = WINDOW_ALL,
     .partial_key = true,
     .act_key = "hidden_act",
     .act = "silu",
     .fused = true},
    {.name = "Gemma2ForCausalLM",
     .head_dim = 256,
     .theta = 10000,
     .tied = true,
     .window = 4096,
     .window_pattern = 2,
     .attn_softcap = 50,
     .logit_softcap = 30,
     .bias = BIAS_KEY,
     .windows = WINDOW_MOST,
     .layer_types_key = true,
     .softcap_keys = true,
     .attn_softcap_key = true,
     .act_key = "hidden_activation",
     .act = "gelu_pytorch_tanh",
     .query_scalar = 256,
     .norm_plus_one = true,
     .post_norms = true,
     .embed_scaled = true},
    {.name = "Gemma3ForCausalLM",
     .head_dim = 256,
     .theta = 1e6f,
     .theta_local = 10000,
     .tied = true,
     .window = 4096,
     .window_pattern = 6,
     .bias = BIAS_KEY,
     .windows = WINDOW_MOST,
     .layer_types_key = true,
     .softcap_keys = true,
     .act_key = "hidden_activation",
     .act = "gelu_pytorch_tanh",
     .query_scalar = 256,
     .qk_norm = true,
     .norm_plus_one = true,
     .post_norms = true,
     .embed_scaled = true},
};
#define N_FAMILIES (sizeof FAMILIES / sizeof FAMILIES[0])

const struct family *family_find(const char *name)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (!strcmp(name, FAMILIES[i].name)) return &FAMILIES[i];
    return NULL;
}

void family_names(char *out, size_t size)
{
    size_t at = 0;

    out[0] = 0;
    for (size_t i = 0; i < N_FAMILIES && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? ", " : "", FAMILIES[i].name);
}
