/* bed.h - a folder of its own with a queue file in it, and the real nightmill on that file.
 *
 * Threads  one; what is started is ended by its own pid, and cannot outlive the benchmark.
 * Errors   end the benchmark (report_fail).
 */
#ifndef BENCH_BED_H
#define BENCH_BED_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bed {
    char program[PATH_MAX]; /* nightmill */
    char dir[PATH_MAX], db[PATH_MAX], address[PATH_MAX];
    pid_t broker; /* 0: none */
};

/* beside: the benchmark's own path; nightmill lies one folder above it. */
void bed_open(struct bed *b, const char *beside);
void bed_close(struct bed *b); /* with all that lies in it */
void bed_clear(struct bed *b); /* the queue file goes */
void bed_path(const struct bed *b, const char *name, char out[PATH_MAX]);

pid_t bed_spawn(const char *const *words);               /* words[0] is the program; quiet */
bool bed_runs(pid_t pid);                                /* false once; then it is gone */
void bed_end(pid_t *pid);                                /* in order; waits */
double bed_run(struct bed *b, const char *const *words); /* nightmill; seconds; must end with 0 */

void bed_start(struct bed *b); /* a broker; returns at once */
/* Likewise, with options of its own; a NULL ends them. */
void bed_start_with(struct bed *b, const char *const *options);
void bed_ready(struct bed *b); /* when it answers */
void bed_stop(struct bed *b);
double bed_broker_mb(const struct bed *b); /* the most that was resident, millions of bytes */

int64_t bed_count(const struct bed *b, const char *sql); /* the one number it gives */

#endif
