/* ptx.h - the host bodies of kernels/ptx.cuh, whose card says what each does.
 *
 * An asynchronous copy lands as late as it may: its place holds 0xFF from the moment it is begun
 * until the thread has waited for it, so that a missing wait, and a reader who was not done, are
 * seen. Copies that nobody waits for never land.
 */
#ifndef KERNELS_EMU_PTX_H
#define KERNELS_EMU_PTX_H

#include "kernels/emu/fiber.h"
#include "kernels/emu/types.h"
#include "kernels/emu/warp.h"

void emu_copy_begin(void *to, const void *from, bool valid);
void emu_copy_commit(void);
void emu_copy_wait(int n_left);

/* The copies of a thread that has ended, or was stopped, never land. */
void emu_copies_drop(struct emu_thread *t);
void emu_copies_free(struct emu_thread *t);

/* Lane by lane, what ldmatrix and mma are given. */
void emu_ldmatrix(unsigned *r, int n, const void *shared, bool transposed);
void emu_mma_f16(float *d, const unsigned *a, const unsigned *b);
void emu_mma_bf16(float *d, const unsigned *a, const unsigned *b);
void emu_mma_e4m3(float *d, const unsigned *a, const unsigned *b);
void emu_mma_s8(int *d, const unsigned *a, const unsigned *b);

static inline void cp_async16(void *shared, const void *global, bool valid = true)
{
    emu_copy_begin(shared, global, valid);
}

static inline void cp_async_commit(void)
{
    emu_copy_commit();
}

template <int N> static inline void cp_async_wait(void)
{
    emu_copy_wait(N);
}

static inline void ldmatrix_x4(unsigned r[4], const void *shared)
{
    emu_ldmatrix(r, 4, shared, false);
}

static inline void ldmatrix_x4_trans(unsigned r[4], const void *shared)
{
    emu_ldmatrix(r, 4, shared, true);
}

static inline void ldmatrix_x2(unsigned r[2], const void *shared)
{
    emu_ldmatrix(r, 2, shared, false);
}

static inline void ldmatrix_x2_trans(unsigned r[2], const void *shared)
{
    emu_ldmatrix(r, 2, shared, true);
}

/* Number (r, c) is in lane 4r + c/2, the first of a pair in the low half. */
static inline unsigned movmatrix_trans(unsigned a)
{
    const int g = emu_now->lane / 4, t = emu_now->lane % 4, shift = g % 2 * 16;
    const unsigned lo = __shfl_sync(~0u, a, 8 * t + g / 2);
    const unsigned hi = __shfl_sync(~0u, a, 8 * t + 4 + g / 2);

    return (lo >> shift & 0xFFFFu) | (hi >> shift & 0xFFFFu) << 16;
}

template <class E> void mma_m16n8k16(float d[4], const unsigned a[4], const unsigned b[2]);

template <> inline void mma_m16n8k16<f16>(float d[4], const unsigned a[4], const unsigned b[2])
{
    emu_mma_f16(d, a, b);
}

template <> inline void mma_m16n8k16<bf16>(float d[4], const unsigned a[4], const unsigned b[2])
{
    emu_mma_bf16(d, a, b);
}

static inline void mma_m16n8k32_s8(int d[4], const unsigned a[4], const unsigned b[2])
{
    emu_mma_s8(d, a, b);
}

static inline void mma_m16n8k32_e4m3(float d[4], const unsigned a[4], const unsigned b[2])
{
    emu_mma_e4m3(d, a, b);
}

static inline unsigned e4m3x2_to_f16x2(unsigned u)
{
    return pack2<f16>(to_float(fp8{(uint8_t)u}), to_float(fp8{(uint8_t)(u >> 8)}));
}

static inline void barrier_sync(int barrier, int n, int line = __builtin_LINE())
{
    emu_barrier(barrier, n, 0, 1, line);
}

static inline void barrier_arrive(int barrier, int n, int line = __builtin_LINE())
{
    emu_barrier(barrier, n, 0, 0, line);
}

static inline float exp2_fast(float x)
{
    return x < -126.0f ? 0.0f : exp2f(x);
}

#endif
