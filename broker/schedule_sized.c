/* schedule_sized.c - who asked is topped up: POLICY_SIZED and POLICY_PULL. */
#include <assert.h>
#include <math.h>

#include "broker/schedule_part.h"

#define HORIZON_S     8.0
#define OVERCOMMIT    1.1
#define MOST_VAIN     16
#define LEAST_HORIZON 0.25 /* seconds: what a lease's way takes, amply */

double schedule_horizon_s(const struct schedule *s)
{
    double most = s->o.horizon_s > 0 ? s->o.horizon_s : HORIZON_S, left;

    if (s->rate <= 0) return most;
    left = (double)(s->n_pooled + s->backlog_rows) / s->rate; /* seconds of work of them all */
    return fmin(most, fmax(LEAST_HORIZON, left / 4));
}

/* The most tokens that it may hold.  Its memory fills while sequences grow, so about a tenth more
 * than fit when all are at their ends; what waits beyond that would be admitted while the others
 * grow, and be put back and computed again.  And what it finishes while a lease is on its way. */
static double headroom(const struct member *i)
{
    double each = i->usual.f[0] + i->usual.f[2];

    if (i->is.kv_tokens <= 0) return INFINITY;
    return OVERCOMMIT * (double)i->is.kv_tokens + LEAST_HORIZON * i->rate * each;
}

/* How many rows it runs at once, as it says. */
static int64_t step_rows(const struct member *i)
{
    return i->is.max_num_seqs > 0 ? i->is.max_num_seqs : 1;
}

bool schedule_is_low(const struct schedule *s, const struct member *i)
{
    if (i->ask_rows <= 0 || i->ask_tokens <= 0) return false;
    if (!i->n_rows) return true;
    if (s->o.policy == POLICY_PULL) return i->n_rows < step_rows(i);
    if (s->o.lease_rows <= 0 && (double)i->tokens >= headroom(i)) return false;
    return schedule_unbegun_s(i) < schedule_horizon_s(s) / 2 || !schedule_unbegun(i);
}

static bool is_full(const struct schedule *s, const struct member *i)
{
    if (s->o.policy == POLICY_PULL) return true; /* a lease is enough */
    return schedule_unbegun(i) && schedule_unbegun_s(i) >= schedule_horizon_s(s);
}

bool schedule_has_room(const struct schedule *s, const struct member *i, const struct job *j)
{
    int64_t tokens = (int64_t)j->prompt_tokens + schedule_output(s, j);

    if (i->ask_rows <= 0 || i->ask_tokens <= 0) return false;
    if (!i->n_rows) return true;
    if (tokens > i->ask_tokens) return false;
    return s->o.policy != POLICY_SIZED || s->o.lease_rows > 0 ||
           (double)(i->tokens + tokens) <= headroom(i);
}

static int64_t lease_rows(const struct schedule *s, const struct member *i)
{
    if (s->o.lease_rows > 0) return s->o.lease_rows;
    return s->o.policy == POLICY_PULL ? step_rows(i) : 1;
}

/* How many of n rows were granted. */
static int64_t give(struct schedule *s, struct member *i, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        struct job *j = schedule_pool_pick(s, i);

        if (!j || !schedule_has_room(s, i, j) || !schedule_grant(s, i, j)) return k;
    }
    return n;
}

void schedule_top_up(struct schedule *s, struct member *i)
{
    int64_t n;

    if (schedule_takes_turns(s) || !schedule_is_low(s, i)) return;
    do {
        n = lease_rows(s, i);
    } while (give(s, i, n) == n && !is_full(s, i));
    if (s->in_tail && schedule_is_low(s, i)) schedule_help(s, i);
}

/* --- who waits -------------------------------------------------------------------------------- */

static void wait_no_more(struct member *i)
{
    if (i->waits) heap_remove(i->waits, &i->wants);
    i->waits = NULL;
}

/* Of those that hold nothing the roomiest first: what does not fit it fits nobody.  Of the others
 * who is out of work soonest.  In the tail whoever would end a job soonest: what it is not to have
 * those behind it are not either. */
static double wait_key(const struct schedule *s, const struct member *i)
{
    if (s->in_tail) return schedule_unbegun_s(i) + schedule_residence_s(i);
    return i->n_rows ? schedule_unbegun_s(i) : -(double)i->limit;
}

static struct heap *heap_for(const struct schedule *s, const struct member *i)
{
    if (!schedule_is_low(s, i)) return NULL;
    return i->n_rows ? &i->model->hungry : &i->model->idle;
}

static void wait_in(const struct schedule *s, struct member *i, struct heap *h)
{
    int rc = ERR_OK;

    if (i->waits != h) wait_no_more(i);
    if (h) rc = heap_put(h, &i->wants, wait_key(s, i), i->order);
    assert(!rc); /* it is reserved */
    i->waits = h;
}

void schedule_touch(struct schedule *s, struct member *i)
{
    if (schedule_takes_turns(s)) {
        schedule_touch_turn(s, i);
        return;
    }
    wait_in(s, i, heap_for(s, i));
    schedule_touch_late(s, i);
}

static struct member *member_of(struct heap_node *n)
{
    return n ? (struct member *)((char *)n - offsetof(struct member, wants)) : NULL;
}

static bool has_jobs_for(const struct schedule *s, const struct model_pool *m)
{
    return m->n_pooled || s->models->n_pooled;
}

/* The least of the heap first, each as much as it wants, until the pool has nothing, or nothing for
 * so many one after another. */
static void serve(struct schedule *s, struct model_pool *m, struct heap *h, bool only_one)
{
    struct member *i, *aside = NULL;
    int vain = 0, most = s->in_tail || h == &m->hungry ? MOST_VAIN : 1;

    while (vain < most && has_jobs_for(s, m) && (i = member_of(heap_least(h)))) {
        int64_t before = i->n_rows;

        wait_no_more(i);
        schedule_top_up(s, i);
        i->next = aside;
        aside = i;
        vain = i->n_rows > before ? 0 : vain + 1;
        if (only_one && !vain) break;
    }
    while ((i = aside)) {
        aside = i->next;
        schedule_touch(s, i);
    }
}

void schedule_serve(struct schedule *s)
{
    if (schedule_takes_turns(s)) {
        schedule_give_turns(s);
        return;
    }
    for (struct model_pool *m = s->models; m; m = m->next) {
        serve(s, m, &m->idle, false);
        serve(s, m, &m->hungry, false);
    }
}

void schedule_serve_idle(struct schedule *s, struct model_pool *m)
{
    if (schedule_takes_turns(s)) {
        schedule_give_turns(s);
        return;
    }
    if (m != s->models) {
        serve(s, m, &m->idle, true);
        return;
    }
    for (m = s->models; m; m = m->next)
        serve(s, m, &m->idle, true);
}

/* Everybody that waits, in the order that holds now. */
void schedule_wait_anew(struct schedule *s)
{
    struct member *i;
    size_t at = 0;

    while ((i = idmap_next(&s->instances, &at)))
        if (i->waits) wait_in(s, i, i->waits);
}

/* The next that waits, idle ones first; it is taken off, and the caller touches it. */
struct member *schedule_next_waiting(struct model_pool *m)
{
    struct member *i = member_of(heap_least(m->idle.n ? &m->idle : &m->hungry));

    if (i) wait_no_more(i);
    return i;
}
