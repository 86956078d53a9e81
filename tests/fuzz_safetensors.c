/* fuzz_safetensors.c - any bytes as a safetensors file.
 *
 * Held besides memory safety: every tensor lies inside the bytes (W1), and has those that its shape
 * and dtype give (W2).
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensor(const struct tensor *t, const char *begin, size_t len)
{
    size_t n = dtype_bytes(t->dtype);
    const char *at = t->data;
    volatile char seen = 0;

    for (int d = 0; d < t->n_dims; d++)
        n *= (size_t)t->shape[d];
    assert(n == t->bytes && at >= begin && t->bytes <= (size_t)(begin + len - at));
    assert(!((uintptr_t)at % dtype_bytes(t->dtype)));
    if (t->bytes) seen = at[0];
    if (t->bytes) seen = at[t->bytes - 1];
    (void)seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *s = NULL;
    struct errmsg e;
    uint8_t *own = malloc(size ? size : 1); /* aligned, and of exactly its size */

    if (!own) return 0;
    memcpy(own, data, size);
    if (!safetensors_from_bytes(&s, own, size, "fuzz", &e))
        for (int i = 0; i < safetensors_count(s); i++)
            check_tensor(safetensors_at(s, i), (const char *)own, size);
    safetensors_close(&s);
    free(own);
    return 0;
}
