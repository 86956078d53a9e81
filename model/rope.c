/* rope.c - how positions become angles: a frequency for each pair of a head, and a scale. */
#include "model/rope.h"

#include <math.h>

struct table {
    const struct rope_config *r;
    int n_rot;
    double original, factor;
    const float *set; /* longrope */
    double lo, hi;    /* yarn: the pairs between which it mixes */
};

static double mix(double a, double b, double s)
{
    return (1 - s) * a + s * b;
}

static double llama3(const struct table *t, double f)
{
    const double low = (double)t->r->low_freq_factor, high = (double)t->r->high_freq_factor;
    const double turns = t->original * f / (2 * M_PI);

    if (turns > high) return f;
    if (turns < low) return f / t->factor;
    return mix(f / t->factor, f, (turns - low) / (high - low));
}

static double yarn_pair(const struct table *t, double turns)
{
    return t->n_rot * log(t->original / (2 * M_PI * turns)) / (2 * log((double)t->r->theta));
}

static void yarn_range(struct table *t)
{
    t->lo = fmax(floor(yarn_pair(t, (double)t->r->beta_fast)), 0);
    t->hi = fmin(ceil(yarn_pair(t, (double)t->r->beta_slow)), t->n_rot - 1);
    if (!(t->hi > t->lo || t->hi < t->lo)) t->hi += 0.001; /* a step, not a division by 0 */
}

static double frequency(const struct table *t, int i)
{
    const double f = pow((double)t->r->theta, -2.0 * i / t->n_rot);

    switch (t->r->kind) {
    case ROPE_DEFAULT: return f;
    case ROPE_LINEAR: return f / t->factor;
    case ROPE_LLAMA3: return llama3(t, f);
    case ROPE_YARN: return mix(f, f / t->factor, fmin(fmax((i - t->lo) / (t->hi - t->lo), 0), 1));
    case ROPE_LONGROPE: return f / (double)t->set[i];
    }
    return NAN;
}

static double scale_of(const struct table *t)
{
    const enum rope_kind kind = t->r->kind;

    if (kind != ROPE_YARN && kind != ROPE_LONGROPE) return 1;
    if (t->r->attention_factor > 0) return (double)t->r->attention_factor;
    if (t->factor <= 1) return 1;
    return kind == ROPE_YARN ? 1 + 0.1 * log(t->factor)
                             : sqrt(1 + log(t->factor) / log(t->original));
}

static int above_0(const char *name, double v, struct errmsg *e)
{
    return v > 0 && isfinite(v)
               ? ERR_OK
               : err_set(e, ERR_FORMAT, "rope: %s is %g, must be above 0", name, v);
}

static int check_set(const struct table *t, const char *name, const float *set, struct errmsg *e)
{
    for (int i = 0; i < t->r->n_factors; i++)
        if (!(set[i] > 0 && isfinite(set[i])))
            return err_set(e, ERR_FORMAT, "rope: %s[%d] is %g, must be above 0", name, i,
                           (double)set[i]);
    return ERR_OK;
}

static int check_longrope(const struct table *t, struct errmsg *e)
{
    int rc;

    if (t->r->n_factors != t->n_rot / 2)
        return err_set(e, ERR_FORMAT, "rope: short_factor and long_factor have %d numbers, not %d",
                       t->r->n_factors, t->n_rot / 2);
    rc = check_set(t, "short_factor", t->r->short_factor, e);
    return rc ? rc : check_set(t, "long_factor", t->r->long_factor, e);
}

static int check(const struct table *t, struct errmsg *e)
{
    const struct rope_config *r = t->r;
    const enum rope_kind kind = r->kind;
    int rc = above_0("theta", (double)r->theta, e);

    if (kind != ROPE_DEFAULT && !rc) rc = above_0("factor", t->factor, e);
    if (kind == ROPE_LONGROPE && !rc) rc = check_longrope(t, e);
    if (kind == ROPE_LLAMA3 && !rc && !(r->low_freq_factor < r->high_freq_factor))
        rc = err_set(e, ERR_FORMAT, "rope: low_freq_factor %g is not below high_freq_factor %g",
                     (double)r->low_freq_factor, (double)r->high_freq_factor);
    if (kind == ROPE_YARN && !rc) rc = above_0("beta_fast", (double)r->beta_fast, e);
    if (kind == ROPE_YARN && !rc) rc = above_0("beta_slow", (double)r->beta_slow, e);
    if (kind == ROPE_YARN && !rc && !(r->theta > 1))
        rc = err_set(e, ERR_FORMAT, "rope: theta is %g, must be above 1", (double)r->theta);
    return rc;
}

int rope_table(float *inv_freq, float *scale, const struct rope_config *r, int n_rot,
               int max_model_len, int max_positions, struct errmsg *e)
{
    const int original = r->original_positions ? r->original_positions : max_positions;
    struct table t = {.r = r, .n_rot = n_rot, .original = original, .factor = (double)r->factor};
    int rc;

    if (n_rot < 2 || n_rot % 2 || n_rot > CONFIG_MAX_HD)
        return err_set(e, ERR_ARG, "rope: %d numbers of a head turn, must be even and 2 to %d",
                       n_rot, CONFIG_MAX_HD);
    if (original < 2)
        return err_set(e, ERR_FORMAT,
                       "rope: original_max_position_embeddings is %d, must be at least 2",
                       original);
    if ((r->kind == ROPE_YARN || r->kind == ROPE_LONGROPE) && !(r->factor > 0 || r->factor < 0))
        t.factor = max_positions / t.original;
    rc = check(&t, e);
    if (rc) return rc;
    t.set = max_model_len > original ? r->long_factor : r->short_factor;
    if (r->kind == ROPE_YARN) yarn_range(&t);
    for (int i = 0; i < n_rot / 2; i++)
        inv_freq[i] = (float)frequency(&t, i);
    *scale = (float)scale_of(&t);
    return ERR_OK;
}
