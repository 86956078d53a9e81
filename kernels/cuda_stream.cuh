/* cuda_stream.cuh - what a struct stream is on CUDA; for the plug-in's own files.
 *
 * Every .cu file includes it and nothing of CUDA's own.  A launch function checks its arguments,
 * launches, and returns stream_launched(s, "op", "T=%d D=%d", T, D): the first failure stays in the
 * stream with the op and its shape, and `wait` tells it.  CUDA_SYNC=1 waits after every launch, so
 * that the guilty kernel is named, and records no graphs.
 *
 * Parts of the stream that belong to one op hang on it as a pointer of their own; prepare opens
 * them (once all limits are known), close frees them.
 */
#ifndef KERNELS_CUDA_STREAM_CUH
#define KERNELS_CUDA_STREAM_CUH

#include "kernels/cuda.cuh"

extern "C" {
#include "base/err.h"
#include "kernels/device.h"
}

struct step_state;   /* begin.cu: the step's arrays on the device, and the plan of attention */
struct linear_state; /* linear.cu: the library's handle, its workspace, the algorithms chosen */
struct choose_state; /* choose.cu: wishes and choices on their way */
struct coll;         /* coll_nccl.cu */
struct stream_own;   /* device_cuda.cu: memory that is given back, and what put passes through */

struct stream {
    int index; /* of the device */
    cudaStream_t at;
    int arch;     /* 90 for sm_90 */
    int sm_count; /* of this stream */
    bool batch_invariant;
    bool sync; /* CUDA_SYNC=1 */
    bool recording;
    const struct tuning *tuning;
    enum dtype act;            /* of the table whose prepare was called */
    struct step_limits limits; /* as prepare was told */
    struct step_state *step;
    struct linear_state *linear;
    struct choose_state *choose;
    struct stream_own *own;
    struct coll *coll; /* this rank's place in a group of NCCL's; NULL: it is alone */
    int rc;            /* the first failure since open, and what it says */
    struct errmsg failed;
};

/* Makes the stream's device this thread's: what calls CUDA and may be a thread's first call. */
int stream_enter(struct stream *s);
/* After a launch: ERR_OK, or ERR_CUDA with the op and its shape kept in s. */
int stream_launched(struct stream *s, const char *op, const char *shape, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a call of CUDA's: rc is what it returned. */
int stream_called(struct stream *s, cudaError_t rc, const char *op, const char *shape, ...)
    __attribute__((format(printf, 4, 5)));
/* Device memory that lives as long as the stream; NULL when there is none (kept in s). */
void *stream_take(struct stream *s, size_t bytes, const char *op);
/* Host memory that copies pass through without a stop, likewise. */
void *stream_pinned(struct stream *s, size_t bytes, const char *op);

/* Each op's file gives these; prepare and close call them. */
extern "C" int step_begin(struct ragged *on, const struct ragged *r, struct stream *s);
int step_open(struct stream *s);
void step_close(struct stream *s);
int linear_open(struct stream *s);
void linear_close(struct stream *s);
int choose_open(struct stream *s);
void choose_close(struct stream *s);
int choose_waited(struct stream *s); /* wait has returned: choices go where they were asked for */

/* Of a group of ranks: the error that it was given up for; telling it; and letting go what waits on
 * this rank's device for another. */
int coll_failed(const struct coll *c);
void coll_fail(struct coll *c, int rc);
void coll_give_up(struct coll *c);

#endif
