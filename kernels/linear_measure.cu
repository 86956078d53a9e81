/* linear_measure.cu - the fastest way for each product and bucket of T, by measuring.
 *
 * A candidate runs once to be loaded, then RUNS times between two events.  It reads copies of w in
 * turns where w is smaller than the L2 cache, since in a step other weights have gone through the
 * cache in between.  x is random: on zeros a card is faster than it will be.
 *
 * Memory for this is taken and given back; with less than it wants it measures at fewer tokens.
 */
#include "kernels/linear_cuda.cuh"

extern "C" {
#include "kernels/linear_rows.h"
}

#include <stdio.h>

#define RUNS        5
#define MOST_MS     1500.0f /* for a group; then the library's first is taken */
#define TOO_SLOW    3.0f    /* times the best: not run again */
#define MOST_COPIES 8
#define THREADS     256

struct linear_bench {
    struct stream *s;
    struct linear_choices *c;
    cudaEvent_t from, to;
    char *x, *y, *w; /* w: copies, w_bytes apart */
    float *x_scales;
    const float *w_scales;
    const void *one_w; /* where there are no copies */
    size_t w_bytes;
    int copies, turn, most_tokens;
    float spent_ms;
};

/* x is even in [-1, 1); for fp8 and int8, over what they hold. */
template <class E> static __device__ __forceinline__ E drawn(float x)
{
    return from_float<E>(x);
}

template <> __device__ __forceinline__ fp8 drawn<fp8>(float x)
{
    return from_float<fp8>(x * 448.0f);
}

template <> __device__ __forceinline__ int8_t drawn<int8_t>(float x)
{
    return (int8_t)(x * 127.0f);
}

template <class E> static __global__ void draw_kernel(E *p, size_t n)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    unsigned bits = (unsigned)i * 2654435761u;

    if (i >= n) return;
    bits = (bits ^ bits >> 15) * 2246822519u;
    bits ^= bits >> 13;
    p[i] = drawn<E>((float)(int)bits * 0x1p-31f);
}

template <class E> static void draw(char *p, size_t bytes, struct stream *s)
{
    const size_t n = bytes / sizeof(E);

    LAUNCH(draw_kernel<E>, (unsigned)((n + THREADS - 1) / THREADS), THREADS, 0, s->at, (E *)p, n);
}

static int draw_x(struct linear_bench *b, size_t bytes)
{
    switch (b->c->shape.in) {
    case DTYPE_F16: draw<f16>(b->x, bytes, b->s); break;
    case DTYPE_BF16: draw<bf16>(b->x, bytes, b->s); break;
    case DTYPE_FP8: draw<fp8>(b->x, bytes, b->s); break;
    case DTYPE_INT8: draw<int8_t>(b->x, bytes, b->s); break;
    default: draw<float>(b->x, bytes, b->s); break;
    }
    draw<float>((char *)b->x_scales, (size_t)b->most_tokens * sizeof(float), b->s);
    return stream_launched(b->s, "linear", "numbers to measure with");
}

static char *try_take(size_t bytes)
{
    void *p;

    if (cudaMalloc(&p, bytes) == cudaSuccess) return (char *)p;
    cudaGetLastError();
    return NULL;
}

static void give_back(struct linear_bench *b)
{
    cudaFree(b->x), cudaFree(b->y), cudaFree(b->x_scales), cudaFree(b->w);
    b->x = b->y = b->w = NULL;
    b->x_scales = NULL;
}

/* x and y for as many tokens as there is memory for, down to one. */
static bool take_tokens(struct linear_bench *b, int most)
{
    const struct gemm_shape *a = &b->c->shape;
    const size_t x = (size_t)a->x_step * dtype_bytes(a->in), y = (size_t)a->y_step * sizeof(float);

    for (b->most_tokens = most; b->most_tokens > 0; b->most_tokens /= 2) {
        const size_t T = (size_t)b->most_tokens;

        b->x = try_take(T * x);
        b->y = try_take(T * y);
        b->x_scales = (float *)try_take(T * sizeof(float));
        if (b->x && b->y && b->x_scales) return true;
        give_back(b);
    }
    return false;
}

