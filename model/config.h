/* config.h - what a model is: config.json (or a GGUF's metadata) as numbers.
 *
 * One row of FAMILIES (family.c) for each architecture that is known; what the families differ in
 * is written here as numbers and flags, so that the forward pass has no name of a family in it.
 * Every number is checked against a limit before it is used; a missing or wild one is ERR_FORMAT
 * and named.  An architecture or an option that the engine does not compute is ERR_UNSUPPORTED,
 * named, with the list of what is known; nothing that would change the answer is ignored.
 *
 * Ownership  config_read's out is the caller's, without pointers.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"

#define CONFIG_MAX_EOS    16
#define CONFIG_MAX_LAYERS 1024
#define CONFIG_MAX_HD     512

/* How positions become angles: rope.h has the formulas. */
enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_LONGROPE };

struct rope_config {
    enum rope_kind kind;
    float theta;
    float factor;                            /* linear, llama3, yarn */
    float low_freq_factor, high_freq_factor; /* llama3 */
    float beta_fast, beta_slow;              /* yarn */
    float attention_factor;                  /* yarn, longrope: of sine and cosine; 0: by formula */
    int original_positions;                  /* llama3, yarn, longrope */
    int n_factors;                           /* longrope: n_rot/2 */
    float short_factor[CONFIG_MAX_HD / 2], long_factor[CONFIG_MAX_HD / 2];
};

/* What the feed-forward applies to its gate: GLU_* of kernels/ops.h by the same order. */
enum config_act { ACT_SILU, ACT_GELU_TANH, ACT_GELU };

struct model_config {
    char arch[48]; /* "LlamaForCausalLM", also for a GGUF of that family */
    int hidden_size;
    int intermediate_size;
    int n_layers;
    int n_heads;
    int n_kv_heads;
    int head_dim;
    int vocab_size;
    int max_positions;
    float rms_eps;
    bool tied;  /* the head is the embedding */
    int bos_id; /* -1 when there is none */
    int n_eos;
    int32_t eos_ids[CONFIG_MAX_EOS]; /* from generation_config.json, else config.json */

    /* positions */
    int n_rot;                           /* numbers of a head that turn */
    bool rope_adjacent;                  /* pairs are (2i, 2i+1) in this file */
    struct rope_config rope, rope_local; /* local: of layers with a window (Gemma 3) */

    /* attention */
    float attn_scale;                    /* of q.k: 1/sqrt(head_dim) unless the family says so */
    float attn_softcap;                  /* 0: none */
    int window;                          /* tokens; 0: no layer has one */
    uint8_t windowed[CONFIG_MAX_LAYERS]; /* does layer l have the window? */
    bool q_bias, k_bias, v_bias, o_bias; /* q, k and v stand or fall together today */
    bool qk_norm;                        /* RMSNorm of each head of q and k, before positions */
    bool fused_qkv;                      /* one tensor: q rows, k rows, v rows */

    /* the rest of a layer */
    enum config_act act;
    bool fused_gate_up; /* one tensor: gate rows, up rows */
    bool mlp_bias;
    bool norm_plus_one; /* norms store w - 1 */
    bool post_norms;    /* what attention and feed-forward give is normed before it is added */

    /* ends */
    float embed_scale;   /* 1, or sqrt(hidden_size) */
    float logit_softcap; /* 0: none */
};

/* Reads dir/config.json and, where it is, dir/generation_config.json. */
int config_read(struct model_config *out, const char *dir, struct errmsg *e) MUSTCHECK;

/* The same from parsed JSON: config.json's object, generation_config.json's or NULL.  where: what
 * messages call the first ("DIR/config.json"; for a GGUF, whose metadata is translated to the keys
 * of config.json, the file). */
int config_from_json(struct model_config *out, const json_t *config, const json_t *generation,
                     const char *where, struct errmsg *e) MUSTCHECK;

#endif
