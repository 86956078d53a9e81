/* perf_sums.c - non-negative least squares over all subsets of at most six columns. */
#include "schema/perf_sums.h"

#include <math.h>

/* Columns, and the constants that stand before them; the token columns come first, so that of
 * equal fits the one wins in which more tokens take longer. */
enum { KW, K1, K0, K2, K3, K4, COLUMNS };

static const unsigned TERM[COLUMNS] = {PERF_KW, PERF_K1, PERF_K0, PERF_K2, PERF_K3, PERF_K4};

/* Of the sums' z: what a column is made of. */
static const int Z[COLUMNS] = {0, 1, 0, 2, 3, 4};
enum { Z_MS = 5 };

#define PIVOT 1e-10 /* of a column's square: less of it is new, then it is the others' copy */
#define SAME  1e-11 /* of all squares: fits that are closer than this are equal */

struct system {
    int n;
    double g[COLUMNS][COLUMNS], b[COLUMNS], tt;
};

void perf_sums_add(struct perf_sums *a, const struct perf_sample *s, double weight)
{
    const double z[PERF_SUMS_N] = {1, s->p + s->n, s->x, s->n, s->m, s->ms};
    double w = weight / (s->ms * s->ms);

    for (int i = 0; i < PERF_SUMS_N; i++)
        for (int j = i; j < PERF_SUMS_N; j++)
            a->of[i][j] += w * z[i] * z[j];
}

void perf_sums_join(struct perf_sums *a, const struct perf_sums *b, double weight)
{
    for (int i = 0; i < PERF_SUMS_N; i++)
        for (int j = i; j < PERF_SUMS_N; j++)
            a->of[i][j] += weight * b->of[i][j];
}

/* A column is 0 on the side of the knee that is not its own. */
static double product(const struct perf_sums *low, const struct perf_sums *high, int col, int z)
{
    int a = Z[col] < z ? Z[col] : z, b = Z[col] < z ? z : Z[col];

    return (col == K1 ? 0 : low->of[a][b]) + (col == KW ? 0 : high->of[a][b]);
}

static double square(const struct perf_sums *low, const struct perf_sums *high, int i, int j)
{
    if ((i == KW && j == K1) || (i == K1 && j == KW)) return 0;
    return i == KW || i == K1 ? product(low, high, i, Z[j]) : product(low, high, j, Z[i]);
}

static void normal(struct system *s, const struct perf_sums *low, const struct perf_sums *high)
{
    s->n = COLUMNS;
    s->tt = low->of[Z_MS][Z_MS] + high->of[Z_MS][Z_MS];
    for (int i = 0; i < COLUMNS; i++) {
        s->b[i] = product(low, high, i, Z_MS);
        for (int j = 0; j < COLUMNS; j++)
            s->g[i][j] = square(low, high, i, j);
    }
}

/* Takes columns times f off the times. */
static void subtract(struct system *s, const double *f)
{
    for (int i = 0; i < COLUMNS; i++) {
        double gf = 0;

        for (int j = 0; j < COLUMNS; j++)
            gf += s->g[i][j] * f[j];
        s->tt -= f[i] * (2 * s->b[i] - gf);
    }
    for (int i = 0; i < COLUMNS; i++)
        for (int j = 0; j < COLUMNS; j++)
            s->b[i] -= s->g[i][j] * f[j];
}

/* The columns that `free` names; with a tie, kw = tie*k1 and the first two become one. */
static void choose(struct system *out, const struct system *s, unsigned free, double tie,
                   double made_of[COLUMNS][COLUMNS])
{
    int n = 0;

    for (int c = 0; c < COLUMNS; c++) {
        if (!(free & TERM[c]) || (tie >= 0 && c == KW)) continue;
        for (int i = 0; i < COLUMNS; i++)
            made_of[n][i] = i == c ? 1 : i == KW && c == K1 && tie >= 0 ? tie : 0;
        n++;
    }
    *out = (struct system){.n = n, .tt = s->tt};
    for (int a = 0; a < n; a++)
        for (int i = 0; i < COLUMNS; i++) {
            double of_a = made_of[a][i];

            out->b[a] += of_a * s->b[i];
            for (int b = 0; b < n && of_a > 0; b++)
                for (int j = 0; j < COLUMNS; j++)
                    out->g[a][b] += of_a * s->g[i][j] * made_of[b][j];
        }
}

