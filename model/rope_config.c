/* rope_config.c - how positions become angles, as config.json says it. */
#include "model/rope_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_THETA     1e12f
#define MAX_FACTOR    1e6f
#define MAX_POSITIONS (1 << 26)

/* The keys that a kind listens to, beside those of every kind. */
static const struct kind {
    const char *name;
    enum rope_kind kind;
    const char *keys[10];
} KINDS[] = {
    {"default", ROPE_DEFAULT, {NULL}},
    {"linear", ROPE_LINEAR, {"factor"}},
    {"llama3",
     ROPE_LLAMA3,
     {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
    {"yarn",
     ROPE_YARN,
     {"factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
      "truncate", "finetuned", "original_max_position_embeddings"}},
    {"longrope",
     ROPE_LONGROPE,
     {"factor", "attention_factor", "short_factor", "long_factor",
      "original_max_position_embeddings"}},
};
#define N_KINDS (sizeof KINDS / sizeof KINDS[0])

struct reader {
    struct fields f;          /* the object that holds the kind's keys */
    const struct fields *top; /* all of config.json */
    const struct family *family;
    int max_positions;
};

static int find_kind(const struct reader *r, const struct kind **out)
{
    const char *name = NULL;
    int rc = field_text(&r->f, "rope_type", NULL, &name);

    if (!rc && !name) rc = field_text(&r->f, "type", "default", &name);
    if (rc) return rc;
    if (!strcmp(name, "dynamic"))
        return err_set(r->f.e, ERR_UNSUPPORTED,
                       "%s: rope type dynamic changes keys that are already cached; known are "
                       "default, linear, llama3, yarn, longrope",
                       r->f.where);
    /* Phi 3 wrote its longrope under other names first. */
    if (!strcmp(name, "su") || (r->family->partial_key && !strcmp(name, "yarn"))) name = "longrope";
    for (size_t i = 0; i < N_KINDS; i++) {
        *out = &KINDS[i];
        if (!strcmp(name, KINDS[i].name)) return ERR_OK;
    }
    return err_set(r->f.e, ERR_UNSUPPORTED,
                   "%s: rope type %.60s; known are default, linear, llama3, yarn, longrope",
                   r->f.where, name);
}

static bool is_key_of(const struct kind *k, const char *key)
{
    static const char *const ALWAYS[] = {"rope_type", "type", "rope_theta",
                                         "partial_rotary_factor"};

    for (size_t i = 0; i < sizeof ALWAYS / sizeof ALWAYS[0]; i++)
        if (!strcmp(key, ALWAYS[i])) return true;
    for (size_t i = 0; i < sizeof k->keys / sizeof k->keys[0] && k->keys[i]; i++)
        if (!strcmp(key, k->keys[i])) return true;
    return false;
}

static int check_keys(const struct reader *r, const struct kind *k)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)r->f.object, key, v)
    {
        if (json_is_null(v) || is_key_of(k, key)) continue;
        return err_set(r->f.e, ERR_UNSUPPORTED, "%s: %.60s is not known for rope type %s",
                       r->f.where, key, k->name);
    }
    return ERR_OK;
}

/* Positions of the first training: some families have it beside the object. */
static int read_original(const struct reader *r, struct rope_config *out)
{
    static const char NAME[] = "original_max_position_embeddings";
    const struct fields *from = field_at(r->top, NAME) ? r->top : &r->f;

    return field_int(from, NAME, 1, MAX_POSITIONS, r->max_positions, &out->original_positions);
}

static int read_llama3(const struct reader *r, struct rope_config *out)
{
    int rc = field_float(&r->f, "low_freq_factor", MAX_FACTOR, -1, &out->low_freq_factor);

    if (!rc) rc = field_float(&r->f, "high_freq_factor", MAX_FACTOR, -1, &out->high_freq_factor);
    if (!rc && !(out->high_freq_factor > out->low_freq_factor))
        return err_set(r->f.e, ERR_FORMAT,
                       "%s: high_freq_factor %g is not above low_freq_factor %g", r->f.where,
                       (double)out->high_freq_factor, (double)out->low_freq_factor);
    return rc;
}

