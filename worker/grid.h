/* grid.h - the steps that a profile measures.
 *
 * Three series, each value about twice the one before, from the smallest to what a step can hold:
 *
 *   decode    n = 1, 2, 4 .. max_seqs sequences, near their start and deep in a context
 *   prefill   p = 16, 32 .. max_tokens tokens, as a prompt's first ones and deep in it
 *   mixed     a chunk of prefill beside sequences that decode, half deep
 *
 * Whole values are held out, every third of a series: the error on them is of steps that the fit
 * has seen nothing of the size of.  Points stand in turns of the series and from small to large, so
 * that one who runs out of time has some of each.
 *
 * Threads  no state.
 *
 * GR1  every point fits a step and the KV memory, with GRID_ANSWER tokens of answer for each
 *      sequence.
 */
#ifndef WORKER_GRID_H
#define WORKER_GRID_H

#include <stdbool.h>

#define GRID_MAX    96
#define GRID_SHORT  24   /* tokens: near the start */
#define GRID_DEEP   2048 /* at most */
#define GRID_ANSWER 8

struct grid_limits {
    int max_seqs, max_tokens; /* of a step */
    int max_len, kv_tokens;   /* of a sequence; of all */
    int deep_tokens;          /* of all sequences of a step: more context is not asked for */
};

struct grid_point {
    int n, context; /* decoding sequences, each behind so many tokens */
    int p, behind;  /* prefill tokens, behind so many of the same prompt */
    bool held_out;
};

/* Points written; out [GRID_MAX]. */
int grid_fill(struct grid_point *out, const struct grid_limits *l);

#endif