/* Cholesky's factor of the columns of `set`, each scaled to length 1; false where one of them is
 * the others' copy. */
static bool factor(const struct system *s, const int *set, int n, double l[COLUMNS][COLUMNS])
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double d = sqrt(s->g[set[i]][set[i]]) * sqrt(s->g[set[j]][set[j]]), v;

            if (!(d > 0)) return false;
            v = s->g[set[i]][set[j]] / d;
            for (int k = 0; k < j; k++)
                v -= l[i][k] * l[j][k];
            if (i == j && !(v > PIVOT)) return false;
            l[i][j] = i == j ? sqrt(v) : v / l[j][j];
        }
    return true;
}

/* Least squares with the columns of `mask` alone; *error of it.  False: one of them would be below
 * 0, or is the others' copy. */
static bool solve(const struct system *s, unsigned mask, double *c, double *error)
{
    double l[COLUMNS][COLUMNS], y[COLUMNS];
    int set[COLUMNS], n = 0;

    for (int i = 0; i < s->n; i++) {
        c[i] = 0;
        if (mask >> i & 1) set[n++] = i;
    }
    if (!factor(s, set, n, l)) return false;
    for (int i = 0; i < n; i++) {
        y[i] = s->b[set[i]] / sqrt(s->g[set[i]][set[i]]);
        for (int k = 0; k < i; k++)
            y[i] -= l[i][k] * y[k];
        y[i] /= l[i][i];
    }
    *error = s->tt;
    for (int i = n - 1; i >= 0; i--) {
        double v = y[i];

        *error -= y[i] * y[i];
        for (int k = i + 1; k < n; k++)
            v -= l[k][i] * c[set[k]];
        c[set[i]] = v / l[i][i];
        if (c[set[i]] < 0) return false;
    }
    for (int i = 0; i < n; i++)
        c[set[i]] /= sqrt(s->g[set[i]][set[i]]);
    return true;
}

static void keep(struct perf_best *best, const double *f, double error)
{
    best->k = (struct perf){f[K0], f[KW], f[K1], f[K2], f[K3], f[K4]};
    best->error = error > 0 ? error : 0;
    best->is_found = true;
}

static bool is_between(const double *f, double below, double above)
{
    return f[K1] * below <= f[KW] && (isinf(above) || f[KW] <= f[K1] * above);
}

/* All subsets of the columns of `free`, on top of the fixed constants f. */
static void subsets(struct perf_best *best, const struct system *all, const double *f,
                    unsigned free, double tie, double below, double above)
{
    double made_of[COLUMNS][COLUMNS], c[COLUMNS], error;
    struct system s = *all, chosen;

    subtract(&s, f);
    choose(&chosen, &s, free, tie, made_of);
    for (unsigned mask = 0; mask < 1u << chosen.n; mask++) {
        double k[COLUMNS];

        if (!solve(&chosen, mask, c, &error)) continue;
        if (best->is_found && !(error < best->error - SAME * all->tt)) continue;
        for (int i = 0; i < COLUMNS; i++) {
            k[i] = f[i];
            for (int a = 0; a < chosen.n; a++)
                k[i] += made_of[a][i] * c[a];
        }
        if (tie >= 0 || is_between(k, below, above)) keep(best, k, error);
    }
}

void perf_best_try(struct perf_best *best, const struct perf_sums *low,
                   const struct perf_sums *high, double below, double above, unsigned terms,
                   const struct perf *given)
{
    double f[COLUMNS] = {given->kw, given->k1, given->k0, given->k2, given->k3, given->k4};
    struct system all;

    for (int c = 0; c < COLUMNS; c++)
        if (terms & TERM[c]) f[c] = 0;
    normal(&all, low, high);
    if (terms & PERF_KW)
        subsets(best, &all, f, terms, below, below, above);
    else if (terms & PERF_K1 && below > 0) {
        f[K1] = f[KW] / below;
        subsets(best, &all, f, terms & ~(unsigned)PERF_K1, 0, below, above);
        f[K1] = 0;
    }
    if (below < above || !(terms & PERF_KW)) subsets(best, &all, f, terms, -1, below, above);
}
