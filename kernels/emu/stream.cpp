/* stream.cpp - streams and events: work done at once, or when somebody waits for it. */
#include "kernels/emu/stream.h"

#include <new>
#include <stdlib.h>
#include <string.h>

#include "kernels/emu/card.h"

/* The emulated driver's own state; a process has one driver. */
static std::recursive_mutex lock; /* of the list, taken before a stream's own */
static struct CUstream_st *streams;

cudaError_t emu_node_run(struct emu_node *node)
{
    int rc = emu_broken();

    if (!rc) rc = node->run(node);
    return rc ? emu_break(rc) : cudaSuccess;
}

/* Does the oldest work that the stream has put off; false when there is none. */
static bool stream_step(cudaStream_t s)
{
    std::lock_guard<std::recursive_mutex> hold(s->lock);
    struct emu_node *node = s->first;

    if (!node) return false;
    s->first = node->next;
    if (!s->first) s->last = &s->first;
    emu_node_run(node);
    node->drop(node);
    return true;
}

static void stream_drain(cudaStream_t s)
{
    while (stream_step(s)) {
    }
}

/* What the default stream waits for, or all. */
static void streams_drain(bool all)
{
    std::lock_guard<std::recursive_mutex> hold(lock);

    for (struct CUstream_st *s = streams; s; s = s->next)
        if (all || !(s->flags & cudaStreamNonBlocking)) stream_drain(s);
}

void emu_streams_wait(void)
{
    streams_drain(true);
}

static void stream_put_off(cudaStream_t s, struct emu_node *node)
{
    std::lock_guard<std::recursive_mutex> hold(s->lock);

    node->next = NULL;
    *s->last = node;
    s->last = &node->next;
}

static void stream_record(cudaStream_t s, struct emu_node *node)
{
    struct emu_body *b = s->capture;

    node->next = NULL;
    *b->last = node;
    b->last = &node->next;
    b->n++;
    s->n_recorded++;
}

bool emu_puts_off(cudaStream_t stream)
{
    return !emu_stream_is_default(stream) && stream->late && !stream->capture && !emu_broken();
}

cudaError_t emu_submit(cudaStream_t stream, struct emu_node *node)
{
    struct emu_body *b = emu_capture_of(stream);
    cudaError_t rc;

    if (b && !b->spoilt) {
        stream_record(stream, node);
        return emu_error(0);
    }
    if (emu_puts_off(stream)) {
        stream_put_off(stream, node);
        return emu_error(0);
    }
    if (b)
        rc = emu_error(cudaErrorStreamCaptureInvalidated);
    else if (emu_legacy_blocked(stream))
        rc = emu_error(cudaErrorStreamCaptureImplicit);
    else {
        if (emu_stream_is_default(stream)) streams_drain(false);
        rc = emu_node_run(node);
    }
    node->drop(node);
    return rc;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    const char *when = getenv("EMU_STREAM");
    struct CUstream_st *s = new (std::nothrow) CUstream_st();

    *stream = s;
    if (!s) return emu_error(cudaErrorMemoryAllocation);
    s->device = emu_device();
    s->flags = flags;
    s->late = when && !strcmp(when, "late");
    s->last = &s->first;
    std::lock_guard<std::recursive_mutex> hold(lock);
    s->next = streams;
    streams = s;
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

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    struct CUstream_st **at = &streams;

    if (emu_stream_is_default(stream)) return emu_error(cudaErrorInvalidResourceHandle);
    emu_stream_uncapture(stream);
    stream_drain(stream);
    std::lock_guard<std::recursive_mutex> hold(lock);
    while (*at && *at != stream)
        at = &(*at)->next;
    if (*at) *at = stream->next;
    delete stream;
    return emu_error(0);
}

/* Whether the host may wait for the stream; if so, what it has put off may be done. */
static cudaError_t stream_waitable(cudaStream_t stream)
{
    if (emu_capture_of(stream)) {
        stream->capture->spoilt = true;
        return cudaErrorStreamCaptureUnsupported;
    }
    return emu_legacy_blocked(stream) ? cudaErrorStreamCaptureImplicit : cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    const cudaError_t rc = stream_waitable(stream);

    if (rc) return emu_error(rc);
    if (emu_stream_is_default(stream))
        streams_drain(false);
    else
        stream_drain(stream);
    return emu_error(0);
}

