/* config.c - what config.json and generation_config.json say, as numbers. */
#include "model/config.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/family.h"
#include "model/field.h"
#include "model/jsonfile.h"
#include "model/rope_config.h"

#define MAX_FILE_BYTES ((size_t)16 << 20)
#define MAX_WIDTH      (1 << 20)
#define MAX_HEADS      4096
#define MAX_VOCAB      (1 << 23)
#define MAX_POSITIONS  (1 << 26)

static int refuse_arch(const struct fields *f, const char *name)
{
    const bool mixture = strstr(name, "Moe") || strstr(name, "MoE") || strstr(name, "Mixtral");
    char known[512];

    family_names(known, sizeof known);
    return err_set(f->e, ERR_UNSUPPORTED, "%s: architecture %.100s%s; known are %s", f->where, name,
                   mixture ? " (a mixture of experts)" : "", known);
}

static int read_arch(const struct fields *f, struct model_config *c, const struct family **family)
{
    const json_t *list = field_at(f, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));

    if (!name) return err_set(f->e, ERR_FORMAT, "%s: architectures names nothing", f->where);
    if (json_array_size(list) != 1)
        return err_set(f->e, ERR_UNSUPPORTED, "%s: %zu architectures, one is known", f->where,
                       json_array_size(list));
    *family = family_find(name);
    if (!*family) return refuse_arch(f, name);
    snprintf(c->arch, sizeof c->arch, "%s", name);
    return ERR_OK;
}

/* Does the field say anything but no, none or nothing? */
static bool says_something(const json_t *v)
{
    if (json_is_number(v)) return fabs(json_number_value(v)) > 0;
    if (json_is_array(v)) return json_array_size(v) > 0;
    if (json_is_object(v)) return json_object_size(v) > 0;
    return v && !json_is_null(v) && !json_is_false(v);
}

/* Options that change the answer and that the engine does not compute. */
static int refuse_options(const struct fields *f, const struct family *a)
{
    static const char *const REFUSED[] = {
        "num_local_experts",
        "num_experts",
        "n_routed_experts",
        "no_rope_layers",
        "no_rope_layer_interval",
        "use_bidirectional_attention",
        "clip_qkv",
        "embedding_multiplier",
        "residual_multiplier",
        "attention_multiplier",
        "logits_scaling",
        "logit_scale",
        "scale_emb",
        "scale_depth",
        "attention_chunk_size",
        "is_encoder_decoder",
        "use_mrope",
        "quantization",
        "alibi",
    };
    const struct {
        const char *name;
        bool known;
    } BY_FAMILY[] = {
        {"attention_bias", a->bias != BIAS_NONE},
        {"mlp_bias", a->mlp_bias_key},
        {"sliding_window", a->windows != WINDOW_NONE},
        {"final_logit_softcapping", a->softcap_keys},
        {"attn_logit_softcapping", a->attn_softcap_key},
    };
    const json_t *q = field_at(f, "quantization_config");

    if (q) {
        const char *method = json_string_value(json_object_get(q, "quant_method"));

        return err_set(
            f->e, ERR_UNSUPPORTED,
            "%s: quantization_config %.100s; known are f32, f16, bf16, and the blocks of "
            "GGUF files",
            f->where, method ? method : "(without quant_method)");
    }
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++)
        if (says_something(json_object_get(f->object, REFUSED[i])))
            return err_set(f->e, ERR_UNSUPPORTED, "%s: %s is not computed", f->where, REFUSED[i]);
    for (size_t i = 0; i < sizeof BY_FAMILY / sizeof BY_FAMILY[0]; i++)
        if (!BY_FAMILY[i].known && says_something(json_object_get(f->object, BY_FAMILY[i].name)))
            return err_set(f->e, ERR_UNSUPPORTED, "%s: %s is set, and %s has none", f->where,
                           BY_FAMILY[i].name, a->name);
    return ERR_OK;
}

static int read_sizes(const struct fields *f, struct model_config *c)
{
    const struct {
        const char *name;
        int hi;
        int *out;
    } FIELDS[] = {
        {"hidden_size", MAX_WIDTH, &c->hidden_size},
        {"intermediate_size", MAX_WIDTH * 4, &c->intermediate_size},
        {"num_hidden_layers", CONFIG_MAX_LAYERS, &c->n_layers},
        {"num_attention_heads", MAX_HEADS, &c->n_heads},
        {"vocab_size", MAX_VOCAB, &c->vocab_size},
        {"max_position_embeddings", MAX_POSITIONS, &c->max_positions},
    };

    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        int rc = field_int(f, FIELDS[i].name, 1, FIELDS[i].hi, -1, FIELDS[i].out);

        if (rc) return rc;
    }
    return field_int(f, "num_key_value_heads", 1, MAX_HEADS, c->n_heads, &c->n_kv_heads);
}

