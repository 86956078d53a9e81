/* lengths.c - how long prompts and answers are. */
#include "clients/lengths.h"

#include <stdlib.h>
#include <string.h>

#define EXACT  16 /* classes of one length */
#define PARTS  4  /* of an octave */
#define OCTAVE 4  /* log2(EXACT) */

int lengths_open(struct lengths **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ERR_OK : ERR_NOMEM;
}

void lengths_close(struct lengths **l)
{
    free(*l);
    *l = NULL;
}

int lengths_class(int64_t tokens)
{
    const uint64_t t = tokens < 0 ? 0 : (uint64_t)tokens;
    int octave, class;

    if (t < EXACT) return (int)t;
    octave = 63 - __builtin_clzll(t);
    class = EXACT + (octave - OCTAVE) * PARTS + (int)(t >> (octave - 2) & (PARTS - 1));
    return class < LENGTHS_CLASSES ? class : LENGTHS_CLASSES - 1;
}

static void add_cell(struct lengths_cell *to, const struct lengths_cell *from)
{
    to->rows += from->rows;
    to->prompt += from->prompt;
    to->output += from->output;
}

void lengths_add(struct lengths *l, int64_t prompt, int64_t output)
{
    const struct lengths_cell one = {1, prompt, output};

    add_cell(&l->at[lengths_class(prompt)][lengths_class(output)], &one);
    l->rows++;
    l->prompt += prompt;
    l->output += output;
}

/* --- answers of rows like this ---------------------------------------------------------------- */

/* The answers of rows whose prompts are of the classes from..to-1, by class. */
static int64_t sum_answers(const struct lengths *l, int from, int to,
                           struct lengths_cell sum[LENGTHS_CLASSES])
{
    int64_t rows = 0;

    memset(sum, 0, LENGTHS_CLASSES * sizeof *sum);
    for (int p = from; p < to && p < LENGTHS_CLASSES; p++)
        for (int o = 0; o < LENGTHS_CLASSES; o++) {
            add_cell(&sum[o], &l->at[p][o]);
            rows += l->at[p][o].rows;
        }
    return rows;
}

int64_t lengths_answer(const struct lengths *l, int64_t prompt, double u)
{
    struct lengths_cell sum[LENGTHS_CLASSES];
    const int class = lengths_class(prompt), from = class / PARTS * PARTS;
    int64_t rows = sum_answers(l, from, from + PARTS, sum), at, below = 0;

    if (rows < LENGTHS_ENOUGH) rows = sum_answers(l, 0, LENGTHS_CLASSES, sum);
    at = (int64_t)(u * (double)rows);
    for (int o = 0; o < LENGTHS_CLASSES; o++) {
        below += sum[o].rows;
        if (at < below) return (sum[o].output + sum[o].rows / 2) / sum[o].rows;
    }
    return 0;
}

/* --- cells ------------------------------------------------------------------------------------ */

/* All cells of 2^shift classes by 2^shift whose first is this one. */
static struct lengths_cell merged(const struct lengths *l, int prompt, int output, int shift)
{
    struct lengths_cell sum = {0};

    for (int p = prompt; p < prompt + (1 << shift) && p < LENGTHS_CLASSES; p++)
        for (int o = output; o < output + (1 << shift) && o < LENGTHS_CLASSES; o++)
            add_cell(&sum, &l->at[p][o]);
    return sum;
}

/* Writes them while there is room; returns how many there are. */
static int put_cells(const struct lengths *l, int shift, struct plan_workload *w)
{
    int n = 0;

    for (int p = 0; p < LENGTHS_CLASSES; p += 1 << shift)
        for (int o = 0; o < LENGTHS_CLASSES; o += 1 << shift) {
            const struct lengths_cell c = merged(l, p, o, shift);

            if (!c.rows) continue;
            if (n < PLAN_CELLS)
                w->cells[n] = (struct plan_cell){(int)((c.prompt + c.rows / 2) / c.rows),
                                                 (int)((c.output + c.rows / 2) / c.rows), c.rows};
            n++;
        }
    return n;
}

void lengths_cells(const struct lengths *l, struct plan_workload *w)
{
    int n, shift = 0;

    while ((n = put_cells(l, shift, w)) > PLAN_CELLS)
        shift++;
    w->n_cells = n;
    w->rows = l->rows;
}
