/* race.h - rivals on the same data, one after the other, in turns, and the median time of each.
 *
 * Time is the calling thread's processor time: other programs on the machine cost caches, but no
 * seconds.  So this is for work that one thread does without waiting.
 */
#ifndef BENCH_RACE_H
#define BENCH_RACE_H

#include <stddef.h>

#define RACE_ROUNDS 15 /* samples; at least RACE_FEWEST of a rival that is slow */
#define RACE_FEWEST 3

struct rival {
    void (*work)(void *arg);
    void *arg;
    double seconds; /* out: of one call, the median */
    double sample[RACE_ROUNDS];
    size_t n_samples;
    int calls; /* in a sample: so many that the clock's grain does not matter */
};
void race(struct rival *r, size_t n);

#endif
