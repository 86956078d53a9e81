/* plan_others.c - the best plans of other kinds, and why each of them loses. */
#include "broker/plan_others.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS    32       /* of other plans, at most, that are tried */
#define WORK     30000000 /* for all of them, as in plan_search.c */
#define LEFT_OUT 2        /* kinds of machines that are left out, the least missed ones */
#define MUCH     0.05     /* a difference that explains something */

const struct plan_filter PLAN_ANY = {-1, -1, -1, false, -1};

struct other {
    struct plan_filter f;
    char name[80];
    struct plan plan;
    bool is_there;
};

struct others {
    struct space *s;
    const struct plan *best;
    int n;
    struct other at[KINDS];
};

static void add(struct others *o, struct plan_filter f, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void add(struct others *o, struct plan_filter f, const char *fmt, ...)
{
    va_list ap;

    if (o->n == KINDS) return;
    va_start(ap, fmt);
    vsnprintf(o->at[o->n].name, sizeof o->at[o->n].name, fmt, ap);
    va_end(ap);
    o->at[o->n++].f = f;
}

/* --- the other kinds -------------------------------------------------------------------------- */

static void add_degrees(struct others *o)
{
    for (int tp = 1; tp <= PLAN_DEVICES; tp++) {
        struct plan_filter f = PLAN_ANY;
        bool is_possible = false, is_best = true;

        for (int i = 0; i < o->s->n_options; i++)
            is_possible |= o->s->options[i].tp == tp;
        for (int i = 0; i < o->best->n_instances; i++)
            is_best &= o->best->instances[i].tp == tp;
        f.tp = tp;
        if (is_possible && !is_best) add(o, f, "TP %d everywhere", tp);
    }
}

/* Is an instance's dtype the one that was asked for, or what stands in for it there? */
static bool is_dtype(enum dtype has, enum dtype asked)
{
    return has == asked || (asked == DTYPE_BF16 && has == DTYPE_F16);
}

static void add_dtypes(struct others *o)
{
    const struct plan_model *m = o->s->model;

    for (int d = 0; m->n_dtypes > 1 && d < m->n_dtypes; d++) {
        struct plan_filter f = PLAN_ANY;
        bool is_best = true;

        for (int i = 0; i < o->best->n_instances; i++)
            is_best &= is_dtype(o->best->instances[i].dtype, m->dtypes[d]);
        f.dtype = d;
        if (!is_best) add(o, f, "weights in %s", dtype_name(m->dtypes[d]));
    }
}

static void add_kv_dtypes(struct others *o)
{
    const struct plan_model *m = o->s->model;

    for (int d = 0; m->n_kv_dtypes > 1 && d < m->n_kv_dtypes; d++) {
        struct plan_filter f = PLAN_ANY;
        bool is_best = true;

        for (int i = 0; i < o->best->n_instances; i++)
            is_best &= is_dtype(o->best->instances[i].kv_dtype, m->kv_dtypes[d]);
        f.kv_dtype = d;
        if (!is_best) add(o, f, "KV in %s", dtype_name(m->kv_dtypes[d]));
    }
}

static void add_whole(struct others *o)
{
    struct plan_filter f = PLAN_ANY;
    bool is_best = true;

    f.is_whole = true;
    for (int i = 0; i < o->best->n_instances; i++) {
        const struct plan_instance *in = &o->best->instances[i];

        is_best &= in->tp == o->s->cluster->machines[in->machine].n_devices;
    }
    if (!is_best) add(o, f, "one instance on each machine");
}

/* Rows a second of machines of a kind; negative where the best plan has none. */
static double speed_of_kind(const struct others *o, int kind)
{
    const struct space_kind *k = &o->s->kinds[kind];
    double sum = -1;

    for (int i = 0; i < o->best->n_instances; i++)
        for (int m = 0; m < k->n_machines; m++)
            if (o->best->instances[i].machine == k->machines[m])
                sum = fmax(sum, 0) + o->best->instances[i].rows_per_s;
    return sum;
}

static void add_without(struct others *o)
{
    bool is_done[PLAN_MACHINES] = {false};

    for (int turn = 0; turn < LEFT_OUT && o->s->n_kinds > 1; turn++) {
        struct plan_filter f = PLAN_ANY;
        const struct space_kind *k;
        double least = INFINITY;

        for (int i = 0; i < o->s->n_kinds; i++) {
            double v = is_done[i] ? -1 : speed_of_kind(o, i);

            if (v >= 0 && v < least) least = v, f.without = i;
        }
        if (f.without < 0) return;
        is_done[f.without] = true;
        k = &o->s->kinds[f.without];
        if (k->n_machines > 1)
            add(o, f, "without the %d machines like %s", k->n_machines,
                o->s->cluster->machines[k->machines[0]].name);
        else
            add(o, f, "without %s", o->s->cluster->machines[k->machines[0]].name);
    }
}

/* --- why -------------------------------------------------------------------------------------- */

/* Means over the instances of a plan. */
struct means {
    double batch, k0, kw, k4;
};

static struct means means_of(const struct plan *p)
{
    struct means m = {0};

    for (int i = 0; i < p->n_instances; i++) {
        const struct plan_instance *in = &p->instances[i];

        m.batch += in->batch;
        m.k0 += in->perf.k0 / p->n_instances;
        m.kw += in->perf.kw / p->n_instances;
        m.k4 += in->perf.k4 / p->n_instances;
    }
    return m;
}

struct line {
    char *text;
    size_t size, len;
};

static void say(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct line *l, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(l->text + l->len, l->size - l->len, fmt, ap);
    va_end(ap);
    if (n > 0) l->len = l->len + (size_t)n < l->size ? l->len + (size_t)n : l->size - 1;
}

static void say_time(struct line *l, const struct plan *p, const struct plan *best)
{
    double more = p->seconds / best->seconds - 1;

    if (p->rows_nowhere > best->rows_nowhere)
        say(l, "%lld rows fit nowhere", (long long)(p->rows_nowhere - best->rows_nowhere));
    else if (more < 0.0005)
        say(l, "as fast");
    else if (more < 1)
        say(l, "%.3g %% slower", 100 * more);
    else
        say(l, "%.3g times as long", more + 1);
    if (best->usd > 0 && p->usd > 0 && p->usd < best->usd * (1 - MUCH / 10))
        say(l, ", $%.2f instead of $%.2f", p->usd, best->usd);
}

/* The constant of the model that explains most. */
static void say_cause(struct line *l, const struct means *a, const struct means *b)
{
    if (a->batch < b->batch * (1 - MUCH))
        say(l, "; %.0f sequences at once instead of %.0f", a->batch, b->batch);
    else if (a->kw > b->kw * (1 + MUCH))
        say(l, "; reading the weights takes %.3g ms of a step instead of %.3g", a->kw, b->kw);
    else if (a->k0 > b->k0 * (1 + MUCH))
        say(l, "; ranks wait for each other: %.3g ms of a step instead of %.3g", a->k0, b->k0);
    else if (a->k4 > b->k4 * (1 + MUCH))
        say(l, "; more bytes of KV are read for each token");
}

static void explain(struct plan *p, const struct other *o, const struct plan *best)
{
    struct line l = {p->why, sizeof p->why, 0};
    struct means a = means_of(p), b = means_of(best);

    say(&l, "%s: ", o->name);
    if (p->n_instances != best->n_instances)
        say(&l, "%d instance%s instead of %d, ", p->n_instances, p->n_instances == 1 ? "" : "s",
            best->n_instances);
    say_time(&l, p, best);
    if (o->f.without < 0) say_cause(&l, &a, &b);
}

/* --- in order --------------------------------------------------------------------------------- */

static bool is_same_plan(const struct plan *a, const struct plan *b)
{
    if (a->n_instances != b->n_instances) return false;
    for (int i = 0; i < a->n_instances; i++) {
        const struct plan_instance *x = &a->instances[i], *y = &b->instances[i];

        if (x->machine != y->machine || x->devices != y->devices || x->dtype != y->dtype ||
            x->kv_dtype != y->kv_dtype)
            return false;
    }
    return true;
}

static bool is_known(const struct others *o, int i)
{
    if (is_same_plan(&o->at[i].plan, o->best)) return true;
    for (int k = 0; k < i; k++)
        if (o->at[k].is_there && is_same_plan(&o->at[i].plan, &o->at[k].plan)) return true;
    return false;
}

static int try_all(struct others *o, struct solution *sol, int64_t *looked_at, struct errmsg *e)
{
    int64_t left = WORK;

    for (int i = 0; i < o->n; i++) {
        int64_t work = left / (o->n - i), unused = work;
        int rc = solve(sol, o->s, &o->at[i].f, &unused, e);

        left -= work - unused;

        if (rc == ERR_EMPTY) continue; /* nothing of this kind */
        if (!rc) rc = solution_plan(&o->at[i].plan, o->s, sol, e);
        if (rc) return rc;
        *looked_at += sol->looked_at;
        o->at[i].is_there = !is_known(o, i);
        if (o->at[i].is_there) explain(&o->at[i].plan, &o->at[i], o->best);
    }
    return ERR_OK;
}

static bool is_before(const struct plan *a, const struct plan *b)
{
    if (a->rows_nowhere != b->rows_nowhere) return a->rows_nowhere < b->rows_nowhere;
    return a->seconds < b->seconds;
}

static void take_first(struct plan_answer *a, struct others *o)
{
    while (a->n_others < PLAN_OTHERS) {
        struct other *first = NULL;

        for (int i = 0; i < o->n; i++)
            if (o->at[i].is_there && (!first || is_before(&o->at[i].plan, &first->plan)))
                first = &o->at[i];
        if (!first) return;
        a->others[a->n_others++] = first->plan;
        memset(&first->plan, 0, sizeof first->plan);
        first->is_there = false;
    }
}

int plan_others(struct plan_answer *a, struct space *s, struct errmsg *e)
{
    struct others *o = calloc(1, sizeof *o);
    struct solution *sol = malloc(sizeof *sol);
    int rc = ERR_NOMEM;

    if (!o || !sol) {
        err_set(e, rc, "no memory for other plans");
        goto out;
    }
    o->s = s;
    o->best = &a->best;
    add_degrees(o);
    add_dtypes(o);
    add_kv_dtypes(o);
    add_whole(o);
    add_without(o);
    if ((rc = try_all(o, sol, &a->looked_at, e))) goto out;
    take_first(a, o);
out:
    for (int i = 0; o && i < o->n; i++)
        free(o->at[i].plan.instances);
    free(o);
    free(sol);
    return rc;
}
