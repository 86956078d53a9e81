/* plan_option.c - does an instance fit, and what is its model? */
#include "broker/plan_option.h"

#include <math.h>
#include <string.h>

#define UTILISATION 0.92
#define CARD_BYTES  0.5e9 /* what CUDA and its libraries take of a device */
#define WORK_FLOATS 4     /* bytes of a number while it is computed with */
#define NORMAL_BITS 16    /* of KV, where published measurements were made */

int option_check(const struct plan_model *m, struct errmsg *e)
{
    const struct model_shape *s = &m->shape;

    if (s->layers < 1 || s->hidden < 1 || s->ffn < 1 || s->q_heads < 1 || s->kv_heads < 1 ||
        s->head_dim < 1 || s->vocab < 1)
        return err_set(e, ERR_ARG, "%s: the model's shape has a zero or less in it", m->name);
    if (m->n_dtypes < 1 || m->n_dtypes > OPTION_DTYPES)
        return err_set(e, ERR_ARG, "%s: %d dtypes, not 1 to %d", m->name, m->n_dtypes,
                       OPTION_DTYPES);
    if (m->n_kv_dtypes < 1 || m->n_kv_dtypes > OPTION_KV_DTYPES)
        return err_set(e, ERR_ARG, "%s: %d KV dtypes, not 1 to %d", m->name, m->n_kv_dtypes,
                       OPTION_KV_DTYPES);
    for (int i = 0; i < m->n_kv_dtypes; i++)
        if (!dtype_is_float(m->kv_dtypes[i]) && m->kv_dtypes[i] != DTYPE_FP8)
            return err_set(e, ERR_ARG, "%s: KV is not kept in %s; known: f32, f16, bf16, fp8",
                           m->name, dtype_name(m->kv_dtypes[i]));
    if (m->max_num_seqs < 1)
        return err_set(e, ERR_ARG, "%s: max-num-seqs is %d, must be at least 1", m->name,
                       m->max_num_seqs);
    return ERR_OK;
}

void option_maker_begin(struct option_maker *mk, const struct space *s, const struct space_kind *k)
{
    memset(mk, 0, sizeof *mk);
    mk->s = s;
    mk->kind = k;
    mk->machine_index = k->machines[0];
    mk->machine = &s->cluster->machines[k->machines[0]];
}

void option_maker_part(struct option_maker *mk, const int n_of[PLAN_DEVICES])
{
    mk->tp = 0;
    for (int t = 0; t < PLAN_DEVICES; t++)
        mk->tp += mk->n_of[t] = n_of[t];
}

static const struct plan_device *device_of(const struct option_maker *mk, int type)
{
    return &mk->machine->devices[mk->kind->type[type]];
}

/* --- what fits -------------------------------------------------------------------------------- */

/* As worker/layers.c shares a model out. */
static bool divides(const struct model_shape *s, int tp)
{
    int heads = s->q_heads * s->head_dim;

    if (s->q_heads % tp || s->ffn % tp || s->vocab < tp) return false;
    if (s->kv_heads % tp && tp % s->kv_heads) return false;
    return heads / tp % s->quant_block == 0 && s->ffn / tp % s->quant_block == 0;
}

/* What weights that are stored in d are computed in here: cards without bf16 take them as f16. */
static enum dtype dtype_here(const struct option_maker *mk, enum dtype d)
{
    for (int t = 0; t < mk->kind->n_types; t++) {
        const struct card *c = device_of(mk, t)->card;

        if (mk->n_of[t] && d == DTYPE_BF16 && c && c->flops_bf16 <= 0) return DTYPE_F16;
    }
    return d;
}

/* What ranks exchange goes through one library: that of NVIDIA's cards, of AMD's, or none. */
static int maker_of(const struct card *c)
{
    return !c ? 0 : strncmp(c->name, "MI", 2) ? 1 : 2;
}

/* Ranks are of one maker; fp8 needs a card that multiplies it; processors use weights as they are
 * stored. */
