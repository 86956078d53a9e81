/* ideal.c - what no scheduler can beat. */
#include "bench/ideal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ideal_part.h"
#include "bench/lp.h"

#define ROUNDS 400  /* cutting planes at most */
#define CLOSE  1e-5 /* of T: near enough */

/* --- what a row costs ------------------------------------------------------------------------- */

static double or_no_limit(double v)
{
    return v > 0 ? v : INFINITY;
}

/* 1 + 2 + ... + n */
static double sum_to(double n)
{
    return n * (n + 1) / 2;
}

/* What is left of a row when it begins on an instance, or goes on where it has begun. */
struct left {
    double has, fill; /* tokens in KV, tokens to be in KV when the next answer's token comes */
    double made, output;
    double shared; /* of `has`, those that other rows hold anyway */
};

static struct left left_of(const struct ideal_row *r, bool is_there)
{
    struct left l = {.output = r->output > 0 ? r->output : 1};

    if (is_there) {
        l.made = r->made;
        l.has = r->has;
    } else {
        l.has = r->cached < r->prompt ? r->cached : r->prompt - 1;
        l.shared = l.has = l.has > 0 ? l.has : 0;
    }
    l.fill = r->prompt + l.made;
    return l;
}

/* A prompt in chunks: the last step has it all, each before it a chunk less. */
static void cost_prefill(struct ideal_cost *c, struct left *l, double chunk)
{
    const double p = l->fill - l->has, steps = fmax(1, ceil(p / chunk));

    c->tok += p;
    c->x += sum_to(l->fill) - sum_to(l->has);
    c->steps += steps;
    c->held += steps * l->fill - (steps > 1 ? chunk * sum_to(steps - 1) : 0);
    l->has = l->fill;
    l->made += 1;
}

struct ideal_cost ideal_cost(const struct ideal_kind *k, const struct ideal_row *r, bool is_there)
{
    struct left l = left_of(r, is_there);
    struct ideal_cost c = {0};
    double d, context;

    /* A decoding row lacks just the token that it made last. */
    if (l.made == 0 || l.has + 1 < l.fill) cost_prefill(&c, &l, or_no_limit(k->max_batched_tokens));
    d = l.output - l.made > 0 ? l.output - l.made : 0;
    context = d * r->prompt + sum_to(l.output - 1) - sum_to(l.made - 1);
    c.tok += d;
    c.n += d;
    c.steps += d;
    c.m += d > 0 ? context : 0;
    c.held += (d > 0 ? context : 0) - l.shared * c.steps;
    return c;
}

bool ideal_fits(const struct ideal_kind *k, const struct ideal_row *r)
{
    const double need = (double)r->prompt + r->output;

    return need <= or_no_limit(k->kv_tokens) && need <= or_no_limit(k->max_model_len);
}

/* a(k, j): seconds that the row adds to each of the six. */
static void facets_of(const struct ideal_kind *k, const struct ideal_cost *c,
                      double a[IDEAL_FACETS])
{
    const struct perf *f = &k->perf;
    const double rest = f->k2 * c->x + f->k3 * c->n + f->k4 * c->m,
                 budget = fmax(or_no_limit(k->max_batched_tokens), or_no_limit(k->max_num_seqs));
    const double steps[] = {c->held / or_no_limit(k->kv_tokens),
                            c->steps / or_no_limit(k->max_num_seqs), c->tok / budget};

    for (int i = 0; i < 3; i++) {
        a[2 * i] = 1e-3 * (rest + (f->k0 + f->kw) * steps[i]);
        a[2 * i + 1] = 1e-3 * (rest + f->k0 * steps[i] + f->k1 * c->tok);
    }
}

