/* family.h - the architectures that the engine computes, and what they differ in.
 *
 * One row for each family.  A row says what config.json leaves out (defaults), which of its keys
 * the family listens to, and which parts its layers have; config.c turns both into a model_config.
 * A family whose layers need a new part adds a flag here and there, and one place in the forward
 * pass; a family with the parts of another is a row.
 *
 * Source  the families' configurations and layers in the Python library `transformers`, version 5.
 */
#ifndef MODEL_FAMILY_H
#define MODEL_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

#include "model/config.h"

enum bias_rule {
    BIAS_NONE,
    BIAS_KEY, /* attention_bias says: all of q, k, v, o */
    BIAS_QKV, /* q, k and v always, o never */
};

/* Which layers have the sliding window, where layer_types does not say. */
enum window_rule {
    WINDOW_NONE,
    WINDOW_ALL,
    WINDOW_UPPER, /* use_sliding_window: the layers from max_window_layers on */
    WINDOW_MOST,  /* all but the last of each sliding_window_pattern layers */
};

struct family {
    const char *name;
    /* where the file gives none */
    int head_dim; /* 0: hidden_size / num_attention_heads */
    float theta;
    float theta_local; /* of layers with a window; 0: they share the one of all */
    bool tied;
    int window;         /* 0: none */
    int window_pattern; /* WINDOW_MOST */
    float attn_softcap, logit_softcap;
    /* which keys it listens to */
    enum bias_rule bias;
    enum window_rule windows;
    bool mlp_bias_key;
    bool layer_types_key; /* else the key must say what the rule says */
    bool partial_key;     /* partial_rotary_factor */
    bool softcap_keys;    /* final_logit_softcapping */
    bool attn_softcap_key;
    const char *act_key;
    const char *act;    /* where the key is absent */
    float query_scalar; /* query_pre_attn_scalar where it is absent; 0: the key is not known */
    /* parts of a layer */
    bool qk_norm, fused, norm_plus_one, post_norms, embed_scaled;
};

const struct family *family_find(const char *name); /* NULL: not known */
void family_names(char *out, size_t size);          /* "A, B, C" */

#endif
