/* cluster.c - a broker and its instances, simulated by discrete events. */
#include "bench/cluster_part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LATENCY_S 0.001
#define BEAT_S    1.0
#define TICK_S    0.25
#define STUCK_S   3600.0

/* --- instances -------------------------------------------------------------------------------- */

/* Its run may have changed: the heap is told. */
static int plan(struct cluster *c, int32_t at)
{
    struct member *m = &c->members[at];
    double due_s = batching_due_s(&m->b);

    if (isinf(due_s)) {
        heap_remove(&c->due, &m->node);
        return ERR_OK;
    }
    return heap_put(&c->due, &m->node, due_s, at);
}

static int say_up(struct cluster *c, int32_t at, struct seq_list list)
{
    struct message m = {
        .at_s = c->now_s + c->o.latency_s / 2, .what = SAY_RESULTS, .instance = at, .list = list};

    return list.n ? post_add(&c->up, &m) : ERR_OK;
}

/* worker/job.c refuses a row whose prompt and longest answer do not fit. */
static bool fits(const struct cluster *c, const struct member *m, const struct seq *q)
{
    struct schedule_job job;
    int64_t need = (int64_t)q->prompt + jobs_at(c->jobs, q->job_id - 1, &job);

    if (job.max_tokens) need = (int64_t)q->prompt + job.max_tokens;
    return need <= m->i.is.kv_tokens && need <= m->i.is.max_model_len;
}

static int take_lease(struct cluster *c, const struct message *m)
{
    struct member *to = &c->members[m->instance];
    struct seq_list fitting = SEQ_LIST_EMPTY, misfits = SEQ_LIST_EMPTY;
    int rc;

    for (int32_t s = m->list.first, next; s != SEQ_NONE; s = next) {
        next = c->seqs.at[s].next;
        c->seqs.at[s].is_misfit = !fits(c, to, &c->seqs.at[s]);
        seq_list_add(&c->seqs, c->seqs.at[s].is_misfit ? &misfits : &fitting, s);
    }
    rc = batching_add(&to->b, &c->seqs, fitting, c->now_s);
    return rc ? rc : say_up(c, m->instance, misfits);
}

static int drop(struct cluster *c, const struct message *m)
{
    struct member *of = &c->members[m->instance];
    struct seq_list list = SEQ_LIST_EMPTY;
    int32_t s = batching_drop(&of->b, &c->seqs, m->job_id, m->what == SAY_STOP, c->now_s);

    if (s == SEQ_NONE) return ERR_OK;
    c->seqs.at[s].is_dropped = m->what == SAY_STOP;
    seq_list_add(&c->seqs, &list, s);
    return say_up(c, m->instance, list);
}

static int instance_hear(struct cluster *c, const struct message *m)
{
    int rc;

    if (!c->members[m->instance].is_here) { /* lost on its way */
        if (m->what != SAY_LEASE) return ERR_OK;
        c->r.returned += m->list.n;
        c->held -= m->list.n;
        seqs_free(&c->seqs, m->list.first);
        return ERR_OK;
    }
    rc = m->what == SAY_LEASE ? take_lease(c, m) : drop(c, m);
    return rc ? rc : plan(c, m->instance);
}

static int advance(struct cluster *c, int32_t at)
{
    struct member *m = &c->members[at];
    struct seq_list ended;
    int rc = batching_advance(&m->b, &c->seqs, &ended);

    if (!rc) rc = say_up(c, at, ended);
    return rc ? rc : plan(c, at);
}

static void add_up(const struct member *m, struct cluster_work *out)
{
    out->put_back = m->b.put_back;
    out->steps = m->b.steps;
    out->busy_s = m->b.busy_s;
    out->begun_tokens = m->b.prompt_tokens;
    out->cached_tokens = m->b.cached_tokens;
}

/* With all that it holds. */
static void end(struct cluster *c, int32_t at)
{
    struct member *m = &c->members[at];
    int32_t held = m->b.waiting.n + batching_running(&m->b);

    c->r.redone += held - m->b.n_unbegun;
    c->r.returned += m->b.n_unbegun;
    c->held -= held;
    heap_remove(&c->due, &m->node);
    m->is_here = false;
    add_up(m, &m->work);
    batching_fini(&m->b, &c->seqs);
}

