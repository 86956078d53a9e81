/* plan_machine.c - the partitions of one machine.
 *
 * At given weights the worth of a partition is a sum over its parts, so the best one is found part
 * by part: best(D) of the devices D is the largest of worth(p) + best(D - p) over the parts p that
 * hold the lowest device of D, and of best(D - that device).  Every partition has exactly one part,
 * or none, that holds the lowest device, so none is left out.  Devices that are alike are counted,
 * not named: D is a number of each type, and partitions that differ only in which of like devices
 * they use are worth the same.
 *
 * Near ones are found along the same tree.  What a choice loses against best(D) adds up along a
 * branch and never becomes less, so what has lost more than the slack is part of no partition that
 * is wanted.  Of the partitions of the same devices D one that another is worth as much as at every
 * threshold can be exchanged for it in whatever stands around it, so a front of the others is kept
 * for each D that can be left over.
 *
 * Within a part an option that is worth no more than another at any threshold can be exchanged for
 * it in every partition without making it worth less anywhere, so it is not looked at.
 */
#include "broker/plan_machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "broker/plan_option.h"

#define STATES 256                 /* 2^PLAN_DEVICES: of unlike devices; fewer of like ones */
#define EVEN   0x8080808080808080u /* a bit above each count */
#define HAIR   1e-12               /* of numbers that are equal but for rounding */

struct part_use {
    const struct space_part *part;
    int n, n_all; /* options that are left, in front; and all */
    int *options; /* in machine.options */
    double best;  /* at the weights */
    int best_option;
};

/* What the innermost loop reads of a part, close together. */
struct lean {
    uint64_t devices;
    double best; /* at the weights */
    int state;
};

struct machine {
    const struct space *s;
    const struct space_kind *kind;
    int n_parts, *options, longest;
    struct lean *lean;
    struct part_use *parts;     /* by lowest type */
    int from[PLAN_DEVICES + 1]; /* the parts of each lowest type */
    struct thresholds t;
    double weights[SPACE_ACTIVE]; /* times worth_of */
    double best[STATES];
    int choice[STATES]; /* a part, or -1: the lowest device runs nothing */
    int size[STATES];   /* instances of the best */
    uint64_t devices[STATES];
    int lowest[STATES], without_lowest[STATES];
    int64_t looked_at;
};

static bool is_allowed(const struct space_option *o, const struct plan_filter *f, bool is_all)
{
    return (f->tp < 0 || o->tp == f->tp) && (f->dtype < 0 || o->asked == f->dtype) &&
           (f->kv_dtype < 0 || o->kv_asked == f->kv_dtype) && (!f->is_whole || is_all);
}

/* What a state stands for. */
static void read_states(struct machine *m)
{
    const struct space_kind *k = m->kind;

    for (int state = 0; state < k->n_states; state++) {
        int left = state, step = 1;

        m->lowest[state] = -1;
        for (int t = 0; t < k->n_types; t++) {
            int n = left % (k->n_of[t] + 1);

            left /= k->n_of[t] + 1;
            m->devices[state] |= (uint64_t)n << 8 * t;
            if (n && m->lowest[state] < 0) {
                m->lowest[state] = t;
                m->without_lowest[state] = state - step;
            }
            step *= k->n_of[t] + 1;
        }
    }
}

static void take_part(struct machine *m, const struct space_part *p, const struct plan_filter *f,
                      int *n_options)
{
    struct part_use *u = &m->parts[m->n_parts];
    bool is_all = p->state == m->kind->n_states - 1;

    *u = (struct part_use){.part = p, .options = m->options + *n_options};
    for (int i = p->first; i < p->first + p->n_options; i++) {
        const struct space_option *o = &m->s->options[i];

        if (!is_allowed(o, f, is_all)) continue;
        u->options[u->n++] = i;
        if (o->limit > m->longest) m->longest = o->limit;
    }
    *n_options += u->n_all = u->n;
    m->lean[m->n_parts] = (struct lean){p->devices, 0, p->state};
    if (u->n) m->n_parts++;
}

