/* faults.cu - kernels that break one rule each; tests/test_emu_faults.cu says how each is found.
 *
 * `right` mends a kernel, so that the same one shows that the fault, and nothing else, was found.
 */
#include "kernels/ptx.cuh"

/* y[t] = t - 1 modulo the block: reads what another thread has written, with no barrier between. */
static __global__ void missing_barrier(int *y, bool right)
{
    __shared__ int sh[1024];
    const int t = (int)threadIdx.x, n = (int)blockDim.x;

    sh[t] = -1;
    __syncthreads();
    sh[t] = t;
    if (right) __syncthreads();
    y[t] = sh[(t + n - 1) % n];
}

/* The same among the lanes of a warp. */
static __global__ void missing_syncwarp(int *y, bool right)
{
    __shared__ int sh[32];
    const int t = (int)threadIdx.x;

    sh[t] = -1;
    __syncwarp();
    sh[t] = t;
    if (right) __syncwarp();
    y[t] = sh[(t + 31) % 32];
}

/* Round after round through the same memory: a barrier after the write, but none after the read. */
static __global__ void missing_second_barrier(int *y, bool right)
{
    __shared__ int sh[64];
    const int t = (int)threadIdx.x;
    int sum = 0;

    for (int round = 0; round < 4; round++) {
        sh[t] = round * 64 + t;
        __syncthreads();
        sum += sh[63 - t];
        if (right) __syncthreads();
    }
    y[t] = sum;
}

static __global__ void barrier_in_a_branch(int *y)
{
    if (threadIdx.x < 16) __syncthreads();
    y[threadIdx.x] = 1;
}

static __global__ void barrier_after_some_left(int *y)
{
    if (threadIdx.x >= 48) return;
    __syncthreads();
    y[threadIdx.x] = 1;
}

static __global__ void two_barriers(int *y)
{
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 1;
}

static __global__ void shuffle_in_a_branch(int *y)
{
    int v = 0;

    if (threadIdx.x < 16) v = __shfl_xor_sync(0xFFFFFFFFu, 1, 1);
    __syncthreads();
    y[threadIdx.x] = v;
}

static __global__ void shuffle_of_lanes_that_left(int *y)
{
    if (threadIdx.x >= 30) return;
    y[threadIdx.x] = __shfl_down_sync(0xFFFFFFFFu, (int)threadIdx.x, 1);
}

static __global__ void shuffle_outside_its_mask(int *y)
{
    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, (int)threadIdx.x, 16);
}

static __global__ void shuffle_not_in_its_mask(int *y)
{
    y[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, (int)threadIdx.x, 1);
}

static __global__ void shuffle_meets_a_vote(int *y)
{
    if (threadIdx.x < 16)
        y[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, (int)threadIdx.x, 1);
    else
        y[threadIdx.x] = __any_sync(0xFFFFFFFFu, 1);
}

static __global__ void two_masks(int *y)
{
    y[threadIdx.x] = __shfl_xor_sync(threadIdx.x < 16 ? 0xFFFFFFFFu : 0xFFFF8000u, 1, 1);
}

/* Copies 16 bytes for each thread through shared memory, and waits for all, or too little. */
template <int N> static __global__ void copy_through(uint4 *y, const uint4 *x)
{
    SHARED_DYNAMIC(uint4, sh);

    cp_async16(&sh[threadIdx.x], &x[threadIdx.x]);
    cp_async_commit();
    cp_async_wait<N>();
    __syncthreads();
    y[threadIdx.x] = sh[blockDim.x - 1 - threadIdx.x];
}

/* Waits, but only for its own copies, and reads another thread's. */
static __global__ void copy_without_barrier(uint4 *y, const uint4 *x, bool right)
{
    SHARED_DYNAMIC(uint4, sh);

    cp_async16(&sh[threadIdx.x], &x[threadIdx.x]);
    cp_async_commit();
    cp_async_wait<0>();
    if (right) __syncthreads();
    y[threadIdx.x] = sh[blockDim.x - 1 - threadIdx.x];
}

/* The next copy is begun while others still read what the last one brought. */
static __global__ void copy_over_readers(unsigned *y, const uint4 *x, bool right)
{
    SHARED_DYNAMIC(uint4, sh);
    unsigned sum = 0;

    for (int round = 0; round < 3; round++) {
        cp_async16(&sh[threadIdx.x], &x[round * 64 + (int)threadIdx.x]);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        sum += sh[(threadIdx.x + 1) % blockDim.x].x;
        if (right) __syncthreads();
    }
    y[threadIdx.x] = sum;
}

/* Looks at its own 16 bytes before the second copy into them was waited for. */
static __global__ void copy_read_too_early(unsigned *y, const uint4 *x, bool right)
{
    SHARED_DYNAMIC(uint4, sh);

    cp_async16(&sh[threadIdx.x], &x[threadIdx.x]);
    cp_async_commit();
    cp_async_wait<0>();
    cp_async16(&sh[threadIdx.x], &x[threadIdx.x]);
    cp_async_commit();
    if (right) cp_async_wait<0>();
    y[threadIdx.x] = sh[threadIdx.x].x;
}

static __global__ void misaligned(float *y, int offset)
{
    *aligned<float4>(y + offset) = make_float4(1, 2, 3, 4);
}

static __global__ void misaligned_copy(const char *x, int offset)
{
    SHARED_DYNAMIC(uint4, sh);

    cp_async16(sh, x + offset);
}

static __global__ void out_of_bounds(int *y, int n)
{
    for (int i = (int)threadIdx.x; i <= n; i += (int)blockDim.x)
        y[i] = i;
}

static __global__ void out_of_shared(int *y, int n)
{
    SHARED_DYNAMIC(int, sh);

    sh[n] = 1;
    y[0] = sh[0];
}

/* Adds up shared memory that nobody has written. */
static __global__ void unwritten(float *y)
{
    SHARED_DYNAMIC(float, sh);

    y[threadIdx.x] = sh[threadIdx.x] + 1.0f;
}

/* The same of static shared memory. */
static __global__ void unwritten_static(float *y)
{
    __shared__ float sh[32];

    y[threadIdx.x] = sh[threadIdx.x] + 1.0f;
    __syncwarp();
    sh[threadIdx.x] = 0.0f;
}

/* One block after another counts on the order of the grid. */
static __global__ void ordered_blocks(int *turn, int *y)
{
    y[blockIdx.x] = atomicAdd(turn, 1) == (int)blockIdx.x;
}
