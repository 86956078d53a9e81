/* plan_space.c - the instances that machines can run. */
#include "broker/plan_space.h"

#include <stdlib.h>
#include <string.h>

#include "broker/plan_option.h"

/* --- lengths ---------------------------------------------------------------------------------- */

static int by_tokens(const void *a, const void *b)
{
    int x = plan_cell_tokens(a), y = plan_cell_tokens(b);

    return (x > y) - (x < y);
}

static int check_workload(const struct plan_workload *w, struct errmsg *e)
{
    if (w->n_cells < 1 || w->n_cells > PLAN_CELLS)
        return err_set(e, ERR_ARG, "the workload has %d cells, not 1 to %d", w->n_cells,
                       PLAN_CELLS);
    if (!(w->shared_prompt >= 0 && w->shared_prompt <= 1))
        return err_set(e, ERR_ARG, "the shared part of prompts is %g, not 0 to 1",
                       w->shared_prompt);
    for (int i = 0; i < w->n_cells; i++) {
        const struct plan_cell *c = &w->cells[i];

        if (c->prompt < 0 || c->output < 0 || c->rows < 0 || c->prompt > 1 << 28 ||
            c->output > 1 << 28)
            return err_set(e, ERR_ARG, "cell %d has prompts of %d tokens, answers of %d, %lld rows",
                           i, c->prompt, c->output, (long long)c->rows);
    }
    return ERR_OK;
}

static int read_lengths(struct space *s, struct errmsg *e)
{
    const struct plan_workload *w = s->workload;
    size_t n = (size_t)w->n_cells;
    struct plan_cell *cells = malloc(n * sizeof *cells);

    s->tokens = malloc(n * sizeof *s->tokens);
    s->upto = calloc(n + 1, sizeof *s->upto);
    if (!cells || !s->tokens || !s->upto) {
        free(cells);
        return err_set(e, ERR_NOMEM, "no memory for %d cells", w->n_cells);
    }
    memcpy(cells, w->cells, n * sizeof *cells);
    qsort(cells, n, sizeof *cells, by_tokens);
    for (size_t i = 0; i < n; i++) {
        int tokens = plan_cell_tokens(&cells[i]);

        if (cells[i].rows == 0) continue;
        if (!s->n_classes || s->tokens[s->n_classes - 1] != tokens) {
            s->tokens[s->n_classes++] = tokens;
            s->upto[s->n_classes] = s->upto[s->n_classes - 1];
        }
        plan_mix_add(&s->upto[s->n_classes], &cells[i]);
    }
    free(cells);
    return s->n_classes ? ERR_OK : err_set(e, ERR_EMPTY, "the workload has no rows");
}

