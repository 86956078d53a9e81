/* attn_prefill.cuh - what a block of attention's tiles is given, and how its rows of q and its
 * tiles of K and V come into shared memory.
 *
 * A row is one of the G heads of a token that share a KV head, in order of token; a block has ROWS
 * of them.  A tile is NP positions of K or V, from a multiple of NP on, in rows of HD numbers of 16
 * bits.  Rows in shared memory are chunks of 16 bytes, swapped so that the 8 rows that ldmatrix
 * reads together lie in 8 different groups of banks (chunk_at).
 *
 * Positions that none of a block's rows sees come as 0, whatever their slots hold.
 */
#ifndef KERNELS_ATTN_PREFILL_CUH
#define KERNELS_ATTN_PREFILL_CUH

#include "kernels/attn_cuda.cuh"
#include "kernels/ptx.cuh"

#define WARPS   4
#define THREADS (32 * WARPS)

/* What a block does: rows of the heads that share a KV head. */
struct item {
    int hk, seq;
    int token, pos; /* of the plan's tile */
    int first, n;   /* rows, counted from there */
};

/* One query row: a token's head. */
struct row {
    int token, head;
    int first, end; /* the positions that it sees */
};

/* What lies where in shared memory, in bytes. */
template <class KV, int HD, int MT, int NP> struct place {
    static constexpr bool SCALED = sizeof(KV) == 1;
    static constexpr int BLOCKS = MT * HD < 128 ? 3 : 2; /* at least, on a multiprocessor */
    static constexpr int ROWS = WARPS * 16 * MT;
    static constexpr int TILE = NP * HD * 2; /* of K or of V */
    static constexpr int RAW = NP * HD;      /* of K or of V, fp8 */
    static constexpr int SCALES = NP * (int)sizeof(float);
    static constexpr int N_STAGES = SCALED ? 1 : 2;
    static constexpr int STAGE = SCALED ? 2 * RAW + 2 * SCALES : 2 * TILE;
    static constexpr int Q = 0;
    static constexpr int TILES = Q + ROWS * HD * 2; /* K and V of fp8, widened */
    static constexpr int K_SCALES = TILES + (SCALED ? 2 * TILE : 0);
    static constexpr int STAGES = K_SCALES + (SCALED ? SCALES : 0);
    static constexpr int ROW = STAGES + N_STAGES * STAGE;
    static constexpr int BYTES = ROW + ROWS * (int)sizeof(struct row);
};

/* Where chunk `chunk` of row `row` lies in a tile. */
template <int HD> static __device__ __forceinline__ int chunk_at(int row, int chunk)
{
    constexpr int C = HD / 8, SWAP = C % 8 == 0 ? 8 : C % 4 == 0 ? 4 : C % 2 == 0 ? 2 : 1;

    return (row * C + (chunk ^ (row / (8 / SWAP) & (SWAP - 1)))) * 16;
}

static __device__ __forceinline__ void
find_rows(struct row *rows, int n, const struct attn_tiles *j, const struct item *item)
{
    for (int i = threadIdx.x; i < n; i += THREADS) {
        /* Rows that fill the tile are the last one's doubles. */
        const int at = item->first + min(i, item->n - 1), pos = item->pos + at / j->G;

        rows[i].token = item->token + at / j->G;
        rows[i].head = item->hk * j->G + at % j->G;
        rows[i].first = attn_first(pos, j->window);
        rows[i].end = pos + 1;
    }
}

template <class E, int HD>
static __device__ __forceinline__ void copy_q(unsigned char *to, const struct row *rows, int n,
                                              int n_there, const struct attn_tiles *j)
{
    constexpr int C = HD / 8;
    const E *q = (const E *)j->q;

    for (int i = threadIdx.x; i < n * C; i += THREADS) {
        const int r = i / C, chunk = i % C;
        const size_t from = (size_t)rows[r].token * j->q_step + (size_t)rows[r].head * HD;

        cp_async16(to + chunk_at<HD>(r, chunk), q + from + chunk * 8, r < n_there);
    }
}

/* The slot of a position. */
static __device__ __forceinline__ size_t kv_row(const struct attn_tiles *j, const int32_t *blocks,
                                                int hk, int pos)
{
    return attn_slot(blocks[pos / KV_BLOCK_TOKENS], hk, j->HK) + pos % KV_BLOCK_TOKENS;
}

