/* schedule.c - events in, decisions out. */
#include "broker/schedule.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "broker/predict.h"
#include "broker/schedule_part.h"

#define POOL_ROWS 16384

const char *const POLICY_NAMES[POLICY_N] = {"sized",        "round_robin", "weighted",
                                            "least_tokens", "pull",        "load"};

/* --- decisions -------------------------------------------------------------------------------- */

static bool make_room(struct schedule *s)
{
    size_t cap = s->cap_decisions ? 2 * s->cap_decisions : 64;
    struct schedule_decision *more;

    if (s->n_decisions < s->cap_decisions) return true;
    more = realloc(s->decisions, cap * sizeof *more);
    if (!more) return false;
    s->decisions = more;
    s->cap_decisions = cap;
    return true;
}

bool schedule_decide(struct schedule *s, enum schedule_verdict verdict, const struct job *j,
                     const struct member *i)
{
    if (!make_room(s)) return false;
    s->decisions[s->n_decisions++] = (struct schedule_decision){
        .verdict = verdict,
        .job_id = j->id,
        .instance = i->is.id,
        .tokens = (int64_t)j->prompt_tokens + j->output_tokens,
        .seconds = (double)j->seconds,
    };
    return true;
}

static int64_t pool_rows(const struct schedule *s)
{
    return s->o.pool_rows > 0 ? s->o.pool_rows : POOL_ROWS;
}

static void read_more(struct schedule *s)
{
    int64_t n = pool_rows(s) - s->n_pooled;

    if (s->reading > 0 || s->backlog_rows <= 0 || s->n_pooled > pool_rows(s) / 2) return;
    if (n > s->backlog_rows) n = s->backlog_rows;
    if (!make_room(s)) return;
    s->decisions[s->n_decisions++] = (struct schedule_decision){.verdict = DECIDE_READ, .n = n};
    s->reading = n;
}

/* --- events about jobs ------------------------------------------------------------------------ */

static int log2_of(int32_t x)
{
    return x > 0 ? 31 - __builtin_clz((unsigned)x) : 0;
}

static int clamp(int x, int low, int high)
{
    return x < low ? low : x > high ? high : x;
}

static uint8_t class_of(const struct job *j)
{
    int p = clamp(log2_of(j->prompt_tokens) - 6, 0, 7),
        o = clamp(log2_of(j->output_tokens) - 3, 0, 7);

    return (uint8_t)(8 * p + o);
}

static int32_t need_of(const struct schedule_job *w)
{
    int64_t n = w->need_tokens;

    if (n <= 0) n = (int64_t)w->prompt_tokens + (w->max_tokens > 0 ? w->max_tokens : 1);
    return n > INT32_MAX ? INT32_MAX : (int32_t)n;
}

/* A job that was not known. */
static int take_in(struct schedule *s, const struct schedule_job *w, struct job **out)
{
    struct job *j;

    assert(w && w->id > 0);
    if (idmap_get(&s->jobs, w->id)) return ERR_STALE;
    j = schedule_new_job(s);
    if (!j) return ERR_NOMEM;
    if (idmap_put(&s->jobs, w->id, j)) {
        schedule_free_job(s, j);
        return ERR_NOMEM;
    }
    if (schedule_pool_place(s, j, w)) {
        (void)idmap_remove(&s->jobs, w->id);
        schedule_free_job(s, j);
        return ERR_NOMEM;
    }
    j->id = w->id;
    j->prompt_tokens = w->prompt_tokens > 0 ? w->prompt_tokens : 1;
    j->max_tokens = w->max_tokens;
    j->known_tokens = w->output_tokens;
    j->need_tokens = need_of(w);
    j->need_is_found = w->need_tokens > 0;
    j->order = s->job_orders++;
    j->output_tokens = schedule_output(s, j);
    j->class = class_of(j);
    *out = j;
    return ERR_OK;
}

static int on_ready(struct schedule *s, const struct schedule_job *w)
{
    struct job *j;
    int rc = take_in(s, w, &j);

    if (rc) return rc;
    if (s->reading > 0) s->reading--;
    schedule_pool_put(s, j, false);
    schedule_serve_idle(s, j->lane->level->model);
    return ERR_OK;
}

static int on_held(struct schedule *s, const struct schedule_event *ev)
{
    struct member *i = idmap_get(&s->instances, ev->id);
    struct job *j;
    int rc = i ? take_in(s, ev->job, &j) : ERR_STALE;

    if (rc) return rc;
    j->seconds = (float)schedule_cost_s(i, j);
    schedule_hold(s, i, j);
    schedule_touch(s, i);
    return ERR_OK;
}

static void drop_pooled(struct schedule *s, struct job *j)
{
    schedule_pool_count(s, j, 1); /* as if granted, and ended */
    schedule_pool_remove(s, j);
    schedule_forget(s, j);
}

