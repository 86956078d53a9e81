/* schedule_pick.c - which of the pooled jobs an instance is to have next. */
#include <math.h>

#include "broker/schedule_part.h"

bool schedule_fits(const struct member *i, const struct job *j)
{
    if (j->need_tokens <= i->limit) return true;
    return !j->need_is_found && i->limit >= i->model->largest; /* an estimate; there is no better */
}

/* The first that fits; a list that holds none is remembered as such. */
static struct job *first_that_fits(const struct member *i, struct job_list *l)
{
    struct job *j = l->head;
    int32_t least = INT32_MAX;

    if (!j || schedule_fits(i, j)) return j;
    if (l->least_need > i->limit && i->limit < i->model->largest) return NULL;
    for (; j; j = j->next) {
        if (schedule_fits(i, j)) return j;
        if (j->need_tokens < least) least = j->need_tokens;
    }
    l->least_need = least;
    return NULL;
}

struct choice {
    struct job *job;
    double suits;
};

static void consider(struct schedule *s, const struct member *i, struct job *j, double price,
                     struct choice *best)
{
    double suits;

    if (!j) return;
    suits = schedule_suits(s, i, j, price);
    if (suits < 0) s->declined = true;
    if (suits < 0) return;
    if (best->job && (suits < best->suits ||
                      (suits <= best->suits && (int32_t)(j->order - best->job->order) > 0)))
        return;
    *best = (struct choice){j, suits};
}

/* Of the groups at home with the instance. */
static struct job *from_home(struct schedule *s, const struct member *i, const struct lane *q)
{
    struct choice best = {0};

    if (!q->homed.head) return NULL;
    for (int k = 0; k < SCHEDULE_HOMES; k++) {
        struct group *g = i->homes[k] ? idmap_get(&s->groups, i->homes[k]) : NULL;

        if (g && g->lane == q && g->pooled.n)
            consider(s, i, first_that_fits(i, &g->pooled), 1, &best);
    }
    return best.job;
}

static struct job *from_groups(struct schedule *s, const struct member *i,
                               const struct group_list *l)
{
    struct choice best = {0};

    for (struct group *g = l->head; g && !best.job; g = g->next)
        consider(s, i, first_that_fits(i, &g->pooled), 1, &best);
    return best.job;
}

/* What waits longer than it should is dear: everybody takes what suits him at these prices, and the
 * prices move until all kinds of jobs leave as they come. */
static double price_of(const struct lane *q, int c)
{
    double waits = (double)q->lists[c].n / (double)q->n_pooled;

    return waits * (double)q->all_came / fmax((double)q->came[c], 1);
}

static struct job *pick_in_lane(struct schedule *s, const struct member *i, struct lane *q)
{
    struct choice best = {from_home(s, i, q), 0};

    if (best.job) return best.job;
    for (uint64_t left = q->classes; left; left &= left - 1) {
        int c = __builtin_ctzll(left);

        consider(s, i, first_that_fits(i, &q->lists[c]), price_of(q, c), &best);
    }
    consider(s, i, from_groups(s, i, &q->fresh), 1, &best);
    return best.job ? best.job : from_groups(s, i, &q->homed);
}

struct lane_choice {
    const struct lane *lane;
    struct job *job;
};

static bool given_less(const struct lane *a, const struct lane *b)
{
    return a->given < b->given || (a->given <= b->given && a->order < b->order);
}

static void consider_lane(struct schedule *s, const struct member *i, struct lane *q,
                          struct lane_choice *best)
{
    struct job *j;

    if (best->job && !given_less(q, best->lane)) return;
    j = pick_in_lane(s, i, q);
    if (j) *best = (struct lane_choice){q, j};
}

static struct lane *lane_at(const struct level *l, size_t k)
{
    return (struct lane *)((char *)heap_at(&l->pooled, k) - offsetof(struct lane, node));
}

/* The lane that was given the least, of those that have a job for the instance. */
static void consider_level(struct schedule *s, const struct member *i, const struct level *l,
                           struct lane_choice *best)
{
    struct job *before = best->job;

    if (!l->pooled.n) return;
    consider_lane(s, i, lane_at(l, 0), best);
    if (best->job != before) return;
    for (size_t k = 1; k < l->pooled.n; k++)
        consider_lane(s, i, lane_at(l, k), best);
}

struct job *schedule_pool_pick(struct schedule *s, struct member *i)
{
    const struct level *own = i->model->levels;
    const struct level *any = i->model == s->models ? NULL : s->models->levels;

    s->declined = false;
    if (!s->n_pooled) return NULL;
    while (own || any) {
        struct lane_choice best = {0};
        int64_t priority =
            own && (!any || own->priority <= any->priority) ? own->priority : any->priority;

        if (own && own->priority == priority) {
            consider_level(s, i, own, &best);
            own = own->next;
        }
        if (any && any->priority == priority) {
            consider_level(s, i, any, &best);
            any = any->next;
        }
        if (best.job || s->declined) return best.job; /* S3: no larger one before it */
    }
    return NULL;
}
