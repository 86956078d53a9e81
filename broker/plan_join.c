/* plan_join.c - which partition on which machine.
 *
 * Let v(c) be the sum of the worths of a choice c of partitions, and z its smallest component.  For
 * any weights that are at least 0 and sum to 1
 *
 *   z <= sum of weights[i] v(c)[i] <= bound(weights) = sum over machines of their best at the
 * weights
 *
 * as the smallest component is at most any mean of them, and a sum is at most the sum of the most
 * of its parts.  So bound(weights) bounds all choices at once, and its least over the weights is
 * the best of these bounds.  It is found by cutting planes: a matrix game over the choices seen so
 * far gives weights, the machines answer with their best at them, which is one more choice, until
 * that one is worth no more than the game's value.
 *
 * What is left between the best choice seen and the bound is searched whole.  At the weights of the
 * bound a choice is worth bound - (what its partitions lose), so one that is better than the best
 * seen loses less than bound - value in all, and each of its partitions loses less than that
 * alone: partitions that lose more are not looked at, nor those that another one outdoes at every
 * threshold, as it can stand in their place.  The rest is a branch and bound over machines: a
 * branch is left when for some of several weights what it has and the most that the remaining
 * machines have together are no more than the best seen.  Machines of a kind are interchangeable,
 * so their partitions are taken in order.
 */
#include "broker/plan_join.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "broker/plan_game.h"

_Static_assert(GAME_COLS >= SPACE_ACTIVE, "a component for each threshold");

#define HAIR       1e-12 /* relative: equal but for rounding */
#define CLOSE      1e-9  /* relative: a bound that is not worth another cut */
#define DIRECTIONS (2 * SPACE_ACTIVE + 1)
#define CLIMBS     8 /* rounds of exchanges, machine by machine */

struct pool { /* partitions of machines of a kind */
    struct partition *at;
    double (*dot)[DIRECTIONS];
    int n, cap;
};

struct joiner {
    const struct space *s;
    struct machine *const *machines;
    int width; /* thresholds */
    struct game game;
    struct pool pools[PLAN_MACHINES];
    int picks[PLAN_MACHINES]; /* of each kind, the last time they were asked */
    double value, bound;
    double weights[SPACE_ACTIVE];                                           /* of the bound */
    int n, kind_of[PLAN_MACHINES], best[PLAN_MACHINES], now[PLAN_MACHINES]; /* in branching order */
    int n_directions;
    double directions[DIRECTIONS][SPACE_ACTIVE];
    double rest[PLAN_MACHINES + 1][DIRECTIONS];
    double sum[PLAN_MACHINES + 1][DIRECTIONS];
    int64_t left, looked_at;
    bool is_cut; /* partitions of some kind are not all there */
    struct errmsg *e;
};

static double least(const struct joiner *j, const double *v)
{
    double z = v[0];

    for (int i = 1; i < j->width; i++)
        z = fmin(z, v[i]);
    return z;
}

/* --- the bound -------------------------------------------------------------------------------- */

static bool is_same(const struct partition *a, const struct partition *b)
{
    return a->n == b->n && !memcmp(a->options, b->options, (size_t)a->n * sizeof a->options[0]);
}

/* Its place in the pool; negative: no memory. */
static int pool_add(struct joiner *j, struct pool *p, const struct partition *part)
{
    for (int i = 0; i < p->n; i++)
        if (is_same(&p->at[i], part)) return i;
    if (p->n == p->cap) {
        int cap = p->cap ? 2 * p->cap : 16;
        struct partition *more = realloc(p->at, (size_t)cap * sizeof *more);

        if (!more) return err_set(j->e, ERR_NOMEM, "no memory for %d partitions", cap);
        p->at = more;
        p->cap = cap;
    }
    p->at[p->n] = *part;
    return p->n++;
}

/* Asks all machines for their best at the weights: a choice, and a bound for all of them. */
static int ask(struct joiner *j, const double *weights, double *sum, double *bound)
{
    memset(sum, 0, SPACE_ACTIVE * sizeof *sum);
    *bound = 0;
    for (int k = 0; k < j->s->n_kinds; k++) {
        struct partition p;
        int n = j->s->kinds[k].n_machines;

        j->left += machine_looked_at(j->machines[k]);
        *bound += n * machine_best(j->machines[k], weights, &p);
        j->left -= machine_looked_at(j->machines[k]);
        if ((j->picks[k] = pool_add(j, &j->pools[k], &p)) < 0) return j->picks[k];
        for (int i = 0; i < j->width; i++)
            sum[i] += n * p.worth[i];
    }
    if (*bound < j->bound) {
        j->bound = *bound;
        memcpy(j->weights, weights, sizeof j->weights);
    }
    if (least(j, sum) > j->value) {
        j->value = least(j, sum);
        for (int i = 0; i < j->n; i++)
            j->best[i] = j->picks[j->kind_of[i]];
    }
    return ERR_OK;
}

