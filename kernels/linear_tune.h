/* linear_tune.h - which of several ways computes a product, and how the choice is kept.
 *
 * A product (N, K, dtypes, steps) has a choice for each bucket of T: 1, 2, 4, ... 8192 tokens.  A T
 * belongs to the least bucket that holds it; what is larger than all, to the last.
 *
 * A choice is kept whole, for all buckets, under a name of TUNE_NAME bytes that is made from a
 * text: one line that says all that the choice depends on (GPU, driver, library, multiprocessors,
 * shape). The text is kept with it, so that two that share a name are told apart.
 *
 * Threads    none of its own; tuning's functions are called in the caller's thread.
 * Errors     none: what cannot be read is not found, and is measured again.
 *
 * TU1  what is found is what was kept under the same text, byte for byte, or nothing.
 * TU2  of candidates that are equally fast within TUNE_NOISE the earlier one is taken, so that
 *      noise does not make the choice.
 */
#ifndef KERNELS_LINEAR_TUNE_H
#define KERNELS_LINEAR_TUNE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/device.h"

#define TUNE_BUCKETS    14
#define TUNE_CANDIDATES 8 /* measured for a bucket, at most */
#define TUNE_NOISE      0.02f
#define TUNE_NAME       41
#define TUNE_TEXT       320

enum tune_way {
    TUNE_NONE,    /* nothing chosen yet */
    TUNE_LIBRARY, /* gemm.h, by the algorithm beside it */
    TUNE_ROWS,    /* linear_rows.h */
};

struct tune_choice {
    uint64_t way;
    uint64_t algo[8]; /* the library's own */
};

int tune_bucket(int T);
int tune_tokens(int bucket); /* the most that it holds */

/* The fastest of n times; below 0: could not be run.  -1 when none could. */
int tune_best(const float *ms, int n);

void tune_name(char name[TUNE_NAME], const char *text);
/* t may be NULL. */
bool tune_find(const struct tuning *t, const char *text, struct tune_choice choices[TUNE_BUCKETS]);
void tune_keep(const struct tuning *t, const char *text,
               const struct tune_choice choices[TUNE_BUCKETS]);

#endif
