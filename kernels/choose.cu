/* choose.cu - a row of logits becomes a token: a block a row, in passes over the row.
 *
 * What is left over is a cut: all that is above a logit, and the first of those that are equal to
 * it.  A cut is found by a histogram of counts or of weights over the distance to the largest,
 * whose bins that matter are few, and then over the bits of the logits in the bin that it falls in.
 * Counts and weights are whole numbers, so no order of the threads changes a sum.
 */
extern "C" {
#include "kernels/choose.h"
}

#include <float.h>

#include "kernels/block.cuh"
#include "kernels/choose_state.cuh"

#define BINS     2048
#define PER_UNIT 64.0f /* bins for a factor of e */
#define ALL      0xFFFFFFFFu

/* Shared by the block's threads. */
struct room {
    unsigned low[BINS], high[BINS]; /* a histogram: 64 bits, in halves that can be added to */
    uint64_t sums[32];
    unsigned equals[32];
    float floats[BLOCK_ROOM];
    uint64_t above, total, top[CHOOSE_MAX_TOP];
    unsigned bin, n_top;
    float raw;
};

/* A row; weights are of what lies `top` or less. */
struct line {
    const float *l;
    int V;
    float top, inv_temperature;
};

/* Kept are keys above `key`, and the first `equal` in order of id of those that are it. */
struct cut {
    unsigned key, equal;
};