int machine_open(struct machine **out, const struct space *s, int kind, const struct plan_filter *f,
                 struct errmsg *e)
{
    const struct space_kind *k = &s->kinds[kind];
    const struct space_part *parts = s->parts + k->first;
    struct machine *m = calloc(1, sizeof *m);
    int n = 0, rc = ERR_NOMEM;

    *out = NULL;
    for (int i = 0; i < k->n_parts; i++)
        n += parts[i].n_options;
    if (!m || !(m->options = malloc(((size_t)n + 1) * sizeof *m->options)) ||
        !(m->parts = malloc(((size_t)k->n_parts + 1) * sizeof *m->parts)) ||
        !(m->lean = malloc(((size_t)k->n_parts + 1) * sizeof *m->lean))) {
        err_set(e, rc, "no memory for the %d instances of a machine", n);
        goto out;
    }
    m->s = s;
    m->kind = k;
    read_states(m);
    n = 0;
    for (int t = 0; t < k->n_types; t++) {
        m->from[t] = m->n_parts;
        for (int i = 0; f->without != kind && i < k->n_parts; i++)
            if (parts[i].lowest == t) take_part(m, &parts[i], f, &n);
    }
    for (int t = k->n_types; t <= PLAN_DEVICES; t++)
        m->from[t] = m->n_parts;
    *out = m;
    m = NULL;
    rc = ERR_OK;
out:
    machine_close(&m);
    return rc;
}

void machine_close(struct machine **m)
{
    if (!*m) return;
    free((*m)->options);
    free((*m)->parts);
    free((*m)->lean);
    free(*m);
    *m = NULL;
}

int machine_longest(const struct machine *m)
{
    return m->longest;
}

int64_t machine_looked_at(const struct machine *m)
{
    return m->looked_at;
}

/* --- the best at some weights ----------------------------------------------------------------- */

static bool outdoes(const struct machine *m, const struct space_option *a,
                    const struct space_option *b)
{
    for (int i = 0; i < m->t.n; i++)
        if (a->speed[m->t.slot[i]] < b->speed[m->t.slot[i]]) return false;
    return true;
}

struct rated {
    int option;
    double sum; /* over the thresholds */
};

static int by_sum(const void *a, const void *b)
{
    const struct rated *x = a, *y = b;

    if (x->sum != y->sum) return x->sum > y->sum ? -1 : 1;
    return x->option - y->option;
}

/* One that outdoes another has a sum that is no less, so it comes before it. */
static void weed_part(struct machine *m, struct part_use *u)
{
    struct rated all[OPTION_DTYPES * OPTION_KV_DTYPES];
    int n_out = u->n_all;

    for (int i = 0; i < u->n_all; i++) {
        const double *speed = m->s->options[u->options[i]].speed;

        all[i] = (struct rated){u->options[i], 0};
        for (int k = 0; k < m->t.n; k++)
            all[i].sum += m->t.worth_of[k] * speed[m->t.slot[k]];
    }
    qsort(all, (size_t)u->n_all, sizeof all[0], by_sum);
    u->n = 0;
    for (int i = 0; i < u->n_all; i++) {
        const struct space_option *o = &m->s->options[all[i].option];
        bool is_less = false;

        for (int k = 0; k < u->n && !is_less; k++)
            is_less = outdoes(m, &m->s->options[all[k].option], o);
        if (is_less) {
            u->options[--n_out] = all[i].option;
        } else {
            struct rated kept = all[i];

            all[i] = all[u->n];
            all[u->n++] = kept;
        }
    }
    for (int i = 0; i < u->n; i++)
        u->options[i] = all[i].option;
}

void machine_weed(struct machine *m, const struct thresholds *t)
{
    m->t = *t;
    for (int p = 0; p < m->n_parts; p++)
        weed_part(m, &m->parts[p]);
}

static double worth_at(const struct machine *m, const struct space_option *o)
{
    double sum = 0;

    for (int i = 0; i < m->t.n; i++)
        sum += m->weights[i] * o->speed[m->t.slot[i]];
    return sum;
}

static bool is_within(uint64_t part, uint64_t devices)
{
    return (((devices | EVEN) - part) & EVEN) == EVEN;
}

