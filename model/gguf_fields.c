/* gguf_fields.c - the keys of one architecture in a GGUF. */
#include "model/gguf_fields.h"

#include <stdio.h>

#define MAX_INT    (1 << 26)
#define MAX_NUMBER 1e12
#define KEY_BYTES  256

static const char *full(const struct gguf_fields *f, const char *key, char out[KEY_BYTES])
{
    snprintf(out, KEY_BYTES, "%s.%s", f->arch, key);
    return out;
}

const struct gguf_value *gguf_field(const struct gguf_fields *f, const char *key)
{
    char name[KEY_BYTES];

    return gguf_find(f->g, full(f, key, name));
}

int gguf_field_error(const struct gguf_fields *f, int rc, const char *key, const char *what)
{
    return err_set(f->e, rc, "%s: %s.%s %s", gguf_path(f->g), f->arch, key, what);
}

int gguf_field_int(const struct gguf_fields *f, const char *key, int dflt, int *out)
{
    const struct gguf_value *v = gguf_field(f, key);
    char what[80];
    int64_t n = 0, other;

    if (!v && dflt < 0) return gguf_field_error(f, ERR_FORMAT, key, "is missing");
    *out = dflt;
    if (!v) return ERR_OK;
    if (!gguf_int(v, 0, &n)) return gguf_field_error(f, ERR_FORMAT, key, "is not a whole number");
    snprintf(what, sizeof what, "is %lld, not in [0, %d]", (long long)n, MAX_INT);
    if (n < 0 || n > MAX_INT) return gguf_field_error(f, ERR_FORMAT, key, what);
    for (size_t i = 1; i < v->n; i++) {
        if (gguf_int(v, i, &other) && other == n) continue;
        snprintf(what, sizeof what, "differs from layer to layer, at %zu", i);
        return gguf_field_error(f, ERR_UNSUPPORTED, key, what);
    }
    *out = (int)n;
    return ERR_OK;
}

int gguf_field_number(const struct gguf_fields *f, const char *key, double dflt, double *out)
{
    const struct gguf_value *v = gguf_field(f, key);
    char what[80];
    double x = 0;

    if (!v && dflt < 0) return gguf_field_error(f, ERR_FORMAT, key, "is missing");
    *out = dflt;
    if (!v) return ERR_OK;
    if (v->is_array || !gguf_number(v, 0, &x))
        return gguf_field_error(f, ERR_FORMAT, key, "is not a number");
    snprintf(what, sizeof what, "is %g, not in [0, %g]", x, MAX_NUMBER);
    if (!(x >= 0 && x <= MAX_NUMBER)) return gguf_field_error(f, ERR_FORMAT, key, what);
    *out = x;
    return ERR_OK;
}

int gguf_put(const struct gguf_fields *f, const char *name, json_t *v)
{
    if (!v || json_object_set_new(f->to, name, v))
        return err_set(f->e, ERR_NOMEM, "%s: no memory", gguf_path(f->g));
    return ERR_OK;
}

int gguf_put_int(const struct gguf_fields *f, const char *name, const char *key, bool needed)
{
    int n, rc;

    if (!needed && !gguf_field(f, key)) return ERR_OK;
    rc = gguf_field_int(f, key, -1, &n);
    return rc ? rc : gguf_put(f, name, json_integer(n));
}

int gguf_put_number(const struct gguf_fields *f, const char *name, const char *key, bool needed)
{
    double x;
    int rc;

    if (!needed && !gguf_field(f, key)) return ERR_OK;
    rc = gguf_field_number(f, key, -1, &x);
    return rc ? rc : gguf_put(f, name, json_real(x));
}
