/* plan_solve.c - the thresholds that matter, one by one.
 *
 * T is a maximum over all thresholds, so the choice that is best for some of them has a T for those
 * that is at most the T of any choice for all.  Beginning with threshold 0, the one that the best
 * choice so far does worst at is added, until it does no worse at any other than at those: then its
 * T for all is that bound, and no choice has less.
 */
#include "broker/plan_solve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HAIR 1e-12

/* Instances of a choice that are alike. */
struct tally {
    int n, option[PLAN_MACHINES * PLAN_DEVICES], count[PLAN_MACHINES * PLAN_DEVICES];
};

static void tally_add(struct tally *t, int option)
{
    int i = 0;

    while (i < t->n && t->option[i] != option)
        i++;
    if (i == t->n) t->option[i] = option, t->count[t->n++] = 0;
    t->count[i]++;
}

static void tally_of(struct tally *t, const struct space *s, const struct partition *of)
{
    t->n = 0;
    for (int m = 0; m < s->cluster->n_machines; m++)
        for (int i = 0; i < of[m].n; i++)
            tally_add(t, of[m].options[i]);
}

/* 1 / T of a choice for all thresholds, and the one that it does worst at. */
static double worth_of(const struct space *s, const struct partition *of, int longest, int *worst)
{
    struct tally t;
    double least = INFINITY;

    tally_of(&t, s, of);
    for (int k = 0; k < s->n_thresholds && s->thresholds[k] < longest; k++) {
        int from = s->thresholds[k];
        double sum = 0;

        for (int i = 0; i < t.n; i++)
            sum += t.count[i] * space_speed(s, &s->options[t.option[i]], from, NULL);
        sum /= space_rows(s, from, longest);
        if (sum < least) least = sum, *worst = from;
    }
    return least;
}

static int look_at(struct thresholds *t, struct space *s, int threshold, int longest)
{
    unsigned keep = 0;
    int slot;

    for (int i = 0; i < t->n; i++)
        keep |= 1u << t->slot[i];
    if (t->n == SPACE_ACTIVE || (slot = space_activate(s, threshold, keep)) < 0) return -1;
    if (keep >> slot & 1) return -1; /* it is looked at already: what is left is rounding */
    t->slot[t->n] = slot;
    t->worth_of[t->n++] = 1 / space_rows(s, threshold, longest);
    return 0;
}

static void take(struct solution *out, const struct join *j, double value)
{
    if (value > out->value) {
        out->value = value;
        memcpy(out->of, j->of, sizeof out->of);
    }
    out->bound = fmin(out->bound, j->bound);
    out->looked_at += j->looked_at;
}

/* Machines that cost and that T does not need, the dearest first. */
static void leave_out(struct solution *sol, const struct space *s)
{
    const struct plan_machine *m = s->cluster->machines;
    bool is_tried[PLAN_MACHINES] = {false};

    for (int turn = 0; turn < s->cluster->n_machines; turn++) {
        struct partition was;
        int dear = -1, worst;

        for (int i = 0; i < s->cluster->n_machines; i++)
            if (!is_tried[i] && m[i].usd_per_hour > 0 && sol->of[i].n &&
                (dear < 0 || m[i].usd_per_hour > m[dear].usd_per_hour))
                dear = i;
        if (dear < 0) return;
        is_tried[dear] = true;
        was = sol->of[dear];
        sol->of[dear].n = 0;
        if (worth_of(s, sol->of, sol->longest, &worst) < sol->value * (1 - HAIR))
            sol->of[dear] = was;
    }
}

/* Joins the machines for these thresholds; *is_new: the choice does worse at another one. */
static int join(struct solution *out, struct join *j, struct space *s,
                struct machine *const *machines, struct thresholds *t, bool is_whole, int64_t *work,
                bool *is_new, struct errmsg *e)
{
    int worst, rc = join_machines(j, s, machines, t, is_whole, work, e);

    *is_new = false;
    if (rc) return rc;
    take(out, j, worth_of(s, j->of, out->longest, &worst));
    *is_new =
        *work > 0 && out->value < out->bound * (1 - HAIR) && !look_at(t, s, worst, out->longest);
    return ERR_OK;
}

/* Thresholds are added by the bound's first choice as long as that finds any; only then all that is
 * left open is searched. */