static double mscale(double factor, double m)
{
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

static int read_yarn(const struct reader *r, struct rope_config *out)
{
    float m, all;
    bool truncate;
    int rc = field_float(&r->f, "beta_fast", MAX_FACTOR, 32, &out->beta_fast);

    if (!rc) rc = field_float(&r->f, "beta_slow", MAX_FACTOR, 1, &out->beta_slow);
    if (!rc) rc = field_float(&r->f, "attention_factor", MAX_FACTOR, 0, &out->attention_factor);
    if (!rc) rc = field_float(&r->f, "mscale", MAX_FACTOR, 0, &m);
    if (!rc) rc = field_float(&r->f, "mscale_all_dim", MAX_FACTOR, 0, &all);
    if (!rc) rc = field_bool(&r->f, "truncate", true, &truncate);
    if (rc) return rc;
    if (!truncate)
        return err_set(r->f.e, ERR_UNSUPPORTED, "%s: truncate is false; known is true", r->f.where);
    if (!(out->attention_factor > 0) && m > 0 && all > 0)
        out->attention_factor = (float)(mscale((double)out->factor, (double)m) /
                                        mscale((double)out->factor, (double)all));
    return ERR_OK;
}

static int read_factors(const struct reader *r, const char *name, int n, float *out)
{
    const json_t *list = field_at(&r->f, name);

    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return err_set(r->f.e, ERR_FORMAT,
                       "%s: %s has %zu numbers, and half of a head's turning %d", r->f.where, name,
                       json_array_size(list), n);
    for (int i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        const double x = json_number_value(v);

        if (!json_is_number(v) || !(x > 0 && x <= (double)MAX_FACTOR))
            return err_set(r->f.e, ERR_FORMAT, "%s: %s[%d] is %g, not in (0, %g]", r->f.where, name,
                           i, x, (double)MAX_FACTOR);
        out[i] = (float)x;
    }
    return ERR_OK;
}

static int read_longrope(const struct reader *r, int n_rot, struct rope_config *out)
{
    int rc = read_factors(r, "short_factor", n_rot / 2, out->short_factor);

    if (!rc) rc = read_factors(r, "long_factor", n_rot / 2, out->long_factor);
    out->n_factors = n_rot / 2;
    return rc ? rc : field_float(&r->f, "attention_factor", MAX_FACTOR, 0, &out->attention_factor);
}

static int read_one(const struct reader *r, float theta, int n_rot, struct rope_config *out)
{
    const struct kind *k = NULL;
    int rc = find_kind(r, &k);

    if (!rc) rc = check_keys(r, k);
    if (!rc) rc = field_float(&r->f, "rope_theta", MAX_THETA, theta, &out->theta);
    if (rc) return rc;
    out->kind = k->kind;
    if (k->kind == ROPE_DEFAULT) return ERR_OK;
    rc = field_float(&r->f, "factor", MAX_FACTOR, k->kind == ROPE_LONGROPE ? 0 : -1, &out->factor);
    if (!rc && k->kind != ROPE_LINEAR) rc = read_original(r, out);
    if (!rc && k->kind == ROPE_LLAMA3) rc = read_llama3(r, out);
    if (!rc && k->kind == ROPE_YARN) rc = read_yarn(r, out);
    if (!rc && k->kind == ROPE_LONGROPE) rc = read_longrope(r, n_rot, out);
    return rc;
}

/* How many numbers of a head turn. */
static int read_part(const struct reader *r, struct model_config *c)
{
    static const char NAME[] = "partial_rotary_factor";
    const struct fields *from = field_at(&r->f, NAME) ? &r->f : r->top;
    float part;
    int rc = field_float(from, NAME, 1, 1, &part);

    if (rc) return rc;
    if (part < 1 && !r->family->partial_key)
        return err_set(r->f.e, ERR_UNSUPPORTED, "%s: %s is %g, and %s has none", from->where, NAME,
                       (double)part, r->family->name);
    /* The product of two floats may fall just short of the whole number that is meant. */
    c->n_rot = (int)((double)c->head_dim * (double)part + 1e-4);
    if (c->n_rot < 2 || c->n_rot % 2)
        return err_set(r->f.e, ERR_FORMAT, "%s: %s %g of head_dim %d is %d, not even and above 0",
                       from->where, NAME, (double)part, c->head_dim, c->n_rot);
    return ERR_OK;
}

/* A table of one or the other manner, or an empty one; in it the part for one kind of layer. */
static int open_reader(struct reader *r, const char *layers, char *where, size_t size)
{
    static const char *const NAMES[] = {"rope_scaling", "rope_parameters"};
    const json_t *part;

    for (size_t i = 0; i < 2; i++) {
        const json_t *o = field_at(r->top, NAMES[i]);

        if (!o || (json_is_object(o) && json_object_size(o) == 0)) continue;
        if (!json_is_object(o))
            return err_set(r->f.e, ERR_FORMAT, "%s: %s is not an object", r->top->where, NAMES[i]);
        snprintf(where, size, "%s: %s", r->top->where, NAMES[i]);
        r->f.object = o;
        part = json_object_get(o, layers);
        if (json_is_object(part)) {
            snprintf(where, size, "%s: %s of %s", r->top->where, NAMES[i], layers);
            r->f.object = part;
        }
        break;
    }
    return ERR_OK;
}

/* Layers with a window have a table of their own: its base beside rope_theta, and no scaling. */
static int read_local(struct reader *r, struct model_config *c, char *where, size_t size)
{
    static const char LOCAL[] = "sliding_attention";
    const json_t *all = field_at(r->top, "rope_parameters");
    float theta;
    int rc = field_float(r->top, "rope_local_base_freq", MAX_THETA, r->family->theta_local, &theta);

    if (rc) return rc;
    r->f.object = NULL;
    if (json_is_object(json_object_get(all, LOCAL))) {
        snprintf(where, size, "%s: rope_parameters of %s", r->top->where, LOCAL);
        r->f.object = json_object_get(all, LOCAL);
    }
    return read_one(r, theta, c->n_rot, &c->rope_local);
}

/* Yarn's file may still say the length before the stretch. */
static void stretch(struct model_config *c)
{
    const double n = (double)c->rope.original_positions * (double)c->rope.factor;

    if (c->rope.kind == ROPE_YARN && n > (double)c->max_positions && n <= MAX_POSITIONS)
        c->max_positions = (int)n;
}

int rope_config_read(struct model_config *out, const struct fields *f, const struct family *a)
{
    char where[512];
    struct reader r = {{where, NULL, f->e}, f, a, out->max_positions};
    float theta;
    int rc;

    snprintf(where, sizeof where, "%s", f->where);
    rc = field_float(f, "rope_theta", MAX_THETA, a->theta, &theta);
    if (!rc) rc = open_reader(&r, "full_attention", where, sizeof where);
    if (!rc) rc = read_part(&r, out);
    if (!rc) rc = read_one(&r, theta, out->n_rot, &out->rope);
    if (rc) return rc;
    stretch(out);
    if (a->theta_local > 0) return read_local(&r, out, where, sizeof where);
    out->rope_local = out->rope;
    return ERR_OK;
}
