/* schedule_tail.c - the end: everybody should be done at the same time.
 *
 * The tail begins when what is left would take the instances no longer than H and the time that a
 * long job takes the slowest of them: from there on a job given to the wrong one is felt, and so is
 * a long one that begins behind short ones.  Let T be the time at which all could be done: the
 * smallest with
 *
 *   sum over instances with latency_i <= T of  free_i + rate_i * (T - latency_i)  >=  jobs left
 *
 * where free_i jobs begin at once and rate_i more each second, and each takes latency_i.  Until T
 * moves, an instance is given a job only if it ends it by then.  What it would begin too late is
 * taken back for one that would begin it sooner; what has begun where it ends late runs a second
 * time where it ends sooner.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "broker/predict.h"
#include "broker/schedule_part.h"

#define HORIZON_S 8.0
#define LONG_JOB  3.0  /* usual ones: 99 of 100 published answers are no longer than 2.85 */
#define LOOK_S    0.1  /* T is found anew after so long */
#define REST_S    0.25 /* before an instance is looked at again that was in vain */
#define SLACK     1.05 /* T is an estimate */
#define WAY_S     0.02 /* until a job is there and begins */
#define GAIN      0.8  /* a copy is to take at most so much of what is left of the first */
#define OVERDUE   0.1  /* a job still takes at least so much of what it took so far */
#define MOST_VAIN 16   /* instances that wait, one after another */
#define MOST_BACK 64   /* jobs at a time */
#define VICTIMS   8    /* instances looked at for one that wants more */

static double start_of(const struct schedule *s)
{
    return s->now_s - s->start_s;
}

/* --- when all could be done ------------------------------------------------------------------- */

struct runner {
    double latency_s, rate, free;
};

static int by_latency(const void *a, const void *b)
{
    double x = ((const struct runner *)a)->latency_s, y = ((const struct runner *)b)->latency_s;

    return (x > y) - (x < y);
}

/* Seconds from now, of n runners in order. */
static double time_for(const struct runner *r, size_t n, double jobs)
{
    double rate = 0, begun = 0, late = 0; /* jobs by T: begun + rate * T - late */

    for (size_t k = 0; k < n; k++) {
        double t = r[k].latency_s;

        if (k && begun + rate * t - late >= jobs) break;
        rate += r[k].rate;
        begun += r[k].free;
        late += r[k].rate * t;
        if (begun + rate * t - late >= jobs) return t;
    }
    return rate > 0 ? (jobs - begun + late) / rate : INFINITY;
}

static struct member *next_member(const struct schedule *s, size_t *at)
{
    return idmap_next(&s->instances, at);
}

/* With jobs like those of the pool, which are not those that it has had: the long ones went first.
 */
static struct runner runner_of(const struct member *i, const struct features *sum, double n)
{
    double free_places = i->n_run - (double)(i->n_rows - schedule_unbegun(i));

    return (struct runner){n > 0 ? schedule_stay_s(i, sum, n) : schedule_residence_s(i),
                           n > 0 ? schedule_rate_of(i, sum, n) : i->rate, fmax(0, free_places)};
}

static void find_end(struct schedule *s)
{
    struct runner *r = malloc((size_t)s->n_instances * sizeof *r + 1);
    double jobs = (double)(s->n_pooled + s->backlog_rows);
    struct features sum;
    double n_pooled = (double)schedule_pool_sum(s, &sum);
    struct member *i;
    size_t n = 0, at = 0;

    s->tail_at_s = s->now_s;
    s->tail_end_s = INFINITY; /* without memory: everybody is in time */
    s->quickest = NULL;
    while (r && (i = next_member(s, &at))) {
        if (!i->n_rows && i->declines) continue;
        jobs += (double)schedule_unbegun(i);
        r[n++] = runner_of(i, &sum, n_pooled);
        if (!s->quickest || schedule_residence_s(i) < schedule_residence_s(s->quickest))
            s->quickest = i;
    }
    if (n) {
        qsort(r, n, sizeof *r, by_latency);
        s->tail_end_s = s->now_s + time_for(r, n, jobs);
    }
    free(r);
}

static void find_slowest(struct schedule *s)
{
    struct member *i;
    size_t at = 0;

    s->slowest_s = 0;
    while ((i = next_member(s, &at)))
        s->slowest_s = fmax(s->slowest_s, schedule_residence_s(i));
}

