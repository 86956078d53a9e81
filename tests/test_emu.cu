/* test_emu.cu - kernels/emu: launches, streams, events, graphs and memory as CUDA has them. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda.cuh"
#include "tests/test.h"

#define CALL(call) ck_assert_int_eq((call), cudaSuccess)

static __global__ void add(int *at, int n)
{
    atomicAdd(at, n);
}

/* y[block][thread] = its place in the grid; any shape. */
static __global__ void places(unsigned *y)
{
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned n = blockDim.x * blockDim.y * blockDim.z;

    atomicAdd(&y[block * n + thread], block * n + thread + 1);
}

/* Sums of rows, with barriers and shuffles. */
template <class T, int N> static __global__ void __launch_bounds__(1024) row_sums(T *y, const T *x)
{
    __shared__ T sh[32];
    const T *row = x + (size_t)blockIdx.x * N;
    T sum = 0;

    for (int i = (int)threadIdx.x; i < N; i += (int)blockDim.x)
        sum += row[i];
    for (int d = 16; d; d /= 2)
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, d);
    if (threadIdx.x % 32 == 0) sh[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x) return;
    sum = 0;
    for (unsigned i = 0; i < blockDim.x / 32; i++)
        sum += sh[i];
    y[blockIdx.x] = sum;
}

static __global__ void dynamic_last(char *y, int n)
{
    SHARED_DYNAMIC(char, sh);

    sh[n - 1] = 7;
    y[0] = sh[n - 1];
    y[1] = (uintptr_t)sh % 1024 == 0;
}

static int *device_int(int value)
{
    int *p;

    CALL(cudaMalloc(&p, sizeof *p));
    CALL(cudaMemcpy(p, &value, sizeof value, cudaMemcpyHostToDevice));
    return p;
}

