/* predict.c - how long an answer will be, from the answers that came before. */
#include "broker/predict.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/idmap.h"

#define CELLS       88 /* four an octave, up to four million tokens */
#define PARTS       48 /* of prompts, four an octave: up to 19 tokens, 23, ... */
#define FIRST_PART  12
#define REMEMBERED  512 /* answers: beyond them all count half */
#define HIGH        0.9
#define NEVER_SEEN  1e-6
#define LONGER      1.25 /* what is longer than all before, in all */
#define STALE_SHARE 64   /* a prediction holds until so much more of the answers are known */

/* Answers by length. */
struct lengths {
    float n[CELLS], tokens[CELLS];
    float total;
};

struct batch {
    int64_t id;
    struct batch *next, *prev; /* by last use, the oldest first */
    struct lengths all, part[PARTS];
    int64_t n_added;
    struct told {
        struct predict_length length;
        int32_t max_tokens;
        int64_t n_added; /* as it was told; -1: never */
    } told[PARTS];
};

struct predict {
    struct idmap batches;
    struct batch *oldest, *latest;
    struct batch any; /* every batch */
};

static int log2_of(int32_t x)
{
    return x > 1 ? 31 - __builtin_clz((unsigned)x) : 0;
}

static int cell_of(int32_t x)
{
    int k = log2_of(x), c = x < 4 ? x : 4 * k + ((x >> (k - 2)) & 3) - 4;

    return c < 0 ? 0 : c < CELLS ? c : CELLS - 1;
}

static int part_of(int32_t prompt_tokens)
{
    int k = cell_of(prompt_tokens > 0 ? prompt_tokens : 1) - FIRST_PART;

    return k < 0 ? 0 : k < PARTS ? k : PARTS - 1;
}

static void count(struct lengths *l, int32_t tokens)
{
    int c = cell_of(tokens);

    if (l->total >= REMEMBERED) {
        l->total = 0;
        for (int k = 0; k < CELLS; k++) {
            l->n[k] /= 2;
            l->tokens[k] /= 2;
            l->total += l->n[k];
        }
    }
    l->n[c] += 1;
    l->tokens[c] += (float)tokens;
    l->total += 1;
}

/* --- batches ---------------------------------------------------------------------------------- */

static void unlink_batch(struct predict *p, struct batch *b)
{
    *(b->prev ? &b->prev->next : &p->oldest) = b->next;
    *(b->next ? &b->next->prev : &p->latest) = b->prev;
}

static void link_latest(struct predict *p, struct batch *b)
{
    b->next = NULL;
    b->prev = p->latest;
    *(b->prev ? &b->prev->next : &p->oldest) = b;
    p->latest = b;
}

static void clear(struct batch *b, int64_t id)
{
    *b = (struct batch){.id = id};
    for (int k = 0; k < PARTS; k++)
        b->told[k].n_added = -1;
}

/* A new one, or what was the oldest; NULL: out of memory. */
static struct batch *make_batch(struct predict *p, int64_t id)
{
    struct batch *b;

    if (p->batches.n >= PREDICT_BATCHES) {
        b = p->oldest;
        unlink_batch(p, b);
        (void)idmap_remove(&p->batches, b->id);
    } else {
        b = malloc(sizeof *b);
        if (!b) return NULL;
    }
    clear(b, id);
    if (idmap_put(&p->batches, id, b)) {
        free(b);
        return NULL;
    }
    link_latest(p, b);
    return b;
}

static void use(struct predict *p, struct batch *b)
{
    if (b == p->latest) return;
    unlink_batch(p, b);
    link_latest(p, b);
}

static void add(struct batch *b, int32_t prompt_tokens, int32_t output_tokens)
{
    count(&b->all, output_tokens);
    count(&b->part[part_of(prompt_tokens)], output_tokens);
    b->n_added++;
}

void predict_add(struct predict *p, int64_t batch, int32_t prompt_tokens, int32_t output_tokens)
{
    struct batch *b = idmap_get(&p->batches, batch);

    if (output_tokens < 1) output_tokens = 1;
    if (!b && batch > 0) b = make_batch(p, batch);
    add(&p->any, prompt_tokens, output_tokens);
    if (!b) return;
    use(p, b);
    add(b, prompt_tokens, output_tokens);
}

/* --- the answer ------------------------------------------------------------------------------- */