static int add_cut(struct joiner *j, const double *weights, double *bound)
{
    double *row = j->game.rows[j->game.n];
    int rc = ask(j, weights, row, bound);

    if (!rc) j->game.n++;
    return rc;
}

static int find_bound(struct joiner *j)
{
    double weights[GAME_COLS], bound, value;
    int rc = ERR_OK;

    j->game.width = j->width;
    for (int i = 0; !rc && i < j->width; i++) {
        memset(weights, 0, sizeof weights);
        weights[i] = 1;
        rc = add_cut(j, weights, &bound);
    }
    while (!rc && j->width > 1 && j->game.n < GAME_ROWS && j->left > 0) {
        value = game_value(&j->game, weights);
        rc = add_cut(j, weights, &bound);
        if (j->bound <= value * (1 + CLOSE) || j->bound <= j->value * (1 + HAIR)) break;
    }
    return rc;
}

/* --- a good choice to begin with -------------------------------------------------------------- */

static void sum_of(const struct joiner *j, const int *picks, double *sum)
{
    memset(sum, 0, SPACE_ACTIVE * sizeof *sum);
    for (int m = 0; m < j->n; m++)
        for (int i = 0; i < j->width; i++)
            sum[i] += j->pools[j->kind_of[m]].at[picks[m]].worth[i];
}

/* Exchanges one machine's partition for the best there is for it; was it any good? */
static bool exchange(struct joiner *j, int m, double *sum)
{
    const struct pool *p = &j->pools[j->kind_of[m]];
    const double *now = p->at[j->best[m]].worth;
    int best = -1;

    for (int c = 0; c < p->n; c++) {
        double v[SPACE_ACTIVE] = {0};

        for (int i = 0; i < j->width; i++)
            v[i] = sum[i] - now[i] + p->at[c].worth[i];
        if (least(j, v) <= j->value * (1 + HAIR)) continue;
        j->value = least(j, v);
        best = c;
    }
    if (best < 0) return false;
    for (int i = 0; i < j->width; i++)
        sum[i] += p->at[best].worth[i] - now[i];
    j->best[m] = best;
    return true;
}

static void climb(struct joiner *j)
{
    bool is_better = true;

    for (int turn = 0; is_better && turn < CLIMBS; turn++) {
        double sum[SPACE_ACTIVE];

        is_better = false;
        sum_of(j, j->best, sum);
        for (int m = 0; m < j->n; m++)
            is_better |= exchange(j, m, sum);
    }
}

/* Exchanges the partitions of two machines at once, where one alone would do no good. */
static bool exchange_two(struct joiner *j, int a, int b, double *sum)
{
    const struct pool *p = &j->pools[j->kind_of[a]], *q = &j->pools[j->kind_of[b]];
    double without[SPACE_ACTIVE];

    for (int i = 0; i < j->width; i++)
        without[i] = sum[i] - p->at[j->best[a]].worth[i] - q->at[j->best[b]].worth[i];
    for (int c = 0; c < p->n && j->left > 0; c++)
        for (int d = 0; d < q->n && j->left > 0; d++) {
            double z = INFINITY;

            j->left -= j->width;
            j->looked_at++;
            for (int i = 0; i < j->width && z > j->value * (1 + HAIR); i++)
                z = fmin(z, without[i] + p->at[c].worth[i] + q->at[d].worth[i]);
            if (z <= j->value * (1 + HAIR)) continue;
            j->value = z;
            for (int i = 0; i < j->width; i++)
                sum[i] = without[i] + p->at[c].worth[i] + q->at[d].worth[i];
            j->best[a] = c;
            j->best[b] = d;
            return true;
        }
    return false;
}

/* At most half of what may be looked at: the rest is for the proof. */
static void climb_in_pairs(struct joiner *j)
{
    int64_t rest = j->left / 2;
    double sum[SPACE_ACTIVE];
    bool is_better = true;

    j->left -= rest;
    sum_of(j, j->best, sum);
    while (is_better && j->left > 0) {
        is_better = false;
        for (int a = 0; a < j->n; a++)
            for (int b = a + 1; b < j->n; b++)
                is_better |= exchange_two(j, a, b, sum);
    }
    j->left += rest;
}

/* --- all that could be better ----------------------------------------------------------------- */