static int on_unready(struct schedule *s, int64_t id)
{
    struct job *j = idmap_get(&s->jobs, id);

    if (!j) return ERR_STALE;
    if (j->holder) {
        j->is_forgotten = true;
        if (j->twin) j->twin->is_forgotten = true;
        return ERR_OK;
    }
    (void)idmap_remove(&s->jobs, id);
    drop_pooled(s, j);
    return ERR_OK;
}

static void begun_more(struct member *i)
{
    if (i->told > 0)
        i->told--;
    else if (i->since > 0)
        i->since--;
}

/* Done, by whomever: nobody else need do it. */
static int on_done(struct schedule *s, const struct schedule_event *ev)
{
    struct job *j = idmap_remove(&s->jobs, ev->job_id), *other;
    struct member *doer = idmap_get(&s->instances, ev->id), *freed[2] = {NULL, NULL};

    if (!j) return ERR_STALE;
    if (ev->output_tokens > 0)
        predict_add(s->predict, j->lane->batch, j->prompt_tokens, ev->output_tokens);
    if (!j->holder)
        drop_pooled(s, j); /* it was done late, and had come back */
    else
        for (int k = 0; j && k < 2; k++, j = other) {
            other = j->twin;
            freed[k] = j->holder;
            if (j->holder == doer && ev->output_tokens > 0)
                schedule_measure(s, doer, j, ev->output_tokens);
            else if (j->holder != doer)
                schedule_decide(s, DECIDE_STOP, j, j->holder);
            schedule_release(s, j);
            begun_more(freed[k]);
            schedule_forget(s, j);
        }
    for (int k = 0; k < 2 && freed[k]; k++) {
        schedule_top_up(s, freed[k]);
        schedule_touch(s, freed[k]);
    }
    if (schedule_takes_turns(s)) schedule_serve(s);
    return ERR_OK;
}

static int on_back(struct schedule *s, const struct schedule_event *ev)
{
    struct member *i = idmap_get(&s->instances, ev->id);
    struct job *j = i ? schedule_held_by(idmap_get(&s->jobs, ev->job_id), i) : NULL;

    if (!j) return ERR_STALE;
    begun_more(i);
    schedule_give_back(s, j, ev->ready);
    schedule_touch(s, i);
    schedule_serve(s);
    return ERR_OK;
}

/* --- events about instances ------------------------------------------------------------------- */

static int64_t limit_of(const struct schedule_instance *is)
{
    int64_t kv = is->kv_tokens > 0 ? is->kv_tokens : INT64_MAX;
    int64_t len = is->max_model_len > 0 ? is->max_model_len : INT64_MAX;

    return kv < len ? kv : len;
}

static struct member *next_member(const struct schedule *s, size_t *at)
{
    return idmap_next(&s->instances, at);
}

static void find_largest(struct schedule *s, struct model_pool *m)
{
    struct member *i;
    size_t at = 0;

    m->largest = 0;
    while ((i = next_member(s, &at)))
        if (i->model == m && i->limit > m->largest) m->largest = i->limit;
}

static int reserve(struct schedule *s, struct model_pool *m)
{
    size_t n = (size_t)m->n_instances + 1, all = (size_t)s->n_instances + 1;

    if (heap_reserve(&m->idle, n) || heap_reserve(&m->hungry, n)) return ERR_NOMEM;
    if (heap_reserve(&s->turn, all) || heap_reserve(&s->late, all)) return ERR_NOMEM;
    return ERR_OK;
}

static int on_join(struct schedule *s, const struct schedule_instance *is)
{
    struct model_pool *m;
    struct member *i;

    assert(is && is->id > 0 && is->model > 0);
    if (idmap_get(&s->instances, is->id)) return ERR_STALE;
    m = schedule_model(s, is->model);
    if (!m || reserve(s, m) || !(i = calloc(1, sizeof *i))) return ERR_NOMEM;
    if (idmap_put(&s->instances, is->id, i)) {
        free(i);
        return ERR_NOMEM;
    }
    i->is = *is;
    i->model = m;
    i->limit = limit_of(is);
    i->order = ++s->orders;
    i->turns = s->turn.n ? s->turn.entries[0].key : 0;
    m->n_instances++;
    s->n_instances++;
    if (i->limit > m->largest) m->largest = i->limit;
    schedule_tune(s, i);
    schedule_touch(s, i);
    return ERR_OK;
}

static int on_model(struct schedule *s, const struct schedule_instance *is)
{
    struct member *i = idmap_get(&s->instances, is->id);

    if (!i) return ERR_STALE;
    i->is.perf = is->perf;
    i->pace = (struct pace){0};
    schedule_tune(s, i);
    return ERR_OK;
}

