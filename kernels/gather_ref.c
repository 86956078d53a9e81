/* gather_ref.c - picks the tokens whose logits are wanted. */
#include "kernels/gather.h"

#include <string.h>

#include "base/err.h"

int gather_ref(void *y, const void *x, const struct ragged *r, int D, struct stream *s)
{
    const size_t row = (size_t)D * sizeof(float);

    (void)s;
    if (r->n_rows < 0 || D <= 0) return ERR_ARG;
    for (int i = 0; i < r->n_rows; i++)
        memcpy((char *)y + (size_t)i * row, (const char *)x + (size_t)r->rows[i] * row, row);
    return ERR_OK;
}