static bool computes(const struct option_maker *mk, enum dtype d, enum dtype kv)
{
    int maker = -1;

    for (int t = 0; t < mk->kind->n_types; t++) {
        const struct card *c = device_of(mk, t)->card;

        if (!mk->n_of[t]) continue;
        if (maker >= 0 && maker != maker_of(c)) return false;
        maker = maker_of(c);
        if (!c && (dtype_is_scaled(d) || kv == DTYPE_FP8)) return false;
        if (c && d == DTYPE_FP8 && c->flops_fp8 <= 0) return false;
    }
    return true;
}

static bool is_earlier(const struct option_maker *mk, const enum dtype *all, int i, enum dtype d)
{
    for (int j = 0; j < i; j++)
        if (dtype_here(mk, all[j]) == d) return true;
    return false;
}

static struct model_shape shape_in(const struct plan_model *m, enum dtype d, enum dtype kv)
{
    struct model_shape s = m->shape;

    s.quant_block = dtype_block(d);
    s.weight_bits = 8.0 * (double)dtype_block_bytes(d) / dtype_block(d);
    s.kv_bits = 8.0 * (double)dtype_bytes(kv);
    return s;
}

/* Of a rank: the arrays of a step over the layers, the scores, and what the driver takes. */
static double work_bytes(const struct plan_model *m, int tp, bool is_card)
{
    const struct model_shape *s = &m->shape;
    double row = 3.0 * s->hidden + 2.0 * s->ffn / tp +
                 (2.0 * s->q_heads + 2.0 * s->kv_heads) * s->head_dim / tp;
    const int tokens = m->max_batched_tokens > 0 ? m->max_batched_tokens : PLAN_STEP_TOKENS;

    if (m->work_bytes > 0) return m->work_bytes;
    return WORK_FLOATS * (tokens * row + (double)m->max_num_seqs * s->vocab) +
           (is_card ? CARD_BYTES : 0);
}

static int64_t kv_tokens(const struct option_maker *mk, const struct model_shape *s,
                         struct option_room *room)
{
    struct perf_rank ranks[PLAN_DEVICES];
    double use = mk->machine->utilisation > 0 ? mk->machine->utilisation : UTILISATION;
    double weights = model_shape_weight_bytes(s) / mk->tp, least = INFINITY, work = 0;
    int n = 0;

    for (int t = 0; t < mk->kind->n_types; t++)
        for (int i = 0; i < mk->n_of[t]; i++) {
            const struct plan_device *d = device_of(mk, t);

            ranks[n] = (struct perf_rank){d->bytes, weights,
                                          work_bytes(mk->s->model, mk->tp, d->card != NULL)};
            least = fmin(least, d->bytes * use);
            work = fmax(work, ranks[n++].work_bytes);
        }
    room->needed = mk->tp * (weights + work) + model_shape_kv_bytes(s) * mk->s->tokens[0];
    room->there = mk->tp * least;
    return perf_kv_tokens(ranks, mk->tp, use, model_shape_kv_bytes(s), s->kv_heads);
}

/* --- its model -------------------------------------------------------------------------------- */

static void add_difference(struct perf *k, const struct perf *with, const struct perf *without)
{
    const double *a = (const double *)with, *b = (const double *)without;
    double *x = (double *)k;

    for (size_t i = 0; i < sizeof *k / sizeof *x; i++)
        x[i] = fmax(0, x[i] + a[i] - b[i]);
}

/* A link that a machine says of itself is each rank's own. */
static void take_link(struct device_speed *d, const struct plan_machine *m)
{
    if (m->link_bytes_per_s <= 0) return;
    d->link_bytes_per_s = m->link_bytes_per_s;
    d->is_link_shared = false;
}

/* The best that is known of a card.  What it was not measured with, another link or another KV
 * dtype, is the difference that these make to the roofline. */