static int turn(struct cluster *c, const struct moment *m)
{
    if (m->what == TURN_LEAVE) return broker_leave(c, m->instance);
    if (m->what == TURN_BEGIN) return broker_begin(c);
    if (m->what == TURN_ASK)
        return c->members[m->instance].is_here ? broker_ask(c, m->instance) : ERR_OK;
    if (m->what == TURN_END) {
        end(c, m->instance);
        return ERR_OK;
    }
    c->members[m->instance].is_here = true;
    return broker_join(c, m->instance);
}

/* --- time ------------------------------------------------------------------------------------- */

/* What happens at one time, in this order. */
enum next { NEXT_STEP, NEXT_DOWN, NEXT_UP, NEXT_MOMENT, NEXT_BEAT, NEXT_TICK, NEXT_N };

static enum next find_next(const struct cluster *c, double *at_s)
{
    double when[NEXT_N] = {
        [NEXT_STEP] = heap_least(&c->due) ? c->due.entries[0].key : INFINITY,
        [NEXT_DOWN] = post_due_s(&c->down),
        [NEXT_UP] = post_due_s(&c->up),
        [NEXT_MOMENT] = c->next_moment < c->n_moments ? c->moments[c->next_moment].at_s : INFINITY,
        [NEXT_BEAT] = c->beat_s,
        [NEXT_TICK] = c->tick_s};
    enum next best = NEXT_STEP;

    for (enum next i = 0; i < NEXT_N; i++)
        if (when[i] < when[best]) best = i;
    *at_s = when[best];
    return best;
}

/* Each instance has its beat in its own part of the second. */
static int beat(struct cluster *c)
{
    int32_t at = c->next_beat;

    c->next_beat = (at + 1) % c->n_members;
    c->beat_s += c->o.beat_s / c->n_members;
    return c->members[at].is_here ? broker_beat(c, at) : ERR_OK;
}

static int tick(struct cluster *c)
{
    c->tick_s += c->o.tick_s;
    return broker_tick(c);
}

static int step(struct cluster *c, enum next what)
{
    struct message m;

    if (what < NEXT_BEAT) c->moved_s = c->now_s;
    switch (what) {
    case NEXT_STEP: return advance(c, (int32_t)c->due.entries[0].tie);
    case NEXT_DOWN: m = post_take(&c->down); return instance_hear(c, &m);
    case NEXT_UP: m = post_take(&c->up); return broker_hear(c, &m);
    case NEXT_MOMENT: return turn(c, &c->moments[c->next_moment++]);
    case NEXT_BEAT: return beat(c);
    default: return tick(c);
    }
}

static bool is_over(const struct cluster *c, double next_s)
{
    if (c->o.stop_s > 0) return next_s > c->o.stop_s;
    return c->r.done == c->r.rows;
}

/* Rows that were read and are not done, in the pool, or held. */
static int64_t count_lost(struct cluster *c)
{
    return c->next_row - c->r.done - (int64_t)schedule_pooled(c->schedule) - c->held;
}

int cluster_run(struct cluster *c, struct cluster_result *out, struct errmsg *e)
{
    int rc = ERR_OK;
    double next_s;

    while (!rc) {
        enum next what = find_next(c, &next_s);

        if (is_over(c, next_s)) break;
        c->now_s = next_s;
        rc = step(c, what);
        if (!rc && c->now_s - c->moved_s > STUCK_S && !c->o.stop_s)
            return err_set(e, ERR_STALE, "nothing moves since %.3f s, %lld of %lld rows are done",
                           c->moved_s, (long long)c->r.done, (long long)c->r.rows);
    }
    if (rc) return err_set(e, rc, "the simulation failed at %.3f s: error %d", c->now_s, rc);
    c->r.lost = c->o.stop_s > 0 ? count_lost(c) : c->r.rows - c->r.done;
    *out = c->r;
    return ERR_OK;
}

/* --- life ------------------------------------------------------------------------------------- */

static int compare_moments(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->at_s < y->at_s || x->at_s > y->at_s) return x->at_s < y->at_s ? -1 : 1;
    if (x->what != y->what) return x->what < y->what ? -1 : 1;
    return (x->instance > y->instance) - (x->instance < y->instance);
}

static void add_moment(struct cluster *c, double at_s, int32_t instance, enum turn what)
{
    c->moments[c->n_moments++] = (struct moment){at_s, instance, what};
}

