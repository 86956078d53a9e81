/* race.c - rivals on the same data, one after the other, in turns, and the median time of each. */
#include "bench/race.h"

#include "base/clock.h"
#include "bench/report.h"

#define SAMPLE_S 1e-3 /* a sample takes at least this, and a rival ... */
#define ENOUGH_S 0.5  /* ... that used this much sits out once it has RACE_FEWEST */

static double seconds(const struct rival *r, int calls)
{
    const int64_t start_ns = clock_thread_ns();

    for (int i = 0; i < calls; i++)
        r->work(r->arg);
    return (double)(clock_thread_ns() - start_ns) * 1e-9;
}

/* The first call warms the caches up, the second says how many make a sample. */
static void warm_up(struct rival *r)
{
    double once;

    seconds(r, 1);
    once = seconds(r, 1);
    r->calls = once < SAMPLE_S ? (int)(SAMPLE_S / (once + 1e-9)) + 1 : 1;
    r->n_samples = 0;
    r->seconds = 0;
}

void race(struct rival *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        warm_up(&r[i]);
    for (size_t round = 0; round < RACE_ROUNDS; round++) {
        for (size_t i = 0; i < n; i++) {
            if (round >= RACE_FEWEST && r[i].seconds > ENOUGH_S) continue;
            const double s = seconds(&r[i], r[i].calls);

            r[i].sample[r[i].n_samples++] = s / r[i].calls;
            r[i].seconds += s;
        }
    }
    for (size_t i = 0; i < n; i++)
        r[i].seconds = report_median(r[i].sample, r[i].n_samples);
}