/* Larger logits have larger keys; -0 is 0. */
static __device__ __forceinline__ unsigned key_of(float l)
{
    const unsigned u = __float_as_uint(l + 0.0f);

    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static __device__ __forceinline__ float of_key(unsigned key)
{
    return __uint_as_float(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

static __device__ __forceinline__ uint64_t weight_of(const struct line &r, float l)
{
    return (uint64_t)(expf((l - r.top) * r.inv_temperature) * 0x1p44f + 0.5f);
}

static __device__ __forceinline__ unsigned bin_of(const struct line &r, float l)
{
    const float x = (r.top - l) * r.inv_temperature * PER_UNIT;

    return x < (float)(BINS - 1) ? (unsigned)x : BINS - 1;
}

/* Calls f(logit, id) for all of the row, shared out over the block; a NaN is -inf. */
template <class F> static __device__ __forceinline__ void each(const float *l, int V, F f)
{
    const bool wide = (uintptr_t)l % 16 == 0;

#pragma unroll 2
    for (int i = (int)threadIdx.x * 4; i < V; i += (int)blockDim.x * 4) {
        float4 x = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);

        if (wide && i + 4 <= V) {
            x = *aligned<float4>(l + i);
        } else {
            x.x = l[i];
            if (i + 1 < V) x.y = l[i + 1];
            if (i + 2 < V) x.z = l[i + 2];
            if (i + 3 < V) x.w = l[i + 3];
        }
        f(x.x == x.x ? x.x : -INFINITY, i);
        f(x.y == x.y ? x.y : -INFINITY, i + 1);
        f(x.z == x.z ? x.z : -INFINITY, i + 2);
        f(x.w == x.w ? x.w : -INFINITY, i + 3);
    }
}

/* The largest of all threads', for each of them. */
static __device__ uint64_t block_max64(uint64_t v, struct room *m)
{
    const int lane = (int)threadIdx.x % 32, warps = (int)blockDim.x / 32;

    v = warp_max(v);
    __syncthreads();
    if (lane == 0) m->sums[threadIdx.x / 32] = v;
    __syncthreads();
    for (int w = 0; w < warps; w++)
        v = max(v, m->sums[w]);
    return v;
}

/* A logit and its id, so that the larger stands first, and of equals the lower id. */
static __device__ __forceinline__ uint64_t ranked(unsigned key, int id)
{
    return (uint64_t)key << 32 | ~(unsigned)id;
}

static __device__ __forceinline__ int id_of(uint64_t ranked)
{
    return (int)~(unsigned)ranked;
}

static __device__ uint64_t best_of(const float *l, int V, struct room *m)
{
    uint64_t best = 0;

    each(l, V, [&](float x, int id) {
        if (id < V) best = max(best, ranked(key_of(x), id));
    });
    return block_max64(best, m);
}

static __device__ __forceinline__ void bins_clear(struct room *m)
{
    __syncthreads();
    for (int b = (int)threadIdx.x; b < BINS; b += (int)blockDim.x)
        m->low[b] = m->high[b] = 0;
    __syncthreads();
}

static __device__ __forceinline__ void bins_add(struct room *m, unsigned bin, uint64_t amount)
{
    const unsigned low = (unsigned)amount, was = atomicAdd(&m->low[bin], low);
    const unsigned high = (unsigned)(amount >> 32) + (was + low < was);

    if (high) atomicAdd(&m->high[bin], high);
}

static __device__ __forceinline__ uint64_t bins_at(const struct room *m, int bin)
{
    return (uint64_t)m->high[bin] << 32 | m->low[bin];
}

/* Sum of the bins that this thread looks after, and of all before them; room has the total. */
static __device__ uint64_t bins_before(struct room *m, uint64_t *mine)
{
    const int per = BINS / (int)blockDim.x, lane = (int)threadIdx.x % 32;
    const int warp = (int)threadIdx.x / 32, warps = (int)blockDim.x / 32;
    uint64_t sum = 0, run, before = 0;

    __syncthreads();
    for (int i = 0; i < per; i++)
        sum += bins_at(m, (int)threadIdx.x * per + i);
    run = sum;
    for (int d = 1; d < 32; d *= 2) {
        const uint64_t other = __shfl_up_sync(0xFFFFFFFFu, run, (unsigned)d);

        if (lane >= d) run += other;
    }
    if (lane == 31) m->sums[warp] = run;
    __syncthreads();
    for (int w = 0; w < warp; w++)
        before += m->sums[w];
    if (threadIdx.x == 0) {
        m->total = 0;
        for (int w = 0; w < warps; w++)
            m->total += m->sums[w];
    }
    __syncthreads();
    *mine = sum;
    return before + run - sum;
}

/* The bin in which the sum from the first on reaches *want, and what comes before it, into the
 * room; false where all bins do not reach it.  share: of the total is wanted, where it is not 0. */
static __device__ bool bins_reach(struct room *m, uint64_t *want, float share)
{
    const int per = BINS / (int)blockDim.x;
    uint64_t mine, before = bins_before(m, &mine);

    if (share > 0) *want = (uint64_t)ceil((double)share * (double)m->total);
    if (*want == 0) *want = 1;
    if (*want > m->total) return false;
    for (int i = 0; i < per && before < *want; i++) {
        const uint64_t here = bins_at(m, (int)threadIdx.x * per + i);

        if (before + here >= *want) {
            m->bin = (unsigned)((int)threadIdx.x * per + i);
            m->above = before;
        }
        before += here;
    }
    __syncthreads();
    return true;
}

/* A histogram of what the cut keeps; bin(key, logit) is a bin, or BINS for none. */
template <class F>
static __device__ __forceinline__ void bins_fill(struct room *m, const struct line &r,
                                                 const struct cut &c, bool by_weight, F bin)
{
    uint64_t rest = 0; /* the last bin's: it may have nearly all */

    bins_clear(m);
    each(r.l, r.V, [&](float l, int) {
        const unsigned key = key_of(l);
        unsigned b;
        uint64_t amount;

        if (key < c.key || (key == c.key && c.equal != ALL)) return;
        b = bin(key, l);
        if (b == BINS) return;
        amount = by_weight ? weight_of(r, l) : 1;
        if (b == BINS - 1)
            rest += amount;
        else
            bins_add(m, b, amount);
    });
    rest = warp_sum(rest);
    if (threadIdx.x % 32 == 0) bins_add(m, BINS - 1, rest);
    if (threadIdx.x == 0 && c.equal != ALL) {
        const unsigned b = bin(c.key, of_key(c.key));

        if (b < BINS) bins_add(m, b, c.equal * (by_weight ? weight_of(r, of_key(c.key)) : 1));
    }
}

/* Keys that hold all of the bin between them, and some of its neighbours. */
static __device__ __forceinline__ void bin_ends(const struct line &r, unsigned bin, unsigned *least,
                                                unsigned *most)
{
    const double unit = 1 / ((double)r.inv_temperature * (double)PER_UNIT), top = r.top;

    *least = bin == BINS - 1 ? 0 : key_of((float)(top - ((double)bin + 1.01) * unit)) - 1;
    *most = min(key_of(r.top), key_of((float)(top - ((double)bin - 0.01) * unit)) + 1);
}

/* Cuts further: the first by rank that are `want`, or weigh `share` of all that is kept.  Where
 * there is less, all stays. */
static __device__ void cut_further(struct cut *c, struct room *m, const struct line &r,
                                   bool by_weight, uint64_t want, float share)
{
    uint64_t each_one;
    unsigned bin, least, most;
    int shift;

    bins_fill(m, r, *c, by_weight, [&](unsigned, float l) { return bin_of(r, l); });
    if (!bins_reach(m, &want, share)) return;
    want -= m->above;
    bin = m->bin;
    bin_ends(r, bin, &least, &most);
    do {
        shift = max(0, 21 - __clz((int)(most - least))); /* 32 bits, less 11 of BINS */
        bins_fill(m, r, *c, by_weight, [&](unsigned key, float l) {
            const bool in = key >= least && key <= most && bin_of(r, l) == bin;

            return in ? (most - key) >> shift : BINS;
        });
        bins_reach(m, &want, 0);
        want -= m->above;
        most -= m->bin << shift;
        least = max(least, most - ((1u << shift) - 1));
    } while (shift);
    each_one = by_weight ? weight_of(r, of_key(most)) : 1;
    *c = {most, (unsigned)((want + each_one - 1) / each_one)};
}

/* Equal keys of a piece that the cut keeps, `before` of them standing before the piece. */
static __device__ __forceinline__ unsigned kept(const struct cut &c, unsigned before, unsigned n)
{
    return before >= c.equal ? 0 : min(n, c.equal - before);
}

/* Each warp's part of [begin, end), `per` logits: their sum, and how many are equal to the cut. */
static __device__ __forceinline__ void weigh(struct room *m, const struct line &r,
                                             const struct cut &c, int begin, int end, int per)
{
    const int warp = (int)threadIdx.x / 32, from = begin + warp * per, to = min(from + per, end);
    uint64_t sum = 0;
    unsigned equal = 0;

#pragma unroll 4
    for (int i = from + (int)threadIdx.x % 32; i < to; i += 32) {
        const unsigned key = r.l[i] == r.l[i] ? key_of(r.l[i]) : 0;

        if (key > c.key) sum += weight_of(r, r.l[i]);
        equal += key == c.key;
    }
    sum = warp_sum(sum), equal = warp_sum(equal);
    __syncthreads();
    if (threadIdx.x % 32 == 0) m->sums[warp] = sum, m->equals[warp] = equal;
    __syncthreads();
}

/* The first id in [begin, begin + 32) at which the running sum passes target. */
static __device__ __forceinline__ int passed(const struct line &r, const struct cut &c, int begin,
                                             unsigned before, uint64_t target, uint64_t each_one)
{
    const int lane = (int)threadIdx.x % 32, i = begin + lane;
    const unsigned key = i < r.V && r.l[i] == r.l[i] ? key_of(r.l[i]) : 0;
    const unsigned equal = __ballot_sync(0xFFFFFFFFu, key == c.key);
    const unsigned rank = before + (unsigned)__popc(equal & ((1u << lane) - 1));
    uint64_t run = key > c.key                            ? weight_of(r, r.l[i])
                   : key == c.key && kept(c, rank, 1) > 0 ? each_one
                                                          : 0;

    for (int d = 1; d < 32; d *= 2) {
        const uint64_t other = __shfl_up_sync(0xFFFFFFFFu, run, (unsigned)d);

        if (lane >= d) run += other;
    }
    return begin + __ffs((int)__ballot_sync(0xFFFFFFFFu, run > target)) - 1;
}

/* The piece in which the running sum passes the draw, a part for each warp, then a part of that. */
static __device__ int drawn(struct room *m, const struct line &r, const struct cut &c, double draw)
{
    const int warps = (int)blockDim.x / 32;
    const uint64_t each_one = weight_of(r, of_key(c.key));
    uint64_t target = 0, run;
    unsigned before = 0, n;
    int begin = 0, end = r.V, per, w;

    do {
        per = ((end - begin + warps - 1) / warps + 31) / 32 * 32;
        weigh(m, r, c, begin, end, per);
        if (end - begin == r.V && begin == 0) {
            uint64_t total = 0;

            for (w = 0, n = 0; w < warps; n += m->equals[w++])
                total += m->sums[w] + kept(c, n, m->equals[w]) * each_one;
            target = min((uint64_t)(draw * (double)total), total - 1);
        }
        for (w = 0; w < warps - 1; w++) {
            run = m->sums[w] + kept(c, before, m->equals[w]) * each_one;
            if (run > target) break;
            target -= run;
            before += m->equals[w];
        }
        begin += w * per;
        end = min(begin + per, end);
    } while (per > 32);
    return passed(r, c, begin, before, target, each_one);
}

/* The likeliest tokens into the room, in no order: those above the cut, then equals by id. */
static __device__ void collect(struct room *m, const struct line &r, const struct cut &c)
{
    int last = -1;

    if (threadIdx.x == 0) m->n_top = 0;
    __syncthreads();
    each(r.l, r.V, [&](float l, int id) {
        const unsigned key = key_of(l);

        if (key > c.key || (key == c.key && c.equal == ALL))
            m->top[atomicAdd(&m->n_top, 1u)] = ranked(key, id);
    });
    for (unsigned i = 0; i < c.equal && c.equal != ALL; i++) {
        uint64_t first = 0;

        each(r.l, r.V, [&](float l, int id) {
            if (key_of(l) == c.key && id > last) first = max(first, ranked(c.key, id));
        });
        first = block_max64(first, m);
        last = id_of(first);
        if (threadIdx.x == 0) m->top[m->n_top++] = first;
    }
    __syncthreads();
}

static __device__ void note_top(struct choice *out, struct room *m, const struct line &r, int n,
                                float all)
{
    struct cut c = {key_of(-FLT_MAX), ALL};
    int rank = 0, i = (int)threadIdx.x;

    if (n <= 0) return;
    cut_further(&c, m, r, false, (uint64_t)n, 0);
    collect(m, r, c);
    if (i >= (int)m->n_top) return;
    for (int k = 0; k < (int)m->n_top; k++)
        rank += m->top[k] > m->top[i];
    out->top_ids[rank] = id_of(m->top[i]);
    out->top_logprobs[rank] = of_key((unsigned)(m->top[i] >> 32)) - all;
    if (i == 0) out->n_top = (int)m->n_top;
}

/* The log of the sum of exp(l). */
static __device__ float log_sum(struct room *m, const struct line &r)
{
    float sum = 0;

    each(r.l, r.V, [&](float l, int) { sum += expf(l - r.top); });
    return r.top + logf(block_sum(sum, m->floats));
}

/* choose_edited, no product and sum joined; what was there is kept in was. */
static __device__ void edit(float *l, const struct edit *edits, float *was,
                            const struct device_wish &w)
{
    for (int i = (int)threadIdx.x; i < w.n_edits; i += (int)blockDim.x) {
        const struct edit e = edits[i];
        float x = was[i] = l[e.id];

        x += e.bias;
        if (e.seen) x = x > 0 ? x / w.repetition : x * w.repetition;
        x = __fsub_rn(x, __fmul_rn(w.frequency, (float)e.in_answer));
        l[e.id] = e.in_answer > 0 ? __fsub_rn(x, w.presence) : x;
    }
    __syncthreads();
}

/* What min_p, top_k and top_p leave over. */
static __device__ struct cut left_over(struct room *m, const struct line &r,
                                       const struct device_wish &w)
{
    struct cut c = {key_of(-FLT_MAX), ALL};

    if (w.has_min_p) { /* the smallest float that is not below the floor */
        const double floor = (double)r.top + (double)w.temperature * w.log_min_p;
        const float near = (float)fmax(floor, -(double)FLT_MAX);

        c.key = key_of(near) + ((double)near < floor);
    }
    if (w.top_k > 0 && w.top_k < r.V) cut_further(&c, m, r, false, (uint64_t)w.top_k, 0);
    if (w.top_p < 1) cut_further(&c, m, r, true, 1, w.top_p);
    return c;
}

static __global__ void __launch_bounds__(1024)
    choose_kernel(struct choice *choices, float *logits, const struct device_wish *wishes,
                  const struct edit *all_edits, float *all_was, int V)
{
    __shared__ struct room m;
    const struct device_wish w = wishes[blockIdx.x];
    const struct edit *edits = all_edits + w.first_edit;
    struct choice *out = choices + blockIdx.x;
    float *l = logits + (size_t)blockIdx.x * (size_t)V, *was = all_was + w.first_edit, all = 0;
    uint64_t best = best_of(l, V, &m);
    int id = id_of(best);
    const bool any = of_key((unsigned)(best >> 32)) >= -FLT_MAX;

    if (threadIdx.x == 0) out->n_top = 0, out->logprob = 0, out->id = CHOOSE_NONE;
    __syncthreads();
    if (w.n_top >= 0 && any) {
        const struct line raw = {l, V, of_key((unsigned)(best >> 32)), 1.0f};

        all = log_sum(&m, raw);
        note_top(out, &m, raw, w.n_top, all);
        __syncthreads();
    }
    if (w.n_edits) {
        edit(l, edits, was, w);
        best = best_of(l, V, &m);
        id = id_of(best);
    }
    const struct line r = {l, V, of_key((unsigned)(best >> 32)), w.inv_temperature};

    if (!(fabsf(r.top) <= FLT_MAX)) {
        if (threadIdx.x == 0) out->n_top = 0;
        return;
    }
    if (!w.greedy) id = drawn(&m, r, left_over(&m, r, w), w.draw);
    if (threadIdx.x == 0) m.raw = l[id];
    __syncthreads();
    for (int i = (int)threadIdx.x; i < w.n_edits; i += (int)blockDim.x)
        if (edits[i].id == id) m.raw = was[i];
    __syncthreads();
    if (threadIdx.x == 0) out->id = id;
    if (threadIdx.x == 0 && w.n_top >= 0 && any) out->logprob = m.raw - all;
}

extern "C" int choose_cuda(struct choice *out, float *logits, const struct wish *wishes, int n,
                           int V, struct stream *s)
{
    int rc = choose_check(wishes, n, V);
    struct choose_call c;

    if (rc || n == 0) return rc;
    if ((rc = choose_send(&c, out, wishes, n, s))) return rc;
    LAUNCH(choose_kernel, (unsigned)n, V <= 1024 ? 128 : 1024, 0, s->at, c.choices, logits,
           c.wishes, c.edits, c.was, V);
    if ((rc = stream_launched(s, "choose", "n=%d V=%d", n, V))) return rc;
    return choose_fetch(&c, n, s);
}
