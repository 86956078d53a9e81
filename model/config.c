/* config.c - what config.json and generation_config.json say, as numbers. */
#include "model/config.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/jsonfile.h"

#define MAX_FILE_BYTES ((size_t)16 << 20)
#define MAX_WIDTH      (1 << 20)
#define MAX_HEAD_DIM   1024
#define MAX_LAYERS     1024
#define MAX_HEADS      4096
#define MAX_VOCAB      (1 << 23)
#define MAX_POSITIONS  (1 << 26)

/* One row for each family that the engine computes. */
static const struct arch {
    const char *name;
    float rope_theta; /* where the file gives none */
} ARCHS[] = {
    {"LlamaForCausalLM", 10000.0f},
};
#define N_ARCHS (sizeof ARCHS / sizeof ARCHS[0])

struct reader {
    const char *where;
    const json_t *config;
    struct errmsg *e;
};

static bool is_set(const json_t *v)
{
    return v && !json_is_null(v);
}

/* A whole number in [lo, hi]; dflt when it is absent, and absent is an error when dflt < 0. */
static int read_int(const struct reader *r, const char *name, int lo, int hi, int dflt, int *out)
{
    const json_t *v = json_object_get(r->config, name);
    json_int_t n = json_integer_value(v);

    if (!is_set(v)) {
        if (dflt < 0) return err_set(r->e, ERR_FORMAT, "%s: %s is missing", r->where, name);
        *out = dflt;
        return ERR_OK;
    }
    if (!json_is_integer(v))
        return err_set(r->e, ERR_FORMAT, "%s: %s is not a whole number", r->where, name);
    if (n < lo || n > hi)
        return err_set(r->e, ERR_FORMAT, "%s: %s is %lld, not in [%d, %d]", r->where, name,
                       (long long)n, lo, hi);
    *out = (int)n;
    return ERR_OK;
}

static int read_float(const struct reader *r, const json_t *v, const char *name, double hi,
                      float *out)
{
    double x = json_number_value(v);

    if (!json_is_number(v))
        return err_set(r->e, ERR_FORMAT, "%s: %s is missing or not a number", r->where, name);
    if (!(x > 0 && x <= hi) || !((float)x > 0))
        return err_set(r->e, ERR_FORMAT, "%s: %s is %g, not in (0, %g]", r->where, name, x, hi);
    *out = (float)x;
    return ERR_OK;
}

static int read_bool(const struct reader *r, const char *name, bool dflt, bool *out)
{
    const json_t *v = json_object_get(r->config, name);

    if (is_set(v) && !json_is_boolean(v))
        return err_set(r->e, ERR_FORMAT, "%s: %s is not true or false", r->where, name);
    *out = is_set(v) ? json_is_true(v) : dflt;
    return ERR_OK;
}

static int refuse_arch(const struct reader *r, const char *name)
{
    char known[256] = "";

    for (size_t i = 0; i < N_ARCHS; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 ARCHS[i].name);
    return err_set(r->e, ERR_UNSUPPORTED, "%s: architecture %.100s; known are %s", r->where, name,
                   known);
}

static int read_arch(const struct reader *r, struct model_config *c, const struct arch **arch)
{
    const json_t *list = json_object_get(r->config, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));

    if (!name) return err_set(r->e, ERR_FORMAT, "%s: architectures names nothing", r->where);
    if (json_array_size(list) != 1)
        return err_set(r->e, ERR_UNSUPPORTED, "%s: %zu architectures, one is known", r->where,
                       json_array_size(list));
    for (size_t i = 0; i < N_ARCHS; i++) {
        if (strcmp(name, ARCHS[i].name)) continue;
        *arch = &ARCHS[i];
        snprintf(c->arch, sizeof c->arch, "%s", name);
        return ERR_OK;
    }
    return refuse_arch(r, name);
}

static int refuse_quantisation(const struct reader *r, const json_t *q)
{
    const char *method = json_string_value(json_object_get(q, "quant_method"));

    return err_set(r->e, ERR_UNSUPPORTED,
                   "%s: quantization_config %.100s; known are f32, f16, bf16", r->where,
                   method ? method : "(without quant_method)");
}