static cudaStream_t new_stream(void)
{
    cudaStream_t s;

    CALL(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    return s;
}

static void quiet(void)
{
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

static const char *const ORDERS[] = {"forward", "reverse", "random:1", "random:2"};

START_TEST(each_thread_of_each_block_runs_once_in_every_order)
{
    static const dim3 shapes[][2] = {
        {{1}, {1}}, {{7, 3, 2}, {5, 3, 2}}, {{1, 5}, {33}}, {{64}, {1024}}};
    const dim3 grid = shapes[_i / 4][0], block = shapes[_i / 4][1];
    const size_t n = (size_t)grid.x * grid.y * grid.z * block.x * block.y * block.z;
    unsigned *y;

    setenv("EMU_ORDER", ORDERS[_i % 4], 1);
    CALL(cudaMalloc(&y, n * sizeof *y));
    CALL(cudaMemset(y, 0, n * sizeof *y));
    LAUNCH(places, grid, block, 0, 0, y);
    CALL(cudaGetLastError());
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(y[i], i + 1);
    CALL(cudaFree(y));
}
END_TEST

START_TEST(barriers_and_shuffles_give_the_sums_in_every_order)
{
    long long *x, *y;

    setenv("EMU_ORDER", ORDERS[_i], 1);
    CALL(cudaMalloc(&x, 5 * 1000 * sizeof *x));
    CALL(cudaMalloc(&y, 5 * sizeof *y));
    for (int i = 0; i < 5000; i++)
        x[i] = i % 1000 + ((long long)(i / 1000) << 40);
    for (int threads = 32; threads <= 1024; threads *= 2) {
        LAUNCH((row_sums<long long, 1000>), 5, threads, 0, 0, y, x);
        for (int i = 0; i < 5; i++)
            ck_assert_int_eq(y[i], 499500 + 1000 * ((long long)i << 40));
    }
    CALL(cudaFree(x));
    CALL(cudaFree(y));
}
END_TEST

START_TEST(a_launch_that_a_device_refuses_is_refused)
{
    static const struct {
        dim3 grid, block;
        size_t bytes;
        int error;
    } cases[] = {
        {{1}, {1025}, 0, cudaErrorInvalidConfiguration},
        {{1}, {32, 32, 2}, 0, cudaErrorInvalidConfiguration},
        {{1}, {1, 1, 65}, 0, cudaErrorInvalidConfiguration},
        {{1}, {0}, 0, cudaErrorInvalidConfiguration},
        {{0}, {32}, 0, cudaErrorInvalidConfiguration},
        {{2147483648u}, {32}, 0, cudaErrorInvalidConfiguration},
        {{1, 65536}, {32}, 0, cudaErrorInvalidConfiguration},
        {{1, 1, 65536}, {32}, 0, cudaErrorInvalidConfiguration},
        {{1}, {32}, 49153, cudaErrorInvalidValue},
    };
    int *at = device_int(0);

    quiet();
    LAUNCH(add, cases[_i].grid, cases[_i].block, cases[_i].bytes, 0, at, 1);
    ck_assert_int_eq(cudaPeekAtLastError(), cases[_i].error);
    ck_assert_int_eq(cudaGetLastError(), cases[_i].error);
    CALL(cudaGetLastError()); /* it does not stay */
    ck_assert_int_eq(*at, 0);
    LAUNCH(add, dim3(1, 65535), 1, 49152, 0, at, 1);
    CALL(cudaGetLastError());
    ck_assert_int_eq(*at, 65535);
    CALL(cudaFree(at));
}
END_TEST

START_TEST(more_dynamic_shared_memory_must_be_asked_for)
{
    char *y;
    int most;

    quiet();
    if (_i) setenv("EMU_ARCH", _i == 1 ? "80" : "75", 1);
    CALL(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    ck_assert_int_eq(most, _i == 0 ? 232448 : _i == 1 ? 166912 : 65536);
    CALL(cudaMalloc(&y, 2));
    ck_assert_int_eq(
        cudaFuncSetAttribute(dynamic_last, cudaFuncAttributeMaxDynamicSharedMemorySize, most + 1),
        cudaErrorInvalidValue);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorInvalidValue);
    LAUNCH(dynamic_last, 1, 1, (size_t)most, 0, y, most);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorInvalidValue);
    CALL(cudaFuncSetAttribute(dynamic_last, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
    LAUNCH(dynamic_last, 1, 1, (size_t)most, 0, y, most);
    CALL(cudaGetLastError());
    ck_assert_int_eq(y[0], 7);
    ck_assert_int_eq(y[1], 1);
    CALL(cudaFree(y));
}
END_TEST

START_TEST(device_memory_is_counted_aligned_and_not_zero)
{
    size_t before, now, total;
    unsigned char *a, *b;

    setenv("EMU_MEMORY", "1000000", 1);
    CALL(cudaMemGetInfo(&before, &total));
    ck_assert_uint_eq(total, 1000000);
    CALL(cudaMalloc(&a, 600000));
    ck_assert_uint_eq((uintptr_t)a % 256, 0);
    ck_assert_int_eq(a[599999], 0xFF);
    ck_assert_int_eq(cudaMalloc(&b, 400001), cudaErrorMemoryAllocation);
    ck_assert_ptr_null(b);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorMemoryAllocation);
    CALL(cudaMemGetInfo(&now, &total));
    ck_assert_uint_eq(before - now, 600000);
    CALL(cudaMallocHost(&b, 400001)); /* pinned memory is the host's */
    ck_assert_int_eq(cudaFree(b), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaFree(a + 1), cudaErrorInvalidValue);
    CALL(cudaFree(a));
    CALL(cudaFreeHost(b));
    CALL(cudaFree(NULL));
    CALL(cudaMemGetInfo(&now, &total));
    ck_assert_uint_eq(before, now);
}
END_TEST

START_TEST(copies_and_fills_go_where_they_should)
{
    char host[12] = "abcdefghijk", back[12], *p;
    cudaStream_t s = new_stream();

    CALL(cudaMalloc(&p, 12));
    CALL(cudaMemcpyAsync(p, host, 12, cudaMemcpyHostToDevice, s));
    CALL(cudaMemsetAsync(p + 1, 'x', 2, s));
    CALL(cudaMemcpy2DAsync(p + 4, 4, host, 3, 2, 2, cudaMemcpyHostToDevice, s));
    CALL(cudaMemcpyAsync(back, p, 12, cudaMemcpyDeviceToHost, s));
    CALL(cudaStreamSynchronize(s));
    ck_assert_str_eq(back, "axxdabghdek");
    ck_assert_int_eq(cudaMemcpyAsync(NULL, host, 1, cudaMemcpyHostToDevice, s),
                     cudaErrorInvalidValue);
    CALL(cudaFree(p));
    CALL(cudaStreamDestroy(s));
}
END_TEST

START_TEST(a_copy_beyond_a_piece_or_between_the_wrong_sides_is_refused)
{
    char host[64], *p, *q;

    quiet();
    CALL(cudaMalloc(&p, 32));
    CALL(cudaMalloc(&q, 64));
    CALL(cudaMemset(q, 0, 64));
    CALL(cudaMemcpy(p + 16, q, 16, cudaMemcpyDeviceToDevice));
    ck_assert_int_eq(cudaMemcpy(p + 16, q, 17, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(q, p, 33, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemset(p, 0, 33), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemset(host, 0, 1), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(host, host + 32, 8, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(host, host + 32, 8, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    CALL(cudaFree(p));
    CALL(cudaFree(q));
}
END_TEST

START_TEST(devices_are_as_many_as_the_environment_says)
{
    struct cudaDeviceProp prop;
    int n, now;

    setenv("EMU_DEVICES", "3", 1);
    setenv("EMU_SM", "132", 1);
    CALL(cudaGetDeviceCount(&n));
    ck_assert_int_eq(n, 3);
    CALL(cudaSetDevice(2));
    CALL(cudaGetDevice(&now));
    ck_assert_int_eq(now, 2);
    ck_assert_int_eq(cudaSetDevice(3), cudaErrorInvalidDevice);
    CALL(cudaGetDeviceProperties(&prop, 2));
    ck_assert_int_eq(prop.multiProcessorCount, 132);
    ck_assert_int_eq(prop.major, 9);
    setenv("EMU_DEVICES", "0", 1);
    ck_assert_int_eq(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    ck_assert_int_eq(n, 0);
}
END_TEST

START_TEST(events_measure_in_order)
{
    cudaEvent_t a, b, silent;
    cudaStream_t s = new_stream();
    float ms;

    CALL(cudaEventCreate(&a));
    CALL(cudaEventCreate(&b));
    CALL(cudaEventCreateWithFlags(&silent, cudaEventDisableTiming));
    ck_assert_int_eq(cudaEventElapsedTime(&ms, a, b), cudaErrorInvalidResourceHandle);
    CALL(cudaEventRecord(a, s));
    CALL(cudaEventRecord(b, s));
    CALL(cudaEventRecord(silent, s));
    CALL(cudaEventSynchronize(b));
    CALL(cudaEventElapsedTime(&ms, a, b));
    ck_assert(ms >= 0.0f);
    ck_assert_int_eq(cudaEventElapsedTime(&ms, a, silent), cudaErrorInvalidResourceHandle);
    CALL(cudaEventDestroy(a));
    CALL(cudaEventDestroy(b));
    CALL(cudaEventDestroy(silent));
    CALL(cudaStreamDestroy(s));
}
END_TEST

static void count_call(void *user)
{
    ++*(int *)user;
}

START_TEST(a_graph_replays_with_the_memory_of_now_S1)
{
    int *at = device_int(1), host = 5, calls = 0, got = -1;
    cudaStream_t s = new_stream();
    cudaGraphExec_t exec;
    cudaGraph_t graph;
    size_t n;

    CALL(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < 3; i++)
        LAUNCH(add, 2, 4, 0, s, at, i); /* i by value: 0, 1, 2 */
    CALL(cudaMemcpyAsync(at, &host, sizeof host, cudaMemcpyHostToDevice, s));
    LAUNCH(add, 1, 1, 0, s, at, 100);
    CALL(cudaMemcpyAsync(&got, at, sizeof got, cudaMemcpyDeviceToHost, s));
    CALL(cudaLaunchHostFunc(s, count_call, &calls));
    CALL(cudaStreamEndCapture(s, &graph));
    ck_assert_int_eq(*at, 1); /* S1 */
    ck_assert_int_eq(calls, 0);
    CALL(cudaGraphGetNodes(graph, NULL, &n));
    ck_assert_uint_eq(n, 7);
    CALL(cudaGraphInstantiate(&exec, graph, 0));
    CALL(cudaGraphDestroy(graph));
    CALL(cudaGraphLaunch(exec, s));
    ck_assert_int_eq(got, 105);
    host = 7;
    CALL(cudaGraphLaunch(exec, s));
    ck_assert_int_eq(got, 107);
    ck_assert_int_eq(calls, 2);
    CALL(cudaGraphExecDestroy(exec));
    LAUNCH(add, 1, 1, 0, s, at, 1); /* the stream works at once again */
    ck_assert_int_eq(*at, 108);
    CALL(cudaStreamDestroy(s));
    CALL(cudaFree(at));
}
END_TEST

START_TEST(what_waits_spoils_a_capture_S1)
{
    static const int errors[] = {
        cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureUnsupported,
        cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureImplicit, cudaErrorCapturedEvent};
    cudaStream_t s = new_stream();
    enum cudaStreamCaptureStatus status;
    cudaEvent_t event;
    cudaGraph_t graph;
    int *at = device_int(0), rc = 0, host;
    void *p;

    CALL(cudaEventCreate(&event));
    CALL(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    CALL(cudaEventRecord(event, s));
    switch (_i) {
    case 0: rc = cudaStreamSynchronize(s); break;
    case 1: rc = cudaDeviceSynchronize(); break;
    case 2: rc = cudaMalloc(&p, 16); break;
    case 3: rc = cudaMemcpy(&host, at, sizeof host, cudaMemcpyDeviceToHost); break;
    case 4: rc = cudaEventSynchronize(event); break;
    }
    ck_assert_int_eq(rc, errors[_i]);
    CALL(cudaStreamIsCapturing(s, &status));
    ck_assert_int_eq(status, cudaStreamCaptureStatusInvalidated);
    LAUNCH(add, 1, 1, 0, s, at, 1);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorStreamCaptureInvalidated);
    ck_assert_int_eq(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
    ck_assert_ptr_null(graph);
    cudaGetLastError();
    ck_assert_int_eq(*at, 0);
    LAUNCH(add, 1, 1, 0, s, at, 1);
    ck_assert_int_eq(*at, 1);
    CALL(cudaEventDestroy(event));
    CALL(cudaStreamDestroy(s));
    CALL(cudaFree(at));
}
END_TEST

START_TEST(a_second_stream_is_recorded_when_it_follows_and_must_be_joined)
{
    cudaStream_t a = new_stream(), b = new_stream();
    int *at = device_int(0);
    cudaEvent_t fork, join;
    cudaGraphExec_t exec;
    cudaGraph_t graph;

    CALL(cudaEventCreate(&fork));
    CALL(cudaEventCreate(&join));
    for (int joined = 0; joined < 2; joined++) {
        CALL(cudaStreamBeginCapture(a, cudaStreamCaptureModeThreadLocal));
        CALL(cudaEventRecord(fork, a));
        CALL(cudaStreamWaitEvent(b, fork, 0));
        LAUNCH(add, 1, 1, 0, b, at, 10);
        LAUNCH(add, 1, 1, 0, a, at, 1);
        CALL(cudaEventRecord(join, b));
        if (joined) CALL(cudaStreamWaitEvent(a, join, 0));
        ck_assert_int_eq(*at, 0);
        ck_assert_int_eq(cudaStreamEndCapture(a, &graph),
                         joined ? 0 : cudaErrorStreamCaptureUnjoined);
        cudaGetLastError();
    }
    CALL(cudaGraphInstantiate(&exec, graph, 0));
    CALL(cudaGraphLaunch(exec, a));
    ck_assert_int_eq(*at, 11);
    LAUNCH(add, 1, 1, 0, b, at, 1); /* b is free again */
    ck_assert_int_eq(*at, 12);
    CALL(cudaGraphDestroy(graph));
    CALL(cudaGraphExecDestroy(exec));
    CALL(cudaEventDestroy(fork));
    CALL(cudaEventDestroy(join));
    CALL(cudaStreamDestroy(a));
    CALL(cudaStreamDestroy(b));
    CALL(cudaFree(at));
}
END_TEST

static void *take_memory(void *rc)
{
    void *p = NULL;

    *(int *)rc = cudaMalloc(&p, 16);
    cudaFree(p);
    return NULL;
}

START_TEST(a_global_capture_forbids_allocation_to_other_threads_a_local_one_does_not)
{
    const enum cudaStreamCaptureMode mode =
        _i ? cudaStreamCaptureModeGlobal : cudaStreamCaptureModeThreadLocal;
    cudaStream_t s = new_stream();
    cudaGraph_t graph;
    pthread_t thread;
    int rc;

    CALL(cudaStreamBeginCapture(s, mode));
    ck_assert_int_eq(pthread_create(&thread, NULL, take_memory, &rc), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(rc, _i ? cudaErrorStreamCaptureUnsupported : 0);
    ck_assert_int_eq(cudaStreamEndCapture(s, &graph), _i ? cudaErrorStreamCaptureInvalidated : 0);
    if (graph) CALL(cudaGraphDestroy(graph));
    CALL(cudaStreamDestroy(s));
}
END_TEST

struct share {
    int *x, *y;
    int bad;
};

static void *sum_many(void *share_)
{
    struct share *share = (struct share *)share_;

    for (int round = 0; round < 20; round++) {
        LAUNCH((row_sums<int, 512>), 8, 256, 0, 0, share->y, share->x);
        for (int i = 0; i < 8; i++)
            share->bad += share->y[i] != 512 * (i + share->x[0]);
    }
    return NULL;
}

START_TEST(threads_that_launch_at_the_same_time_do_not_meet)
{
    struct share shares[3];
    pthread_t threads[3];

    for (int k = 0; k < 3; k++) {
        shares[k].bad = 0;
        CALL(cudaMalloc(&shares[k].x, 8 * 512 * sizeof(int)));
        CALL(cudaMalloc(&shares[k].y, 8 * sizeof(int)));
        for (int i = 0; i < 8 * 512; i++)
            shares[k].x[i] = k + i / 512;
        ck_assert_int_eq(pthread_create(&threads[k], NULL, sum_many, &shares[k]), 0);
    }
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(pthread_join(threads[k], NULL), 0);
        ck_assert_int_eq(shares[k].bad, 0);
        CALL(cudaFree(shares[k].x));
        CALL(cudaFree(shares[k].y));
    }
}
END_TEST

/* ---- EMU_STREAM=late ---- */

static cudaStream_t late_stream(void)
{
    setenv("EMU_STREAM", "late", 1);
    return new_stream();
}

START_TEST(a_late_stream_works_when_it_is_waited_for)
{
    cudaStream_t s = late_stream();
    int *at = device_int(1), n_steps = 0;
    cudaEvent_t first, second;
    cudaError_t rc;

    CALL(cudaEventCreate(&first));
    CALL(cudaEventCreate(&second));
    CALL(cudaEventSynchronize(first)); /* never recorded: nothing to wait for */
    LAUNCH(add, 1, 1, 0, s, at, 1);
    CALL(cudaEventRecord(first, s));
    LAUNCH(add, 1, 1, 0, s, at, 10);
    CALL(cudaEventRecord(second, s));
    LAUNCH(add, 1, 1, 0, s, at, 100);
    ck_assert_int_eq(*at, 1);
    ck_assert_int_eq(cudaEventQuery(second), cudaErrorNotReady);
    CALL(cudaEventSynchronize(first));
    ck_assert_int_eq(*at, 2);
    while ((rc = cudaEventQuery(second)) == cudaErrorNotReady)
        n_steps++;
    CALL(rc);
    ck_assert_int_eq(n_steps, 2);
    ck_assert_int_eq(*at, 12);
    CALL(cudaStreamSynchronize(s));
    ck_assert_int_eq(*at, 112);
    LAUNCH(add, 1, 1, 0, s, at, 1000);
    CALL(cudaDeviceSynchronize());
    ck_assert_int_eq(*at, 1112);
    LAUNCH(add, 1, 1, 0, s, at, 1000);
    CALL(cudaStreamDestroy(s)); /* its work is done all the same */
    ck_assert_int_eq(*at, 2112);
    CALL(cudaEventDestroy(first));
    CALL(cudaEventDestroy(second));
    CALL(cudaFree(at));
}
END_TEST

START_TEST(a_pinned_source_that_is_changed_too_early_is_seen_a_pageable_one_may_be_changed)
{
    cudaStream_t s = late_stream();
    int *at = device_int(0), *pinned, pageable = 5;

    CALL(cudaMallocHost(&pinned, sizeof *pinned));
    *pinned = 5;
    CALL(cudaMemcpyAsync(at, pinned, sizeof *at, cudaMemcpyHostToDevice, s));
    *pinned = 6;
    CALL(cudaStreamSynchronize(s));
    ck_assert_int_eq(*at, 6);
    CALL(cudaMemcpyAsync(at, &pageable, sizeof *at, cudaMemcpyHostToDevice, s));
    pageable = 6;
    CALL(cudaStreamSynchronize(s));
    ck_assert_int_eq(*at, 5);
    *at = 7;
    CALL(cudaMemcpyAsync(pinned, at, sizeof *at, cudaMemcpyDeviceToHost, s));
    ck_assert_int_eq(*pinned, 6); /* nobody has waited */
    CALL(cudaMemcpyAsync(&pageable, at, sizeof *at, cudaMemcpyDeviceToHost, s));
    ck_assert_int_eq(pageable, 7); /* such a copy waits by itself */
    ck_assert_int_eq(*pinned, 7);
    CALL(cudaFreeHost(pinned));
    CALL(cudaFree(at));
    CALL(cudaStreamDestroy(s));
}
END_TEST

START_TEST(late_streams_wait_for_one_another_by_events)
{
    cudaStream_t a = late_stream(), b = late_stream();
    int *x = device_int(1), *y = device_int(0);
    cudaEvent_t ready;

    CALL(cudaEventCreate(&ready));
    LAUNCH(add, 1, 1, 0, a, x, 1);
    CALL(cudaEventRecord(ready, a));
    LAUNCH(add, 1, 1, 0, a, x, 10);
    if (_i) CALL(cudaStreamWaitEvent(b, ready, 0));
    CALL(cudaMemcpyAsync(y, x, sizeof *y, cudaMemcpyDeviceToDevice, b));
    CALL(cudaStreamSynchronize(b));
    ck_assert_int_eq(*y, _i ? 2 : 1); /* without the wait: what was there before */
    CALL(cudaStreamSynchronize(a));
    ck_assert_int_eq(*x, 12);
    CALL(cudaEventDestroy(ready));
    CALL(cudaStreamDestroy(a));
    CALL(cudaStreamDestroy(b));
    CALL(cudaFree(x));
    CALL(cudaFree(y));
}
END_TEST

START_TEST(a_graph_is_one_piece_of_late_work)
{
    cudaStream_t s = late_stream();
    int *at = device_int(0);
    cudaGraphExec_t exec;
    cudaGraph_t graph;

    CALL(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    LAUNCH(add, 1, 1, 0, s, at, 1);
    LAUNCH(add, 1, 1, 0, s, at, 10);
    CALL(cudaStreamEndCapture(s, &graph));
    CALL(cudaGraphInstantiate(&exec, graph, 0));
    CALL(cudaGraphDestroy(graph));
    CALL(cudaGraphLaunch(exec, s));
    CALL(cudaGraphExecDestroy(exec)); /* the launch keeps what it needs */
    ck_assert_int_eq(*at, 0);
    CALL(cudaStreamSynchronize(s));
    ck_assert_int_eq(*at, 11);
    CALL(cudaStreamDestroy(s));
    CALL(cudaFree(at));
}
END_TEST

static __global__ void deep(int *y)
{
    volatile char frame[40000];

    for (int i = 0; i < 40000; i++)
        frame[i] = (char)threadIdx.x;
    __syncthreads();
    for (int i = 0; i < 40000; i++)
        if (frame[i] != (char)threadIdx.x) atomicAdd(y, 1);
}

START_TEST(each_thread_has_a_stack_of_its_own)
{
    int *y = device_int(0);

    LAUNCH(deep, 2, 128, 0, 0, y);
    ck_assert_int_eq(*y, 0);
    CALL(cudaFree(y));
}
END_TEST

START_TEST(errors_have_names)
{
    ck_assert_str_eq(cudaGetErrorName(cudaErrorInvalidValue), "cudaErrorInvalidValue");
    ck_assert_str_eq(cudaGetErrorString(cudaErrorLaunchFailure), "unspecified launch failure");
    ck_assert_str_eq(cudaGetErrorString((cudaError_t)12345), "unrecognized error code");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("emu");
    TCase *tc = tcase_create("launches");

    tcase_add_loop_test(tc, each_thread_of_each_block_runs_once_in_every_order, 0, 16);
    tcase_add_loop_test(tc, barriers_and_shuffles_give_the_sums_in_every_order, 0, 4);
    tcase_add_loop_test(tc, a_launch_that_a_device_refuses_is_refused, 0, 9);
    tcase_add_loop_test(tc, more_dynamic_shared_memory_must_be_asked_for, 0, 3);
    tcase_add_test(tc, threads_that_launch_at_the_same_time_do_not_meet);
    tcase_add_test(tc, each_thread_has_a_stack_of_its_own);
    suite_add_tcase(s, tc);
    tc = tcase_create("runtime");
    tcase_add_test(tc, device_memory_is_counted_aligned_and_not_zero);
    tcase_add_test(tc, copies_and_fills_go_where_they_should);
    tcase_add_test(tc, a_copy_beyond_a_piece_or_between_the_wrong_sides_is_refused);
    tcase_add_test(tc, devices_are_as_many_as_the_environment_says);
    tcase_add_test(tc, events_measure_in_order);
    tcase_add_test(tc, errors_have_names);
    suite_add_tcase(s, tc);
    tc = tcase_create("graphs");
    tcase_add_test(tc, a_graph_replays_with_the_memory_of_now_S1);
    tcase_add_loop_test(tc, what_waits_spoils_a_capture_S1, 0, 5);
    tcase_add_test(tc, a_second_stream_is_recorded_when_it_follows_and_must_be_joined);
    tcase_add_loop_test(
        tc, a_global_capture_forbids_allocation_to_other_threads_a_local_one_does_not, 0, 2);
    suite_add_tcase(s, tc);
    tc = tcase_create("late");
    tcase_add_test(tc, a_late_stream_works_when_it_is_waited_for);
    tcase_add_test(tc,
                   a_pinned_source_that_is_changed_too_early_is_seen_a_pageable_one_may_be_changed);
    tcase_add_loop_test(tc, late_streams_wait_for_one_another_by_events, 0, 2);
    tcase_add_test(tc, a_graph_is_one_piece_of_late_work);
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
