/* atomic.h - atomics on global and shared memory; each gives back the old value. */
#ifndef KERNELS_EMU_ATOMIC_H
#define KERNELS_EMU_ATOMIC_H

#include <string.h>

#include "kernels/emu/fiber.h"

/* Other host threads may launch on the same memory, so these are real ones. */
#define EMU_ATOMIC(name, T, expression)                                                            \
    static inline T name(T *at, T v)                                                               \
    {                                                                                              \
        T old, now;                                                                                \
                                                                                                   \
        at = aligned<T>((void *)at);                                                               \
        __atomic_load(at, &old, __ATOMIC_RELAXED);                                                 \
        do                                                                                         \
            now = (T)(expression);                                                                 \
        while (!__atomic_compare_exchange(at, &old, &now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)); \
        return old;                                                                                \
    }
#define EMU_ATOMICS(T, U)                                                                          \
    EMU_ATOMIC(atomicAdd, T, (U)old + (U)v)                                                        \
    EMU_ATOMIC(atomicMax, T, old > v ? old : v)                                                    \
    EMU_ATOMIC(atomicMin, T, old < v ? old : v)                                                    \
    EMU_ATOMIC(atomicExch, T, v)                                                                   \
    EMU_ATOMIC(atomicOr, T, old | v)                                                               \
    EMU_ATOMIC(atomicAnd, T, old &v)                                                               \
    EMU_ATOMIC(atomicXor, T, old ^ v)                                                              \
    static inline T atomicCAS(T *at, T was, T v)                                                   \
    {                                                                                              \
        at = aligned<T>((void *)at);                                                               \
        __atomic_compare_exchange(at, &was, &v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);            \
        return was;                                                                                \
    }
EMU_ATOMICS(int, unsigned)
EMU_ATOMICS(unsigned, unsigned)
EMU_ATOMICS(unsigned long long, unsigned long long)
EMU_ATOMIC(atomicSub, int, (unsigned)old - (unsigned)v)
EMU_ATOMIC(atomicSub, unsigned, old - v)
EMU_ATOMIC(atomicInc, unsigned, old >= v ? 0u : old + 1u)
EMU_ATOMIC(atomicDec, unsigned, old == 0 || old > v ? v : old - 1u)
EMU_ATOMIC(atomicAdd, float, old + v)
EMU_ATOMIC(atomicExch, float, v)
EMU_ATOMIC(atomicAdd, double, old + v)
#undef EMU_ATOMIC
#undef EMU_ATOMICS

static inline void __threadfence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void __threadfence_block(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void __threadfence_system(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
