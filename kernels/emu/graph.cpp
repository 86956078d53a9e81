/* graph.cpp - captures, and the graphs that they make. */
#include <stdlib.h>
#include <string.h>

#include "kernels/emu/card.h"
#include "kernels/emu/stream.h"

struct CUgraph_st {
    struct emu_body *body;
};

struct CUgraphExec_st {
    struct emu_body *body;
};

/* The emulated driver's own state; a process has one driver. */
static std::mutex lock;
static struct CUstream_st *recording;
static thread_local char this_thread = 1; /* its address is the thread's name */

static void body_drop(struct emu_body *b)
{
    if (!b || --b->refs) return;
    for (struct emu_node *n = b->first, *next; n; n = next) {
        next = n->next;
        n->drop(n);
    }
    free(b);
}

bool emu_capture_spoil(void)
{
    std::lock_guard<std::mutex> hold(lock);
    bool any = false;

    for (struct CUstream_st *s = recording; s; s = s->next_recording)
        if (s->global || (!s->relaxed && s->thread == &this_thread))
            any = s->capture->spoilt = true;
    return any;
}

/* The legacy stream waits for all blocking streams; one that records cannot be waited for. */
bool emu_legacy_blocked(cudaStream_t stream)
{
    if (stream != NULL && stream != cudaStreamLegacy) return false;
    std::lock_guard<std::mutex> hold(lock);
    for (struct CUstream_st *s = recording; s; s = s->next_recording)
        if (!(s->flags & cudaStreamNonBlocking)) {
            s->capture->spoilt = true;
            return true;
        }
    return false;
}

static void recording_leave(struct CUstream_st *stream)
{
    struct CUstream_st **at = &recording;

    while (*at && *at != stream)
        at = &(*at)->next_recording;
    if (*at) *at = stream->next_recording;
    body_drop(stream->capture);
    stream->capture = NULL;
}

static void recording_enter(struct CUstream_st *stream, struct emu_body *b)
{
    stream->capture = b;
    stream->n_recorded = stream->n_joined = 0;
    stream->thread = &this_thread;
    stream->next_recording = recording;
    recording = stream;
    b->refs++;
}

void emu_stream_uncapture(cudaStream_t stream)
{
    std::lock_guard<std::mutex> hold(lock);

    if (!stream->capture) return;
    stream->capture->spoilt = true;
    recording_leave(stream);
}

void emu_event_uncapture(cudaEvent_t event)
{
    std::lock_guard<std::mutex> hold(lock);

    body_drop(event->capture);
    event->capture = NULL;
}

void emu_event_capture(cudaEvent_t event, cudaStream_t stream)
{
    std::lock_guard<std::mutex> hold(lock);

    stream->capture->refs++;
    event->capture = stream->capture;
    event->stream = stream;
    event->serial = stream->n_recorded;
}

/* The stream follows what was recorded up to the event: it records too, or the origin joins it. */
cudaError_t emu_wait_captured(cudaStream_t stream, cudaEvent_t event)
{
    std::lock_guard<std::mutex> hold(lock);

    if (emu_stream_is_default(stream)) return cudaErrorStreamCaptureImplicit;
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

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    struct emu_body *b;

    if (emu_stream_is_default(stream)) return emu_error(cudaErrorStreamCaptureUnsupported);
    if (stream->capture) return emu_error(cudaErrorInvalidValue);
    b = (struct emu_body *)calloc(1, sizeof *b);
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
static bool capture_end(struct emu_body *b)
{
    bool unjoined = false;

    for (struct CUstream_st *s = recording, *next; s; s = next) {
        next = s->next_recording;
        if (s->capture != b) continue;
        if (!s->origin && s->n_joined != s->n_recorded + 1) unjoined = true;
        recording_leave(s);
    }
    return unjoined;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct emu_body *b = emu_capture_of(stream);
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
    const struct emu_body *b = emu_capture_of(stream);

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

/* A launch of a graph is one node of a stream, and keeps the body. */
struct launch {
    struct emu_node node; /* first */
    struct emu_body *body;
};

static int launch_run(struct emu_node *node)
{
    cudaError_t rc = cudaSuccess;

    for (struct emu_node *n = ((struct launch *)(void *)node)->body->first; n && !rc; n = n->next)
        rc = emu_node_run(n);
    return rc;
}

static void launch_drop(struct emu_node *node)
{
    std::lock_guard<std::mutex> hold(lock);

    body_drop(((struct launch *)(void *)node)->body);
    free(node);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    struct launch *launch;

    if (!exec) return emu_error(cudaErrorInvalidValue);
    if (emu_capture_of(stream)) {
        stream->capture->spoilt = true;
        return emu_error(cudaErrorStreamCaptureUnsupported);
    }
    launch = (struct launch *)malloc(sizeof *launch);
    if (!launch) return emu_error(cudaErrorMemoryAllocation);
    *launch = {{launch_run, launch_drop, NULL}, exec->body};
    {
        std::lock_guard<std::mutex> hold(lock);
        exec->body->refs++;
    }
    return emu_submit(stream, &launch->node);
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