double ideal_alone(const struct ideal_kind *k, const struct ideal_row *r, bool is_there)
{
    const struct ideal_cost c = ideal_cost(k, r, is_there);
    const struct perf *f = &k->perf;
    const double p = c.tok - c.n, chunk = or_no_limit(k->max_batched_tokens),
                 whole = p > 0 && isfinite(chunk) ? ceil(p / chunk) - 1 : 0,
                 last = p > 0 ? p - (whole > 0 ? whole * chunk : 0) : 0;
    double ms = f->k0 * c.steps + f->k2 * c.x + f->k3 * c.n + f->k4 * c.m;

    if (!ideal_fits(k, r)) return -1;
    if (whole > 0) ms += whole * fmax(f->kw, f->k1 * chunk);
    if (p > 0) ms += fmax(f->kw, f->k1 * last);
    return 1e-3 * (ms + c.n * fmax(f->kw, f->k1));
}

/* --- the program ------------------------------------------------------------------------------ */

static float *facets_at(const struct ideal_problem *p, size_t row, int kind)
{
    return p->a + (row * (size_t)p->n_kinds + (size_t)kind) * IDEAL_FACETS;
}

static void fill_row(const struct ideal_problem *p, size_t row, int kind)
{
    const struct ideal_row *r = &p->r[row];
    const bool is_there = r->where == kind;
    float *a = facets_at(p, row, kind);
    double exact[IDEAL_FACETS];
    const struct ideal_cost c = ideal_cost(&p->k[kind], r, is_there);

    facets_of(&p->k[kind], &c, exact);
    for (int j = 0; j < IDEAL_FACETS; j++) /* rounded down: still a bound */
        a[j] = nextafterf((float)exact[j], 0.0f);
    if (!ideal_fits(&p->k[kind], r) || p->k[kind].seconds <= 0 ||
        (p->soonest && p->soonest[row * (size_t)p->n_kinds + (size_t)kind] > p->within))
        a[0] = INFINITY;
}

/* The right-hand side at these weights, and the cut: the sums of the assignment that gave it.
 * Negative: a row has no place. */
static double bound_at(const struct ideal_problem *p, const double *w, double *cut)
{
    double sum = 0;

    memset(cut, 0, (size_t)p->n_weights * sizeof *cut);
    for (size_t i = 0; i < p->n_rows; i++) {
        double least = INFINITY;
        int best = -1;

        for (int k = 0; k < p->n_kinds; k++) {
            const float *a = facets_at(p, i, k);
            double v = 0;

            if (isinf(a[0])) continue;
            for (int j = 0; j < IDEAL_FACETS; j++)
                v += w[k * IDEAL_FACETS + j] * (double)a[j];
            if (v >= least) continue;
            least = v;
            best = k;
        }
        if (best < 0) return -1;
        sum += p->r[i].n * least;
        for (int j = 0; j < IDEAL_FACETS; j++)
            cut[best * IDEAL_FACETS + j] += p->r[i].n * (double)facets_at(p, i, best)[j];
    }
    return sum;
}

/* The weights at which the least of the cuts is largest; *top: that. */
static int weights_of(const struct ideal_problem *p, double unit, double *w, double *top)
{
    const int cols = p->n_weights + 1, rows = p->n_cuts + 1;
    double *a = calloc((size_t)rows * (size_t)cols, sizeof *a),
           *b = calloc((size_t)rows, sizeof *b), *c = calloc((size_t)cols, sizeof *c),
           *x = calloc((size_t)cols, sizeof *x);
    double total = 0;
    int rc = ERR_NOMEM;

    if (!a || !b || !c || !x) goto out;
    for (int t = 0; t < p->n_cuts; t++) { /* top - cut . w <= 0, in units of about T */
        a[t * cols + p->n_weights] = 1;
        for (int i = 0; i < p->n_weights; i++)
            a[t * cols + i] = -p->cuts[t * p->n_weights + i] / (unit * p->scale[i]);
    }
    for (int i = 0; i < p->n_weights; i++) /* w here is times seconds: they sum to 1 */
        a[p->n_cuts * cols + i] = 1;
    b[p->n_cuts] = 1;
    c[p->n_weights] = 1;
    if ((rc = lp_maximise(rows, cols, a, b, c, x, top))) goto out;
    for (int i = 0; i < p->n_weights; i++)
        total += x[i];
    for (int i = 0; i < p->n_weights; i++)
        w[i] = x[i] / (total * p->scale[i]);
    *top *= unit;
out:
    free(a);
    free(b);
    free(c);
    free(x);
    return rc;
}

