/* gemm_blaslt.cu - one matrix product by cuBLASLt.
 *
 * The library's matrices stand in columns: w [N][K] is A [K][N], taken transposed; x [T][K] is
 * B [K][T]; y [T][N] is D [N][T].  Its descriptors are of fixed size and lie on the stack.
 *
 * Source  cuBLAS documentation 13.0, "cublasLtMatmul" (which types go together, FP8's rules).
 */
extern "C" {
#include "kernels/gemm.h"
}

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda_stream.cuh"

#define WORKSPACE_BYTES ((size_t)32 << 20) /* what NVIDIA advises for sm_90 */
#define OUTER_SCALES    120900 /* the version that first takes a scale for each row and column */

struct gemm {
    cublasLtHandle_t lt;
    struct stream *s;
    void *workspace;
    int sm_target; /* 0: the whole device */
};

/* What the library is told of a product. */
struct problem {
    cublasLtMatmulDescOpaque_t op;
    cublasLtMatrixLayoutOpaque_t w, x, y;
    bool whole; /* sums are int32 */
};

static int fail(struct gemm *g, cublasStatus_t rc, const struct gemm_shape *a, int T)
{
    struct stream *s = g->s;

    if (s->rc) return s->rc;
    s->rc = ERR_CUDA;
    return err_set(&s->failed, ERR_CUDA, "cuBLASLt: %s, in linear T=%d N=%d K=%d %s to %s",
                   cublasLtGetStatusString(rc), T, a->N, a->K, dtype_name(a->in),
                   dtype_name(a->out));
}

int gemm_open(struct gemm **out, struct stream *s)
{
    struct gemm *g = (struct gemm *)calloc(1, sizeof *g);
    int all = 0, rc = ERR_NOMEM;
    cublasStatus_t status;

    *out = NULL;
    if (!g) goto out;
    g->s = s;
    rc = s->rc;
    if (!(g->workspace = stream_take(s, WORKSPACE_BYTES, "linear"))) goto out;
    rc = stream_called(s, cudaDeviceGetAttribute(&all, cudaDevAttrMultiProcessorCount, s->index),
                       "linear", "opening");
    if (rc) goto out;
    g->sm_target = s->sm_count < all ? s->sm_count : 0;
    status = cublasLtCreate(&g->lt);
    if (status != CUBLAS_STATUS_SUCCESS) {
        rc = s->rc = err_set(&s->failed, ERR_CUDA, "cuBLASLt: %s, opening it",
                             cublasLtGetStatusString(status));
        goto out;
    }
    *out = g;
    g = NULL;
out:
    gemm_close(&g);
    return rc;
}

void gemm_close(struct gemm **g)
{
    if (!*g) return;
    if ((*g)->lt) cublasLtDestroy((*g)->lt);
    free(*g);
    *g = NULL;
}

void gemm_library(char out[GEMM_TEXT])
{
    snprintf(out, GEMM_TEXT, "cuBLASLt %zu", cublasLtGetVersion());
}

static cudaDataType_t type_of(enum dtype d)
{
    switch (d) {
    case DTYPE_F16: return CUDA_R_16F;
    case DTYPE_BF16: return CUDA_R_16BF;
    case DTYPE_FP8: return CUDA_R_8F_E4M3;
    case DTYPE_INT8: return CUDA_R_8I;
    default: return CUDA_R_32F;
    }
}

template <class V>
static cublasStatus_t set(struct problem *p, cublasLtMatmulDescAttributes_t name, V value)
{
    return cublasLtMatmulDescSetAttribute(&p->op, name, &value, sizeof value);
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        const cublasStatus_t status_ = (call);                                                     \
        if (status_ != CUBLAS_STATUS_SUCCESS) return status_;                                      \
    } while (0)

/* Some pointer where the library is only asked: it is not followed. */
static cublasStatus_t set_scales(struct problem *p, const struct gemm *g,
                                 const struct gemm_operands *o)
{
    const int32_t outer = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    const void *const w = o ? o->w_scales : g->workspace, *const x = o ? o->x_scales : g->workspace;

    TRY(set(p, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, outer));
    TRY(set(p, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, outer));
    TRY(set(p, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, w));
    return set(p, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, x);
}

static cublasStatus_t problem_init(struct problem *p, const struct gemm *g,
                                   const struct gemm_shape *a, int T, const struct gemm_operands *o)
{
    const uint64_t N = (uint64_t)a->N, K = (uint64_t)a->K;

    p->whole = a->in == DTYPE_INT8;
    TRY(cublasLtMatmulDescInit(&p->op, p->whole ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                               p->whole ? CUDA_R_32I : CUDA_R_32F));
    TRY(set(p, CUBLASLT_MATMUL_DESC_TRANSA, (int32_t)CUBLAS_OP_T));
    TRY(set(p, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, (int32_t)g->sm_target));
    if (a->in == DTYPE_FP8) TRY(set(p, CUBLASLT_MATMUL_DESC_FAST_ACCUM, (int8_t)1));
    if (a->scaled) TRY(set_scales(p, g, o));
    TRY(cublasLtMatrixLayoutInit(&p->w, type_of(a->in), K, N, a->w_step));
    TRY(cublasLtMatrixLayoutInit(&p->x, type_of(a->in), K, (uint64_t)T, a->x_step));
    return cublasLtMatrixLayoutInit(&p->y, p->whole ? CUDA_R_32I : type_of(a->out), N, (uint64_t)T,
                                    a->y_step);
}

