/* scores_ref.c - passes over the logits of one row, plainly. */
#include "kernels/scores.h"

#include <math.h>

int32_t scores_best_ref(const float *x, int V)
{
    int32_t best = -1;

    for (int32_t i = 0; i < V; i++)
        if (!isnan(x[i]) && (best < 0 || x[i] > x[best])) best = i;
    return best < 0 ? 0 : best;
}

static double weight(float x, float top, float scale)
{
    const double d = ((double)x - (double)top) * (double)scale;

    return d >= -87 ? exp(d) : 0;
}

double scores_sum_ref(const float *x, int V, float top, float scale)
{
    double sum = 0;

    for (int i = 0; i < V; i++)
        sum += weight(x[i], top, scale);
    return sum;
}

void scores_weights_ref(float *w, const float *x, int n, float top, float scale)
{
    for (int i = 0; i < n; i++)
        w[i] = (float)weight(x[i], top, scale);
}

int scores_above_ref(int32_t *ids, const float *x, int n, int32_t from, float floor)
{
    int found = 0;

    for (int i = 0; i < n; i++)
        if (x[i] >= floor) ids[found++] = from + i;
    return found;
}
