/* lengths.h - how long prompts and answers are: a joint histogram.
 *
 * Classes of tokens are exact below 16 and a quarter of an octave wide above: what is told of a
 * class is the mean of what fell into it, so sums are exact.
 *
 * Units      tokens.
 * Threads    none of its own.
 * Ownership  lengths_open/lengths_close; 250 KB.
 * Errors     ERR_NOMEM.
 *
 * LN1  lengths_cells keeps all rows and, but for rounding, all tokens, whatever it has to merge.
 */
#ifndef CLIENTS_LENGTHS_H
#define CLIENTS_LENGTHS_H

#include <stdint.h>

#include "base/err.h"
#include "broker/plan.h"

#define LENGTHS_CLASSES 96 /* the last one begins at 14,680,064 tokens */

struct lengths {
    int64_t rows, prompt, output; /* sums */
    struct lengths_cell {
        int64_t rows, prompt, output;
    } at[LENGTHS_CLASSES][LENGTHS_CLASSES]; /* by the class of the prompt, of the answer */
};

int lengths_open(struct lengths **out) MUSTCHECK;
void lengths_close(struct lengths **l);

int lengths_class(int64_t tokens);
void lengths_add(struct lengths *l, int64_t prompt, int64_t output);

/* The answer of a row with such a prompt at quantile u of [0, 1): of rows with prompts of its
 * octave where there are LENGTHS_ENOUGH, otherwise of all; 0 of none. */
#define LENGTHS_ENOUGH 100
int64_t lengths_answer(const struct lengths *l, int64_t prompt, double u);

/* At most PLAN_CELLS cells; classes next to each other are merged until they are so few. */
void lengths_cells(const struct lengths *l, struct plan_workload *w);

#endif
