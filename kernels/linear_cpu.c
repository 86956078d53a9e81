/* linear_cpu.c - matrix products cut into pieces, for all threads of a pool at once.
 *
 * x is first brought into the form that the weights' dtype asks for, once for all products.  Then
 * all products of the call are one list of pieces: some rows of a weight by a block of tokens.  A
 * block of tokens is as large as stays in the second-level cache while rows pass by; pieces that
 * share one stand together.
 */
#include "kernels/linear.h"

#include <stdbool.h>

#include "base/err.h"
#include "kernels/linear_piece.h"
#include "kernels/narrow.h"
#include "kernels/pool.h"
#include "kernels/quant.h"
#include "kernels/simd.h"

#define MIN_ROWS    32           /* of w in a piece, */
#define MAX_ROWS    128          /* because memory is read fastest in order */
#define EACH        8            /* pieces for each thread, so that they end together */
#define BLOCK_BYTES (512 * 1024) /* of x in a piece */
#define MAX_BLOCK   512          /* tokens of a piece */
#define PACK_TOKENS 4            /* in a piece of the bringing into form */
#define SMALL       65536        /* multiply-adds below which a second thread is not worth waking */
#define OWN_BYTES   (64 * 1024)  /* of stack, for callers that have prepared nothing */
#define MAX_AT_ONCE 8            /* products of one list; more are several lists */

/* The forms of x. */
enum form { FORM_F32, FORM_BF16, FORM_QUANT, N_FORMS };

struct job {
    const struct product *p;
    int n;
    int t0, T; /* tokens of the call at work now */
    const float *x;
    size_t K;
    bool asked[N_FORMS];
    void *forms[N_FORMS]; /* of x, [T] rows */
    size_t row_bytes[N_FORMS];
    int first[MAX_AT_ONCE + 1]; /* piece of each product */
    int block[MAX_AT_ONCE];     /* tokens of its pieces, */
    int rows[MAX_AT_ONCE];      /* and rows */
};

static enum form form_of(enum dtype d)
{
    return !dtype_is_float(d) ? FORM_QUANT : d == DTYPE_BF16 ? FORM_BF16 : FORM_F32;
}

/* Whole lines, so that each row is loaded as well as the first. */
static size_t form_bytes(enum form f, size_t K)
{
    if (f == FORM_QUANT)
        return ((K + QUANT_X - 1) / QUANT_X * sizeof(struct quant_x) + 63) & ~(size_t)63;
    return f == FORM_BF16 ? (2 * K + 63) & ~(size_t)63 : 0;
}

/* Zeros from K to end. */
SIMD_INLINE void to_bf16(uint16_t *out, const float *x, size_t K, size_t end)
{
    narrow(out, x, (int)K, DTYPE_BF16);
    memset(out + K, 0, (end - K) * sizeof *out);
}

SIMD_INLINE void pack_body(const struct job *j, int i)
{
    const int end = (i + 1) * PACK_TOKENS < j->T ? (i + 1) * PACK_TOKENS : j->T;
    const size_t half = j->row_bytes[FORM_BF16] / 2, quant = j->row_bytes[FORM_QUANT];

    for (size_t t = (size_t)i * PACK_TOKENS; t < (size_t)end; t++) {
        const float *x = j->x + ((size_t)j->t0 + t) * j->K;

        if (j->asked[FORM_BF16]) to_bf16((uint16_t *)j->forms[FORM_BF16] + t * half, x, j->K, half);
        if (j->asked[FORM_QUANT])
            quant_x_cpu((void *)((char *)j->forms[FORM_QUANT] + t * quant), x, j->K);
    }
}

SIMD_CLONES(pack, (void *arg, int i), (arg, i))

static void piece(void *arg, int i)
{
    const struct job *j = arg;
    struct piece p = {0};
    enum form f;
    int at = 0, rows, cuts;

    while (i >= j->first[at + 1])
        at++;
    i -= j->first[at];
    p.w = j->p[at].w;
    p.y = (float *)j->p[at].y + (size_t)j->t0 * (size_t)p.w->N;
    p.bias = j->p[at].bias;
    f = form_of(p.w->dtype);
    p.x = j->forms[f];
    p.x_bytes = j->row_bytes[f];
    rows = j->rows[at];
    cuts = (p.w->N + rows - 1) / rows;
    p.n0 = i % cuts * rows;
    p.n1 = p.w->N - p.n0 < rows ? p.w->N : p.n0 + rows;
    p.t0 = i / cuts * j->block[at];
    p.t1 = j->T - p.t0 < j->block[at] ? j->T : p.t0 + j->block[at];
    if (f == FORM_QUANT)
        linear_quant(&p);
    else if (simd_level() == SIMD_V4)
        linear_wide(&p);
    else
        linear_float(&p);
}