static void weigh_parts(struct machine *m)
{
    for (int p = 0; p < m->n_parts; p++) {
        struct part_use *u = &m->parts[p];

        u->best = -1;
        for (int i = 0; i < u->n; i++) {
            double w = worth_at(m, &m->s->options[u->options[i]]);

            if (w > u->best) u->best = w, u->best_option = u->options[i];
        }
        m->lean[p].best = u->best;
        m->looked_at += u->n;
    }
}

/* Of equal ones that of fewer instances. */
static void best_of_state(struct machine *m, int state)
{
    int t = m->lowest[state], rest = m->without_lowest[state], choice = -1, size = m->size[rest];
    double best = m->best[rest];
    uint64_t devices = m->devices[state];

    for (int p = m->from[t]; p < m->from[t + 1]; p++) {
        const struct lean *l = &m->lean[p];
        double w;
        int left;

        if (!is_within(l->devices, devices)) continue;
        left = state - l->state;
        w = l->best + m->best[left];
        if (w < best - HAIR * best || (w <= best + HAIR * best && m->size[left] + 1 >= size))
            continue;
        best = w, choice = p, size = m->size[left] + 1;
    }
    m->looked_at += m->from[t + 1] - m->from[t];
    m->best[state] = best, m->choice[state] = choice, m->size[state] = size;
}

static void add_worth(const struct machine *m, struct partition *p, int option)
{
    const struct space_option *o = &m->s->options[option];

    p->options[p->n++] = option;
    for (int i = 0; i < m->t.n; i++)
        p->worth[i] += m->t.worth_of[i] * o->speed[m->t.slot[i]];
}

