/* gpu.h - the figures of bench_gpu, by group, and what they share: a device, its measured limits, a
 * model that nobody trained.
 *
 * Time is on the wall, from a device that has nothing to do until it has nothing to do again.  On
 * the emulation shapes are tiny, and the machine of each line says that nothing was measured.
 *
 * Ownership  gpu_open/gpu_close; gpu_close removes the model where it was not asked to be kept.
 * Errors     end the benchmark (report_fail).
 */
#ifndef BENCH_GPU_H
#define BENCH_GPU_H

#include <limits.h>

#include "bench/bed.h"
#include "bench/random_model.h"
#include "kernels/plugin.h"
#include "model/model.h"
#include "worker/engine.h"

#define GPU_ROUNDS    3
#define GPU_MAX_TUNED 64

/* What is timed: Llama-3.1-8B's shape, or one for the emulation. */
struct gpu_sizes {
    struct random_model model;
    int square;               /* of the matrix product */
    size_t copy_bytes;        /* of the copy */
    int calls;                /* in a sample */
    int batches[2];           /* sequences of a decode step ... */
    int contexts[2];          /* ... and their tokens */
    int steps;                /* that are timed */
    int prefill;              /* tokens */
    int rows, prompt, answer; /* of the whole engine, at most */
    int seqs, budget;         /* of a step */
    size_t kv_bytes;          /* 0: what --gpu-memory-utilization leaves */
};

/* Measured in this run; 0: not yet. */
struct gpu_rates {
    double copy;      /* bytes/s, read and written */
    double bf16, fp8; /* flops/s */
};

/* What measuring found, so that the next engine has it. */
struct gpu_tuned {
    char name[48];
    void *bytes;
    size_t len;
};

struct gpu {
    const struct plugin *plugin;
    const struct device *device;
    struct device_facts facts;
    struct gpu_sizes sizes;
    struct gpu_rates rates;
    struct bed bed;
    char folder[PATH_MAX]; /* of the model */
    bool keep;
    struct model *model;
    int64_t end_ns; /* no group begins after it */
    struct tuning tuning;
    struct gpu_tuned tuned[GPU_MAX_TUNED];
    int n_tuned;
};

/* seconds: for all groups; folder NULL: a temporary one. */
void gpu_open(struct gpu *g, const char *beside, const char *folder, bool tiny, int seconds);
void gpu_close(struct gpu *g);

double gpu_left_s(const struct gpu *g);
/* Are so many seconds left?  When not: one line that names what is left out.  Always on the
 * emulation. */
bool gpu_has_time(const struct gpu *g, const char *what, int seconds);
const struct model *gpu_model(struct gpu *g); /* made and opened at the first call */
void gpu_say(const char *figure, double value, const char *unit, double target, double limit);

/* The bytes of a token's K and V, the weights of all layers, and those of the head. */
double gpu_kv_bytes(const struct gpu *g, enum dtype d);
double gpu_layer_weights(const struct gpu *g);
double gpu_head_weights(const struct gpu *g);

/* How the engine is opened. */
struct gpu_engine {
    enum quantization quantization;
    enum dtype kv_dtype;
    bool batch_invariant;
    const struct device *device; /* NULL: as it is */
};
struct engine *gpu_engine_open(struct gpu *g, const struct gpu_engine *o);

/* Adds rows of made-up tokens, no two of which begin alike. */
void gpu_engine_add(struct gpu *g, struct engine *en, int rows, int prompt, int answer);
/* Takes what is done; the rows. */
int gpu_engine_take(struct engine *en);
/* One step; false: there is nothing to do. */
bool gpu_engine_step(struct engine *en);

void gpu_figures_rates(struct gpu *g);     /* the device's limits */
void gpu_figures_attention(struct gpu *g); /* the kernel of decoding tokens alone */
void gpu_figures_steps(struct gpu *g);     /* decode steps, prefill, the gap, batch-invariance */
void gpu_figures_rows(struct gpu *g);      /* the whole engine: bf16, fp8, and behind the broker */

#endif