/* Groups from the narrowest to the widest, and what each weighs; the rest is the guess's. */
struct mix {
    const struct lengths *of[4];
    double weight[4], guess;
};

static void weigh(struct mix *m, int k, const struct lengths *l)
{
    m->of[k] = l;
    m->weight[k] = m->guess * l->total / (l->total + PREDICT_DOUBT) / fmax(l->total, 1e-9);
    m->guess *= PREDICT_DOUBT / ((double)l->total + PREDICT_DOUBT);
}

static double mixed(const struct mix *m, int c, bool tokens)
{
    double x = 0;

    for (int k = 0; k < 4; k++)
        if (m->of[k]) x += m->weight[k] * (double)(tokens ? m->of[k]->tokens[c] : m->of[k]->n[c]);
    return x;
}

static struct predict_length weigh_out(const struct mix *m, double most)
{
    double guess = fmin(PREDICT_UNKNOWN, most), mean = m->guess * guess, sum = 0, high = 0;
    int guess_cell = cell_of((int32_t)guess);

    for (int c = 0; c < CELLS; c++) {
        double n = mixed(m, c, false), tokens = n > 0 ? mixed(m, c, true) / n : 0;

        mean += n * fmin(tokens, most);
        sum += n + (c == guess_cell ? m->guess : 0);
        if (sum >= HIGH && high <= 0) high = n > 0 ? tokens : guess;
    }
    if (high <= 0) high = most < INFINITY ? most : guess;
    return (struct predict_length){fmax(1, fmin(mean, most)), fmax(1, fmin(high, most))};
}

/* Does what was told last still hold? */
static bool is_fresh(const struct batch *b, int k, int32_t max_tokens)
{
    const struct told *t = &b->told[k];
    int64_t since = b->n_added - t->n_added;

    if (t->n_added < 0 || t->max_tokens != max_tokens) return false;
    return !since || (b->part[k].total > STALE_SHARE && since <= b->n_added / STALE_SHARE);
}

static void mix_groups(struct mix *m, const struct predict *p, const struct batch *b, int k)
{
    *m = (struct mix){.guess = 1};
    if (b) weigh(m, 0, &b->part[k]);
    if (b) weigh(m, 1, &b->all);
    weigh(m, 2, &p->any.part[k]);
    weigh(m, 3, &p->any.all);
}

static double most_of(int32_t max_tokens)
{
    return max_tokens > 0 ? (double)max_tokens : (double)INFINITY;
}

struct predict_length predict_ask(struct predict *p, int64_t batch, int32_t prompt_tokens,
                                  int32_t max_tokens)
{
    struct batch *b = idmap_get(&p->batches, batch);
    const int k = part_of(prompt_tokens);
    struct batch *from = b ? b : &p->any;
    struct told *t = &from->told[k];
    struct mix m;

    if (is_fresh(from, k, max_tokens)) return t->length;
    mix_groups(&m, p, b, k);
    *t = (struct told){weigh_out(&m, most_of(max_tokens)), max_tokens, from->n_added};
    return t->length;
}

double predict_beyond(const struct predict *p, int64_t batch, int32_t prompt_tokens,
                      int32_t max_tokens, double tokens)
{
    double most = most_of(max_tokens), n = 0, sum = 0;
    struct mix m;

    mix_groups(&m, p, idmap_get(&p->batches, batch), part_of(prompt_tokens));
    for (int c = 0; c < CELLS; c++) {
        double here = mixed(&m, c, false), mean = here > 0 ? mixed(&m, c, true) / here : 0;

        if (mean <= tokens) continue;
        n += here;
        sum += here * fmin(mean, most);
    }
    if (PREDICT_UNKNOWN > tokens) {
        n += m.guess;
        sum += m.guess * fmin(PREDICT_UNKNOWN, most);
    }
    return fmin(most, fmax(tokens, n > NEVER_SEEN ? sum / n : tokens * LONGER));
}

int predict_open(struct predict **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return ERR_NOMEM;
    clear(&(*out)->any, 0);
    return ERR_OK;
}

void predict_close(struct predict **p)
{
    struct predict *x = *p;
    struct batch *b;

    *p = NULL;
    if (!x) return;
    while ((b = x->oldest)) {
        x->oldest = b->next;
        free(b);
    }
    idmap_fini(&x->batches);
    free(x);
}
