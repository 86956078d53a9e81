/* gguf_config.c - a GGUF's metadata as the JSON that config.json would hold. */
#include "model/gguf_config.h"

#include <stdio.h>
#include <string.h>

#include "model/gguf_fields.h"
#include "model/gguf_rope.h"

#define WINDOW "attention.sliding_window"

/* What a family says beside what all say. */
typedef int (*more_fn)(const struct gguf_fields *f, int head_dim);

static int more_llama(const struct gguf_fields *f, int head_dim);
static int more_phi3(const struct gguf_fields *f, int head_dim);
static int more_gemma(const struct gguf_fields *f, int head_dim);

static const struct family {
    const char *arch, *name;
    more_fn more;
} FAMILIES[] = {
    {"llama", "LlamaForCausalLM", more_llama},   {"qwen2", "Qwen2ForCausalLM", NULL},
    {"qwen3", "Qwen3ForCausalLM", NULL},         {"phi3", "Phi3ForCausalLM", more_phi3},
    {"gemma2", "Gemma2ForCausalLM", more_gemma}, {"gemma3", "Gemma3ForCausalLM", more_gemma},
};
#define N_FAMILIES (sizeof FAMILIES / sizeof FAMILIES[0])

static int find_family(const struct gguf_fields *f, const struct family **out)
{
    char known[128] = "";

    for (size_t i = 0; i < N_FAMILIES; i++) {
        *out = &FAMILIES[i];
        if (!strcmp(f->arch, FAMILIES[i].arch)) return ERR_OK;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 FAMILIES[i].arch);
    }
    return err_set(f->e, ERR_UNSUPPORTED, "%s: general.architecture is %s; known are %s",
                   gguf_path(f->g), f->arch, known);
}

/* Keys that change the answer and that the engine does not compute. */
static int refuse_keys(const struct gguf_fields *f)
{
    static const char *const REFUSED[] = {
        "expert_count",        "expert_used_count",        "attention.scale",
        "logit_scale",         "residual_scale",           "embedding_scale",
        "attention.clamp_kqv", "attention.max_alibi_bias", "rope.scaling.yarn_log_multiplier",
    };
    bool causal = true;

    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        double x;
        int rc = gguf_field_number(f, REFUSED[i], 0, &x);

        if (rc) return rc;
        if (x > 0) return gguf_field_error(f, ERR_UNSUPPORTED, REFUSED[i], "is not computed");
    }
    if (gguf_bool(gguf_field(f, "attention.causal"), &causal) && !causal)
        return gguf_field_error(f, ERR_UNSUPPORTED, "attention.causal",
                                "is false: no model that writes text");
    return ERR_OK;
}

static int put_sizes(const struct gguf_fields *f)
{
    static const struct {
        const char *name, *key;
        bool needed;
    } SIZES[] = {
        {"hidden_size", "embedding_length", true},
        {"intermediate_size", "feed_forward_length", true},
        {"num_hidden_layers", "block_count", true},
        {"num_attention_heads", "attention.head_count", true},
        {"num_key_value_heads", "attention.head_count_kv", false},
        {"max_position_embeddings", "context_length", true},
        {"head_dim", "attention.key_length", false},
    };
    const struct tensor *embed = gguf_tensor(f->g, "token_embd.weight");
    int rc = ERR_OK;

    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0] && !rc; i++)
        rc = gguf_put_int(f, SIZES[i].name, SIZES[i].key, SIZES[i].needed);
    if (rc) return rc;
    if (!embed || embed->n_dims != 2)
        return err_set(f->e, ERR_FORMAT, "%s: tensor token_embd.weight is %s", gguf_path(f->g),
                       embed ? "no table" : "missing");
    return gguf_put(f, "vocab_size", json_integer(embed->shape[0]));
}

