/* gemm_emu.cpp - the library's border for the emulation (kernels/gemm.h): plain loops.
 *
 * It refuses what cuBLASLt refuses, by the card's arch, and has three algorithms, so that choosing
 * and keeping are tested:
 *
 *   1  eight partial sums, then a tree        2  one sum, in order of k
 *   3  K in parts, as many as T says: not in one order (GE2)
 */
extern "C" {
#include "kernels/gemm.h"
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda_stream.cuh"

enum { BY_LANES = 1, IN_ORDER, IN_PARTS, LANES = 8 };

struct gemm {
    struct stream *s;
};

/* By value, as a kernel's arguments are. */
struct gemm_work {
    struct gemm_shape shape;
    struct gemm_operands at;
    int T, algo;
};

int gemm_open(struct gemm **out, struct stream *s)
{
    *out = (struct gemm *)calloc(1, sizeof **out);
    if (!*out) return ERR_NOMEM;
    (*out)->s = s;
    return ERR_OK;
}

void gemm_close(struct gemm **g)
{
    free(*g);
    *g = NULL;
}

void gemm_library(char out[GEMM_TEXT])
{
    snprintf(out, GEMM_TEXT, "emulated");
}

static bool takes(const struct gemm *g, const struct gemm_shape *a)
{
    const int arch = g->s->arch;

    if (a->scaled && arch != 90) return false;
    if (a->in == DTYPE_BF16) return arch >= 80;
    if (a->in == DTYPE_INT8) return a->N % 4 == 0 && a->K % 4 == 0 && a->align >= 4;
    if (a->in != DTYPE_FP8) return true;
    return arch >= 89 && a->N % 16 == 0 && a->K % 16 == 0 && a->align == 16;
}

int gemm_find(struct gemm *g, const struct gemm_shape *shape, int, struct gemm_algo *out, int max)
{
    const int n = !takes(g, shape) ? 0 : shape->one_order ? IN_ORDER : IN_PARTS;

    memset(out, 0, (size_t)max * sizeof *out);
    for (int i = 0; i < n && i < max; i++) /* the one that is not in one order comes first */
        out[i].data[0] = (uint64_t)(n - i);
    return n < max ? n : max;
}

bool gemm_fits(struct gemm *g, const struct gemm_shape *shape, int, const struct gemm_algo *algo)
{
    const uint64_t most = shape->one_order ? IN_ORDER : IN_PARTS;

    return takes(g, shape) && algo->data[0] >= 1 && algo->data[0] <= most;
}

static float number(float x)
{
    return x;
}

static float number(f16 x)
{
    return to_float(x);
}

static float number(bf16 x)
{
    return to_float(x);
}

static float number(fp8 x)
{
    return to_float(x);
}

static int number(int8_t x)
{
    return x;
}

/* In as numbers, `Sum` what they are added up in. */
template <class In, class Sum>
static Sum dot(const Sum *x, const In *w, int from, int to, int lanes)
{
    Sum part[LANES] = {0};
    int k = from;

    for (; lanes == LANES && k + LANES <= to; k += LANES)
        for (int i = 0; i < LANES; i++)
            part[i] += x[k + i] * number(w[k + i]);
    for (; k < to; k++)
        part[0] += x[k] * number(w[k]);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            part[i] += part[i + half];
    return part[0];
}

template <class In, class Sum>
static Sum one_sum(const struct gemm_work &a, const Sum *x, const In *w)
{
    const int K = a.shape.K, parts = a.algo == IN_PARTS ? 2 + a.T % 3 : 1;
    Sum sum = 0;

    for (int i = 0; i < parts; i++)
        sum += dot(x, w, (int)((int64_t)K * i / parts), (int)((int64_t)K * (i + 1) / parts),
                   a.algo == IN_ORDER ? 1 : LANES);
    return sum;
}

static void store(const struct gemm_work &a, size_t at, int sum, float)
{
    ((int32_t *)a.at.y)[at] = sum;
}

static void store(const struct gemm_work &a, size_t at, float sum, float scale)
{
    if (a.shape.out == DTYPE_F32) ((float *)a.at.y)[at] = sum * scale;
    if (a.shape.out == DTYPE_F16) ((f16 *)a.at.y)[at] = from_float<f16>(sum * scale);
    if (a.shape.out == DTYPE_BF16) ((bf16 *)a.at.y)[at] = from_float<bf16>(sum * scale);
}

/* A thread a token. */
template <class In, class Sum> static __global__ void gemm_kernel(struct gemm_work a)
{
    const int t = (int)blockIdx.x, K = a.shape.K;
    const In *x = (const In *)a.at.x + (size_t)t * (size_t)a.shape.x_step;
    Sum *numbers = new Sum[(size_t)K];

    for (int k = 0; k < K; k++)
        numbers[k] = number(x[k]);
    for (int n = 0; n < a.shape.N; n++) {
        const In *w = (const In *)a.at.w + (size_t)n * (size_t)a.shape.w_step;
        const float scale = a.shape.scaled ? a.at.x_scales[t] * a.at.w_scales[n] : 1.0f;

        store(a, (size_t)t * (size_t)a.shape.y_step + (size_t)n, one_sum<In, Sum>(a, numbers, w),
              scale);
    }
    delete[] numbers;
}

int gemm_run(struct gemm *g, const struct gemm_shape *shape, int T, const struct gemm_algo *algo,
             const struct gemm_operands *a)
{
    const struct gemm_work work = {*shape, *a, T, (int)algo->data[0]};
    const unsigned blocks = (unsigned)T;

    if (!gemm_fits(g, shape, T, algo)) return ERR_UNSUPPORTED;
    switch (shape->in) {
    case DTYPE_F32: LAUNCH((gemm_kernel<float, float>), blocks, 1, 0, g->s->at, work); break;
    case DTYPE_F16: LAUNCH((gemm_kernel<f16, float>), blocks, 1, 0, g->s->at, work); break;
    case DTYPE_BF16: LAUNCH((gemm_kernel<bf16, float>), blocks, 1, 0, g->s->at, work); break;
    case DTYPE_FP8: LAUNCH((gemm_kernel<fp8, float>), blocks, 1, 0, g->s->at, work); break;
    default: LAUNCH((gemm_kernel<int8_t, int>), blocks, 1, 0, g->s->at, work); break;
    }
    return stream_launched(g->s, "linear", "T=%d N=%d K=%d %s", T, shape->N, shape->K,
                           dtype_name(shape->in));
}