static int read_heads(const struct fields *f, const struct family *a, struct model_config *c)
{
    const int dflt = a->head_dim ? a->head_dim : c->hidden_size / c->n_heads;
    int rc;

    if (c->n_heads % c->n_kv_heads)
        return err_set(f->e, ERR_FORMAT,
                       "%s: num_attention_heads %d is no multiple of num_key_value_heads %d",
                       f->where, c->n_heads, c->n_kv_heads);
    if (!a->head_dim && !field_at(f, "head_dim") && c->hidden_size % c->n_heads)
        return err_set(f->e, ERR_FORMAT,
                       "%s: hidden_size %d is no multiple of num_attention_heads %d", f->where,
                       c->hidden_size, c->n_heads);
    rc = field_int(f, "head_dim", 2, CONFIG_MAX_HD, dflt, &c->head_dim);
    if (rc) return rc;
    if (c->head_dim % 2 || c->head_dim < 2 || c->head_dim > CONFIG_MAX_HD)
        return err_set(f->e, ERR_FORMAT, "%s: head_dim is %d, not even in [2, %d]", f->where,
                       c->head_dim, CONFIG_MAX_HD);
    return ERR_OK;
}

/* Absent gives the family's default, null gives none. */
static int read_softcap(const struct fields *f, const char *name, float dflt, float *out)
{
    const bool none = json_is_null(json_object_get(f->object, name));

    return field_float(f, name, 1e6f, none ? 0 : dflt, out);
}

/* How scores are made, and the parts of attention. */
static int read_attention(const struct fields *f, const struct family *a, struct model_config *c)
{
    float scalar = (float)c->head_dim;
    bool bias = false;
    int rc = field_bool(f, "attention_bias", false, &bias);

    if (!rc && a->query_scalar > 0)
        rc = field_float(f, "query_pre_attn_scalar", 1e6f, a->query_scalar, &scalar);
    if (!rc) rc = read_softcap(f, "attn_logit_softcapping", a->attn_softcap, &c->attn_softcap);
    c->attn_scale = (float)(1 / sqrt((double)scalar));
    c->q_bias = c->k_bias = c->v_bias = a->bias == BIAS_QKV || bias;
    c->o_bias = a->bias == BIAS_KEY && bias;
    c->qk_norm = a->qk_norm;
    c->fused_qkv = a->fused;
    return rc;
}

/* By the family's rule; first: the first layer that may have a window, every: one in so many has
 * none. */
static int mark_by_rule(const struct fields *f, const struct family *a, struct model_config *c)
{
    int first = 0, every = 0, rc = ERR_OK;

    if (a->windows == WINDOW_UPPER)
        rc = field_int(f, "max_window_layers", 0, CONFIG_MAX_LAYERS, 28, &first);
    if (a->windows == WINDOW_MOST) {
        static const char *const NAMES[] = {"sliding_window_pattern", "_sliding_window_pattern"};

        rc = field_int(f, NAMES[field_at(f, NAMES[0]) ? 0 : 1], 1, CONFIG_MAX_LAYERS,
                       a->window_pattern, &every);
    }
    for (int l = first; l < c->n_layers; l++)
        c->windowed[l] = !every || (l + 1) % every;
    return rc;
}

static int mark_by_list(const struct fields *f, const struct family *a, struct model_config *c)
{
    const json_t *list = field_at(f, "layer_types");

    if (!list) return ERR_OK;
    if (!json_is_array(list) || json_array_size(list) != (size_t)c->n_layers)
        return err_set(f->e, ERR_FORMAT, "%s: layer_types has %zu entries for %d layers", f->where,
                       json_array_size(list), c->n_layers);
    for (int l = 0; l < c->n_layers; l++) {
        const char *type = json_string_value(json_array_get(list, (size_t)l));
        const bool window = type && !strcmp(type, "sliding_attention");

        if (!type || (!window && strcmp(type, "full_attention")))
            return err_set(f->e, ERR_UNSUPPORTED,
                           "%s: layer_types[%d] is %.60s; known are full_attention, "
                           "sliding_attention",
                           f->where, l, type ? type : "no string");
        if (!a->layer_types_key && window != (c->window && c->windowed[l]))
            return err_set(f->e, ERR_UNSUPPORTED,
                           "%s: layer_types[%d] is %s, which %s is not known "
                           "to have",
                           f->where, l, type, a->name);
        c->windowed[l] = window;
    }
    return ERR_OK;
}

static int read_windows(const struct fields *f, const struct family *a, struct model_config *c)
{
    const bool none = json_is_null(json_object_get(f->object, "sliding_window"));
    bool use = true;
    int rc = ERR_OK;

    if (a->windows == WINDOW_UPPER) rc = field_bool(f, "use_sliding_window", false, &use);
    if (!rc && a->windows != WINDOW_NONE)
        rc = field_int(f, "sliding_window", 1, MAX_POSITIONS, none ? 0 : a->window, &c->window);
    if (!use) c->window = 0;
    if (!rc && c->window) rc = mark_by_rule(f, a, c);
    if (!rc) rc = mark_by_list(f, a, c);
    if (!c->window) memset(c->windowed, 0, sizeof c->windowed);
    return rc;
}