/* 0: the file does not say, and the family's default holds. */
static int read_head_dim(const struct gguf_fields *f, int *out)
{
    int width, heads, value, rc = gguf_field_int(f, "attention.key_length", 0, out);

    if (!rc) rc = gguf_field_int(f, "attention.value_length", *out, &value);
    if (!rc) rc = gguf_field_int(f, "embedding_length", -1, &width);
    if (!rc) rc = gguf_field_int(f, "attention.head_count", -1, &heads);
    if (rc) return rc;
    if (*out && value != *out)
        return gguf_field_error(f, ERR_UNSUPPORTED, "attention.value_length",
                                "differs from attention.key_length");
    if (!*out && heads > 0 && strncmp(f->arch, "gemma", 5) != 0) *out = width / heads;
    return ERR_OK;
}

static bool has_tensor(const struct gguf_fields *f, const char *name)
{
    return gguf_tensor(f->g, name) != NULL;
}

static int more_llama(const struct gguf_fields *f, int head_dim)
{
    int window = 0, rc = gguf_field_int(f, WINDOW, 0, &window);
    const bool bias = has_tensor(f, "blk.0.attn_q.bias"),
               mlp = has_tensor(f, "blk.0.ffn_gate.bias");

    (void)head_dim;
    if (!rc && window > 0)
        rc = gguf_put(f, "architectures", json_pack("[s]", "MistralForCausalLM"));
    if (!rc && window > 0) rc = gguf_put(f, "sliding_window", json_integer(window));
    if (!rc) rc = gguf_put(f, "nightmill_rope_adjacent", json_true());
    if (!rc && bias) rc = gguf_put(f, "attention_bias", json_true());
    if (!rc && mlp) rc = gguf_put(f, "mlp_bias", json_true());
    return rc;
}

/* Files from before the window was a key: the models of 4,096 tokens have one of 2,047. */
static int more_phi3(const struct gguf_fields *f, int head_dim)
{
    int layers, length, window, rc = gguf_field_int(f, "block_count", -1, &layers);

    (void)head_dim;
    if (!rc) rc = gguf_field_int(f, "context_length", -1, &length);
    if (rc) return rc;
    rc = gguf_field_int(f, WINDOW, (layers == 32 || layers == 40) && length == 4096 ? 2047 : 0,
                        &window);
    return rc ? rc : gguf_put(f, "sliding_window", window ? json_integer(window) : json_null());
}

/* The largest of each scales queries by its width for each head, the others by head_dim. */
static int put_query_scale(const struct gguf_fields *f, int head_dim)
{
    const int largest = !strcmp(f->arch, "gemma2") ? 46 : 62;
    int layers, width, heads, rc = gguf_field_int(f, "block_count", -1, &layers);

    if (!rc) rc = gguf_field_int(f, "embedding_length", -1, &width);
    if (!rc) rc = gguf_field_int(f, "attention.head_count", -1, &heads);
    if (rc) return rc;
    if (layers == largest && heads > 0) head_dim = width / heads;
    return head_dim ? gguf_put(f, "query_pre_attn_scalar", json_integer(head_dim)) : ERR_OK;
}

/* A number, "one in so many layers has no window", or a yes or no for each. */
static int put_pattern(const struct gguf_fields *f)
{
    static const char KEY[] = "attention.sliding_window_pattern";
    const struct gguf_value *v = gguf_field(f, KEY);
    json_t *list;

    if (!v) return ERR_OK;
    if (!v->is_array) return gguf_put_int(f, "sliding_window_pattern", KEY, true);
    if (v->type != GGUF_BOOL) return gguf_field_error(f, ERR_FORMAT, KEY, "is no list of bools");
    list = json_array();
    for (size_t i = 0; i < v->n; i++)
        if (json_array_append_new(list,
                                  json_string(v->at[i] ? "sliding_attention" : "full_attention")))
            break;
    return gguf_put(f, "layer_types", list);
}