static int on_leave(struct schedule *s, int64_t id)
{
    struct member *i = idmap_remove(&s->instances, id);

    if (!i) return ERR_STALE;
    i->ask_rows = 0;
    schedule_touch(s, i);
    heap_remove(&s->turn, &i->turn);
    heap_remove(&s->late, &i->late);
    while (i->tail) /* the oldest comes to be the first */
        schedule_give_back(s, i->tail, true);
    schedule_untune(s, i);
    s->n_instances--;
    if (s->quickest == i) s->quickest = NULL;
    i->model->n_instances--;
    if (i->limit >= i->model->largest) find_largest(s, i->model);
    free(i);
    schedule_serve(s);
    return ERR_OK;
}

static int on_ask(struct schedule *s, const struct schedule_event *ev)
{
    struct member *i = idmap_get(&s->instances, ev->id);

    if (!i) return ERR_STALE;
    i->ask_rows = ev->rows;
    i->declines = ev->rows <= 0;
    i->ask_tokens = ev->tokens;
    schedule_top_up(s, i);
    schedule_touch(s, i);
    if (schedule_takes_turns(s)) schedule_serve(s);
    return ERR_OK;
}

static int on_beat(struct schedule *s, const struct schedule_event *ev)
{
    struct member *i = idmap_get(&s->instances, ev->id);

    if (!i) return ERR_STALE;
    i->told = ev->rows < 0 ? 0 : ev->rows < i->n_rows ? ev->rows : i->n_rows;
    i->since = 0;
    schedule_top_up(s, i);
    schedule_touch(s, i);
    return ERR_OK;
}

static int on_backlog(struct schedule *s, const struct schedule_event *ev)
{
    s->backlog_rows = ev->rows;
    s->reading = 0;
    schedule_serve(s);
    return ERR_OK;
}

static int on_tick(struct schedule *s)
{
    schedule_watch_tail(s, true);
    schedule_serve(s);
    if (s->in_tail) schedule_help_all(s);
    return ERR_OK;
}

static int handle(struct schedule *s, const struct schedule_event *ev)
{
    switch (ev->kind) {
    case EVENT_JOIN: return on_join(s, ev->instance);
    case EVENT_MODEL: return on_model(s, ev->instance);
    case EVENT_LEAVE: return on_leave(s, ev->id);
    case EVENT_READY: return on_ready(s, ev->job);
    case EVENT_HELD: return on_held(s, ev);
    case EVENT_UNREADY: return on_unready(s, ev->id);
    case EVENT_BACKLOG: return on_backlog(s, ev);
    case EVENT_ASK: return on_ask(s, ev);
    case EVENT_BEAT: return on_beat(s, ev);
    case EVENT_DONE: return on_done(s, ev);
    case EVENT_BACK: return on_back(s, ev);
    case EVENT_TICK: return on_tick(s);
    }
    return ERR_ARG;
}

/* --- the scheduler ---------------------------------------------------------------------------- */

int schedule_open(struct schedule **out, const struct schedule_opts *o, struct errmsg *e)
{
    struct schedule *s = calloc(1, sizeof *s);

    *out = NULL;
    if (s) s->o = *o;
    if (!s || !schedule_model(s, 0) || predict_open(&s->predict)) {
        schedule_close(&s);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    s->start_s = NAN;
    *out = s;
    return ERR_OK;
}

void schedule_close(struct schedule **s)
{
    struct schedule *x = *s;
    struct job_slab *slab;
    struct member *i;
    size_t at = 0;

    *s = NULL;
    if (!x) return;
    while ((i = next_member(x, &at)))
        free(i);
    schedule_pool_fini(x);
    while ((slab = x->slabs)) {
        x->slabs = slab->next;
        free(slab);
    }
    heap_fini(&x->turn);
    heap_fini(&x->late);
    idmap_fini(&x->jobs);
    idmap_fini(&x->instances);
    predict_close(&x->predict);
    free(x->decisions);
    free(x);
}

int schedule_event(struct schedule *s, const struct schedule_event *ev, double now_s)
{
    bool was_in_tail = s->in_tail;
    int rc;

    if (isnan(s->start_s)) s->start_s = now_s;
    s->now_s = now_s;
    s->n_decisions = 0;
    schedule_watch_tail(s, false);
    rc = handle(s, ev);
    if (was_in_tail && !s->in_tail) schedule_serve(s); /* what was kept for others is not now */
    if (!rc) read_more(s);
    return rc;
}

const struct schedule_decision *schedule_decisions(const struct schedule *s, size_t *n)
{
    *n = s->n_decisions;
    return s->decisions;
}

int schedule_look(const struct schedule *s, int64_t instance, struct schedule_view *out)
{
    const struct member *i = idmap_get(&s->instances, instance);
    double tokens;

    if (!i) return ERR_STALE;
    tokens = i->n_mean ? i->usual.f[0] + i->usual.f[2] : 0;
    *out = (struct schedule_view){i->n_rows, i->tokens, i->seconds, i->rate * tokens};
    return ERR_OK;
}

size_t schedule_pooled(const struct schedule *s)
{
    return (size_t)s->n_pooled;
}

bool schedule_in_tail(const struct schedule *s)
{
    return s->in_tail;
}