/* How many classes have rows of at most so many tokens. */
static int classes_upto(const struct space *s, int64_t tokens)
{
    int lo = 0, hi = s->n_classes;

    while (lo < hi) {
        int mid = (lo + hi) / 2;

        if (s->tokens[mid] <= tokens)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

double space_rows(const struct space *s, int from, int to)
{
    return from < to ? s->upto[to].rows - s->upto[from].rows : 0;
}

double space_speed(const struct space *s, const struct space_option *o, int from, double *batch)
{
    const struct plan_batcher b = {&o->perf, o->kv_tokens, s->model->max_num_seqs,
                                   s->model->max_batched_tokens, s->workload->shared_prompt};
    struct plan_mix m;

    if (batch) *batch = 0;
    if (from >= o->limit) return 0;
    m = plan_mix_less(&s->upto[o->limit], &s->upto[from]);
    return plan_mix_speed(&m, &b, batch);
}

int space_activate(struct space *s, int threshold, unsigned keep)
{
    int at = 0;

    for (int i = 0; i < s->n_active; i++)
        if (s->active[i] == threshold) return i;
    if (s->n_active < SPACE_ACTIVE)
        at = s->n_active++;
    else
        while (at < SPACE_ACTIVE && keep >> at & 1)
            at++;
    if (at == SPACE_ACTIVE) return -1;
    for (int i = 0; i < s->n_options; i++)
        s->options[i].speed[at] = space_speed(s, &s->options[i], threshold, NULL);
    s->active[at] = threshold;
    return at;
}

/* --- machines of a kind ----------------------------------------------------------------------- */

bool space_same_device(const struct plan_device *a, const struct plan_device *b)
{
    const struct device_speed *x = &a->speed, *y = &b->speed;

    if (a->card != b->card || a->bytes != b->bytes || strcmp(a->name, b->name)) return false;
    return a->card || (x->flops == y->flops && x->bytes_per_s == y->bytes_per_s &&
                       x->flops_share == y->flops_share && x->bytes_share == y->bytes_share &&
                       x->launch_s == y->launch_s && x->link_bytes_per_s == y->link_bytes_per_s &&
                       x->link_s == y->link_s && x->is_link_shared == y->is_link_shared);
}

static int type_of(const struct space_kind *k, const struct plan_machine *m,
                   const struct plan_device *d)
{
    for (int t = 0; t < k->n_types; t++)
        if (space_same_device(&m->devices[k->type[t]], d)) return t;
    return -1;
}

static void kind_of(struct space_kind *k, const struct plan_machine *m)
{
    memset(k, 0, sizeof *k);
    for (int i = 0; i < m->n_devices; i++) {
        int t = type_of(k, m, &m->devices[i]);

        if (t < 0) k->type[t = k->n_types++] = i;
        k->n_of[t]++;
    }
    k->n_states = 1;
    for (int t = 0; t < k->n_types; t++)
        k->n_states *= k->n_of[t] + 1;
}

/* Has machine m just the devices that machines of this kind have, in whatever order? */
static bool is_of_kind(const struct space *s, const struct space_kind *k,
                       const struct plan_machine *m)
{
    const struct plan_machine *first = &s->cluster->machines[k->machines[0]];
    int n[PLAN_DEVICES] = {0};

    if (m->n_devices != first->n_devices || m->link_bytes_per_s != first->link_bytes_per_s ||
        m->utilisation != first->utilisation || m->usd_per_hour != first->usd_per_hour)
        return false;
    for (int i = 0; i < m->n_devices; i++) {
        int t = type_of(k, first, &m->devices[i]);

        if (t < 0 || ++n[t] > k->n_of[t]) return false;
    }
    return true;
}

static int group_machines(struct space *s, struct errmsg *e)
{
    const struct plan_cluster *c = s->cluster;

    if (c->n_machines < 1 || c->n_machines > PLAN_MACHINES)
        return err_set(e, ERR_ARG, "a cluster has 1 to %d machines, not %d", PLAN_MACHINES,
                       c->n_machines);
    for (int i = 0; i < c->n_machines; i++) {
        const struct plan_machine *m = &c->machines[i];
        int k = 0;

        if (m->n_devices < 1 || m->n_devices > PLAN_DEVICES)
            return err_set(e, ERR_ARG, "%s: a machine has 1 to %d devices, not %d", m->name,
                           PLAN_DEVICES, m->n_devices);
        while (k < s->n_kinds && !is_of_kind(s, &s->kinds[k], m))
            k++;
        if (k == s->n_kinds) kind_of(&s->kinds[s->n_kinds++], m);
        s->kinds[k].machines[s->kinds[k].n_machines++] = i;
    }
    return ERR_OK;
}

/* --- parts and their options ------------------------------------------------------------------ */

static bool grow(void **at, int *cap, int n, size_t each)
{
    int want = *cap ? *cap : 256;
    void *more;

    while (want < n)
        want *= 2;
    if (want == *cap) return true;
    if (!(more = realloc(*at, (size_t)want * each))) return false;
    *at = more;
    *cap = want;
    return true;
}

/* What does not fit is remembered when it is the nearest to do so. */
static void note_need(struct space *s, int machine, const struct space_option *o,
                      const struct option_room *room)
{
    double share = room->there / room->needed;

    if (share <= s->nearest) return;
    s->nearest = share;
    s->needed = room->needed;
    s->there = room->there;
    s->nearest_machine = machine;
    s->nearest_tp = o->tp;
    s->nearest_dtype = o->dtype;
}

static int add_option(struct space *s, struct option_maker *mk, int dtype, int kv, struct errmsg *e)
{
    struct space_option o = {0};
    struct option_room room;

    if (!option_make(&o, &room, mk, dtype, kv)) return ERR_OK;
    if (s->model->shape.max_len > 0 && s->model->shape.max_len < o.kv_tokens)
        o.limit = classes_upto(s, s->model->shape.max_len);
    else
        o.limit = classes_upto(s, o.kv_tokens);
    if (!o.limit) {
        note_need(s, mk->machine_index, &o, &room);
        return ERR_OK;
    }
    if (!grow((void **)&s->options, &s->cap_options, s->n_options + 1, sizeof o))
        return err_set(e, ERR_NOMEM, "no memory for %d instances to choose from", s->n_options);
    s->options[s->n_options++] = o;
    return ERR_OK;
}

/* The part number `state` of a kind; its devices by type. */
static struct space_part part_at(const struct space_kind *k, int state, int n_of[PLAN_DEVICES])
{
    struct space_part p = {.state = state, .lowest = -1};

    memset(n_of, 0, PLAN_DEVICES * sizeof n_of[0]);
    for (int t = 0; t < k->n_types; t++) {
        n_of[t] = state % (k->n_of[t] + 1);
        state /= k->n_of[t] + 1;
        p.devices |= (uint64_t)n_of[t] << 8 * t;
        if (n_of[t] && p.lowest < 0) p.lowest = t;
    }
    return p;
}

static int add_kind(struct space *s, struct space_kind *k, struct option_maker *mk,
                    struct errmsg *e)
{
    int rc = ERR_OK, n_of[PLAN_DEVICES];

    k->first = s->n_parts;
    option_maker_begin(mk, s, k);
    for (int state = 1; !rc && state < k->n_states; state++) {
        struct space_part p = part_at(k, state, n_of);

        p.first = s->n_options;
        option_maker_part(mk, n_of);
        for (int d = 0; !rc && d < s->model->n_dtypes; d++)
            for (int v = 0; !rc && v < s->model->n_kv_dtypes; v++)
                rc = add_option(s, mk, d, v, e);
        p.n_options = s->n_options - p.first;
        if (rc || !p.n_options) continue;
        if (!grow((void **)&s->parts, &s->cap_parts, s->n_parts + 1, sizeof p))
            return err_set(e, ERR_NOMEM, "no memory for %d parts of machines", s->n_parts);
        s->parts[s->n_parts++] = p;
    }
    k->n_parts = s->n_parts - k->first;
    return rc;
}

const struct space_part *space_part_of(const struct space *s, int kind, int option)
{
    const struct space_part *p = s->parts + s->kinds[kind].first;

    while (option >= p->first + p->n_options)
        p++;
    return p;
}

static int nothing_fits(const struct space *s, struct errmsg *e)
{
    if (s->needed <= 0 && s->tokens[0] > s->model->shape.max_len)
        return err_set(e, ERR_EMPTY, "the shortest row has %d tokens, and %s holds %d",
                       s->tokens[0], s->model->name, s->model->shape.max_len);
    if (s->needed <= 0)
        return err_set(e, ERR_EMPTY, "no device here computes %s in a dtype and KV dtype asked for",
                       s->model->name);
    return err_set(e, ERR_EMPTY,
                   "%s does not fit: in %s on %d device%s it needs at least %.2f GB for weights, "
                   "work and one row of %d tokens, and %s has %.2f GB there",
                   s->model->name, dtype_name(s->nearest_dtype), s->nearest_tp,
                   s->nearest_tp > 1 ? "s" : "", s->needed / 1e9, s->tokens[0],
                   s->cluster->machines[s->nearest_machine].name, s->there / 1e9);
}

static int find_thresholds(struct space *s, struct errmsg *e)
{
    bool *ends = calloc((size_t)s->n_classes + 1, sizeof *ends);

    s->thresholds = malloc(((size_t)s->n_classes + 1) * sizeof *s->thresholds);
    if (!ends || !s->thresholds) {
        free(ends);
        return err_set(e, ERR_NOMEM, "no memory for %d lengths", s->n_classes);
    }
    ends[0] = true;
    for (int i = 0; i < s->n_options; i++)
        ends[s->options[i].limit] = true;
    for (int i = 0; i < s->n_classes; i++)
        if (ends[i]) s->thresholds[s->n_thresholds++] = i;
    free(ends);
    return ERR_OK;
}

int space_open(struct space **out, const struct plan_cluster *c, const struct plan_workload *w,
               const struct plan_model *m, const struct plan_profile *profiles, int n_profiles,
               struct errmsg *e)
{
    struct space *s = calloc(1, sizeof *s);
    struct option_maker *mk = NULL;
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!s || !(mk = calloc(1, sizeof *mk))) {
        err_set(e, rc, "no memory for a plan");
        goto out;
    }
    *s = (struct space){
        .cluster = c, .workload = w, .model = m, .profiles = profiles, .n_profiles = n_profiles};
    if ((rc = check_workload(w, e)) || (rc = option_check(m, e)) || (rc = read_lengths(s, e)) ||
        (rc = group_machines(s, e)))
        goto out;
    for (int k = 0; k < s->n_kinds; k++)
        if ((rc = add_kind(s, &s->kinds[k], mk, e))) goto out;
    rc = s->n_options ? find_thresholds(s, e) : nothing_fits(s, e);
    if (rc) goto out;
    *out = s;
    s = NULL;
out:
    free(mk);
    space_close(&s);
    return rc;
}

void space_close(struct space **s)
{
    if (!*s) return;
    free((*s)->tokens);
    free((*s)->upto);
    free((*s)->parts);
    free((*s)->options);
    free((*s)->thresholds);
    free(*s);
    *s = NULL;
}
