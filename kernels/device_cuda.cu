/* device_cuda.cu - a CUDA device: its streams, their memory, copies and graphs.
 *
 * put copies through a ring of pinned pieces: the copy to a piece is the host's, the one from it
 * the stream's, and a piece is used again when the event behind its last copy has passed.
 */
#include "kernels/cuda_stream.cuh"
#include "kernels/part.cuh"

extern "C" {
#include "base/fault.h"
#include "kernels/device_cuda.h"
#include "kernels/nvml.h"
}

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PIECES    4
#define PIECE_BYTES ((size_t)4 << 20)
#define SHAPE_TEXT  80

struct memory {
    void *at;
    bool pinned;
    struct memory *next;
};

struct stream_own {
    struct memory *memory;
    struct part *part; /* NULL: the stream has the whole device */
    char *ring;        /* N_PIECES of PIECE_BYTES; NULL until the first put */
    cudaEvent_t passed[N_PIECES];
    int turn;       /* the piece that the next put takes */
    const char *op; /* the last that was launched: an error that comes later is told with it */
    char shape[SHAPE_TEXT];
};

struct graph {
    cudaGraphExec_t exec;
    char shape[2 * SHAPE_TEXT]; /* what it ends with */
};

static int fail(struct stream *s, int rc, const char *why, const char *op, const char *shape)
{
    if (s->rc) return s->rc;
    s->rc = rc;
    return err_set(&s->failed, rc, "CUDA: %s, in %s%s%s", why, op, *shape ? " " : "", shape);
}

static int called(struct stream *s, cudaError_t rc, const char *op, const char *shape)
{
    if (rc == cudaSuccess || s->rc) return s->rc;
    cudaGetLastError();
    return fail(s, ERR_CUDA, cudaGetErrorString(rc), op, shape);
}

int stream_called(struct stream *s, cudaError_t rc, const char *op, const char *shape, ...)
{
    char text[SHAPE_TEXT];
    va_list args;

    if (rc == cudaSuccess || s->rc) return s->rc;
    va_start(args, shape);
    vsnprintf(text, sizeof text, shape, args);
    va_end(args);
    return called(s, rc, op, text);
}

/* What was last given to the stream is s->own's op and shape. */
static int launched(struct stream *s, cudaError_t rc)
{
    const struct stream_own *own = s->own;

    if (fault_here("cuda")) return fail(s, ERR_CUDA, "a fault was set", own->op, own->shape);
    if (rc == cudaSuccess && s->sync && !s->recording) rc = cudaStreamSynchronize(s->at);
    return called(s, rc, own->op, own->shape);
}

int stream_launched(struct stream *s, const char *op, const char *shape, ...)
{
    const cudaError_t rc = cudaGetLastError();
    va_list args;

    if (s->rc) return s->rc;
    s->own->op = op;
    va_start(args, shape);
    vsnprintf(s->own->shape, sizeof s->own->shape, shape, args);
    va_end(args);
    return launched(s, rc);
}

int stream_enter(struct stream *s)
{
    return called(s, cudaSetDevice(s->index), "entering", "");
}

static void *memory_take(struct stream *s, size_t bytes, bool pinned, cudaError_t *rc)
{
    struct memory *m = (struct memory *)calloc(1, sizeof *m);

    if (!m) {
        *rc = cudaErrorMemoryAllocation;
        return NULL;
    }
    if (bytes == 0) bytes = 1;
    if ((*rc = cudaSetDevice(s->index)) == cudaSuccess)
        *rc = pinned ? cudaHostAlloc(&m->at, bytes, cudaHostAllocPortable)
                     : cudaMalloc(&m->at, bytes);
    if (*rc) {
        cudaGetLastError();
        free(m);
        return NULL;
    }
    m->pinned = pinned;
    m->next = s->own->memory;
    s->own->memory = m;
    return m->at;
}

static void memory_close(struct memory *m)
{
    while (m) {
        struct memory *next = m->next;

        if (m->pinned)
            cudaFreeHost(m->at);
        else
            cudaFree(m->at);
        free(m);
        m = next;
    }
}

/* Tells of memory that there is not. */
static int no_memory(struct errmsg *e, size_t bytes)
{
    size_t left = 0, all = 0;

    cudaMemGetInfo(&left, &all);
    return err_set(e, ERR_FULL, "no device memory for %zu bytes: %zu of %zu are free", bytes, left,
                   all);
}