static int init_member(struct cluster *c, int32_t at, const struct cluster_instance *i)
{
    struct member *m = &c->members[at];

    m->i = *i;
    batching_init(&m->b, &m->i.is.perf, i->is.kv_tokens, i->is.max_num_seqs,
                  i->is.max_batched_tokens);
    m->b.by_step = c->o.by_step;
    if (!i->is.prefix_caching || !jobs_chains(c->jobs)) return ERR_OK;
    if (sharing_open(&m->sharing, jobs_chains(c->jobs))) return ERR_NOMEM;
    m->b.sharing = m->sharing;
    return ERR_OK;
}

static int open_member(struct cluster *c, int32_t at, const struct cluster_instance *i,
                       struct errmsg *e)
{
    const struct schedule_instance *is = &i->is;

    if (!(perf_step_ms(&is->perf, 0, 1, 0, 1) > 0) || is->kv_tokens < 2 || is->max_num_seqs < 1 ||
        is->max_batched_tokens < 1)
        return err_set(e, ERR_ARG, "instance %d computes in no time or has no room", at + 1);
    add_moment(c, i->join_s, at, TURN_JOIN);
    add_moment(c, i->join_s + c->o.latency_s, at, TURN_ASK); /* it was made welcome */
    if (i->end_s > 0) {
        double notice_s = i->end_s + c->o.latency_s / 2;

        if (c->o.notice_s > c->o.latency_s / 2) notice_s = i->end_s + c->o.notice_s;
        add_moment(c, i->end_s, at, TURN_END);
        add_moment(c, notice_s, at, TURN_LEAVE);
    }
    return ERR_OK;
}

static void set_defaults(struct cluster_opts *o)
{
    if (o->latency_s == 0) o->latency_s = LATENCY_S;
    if (o->latency_s < 0) o->latency_s = 0;
    if (o->beat_s <= 0) o->beat_s = BEAT_S;
    if (o->tick_s <= 0) o->tick_s = TICK_S;
}

int cluster_open(struct cluster **out, const struct cluster_opts *o,
                 const struct cluster_instance *instances, int n, const struct jobs *jobs,
                 struct errmsg *e)
{
    struct cluster *c = calloc(1, sizeof *c);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!c || n < 1) goto out;
    c->o = *o;
    set_defaults(&c->o);
    c->jobs = jobs;
    c->n_members = n;
    c->r.rows = jobs_count(jobs);
    c->members = calloc((size_t)n, sizeof *c->members);
    c->moments = calloc((size_t)n * 4 + 1, sizeof *c->moments);
    c->done = calloc((size_t)c->r.rows / 8 + 1, 1);
    seqs_init(&c->seqs);
    if (!c->members || !c->moments || !c->done || heap_reserve(&c->due, (size_t)n)) goto out;
    for (int32_t i = 0; i < n; i++)
        if (init_member(c, i, &instances[i])) goto out;
    for (int32_t i = 0; i < n; i++)
        if ((rc = open_member(c, i, &instances[i], e))) goto out;
    add_moment(c, c->o.latency_s, 0, TURN_BEGIN); /* behind the asks of that time */
    qsort(c->moments, c->n_moments, sizeof *c->moments, compare_moments);
    rc = schedule_open(&c->schedule, &c->o.schedule, e);
out:
    if (rc == ERR_NOMEM) err_set(e, rc, "out of memory for %d instances", n);
    if (rc) cluster_close(&c);
    *out = c;
    return rc;
}

void cluster_close(struct cluster **c)
{
    if (!*c) return;
    for (int32_t i = 0; (*c)->members && i < (*c)->n_members; i++) {
        batching_fini(&(*c)->members[i].b, &(*c)->seqs);
        sharing_close(&(*c)->members[i].sharing);
    }
    post_fini(&(*c)->up, &(*c)->seqs);
    post_fini(&(*c)->down, &(*c)->seqs);
    seqs_fini(&(*c)->seqs);
    heap_fini(&(*c)->due);
    schedule_close(&(*c)->schedule);
    free((*c)->members);
    free((*c)->moments);
    free((*c)->done);
    free(*c);
    *c = NULL;
}

void cluster_work(const struct cluster *c, int instance, struct cluster_work *out)
{
    const struct member *m = &c->members[instance];

    *out = m->work;
    if (m->is_here) add_up(m, out);
}