/* Cutting planes, each halfway between the best weights so far and those that the cuts like best:
 * the latter alone would jump about. */
static int climb(struct ideal_problem *p, double *best, double *top, double *w, double *good)
{
    double v;
    int rc;

    for (int i = 0; i < p->n_weights; i++)
        w[i] = good[i] = 1 / (p->scale[i] * p->n_weights);
    *best = 0;
    *top = INFINITY;
    for (p->n_cuts = 0; p->n_cuts < ROUNDS;) {
        v = bound_at(p, w, p->cuts + (size_t)p->n_cuts * (size_t)p->n_weights);
        if (v <= 0) return v < 0 ? ERR_ARG : ERR_OK;
        p->n_cuts++;
        if (v > *best) {
            *best = v;
            memcpy(good, w, (size_t)p->n_weights * sizeof *w);
        }
        if ((rc = weights_of(p, *best, w, &v))) return rc;
        if (v < *top) *top = v;
        if (*top <= *best * (1 + CLOSE)) break;
        for (int i = 0; i < p->n_weights; i++)
            w[i] = (w[i] + good[i]) / 2;
    }
    return ERR_OK;
}

void ideal_problem_close(struct ideal_problem *p)
{
    free(p->a);
    free(p->cuts);
    free(p->scale);
}

int ideal_problem_open(struct ideal_problem *p, const struct ideal_kind *k, int n_kinds,
                       const struct ideal_row *r, size_t n_rows)
{
    *p = (struct ideal_problem){.k = k, .r = r, .n_kinds = n_kinds, .n_rows = n_rows};
    p->n_weights = n_kinds * IDEAL_FACETS;
    if (n_kinds <= 0) return ERR_ARG;
    p->a = malloc(n_rows * (size_t)p->n_weights * sizeof *p->a + 1);
    p->cuts = malloc((size_t)ROUNDS * (size_t)p->n_weights * sizeof *p->cuts);
    p->scale = malloc((size_t)p->n_weights * sizeof *p->scale);
    if (!p->a || !p->cuts || !p->scale) return ERR_NOMEM;
    for (int i = 0; i < p->n_weights; i++)
        p->scale[i] = k[i / IDEAL_FACETS].seconds > 0 ? k[i / IDEAL_FACETS].seconds : 1;
    return ERR_OK;
}

int ideal_problem_solve(struct ideal_problem *p, double *seconds, double *top)
{
    double *w = malloc(2 * (size_t)p->n_weights * sizeof *w);
    int rc = ERR_NOMEM;

    if (!w) return rc;
    for (size_t i = 0; i < p->n_rows; i++)
        for (int k = 0; k < p->n_kinds; k++)
            fill_row(p, i, k);
    rc = climb(p, seconds, top, w, w + p->n_weights);
    free(w);
    return rc;
}

int ideal_time(double *seconds, double *gap, const struct ideal_kind *k, int n_kinds,
               const struct ideal_row *r, size_t n_rows)
{
    struct ideal_problem p;
    double top = 0;
    int rc = ideal_problem_open(&p, k, n_kinds, r, n_rows);

    *seconds = 0;
    if (!rc) rc = ideal_problem_solve(&p, seconds, &top);
    if (gap) *gap = *seconds > 0 ? top / *seconds - 1 : 0;
    ideal_problem_close(&p);
    return rc;
}

int ideal_even(double *seconds, const struct ideal_kind *k, int n_kinds, const struct ideal_row *r,
               size_t n_rows)
{
    int rc = n_kinds > 0 ? ERR_OK : ERR_ARG;

    *seconds = 0;
    for (int i = 0; !rc && i < n_kinds; i++) {
        struct ideal_kind share = k[i];
        double s;

        share.seconds = n_kinds;
        rc = ideal_time(&s, NULL, &share, 1, r, n_rows);
        *seconds = fmax(*seconds, s);
    }
    return rc;
}