static void card_best(struct option_model *out, const struct option_maker *mk, const struct card *c,
                      const struct model_shape *s, enum dtype d)
{
    enum dtype act = dtype_is_float(d) || dtype_is_scaled(d) ? d : N_DTYPES;
    struct device_speed as_known = card_speed(c, act), here = as_known;
    struct model_shape known = *s;
    struct perf with, without;
    bool is_exact;

    take_link(&here, mk->machine);
    known.kv_bits = NORMAL_BITS;
    out->source = card_model(&out->perf, &out->mape, c, mk->s->model->name, s, act, mk->tp);
    is_exact = out->source != SOURCE_ROOFLINE && s->kv_bits == NORMAL_BITS &&
               (mk->tp == 1 || (here.link_bytes_per_s == as_known.link_bytes_per_s &&
                                here.is_link_shared == as_known.is_link_shared));
    if (is_exact) return;
    roofline(&with, s, &here, mk->tp);
    if (out->source == SOURCE_ROOFLINE) {
        out->perf = with;
        return;
    }
    roofline(&without, &known, &as_known, mk->tp);
    add_difference(&out->perf, &with, &without);
    out->source = SOURCE_MIXED;
}

/* Does a profile of a device of this name speak of d? */
static bool names_device(const char *name, const struct plan_device *d)
{
    if (!strcmp(name, d->name)) return true;
    return d->card && card_find(name) == d->card;
}

static bool find_profile(struct option_model *out, const struct option_maker *mk,
                         const struct plan_device *d, enum dtype dtype, enum dtype kv)
{
    for (int i = 0; i < mk->s->n_profiles; i++) {
        const struct plan_profile *p = &mk->s->profiles[i];

        if (p->tp != mk->tp || p->dtype != dtype || p->kv_dtype != kv ||
            !names_device(p->device, d))
            continue;
        out->perf = p->perf;
        out->source = SOURCE_MEASURED;
        out->mape = p->mape;
        return true;
    }
    return false;
}

static const struct option_model *model_of(struct option_maker *mk, int type, int i, int v,
                                           const struct model_shape *s, enum dtype d, enum dtype kv)
{
    struct option_model *o = &mk->models[type][i][v][mk->tp - 1];
    const struct plan_device *dev = device_of(mk, type);
    struct device_speed speed = dev->speed;
    /* bf16 may be f16 in other company: what is kept is of the dtypes in their own right. */
    bool is_own = d == mk->s->model->dtypes[i] && kv == mk->s->model->kv_dtypes[v];

    if (o->is_known && is_own) return o;
    if (!find_profile(o, mk, dev, d, kv)) {
        if (dev->card)
            card_best(o, mk, dev->card, s, d);
        else {
            take_link(&speed, mk->machine);
            roofline(&o->perf, s, &speed, mk->tp);
            o->source = SOURCE_ROOFLINE;
            o->mape = -1;
        }
    }
    o->is_known = is_own;
    return o;
}

static void slowest(struct space_option *o, const struct option_model *m)
{
    const double *b = (const double *)&m->perf;
    double *a = (double *)&o->perf;

    for (size_t i = 0; i < sizeof o->perf / sizeof *a; i++)
        a[i] = fmax(a[i], b[i]);
    if (m->source > o->source) o->source = m->source;
    if (m->mape < 0 || o->mape < 0)
        o->mape = -1;
    else
        o->mape = fmax(o->mape, m->mape);
}

bool option_make(struct space_option *o, struct option_room *room, struct option_maker *mk,
                 int dtype, int kv)
{
    const struct plan_model *m = mk->s->model;
    enum dtype d = dtype_here(mk, m->dtypes[dtype]), v = dtype_here(mk, m->kv_dtypes[kv]);
    struct model_shape s = shape_in(m, d, v);

    if (!divides(&s, mk->tp) || !computes(mk, d, v) || is_earlier(mk, m->dtypes, dtype, d) ||
        is_earlier(mk, m->kv_dtypes, kv, v))
        return false;
    *o = (struct space_option){
        .tp = mk->tp, .asked = dtype, .kv_asked = kv, .dtype = d, .kv_dtype = v};
    o->kv_tokens = kv_tokens(mk, &s, room);
    for (int t = 0; t < mk->kind->n_types; t++)
        if (mk->n_of[t]) slowest(o, model_of(mk, t, dtype, kv, &s, d, v));
    return true;
}