static void *cuda_take(struct stream *s, size_t bytes, struct errmsg *e)
{
    cudaError_t rc;
    void *at = memory_take(s, bytes, false, &rc);

    if (at) return at;
    if (rc == cudaErrorMemoryAllocation)
        no_memory(e, bytes);
    else
        err_set(e, ERR_CUDA, "CUDA: %s, taking %zu bytes", cudaGetErrorString(rc), bytes);
    return NULL;
}

void *stream_take(struct stream *s, size_t bytes, const char *op)
{
    cudaError_t rc;
    void *at = memory_take(s, bytes, false, &rc);

    if (!at && !s->rc && rc == cudaErrorMemoryAllocation)
        s->rc = no_memory(&s->failed, bytes);
    else if (!at)
        stream_called(s, rc, op, "taking %zu bytes", bytes);
    return at;
}

void *stream_pinned(struct stream *s, size_t bytes, const char *op)
{
    cudaError_t rc;
    void *at = memory_take(s, bytes, true, &rc);

    if (!at) stream_called(s, rc, op, "pinning %zu bytes of host memory", bytes);
    return at;
}

static int ring_open(struct stream *s)
{
    struct stream_own *own = s->own;
    int rc = ERR_OK;

    if (!(own->ring = (char *)stream_pinned(s, N_PIECES * PIECE_BYTES, "put"))) return s->rc;
    for (int i = 0; i < N_PIECES && !rc; i++)
        rc =
            called(s, cudaEventCreateWithFlags(&own->passed[i], cudaEventDisableTiming), "put", "");
    return rc;
}

/* At most PIECE_BYTES; an event that was never recorded has passed. */
static int put_piece(struct stream *s, void *to, const void *from, size_t bytes)
{
    struct stream_own *own = s->own;
    char *piece = own->ring + (size_t)own->turn * PIECE_BYTES;
    cudaEvent_t passed = own->passed[own->turn];
    cudaError_t rc = cudaEventSynchronize(passed);

    own->turn = (own->turn + 1) % N_PIECES;
    if (rc == cudaSuccess) {
        memcpy(piece, from, bytes);
        rc = cudaMemcpyAsync(to, piece, bytes, cudaMemcpyHostToDevice, s->at);
    }
    if (rc == cudaSuccess) rc = cudaEventRecord(passed, s->at);
    return stream_called(s, rc, "put", "%zu bytes", bytes);
}

static int cuda_put(struct stream *s, void *to, const void *from, size_t bytes)
{
    int rc = stream_enter(s);

    if (!rc && s->recording)
        return fail(s, ERR_ARG, "nothing is put while work is noted", "put", "");
    if (!rc && bytes && !s->own->ring) rc = ring_open(s);
    for (size_t done = 0; done < bytes && !rc;) {
        const size_t n = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;

        rc = put_piece(s, (char *)to + done, (const char *)from + done, n);
        done += n;
    }
    return rc;
}

/* Of several ranks one may fail, and what the others wait for on their devices never comes. */
static cudaError_t wait_in_group(struct stream *s)
{
    cudaError_t rc;

    while ((rc = cudaStreamQuery(s->at)) == cudaErrorNotReady && !coll_failed(s->coll)) {
        cudaGetLastError(); /* it counts as one there */
        sched_yield();
    }
    if (rc != cudaErrorNotReady) return rc;
    coll_give_up(s->coll);
    return cudaStreamSynchronize(s->at);
}

/* What the others have to know comes before what they could wait for. */
static int finish(struct stream *s)
{
    cudaError_t cu = cudaSuccess;

    if (s->coll && s->rc) coll_fail(s->coll, s->rc);
    if (s->coll)
        cu = wait_in_group(s);
    else if (!s->rc)
        cu = cudaStreamSynchronize(s->at);
    stream_called(s, cu, s->own->op, "%s or before it (CUDA_SYNC=1 tells)", s->own->shape);
    if (s->coll && s->rc) coll_fail(s->coll, s->rc);
    if (s->coll && !s->rc && coll_failed(s->coll))
        s->rc = err_set(&s->failed, coll_failed(s->coll), "another rank has failed");
    return s->rc;
}

static int cuda_get(struct stream *s, void *to, const void *from, size_t bytes)
{
    cudaError_t rc = cudaSuccess;

    if (stream_enter(s)) return s->rc;
    if (bytes) rc = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, s->at);
    if (rc == cudaSuccess && !s->coll) rc = cudaStreamSynchronize(s->at);
    if (s->coll && finish(s)) return s->rc;
    return stream_called(s, rc, "get", "%zu bytes after %s %s", bytes, s->own->op, s->own->shape);
}

