/* numbers.c - memory filled with made-up numbers, the same in each run. */
#include "bench/numbers.h"

#include <stdint.h>
#include <stdlib.h>

#include "bench/report.h"

static uint64_t state = 1;

float numbers_draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

void *numbers_room(size_t n_bytes)
{
    void *p = aligned_alloc(64, (n_bytes + 63) & ~(size_t)63);

    if (!p) report_fail("no memory for %zu bytes", n_bytes);
    return p;
}

float *numbers_floats(size_t n)
{
    float *f = numbers_room(n * sizeof *f);

    for (size_t i = 0; i < n; i++)
        f[i] = numbers_draw();
    return f;
}
