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

int glu_ref(void *yp, const void *gatep, const void *upp, int T, int F, enum glu g,
            struct stream *s)
{
    const float *gate = gatep, *up = upp;
    float *y = yp;

    (void)s;
    if (T < 0 || F <= 0) return ERR_ARG;
    for (size_t i = 0; i < (size_t)T * (size_t)F; i++)
        y[i] = (float)(activate((double)gate[i], g) * (double)up[i]);
    return ERR_OK;
}