/* Rotary settings that only say "the default" are harmless; the rest changes the answer. */
static int check_rope(const struct reader *r, const char *name)
{
    static const char *const PLAIN[] = {"rope_type", "type", "rope_theta"};
    json_t *rope = json_object_get(r->config, name), *v;
    const char *key;

    if (!is_set(rope)) return ERR_OK;
    if (!json_is_object(rope))
        return err_set(r->e, ERR_FORMAT, "%s: %s is not an object", r->where, name);
    json_object_foreach(rope, key, v)
    {
        const char *text = json_string_value(v);

        if (!strcmp(key, PLAIN[2])) continue;
        if ((!strcmp(key, PLAIN[0]) || !strcmp(key, PLAIN[1])) && text && !strcmp(text, "default"))
            continue;
        return err_set(r->e, ERR_UNSUPPORTED, "%s: %s: %.60s %.60s; known is default", r->where,
                       name, key, text ? text : "");
    }
    return ERR_OK;
}

/* Options that the engine does not compute. */
static int check_options(const struct reader *r)
{
    static const char *const MUST_BE_FALSE[] = {"attention_bias", "mlp_bias"};
    const json_t *act = json_object_get(r->config, "hidden_act");
    const json_t *v;
    bool on;
    int rc;

    v = json_object_get(r->config, "quantization_config");
    if (is_set(v)) return refuse_quantisation(r, v);
    rc = check_rope(r, "rope_scaling");
    if (!rc) rc = check_rope(r, "rope_parameters");
    if (rc) return rc;
    for (size_t i = 0; i < sizeof MUST_BE_FALSE / sizeof MUST_BE_FALSE[0]; i++) {
        rc = read_bool(r, MUST_BE_FALSE[i], false, &on);
        if (rc) return rc;
        if (on)
            return err_set(r->e, ERR_UNSUPPORTED, "%s: %s is true; known is false", r->where,
                           MUST_BE_FALSE[i]);
    }
    if (is_set(act) && (!json_is_string(act) || strcmp(json_string_value(act), "silu")))
        return err_set(r->e, ERR_UNSUPPORTED, "%s: hidden_act %.60s; known is silu", r->where,
                       json_is_string(act) ? json_string_value(act) : "of another type");
    v = json_object_get(r->config, "sliding_window");
    if (is_set(v))
        return err_set(r->e, ERR_UNSUPPORTED, "%s: sliding_window %lld; known is none", r->where,
                       (long long)json_integer_value(v));
    return ERR_OK;
}

static int read_sizes(const struct reader *r, struct model_config *c)
{
    const struct {
        const char *name;
        int hi;
        int *out;
    } FIELDS[] = {
        {"hidden_size", MAX_WIDTH, &c->hidden_size},
        {"intermediate_size", MAX_WIDTH * 4, &c->intermediate_size},
        {"num_hidden_layers", MAX_LAYERS, &c->n_layers},
        {"num_attention_heads", MAX_HEADS, &c->n_heads},
        {"vocab_size", MAX_VOCAB, &c->vocab_size},
        {"max_position_embeddings", MAX_POSITIONS, &c->max_positions},
    };

    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        int rc = read_int(r, FIELDS[i].name, 1, FIELDS[i].hi, -1, FIELDS[i].out);

        if (rc) return rc;
    }
    return read_int(r, "num_key_value_heads", 1, MAX_HEADS, c->n_heads, &c->n_kv_heads);
}

