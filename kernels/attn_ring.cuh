/* attn_ring.cuh - how K and V come to a warp of decoding attention (attn_decode_mma.cu).
 *
 * A warp goes through its KV blocks piece after piece (struct walk), and has a ring of places in
 * shared memory for them.  They are filled by asynchronous copies that run ahead of the work, over
 * the end of a piece too: there is always something on its way.
 *
 * A place holds one KV block's K, then V: rows of HD numbers and ROW_PAD bytes more, so that eight
 * rows lie in different banks; of fp8 also the scales of K, then of V.  Positions that the piece
 * does not see are 0 in it, whatever they hold; their scales are as they are.
 *
 * F says what the kernel is made for (struct form): WARPS, ROW, STEP, CHUNKS, V_AT, SCALES_AT,
 * SCALED.
 */
#ifndef KERNELS_ATTN_RING_CUH
#define KERNELS_ATTN_RING_CUH

#include "kernels/attn_decode.cuh"
#include "kernels/ptx.cuh"

#define ROW_PAD 16 /* bytes */

/* The KV blocks that a warp goes through, piece after piece. */
struct walk {
    int i;      /* the piece */
    int b;      /* KV block of the sequence */
    int number; /* of all KV blocks */
    int from, to, hk;
    const int32_t *table;
};

/* The warp's first KV block of a split: its number leaves `warp` over, divided by WARPS. */
template <int WARPS> static __device__ __forceinline__ int first_block(const struct attn_split *s)
{
    const int warp = (int)threadIdx.x / 32, first = s->from / KV_BLOCK_TOKENS;

    return first + (warp + WARPS - first % WARPS) % WARPS;
}

/* To the first KV block at or after b, in this piece or a later one, that is the warp's. */
template <int WARPS>
static __device__ __forceinline__ void walk_find(struct walk *w, const struct decode_args *a, int n)
{
    while (w->b * KV_BLOCK_TOKENS >= w->to) {
        w->i += (int)gridDim.x;
        if (w->i >= n) return;
        const struct decode_piece p = piece_at(a, w->i);

        w->from = p.split.from;
        w->to = p.split.from < p.split.to ? p.split.to : 0;
        w->hk = p.hk;
        w->table = a->blocks + (size_t)p.split.seq * (size_t)a->max_blocks;
        w->b = first_block<WARPS>(&p.split);
    }
    w->number = w->table[w->b];
}

template <int WARPS>
static __device__ void walk_start(struct walk *w, const struct decode_args *a, int n)
{
    w->i = (int)blockIdx.x - (int)gridDim.x;
    w->b = w->to = 0;
    walk_find<WARPS>(w, a, n);
}

/* Begins the copies of the walk's KV block to a place, zeros for what the piece does not see. */
template <class F, bool ALL>
static __device__ __forceinline__ void place_fill(unsigned char *place, const struct walk *w,
                                                  const struct decode_args *a)
{
    const unsigned lane = threadIdx.x % 32;
    const int pos = w->b * KV_BLOCK_TOKENS;
    const size_t slot = attn_slot(w->number, w->hk, a->HK);
    const char *k = (const char *)a->k + slot * F::ROW, *v = (const char *)a->v + slot * F::ROW;

#pragma unroll
    for (unsigned j = 0; j < (KV_BLOCK_TOKENS * F::CHUNKS + 31) / 32; j++) {
        const unsigned i = lane + 32 * j;
        /* In a form that leaves a constant for each j where a copy of 32 lanes is whole rows. */
        const unsigned c = 32 % F::CHUNKS ? i / F::CHUNKS : lane / F::CHUNKS + j * (32 / F::CHUNKS);
        const unsigned at = c * F::STEP + (32 % F::CHUNKS ? i : lane) % F::CHUNKS * 16;
        const bool seen = ALL || (pos + (int)c >= w->from && pos + (int)c < w->to);

        if (KV_BLOCK_TOKENS * F::CHUNKS % 32 && c >= KV_BLOCK_TOKENS) break;
        cp_async16(place + at, k + i * 16, seen);
        cp_async16(place + F::V_AT + at, v + i * 16, seen);
    }
    if (F::SCALED && lane < 8) {
        const float *from = lane < 4 ? a->k_scales : a->v_scales;

        cp_async16(place + F::SCALES_AT + lane * 16, from + slot + lane % 4 * 4, true);
    }
}

/* The walk's KV block, if there is one, is on its way to a place; a step further. */
template <class F>
static __device__ __forceinline__ void ring_fill(unsigned char *place, struct walk *w,
                                                 const struct decode_args *a, int n)
{
    if (w->i < n) {
        const int pos = w->b * KV_BLOCK_TOKENS;

        if (pos >= w->from && pos + KV_BLOCK_TOKENS <= w->to)
            place_fill<F, true>(place, w, a);
        else
            place_fill<F, false>(place, w, a);
        w->b += F::WARPS;
        walk_find<F::WARPS>(w, a, n);
    }
    cp_async_commit();
}

/* All but the `ahead` latest groups of copies have landed. */
static __device__ __forceinline__ void ring_wait(int ahead)
{
    switch (ahead) {
    case 0: cp_async_wait<0>(); break;
    case 1: cp_async_wait<1>(); break;
    case 2: cp_async_wait<2>(); break;
    default: cp_async_wait<3>(); break;
    }
    __syncwarp();
}

#endif
