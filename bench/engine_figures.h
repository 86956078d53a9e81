/* engine_figures.h - the figures of bench_engine, by group, and what they share.
 *
 * Errors  end the benchmark (report_fail).
 */
#ifndef BENCH_ENGINE_FIGURES_H
#define BENCH_ENGINE_FIGURES_H

#include <limits.h>
#include <stdbool.h>

#include "bench/bed.h"

#define ENGINE_MAX_ROUNDS 15

struct engine_figures {
    struct bed bed;
    char folder[PATH_MAX]; /* of the models that are made, kept from run to run */
    char peer[PATH_MAX];   /* of libllama's virtual environment */
    int threads, rounds;
    int sequences; /* at most */
    bool alone;    /* no peer is asked */
};

/* The path of a file of a random model, which is made if it is not there. */
enum engine_model { ENGINE_BIG, ENGINE_SMALL };
void engine_model_path(struct engine_figures *f, enum engine_model which, const char *file,
                       char out[PATH_MAX]);

void engine_figures_stories(struct engine_figures *f); /* each: ours beside libllama */
void engine_figures_bf16(struct engine_figures *f);
void engine_figures_q8(struct engine_figures *f);
void engine_figures_prefix(struct engine_figures *f); /* rows that begin alike */
void engine_figures_memory(struct engine_figures *f); /* resident, of a worker at work */
void engine_figures_start(struct engine_figures *f);  /* from a worker's start to its first token */

#endif