static int read_heads(const struct reader *r, struct model_config *c)
{
    if (c->n_heads % c->n_kv_heads)
        return err_set(r->e, ERR_FORMAT,
                       "%s: num_attention_heads %d is no multiple of "
                       "num_key_value_heads %d",
                       r->where, c->n_heads, c->n_kv_heads);
    if (!is_set(json_object_get(r->config, "head_dim")) && c->hidden_size % c->n_heads)
        return err_set(r->e, ERR_FORMAT,
                       "%s: hidden_size %d is no multiple of num_attention_heads %d", r->where,
                       c->hidden_size, c->n_heads);
    int rc = read_int(r, "head_dim", 2, MAX_HEAD_DIM, c->hidden_size / c->n_heads, &c->head_dim);

    if (rc) return rc;
    if (c->head_dim % 2 || c->head_dim < 2 || c->head_dim > MAX_HEAD_DIM)
        return err_set(r->e, ERR_FORMAT, "%s: head_dim is %d, not even in [2, %d]", r->where,
                       c->head_dim, MAX_HEAD_DIM);
    return ERR_OK;
}

static int read_floats(const struct reader *r, const struct arch *arch, struct model_config *c)
{
    const json_t *theta = json_object_get(r->config, "rope_theta");
    int rc =
        read_float(r, json_object_get(r->config, "rms_norm_eps"), "rms_norm_eps", 1.0, &c->rms_eps);

    if (rc) return rc;
    if (!is_set(theta))
        theta = json_object_get(json_object_get(r->config, "rope_parameters"), "rope_theta");
    c->rope.theta = arch->rope_theta;
    return is_set(theta) ? read_float(r, theta, "rope_theta", 1e12, &c->rope.theta) : ERR_OK;
}

static int add_eos(const struct reader *r, const json_t *v, struct model_config *c)
{
    json_int_t id = json_integer_value(v);

    if (!json_is_integer(v) || id < 0 || id >= c->vocab_size)
        return err_set(r->e, ERR_FORMAT, "%s: eos_token_id %lld is not in [0, %d]", r->where,
                       json_is_integer(v) ? (long long)id : -1, c->vocab_size - 1);
    if (c->n_eos == CONFIG_MAX_EOS)
        return err_set(r->e, ERR_FORMAT, "%s: more than %d eos_token_id", r->where, CONFIG_MAX_EOS);
    c->eos_ids[c->n_eos++] = (int32_t)id;
    return ERR_OK;
}

static int read_eos(const struct reader *r, const json_t *v, struct model_config *c)
{
    c->n_eos = 0;
    if (!json_is_array(v)) return add_eos(r, v, c);
    for (size_t i = 0; i < json_array_size(v); i++) {
        int rc = add_eos(r, json_array_get(v, i), c);

        if (rc) return rc;
    }
    return ERR_OK;
}

static int read_special_ids(const struct reader *r, const json_t *generation,
                            struct model_config *c)
{
    const struct reader g = {"generation_config.json", generation, r->e};
    const struct reader *from = is_set(json_object_get(generation, "eos_token_id")) ? &g : r;
    const json_t *eos = json_object_get(from->config, "eos_token_id");
    int rc;

    c->bos_id = -1;
    if (is_set(json_object_get(r->config, "bos_token_id"))) {
        rc = read_int(r, "bos_token_id", 0, c->vocab_size - 1, -1, &c->bos_id);
        if (rc) return rc;
    }
    return is_set(eos) ? read_eos(from, eos, c) : ERR_OK;
}

/* What the families that are not read yet differ in. */
static void set_plain(struct model_config *c)
{
    c->n_rot = c->head_dim;
    c->rope_local = c->rope;
    c->attn_scale = 1.0f / sqrtf((float)c->head_dim);
    c->embed_scale = 1;
}

int config_from_json(struct model_config *out, const json_t *config, const json_t *generation,
                     const char *where, struct errmsg *e)
{
    const struct reader r = {where, config, e};
    const struct arch *arch = NULL;
    int rc;

    memset(out, 0, sizeof *out);
    rc = read_arch(&r, out, &arch);
    if (!rc) rc = check_options(&r);
    if (!rc) rc = read_sizes(&r, out);
    if (!rc) rc = read_heads(&r, out);
    if (!rc) rc = read_floats(&r, arch, out);
    if (!rc) rc = read_bool(&r, "tie_word_embeddings", false, &out->tied);
    if (!rc) rc = read_special_ids(&r, generation, out);
    if (!rc) set_plain(out);
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
