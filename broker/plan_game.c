/* plan_game.c - a matrix game, by the simplex method.
 *
 * With y = weights / value the game is the linear program
 *
 *   most of sum of y[i], where sum of c[i] y[i] <= 1 for each vector c, and y >= 0
 *
 * which y = 0 satisfies, so no first phase is needed.  The dictionary is kept condensed: a column
 * for each variable outside of the basis, a row for each one in it.
 */
#include "broker/plan_game.h"

#include <string.h>

#define TINY   1e-11
#define PIVOTS 2000 /* Bland's rule ends; this is against rounding */

struct dictionary {
    int n, width;
    double at[GAME_ROWS + 1]
             [GAME_COLS + 1]; /* the last row is the sum, the last column the bound */
    int row_name[GAME_ROWS], col_name[GAME_COLS]; /* below width: y; the others slack */
};

static void pivot(struct dictionary *d, int r, int c)
{
    double p = d->at[r][c];
    int name = d->row_name[r];

    for (int j = 0; j <= d->width; j++)
        d->at[r][j] = j == c ? 1 / p : d->at[r][j] / p;
    for (int i = 0; i <= d->n; i++) {
        double f = d->at[i][c];

        if (i == r || f == 0) continue;
        for (int j = 0; j <= d->width; j++)
            d->at[i][j] = j == c ? -f / p : d->at[i][j] - f * d->at[r][j];
    }
    d->row_name[r] = d->col_name[c];
    d->col_name[c] = name;
}

/* Bland: the first variable that gains enters. */
static int entering(const struct dictionary *d)
{
    int best = -1;

    for (int j = 0; j < d->width; j++)
        if (d->at[d->n][j] > TINY && (best < 0 || d->col_name[j] < d->col_name[best])) best = j;
    return best;
}

/* The row that bounds it first; -1: none does. */
static int leaving(const struct dictionary *d, int c)
{
    int best = -1;
    double least = 0;

    for (int i = 0; i < d->n; i++) {
        double ratio;

        if (d->at[i][c] <= TINY) continue;
        ratio = d->at[i][d->width] / d->at[i][c];
        if (best < 0 || ratio < least || (ratio == least && d->row_name[i] < d->row_name[best])) {
            best = i;
            least = ratio;
        }
    }
    return best;
}

static double largest_of(const struct game *g, int j)
{
    double most = 0;

    for (int i = 0; i < g->n; i++)
        if (g->rows[i][j] > most) most = g->rows[i][j];
    return most;
}

/* Of all; a component that no vector has is told in *none. */
static double largest(const struct game *g, int *none)
{
    double most = 0;

    *none = -1;
    for (int j = 0; j < g->width; j++) {
        double of = largest_of(g, j);

        if (of <= 0) *none = j;
        if (of > most) most = of;
    }
    return most;
}

static void set_up(struct dictionary *d, const struct game *g, double scale)
{
    memset(d, 0, sizeof *d);
    d->n = g->n;
    d->width = g->width;
    for (int i = 0; i < g->n; i++) {
        for (int j = 0; j < g->width; j++)
            d->at[i][j] = g->rows[i][j] / scale;
        d->at[i][g->width] = 1;
        d->row_name[i] = g->width + i;
    }
    for (int j = 0; j < g->width; j++) {
        d->at[g->n][j] = 1;
        d->col_name[j] = j;
    }
}

double game_value(const struct game *g, double weights[GAME_COLS])
{
    struct dictionary d;
    int none;
    double scale = largest(g, &none), sum = 0;

    memset(weights, 0, GAME_COLS * sizeof *weights);
    if (none >= 0) {
        weights[none] = 1;
        return 0;
    }
    set_up(&d, g, scale);
    for (int turn = 0; turn < PIVOTS; turn++) {
        int c = entering(&d), r;

        if (c < 0 || (r = leaving(&d, c)) < 0) break;
        pivot(&d, r, c);
    }
    for (int i = 0; i < d.n; i++)
        if (d.row_name[i] < g->width && d.at[i][g->width] > 0)
            sum += weights[d.row_name[i]] = d.at[i][g->width];
    for (int j = 0; j < g->width; j++)
        weights[j] /= sum;
    return scale / sum;
}