template <class V>
static cublasStatus_t prefer(cublasLtMatmulPreferenceOpaque_t *p,
                             cublasLtMatmulPreferenceAttributes_t name, V value)
{
    return cublasLtMatmulPreferenceSetAttribute(p, name, &value, sizeof value);
}

/* Parts of K that are summed apart are added up as floats, never as what y is. */
static cublasStatus_t preference_init(cublasLtMatmulPreferenceOpaque_t *p,
                                      const struct gemm_shape *a)
{
    const uint32_t align = (uint32_t)a->align;
    const uint32_t sums =
        a->one_order ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;

    TRY(cublasLtMatmulPreferenceInit(p));
    TRY(prefer(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, (uint64_t)WORKSPACE_BYTES));
    TRY(prefer(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, sums));
    TRY(prefer(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align));
    TRY(prefer(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align));
    TRY(prefer(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align));
    return prefer(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align);
}

/* Does the algorithm sum K in one sequence? */
static bool in_one_order(const cublasLtMatmulAlgo_t *algo)
{
    int32_t split = 0;
    uint32_t scheme = 0;
    size_t n;

    if (cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                             sizeof split, &n) ||
        cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                             sizeof scheme, &n))
        return false;
    return split <= 1 && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

static bool may_ask(const struct gemm *g, const struct gemm_shape *a)
{
    if (a->in == DTYPE_BF16 && g->s->arch < 80) return false;
    if (a->in == DTYPE_FP8 && g->s->arch < 89) return false;
    return !a->scaled || cublasLtGetVersion() >= OUTER_SCALES;
}

int gemm_find(struct gemm *g, const struct gemm_shape *shape, int T, struct gemm_algo *out, int max)
{
    enum { MOST = 16 };
    cublasLtMatmulHeuristicResult_t found[MOST];
    cublasLtMatmulPreferenceOpaque_t preference;
    struct problem p;
    int n = 0, kept = 0;

    if (!may_ask(g, shape) || problem_init(&p, g, shape, T, NULL) ||
        preference_init(&preference, shape) ||
        cublasLtMatmulAlgoGetHeuristic(g->lt, &p.op, &p.w, &p.x, &p.y, &p.y, &preference, MOST,
                                       found, &n))
        return 0;
    for (int i = 0; i < n && kept < max; i++) {
        if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
        if (shape->one_order && !in_one_order(&found[i].algo)) continue;
        static_assert(sizeof out->data == sizeof found[i].algo.data, "an algorithm is 64 bytes");
        memcpy(out[kept++].data, found[i].algo.data, sizeof out->data);
    }
    return kept;
}

static cublasLtMatmulAlgo_t library_algo(const struct gemm_algo *algo)
{
    cublasLtMatmulAlgo_t at;

    memcpy(at.data, algo->data, sizeof at.data);
    return at;
}

bool gemm_fits(struct gemm *g, const struct gemm_shape *shape, int T, const struct gemm_algo *algo)
{
    const cublasLtMatmulAlgo_t at = library_algo(algo);
    cublasLtMatmulHeuristicResult_t result;
    struct problem p;

    if (!may_ask(g, shape) || problem_init(&p, g, shape, T, NULL)) return false;
    if (cublasLtMatmulAlgoCheck(g->lt, &p.op, &p.w, &p.x, &p.y, &p.y, &at, &result)) return false;
    return result.workspaceSize <= WORKSPACE_BYTES && (!shape->one_order || in_one_order(&at));
}

/* Does the status mean that the product was not begun, and that the device goes on?  What a part of
 * a device has no room for, a cluster of blocks, is only seen at the launch. */
static bool was_refused(const struct gemm *g, cublasStatus_t rc)
{
    cudaError_t device;

    if (rc == CUBLAS_STATUS_NOT_SUPPORTED || rc == CUBLAS_STATUS_INVALID_VALUE ||
        rc == CUBLAS_STATUS_ARCH_MISMATCH)
        return true;
    if (rc != CUBLAS_STATUS_EXECUTION_FAILED || g->s->recording) return false;
    device = cudaStreamQuery(g->s->at);
    cudaGetLastError();
    return device == cudaSuccess || device == cudaErrorNotReady;
}

int gemm_run(struct gemm *g, const struct gemm_shape *shape, int T, const struct gemm_algo *algo,
             const struct gemm_operands *a)
{
    const cublasLtMatmulAlgo_t at = library_algo(algo);
    const float one = 1, zero = 0;
    const int32_t whole_one = 1, whole_zero = 0;
    struct problem p;
    cublasStatus_t rc = problem_init(&p, g, shape, T, a);

    if (!rc)
        rc = cublasLtMatmul(g->lt, &p.op, p.whole ? (const void *)&whole_one : &one, a->w, &p.w,
                            a->x, &p.x, p.whole ? (const void *)&whole_zero : &zero, a->y, &p.y,
                            a->y, &p.y, &at, g->workspace, WORKSPACE_BYTES, g->s->at);
    if (rc && was_refused(g, rc)) return ERR_UNSUPPORTED;
    if (rc) return fail(g, rc, shape, T);
    return stream_launched(g->s, "linear", "T=%d N=%d K=%d %s", T, shape->N, shape->K,
                           dtype_name(shape->in));
}