static double dot(const struct joiner *j, const double *a, const double *b)
{
    double sum = 0;

    for (int i = 0; i < j->width; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The weights of the bound, each threshold alone, and halfway between them. */
static void set_directions(struct joiner *j)
{
    j->n_directions = 1;
    memcpy(j->directions[0], j->weights, sizeof j->weights);
    for (int i = 0; i < j->width; i++) {
        double *alone = j->directions[j->n_directions++];
        double *half = j->directions[j->n_directions++];

        memset(alone, 0, SPACE_ACTIVE * sizeof *alone);
        alone[i] = 1;
        for (int k = 0; k < j->width; k++)
            half[k] = (alone[k] + j->weights[k]) / 2;
    }
}

/* In place of what was seen of a kind: all that may be part of a better choice.  The best choice so
 * far stays among them. */
static int gather(struct joiner *j, int kind)
{
    struct pool *p = &j->pools[kind], old = *p;
    struct partition best;
    bool is_whole = true;
    /* Half of the work is for the branches, and each kind has its share of the rest. */
    int64_t share = j->left / 2 / (j->s->n_kinds - kind) + 1;
    int64_t before;
    int rc;

    *p = (struct pool){0};
    before = share;
    machine_best(j->machines[kind], j->weights, &best);
    rc = machine_near(j->machines[kind], j->bound - j->value * (1 + HAIR) + HAIR * j->bound, &share,
                      &p->at, &p->n, &is_whole, j->e);
    p->cap = p->n;
    j->left -= before - share;
    j->is_cut |= !is_whole;
    for (int m = 0; !rc && m < j->n; m++) {
        if (j->kind_of[m] != kind) continue;
        j->best[m] = pool_add(j, p, &old.at[j->best[m]]);
        if (j->best[m] < 0) rc = j->best[m];
    }
    free(old.at);
    return rc;
}

static int by_dot(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (x[0] < y[0]) - (x[0] > y[0]);
}

struct order {
    double worth; /* at the weights; first, for by_dot */
    int at;
};

/* The best at the weights first; and how much each is worth in every direction. */
static int sort_pool(struct joiner *j, int kind)
{
    struct pool *p = &j->pools[kind];
    struct order *o = malloc((size_t)p->n * sizeof *o);
    struct partition *sorted = malloc((size_t)p->n * sizeof *sorted);
    int *place = malloc((size_t)p->n * sizeof *place);

    p->dot = malloc((size_t)p->n * sizeof *p->dot);
    if (!o || !sorted || !place || !p->dot) {
        free(o), free(sorted), free(place);
        return err_set(j->e, ERR_NOMEM, "no memory for %d partitions", p->n);
    }
    for (int i = 0; i < p->n; i++)
        o[i] = (struct order){dot(j, j->weights, p->at[i].worth), i};
    qsort(o, (size_t)p->n, sizeof *o, by_dot);
    for (int i = 0; i < p->n; i++) {
        sorted[i] = p->at[o[i].at];
        place[o[i].at] = i;
        for (int d = 0; d < j->n_directions; d++)
            p->dot[i][d] = dot(j, j->directions[d], sorted[i].worth);
    }
    for (int m = 0; m < j->n; m++)
        if (j->kind_of[m] == kind) j->best[m] = place[j->best[m]];
    free(p->at), free(o), free(place);
    p->at = sorted;
    return ERR_OK;
}

static double most_in(const struct pool *p, int d)
{
    double most = p->dot[0][d];

    for (int i = 1; i < p->n; i++)
        most = fmax(most, p->dot[i][d]);
    return most;
}

static void sum_rests(struct joiner *j)
{
    for (int d = 0; d < j->n_directions; d++) {
        j->rest[j->n][d] = 0;
        for (int m = j->n - 1; m >= 0; m--)
            j->rest[m][d] = j->rest[m + 1][d] + most_in(&j->pools[j->kind_of[m]], d);
    }
}

static bool can_win(const struct joiner *j, int m, const double *has)
{
    double than = j->value * (1 + HAIR);

    for (int d = 0; d < j->n_directions; d++)
        if (has[d] + j->rest[m][d] <= than) return false;
    return true;
}

static void win(struct joiner *j)
{
    double sum[SPACE_ACTIVE];

    sum_of(j, j->now, sum);
    if (least(j, sum) <= j->value) return;
    j->value = least(j, sum);
    memcpy(j->best, j->now, sizeof j->best);
}

static void branch(struct joiner *j, int m)
{
    const struct pool *p = &j->pools[j->kind_of[m]];
    int from = m > 0 && j->kind_of[m] == j->kind_of[m - 1] ? j->now[m - 1] : 0;

    if (m == j->n) {
        win(j);
        return;
    }
    for (int c = from; c < p->n; c++) {
        double *has = j->sum[m + 1];

        if (j->left <= 0) return;
        j->left -= j->n_directions;
        j->looked_at++;
        /* They come in the order of direction 0. */
        if (j->sum[m][0] + p->dot[c][0] + j->rest[m + 1][0] <= j->value * (1 + HAIR)) return;
        for (int d = 0; d < j->n_directions; d++)
            has[d] = j->sum[m][d] + p->dot[c][d];
        if (!can_win(j, m + 1, has)) continue;
        j->now[m] = c;
        branch(j, m + 1);
    }
}

/* How far the partitions of a kind differ at the thresholds that have weight. */
static double spread(const struct joiner *j, int kind)
{
    const struct pool *p = &j->pools[kind];
    double sum = 0;

    for (int i = 0; i < j->width; i++) {
        double lo = INFINITY, hi = 0;

        for (int c = 0; c < p->n; c++) {
            lo = fmin(lo, p->at[c].worth[i]);
            hi = fmax(hi, p->at[c].worth[i]);
        }
        sum += j->weights[i] * (hi - lo);
    }
    return sum;
}

/* Kinds whose choice matters most first: what is left behind them is bounded well. */
static void order_machines(struct joiner *j)
{
    int n = 0, best[PLAN_MACHINES], at[PLAN_MACHINES] = {0};
    bool is_done[PLAN_MACHINES] = {false};
    double spreads[PLAN_MACHINES];

    for (int k = 0; k < j->s->n_kinds; k++)
        spreads[k] = spread(j, k);
    for (int m = 0; m < j->n; m++) /* machines of a kind stand together, at[k] the first of them */
        if (m == 0 || j->kind_of[m] != j->kind_of[m - 1]) at[j->kind_of[m]] = m;
    memcpy(best, j->best, sizeof best);
    for (int turn = 0; turn < j->s->n_kinds; turn++) {
        int k = -1;

        for (int i = 0; i < j->s->n_kinds; i++)
            if (!is_done[i] && (k < 0 || spreads[i] > spreads[k])) k = i;
        is_done[k] = true;
        for (int i = 0; i < j->s->kinds[k].n_machines; i++) {
            j->kind_of[n] = k;
            j->best[n++] = best[at[k] + i];
        }
    }
}

static int search(struct joiner *j)
{
    int rc = ERR_OK;

    for (int turn = 0; !rc && turn < 2; turn++) { /* a better choice leaves fewer partitions */
        j->is_cut = false;
        for (int k = 0; !rc && k < j->s->n_kinds; k++)
            rc = gather(j, k);
        if (rc || turn) break;
        climb(j);
        climb_in_pairs(j);
    }
    if (rc) return rc;
    order_machines(j);
    set_directions(j);
    for (int k = 0; !rc && k < j->s->n_kinds; k++)
        rc = sort_pool(j, k);
    if (rc) return rc;
    sum_rests(j);
    memset(j->sum[0], 0, sizeof j->sum[0]);
    branch(j, 0);
    if (j->left > 0 && !j->is_cut) j->bound = j->value; /* all was looked at */
    return ERR_OK;
}

static void take_best(struct join *out, const struct joiner *j)
{
    int next[PLAN_MACHINES] = {0};

    out->value = j->value;
    out->bound = j->bound;
    out->looked_at = j->looked_at;
    for (int m = 0; m < j->n; m++) {
        int k = j->kind_of[m];

        out->of[j->s->kinds[k].machines[next[k]++]] = j->pools[k].at[j->best[m]];
    }
}

int join_machines(struct join *out, const struct space *s, struct machine *const *machines,
                  const struct thresholds *t, bool is_whole, int64_t *work, struct errmsg *e)
{
    struct joiner *j = calloc(1, sizeof *j);
    int rc = ERR_NOMEM;

    memset(out, 0, sizeof *out);
    if (!j) return err_set(e, rc, "no memory for a plan");
    j->s = s;
    j->machines = machines;
    j->width = t->n;
    for (int k = 0; k < s->n_kinds; k++)
        machine_weed(machines[k], t);
    j->left = *work;
    j->bound = INFINITY;
    j->value = -1;
    j->e = e;
    for (int k = 0; k < s->n_kinds; k++)
        for (int i = 0; i < s->kinds[k].n_machines; i++)
            j->kind_of[j->n++] = k;
    if ((rc = find_bound(j))) goto out;
    climb(j);
    if (is_whole && j->left > 0 && j->bound > j->value * (1 + HAIR) && (rc = search(j))) goto out;
    take_best(out, j);
out:
    *work = j->left;
    for (int k = 0; k < s->n_kinds; k++) {
        free(j->pools[k].at);
        free(j->pools[k].dot);
    }
    free(j);
    return rc;
}
