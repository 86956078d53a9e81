/* engine_run.h - our engine on rows of made-up tokens, timed.
 *
 * Token k of row i is (131 i + 17 k + 7 k^2 + 3) mod (V - 1) + 1, also in llama_driver.py.  All
 * rows are there from the start, with the options of a worker.  Seconds are those of peak_clock_ns.
 *
 * Errors  end the benchmark (report_fail), also when a row's tokens are not all there.
 */
#ifndef BENCH_ENGINE_RUN_H
#define BENCH_ENGINE_RUN_H

#include "model/model.h"

struct engine;

#define ENGINE_RUN_MAX_ANSWER 1024

struct engine_load {
    int threads, sequences, prompt, answer;
};

struct engine_times {
    double total_s;
    double decode_s;                    /* of the steps that only decoded ... */
    double decoded;                     /* ... and their tokens */
    int32_t ids[ENGINE_RUN_MAX_ANSWER]; /* of the first row */
};

struct engine *engine_run_open(const struct model *m, const struct engine_load *l);
void engine_run(struct engine *en, const struct model *m, const struct engine_load *l,
                struct engine_times *out);

void engine_run_ids(int32_t *ids, int row, int n, int vocab);

#endif
