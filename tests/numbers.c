/* numbers.c - made-up numbers for the suites of kernels/, and how far two results are apart. */
#include "tests/numbers.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/simd.h"

float numbers_draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*seed >> 32) * 0x1p-31f;
}

float *numbers_take(uint64_t *seed, size_t n)
{
    float *f = malloc(n * sizeof *f + 1);

    for (size_t i = 0; f && i < n; i++)
        f[i] = numbers_draw(seed);
    return f;
}

double numbers_worst(const float *a, const float *b, size_t rows, size_t width, double rtol)
{
    double most = 0;

    for (size_t r = 0; r < rows; r++) {
        double top = 0, off = 0;

        for (size_t i = r * width; i < (r + 1) * width; i++) {
            const double d = fabs((double)a[i] - (double)b[i]);

            top = fmax(top, fabs((double)b[i]));
            off = isnan(d) ? HUGE_VAL : fmax(off, d);
        }
        if (off > 0) most = fmax(most, off / (rtol * top));
    }
    return most;
}

bool numbers_level(int i)
{
    static const enum simd_level LEVELS[NUMBERS_LEVELS] = {SIMD_BASE, SIMD_V3, SIMD_V4};

    simd_cap(SIMD_V4);
    if (simd_level() < LEVELS[i]) return false;
    simd_cap(LEVELS[i]);
    return true;
}