static int more_gemma(const struct gguf_fields *f, int head_dim)
{
    static const struct {
        const char *name, *key;
    } NUMBERS[] = {
        {"attn_logit_softcapping", "attn_logit_softcapping"},
        {"final_logit_softcapping", "final_logit_softcapping"},
        {"rope_local_base_freq", "rope.freq_base_swa"},
    };
    int rc = gguf_put(f, "nightmill_norm_plus_one", json_false());

    if (!rc) rc = put_query_scale(f, head_dim);
    if (!rc) rc = gguf_put_int(f, "sliding_window", WINDOW, false);
    if (!rc) rc = put_pattern(f);
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0] && !rc; i++)
        rc = gguf_put_number(f, NUMBERS[i].name, NUMBERS[i].key, false);
    return rc;
}

static int add_end(json_t *ends, int64_t id)
{
    for (size_t i = 0; i < json_array_size(ends); i++)
        if (json_integer_value(json_array_get(ends, i)) == id) return ERR_OK;
    return json_array_append_new(ends, json_integer(id)) ? ERR_NOMEM : ERR_OK;
}

/* Control tokens that end a turn, whatever the file names as its end of text. */
static int add_known_ends(const struct gguf_fields *f, json_t *ends)
{
    static const char *const ENDS[] = {"<|eot_id|>",    "<|im_end|>", "<|end|>",
                                       "<end_of_turn>", "<|eom_id|>", "<|endoftext|>"};
    const struct gguf_value *tokens = gguf_find(f->g, "tokenizer.ggml.tokens");
    const struct gguf_value *types = gguf_find(f->g, "tokenizer.ggml.token_type");
    const char *text;
    size_t at = 0, len;

    for (size_t id = 0; gguf_text(tokens, &at, &text, &len); id++) {
        int64_t type = 0;

        if (!gguf_int(types, id, &type) || type != GGUF_TOKEN_CONTROL) continue;
        for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++)
            if (strlen(ENDS[i]) == len && !memcmp(text, ENDS[i], len) && add_end(ends, (int64_t)id))
                return ERR_NOMEM;
    }
    return ERR_OK;
}

static int put_special_ids(const struct gguf_fields *f)
{
    static const char *const KEYS[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    json_t *ends = json_array();
    int64_t id;
    int rc = ends ? ERR_OK : ERR_NOMEM;

    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0] && !rc; i++)
        if (gguf_int(gguf_find(f->g, KEYS[i]), 0, &id)) rc = add_end(ends, id);
    if (!rc) rc = add_known_ends(f, ends);
    if (rc || !json_array_size(ends)) {
        json_decref(ends);
        return rc ? err_set(f->e, rc, "%s: no memory", gguf_path(f->g)) : ERR_OK;
    }
    rc = gguf_put(f, "eos_token_id", ends);
    if (!rc && gguf_int(gguf_find(f->g, "tokenizer.ggml.bos_token_id"), 0, &id))
        rc = gguf_put(f, "bos_token_id", json_integer(id));
    return rc;
}

static int translate(const struct gguf_fields *f)
{
    const struct family *a = NULL;
    int head_dim = 0, rc = find_family(f, &a);

    if (!rc) rc = gguf_put(f, "architectures", json_pack("[s]", a->name));
    if (!rc) rc = refuse_keys(f);
    if (!rc) rc = put_sizes(f);
    if (!rc) rc = read_head_dim(f, &head_dim);
    if (!rc) rc = gguf_put_number(f, "rms_norm_eps", "attention.layer_norm_rms_epsilon", true);
    if (!rc) rc = gguf_put_rope(f, head_dim);
    if (!rc) rc = gguf_put(f, "tie_word_embeddings", json_boolean(!has_tensor(f, "output.weight")));
    if (!rc && a->more) rc = a->more(f, head_dim);
    return rc ? rc : put_special_ids(f);
}

int gguf_config(json_t **out, const struct gguf *g, struct errmsg *e)
{
    struct gguf_fields f = {.g = g, .e = e};
    int rc = gguf_architecture(f.arch, sizeof f.arch, g, e);

    *out = NULL;
    if (rc) return rc;
    f.to = json_object();
    rc = f.to ? translate(&f) : err_set(e, ERR_NOMEM, "%s: no memory", gguf_path(g));
    if (rc)
        json_decref(f.to);
    else
        *out = f.to;
    return rc;
}
