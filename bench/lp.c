/* lp.c - the simplex method. */
#include "bench/lp.h"

#include <math.h>
#include <stdlib.h>

#define TINY 1e-12

/* One row for each constraint, the last one for the aim; one column for each variable that is
 * outside the basis, the last one for the right-hand side. */
struct tableau {
    int rows, cols;
    double *t;  /* [rows + 1][cols + 1] */
    int *basic; /* [rows] the variable of a row: x for 0..cols-1, then the slacks */
    int *outer; /* [cols] of a column */
};

static double *at(const struct tableau *s, int row, int col)
{
    return s->t + (size_t)row * (size_t)(s->cols + 1) + col;
}

static void swap_basis(struct tableau *s, int row, int col)
{
    const double by = 1 / *at(s, row, col);
    const int was = s->basic[row];

    for (int j = 0; j <= s->cols; j++)
        *at(s, row, j) *= by;
    *at(s, row, col) = by;
    for (int i = 0; i <= s->rows; i++) {
        const double f = *at(s, i, col);

        if (i == row || f == 0) continue;
        *at(s, i, col) = 0;
        for (int j = 0; j <= s->cols; j++)
            *at(s, i, j) -= f * *at(s, row, j);
    }
    s->basic[row] = s->outer[col];
    s->outer[col] = was;
}

/* The column whose variable gains most, -1: none gains. */
static int entering(const struct tableau *s)
{
    int best = -1;

    for (int j = 0; j < s->cols; j++)
        if (*at(s, s->rows, j) > TINY && (best < 0 || *at(s, s->rows, j) > *at(s, s->rows, best)))
            best = j;
    return best;
}

/* The row that is full first as that variable grows, -1: none is. */
static int leaving(const struct tableau *s, int col)
{
    int best = -1;
    double least = INFINITY;

    for (int i = 0; i < s->rows; i++) {
        const double f = *at(s, i, col);

        if (f <= TINY || *at(s, i, s->cols) / f >= least) continue;
        least = *at(s, i, s->cols) / f;
        best = i;
    }
    return best;
}

static void fill(struct tableau *s, const double *a, const double *b, const double *c)
{
    double most = TINY;

    for (int i = 0; i < s->rows; i++)
        if (b[i] > most) most = b[i];
    for (int i = 0; i < s->rows; i++) {
        for (int j = 0; j < s->cols; j++)
            *at(s, i, j) = a[(size_t)i * (size_t)s->cols + (size_t)j];
        *at(s, i, s->cols) = b[i] + LP_SLACK * most * (i + 1) / s->rows;
        s->basic[i] = s->cols + i;
    }
    for (int j = 0; j < s->cols; j++) {
        *at(s, s->rows, j) = c[j];
        s->outer[j] = j;
    }
    *at(s, s->rows, s->cols) = 0;
}

int lp_maximise(int rows, int cols, const double *a, const double *b, const double *c, double *x,
                double *value)
{
    struct tableau s = {rows, cols, NULL, NULL, NULL};
    int rc = ERR_NOMEM, col, row;

    s.t = malloc((size_t)(rows + 1) * (size_t)(cols + 1) * sizeof *s.t);
    s.basic = malloc((size_t)rows * sizeof *s.basic + 1);
    s.outer = malloc((size_t)cols * sizeof *s.outer + 1);
    if (!s.t || !s.basic || !s.outer) goto out;
    fill(&s, a, b, c);
    rc = ERR_ARG;
    while ((col = entering(&s)) >= 0) {
        if ((row = leaving(&s, col)) < 0) goto out;
        swap_basis(&s, row, col);
    }
    for (int j = 0; j < cols; j++)
        x[j] = 0;
    for (int i = 0; i < rows; i++)
        if (s.basic[i] < cols) x[s.basic[i]] = *at(&s, i, cols);
    *value = -*at(&s, rows, cols);
    rc = ERR_OK;
out:
    free(s.t);
    free(s.basic);
    free(s.outer);
    return rc;
}
