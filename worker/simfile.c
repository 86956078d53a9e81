/* simfile.c - the file that says what a simulated instance pretends to be. */
#include "worker/simfile.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/jsonfile.h"

#define MAX_BYTES (1u << 20)

enum kind { TEXT, INTEGER, LONG, NUMBER };

struct field {
    const char *key;
    enum kind kind;
    size_t at, cap; /* cap: of a text, with its NUL */
    double lo, hi;
    bool required;
};

#define AT(f) offsetof(struct simfile, f)
#define MS    0, 0, 1e9, true
static const struct field FIELDS[] = {
    {"name", TEXT, AT(name), sizeof((struct simfile *)0)->name, 0, 0, true},
    {"model", TEXT, AT(model), sizeof((struct simfile *)0)->model, 0, 0, true},
    {"model_hash", TEXT, AT(model_hash), sizeof((struct simfile *)0)->model_hash, 0, 0, false},
    {"k0", NUMBER, AT(perf.k0), MS},
    {"kw", NUMBER, AT(perf.kw), MS},
    {"k1", NUMBER, AT(perf.k1), MS},
    {"k2", NUMBER, AT(perf.k2), MS},
    {"k3", NUMBER, AT(perf.k3), MS},
    {"k4", NUMBER, AT(perf.k4), MS},
    {"kv_tokens", INTEGER, AT(kv_tokens), 0, 1, 1 << 30, true},
    {"max_model_len", INTEGER, AT(max_model_len), 0, 2, 1 << 24, true},
    {"max_num_seqs", INTEGER, AT(max_num_seqs), 0, 1, 4096, true},
    {"max_num_batched_tokens", INTEGER, AT(max_batched_tokens), 0, 1, 1 << 20, false},
    {"instances", INTEGER, AT(instances), 0, 1, 4096, false},
    {"time_scale", NUMBER, AT(time_scale), 0, 0, 1000, false},
    {"bytes_per_token", NUMBER, AT(bytes_per_token), 0, 0.1, 1000, false},
    {"poison", TEXT, AT(poison), sizeof((struct simfile *)0)->poison, 0, 0, false},
    {"hang_after_rows", LONG, AT(hang_after_rows), 0, 0, 1e15, false},
    {"trace", TEXT, AT(trace), sizeof((struct simfile *)0)->trace, 0, 0, false},
};
#define N_FIELDS (sizeof FIELDS / sizeof FIELDS[0])

static int read_text(char *to, const struct field *f, const json_t *v, struct errmsg *e)
{
    if (!json_is_string(v) || json_string_length(v) >= f->cap ||
        strlen(json_string_value(v)) != json_string_length(v))
        return err_set(e, ERR_FORMAT, "%s is not a text of at most %zu bytes", f->key, f->cap - 1);
    memcpy(to, json_string_value(v), json_string_length(v) + 1);
    return ERR_OK;
}

static int read_field(struct simfile *out, const struct field *f, const json_t *v, struct errmsg *e)
{
    char *to = (char *)out + f->at;
    bool fits = f->kind == NUMBER ? json_is_number(v) : json_is_integer(v);

    if (!v && !f->required) return ERR_OK;
    if (!v) return err_set(e, ERR_FORMAT, "%s is missing", f->key);
    if (f->kind == TEXT) return read_text(to, f, v, e);
    if (!fits || json_number_value(v) < f->lo || json_number_value(v) > f->hi)
        return err_set(e, ERR_FORMAT, "%s is not %s from %.10g to %.10g", f->key,
                       f->kind == NUMBER ? "a number" : "an integer", f->lo, f->hi);
    if (f->kind == NUMBER)
        *(double *)(void *)to = json_number_value(v);
    else if (f->kind == LONG)
        *(int64_t *)(void *)to = json_integer_value(v);
    else
        *(int *)(void *)to = (int)json_integer_value(v);
    return ERR_OK;
}

static bool read_quantile(struct simfile *out, int i, const json_t *pair)
{
    const json_t *share = json_array_get(pair, 0), *tokens = json_array_get(pair, 1);
    double least = i ? out->quantiles[i - 1].share : 0;

    if (json_array_size(pair) != 2 || !json_is_number(share) || !json_is_integer(tokens) ||
        json_number_value(share) < least || json_number_value(share) > 1 ||
        json_integer_value(tokens) < 1 || json_integer_value(tokens) > 1 << 24)
        return false;
    out->quantiles[i].share = json_number_value(share);
    out->quantiles[i].tokens = (int)json_integer_value(tokens);
    return true;
}

/* A constant, [[share, tokens], ...], or "max_tokens". */
static int read_output(struct simfile *out, const json_t *v, struct errmsg *e)
{
    size_t n = json_array_size(v);
    json_t *constant = NULL;
    bool good = n >= 1 && n <= SIMFILE_QUANTILES;

    if (json_is_string(v) && !strcmp(json_string_value(v), "max_tokens")) return ERR_OK;
    if (json_is_integer(v)) {
        n = 1;
        constant = json_pack("[i, I]", 1, json_integer_value(v));
        good = constant && read_quantile(out, 0, constant);
        json_decref(constant);
    }
    for (size_t i = 0; good && !constant && i < n; i++)
        good = read_quantile(out, (int)i, json_array_get(v, i));
    if (!good)
        return err_set(e, ERR_FORMAT,
                       "output_tokens is not an integer above 0, \"max_tokens\", or at most %d"
                       " pairs [share from 0 to 1 that grows, tokens]",
                       SIMFILE_QUANTILES);
    out->n_quantiles = (int)n;
    return ERR_OK;
}

static int find_unknown(json_t *o, struct errmsg *e)
{
    const char *key;
    json_t *v;

    json_object_foreach(o, key, v)
    {
        size_t i = 0;

        while (i < N_FIELDS && strcmp(FIELDS[i].key, key))
            i++;
        if (i == N_FIELDS && strcmp(key, "output_tokens"))
            return err_set(e, ERR_FORMAT, "%s is no key of a sim file", key);
    }
    return ERR_OK;
}

int simfile_read(struct simfile *out, const char *path, struct errmsg *e)
{
    const char *slash = strrchr(path, '/');
    char dir[4096];
    struct errmsg why;
    json_t *o = NULL;
    int rc;

    *out = (struct simfile){
        .max_batched_tokens = 2048, .instances = 1, .time_scale = 1, .bytes_per_token = 4};
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    rc = jsonfile_read(&o, slash == path ? "/" : dir, slash ? slash + 1 : path, MAX_BYTES, e);
    if (rc) return rc;
    rc = find_unknown(o, &why);
    for (size_t i = 0; !rc && i < N_FIELDS; i++)
        rc = read_field(out, &FIELDS[i], json_object_get(o, FIELDS[i].key), &why);
    if (!rc) rc = read_output(out, json_object_get(o, "output_tokens"), &why);
    if (rc) err_set(e, rc, "%s: %s", path, why.text);
    json_decref(o);
    return rc;
}

int simfile_output_tokens(const struct simfile *f, double share)
{
    int i = 0;
    double span, part;

    if (!f->n_quantiles) return 0;
    while (i < f->n_quantiles && f->quantiles[i].share < share)
        i++;
    if (i == 0) return f->quantiles[0].tokens;
    if (i == f->n_quantiles) return f->quantiles[i - 1].tokens;
    span = f->quantiles[i].share - f->quantiles[i - 1].share;
    part = (share - f->quantiles[i - 1].share) / span;
    return f->quantiles[i - 1].tokens +
           (int)(part * (f->quantiles[i].tokens - f->quantiles[i - 1].tokens));
}
