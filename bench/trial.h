/* trial.h - one batch by the real broker and real workers, timed.
 *
 * The broker and the workers are started on an empty queue file.  All instances have joined before
 * they get rows: the batch is submitted then, or is there already, paused, and resumed.
 *
 * Units    seconds on the wall, to the commit of the last row as the file has it: from the start of
 *          `nightmill submit`, or of `nightmill resume`.
 * Errors   end the benchmark (report_fail): a row that failed, or is not done after limit_s, too.
 */
#ifndef BENCH_TRIAL_H
#define BENCH_TRIAL_H

#include "bench/bed.h"

#define TRIAL_WORKERS 24
#define TRIAL_WORDS   16

struct trial {
    const char *policy;  /* of the broker's --policy; NULL: as it comes */
    const char *input;   /* a JSONL file */
    int64_t rows;        /* in it */
    bool is_there_first; /* the batch: only to be resumed */
    int instances;       /* of all workers */
    int n_workers;       /* processes: what follows `nightmill worker --db FILE` */
    const char *workers[TRIAL_WORKERS][TRIAL_WORDS];
    double limit_s;
};

struct trial_result {
    double seconds;
    int64_t prompt_tokens, output_tokens, cached_tokens;
    uint64_t answers; /* a hash of all texts by custom_id: equal for equal answers */
};

/* What the file holds stays until the bed is cleared: figures of instances are asked for then. */
void trial_run(struct bed *b, const struct trial *t, struct trial_result *out);

#endif
