/* schedule_figures.h - the groups of figures of bench_schedule.
 *
 * rows: of each scenario; 0: as many as its figure is meant for.
 */
#ifndef BENCH_SCHEDULE_FIGURES_H
#define BENCH_SCHEDULE_FIGURES_H

#include <stdint.h>

void figures_pair(int64_t rows);    /* two instances, one slower, all the KV memory they want */
void figures_mixed(int64_t rows);   /* mixed cards, published lengths, KV limits */
void figures_unknown(int64_t rows); /* lengths predicted against lengths known */
void figures_tail(int64_t rows);    /* the last twentieth of the rows */
void figures_prefix(int64_t rows);  /* rows that begin alike: what is found in KV */
void figures_lease(int64_t rows);   /* so many jobs per lease, and left to the scheduler */
void figures_drain(int64_t rows);   /* an instance lost a minute */
void figures_course(int64_t rows);  /* curves over the time of a run */
void figures_cost(int64_t rows);    /* of a decision, with ten thousand instances */
/* Of the simulation, by the real broker and simulated workers; beside: the program's own path. */
void figures_real(const char *beside, int64_t rows);

#endif
