/* memory.cpp - device and pinned memory, copies and fills. */
#include <map>
#include <mutex>
#include <stdlib.h>
#include <string.h>

#include "kernels/emu/card.h"
#include "kernels/emu/launch.h"

#define FILL_BYTES ((size_t)16 << 20) /* larger pieces are left as the system gives them */

struct piece {
    size_t bytes;
    int device; /* or PINNED, REGISTERED: the host's */
};
#define PINNED     (-1)
#define REGISTERED (-2)

/* The emulated driver's own state; a process has one driver. */
static std::mutex lock;
static std::map<void *, piece> pieces;
static size_t used_bytes[EMU_MAX_DEVICES];

static cudaError_t piece_take(void **p, size_t bytes, int device)
{
    *p = NULL;
    if (emu_capture_spoil()) return emu_error(cudaErrorStreamCaptureUnsupported);
    if (emu_broken() || bytes == 0) return emu_error(0);
    std::lock_guard<std::mutex> hold(lock);
    if (device >= 0 && bytes > emu_card_read().memory_bytes - used_bytes[device])
        return emu_error(cudaErrorMemoryAllocation);
    if (posix_memalign(p, 256, bytes)) {
        *p = NULL;
        return emu_error(cudaErrorMemoryAllocation);
    }
    if (bytes <= FILL_BYTES) memset(*p, 0xFF, bytes);
    pieces[*p] = {bytes, device};
    if (device >= 0) used_bytes[device] += bytes;
    return cudaSuccess;
}

static cudaError_t piece_give(void *p, bool of_device)
{
    if (!p) return emu_error(0);
    if (emu_capture_spoil()) return emu_error(cudaErrorStreamCaptureUnsupported);
    emu_streams_wait(); /* as cudaFree does */
    std::lock_guard<std::mutex> hold(lock);
    const auto at = pieces.find(p);
    if (at == pieces.end() || at->second.device == REGISTERED ||
        (at->second.device >= 0) != of_device)
        return emu_error(cudaErrorInvalidValue);
    if (of_device) used_bytes[at->second.device] -= at->second.bytes;
    pieces.erase(at);
    free(p);
    return emu_error(0);
}

void emu_memory_reset(void)
{
    std::lock_guard<std::mutex> hold(lock);

    for (auto at = pieces.begin(); at != pieces.end();) {
        if (at->second.device < 0) {
            ++at;
            continue;
        }
        free(at->first);
        at = pieces.erase(at);
    }
    memset(used_bytes, 0, sizeof used_bytes);
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    return piece_take(p, bytes, emu_device());
}

cudaError_t cudaFree(void *p)
{
    return piece_give(p, true);
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return piece_take(p, bytes, PINNED);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    return piece_take(p, bytes, PINNED);
}

cudaError_t cudaFreeHost(void *p)
{
    return piece_give(p, false);
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned)
{
    if (!p || bytes == 0) return emu_error(cudaErrorInvalidValue);
    std::lock_guard<std::mutex> hold(lock);
    pieces[p] = {bytes, REGISTERED};
    return emu_error(0);
}

cudaError_t cudaHostUnregister(void *p)
{
    emu_streams_wait();
    std::lock_guard<std::mutex> hold(lock);
    const auto at = pieces.find(p);
    if (at == pieces.end() || at->second.device != REGISTERED)
        return emu_error(cudaErrorInvalidValue);
    pieces.erase(at);
    return emu_error(0);
}

/* Host memory that the system may move: copies of it do not wait. */
static bool is_pageable(const void *p)
{
    std::lock_guard<std::mutex> hold(lock);
    auto at = pieces.upper_bound((void *)(uintptr_t)p);

    if (at == pieces.begin()) return true;
    --at;
    return (const char *)p >= (const char *)at->first + at->second.bytes;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    std::lock_guard<std::mutex> hold(lock);

    *total_bytes = emu_card_read().memory_bytes;
    *free_bytes =
        *total_bytes > used_bytes[emu_device()] ? *total_bytes - used_bytes[emu_device()] : 0;
    return emu_error(0);
}

struct copy {
    struct emu_node node; /* first */
    void *to;
    const void *from; /* NULL: fill with `byte` */
    size_t to_pitch, from_pitch, width, height;
    int byte;
    void *kept; /* a pageable source as it was at the call */
};

static int copy_run(struct emu_node *node)
{
    const struct copy *c = (const struct copy *)(void *)node;

    for (size_t i = 0; i < c->height; i++) {
        char *to = (char *)c->to + i * c->to_pitch;

        if (c->from)
            memmove(to, (const char *)c->from + i * c->from_pitch, c->width);
        else
            memset(to, c->byte, c->width);
    }
    return 0;
}

static void copy_drop(struct emu_node *node)
{
    free(((struct copy *)(void *)node)->kept);
    free(node);
}

/* What the call must take with it: memory that the host may change when it has returned. */
static int copy_keep(struct copy *c)
{
    const size_t bytes = c->from_pitch * (c->height - 1) + c->width;

    if (!c->from || !is_pageable(c->from)) return 0;
    c->kept = malloc(bytes);
    if (!c->kept) return -1;
    c->from = memcpy(c->kept, c->from, bytes);
    return 0;
}

static cudaError_t copy_submit(const struct copy *copy, cudaStream_t stream)
{
    struct copy *c;
    cudaError_t rc;

    if (emu_broken() || copy->width == 0 || copy->height == 0) return emu_error(0);
    if (!copy->to) return emu_error(cudaErrorInvalidValue);
    c = (struct copy *)malloc(sizeof *c);
    if (!c) return emu_error(cudaErrorMemoryAllocation);
    *c = *copy;
    c->node = {copy_run, copy_drop, NULL};
    if (emu_puts_off(stream) && copy_keep(c)) {
        free(c);
        return emu_error(cudaErrorMemoryAllocation);
    }
    rc = emu_submit(stream, &c->node);
    if (!rc && emu_puts_off(stream) && is_pageable(copy->to)) rc = cudaStreamSynchronize(stream);
    return rc;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind,
                            cudaStream_t stream)
{
    const struct copy c = {{}, to, from, bytes, bytes, bytes, 1, 0, NULL};

    if (bytes && !from) return emu_error(cudaErrorInvalidValue);
    return copy_submit(&c, stream);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width_bytes, size_t height, enum cudaMemcpyKind,
                              cudaStream_t stream)
{
    const struct copy c = {{}, to, from, to_pitch, from_pitch, width_bytes, height, 0, NULL};

    if (!from || width_bytes > to_pitch || width_bytes > from_pitch)
        return emu_error(cudaErrorInvalidValue);
    return copy_submit(&c, stream);
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t stream)
{
    const struct copy c = {{}, p, NULL, bytes, bytes, bytes, 1, byte, NULL};

    return copy_submit(&c, stream);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    if (emu_capture_spoil()) return emu_error(cudaErrorStreamCaptureImplicit);
    return cudaMemcpyAsync(to, from, bytes, kind, 0);
}

cudaError_t cudaMemset(void *p, int byte, size_t bytes)
{
    if (emu_capture_spoil()) return emu_error(cudaErrorStreamCaptureImplicit);
    return cudaMemsetAsync(p, byte, bytes, 0);
}