/* Copies of w, so that together they are twice the cache. */
static int copy_weights(struct linear_bench *b, const struct weight *w)
{
    const size_t row = (size_t)b->c->shape.w_step * dtype_bytes(w->dtype);
    const size_t last = (size_t)w->K * dtype_bytes(w->dtype); /* of the last row: not its gap */
    int l2 = 0;
    cudaError_t rc = cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, b->s->index);

    b->w_bytes = (row * (size_t)w->N + 255) / 256 * 256;
    b->one_w = w->data;
    b->copies = 0;
    if (rc == cudaSuccess && b->w_bytes < (size_t)l2) {
        const size_t want = 2 * (size_t)l2 / b->w_bytes + 1;

        b->copies = want < MOST_COPIES ? (int)want : MOST_COPIES;
        b->w = try_take((size_t)b->copies * b->w_bytes);
        if (!b->w) b->copies = 0;
    }
    for (int i = 0; i < b->copies && rc == cudaSuccess; i++)
        rc = cudaMemcpyAsync(b->w + (size_t)i * b->w_bytes, w->data,
                             row * ((size_t)w->N - 1) + last, cudaMemcpyDeviceToDevice, b->s->at);
    return stream_called(b->s, rc, "linear", "copies of a weight to measure with");
}

static int run(struct linear_bench *b, const struct tune_choice *way, int T)
{
    const struct gemm_operands a = {
        b->x, b->copies ? b->w + (size_t)(b->turn++ % b->copies) * b->w_bytes : b->one_w,
        b->x_scales, b->w_scales, b->y};

    return linear_run(&b->c->shape, way, T, &a, b->s);
}

/* Milliseconds of n runs together; -1: it does not run. */
static float time_of(struct linear_bench *b, const struct tune_choice *way, int T, int n)
{
    float ms = -1;
    int rc = ERR_OK;
    cudaError_t cu = cudaEventRecord(b->from, b->s->at);

    for (int i = 0; i < n && !rc; i++)
        rc = run(b, way, T);
    if (cu == cudaSuccess) cu = cudaEventRecord(b->to, b->s->at);
    if (cu == cudaSuccess) cu = cudaEventSynchronize(b->to);
    if (cu == cudaSuccess) cu = cudaEventElapsedTime(&ms, b->from, b->to);
    if (stream_called(b->s, cu, "linear", "measuring T=%d N=%d K=%d", T, b->c->shape.N,
                      b->c->shape.K) ||
        rc)
        return -1;
    b->spent_ms += ms;
    return ms;
}

static int candidates(struct linear_bench *b, int T, struct tune_choice out[TUNE_CANDIDATES + 1])
{
    const bool one_order = b->c->shape.one_order;
    struct gemm_algo found[TUNE_CANDIDATES];
    const int n =
        b->c->refused ? 0 : gemm_find(b->s->linear->gemm, &b->c->shape, T, found, TUNE_CANDIDATES);
    int kept = 0;

    for (int i = 0; i < n; i++) {
        if (one_order && !linear_fits_all(b->c, &found[i], b->s)) continue;
        out[kept].way = TUNE_LIBRARY;
        memcpy(out[kept++].algo, found[i].data, sizeof found[i].data);
    }
    if (kept == 0 || (T <= ROWS_MOST && !one_order)) out[kept++] = {TUNE_ROWS, {0}};
    return kept;
}

/* The fastest way for T. */
static struct tune_choice fastest(struct linear_bench *b, int T)
{
    struct tune_choice ways[TUNE_CANDIDATES + 1];
    const int n = candidates(b, T, ways);
    float ms[TUNE_CANDIDATES + 1], best = -1;

    for (int i = 0; i < n; i++) {
        ms[i] = -1;
        if (n == 1 || b->spent_ms > MOST_MS || run(b, &ways[i], T)) continue;
        ms[i] = time_of(b, &ways[i], T, 1);
        if (ms[i] < 0 || (best >= 0 && ms[i] > TOO_SLOW * best)) continue;
        ms[i] = time_of(b, &ways[i], T, RUNS) / RUNS;
        if (ms[i] >= 0 && (best < 0 || ms[i] < best)) best = ms[i];
    }
    const int at = tune_best(ms, n);

    return ways[at < 0 ? 0 : at];
}

