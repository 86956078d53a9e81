/* field.c - the fields of a JSON object that describes a model, each checked against its limits. */
#include "model/field.h"

const json_t *field_at(const struct fields *f, const char *name)
{
    const json_t *v = json_object_get(f->object, name);

    return json_is_null(v) ? NULL : v;
}

static int missing(const struct fields *f, const char *name)
{
    return err_set(f->e, ERR_FORMAT, "%s: %s is missing", f->where, name);
}

static int of_type(const struct fields *f, const char *name, const char *type)
{
    return err_set(f->e, ERR_FORMAT, "%s: %s is not %s", f->where, name, type);
}

int field_int(const struct fields *f, const char *name, int lo, int hi, int dflt, int *out)
{
    const json_t *v = field_at(f, name);
    const json_int_t n = json_integer_value(v);

    *out = dflt;
    if (!v) return dflt < 0 ? missing(f, name) : ERR_OK;
    if (!json_is_integer(v)) return of_type(f, name, "a whole number");
    if (n < lo || n > hi)
        return err_set(f->e, ERR_FORMAT, "%s: %s is %lld, not in [%d, %d]", f->where, name,
                       (long long)n, lo, hi);
    *out = (int)n;
    return ERR_OK;
}

int field_float(const struct fields *f, const char *name, float hi, float dflt, float *out)
{
    const json_t *v = field_at(f, name);
    const double x = json_number_value(v);

    *out = dflt;
    if (!v) return dflt < 0 ? missing(f, name) : ERR_OK;
    if (!json_is_number(v)) return of_type(f, name, "a number");
    if (!(x > 0 && x <= (double)hi) || !((float)x > 0))
        return err_set(f->e, ERR_FORMAT, "%s: %s is %g, not in (0, %g]", f->where, name, x,
                       (double)hi);
    *out = (float)x;
    return ERR_OK;
}

int field_bool(const struct fields *f, const char *name, bool dflt, bool *out)
{
    const json_t *v = field_at(f, name);

    *out = v ? json_is_true(v) : dflt;
    return v && !json_is_boolean(v) ? of_type(f, name, "true or false") : ERR_OK;
}

int field_text(const struct fields *f, const char *name, const char *dflt, const char **out)
{
    const json_t *v = field_at(f, name);

    *out = v ? json_string_value(v) : dflt;
    return v && !json_is_string(v) ? of_type(f, name, "a string") : ERR_OK;
}
