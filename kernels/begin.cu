/* begin.cu - a step comes to the device: its arrays, its plan of attention, its block tables.
 *
 * The arrays and the plan lie behind each other in one piece of pinned memory and go over in one
 * copy; block tables in a second one, whose rows are as long as the longest sequence needs.  Where
 * an array lies on the device follows from T, S and n_rows alone, so that a graph recorded for them
 * finds the next step's.
 *
 * There are N_TURNS pinned pieces: one is written again when the copy out of it is done, so begin
 * waits only for a step that is N_TURNS before it.
 */
#include "kernels/attn_decode.cuh"

#include <stdlib.h>
#include <string.h>

#define N_TURNS 2
#define N_FITS  8

struct turn {
    char *arrays;
    int32_t *blocks;
    cudaEvent_t copied;
};

/* How many blocks of a kernel fit on the stream's processors. */
struct fit {
    const void *kernel;
    size_t bytes;
    int blocks;
};

struct step_state {
    struct turn turns[N_TURNS];
    unsigned turn;
    char *arrays; /* on the device */
    int32_t *blocks;
    float *parts; /* what splits leave for their merge */
    size_t n_parts;
    const struct attn_plan *plan; /* of the last begin, in pinned memory */
    struct fit fits[N_FITS];      /* what was last asked for */
    int n_fits;
};

