/* softcap_ref.c - bounds numbers smoothly: the meaning. */
#include "kernels/softcap.h"

#include <math.h>

#include "base/err.h"

int softcap_ref(float *x, int T, int D, float cap, struct stream *s)
{
    (void)s;
    if (T < 0 || D <= 0 || !(cap > 0)) return ERR_ARG;
    for (size_t i = 0; i < (size_t)T * (size_t)D; i++)
        x[i] = (float)((double)cap * tanh((double)x[i] / (double)cap));
    return ERR_OK;
}
