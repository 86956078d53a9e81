/* stream.cpp - streams, events, and the graphs that a capture makes. */
#include <mutex>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/emu/card.h"
#include "kernels/emu/launch.h"

/* Work in the order in which it was recorded, which is one that every dependency allows.  Shared by
 * the streams that record it, then by graphs and what is made of them. */
struct body {
    struct emu_node *first, **last;
    size_t n;
    int refs;
    bool spoilt;
};

struct CUstream_st {
    int device;
    unsigned flags;
    struct body *capture; /* NULL unless it records */
    bool origin, relaxed, global;
    size_t n_recorded;
    size_t n_joined; /* how much of it the origin waits for */
    const char *thread;
    struct CUstream_st *next; /* of those that record */
};

struct CUevent_st {
    unsigned flags;
    bool recorded;
    struct timespec at;
    struct body *capture; /* recorded in a capture */
    struct CUstream_st *stream;
    size_t serial;
};

struct CUgraph_st {
    struct body *body;
};

struct CUgraphExec_st {
    struct body *body;
};

/* The emulated driver's own state; a process has one driver. */
static std::mutex lock;
static struct CUstream_st *recording;
static thread_local char this_thread; /* its address is the thread's name */

static void body_drop(struct body *b)
{
    if (!b || --b->refs) return;
    for (struct emu_node *n = b->first, *next; n; n = next) {
        next = n->next;
        n->drop(n);
    }
    free(b);
}

static bool is_default(cudaStream_t s)
{
    return s == NULL || s == cudaStreamLegacy || s == cudaStreamPerThread;
}

static struct body *capture_of(cudaStream_t s)
{
    return is_default(s) ? NULL : s->capture;
}

bool emu_capture_spoil(void)
{
    std::lock_guard<std::mutex> hold(lock);
    bool any = false;

    for (struct CUstream_st *s = recording; s; s = s->next)
        if (s->global || (!s->relaxed && s->thread == &this_thread))
            any = s->capture->spoilt = true;
    return any;
}

/* The legacy stream waits for all blocking streams; one that records cannot be waited for. */
static bool legacy_blocked(cudaStream_t stream)
{
    if (stream != NULL && stream != cudaStreamLegacy) return false;
    std::lock_guard<std::mutex> hold(lock);
    for (struct CUstream_st *s = recording; s; s = s->next)
        if (!(s->flags & cudaStreamNonBlocking)) {
            s->capture->spoilt = true;
            return true;
        }
    return false;
}

static cudaError_t node_run(struct emu_node *node)
{
    const int rc = node->run(node);

    return rc ? emu_break(rc) : cudaSuccess;
}