static int cuda_wait(struct stream *s, struct errmsg *e)
{
    int rc = stream_enter(s);

    if (!rc || s->coll) rc = finish(s);
    if (!rc) rc = choose_waited(s);
    if (s->rc) return err_set(e, s->rc, "%s", s->failed.text);
    return rc;
}

static int cuda_record(struct stream *s)
{
    if (stream_enter(s)) return s->rc;
    if (s->sync) return ERR_UNSUPPORTED; /* of a graph no launch could be waited for */
    if (called(s, cudaStreamBeginCapture(s->at, cudaStreamCaptureModeThreadLocal), "record", ""))
        return s->rc;
    s->recording = true;
    return ERR_OK;
}

/* What fails while work is noted has not touched the device: the stream forgets it. */
static int not_recorded(struct stream *s)
{
    s->rc = ERR_OK;
    s->failed.text[0] = 0;
    cudaGetLastError();
    return ERR_UNSUPPORTED;
}

static int cuda_recorded(struct graph **out, struct stream *s)
{
    struct graph *g = (struct graph *)calloc(1, sizeof *g);
    cudaGraph_t noted = NULL;
    cudaError_t rc = cudaStreamEndCapture(s->at, &noted);

    *out = NULL;
    s->recording = false;
    if (rc == cudaSuccess && !s->rc && g) rc = cudaGraphInstantiate(&g->exec, noted, 0);
    if (rc == cudaSuccess && !s->rc && g) rc = cudaGraphUpload(g->exec, s->at);
    if (!g || rc != cudaSuccess || s->rc) goto out;
    snprintf(g->shape, sizeof g->shape, "of work to %s %s", s->own->op, s->own->shape);
    *out = g;
    g = NULL;
out:
    if (noted) cudaGraphDestroy(noted);
    if (g && g->exec) cudaGraphExecDestroy(g->exec);
    free(g);
    return *out ? ERR_OK : not_recorded(s);
}

static int cuda_replay(struct graph *g, struct stream *s)
{
    if (stream_enter(s)) return s->rc;
    s->own->op = "replay";
    snprintf(s->own->shape, sizeof s->own->shape, "%.*s", SHAPE_TEXT - 1, g->shape);
    if (fault_here("replay"))
        return fail(s, ERR_CUDA, "a fault was set", s->own->op, s->own->shape);
    return launched(s, cudaGraphLaunch(g->exec, s->at));
}

static void cuda_forget(struct graph **g)
{
    if (!*g) return;
    cudaGraphExecDestroy((*g)->exec);
    free(*g);
    *g = NULL;
}

/* The runtime calls a driver that is not there one of version 0, and too old. */
static int cuda_count(struct errmsg *e)
{
    int n = 0, driver = 0;
    const cudaError_t rc = cudaGetDeviceCount(&n);

    if (rc == cudaSuccess && n > 0) return n;
    cudaGetLastError();
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
        err_set(e, ERR_CUDA, "no CUDA device: there is no driver (libcuda.so.1)");
    else
        err_set(e, ERR_CUDA, "no CUDA device: %s",
                cudaGetErrorString(rc ? rc : (cudaError_t)cudaErrorNoDevice));
    return 0;
}

static int check_index(int index, struct errmsg *e)
{
    const int n = cuda_count(e);

    if (n == 0) return ERR_CUDA;
    if (index >= 0 && index < n) return ERR_OK;
    return err_set(e, ERR_ARG, "cuda:%d: there are %d devices, from cuda:0 on", index, n);
}

/* Opened by the first who asks, and kept: a process has one. */
static pthread_once_t nvml_once = PTHREAD_ONCE_INIT;
static struct nvml *nvml;

static void open_nvml(void)
{
    struct errmsg e;

    (void)!nvml_open(&nvml, NVML_LIBRARY, &e);
}