static int climb_thresholds(struct solution *out, struct space *s, struct machine *const *machines,
                            int64_t *work, struct errmsg *e)
{
    struct thresholds t = {0};
    struct join *j = malloc(sizeof *j);
    bool is_new = true;
    int rc = j ? look_at(&t, s, 0, out->longest) : ERR_NOMEM;

    while (!rc && is_new) {
        while (!rc && is_new)
            rc = join(out, j, s, machines, &t, false, work, &is_new, e);
        if (!rc && out->value < out->bound * (1 - HAIR) && *work > 0)
            rc = join(out, j, s, machines, &t, true, work, &is_new, e);
    }
    free(j);
    return rc;
}

int solve(struct solution *out, struct space *s, const struct plan_filter *f, int64_t *work,
          struct errmsg *e)
{
    struct machine *machines[PLAN_MACHINES] = {NULL};
    int rc = ERR_OK;

    memset(out, 0, sizeof *out);
    out->bound = INFINITY;
    for (int k = 0; !rc && k < s->n_kinds; k++) {
        rc = machine_open(&machines[k], s, k, f, e);
        if (!rc && machine_longest(machines[k]) > out->longest)
            out->longest = machine_longest(machines[k]);
    }
    if (!rc && !out->longest) rc = ERR_EMPTY;
    if (!rc) rc = climb_thresholds(out, s, machines, work, e);
    if (!rc) leave_out(out, s);
    for (int k = 0; k < s->n_kinds; k++) {
        if (machines[k]) out->looked_at += machine_looked_at(machines[k]);
        machine_close(&machines[k]);
    }
    return rc;
}

/* --- as a plan -------------------------------------------------------------------------------- */

/* Devices of machine m for a part: of each type the first that are free. */
static unsigned take_devices(const struct space *s, const struct space_kind *k, int machine,
                             const struct space_part *part, unsigned *taken)
{
    const struct plan_machine *m = &s->cluster->machines[machine];
    const struct plan_machine *first = &s->cluster->machines[k->machines[0]];
    unsigned devices = 0;

    for (int t = 0; t < k->n_types; t++) {
        int want = (int)(part->devices >> 8 * t & 0xFF);

        for (int i = 0; want && i < m->n_devices; i++) {
            if (*taken >> i & 1 || !space_same_device(&m->devices[i], &first->devices[k->type[t]]))
                continue;
            devices |= 1u << i;
            *taken |= 1u << i;
            want--;
        }
    }
    return devices;
}

static void put_instance(struct plan_instance *out, const struct space *s, int kind, int machine,
                         int option, unsigned *taken)
{
    const struct space_option *o = &s->options[option];

    *out = (struct plan_instance){.machine = machine,
                                  .tp = o->tp,
                                  .dtype = o->dtype,
                                  .kv_dtype = o->kv_dtype,
                                  .kv_tokens = o->kv_tokens,
                                  .perf = o->perf,
                                  .source = o->source,
                                  .mape = o->mape};
    out->devices = take_devices(s, &s->kinds[kind], machine, space_part_of(s, kind, option), taken);
    out->rows_per_s = space_speed(s, o, 0, &out->batch);
}

static int kind_of(const struct space *s, int machine)
{
    for (int k = 0; k < s->n_kinds; k++)
        for (int i = 0; i < s->kinds[k].n_machines; i++)
            if (s->kinds[k].machines[i] == machine) return k;
    return -1;
}

int solution_plan(struct plan *out, const struct space *s, const struct solution *sol,
                  struct errmsg *e)
{
    double usd_per_hour = 0;
    int n = 0;

    memset(out, 0, sizeof *out);
    for (int m = 0; m < s->cluster->n_machines; m++)
        n += sol->of[m].n;
    if (!(out->instances = calloc((size_t)n + 1, sizeof *out->instances)))
        return err_set(e, ERR_NOMEM, "no memory for a plan of %d instances", n);
    for (int m = 0; m < s->cluster->n_machines; m++) {
        unsigned taken = 0;

        for (int i = 0; i < sol->of[m].n; i++)
            put_instance(&out->instances[out->n_instances++], s, kind_of(s, m), m,
                         sol->of[m].options[i], &taken);
        if (taken) usd_per_hour += s->cluster->machines[m].usd_per_hour;
    }
    out->seconds = 1 / sol->value;
    out->usd = out->seconds / 3600 * usd_per_hour;
    out->rows_nowhere = (int64_t)space_rows(s, sol->longest, s->n_classes);
    return ERR_OK;
}
