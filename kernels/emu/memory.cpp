/* memory.cpp - device and pinned memory, copies and fills. */
#include <map>
#include <mutex>
#include <stdio.h>
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

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    std::lock_guard<std::mutex> hold(lock);
    const size_t used = used_bytes[emu_device()];

    *total_bytes = emu_card_read().memory_bytes;
    *free_bytes = *total_bytes > used ? *total_bytes - used : 0;
    return emu_error(0);
}

/* Whether p points into a piece, or to its end, and the bytes from there to its end. */
static bool piece_find(const void *p, size_t *left)
{
    std::lock_guard<std::mutex> hold(lock);
    auto at = pieces.upper_bound((void *)(uintptr_t)p);

    if (at == pieces.begin()) return false;
    --at;
    const size_t offset = (size_t)((const char *)p - (const char *)at->first);
    if (offset > at->second.bytes) return false;
    *left = at->second.bytes - offset;
    return true;
}

/* Host memory that the system may move: copies of it do not wait. */
static bool is_pageable(const void *p)
{
    size_t left;

    return !piece_find(p, &left);
}

bool emu_argument_fits(const char *kernel, int i, const void *p)
{
    if (!p || !is_pageable(p)) return true;
    fprintf(stderr, "emu: kernel %s: argument %d, %p, is no memory of the device\n", kernel, i, p);
    emu_break(cudaErrorIllegalAddress);
    return false;
}

/* Whether the bytes lie in one piece where the copy's kind wants device memory, and do not run over
 * the end of a piece anywhere. */
static bool side_fits(const void *p, size_t bytes, bool of_device)
{
    size_t left;

    if (!piece_find(p, &left)) {
        if (of_device) fprintf(stderr, "emu: a copy: %p is no memory of the device\n", p);
        return !of_device;
    }
    if (bytes > left && (left || of_device)) {
        fprintf(stderr, "emu: a copy or fill of %zu bytes: %zu are left\n", bytes, left);
        return false;
    }
    return true;
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

static cudaError_t copy_submit(const struct copy *copy, enum cudaMemcpyKind kind,
                               cudaStream_t stream)
{
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    const size_t rows = copy->height ? copy->height - 1 : 0;
    struct copy *c;
    cudaError_t rc;

    if (emu_broken() || copy->width == 0 || copy->height == 0) return emu_error(0);
    if (!copy->to || !side_fits(copy->to, rows * copy->to_pitch + copy->width, to_device))
        return emu_error(cudaErrorInvalidValue);
    if (copy->from && !side_fits(copy->from, rows * copy->from_pitch + copy->width, from_device))
        return emu_error(cudaErrorInvalidValue);
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

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    const struct copy c = {{}, to, from, bytes, bytes, bytes, 1, 0, NULL};

    if (bytes && !from) return emu_error(cudaErrorInvalidValue);
    return copy_submit(&c, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width_bytes, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    const struct copy c = {{}, to, from, to_pitch, from_pitch, width_bytes, height, 0, NULL};

    if (!from || width_bytes > to_pitch || width_bytes > from_pitch)
        return emu_error(cudaErrorInvalidValue);
    return copy_submit(&c, kind, stream);
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t stream)
{
    const struct copy c = {{}, p, NULL, bytes, bytes, bytes, 1, byte, NULL};

    return copy_submit(&c, cudaMemcpyDeviceToDevice, stream);
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
