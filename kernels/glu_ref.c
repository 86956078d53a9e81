/* glu_ref.c - the gated unit of the feed-forward layer: the meaning. */
#include "kernels/glu.h"

#include <math.h>

#include "base/err.h"

static double activate(double x, enum glu g)
{
    switch (g) {
    case GLU_SILU: return x / (1.0 + exp(-x));
    case GLU_GELU_TANH: return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case GLU_GELU: return x / 2 * (1 + erf(x / sqrt(2.0)));
    }
    return NAN;
}

int glu_ref(void *yp, const void *gatep, const void *upp, int T, int F, int step, enum glu g,
            struct stream *s)
{
    const float *gate = gatep, *up = upp;
    float *y = yp;

    (void)s;
    if (T < 0 || F <= 0 || step < F) return ERR_ARG;
    for (int t = 0; t < T; t++, y += F, gate += step, up += step)
        for (int f = 0; f < F; f++)
            y[f] = (float)(activate((double)gate[f], g) * (double)up[f]);
    return ERR_OK;
}