static void libraries(char *out, size_t size)
{
    int driver = 0, runtime = 0;
    char version[32] = "";

    pthread_once(&nvml_once, open_nvml);
    if (nvml) nvml_driver(nvml, version, sizeof version);
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    snprintf(out, size, "driver%s%s for CUDA %d.%d, runtime %d.%d", *version ? " " : "", version,
             driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

static int cuda_facts(int index, struct device_facts *out, struct errmsg *e)
{
    struct cudaDeviceProp prop;
    size_t left = 0, all = 0;
    int rc = check_index(index, e);
    cudaError_t cu;

    memset(out, 0, sizeof *out);
    if (rc) return rc;
    cu = cudaGetDeviceProperties(&prop, index);
    if (cu == cudaSuccess) cu = cudaSetDevice(index);
    if (cu == cudaSuccess) cu = cudaMemGetInfo(&left, &all);
    if (cu) {
        cudaGetLastError();
        return err_set(e, ERR_CUDA, "cuda:%d: %s", index, cudaGetErrorString(cu));
    }
    snprintf(out->name, sizeof out->name, "%.*s", DEVICE_TEXT - 1, prop.name);
    cudaDeviceGetPCIBusId(out->bus, sizeof out->bus, index);
    libraries(out->library, sizeof out->library);
    out->arch = prop.major * 10 + prop.minor;
    out->sm_count = prop.multiProcessorCount;
    out->memory_bytes = (int64_t)all;
    out->free_bytes = (int64_t)left;
    return ERR_OK;
}

static int cuda_read(int index, struct device_reading *out)
{
    struct errmsg e;
    char bus[32];

    *out = {0, 0, 0, -1};
    pthread_once(&nvml_once, open_nvml);
    if (!nvml) return ERR_UNSUPPORTED;
    if (cudaDeviceGetPCIBusId(bus, sizeof bus, index) != cudaSuccess) {
        cudaGetLastError();
        return ERR_CUDA;
    }
    return nvml_read(nvml, bus, out, &e);
}

static void cuda_close(struct stream **s)
{
    struct stream *at = *s;

    if (!at) return;
    cudaSetDevice(at->index);
    if (at->at) cudaStreamSynchronize(at->at);
    choose_close(at);
    linear_close(at);
    step_close(at);
    if (at->own) {
        for (int i = 0; i < N_PIECES; i++)
            if (at->own->passed[i]) cudaEventDestroy(at->own->passed[i]);
        memory_close(at->own->memory);
    }
    if (at->own && at->own->part)
        part_close(&at->own->part);
    else if (at->at)
        cudaStreamDestroy(at->at);
    cudaGetLastError();
    free(at->own);
    free(at);
    *s = NULL;
}

/* What the stream knows of its device. */
static cudaError_t learn(struct stream *s)
{
    int major = 0, minor = 0;
    cudaError_t rc = cudaSetDevice(s->index);

    if (!rc) rc = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, s->index);
    if (!rc) rc = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, s->index);
    if (!rc) rc = cudaDeviceGetAttribute(&s->sm_count, cudaDevAttrMultiProcessorCount, s->index);
    s->arch = major * 10 + minor;
    return rc;
}

static int cuda_open(struct stream **out, const struct device_opts *o, struct errmsg *e)
{
    const char *sync = getenv("CUDA_SYNC");
    struct stream *s = NULL;
    cudaError_t cu;
    int rc = check_index(o->index, e);

    *out = NULL;
    if (rc) goto out;
    rc = err_set(e, ERR_NOMEM, "no memory for a stream");
    if (!(s = (struct stream *)calloc(1, sizeof *s))) goto out;
    if (!(s->own = (struct stream_own *)calloc(1, sizeof *s->own))) goto out;
    s->index = o->index;
    s->batch_invariant = o->batch_invariant;
    s->tuning = o->tuning;
    s->sync = sync && !strcmp(sync, "1");
    s->own->op = "nothing";
    cu = learn(s);
    if (!cu && !o->sm_count) cu = cudaStreamCreateWithFlags(&s->at, cudaStreamNonBlocking);
    rc = cu ? err_set(e, ERR_CUDA, "cuda:%d: %s", o->index, cudaGetErrorString(cu)) : ERR_OK;
    if (!rc && o->sm_count)
        rc = part_open(&s->own->part, s->index, o->sm_count, &s->at, &s->sm_count, e);
    if (rc) goto out;
    *out = s;
    s = NULL;
out:
    cuda_close(&s);
    return rc;
}

static int cuda_sm_count(const struct stream *s)
{
    return s->sm_count;
}

const struct device *device_cuda(void)
{
    static const struct device CUDA = {
        "cuda",    true,        ops_cuda,      cuda_count,  cuda_facts,  cuda_read,
        cuda_open, cuda_close,  cuda_sm_count, cuda_take,   cuda_put,    cuda_get,
        cuda_wait, cuda_record, cuda_recorded, cuda_replay, cuda_forget,
    };

    return &CUDA;
}
