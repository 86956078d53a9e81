/* gguf_rope.c - how positions become angles, as a GGUF says it. */
#include "model/gguf_rope.h"

#include <math.h>
#include <string.h>

#define FREQS    "rope_freqs.weight"
#define LONG     "rope_factors_long.weight"
#define SHORT    "rope_factors_short.weight"
#define ORIGINAL "original_max_position_embeddings"

/* A tensor of factors as a list. */
static int put_factors(const struct gguf_fields *f, const struct tensor *t, const char *name)
{
    json_t *list = json_array();

    if (t->dtype != DTYPE_F32 || t->n_dims != 1) {
        json_decref(list);
        return err_set(f->e, ERR_UNSUPPORTED, "%s: tensor %s: not one row of F32", gguf_path(f->g),
                       t->name);
    }
    for (int64_t i = 0; i < t->shape[0]; i++) {
        float x;

        memcpy(&x, (const char *)t->data + (size_t)i * sizeof x, sizeof x);
        if (json_array_append_new(list, isfinite(x) ? json_real((double)x) : json_null())) break;
    }
    return gguf_put(f, name, list);
}

/* Llama 3: one set of factors, whatever the length. */
static int put_freqs(const struct gguf_fields *f, const struct tensor *freqs)
{
    int rc = put_factors(f, freqs, "short_factor");

    if (!rc) rc = put_factors(f, freqs, "long_factor");
    return rc ? rc : gguf_put(f, "attention_factor", json_real(1));
}

static int put_sets(const struct gguf_fields *f, const struct tensor *s, const struct tensor *l)
{
    int rc = put_factors(f, s, "short_factor");

    if (!rc) rc = put_factors(f, l, "long_factor");
    if (!rc) rc = gguf_put_number(f, "attention_factor", "rope.scaling.attn_factor", false);
    return rc ? rc : gguf_put_int(f, ORIGINAL, "rope.scaling.original_context_length", true);
}

/* A file's factor is beside the one that yarn's formula gives; config.json's is in its place. */
static int put_yarn(const struct gguf_fields *f, double factor)
{
    double more = 1;
    int rc = gguf_field_number(f, "rope.scaling.attn_factor", 1, &more);

    if (!rc && fabs(more - 1) > 1e-6)
        rc = gguf_put(f, "attention_factor",
                      json_real(more * (factor > 1 ? 0.1 * log(factor) + 1 : 1)));
    if (!rc) rc = gguf_put_number(f, "beta_fast", "rope.scaling.yarn_beta_fast", false);
    if (!rc) rc = gguf_put_number(f, "beta_slow", "rope.scaling.yarn_beta_slow", false);
    return rc ? rc : gguf_put_int(f, ORIGINAL, "rope.scaling.original_context_length", false);
}

/* "" when there is none.  A file without a type means linear, and none by a factor of 1. */
static int read_kind(const struct gguf_fields *f, const char **kind, double *factor)
{
    static const char *const KINDS[] = {"none", "linear", "yarn", "longrope"};
    const struct gguf_value *v = gguf_field(f, "rope.scaling.type");
    const char *text = "linear";
    size_t at = 0, len = strlen(text);
    int rc = gguf_field_number(f, "rope.scale_linear", 1, factor);

    if (!rc) rc = gguf_field_number(f, "rope.scaling.factor", *factor, factor);
    if (rc) return rc;
    *kind = "";
    if (v && (v->is_array || !gguf_text(v, &at, &text, &len))) len = 0;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++)
        if (strlen(KINDS[i]) == len && !memcmp(text, KINDS[i], len)) *kind = KINDS[i];
    if (!**kind)
        return gguf_field_error(f, ERR_UNSUPPORTED, "rope.scaling.type",
                                "is not known; known are none, linear, yarn, longrope");
    if (!strcmp(*kind, "none")) *kind = "";
    if (!strcmp(*kind, "linear") && (fabs(*factor - 1) < 1e-9 || *factor <= 0)) *kind = "";
    return ERR_OK;
}

/* Fills f->to, an object of its own; leaves it empty when positions are as they are. */
static int put_scaling(const struct gguf_fields *f)
{
    const struct tensor *freqs = gguf_tensor(f->g, FREQS), *l = gguf_tensor(f->g, LONG),
                        *s = gguf_tensor(f->g, SHORT);
    const char *kind = "";
    double factor = 1;
    int rc = read_kind(f, &kind, &factor);

    if (rc) return rc;
    if (freqs || l || s) {
        if (*kind && strcmp(kind, "longrope") != 0)
            return gguf_field_error(f, ERR_UNSUPPORTED, "rope.scaling.type",
                                    "stands beside a tensor of factors");
        if (!freqs && (!l || !s))
            return err_set(f->e, ERR_FORMAT, "%s: tensor %s without %s", gguf_path(f->g),
                           l ? LONG : SHORT, l ? SHORT : LONG);
        kind = "longrope";
        rc = freqs ? put_freqs(f, freqs) : put_sets(f, s, l);
    } else if (!strcmp(kind, "longrope")) {
        return err_set(f->e, ERR_FORMAT, "%s: tensor %s is missing", gguf_path(f->g), LONG);
    } else if (!*kind) {
        return ERR_OK;
    } else {
        rc = gguf_put(f, "factor", json_real(factor));
        if (!rc && !strcmp(kind, "yarn")) rc = put_yarn(f, factor);
    }
    return rc ? rc : gguf_put(f, "rope_type", json_string(kind));
}

int gguf_put_rope(const struct gguf_fields *f, int head_dim)
{
    struct gguf_fields inner = *f;
    int turning = 0, rc = gguf_put_number(f, "rope_theta", "rope.freq_base", false);

    if (!rc) rc = gguf_field_int(f, "rope.dimension_count", 0, &turning);
    if (!rc && turning && head_dim && turning != head_dim)
        rc = gguf_put(f, "partial_rotary_factor", json_real((double)turning / head_dim));
    if (rc) return rc;
    inner.to = json_object();
    rc = inner.to ? put_scaling(&inner) : err_set(f->e, ERR_NOMEM, "%s: no memory", f->arch);
    if (!rc && json_object_size(inner.to)) rc = gguf_put(f, "rope_scaling", json_incref(inner.to));
    json_decref(inner.to);
    return rc;
}
