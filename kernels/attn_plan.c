/* attn_plan.c - how attention of one step is cut into pieces for a device, worked out on the host.
 *
 * Each list is gone through twice: to count how many pieces there are of about each length, then to
 * put each piece in its place among those (AP3).
 */
#include "kernels/attn_plan.h"

#include "kernels/ops.h"

#define LENGTHS 64 /* that are told apart */

/* Where the next piece of a length goes. */
struct order {
    int most; /* the longest piece is at most so long */
    int32_t next[LENGTHS];
};

static int32_t *order_at(struct order *o, int length)
{
    return &o->next[(int64_t)(o->most - length) * (LENGTHS - 1) / o->most];
}

/* After counting: the number of pieces. */
static int32_t order_start(struct order *o)
{
    int32_t n = 0;

    for (int i = 0; i < LENGTHS; i++) {
        const int32_t here = o->next[i];

        o->next[i] = n;
        n += here;
    }
    return n;
}

static int tokens_of(const struct ragged *r, int s)
{
    return r->start[s + 1] - r->start[s];
}

static bool is_split(const struct ragged *r, int s, bool all_tiles)
{
    return !all_tiles && tokens_of(r, s) == 1;
}

static int size_at(int pos)
{
    int64_t size = ATTN_SPLIT;

    while (size * ATTN_MAX_SPLITS <= pos)
        size *= 2;
    return (int)size;
}

static int longest(const struct ragged *r)
{
    int pos = 0;

    for (int t = 0; t < r->T; t++)
        if (r->pos[t] > pos) pos = r->pos[t];
    return pos + 1;
}

/* The splits of sequence s: counted where `to` is NULL, else put there. */
static int cut_sequence(struct attn_split *to, struct order *o, const struct ragged *r, int s,
                        int32_t part)
{
    const int32_t token = r->start[s], pos = r->pos[token];
    const int size = size_at(pos), n = pos / size + 1;

    for (int i = 0; i < n; i++) {
        const int from = i * size, end = i == n - 1 ? pos + 1 : from + size;
        int32_t *at = order_at(o, end - from);

        if (to) to[*at] = (struct attn_split){token, s, pos, from, end, n > 1 ? part + i : -1};
        ++*at;
    }
    return n;
}

static void add_splits(struct attn_plan *p, const struct ragged *r, bool all_tiles)
{
    struct attn_merge *merges = (void *)((char *)p + p->bytes);
    struct order o = {.most = longest(r)};

    for (int s = 0; s < r->S; s++)
        if (is_split(r, s, all_tiles)) cut_sequence(NULL, &o, r, s, 0);
    p->n_splits = order_start(&o);
    p->merges_at = p->bytes;
    p->bytes += r->S * (int32_t)sizeof *merges;
    p->splits_at = p->bytes;
    p->bytes += p->n_splits * (int32_t)sizeof(struct attn_split);
    for (int s = 0; s < r->S; s++) {
        const int32_t token = r->start[s];
        int n;

        if (!is_split(r, s, all_tiles)) continue;
        n = cut_sequence((void *)((char *)p + p->splits_at), &o, r, s, p->n_parts);
        if (n == 1) continue;
        merges[p->n_merges++] =
            (struct attn_merge){token, r->pos[token], p->n_parts, n, size_at(r->pos[token])};
        p->n_parts += n;
    }
}

/* The tiles of `run` tokens: counted where `to` is NULL, else put there. */
static void cut_tokens(struct attn_tile *to, struct order *o, const struct ragged *r, int run,
                       bool all_tiles)
{
    for (int s = 0; s < r->S; s++) {
        if (is_split(r, s, all_tiles)) continue;
        for (int32_t t = r->start[s]; t < r->start[s + 1]; t += run) {
            const int left = r->start[s + 1] - t, n = left < run ? left : run;
            int32_t *at = order_at(o, r->pos[t + n - 1] + 1);

            if (to) to[*at] = (struct attn_tile){t, s, r->pos[t], n};
            ++*at;
        }
    }
}

static void add_tiles(struct attn_plan *p, const struct ragged *r, int list, bool all_tiles)
{
    const int run = ATTN_TILE << list;
    struct order o = {.most = longest(r)};

    cut_tokens(NULL, &o, r, run, all_tiles);
    p->n_tiles[list] = order_start(&o);
    p->tiles_at[list] = p->bytes;
    cut_tokens((void *)((char *)p + p->bytes), &o, r, run, all_tiles);
    p->bytes += p->n_tiles[list] * (int32_t)sizeof(struct attn_tile);
}

static size_t aligned_up(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

void attn_plan_make(struct attn_plan *p, const struct ragged *r, bool all_tiles)
{
    *p = (struct attn_plan){.bytes = (int32_t)aligned_up(sizeof *p)};
    for (int i = 0; i < ATTN_TILE_LISTS; i++)
        add_tiles(p, r, i, all_tiles);
    add_splits(p, r, all_tiles);
}

size_t attn_plan_bytes(int max_tokens, int max_seqs)
{
    const size_t T = (size_t)max_tokens, S = (size_t)max_seqs;
    size_t tiles = 0;

    for (int i = 0; i < ATTN_TILE_LISTS; i++)
        tiles += T / ATTN_TILE / ((size_t)1 << i) + S;
    return aligned_up(sizeof(struct attn_plan)) + tiles * sizeof(struct attn_tile) +
           S * (sizeof(struct attn_merge) + ATTN_MAX_SPLITS * sizeof(struct attn_split));
}

size_t attn_plan_parts(int max_seqs, int max_blocks)
{
    const int64_t positions = (int64_t)max_blocks * KV_BLOCK_TOKENS;
    const int64_t n = (positions + ATTN_SPLIT - 1) / ATTN_SPLIT;

    return (size_t)max_seqs * (size_t)(n < ATTN_MAX_SPLITS ? n : ATTN_MAX_SPLITS);
}
