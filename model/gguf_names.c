/* gguf_names.c - the names of a GGUF's tensors as Hugging Face's files have them. */
#include "model/gguf_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    const char *from, *to;
};

static const struct pair WHOLE[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

/* Behind "blk.N.", without ".weight" or ".bias". */
static const struct pair LAYER[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_qkv", "self_attn.qkv_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

/* Where a family differs: looked at first. */
static const struct {
    const char *arch;
    struct pair pair;
} OF_FAMILY[] = {
    {"phi3", {"ffn_up", "mlp.gate_up_proj"}},
    {"gemma2", {"post_attention_norm", "post_attention_layernorm"}},
    {"gemma2", {"ffn_norm", "pre_feedforward_layernorm"}},
    {"gemma2", {"post_ffw_norm", "post_feedforward_layernorm"}},
    {"gemma3", {"post_attention_norm", "post_attention_layernorm"}},
    {"gemma3", {"ffn_norm", "pre_feedforward_layernorm"}},
    {"gemma3", {"post_ffw_norm", "post_feedforward_layernorm"}},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool is_name(const char *part, size_t len, const char *want)
{
    return strlen(want) == len && !memcmp(part, want, len);
}

static const char *find_layer_name(const char *arch, const char *part, size_t len)
{
    for (size_t i = 0; i < COUNT(OF_FAMILY); i++)
        if (!strcmp(arch, OF_FAMILY[i].arch) && is_name(part, len, OF_FAMILY[i].pair.from))
            return OF_FAMILY[i].pair.to;
    for (size_t i = 0; i < COUNT(LAYER); i++)
        if (is_name(part, len, LAYER[i].from)) return LAYER[i].to;
    return NULL;
}

/* "blk.12.attn_q.weight": 12, and what is behind it.  NULL: not of a layer. */
static const char *read_layer(const char *name, int *layer)
{
    const size_t digits = strncmp(name, "blk.", 4) ? 0 : strspn(name + 4, "0123456789");

    if (!digits || digits > 6 || name[4 + digits] != '.') return NULL;
    *layer = atoi(name + 4);
    return name + 4 + digits + 1;
}

bool gguf_rename(char *out, size_t size, const char *arch, const char *name)
{
    int layer, n = -1;
    const char *part = read_layer(name, &layer), *dot = part ? strrchr(part, '.') : NULL;
    const char *to = dot ? find_layer_name(arch, part, (size_t)(dot - part)) : NULL;

    for (size_t i = 0; i < COUNT(WHOLE); i++)
        if (!strcmp(name, WHOLE[i].from)) n = snprintf(out, size, "%s", WHOLE[i].to);
    if (to) n = snprintf(out, size, "model.layers.%d.%s%s", layer, to, dot);
    if (n < 0) n = snprintf(out, size, "%s", name);
    return n >= 0 && (size_t)n < size;
}

bool gguf_is_rope_table(const char *name)
{
    return !strcmp(name, "rope_freqs.weight") || !strcmp(name, "rope_factors_long.weight") ||
           !strcmp(name, "rope_factors_short.weight");
}
