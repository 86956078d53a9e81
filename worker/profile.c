/* profile.c - an instance's model, measured. */
#include "worker/profile.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mix.h"
#include "worker/meter.h"

#define PASSES_MIN   3
#define PASSES_MAX   8
#define STEPS        2    /* of decode at each visit of a point */
#define STILL        0.02 /* a median that moves less holds still */
#define LEAST_POINTS 8    /* to hold some out as well */
#define CONSTANTS    6
#define OTHERS_SHARE 0.1 /* of the processors, from which others count */

_Static_assert(STEPS + 2 <= GRID_ANSWER, "an answer lasts for a visit's steps");

struct point {
    struct grid_point at;
    struct perf_sample step; /* what the first one held */
    double ms[PASSES_MAX * STEPS];
    double before_ms; /* the median a pass ago */
    int n;
};

struct meas {
    struct engine *en;
    const struct profile_opts *o;
    struct point points[GRID_MAX];
    int n, steps;
    unsigned placed;
    int32_t *ids; /* [max_len] */
    int64_t start_ns;
    double token_ms; /* of the largest chunk of prefill so far */
};

/* --- one point -------------------------------------------------------------------------------- */

static void make_ids(const struct meas *m, int n)
{
    const uint64_t V = (uint64_t)m->o->engine->model->config.vocab_size;

    for (int i = 0; i < n; i++)
        m->ids[i] = (int32_t)(mix64((uint64_t)i + 1) % V);
}

/* Every second one draws its tokens, the others are greedy. */
static int place(struct meas *m, int n, int n_kv, int answer, struct errmsg *e)
{
    const struct sampling p = {.top_p = 1,
                               .ignore_eos = true,
                               .max_tokens = answer,
                               .temperature = m->placed++ % 2 ? 1 : 0};

    return engine_place(m->en, m->ids, n, n_kv, &p, m, e);
}

/* PR1 */
static void clear(struct meas *m)
{
    struct outcome o;

    engine_abort(m->en, m);
    while (engine_take(m->en, &o)) {
        free(o.ids);
        free(o.logprobs);
        buf_fini(&o.text);
    }
}

/* PR2: a step that held something else is no sample of this point. */
static void note(struct meas *m, struct point *p)
{
    struct engine_stats s;

    engine_stats(m->en, &s);
    m->steps++;
    if (s.last.n != p->at.n || s.last.p != p->at.p || !(s.last.ms > 0)) return;
    if (!p->n) p->step = s.last;
    if (p->n < PASSES_MAX * STEPS) p->ms[p->n++] = s.last.ms;
    if (s.last.p > 0) m->token_ms = s.last.ms / s.last.p;
}

static int visit(struct meas *m, struct point *p, struct errmsg *e)
{
    const struct grid_point *g = &p->at;
    int rc = ERR_OK;

    m->placed = 0;
    for (int i = 0; i < g->n && !rc; i++)
        rc = place(m, g->context + 1, g->context, GRID_ANSWER, e);
    if (g->n && !rc) rc = engine_step(m->en, e); /* from here on they decode */
    for (int i = 0; i < (g->p ? 1 : STEPS) && !rc; i++) {
        if (g->p) rc = place(m, g->behind + g->p, g->behind, 1, e);
        if (!rc) rc = engine_step(m->en, e);
        if (!rc) note(m, p);
    }
    clear(m);
    return rc;
}

/* --- passes ----------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const struct point *p)
{
    double sorted[PASSES_MAX * STEPS];

    if (!p->n) return 0;
    memcpy(sorted, p->ms, (size_t)p->n * sizeof *sorted);
    qsort(sorted, (size_t)p->n, sizeof *sorted, by_size);
    return p->n % 2 ? sorted[p->n / 2] : (sorted[p->n / 2 - 1] + sorted[p->n / 2]) / 2;
}

static double seconds_since(int64_t ns)
{
    return (double)(clock_mono_ns() - ns) / 1e9;
}

/* What a visit will take, by the last one, or by the largest chunk so far. */
static double expected_s(const struct meas *m, const struct point *p)
{
    const double known = median(p) * (p->at.p ? 1 + (p->at.n > 0) : 1 + STEPS);

    return (p->n ? known : m->token_ms * p->at.p) / 1e3;
}

static bool must_stop(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};

    return fd >= 0 && poll(&p, 1, 0) > 0;
}

static int pass(struct meas *m, struct errmsg *e)
{
    int rc = ERR_OK;

    for (int i = 0; i < m->n && !rc; i++) {
        struct point *p = &m->points[i];

        if (must_stop(m->o->stop_fd)) return err_set(e, ERR_INTERRUPTED, "interrupted");
        if (seconds_since(m->start_ns) + expected_s(m, p) > m->o->seconds) continue;
        rc = visit(m, p, e);
    }
    return rc;
}