/* Starts the copy of positions start..start+NP-1; those outside first..end-1 become 0. */
template <class KV, int HD, int MT, int NP>
static __device__ __forceinline__ void copy_tile(unsigned char *to, const struct attn_tiles *j,
                                                 const struct item *item, int start, int first,
                                                 int end)
{
    typedef place<KV, HD, MT, NP> at;
    constexpr int C = HD * (int)sizeof(KV) / 16, N = 16 / (int)sizeof(KV);
    const int32_t *blocks = j->blocks + (size_t)item->seq * j->max_blocks;
    const KV *k = (const KV *)j->k, *v = (const KV *)j->v;

#pragma unroll 4
    for (int n = 0; n < NP * C; n += THREADS) {
        /* whole rows at a time, where they are: then all places differ by constants */
        const int r = THREADS % C ? (n + threadIdx.x) / C : n / C + threadIdx.x / C;
        const int chunk = THREADS % C ? (n + threadIdx.x) % C : threadIdx.x % C, pos = start + r;
        const bool valid = pos >= first && pos < end;
        /* a place that may be read, in any case */
        const int in_table = min(max(pos, first), end - 1) / KV_BLOCK_TOKENS;
        const size_t slot = attn_slot(blocks[in_table], item->hk, j->HK) + r % KV_BLOCK_TOKENS;
        const size_t from = slot * HD + chunk * N;
        const int in_tile = at::SCALED ? (r * C + chunk) * 16 : chunk_at<HD>(r, chunk);

        if (NP * C % THREADS && r >= NP) break;
        cp_async16(to + in_tile, k + from, valid);
        cp_async16(to + (at::SCALED ? at::RAW : at::TILE) + in_tile, v + from, valid);
    }
    if (at::SCALED && threadIdx.x < NP / 2) { /* four positions' scales of K, or of V */
        const int i = threadIdx.x, pos = start + i % (NP / 4) * 4;
        const bool valid = pos + 3 >= first && pos < end;
        const size_t from = valid ? kv_row(j, blocks, item->hk, pos) : 0;

        cp_async16(to + 2 * at::RAW + i * 16, (i < NP / 4 ? j->k_scales : j->v_scales) + from,
                   valid);
    }
}

/* 16 numbers of fp8, times scale, become two chunks. */
template <class E>
static __device__ __forceinline__ void widen(uint4 out[2], const uint4 *raw, float scale)
{
    const unsigned in[4] = {raw->x, raw->y, raw->z, raw->w};
    unsigned half[8];

#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float4 f = unpack4_fp8(in[i]);

        half[2 * i] = pack2<E>(f.x * scale, f.y * scale);
        half[2 * i + 1] = pack2<E>(f.z * scale, f.w * scale);
    }
    out[0] = make_uint4(half[0], half[1], half[2], half[3]);
    out[1] = make_uint4(half[4], half[5], half[6], half[7]);
}

/* K as it is stored (its scales are kept for the scores), V times its scales; 0 where there was
 * none. */
template <class E, class KV, int HD, int MT, int NP>
static __device__ __forceinline__ void widen_tile(unsigned char *shared, int start, int first,
                                                  int end)
{
    typedef place<KV, HD, MT, NP> at;
    constexpr int C = HD / 16;
    const unsigned char *stage = shared + at::STAGES;
    const float *scales = (const float *)(stage + 2 * at::RAW), *v_scales = scales + NP;

    for (int i = threadIdx.x; i < NP; i += THREADS)
        ((float *)(shared + at::K_SCALES))[i] = scales[i];

#pragma unroll 1
    for (int i = threadIdx.x; i < 2 * NP * C; i += THREADS) {
        const bool is_v = i >= NP * C;
        const int r = i % (NP * C) / C, chunk = i % C * 2, pos = start + r;
        const bool valid = pos >= first && pos < end;
        unsigned char *tile = shared + at::TILES + (is_v ? at::TILE : 0);
        uint4 out[2];

        widen<E>(out, aligned<uint4>(stage + i * 16), is_v ? valid ? v_scales[r] : 0.0f : 1.0f);
        *aligned<uint4>(tile + chunk_at<HD>(r, chunk)) = out[0];
        *aligned<uint4>(tile + chunk_at<HD>(r, chunk + 1)) = out[1];
    }
}

static __device__ __forceinline__ struct item find_item(const struct attn_tiles *j, int rows)
{
    const int part = blockIdx.x % j->n_parts, of = blockIdx.x / j->n_parts;
    const struct attn_tile tile = plan_tiles(j->plan, j->list)[of / j->HK];
    const int first = part * rows;

    return {of % j->HK, tile.seq, tile.token, tile.pos, first, min(rows, tile.n * j->G - first)};
}

#endif
