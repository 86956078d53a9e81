/* stream.h - what a stream, an event and a captured body are; for stream.cpp and graph.cpp.
 *
 * A stream does its work at once, or, with EMU_STREAM=late, when somebody waits for it: then a
 * result that is read too early, and a source that is changed too early, are seen.  The default
 * stream always works at once, after what blocking streams still have to do.
 *
 * Threads  a stream's queue has a lock of its own; captures and bodies share one.
 */
#ifndef KERNELS_EMU_STREAM_H
#define KERNELS_EMU_STREAM_H

#include <mutex>
#include <stddef.h>
#include <time.h>

#include "kernels/emu/launch.h"

/* Work in the order in which it was recorded, which is one that every dependency allows.  Shared by
 * the streams that record it, then by graphs and what is made of them. */
struct emu_body {
    struct emu_node *first, **last;
    size_t n;
    int refs;
    bool spoilt;
};

/* One record of an event: work behind it waits until it has been reached. */
struct emu_mark {
    int refs; /* of the event, and of the nodes that name it */
    bool reached;
    struct timespec at;
    struct CUstream_st *stream; /* that will reach it */
};

struct CUstream_st {
    int device;
    unsigned flags;
    bool late;
    std::recursive_mutex lock;
    struct emu_node *first, **last; /* work not yet done */
    struct CUstream_st *next;       /* of all streams */

    struct emu_body *capture; /* NULL unless it records */
    bool origin, relaxed, global;
    size_t n_recorded;
    size_t n_joined;    /* how much of it the origin waits for, plus 1 */
    const void *thread; /* that records */
    struct CUstream_st *next_recording;
};

struct CUevent_st {
    unsigned flags;
    struct emu_mark *mark;    /* NULL until it is recorded outside a capture */
    struct emu_body *capture; /* recorded in a capture */
    struct CUstream_st *stream;
    size_t serial;
};

static inline bool emu_stream_is_default(cudaStream_t s)
{
    return s == NULL || s == cudaStreamLegacy || s == cudaStreamPerThread;
}

static inline struct emu_body *emu_capture_of(cudaStream_t s)
{
    return emu_stream_is_default(s) ? NULL : s->capture;
}

/* Runs one node, unless the device is broken. */
cudaError_t emu_node_run(struct emu_node *node);

/* The legacy stream waits for all blocking streams; one that records cannot be waited for. */
bool emu_legacy_blocked(cudaStream_t stream);
/* An event, or a stream that goes away, leaves its capture. */
void emu_event_uncapture(cudaEvent_t event);
void emu_stream_uncapture(cudaStream_t stream);
/* The event becomes a part of the stream's capture; the stream follows an event of a capture. */
void emu_event_capture(cudaEvent_t event, cudaStream_t stream);
cudaError_t emu_wait_captured(cudaStream_t stream, cudaEvent_t event);

#endif
