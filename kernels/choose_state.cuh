/* choose_state.cuh - wishes on their way to the device, and choices on their way back.
 *
 * Both pass through pinned memory, one piece after the other until the stream is waited for; then
 * the choices go where their calls asked for them, and the memory is free again.
 */
#ifndef KERNELS_CHOOSE_STATE_CUH
#define KERNELS_CHOOSE_STATE_CUH

#include "kernels/cuda_stream.cuh"

/* A struct wish as the kernel reads it. */
struct device_wish {
    double draw, log_min_p;
    float temperature, inv_temperature, top_p;
    float repetition, frequency, presence;
    int32_t top_k, n_top, n_edits, first_edit;
    bool greedy, has_min_p;
};

/* One call's parts of the device's memory. */
struct choose_call {
    struct choice *choices;
    struct device_wish *wishes;
    struct edit *edits;
    float *was; /* for each edit */
    int at;     /* row of the first choice */
};

/* Notes the call and sends its wishes. */
int choose_send(struct choose_call *c, struct choice *out, const struct wish *wishes, int n,
                struct stream *s);
/* Brings its choices to pinned memory. */
int choose_fetch(const struct choose_call *c, int n, struct stream *s);

#endif
