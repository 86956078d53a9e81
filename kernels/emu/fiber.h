/* fiber.h - one block of threads on one processor: each thread a fiber, run until it must wait.
 *
 * A thread runs on until it meets others (a barrier, a shuffle) or ends; then the next one that may
 * run does.  Threads that end without ever waiting share one stack.  Which thread and which block
 * come first is EMU_ORDER=forward|reverse|random:SEED.
 *
 * Threads    a machine for each host thread; a kernel's fibers never leave the thread that
 * launched. Ownership  what a thread passes to emu_meet lies on its own stack, which stays while it
 * waits. Errors     emu_fault tells stderr the kernel, block and thread, ends the launch and leaves
 * an error that stays (as a device does).  It does not return.
 *
 * F1  a block's barrier opens when every thread of the block has come, none when one has left.
 * F2  a meeting of lanes happens when all lanes of the mask have come with that mask, and only
 * then. F3  when no thread can run and some wait, the launch ends with an error that counts them.
 */
#ifndef KERNELS_EMU_FIBER_H
#define KERNELS_EMU_FIBER_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/emu/vector.h"

struct emu_fiber;

/* Copies that a thread has begun and not waited for (kernels/emu/ptx.h). */
struct emu_copies;

struct emu_block {
    uint3 idx;
    dim3 dim, grid;
    void *dynamic; /* dynamic shared memory */
    size_t dynamic_bytes;
};

struct emu_machine;

struct emu_thread {
    struct emu_machine *machine;
    uint3 idx;
    const struct emu_block *block;
    int id, lane;
    struct emu_fiber *fiber; /* NULL before it runs and after it has ended */
    const char *waits;       /* for what, or NULL */
    unsigned mask;           /* the lanes it waits for; 0: the barrier `barrier` */
    int barrier, answer;     /* answer: what the barrier gives */
    void *arg;
    struct emu_copies *copies;
};

/* Stacks lie at multiples of their size and name at their upper end the thread that runs on them:
 * found without a thread-local variable, which in a library costs a call. */
#if defined(__SANITIZE_ADDRESS__)
#define EMU_STACK_BYTES ((uintptr_t)256 << 10)
#else
#define EMU_STACK_BYTES ((uintptr_t)64 << 10)
#endif
#define EMU_HEAD_BYTES 64

/* The thread that runs; only inside a kernel. */
static inline __attribute__((always_inline)) struct emu_thread *emu_self(void)
{
    const uintptr_t last = (uintptr_t)__builtin_frame_address(0) | (EMU_STACK_BYTES - 1);

    return *(struct emu_thread **)(last + 1 - EMU_HEAD_BYTES);
}

#define emu_now   (emu_self())
#define threadIdx (emu_now->idx)
#define blockIdx  (emu_now->block->idx)
#define blockDim  (emu_now->block->dim)
#define gridDim   (emu_now->block->grid)

static constexpr int warpSize = 32;

/* A barrier of `count` threads, by number 0..15.  `add` of all is given back as a sum, so that
 * votes of a block are made of it.  enter = 0 arrives and goes on. */
int emu_barrier(int barrier, int count, int add, int wait, int line);

/* All lanes of `mask` meet; the last that comes calls act(args, mask), where args[lane] is what
 * that lane gave. */
void emu_meet(unsigned mask, const char *what, void *arg, void (*act)(void **args, unsigned mask));

/* The lanes of this warp that have left. */
unsigned emu_lanes_ended(void);

[[noreturn]] void emu_fault(int error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One launch: call(args) once for each thread.  0, or the error that stays. */
struct emu_work {
    const char *name;
    dim3 grid, block;
    size_t dynamic_bytes;
    void (*call)(const void *args);
    const void *args;
};
int emu_run(const struct emu_work *work);

/* p, which must be aligned as T is. */
template <class T> static inline T *aligned(void *p)
{
    if ((uintptr_t)p % alignof(T))
        emu_fault(716, "address %p is not a multiple of %zu", p, alignof(T));
    return (T *)p;
}

template <class T> static inline const T *aligned(const void *p)
{
    if ((uintptr_t)p % alignof(T))
        emu_fault(716, "address %p is not a multiple of %zu", p, alignof(T));
    return (const T *)p;
}

static inline void __syncthreads(int line = __builtin_LINE())
{
    emu_barrier(0, 0, 0, 1, line);
}

static inline int __syncthreads_count(int vote, int line = __builtin_LINE())
{
    return emu_barrier(0, 0, vote != 0, 1, line);
}

static inline int __syncthreads_or(int vote, int line = __builtin_LINE())
{
    return emu_barrier(0, 0, vote != 0, 1, line) > 0;
}

static inline int __syncthreads_and(int vote, int line = __builtin_LINE())
{
    return emu_barrier(0, 0, vote == 0, 1, line) == 0;
}

#endif
