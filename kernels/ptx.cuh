/* ptx.cuh - the instructions that C has no words for: asynchronous copies, matrix fragments,
 * products.
 *
 * Under nvcc each is PTX, under CUDA_EMU a host body (kernels/emu/ptx.h).  The collective ones
 * (ldmatrix, mma) are executed by all 32 lanes of a warp together.
 *
 * Fragments, with g = lane / 4 and t = lane % 4; lower k or column in the lower bits of a register:
 *
 *   16-bit, m16n8k16   A [16][16]  a[0] row g, k 2t, 2t+1          a[2] row g, k 2t+8, 2t+9
 *                                  a[1] row g+8, k 2t, 2t+1        a[3] row g+8, k 2t+8, 2t+9
 *                      B [16][8]   b[0] k 2t, 2t+1, column g       b[1] k 2t+8, 2t+9, column g
 *    8-bit, m16n8k32   A [16][32]  a[0] row g, k 4t..4t+3          a[2] row g, k 4t+16..4t+19
 *                                  a[1] row g+8, k 4t..4t+3        a[3] row g+8, k 4t+16..4t+19
 *                      B [32][8]   b[0] k 4t..4t+3, column g       b[1] k 4t+16..4t+19, column g
 *   C and D of all     [16][8]     d[0], d[1] row g, columns 2t, 2t+1
 *                                  d[2], d[3] row g+8, columns 2t, 2t+1
 *
 * ldmatrix reads 8 x 8 matrices of 16-bit numbers: lane i gives the address of row i % 8 of matrix
 * i / 8 (16 bytes, 16-aligned), and of matrix j receives r[j] = row g, columns 2t, 2t+1;
 * transposed: rows 2t, 2t+1 of column g.  So from A [16][16] in rows, x4 at rows lane % 16, columns
 * lane / 16 * 8 is a[]; from B kept as [n][k] rows, x2 at row lane % 8, columns lane / 8 % 2 * 8 is
 * b[]; from B kept as [k][n] rows, x2 transposed at row lane % 16 is b[].
 *
 * Cards   all run on sm_75: there cp_async16 is a plain copy, m16n8k16 of f16 is two m16n8k8 and
 *         m16n8k32 of int8 four m8n8k16.  bf16 needs sm_80 and traps below.  e4m3 below sm_89 goes
 *         through f16, exactly.
 * Sums    f32 accumulators keep at least 22 bits, but the e4m3 products of sm_89 and sm_90 about 14
 *         of the largest term of an instruction.
 * Source  PTX ISA, "Matrix multiply-accumulate operation using mma instruction", "ldmatrix",
 * "cp.async", "bar, barrier".
 */
#ifndef KERNELS_PTX_CUH
#define KERNELS_PTX_CUH

#include "kernels/cuda.cuh"

#ifdef CUDA_EMU
#include "kernels/emu/ptx.h"
#else

#define PTX_FUNC static __device__ __forceinline__

PTX_FUNC unsigned shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* 16 bytes from global to shared memory, both 16-aligned; zeros, and nothing read, unless valid. */
PTX_FUNC void cp_async16(void *shared, const void *global, bool valid = true)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
                 : "memory");
#else
    *(uint4 *)shared = valid ? *(const uint4 *)global : make_uint4(0, 0, 0, 0);
#endif
}

/* The copies begun since the last commit are a group of this thread. */
PTX_FUNC void cp_async_commit(void)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

/* All groups of this thread but the latest N have landed; others see them after a barrier. */
template <int N> PTX_FUNC void cp_async_wait(void)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
#endif
}

PTX_FUNC void ldmatrix_x4(unsigned r[4], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared))
                 : "memory");
}

PTX_FUNC void ldmatrix_x4_trans(unsigned r[4], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared))
                 : "memory");
}

/* Two matrices; the addresses of lanes 0 to 15 count. */
PTX_FUNC void ldmatrix_x2(unsigned r[2], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];\n"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(shared))
                 : "memory");
}

PTX_FUNC void ldmatrix_x2_trans(unsigned r[2], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];\n"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(shared))
                 : "memory");
}

/* An 8 x 8 matrix of 16-bit numbers, row g, columns 2t, 2t+1 in each lane, transposed. */
PTX_FUNC unsigned movmatrix_trans(unsigned a)
{
    unsigned d;

    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;\n" : "=r"(d) : "r"(a));
    return d;
}

/* d += a b, of f16 or bf16. */
template <class E> PTX_FUNC void mma_m16n8k16(float d[4], const unsigned a[4], const unsigned b[2]);

template <>
__device__ __forceinline__ void mma_m16n8k16<f16>(float d[4], const unsigned a[4],
                                                  const unsigned b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int i = 0; i < 2; i++)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};\n"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
#endif
}

template <>
__device__ __forceinline__ void mma_m16n8k16<bf16>(float d[4], const unsigned a[4],
                                                   const unsigned b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();
#endif
}

/* d += a b, of int8; the sum wraps. */
PTX_FUNC void mma_m16n8k32_s8(int d[4], const unsigned a[4], const unsigned b[2])
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int i = 0; i < 4; i++) /* rows 0 to 7 and 8 to 15, of either half of k */
        asm volatile(
            "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};\n"
            : "+r"(d[i % 2 * 2]), "+r"(d[i % 2 * 2 + 1])
            : "r"(a[i]), "r"(b[i / 2]));
#endif
}

/* Two e4m3 (the low 16 bits) as two f16. */
PTX_FUNC unsigned e4m3x2_to_f16x2(unsigned u)
{
    const __half2_raw h =
        __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)(u & 0xFFFFu), __NV_E4M3);

    return (unsigned)h.x | (unsigned)h.y << 16;
}

/* d += a b, of e4m3. */
PTX_FUNC void mma_m16n8k32_e4m3(float d[4], const unsigned a[4], const unsigned b[2])
{
#if __CUDA_ARCH__ >= 890
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    /* A sum over k may take k in any order that is the same for a and b. */
    for (int i = 0; i < 2; i++) {
        const unsigned wide_a[4] = {e4m3x2_to_f16x2(a[2 * i]), e4m3x2_to_f16x2(a[2 * i + 1]),
                                    e4m3x2_to_f16x2(a[2 * i] >> 16),
                                    e4m3x2_to_f16x2(a[2 * i + 1] >> 16)};
        const unsigned wide_b[2] = {e4m3x2_to_f16x2(b[i]), e4m3x2_to_f16x2(b[i] >> 16)};

        mma_m16n8k16<f16>(d, wide_a, wide_b);
    }
#endif
}

/* Named barriers, 1 to 15, of n threads (a multiple of 32): wait for the others, or only arrive. */
PTX_FUNC void barrier_sync(int barrier, int n)
{
    asm volatile("barrier.sync %0, %1;\n" ::"r"(barrier), "r"(n) : "memory");
}

PTX_FUNC void barrier_arrive(int barrier, int n)
{
    asm volatile("barrier.arrive %0, %1;\n" ::"r"(barrier), "r"(n) : "memory");
}

/* 2 to the x; off by 2 units in the last place, and what is under 2^-126 is 0. */
PTX_FUNC float exp2_fast(float x)
{
    float y;

    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

#undef PTX_FUNC
#endif
#endif