static size_t aligned_up(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* Where each array lies, in bytes from the first. */
struct places {
    size_t ids, pos, seq, start, rows, plan;
};

static struct places places_of(size_t T, size_t S, size_t n_rows)
{
    struct places p = {};

    p.pos = p.ids + aligned_up(T * sizeof(int32_t));
    p.seq = p.pos + aligned_up(T * sizeof(int32_t));
    p.start = p.seq + aligned_up(T * sizeof(int32_t));
    p.rows = p.start + aligned_up((S + 1) * sizeof(int32_t));
    p.plan = p.rows + aligned_up(n_rows * sizeof(int32_t));
    return p;
}

/* A token's results of one split: H*HD numbers, and two for each head (attn_decode.cu). */
static size_t part_floats(const struct step_limits *l)
{
    const size_t width = (size_t)(l->attn_width ? l->attn_width : l->max_width);

    return width + width / 4 + 64;
}

static int turns_open(struct stream *s, size_t arrays_bytes, size_t blocks_bytes)
{
    for (int i = 0; i < N_TURNS; i++) {
        struct turn *t = &s->step->turns[i];

        t->arrays = (char *)stream_pinned(s, arrays_bytes, "begin");
        t->blocks = (int32_t *)stream_pinned(s, blocks_bytes, "begin");
        if (!t->arrays || !t->blocks) return s->rc ? s->rc : ERR_FULL;
        if (stream_called(s, cudaEventCreateWithFlags(&t->copied, cudaEventDisableTiming), "begin",
                          "turn %d", i))
            return s->rc;
    }
    return ERR_OK;
}

int step_open(struct stream *s)
{
    const struct step_limits *l = &s->limits;
    const size_t T = (size_t)l->max_tokens, S = (size_t)l->max_seqs;
    const size_t blocks_bytes = S * (size_t)l->max_blocks * sizeof(int32_t);
    struct step_state *st;
    size_t arrays_bytes;

    if (l->max_tokens < 0 || l->max_seqs < 0 || l->max_blocks < 0 || l->attn_width < 0)
        return ERR_ARG;
    arrays_bytes = places_of(T, S, T).plan + attn_plan_bytes(l->max_tokens, l->max_seqs);
    step_close(s);
    s->step = st = (struct step_state *)calloc(1, sizeof *st);
    if (!st) return ERR_NOMEM;
    st->arrays = (char *)stream_take(s, arrays_bytes, "begin");
    st->blocks = (int32_t *)stream_take(s, blocks_bytes, "begin");
    st->n_parts = s->batch_invariant ? 0 : attn_plan_parts(l->max_seqs, l->max_blocks);
    st->n_parts *= part_floats(l);
    if (st->n_parts) st->parts = (float *)stream_take(s, st->n_parts * sizeof(float), "attn");
    if (!st->arrays || !st->blocks || (st->n_parts && !st->parts)) return s->rc ? s->rc : ERR_FULL;
    return turns_open(s, arrays_bytes, blocks_bytes);
}

void step_close(struct stream *s)
{
    if (!s->step) return;
    for (int i = 0; i < N_TURNS; i++)
        if (s->step->turns[i].copied) cudaEventDestroy(s->step->turns[i].copied);
    free(s->step);
    s->step = NULL;
}

const struct attn_plan *step_plan(const struct stream *s)
{
    return s->step ? s->step->plan : NULL;
}

float *step_parts(const struct stream *s, size_t *n_floats)
{
    *n_floats = s->step->n_parts;
    return s->step->parts;
}

int step_fit(const struct stream *s, const void *kernel, size_t bytes)
{
    for (int i = 0; i < N_FITS; i++)
        if (s->step->fits[i].kernel == kernel && s->step->fits[i].bytes == bytes)
            return s->step->fits[i].blocks;
    return 0;
}

void step_fit_keep(struct stream *s, const void *kernel, size_t bytes, int blocks)
{
    s->step->fits[s->step->n_fits++ % N_FITS] = {kernel, bytes, blocks};
}

/* KV blocks of the longest sequence; ERR_ARG where one goes beyond its table. */
static int longest_table(const struct ragged *r)
{
    int n = 0;

    for (int t = 0; t < r->T; t++) {
        const int needed = r->pos[t] / KV_BLOCK_TOKENS + 1;

        if (r->pos[t] < 0 || needed > r->max_blocks) return ERR_ARG;
        if (needed > n) n = needed;
    }
    return n;
}

static int fits(const struct ragged *r, const struct step_limits *l)
{
    if (r->T < 0 || r->T > l->max_tokens || r->S < 0 || r->S > l->max_seqs) return ERR_ARG;
    if (r->n_rows < 0 || r->n_rows > l->max_tokens || r->max_blocks > l->max_blocks) return ERR_ARG;
    return ERR_OK;
}

static void array_put(char *at, const int32_t *from, size_t n)
{
    if (n) memcpy(at, from, n * sizeof *from);
}

static void arrays_put(struct turn *to, const struct places *p, const struct ragged *r,
                       bool all_tiles)
{
    const size_t T = (size_t)r->T;

    array_put(to->arrays + p->ids, r->ids, r->ids ? T : 0);
    array_put(to->arrays + p->pos, r->pos, T);
    array_put(to->arrays + p->seq, r->seq, T);
    array_put(to->arrays + p->start, r->start, (size_t)r->S + 1);
    array_put(to->arrays + p->rows, r->rows, (size_t)r->n_rows);
    attn_plan_make((struct attn_plan *)(to->arrays + p->plan), r, all_tiles);
}

/* Block tables: rows of `width` in pinned memory, of limits.max_blocks on the device. */
static int blocks_copy(struct turn *from, const struct ragged *r, int width, struct stream *s)
{
    const size_t bytes = (size_t)width * sizeof(int32_t);

    for (int i = 0; i < r->S; i++)
        memcpy(from->blocks + (size_t)i * (size_t)width,
               r->blocks + (size_t)i * (size_t)r->max_blocks, bytes);
    return stream_called(
        s,
        cudaMemcpy2DAsync(s->step->blocks, (size_t)s->limits.max_blocks * sizeof(int32_t),
                          from->blocks, bytes, bytes, (size_t)r->S, cudaMemcpyHostToDevice, s->at),
        "begin", "S=%d blocks=%d", r->S, width);
}

extern "C" int step_begin(struct ragged *on, const struct ragged *r, struct stream *s)
{
    struct step_state *st = s->step;
    struct places p;
    struct turn *turn;
    int rc, width;

    if (!st || s->recording) return ERR_ARG;
    *on = *r;
    if ((rc = fits(r, &s->limits))) return rc;
    if (r->T == 0) return ERR_OK;
    if ((width = longest_table(r)) < 0) return width;

    p = places_of((size_t)r->T, (size_t)r->S, (size_t)r->n_rows);
    turn = &st->turns[st->turn++ % N_TURNS];
    if (stream_called(s, cudaEventSynchronize(turn->copied), "begin", "T=%d S=%d", r->T, r->S))
        return s->rc;
    arrays_put(turn, &p, r, s->batch_invariant);
    st->plan = (const struct attn_plan *)(turn->arrays + p.plan);
    rc = stream_called(s,
                       cudaMemcpyAsync(st->arrays, turn->arrays, p.plan + (size_t)st->plan->bytes,
                                       cudaMemcpyHostToDevice, s->at),
                       "begin", "T=%d S=%d", r->T, r->S);
    if (!rc) rc = blocks_copy(turn, r, width, s);
    if (!rc) rc = stream_called(s, cudaEventRecord(turn->copied, s->at), "begin", "T=%d", r->T);

    on->ids = (const int32_t *)(st->arrays + p.ids);
    on->pos = (const int32_t *)(st->arrays + p.pos);
    on->seq = (const int32_t *)(st->arrays + p.seq);
    on->start = (const int32_t *)(st->arrays + p.start);
    on->rows = (const int32_t *)(st->arrays + p.rows);
    on->plan = st->arrays + p.plan;
    on->blocks = st->blocks;
    on->max_blocks = s->limits.max_blocks;
    return rc;
}