/* Each question brings the work one step further. */
cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    const cudaError_t rc = stream_waitable(stream);

    if (rc || emu_stream_is_default(stream)) return emu_error(rc);
    return emu_error(stream_step(stream) ? cudaErrorNotReady : cudaSuccess);
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

static void mark_drop(struct emu_mark *m)
{
    if (m && __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) == 0) free(m);
}

static void mark_reach(struct emu_mark *m)
{
    clock_gettime(CLOCK_MONOTONIC, &m->at);
    __atomic_store_n(&m->reached, true, __ATOMIC_RELEASE);
}

/* Goes on with the mark's stream until it is reached. */
static void mark_wait(struct emu_mark *m)
{
    while (!__atomic_load_n(&m->reached, __ATOMIC_ACQUIRE) && stream_step(m->stream)) {
    }
}

struct mark_node {
    struct emu_node node; /* first */
    struct emu_mark *mark;
};

static int mark_node_reach(struct emu_node *node)
{
    mark_reach(((struct mark_node *)(void *)node)->mark);
    return 0;
}

static int mark_node_wait(struct emu_node *node)
{
    mark_wait(((struct mark_node *)(void *)node)->mark);
    return 0;
}

static void mark_node_drop(struct emu_node *node)
{
    mark_drop(((struct mark_node *)(void *)node)->mark);
    free(node);
}

static cudaError_t mark_submit(cudaStream_t stream, struct emu_mark *m,
                               int (*run)(struct emu_node *))
{
    struct mark_node *n = (struct mark_node *)malloc(sizeof *n);

    if (!n) return emu_error(cudaErrorMemoryAllocation);
    __atomic_add_fetch(&m->refs, 1, __ATOMIC_ACQ_REL);
    *n = {{run, mark_node_drop, NULL}, m};
    return emu_submit(stream, &n->node);
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

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!event) return emu_error(cudaErrorInvalidResourceHandle);
    emu_event_uncapture(event);
    mark_drop(event->mark);
    free(event);
    return emu_error(0);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    struct emu_mark *m;

    if (!event) return emu_error(cudaErrorInvalidResourceHandle);
    emu_event_uncapture(event);
    if (emu_capture_of(stream)) {
        emu_event_capture(event, stream);
        return emu_error(0);
    }
    m = (struct emu_mark *)calloc(1, sizeof *m);
    if (!m) return emu_error(cudaErrorMemoryAllocation);
    m->refs = 1;
    m->stream = stream;
    mark_drop(event->mark);
    event->mark = m;
    return mark_submit(stream, m, mark_node_reach);
}

/* Whether the host may ask for the event. */
static cudaError_t event_askable(cudaEvent_t event)
{
    if (!event) return cudaErrorInvalidResourceHandle;
    if (event->capture) {
        event->capture->spoilt = true;
        return cudaErrorCapturedEvent;
    }
    return emu_capture_spoil() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

static bool event_reached(cudaEvent_t event)
{
    return !event->mark || __atomic_load_n(&event->mark->reached, __ATOMIC_ACQUIRE);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    const cudaError_t rc = event_askable(event);

    if (rc || event_reached(event) || emu_broken()) return emu_error(rc);
    stream_step(event->mark->stream);
    return emu_error(cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    const cudaError_t rc = event_askable(event);

    if (!rc && event->mark) mark_wait(event->mark);
    return emu_error(rc);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    if (!from || !to || !from->mark || !to->mark ||
        (from->flags | to->flags) & cudaEventDisableTiming)
        return emu_error(cudaErrorInvalidResourceHandle);
    if (!event_reached(from) || !event_reached(to)) return emu_error(cudaErrorNotReady);
    *ms = (float)(1e3 * (double)(to->mark->at.tv_sec - from->mark->at.tv_sec) +
                  1e-6 * (double)(to->mark->at.tv_nsec - from->mark->at.tv_nsec));
    return emu_error(0);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (!event) return emu_error(cudaErrorInvalidResourceHandle);
    if (event->capture) return emu_error(emu_wait_captured(stream, event));
    if (!event->mark) return emu_error(0);
    if (emu_capture_of(stream)) {
        stream->capture->spoilt = true;
        return emu_error(cudaErrorStreamCaptureIsolation);
    }
    return mark_submit(stream, event->mark, mark_node_wait);
}