/* Tokens of a piece, a multiple of 4. */
static int block_tokens(size_t row_bytes)
{
    const size_t n = BLOCK_BYTES / row_bytes & ~(size_t)3;

    return n < 4 ? 4 : n > MAX_BLOCK ? MAX_BLOCK : (int)n;
}

static int piece_rows(int N, int threads)
{
    const int n = N / (threads * EACH) & ~(MIN_ROWS - 1);

    return n < MIN_ROWS ? MIN_ROWS : n > MAX_ROWS ? MAX_ROWS : n;
}

/* Where the forms of the tokens at work lie, and which pieces there are. */
static int64_t list_pieces(struct job *j, char *room, int threads)
{
    int64_t work = 0;

    j->forms[FORM_F32] = (void *)(uintptr_t)(j->x + (size_t)j->t0 * j->K);
    j->row_bytes[FORM_F32] = j->K * sizeof *j->x;
    for (int f = FORM_F32 + 1; f < N_FORMS; f++) {
        j->forms[f] = room;
        room += (size_t)j->T * j->row_bytes[f];
    }
    for (int i = 0; i < j->n; i++) {
        const int N = j->p[i].w->N;
        const int block = block_tokens(j->row_bytes[form_of(j->p[i].w->dtype)]);

        j->block[i] = block;
        j->rows[i] = piece_rows(N, threads);
        j->first[i + 1] =
            j->first[i] + (N + j->rows[i] - 1) / j->rows[i] * ((j->T + block - 1) / block);
        work += (int64_t)j->T * N * (int64_t)j->K;
    }
    return work;
}

/* The forms that are asked for, of as many tokens at a time as there is room for. */
static int run(struct job *j, int T, char *room, size_t room_bytes, struct stream *s)
{
    size_t bytes = 0;
    int most = T;

    for (int i = 0; i < j->n; i++) {
        const enum form f = form_of(j->p[i].w->dtype);

        bytes += j->asked[f] ? 0 : form_bytes(f, j->K);
        j->asked[f] = true;
        j->row_bytes[f] = form_bytes(f, j->K);
    }
    if (bytes && room_bytes / bytes < (size_t)T) most = (int)(room_bytes / bytes);
    if (T > 0 && most == 0) return ERR_ARG;
    for (; j->t0 < T; j->t0 += j->T) {
        struct stream *on = s;

        j->T = T - j->t0 < most ? T - j->t0 : most;
        if (list_pieces(j, room, pool_threads(s)) < SMALL) on = NULL;
        if (bytes) pool_run(on, (j->T + PACK_TOKENS - 1) / PACK_TOKENS, SIMD_PICK(pack), j);
        pool_run(on, j->first[j->n], piece, j);
    }
    return ERR_OK;
}

int linear_cpu(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    _Alignas(64) char own[OWN_BYTES];
    size_t room_bytes;
    char *room = pool_scratch(s, &room_bytes);
    int rc = linear_check(p, n, T);

    if (room_bytes < sizeof own) {
        room = own;
        room_bytes = sizeof own;
    }
    for (int i = 0; i < n && !rc; i++)
        if ((p[i].y_step && p[i].y_step != p[i].w->N) || dtype_is_scaled(p[i].w->dtype))
            rc = ERR_UNSUPPORTED;
    for (int i = 0; i < n && !rc; i += MAX_AT_ONCE) {
        struct job j = {.p = p + i, .n = n - i, .x = x, .K = (size_t)p->w->K};

        if (j.n > MAX_AT_ONCE) j.n = MAX_AT_ONCE;
        rc = run(&j, T, room, room_bytes, s);
    }
    return rc;
}

int linear_cpu_prepare(struct stream *s, const struct step_limits *l)
{
    size_t bytes = 0;

    if (l->max_tokens < 1 || l->max_width < 1) return ERR_ARG;
    for (int f = 0; f < N_FORMS; f++)
        bytes += form_bytes((enum form)f, (size_t)l->max_width);
    return s ? pool_reserve(s, (size_t)l->max_tokens * bytes) : ERR_OK;
}