static int by_int(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* One partition is written one way only. */
static void sort_options(struct partition *p)
{
    qsort(p->options, (size_t)p->n, sizeof p->options[0], by_int);
}

double machine_best(struct machine *m, const double *weights, struct partition *out)
{
    int state = m->kind->n_states - 1;
    double best;

    for (int i = 0; i < m->t.n; i++)
        m->weights[i] = weights[i] * m->t.worth_of[i];
    weigh_parts(m);
    m->best[0] = 0, m->size[0] = 0, m->choice[0] = -1;
    for (int i = 1; i <= state; i++)
        best_of_state(m, i);
    best = m->best[state];
    memset(out, 0, sizeof *out);
    while (state > 0) {
        const struct part_use *u = m->choice[state] < 0 ? NULL : &m->parts[m->choice[state]];

        if (u) add_worth(m, out, u->best_option);
        state = u ? state - u->part->state : m->without_lowest[state];
    }
    sort_options(out);
    return best;
}

/* --- near ones -------------------------------------------------------------------------------- */

struct front { /* partitions of the devices of a state, none outdone by another */
    struct partition *at;
    int n, cap;
};

struct near {
    struct machine *m;
    double slack;
    int64_t left;         /* work that may still be done */
    double above[STATES]; /* the least that choices lose before this state is what is left */
    struct front fronts[STATES];
    bool is_full; /* of memory */
};

static bool is_outdone(const struct near *nr, const struct partition *a, const struct partition *b)
{
    bool is_same = true;

    for (int i = 0; i < nr->m->t.n; i++) {
        if (a->worth[i] < b->worth[i]) return false;
        if (a->worth[i] > b->worth[i]) is_same = false;
    }
    return !is_same || a->n <= b->n;
}

static void keep(struct near *nr, struct front *f, const struct partition *p)
{
    int kept = 0;

    nr->left -= f->n + 1;
    for (int i = 0; i < f->n; i++)
        if (is_outdone(nr, &f->at[i], p)) return;
    for (int i = 0; i < f->n; i++)
        if (!is_outdone(nr, p, &f->at[i])) f->at[kept++] = f->at[i];
    f->n = kept;
    if (f->n == f->cap) {
        int cap = f->cap ? 2 * f->cap : 8;
        struct partition *more = realloc(f->at, (size_t)cap * sizeof *more);

        if (!more) {
            nr->is_full = true;
            return;
        }
        f->at = more;
        f->cap = cap;
    }
    f->at[f->n++] = *p;
}

static void reach(struct near *nr, int state, double lost)
{
    if (lost < nr->above[state]) nr->above[state] = lost;
}

/* What may be left over, and what is lost by then at least. */
static void reach_states(struct near *nr)
{
    struct machine *m = nr->m;
    int all = m->kind->n_states - 1;

    for (int state = 0; state <= all; state++)
        nr->above[state] = state == all ? 0 : INFINITY;
    for (int state = all; state > 0; state--) {
        int t = m->lowest[state], rest = m->without_lowest[state];
        double best = nr->above[state] + m->best[state];

        if (nr->above[state] > nr->slack) continue;
        reach(nr, rest, best - m->best[rest]);
        for (int p = m->from[t]; p < m->from[t + 1]; p++)
            if (is_within(m->lean[p].devices, m->devices[state]))
                reach(nr, state - m->lean[p].state,
                      best - m->lean[p].best - m->best[state - m->lean[p].state]);
        nr->left -= m->from[t + 1] - m->from[t];
    }
}

/* All partitions of a rest, with an option (or -1: nothing) in front. */
static void extend(struct near *nr, int state, int rest, int option, double w)
{
    struct machine *m = nr->m;
    double lost = m->best[state] - w - m->best[rest];

    if (nr->above[state] + lost > nr->slack) return;
    for (int i = 0; i < nr->fronts[rest].n && nr->left > 0 && !nr->is_full; i++) {
        struct partition p = nr->fronts[rest].at[i];

        m->looked_at++;
        p.lost += lost;
        if (nr->above[state] + p.lost > nr->slack) continue;
        if (option >= 0) add_worth(m, &p, option);
        keep(nr, &nr->fronts[state], &p);
    }
}

static void front_of(struct near *nr, int state)
{
    struct machine *m = nr->m;
    int t = m->lowest[state];

    for (int p = m->from[t]; p < m->from[t + 1] && nr->left > 0 && !nr->is_full; p++) {
        const struct part_use *u = &m->parts[p];

        if (!is_within(m->lean[p].devices, m->devices[state])) continue;
        for (int i = 0; i < u->n; i++)
            extend(nr, state, state - u->part->state, u->options[i],
                   worth_at(m, &m->s->options[u->options[i]]));
        nr->left -= u->n;
    }
    extend(nr, state, m->without_lowest[state], -1, 0);
}

static int by_lost(const void *a, const void *b)
{
    const struct partition *x = a, *y = b;

    if (x->lost != y->lost) return x->lost < y->lost ? -1 : 1;
    if (x->n != y->n) return x->n - y->n;
    return memcmp(x->options, y->options, (size_t)x->n * sizeof x->options[0]);
}

int machine_near(struct machine *m, double slack, int64_t *left, struct partition **out, int *n,
                 bool *is_whole, struct errmsg *e)
{
    struct near *nr = calloc(1, sizeof *nr);
    static const struct partition NONE = {0};
    int all = m->kind->n_states - 1, rc = ERR_OK;
    struct front *f;

    *out = NULL;
    *n = 0;
    if (!nr) return err_set(e, ERR_NOMEM, "no memory for the partitions of a machine");
    nr->m = m, nr->slack = slack, nr->left = *left;
    reach_states(nr);
    keep(nr, &nr->fronts[0], &NONE);
    for (int state = 1; state <= all && nr->left > 0 && !nr->is_full; state++)
        if (nr->above[state] <= slack) front_of(nr, state);
    f = &nr->fronts[all];
    for (int i = 0; i < f->n; i++)
        sort_options(&f->at[i]);
    if (f->n) qsort(f->at, (size_t)f->n, sizeof *f->at, by_lost);
    if (nr->is_full) {
        rc = err_set(e, ERR_NOMEM, "no memory for %d partitions of a machine", f->n);
    } else {
        *out = f->at;
        *n = f->n;
        f->at = NULL;
    }
    *left = nr->left;
    if (nr->left <= 0) *is_whole = false;
    for (int state = 0; state <= all; state++)
        free(nr->fronts[state].at);
    free(nr);
    return rc;
}