static void fill_late(struct schedule *s)
{
    struct member *i;
    size_t at = 0;

    while ((i = next_member(s, &at)))
        schedule_touch_late(s, i);
}

static void empty_late(struct schedule *s)
{
    while (s->late.n)
        heap_remove(&s->late, heap_least(&s->late));
}

void schedule_watch_tail(struct schedule *s, bool anew)
{
    double most = s->o.horizon_s > 0 ? s->o.horizon_s : HORIZON_S;
    bool was = s->in_tail;

    if (s->o.policy != POLICY_SIZED || s->o.no_tail) return;
    if (anew) find_slowest(s);
    s->in_tail = s->n_instances > 1 && (double)(s->n_pooled + s->backlog_rows) <
                                           s->rate * (most + LONG_JOB * s->slowest_s);
    if (was != s->in_tail) schedule_wait_anew(s);
    if (was && !s->in_tail) empty_late(s);
    if (!s->in_tail) return;
    if (!was || anew || s->now_s - s->tail_at_s >= LOOK_S) find_end(s);
    if (!was || anew) fill_late(s);
}

/* --- who ends late ---------------------------------------------------------------------------- */

static double ends_s(const struct member *i)
{
    return schedule_unbegun_s(i) + schedule_residence_s(i);
}

static void place_late(struct schedule *s, struct member *i, double end_s)
{
    int rc = heap_put(&s->late, &i->late, -end_s, i->order);

    assert(!rc); /* it is reserved */
}

void schedule_touch_late(struct schedule *s, struct member *i)
{
    if (!s->in_tail) return;
    if (!i->n_rows) {
        heap_remove(&s->late, &i->late);
        return;
    }
    place_late(s, i, s->now_s < i->rests_s ? 0 : start_of(s) + ends_s(i));
}

static double ends_job_s(const struct schedule *s, const struct member *i, const struct job *j)
{
    return schedule_unbegun_s(i) + schedule_latency_s(s, i, j);
}

bool schedule_ends_in_time(const struct schedule *s, const struct member *i, const struct job *j)
{
    const struct member *q = s->quickest;
    double end = ends_job_s(s, i, j), all = s->tail_end_s - s->now_s;

    if (end <= all * SLACK || i == q || !q) return true;
    if (q->ask_rows <= 0 || q->model != i->model || !schedule_fits(q, j)) return true;
    return end <= ends_job_s(s, q, j) * SLACK; /* nobody would end it sooner */
}

/* --- jobs that move --------------------------------------------------------------------------- */

static bool may_run_at(const struct job *j, const struct member *to)
{
    int32_t model = j->lane->level->model->id;

    return !j->twin && !j->is_forgotten && (!model || model == to->is.model) &&
           schedule_fits(to, j);
}

/* The latest that it was granted have not begun (S7). */
static bool take_back(struct schedule *s, struct member *from, struct member *to)
{
    int64_t left = schedule_unbegun(from), n = 0;
    double begins = schedule_unbegun_s(to), ends = ends_s(from);

    for (struct job *j = from->tail; j && left > 0 && n < MOST_BACK; j = j->prev, left--) {
        if (j->was_moved || !may_run_at(j, to)) continue;
        if (!schedule_has_room(s, to, j)) break;
        if (begins + schedule_latency_s(s, to, j) + 2 * WAY_S >= ends) break;
        if (!schedule_decide(s, DECIDE_TAKE_BACK, j, from)) break;
        j->was_moved = true;
        begins += schedule_cost_s(to, j);
        ends -= schedule_cost_s(from, j);
        n++;
    }
    to->awaits += n;
    return n > 0;
}

/* The answer that a job at the instance is expected to have in all, by how long it runs. */
static double expected_tokens(const struct schedule *s, const struct job *j, double made)
{
    if (j->known_tokens >= 0) return fmax(j->known_tokens, made);
    if (made <= 0) return j->output_tokens;
    return predict_beyond(s->predict, j->lane->batch, j->prompt_tokens, j->max_tokens, made);
}

struct straggler {
    struct job *job;
    double left_s; /* where it runs */
    double tokens; /* of the answer, in all */
};