/* Has no median moved since the pass before? */
static bool holds_still(struct meas *m)
{
    bool still = true;

    for (int i = 0; i < m->n; i++) {
        const double now = median(&m->points[i]);

        if (fabs(now - m->points[i].before_ms) > STILL * now) still = false;
        m->points[i].before_ms = now;
    }
    return still;
}

static int measure(struct meas *m, struct errmsg *e)
{
    int rc = ERR_OK;

    for (int i = 0; i < PASSES_MAX && !rc; i++) {
        rc = pass(m, e);
        if (holds_still(m) && i + 1 >= PASSES_MIN) break;
        if (seconds_since(m->start_ns) > m->o->seconds) break;
    }
    return rc;
}

/* --- the fit ---------------------------------------------------------------------------------- */

/* Points in out, those held out last. */
static void gather(struct profile *out, const struct meas *m)
{
    for (int held = 0; held < 2; held++)
        for (int i = 0; i < m->n; i++) {
            const struct point *p = &m->points[i];

            if (!p->n || p->at.held_out != held) continue;
            out->points[out->samples] = p->step;
            out->points[out->samples++].ms = median(p);
            out->held_out += held;
        }
}

static int fit(struct profile *out, struct errmsg *e)
{
    const int n = out->samples, seen = n - out->held_out;
    int rc;

    out->held_out_mape = -1;
    if (n < CONSTANTS)
        return err_set(e, ERR_TIMEOUT, "%d kinds of steps were measured, and %d are needed", n,
                       CONSTANTS);
    if (seen >= LEAST_POINTS && out->held_out) {
        if ((rc = perf_fit(&out->perf, PERF_ALL, out->points, seen, e))) return rc;
        out->held_out_mape = perf_mape(&out->perf, out->points + seen, out->held_out);
    }
    rc = perf_fit(&out->perf, PERF_ALL, out->points, n, e);
    out->mape = perf_mape(&out->perf, out->points, n);
    return rc;
}

bool profile_is_doubtful(const struct profile *p)
{
    return p->shared && p->held_out_mape > PROFILE_DOUBTFUL;
}

double profile_knee(const struct perf *k)
{
    return k->k1 > 0 ? k->kw / k->k1 : 0;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* As much KV as there are weights is enough to see what reading it costs. */
static struct grid_limits limits_of(const struct engine *en, const struct engine_opts *o)
{
    const size_t least_bytes = (size_t)16 << 20;
    const int kv_tokens = engine_kv_tokens(en);
    struct engine_stats s;
    double deep;

    engine_stats(en, &s);
    deep = (double)(s.weight_bytes > least_bytes ? s.weight_bytes : least_bytes) * kv_tokens /
           (double)s.kv_bytes;
    return (struct grid_limits){.max_seqs = o->max_num_seqs,
                                .max_tokens = o->max_batched_tokens,
                                .max_len = engine_max_len(en),
                                .kv_tokens = kv_tokens,
                                .deep_tokens = deep < kv_tokens ? (int)deep : kv_tokens};
}

/* Other processes on the device, or on the processors since load began. */
static bool is_shared(const struct engine_opts *o, const struct meter_load *load)
{
    struct device_reading r;

    if (o->device->async)
        return o->device->read && !o->device->read(o->n_devices ? o->devices[0] : 0, &r) &&
               r.others > 0;
    return meter_load_others(load) > OTHERS_SHARE;
}

int profile_measure(struct profile *out, struct engine *en, const struct profile_opts *o,
                    struct errmsg *e)
{
    const struct grid_limits l = limits_of(en, o->engine);
    struct grid_point grid[GRID_MAX];
    struct meas *m = calloc(1, sizeof *m);
    struct meter_load load;
    int rc = ERR_NOMEM;

    *out = (struct profile){0};
    if (m) m->ids = malloc((size_t)l.max_len * sizeof *m->ids);
    if (!m || !m->ids) {
        err_set(e, rc, "no memory to measure with");
        goto out;
    }
    m->en = en;
    m->o = o;
    m->start_ns = clock_mono_ns();
    m->n = grid_fill(grid, &l);
    for (int i = 0; i < m->n; i++)
        m->points[i].at = grid[i];
    make_ids(m, l.max_len);
    meter_load_begin(&load, "");
    rc = measure(m, e);
    out->seconds = seconds_since(m->start_ns);
    out->steps = m->steps;
    out->shared = is_shared(o->engine, &load);
    gather(out, m);
    if (!rc) rc = fit(out, e);
    if (!rc) estimate_memory(&out->memory, en, o->engine);
out:
    if (m) free(m->ids);
    free(m);
    return rc;
}