cudaError_t emu_submit(cudaStream_t stream, struct emu_node *node)
{
    struct body *b = capture_of(stream);
    cudaError_t rc;

    if (b && !b->spoilt) {
        node->next = NULL;
        *b->last = node;
        b->last = &node->next;
        b->n++;
        stream->n_recorded++;
        return emu_error(0);
    }
    if (b)
        rc = emu_error(cudaErrorStreamCaptureInvalidated);
    else if (legacy_blocked(stream))
        rc = emu_error(cudaErrorStreamCaptureImplicit);
    else if (emu_broken())
        rc = emu_error(0);
    else
        rc = node_run(node);
    node->drop(node);
    return rc;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    *stream = (cudaStream_t)calloc(1, sizeof **stream);
    if (!*stream) return emu_error(cudaErrorMemoryAllocation);
    (*stream)->device = emu_device();
    (*stream)->flags = flags;
    return emu_error(0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

static void recording_leave(struct CUstream_st *stream)
{
    struct CUstream_st **at = &recording;

    while (*at && *at != stream)
        at = &(*at)->next;
    if (*at) *at = stream->next;
    body_drop(stream->capture);
    stream->capture = NULL;
}

static void recording_enter(struct CUstream_st *stream, struct body *b)
{
    stream->capture = b;
    stream->n_recorded = stream->n_joined = 0;
    stream->thread = &this_thread;
    stream->next = recording;
    recording = stream;
    b->refs++;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    if (is_default(stream)) return emu_error(cudaErrorInvalidResourceHandle);
    if (stream->capture) {
        std::lock_guard<std::mutex> hold(lock);
        stream->capture->spoilt = true;
        recording_leave(stream);
    }
    free(stream);
    return emu_error(0);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (capture_of(stream)) {
        stream->capture->spoilt = true;
        return emu_error(cudaErrorStreamCaptureUnsupported);
    }
    return emu_error(legacy_blocked(stream) ? cudaErrorStreamCaptureImplicit : cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return cudaStreamSynchronize(stream);
}

struct host_call {
    struct emu_node node; /* first */
    cudaHostFn_t fn;
    void *user;
};

static int host_call_run(struct emu_node *node)
{
    struct host_call *c = (struct host_call *)(void *)node;

    c->fn(c->user);
    return 0;
}

static void node_free(struct emu_node *node)
{
    free(node);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *user)
{
    struct host_call *c = (struct host_call *)malloc(sizeof *c);

    if (!c) return emu_error(cudaErrorMemoryAllocation);
    *c = {{host_call_run, node_free, NULL}, fn, user};
    return emu_submit(stream, &c->node);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    *event = (cudaEvent_t)calloc(1, sizeof **event);
    if (!*event) return emu_error(cudaErrorMemoryAllocation);
    (*event)->flags = flags;
    return emu_error(0);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

static void event_uncapture(cudaEvent_t event)
{
    std::lock_guard<std::mutex> hold(lock);

    body_drop(event->capture);
    event->capture = NULL;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!event) return emu_error(cudaErrorInvalidResourceHandle);
    event_uncapture(event);
    free(event);
    return emu_error(0);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    struct body *b = capture_of(stream);

    if (!event) return emu_error(cudaErrorInvalidResourceHandle);
    event_uncapture(event);
    if (b) {
        b->refs++;
        event->capture = b;
        event->stream = stream;
        event->serial = stream->n_recorded;
        return emu_error(0);
    }
    if (legacy_blocked(stream)) return emu_error(cudaErrorStreamCaptureImplicit);
    event->recorded = true;
    clock_gettime(CLOCK_MONOTONIC, &event->at);
    return emu_error(0);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    if (!event) return emu_error(cudaErrorInvalidResourceHandle);
    if (event->capture) {
        event->capture->spoilt = true;
        return emu_error(cudaErrorCapturedEvent);
    }
    if (emu_capture_spoil()) return emu_error(cudaErrorStreamCaptureUnsupported);
    return emu_error(0);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return cudaEventQuery(event);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    if (!from || !to || !from->recorded || !to->recorded ||
        (from->flags | to->flags) & cudaEventDisableTiming)
        return emu_error(cudaErrorInvalidResourceHandle);
    *ms = (float)(1e3 * (double)(to->at.tv_sec - from->at.tv_sec) +
                  1e-6 * (double)(to->at.tv_nsec - from->at.tv_nsec));
    return emu_error(0);
}

/* The stream follows what was recorded up to the event: it records too, or the origin joins it. */
static cudaError_t wait_captured(cudaStream_t stream, cudaEvent_t event)
{
    std::lock_guard<std::mutex> hold(lock);

    if (is_default(stream)) return cudaErrorStreamCaptureImplicit;
    if (!stream->capture) {
        recording_enter(stream, event->capture);
        stream->origin = false;
        stream->relaxed = event->stream->relaxed;
        stream->global = event->stream->global;
    } else if (stream->capture != event->capture) {
        stream->capture->spoilt = event->capture->spoilt = true;
        return cudaErrorStreamCaptureMerge;
    } else if (event->stream != stream && event->stream->capture == event->capture) {
        event->stream->n_joined = event->serial + 1;
    }
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (!event) return emu_error(cudaErrorInvalidResourceHandle);
    if (event->capture) return emu_error(wait_captured(stream, event));
    if (capture_of(stream) && event->recorded) {
        stream->capture->spoilt = true;
        return emu_error(cudaErrorStreamCaptureIsolation);
    }
    return emu_error(0);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    struct body *b;

    if (is_default(stream)) return emu_error(cudaErrorStreamCaptureUnsupported);
    if (stream->capture) return emu_error(cudaErrorInvalidValue);
    b = (struct body *)calloc(1, sizeof *b);
    if (!b) return emu_error(cudaErrorMemoryAllocation);
    b->last = &b->first;
    std::lock_guard<std::mutex> hold(lock);
    recording_enter(stream, b);
    stream->origin = true;
    stream->relaxed = mode == cudaStreamCaptureModeRelaxed;
    stream->global = mode == cudaStreamCaptureModeGlobal;
    return emu_error(0);
}

/* Ends the recording of all streams of the body; whether one of them was not joined. */
static bool capture_end(struct body *b)
{
    bool unjoined = false;

    for (struct CUstream_st *s = recording, *next; s; s = next) {
        next = s->next;
        if (s->capture != b) continue;
        if (!s->origin && s->n_joined != s->n_recorded + 1) unjoined = true;
        recording_leave(s);
    }
    return unjoined;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct body *b = capture_of(stream);
    cudaError_t rc = cudaSuccess;

    *graph = NULL;
    if (!b) return emu_error(cudaErrorInvalidValue);
    std::lock_guard<std::mutex> hold(lock);
    if (!stream->origin) {
        b->spoilt = true;
        return emu_error(cudaErrorStreamCaptureUnmatched);
    }
    b->refs++;
    if (capture_end(b)) rc = cudaErrorStreamCaptureUnjoined;
    if (b->spoilt) rc = cudaErrorStreamCaptureInvalidated;
    if (!rc && !(*graph = (cudaGraph_t)calloc(1, sizeof **graph))) rc = cudaErrorMemoryAllocation;
    if (rc)
        body_drop(b);
    else
        (*graph)->body = b;
    return emu_error(rc);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    const struct body *b = capture_of(stream);

    *status = !b          ? cudaStreamCaptureStatusNone
              : b->spoilt ? cudaStreamCaptureStatusInvalidated
                          : cudaStreamCaptureStatusActive;
    return emu_error(0);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = NULL;
    if (!graph) return emu_error(cudaErrorInvalidValue);
    *exec = (cudaGraphExec_t)calloc(1, sizeof **exec);
    if (!*exec) return emu_error(cudaErrorMemoryAllocation);
    std::lock_guard<std::mutex> hold(lock);
    (*exec)->body = graph->body;
    graph->body->refs++;
    return emu_error(0);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t)
{
    return emu_error(exec ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    if (!exec) return emu_error(cudaErrorInvalidValue);
    if (capture_of(stream)) {
        stream->capture->spoilt = true;
        return emu_error(cudaErrorStreamCaptureUnsupported);
    }
    if (legacy_blocked(stream)) return emu_error(cudaErrorStreamCaptureImplicit);
    for (struct emu_node *n = exec->body->first; n && !emu_broken(); n = n->next)
        node_run(n);
    return emu_error(0);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void *nodes, size_t *n)
{
    if (!graph || nodes) return emu_error(cudaErrorInvalidValue); /* only their number is known */
    *n = graph->body->n;
    return emu_error(0);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    if (!graph) return emu_error(cudaErrorInvalidValue);
    std::lock_guard<std::mutex> hold(lock);
    body_drop(graph->body);
    free(graph);
    return emu_error(0);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    if (!exec) return emu_error(cudaErrorInvalidValue);
    std::lock_guard<std::mutex> hold(lock);
    body_drop(exec->body);
    free(exec);
    return emu_error(0);
}