/* By what was expected when it was granted, which is quick to tell. */
static double about_left_s(const struct schedule *s, const struct member *at, const struct job *j)
{
    double made = schedule_made(at, fmax(0, start_of(s) - (double)j->begin_s));

    return fmax(j->output_tokens - made, OVERDUE * made);
}

static struct straggler look_at(const struct schedule *s, const struct member *at, struct job *j)
{
    double so_far = start_of(s) - (double)j->begin_s, step = schedule_step_s(at, j);
    double made = schedule_made(at, fmax(0, so_far)), tokens = expected_tokens(s, j, made);

    return (struct straggler){j, fmax((tokens - made) * step, OVERDUE * so_far) + fmax(0, -so_far),
                              tokens};
}

/* Would it end sooner with another? */
static bool gains(const struct schedule *s, const struct member *to, const struct straggler *x)
{
    struct job longer = *x->job;

    longer.output_tokens = (int32_t)fmin(x->tokens, INT32_MAX);
    return schedule_latency_s(s, to, &longer) + WAY_S < x->left_s * GAIN;
}

static struct job *straggler(const struct schedule *s, const struct member *at,
                             const struct member *for_whom)
{
    struct straggler worst;
    struct job *last = NULL;
    double most = -1;

    for (struct job *j = at->head; j; j = j->next) {
        double left = about_left_s(s, at, j);

        if (left <= most || !may_run_at(j, for_whom)) continue;
        most = left;
        last = j;
    }
    if (!last) return NULL;
    worst = look_at(s, at, last);
    return gains(s, for_whom, &worst) ? last : NULL;
}

static bool copy(struct schedule *s, struct member *from, struct member *to)
{
    struct job *j = straggler(s, from, to), *twin;

    if (!j || !schedule_has_room(s, to, j) || !(twin = schedule_new_job(s))) return false;
    *twin = *j;
    twin->output_tokens = schedule_output(s, twin);
    twin->seconds = (float)schedule_cost_s(to, twin);
    if (!schedule_decide(s, DECIDE_COPY, twin, to)) {
        schedule_free_job(s, twin);
        return false;
    }
    twin->twin = j;
    j->twin = twin;
    schedule_hold(s, to, twin);
    return true;
}

static bool share_a_process(const struct member *a, const struct member *b)
{
    return a == b || (a->is.host && a->is.host == b->is.host);
}

/* Who ends last, of those that were not looked at in vain. */
static struct member *latest(const struct schedule *s)
{
    const struct heap *h = &s->late;

    if (!h->n || h->entries[0].key >= 0) return NULL;
    return (struct member *)((char *)heap_least(h) - offsetof(struct member, late));
}

/* One job or some from whoever ends last.  Those that cannot be helped are not looked at again
 * before something happens to them. */
static bool relieve(struct schedule *s, struct member *to)
{
    struct member *from;
    bool done = false;

    for (int n = 0; n < VICTIMS && !done && (from = latest(s)); n++) {
        done = from != to && take_back(s, from, to);
        if (!done && !s->o.no_copies && !s->n_pooled && !s->backlog_rows &&
            (double)to->n_rows < to->n_run && !share_a_process(from, to))
            done = copy(s, from, to);
        if (!done) from->rests_s = s->now_s + REST_S;
        schedule_touch_late(s, from);
    }
    return done;
}

void schedule_help(struct schedule *s, struct member *i)
{
    if (i->awaits || s->backlog_rows) return;
    while (schedule_is_low(s, i) && !i->awaits && relieve(s, i))
        ;
}

/* Those that wait, until so many were helped in vain. */
static void help_waiting(struct schedule *s, struct model_pool *m)
{
    struct member *i, *aside = NULL;
    int vain = 0;

    while (vain < MOST_VAIN && (i = schedule_next_waiting(m))) {
        size_t before = s->n_decisions;

        i->awaits = 0;
        schedule_help(s, i);
        vain = s->n_decisions > before ? 0 : vain + 1;
        i->next = aside;
        aside = i;
    }
    while ((i = aside)) {
        aside = i->next;
        schedule_touch(s, i);
    }
}

void schedule_help_all(struct schedule *s)
{
    for (struct model_pool *m = s->models; m; m = m->next)
        help_waiting(s, m);
}
