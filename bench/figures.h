/* figures.h - the figures of bench_queue, by group, and what they share.
 *
 * A group prints its figures with report_figure.  What one group measures and another is held to
 * stands in struct figures; 0 is: not measured yet (the group was not asked for).
 *
 * Errors  end the benchmark (report_fail).
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdbool.h>

#include "bench/bed.h"
#include "bench/report.h"
#include "bench/store.h"

#define FIGURES_MAX_ROUNDS 15
#define FIGURES_RAW        0.60  /* of raw SQLite that the whole queue is to reach */
#define FIGURES_RAW_GROUP  16384 /* rows of a raw commit: what is best for random ids */

struct figures {
    struct bed bed;
    int rows, rounds;
    int64_t big;       /* rows of the largest file */
    double beanstalkd; /* jobs/s of reserve and delete, fsync every 50 ms */
    double life;       /* rows/s */
    double life_p99_ms;
};

/* One pass of a store over n rows in groups: rows/s.  finish: the rows are put first, without being
 * timed.  commit_ms may be NULL, else it has room for n / group + 1 more from *n_commits on. */
double figures_pass(struct figures *f, const struct store *s, bool finish, bool uuids, int group,
                    double *commit_ms, size_t *n_commits);

void figures_store(struct figures *f);  /* the queue's functions against bare SQLite */
void figures_rivals(struct figures *f); /* other durable queues */
void figures_submit(struct figures *f); /* a file through the command line and the broker */
void figures_life(struct figures *f);   /* grant, message, result, durable ack */
void figures_single(struct figures *f); /* one job a message, one worker */
void figures_big(struct figures *f);    /* many rows queued: memory, start, progress */
void figures_export(struct figures *f); /* results to a file */

/* Prints a figure of this benchmark. */
void figures_print(const char *what, double value, const char *unit, const char *against,
                   double ratio, double target, double limit);

#endif