static int read_act(const struct fields *f, const struct family *a, struct model_config *c)
{
    static const struct {
        const char *name;
        enum config_act act;
    } ACTS[] = {
        {"silu", ACT_SILU},          {"swish", ACT_SILU}, {"gelu_pytorch_tanh", ACT_GELU_TANH},
        {"gelu_new", ACT_GELU_TANH}, {"gelu", ACT_GELU},
    };
    const char *name = NULL;
    int rc = field_text(f, a->act_key, a->act, &name);

    if (rc) return rc;
    for (size_t i = 0; i < sizeof ACTS / sizeof ACTS[0]; i++) {
        c->act = ACTS[i].act;
        if (!strcmp(name, ACTS[i].name)) return ERR_OK;
    }
    return err_set(f->e, ERR_UNSUPPORTED,
                   "%s: %s %.60s; known are silu, swish, gelu, gelu_new, gelu_pytorch_tanh",
                   f->where, a->act_key, name);
}

/* The rest of a layer, and what stands before and behind all layers. */
static int read_rest(const struct fields *f, const struct family *a, struct model_config *c)
{
    int rc = field_float(f, "rms_norm_eps", 1, -1, &c->rms_eps);

    if (!rc) rc = read_act(f, a, c);
    if (!rc) rc = field_bool(f, "mlp_bias", false, &c->mlp_bias);
    if (!rc) rc = field_bool(f, "tie_word_embeddings", a->tied, &c->tied);
    if (!rc) rc = read_softcap(f, "final_logit_softcapping", a->logit_softcap, &c->logit_softcap);
    /* A GGUF keeps its norms whole, and of some families the pairs of a head side by side. */
    if (!rc) rc = field_bool(f, "nightmill_norm_plus_one", a->norm_plus_one, &c->norm_plus_one);
    if (!rc) rc = field_bool(f, "nightmill_rope_adjacent", false, &c->rope_adjacent);
    c->fused_gate_up = a->fused;
    c->post_norms = a->post_norms;
    c->embed_scale = a->embed_scaled ? (float)sqrt((double)c->hidden_size) : 1;
    return rc;
}

static int add_eos(const struct fields *f, const json_t *v, struct model_config *c)
{
    json_int_t id = json_integer_value(v);

    if (!json_is_integer(v) || id < 0 || id >= c->vocab_size)
        return err_set(f->e, ERR_FORMAT, "%s: eos_token_id %lld is not in [0, %d]", f->where,
                       json_is_integer(v) ? (long long)id : -1, c->vocab_size - 1);
    if (c->n_eos == CONFIG_MAX_EOS)
        return err_set(f->e, ERR_FORMAT, "%s: more than %d eos_token_id", f->where, CONFIG_MAX_EOS);
    c->eos_ids[c->n_eos++] = (int32_t)id;
    return ERR_OK;
}

static int read_eos(const struct fields *f, const json_t *v, struct model_config *c)
{
    c->n_eos = 0;
    if (!json_is_array(v)) return add_eos(f, v, c);
    for (size_t i = 0; i < json_array_size(v); i++) {
        int rc = add_eos(f, json_array_get(v, i), c);

        if (rc) return rc;
    }
    return ERR_OK;
}

static int read_special_ids(const struct fields *f, const json_t *generation,
                            struct model_config *c)
{
    const struct fields g = {"generation_config.json", generation, f->e};
    const struct fields *from = field_at(&g, "eos_token_id") ? &g : f;
    const json_t *eos = field_at(from, "eos_token_id");
    int rc;

    c->bos_id = -1;
    if (field_at(f, "bos_token_id")) {
        rc = field_int(f, "bos_token_id", 0, c->vocab_size - 1, -1, &c->bos_id);
        if (rc) return rc;
    }
    return eos ? read_eos(from, eos, c) : ERR_OK;
}

int config_from_json(struct model_config *out, const json_t *config, const json_t *generation,
                     const char *where, struct errmsg *e)
{
    const struct fields f = {where, config, e};
    const struct family *a = NULL;
    int rc;

    memset(out, 0, sizeof *out);
    rc = read_arch(&f, out, &a);
    if (!rc) rc = refuse_options(&f, a);
    if (!rc) rc = read_sizes(&f, out);
    if (!rc) rc = read_heads(&f, a, out);
    if (!rc) rc = rope_config_read(out, &f, a);
    if (!rc) rc = read_attention(&f, a, out);
    if (!rc) rc = read_windows(&f, a, out);
    if (!rc) rc = read_rest(&f, a, out);
    if (!rc) rc = read_special_ids(&f, generation, out);
    return rc;
}

int config_read(struct model_config *out, const char *dir, struct errmsg *e)
{
    static const char GENERATION[] = "generation_config.json";
    json_t *config = NULL, *generation = NULL;
    char where[PATH_MAX];
    int rc = jsonfile_read(&config, dir, "config.json", MAX_FILE_BYTES, e);

    memset(out, 0, sizeof *out);
    if (!rc && jsonfile_exists(dir, GENERATION))
        rc = jsonfile_read(&generation, dir, GENERATION, MAX_FILE_BYTES, e);
    snprintf(where, sizeof where, "%s/config.json", dir);
    if (!rc) rc = config_from_json(out, config, generation, where, e);
    json_decref(config);
    json_decref(generation);
    return rc;
}
