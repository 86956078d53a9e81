/* numbers.h - made-up numbers for the suites of kernels/, and how far two results are apart. */
#ifndef TESTS_NUMBERS_H
#define TESTS_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Even in [-1, 1); equal seeds give equal sequences. */
float numbers_draw(uint64_t *seed);

/* n of them; the caller frees.  n may be 0. */
float *numbers_take(uint64_t *seed, size_t n);

/* Largest |a - b| in units of the row's tolerance, rtol * max |b|; NaN counts as worst. */
double numbers_worst(const float *a, const float *b, size_t rows, size_t width, double rtol);

/* Caps the level of kernels/simd.h by the loop test's index, 0 to NUMBERS_LEVELS - 1; false where
 * the machine lacks it. */
#define NUMBERS_LEVELS 3
bool numbers_level(int i);

#endif