/* All that a choice depends on, on one line. */
static void depends_on(char text[TUNE_TEXT], const struct linear_choices *c, const struct stream *s)
{
    const struct gemm_shape *a = &c->shape;
    struct cudaDeviceProp prop;
    char library[GEMM_TEXT];
    int driver = 0;

    memset(&prop, 0, sizeof prop);
    cudaGetDeviceProperties(&prop, s->index);
    cudaDriverGetVersion(&driver);
    gemm_library(library);
    snprintf(text, TUNE_TEXT,
             "%.96s, driver %d, %s, %d multiprocessors, %d tokens: N=%d K=%d %s to %s, rows %d %d "
             "%d, aligned %d%s%s",
             prop.name, driver, library, s->sm_count, s->limits.max_tokens, a->N, a->K,
             dtype_name(a->in), dtype_name(a->out), a->w_step, a->x_step, a->y_step, a->align,
             a->scaled ? ", scaled" : "", a->one_order ? ", one order" : "");
}

/* What was kept, if the library still takes all of it. */
static bool recall(struct linear_choices *c, const char *text, struct stream *s)
{
    struct tune_choice kept[TUNE_BUCKETS];

    if (!tune_find(s->tuning, text, kept)) return false;
    for (int b = 0; b < TUNE_BUCKETS; b++) {
        struct gemm_algo algo;

        memcpy(algo.data, kept[b].algo, sizeof algo.data);
        if (b <= tune_bucket(s->limits.max_tokens) && kept[b].way == TUNE_NONE) return false;
        if (c->shape.one_order && memcmp(&kept[b], &kept[0], sizeof kept[b])) return false;
        if (kept[b].way == TUNE_LIBRARY &&
            !gemm_fits(s->linear->gemm, &c->shape, tune_tokens(b), &algo))
            return false;
    }
    memcpy(c->by_bucket, kept, sizeof kept);
    return true;
}

static void measure(struct linear_bench *b)
{
    const int last = tune_bucket(b->s->limits.max_tokens);

    if (b->c->shape.one_order) {
        const struct tune_choice way =
            fastest(b, b->most_tokens < LINEAR_MIDDLE ? b->most_tokens : LINEAR_MIDDLE);

        linear_settle(b->c, &way);
        return;
    }
    for (int i = 0; i <= last && tune_tokens(i) <= b->most_tokens; i++)
        b->c->by_bucket[i] = fastest(b, tune_tokens(i));
    for (int i = 0; i <= last; i++)
        linear_choice(b->c, tune_tokens(i), b->s);
}

static int measure_group(struct linear_choices *c, const struct linear_group *g, struct stream *s)
{
    struct linear_bench b = {};
    const int last = tune_tokens(tune_bucket(s->limits.max_tokens));
    int rc = ERR_OK;

    b.s = s;
    b.c = c;
    b.w_scales = g->w.scales;
    if (!take_tokens(&b, last)) goto out;
    rc = stream_called(s, cudaEventCreate(&b.from), "linear", "an event");
    if (!rc) rc = stream_called(s, cudaEventCreate(&b.to), "linear", "an event");
    if (!rc) rc = copy_weights(&b, &g->w);
    if (!rc)
        rc = draw_x(&b, (size_t)b.most_tokens * (size_t)c->shape.x_step * dtype_bytes(c->shape.in));
    if (!rc) measure(&b);
    if (!rc) rc = stream_called(s, cudaStreamSynchronize(s->at), "linear", "measuring");
out:
    if (b.from) cudaEventDestroy(b.from);
    if (b.to) cudaEventDestroy(b.to);
    give_back(&b);
    return rc ? rc : s->rc;
}

static int tune_group(const struct linear_group *g, const void *x, struct stream *s)
{
    struct linear_plan plan;
    char text[TUNE_TEXT];
    int rc = linear_plan_init(&plan, g, x, s);

    if (rc) return rc;
    depends_on(text, plan.choices, s);
    if (recall(plan.choices, text, s)) return ERR_OK;
    rc = measure_group(plan.choices, g, s);
    if (!rc && plan.choices->by_bucket[0].way != TUNE_NONE)
        tune_keep(s->tuning, text, plan.choices->by_bucket);
    return rc;
}

extern "C" int linear_cuda_tune(const struct product *p, int n, struct stream *s)
{
    int rc = linear_check(p, n, 1);

    if (!rc && s->recording) rc = ERR_ARG;
    for (int i = 0; i < n && !rc;) {
        struct linear_group g;

        if (!dtype_is_float(p[i].w->dtype) && !dtype_is_scaled(p[i].w->dtype)) {
            i++;
            continue;
        }
        linear_group_init(&g, p + i, n - i, s->act);
        i += g.n;
        rc = tune_group(&g, s->linear->x, s); /* where x will be, all that counts is aligned */
    }
    return rc;
}
