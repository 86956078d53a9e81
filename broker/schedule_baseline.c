/* schedule_baseline.c - policies that give in turn, for comparison.
 *
 * POLICY_LOAD is a reconstruction: the summary of arXiv 2504.15303 says what goes into the load of
 * an instance (its computing and its KV memory), not how; formula and weight are ours.
 */
#include <assert.h>
#include <math.h>

#include "broker/schedule_part.h"

#define LOAD_WEIGHT 0.5

bool schedule_takes_turns(const struct schedule *s)
{
    return s->o.policy != POLICY_SIZED && s->o.policy != POLICY_PULL;
}

static bool is_asking(const struct member *i)
{
    return i->ask_rows > 0 && i->ask_tokens > 0;
}

/* Whoever is least has the next turn. */
static double turn_key(const struct schedule *s, const struct member *i)
{
    return s->o.policy == POLICY_LEAST_TOKENS ? (double)i->tokens : i->turns;
}

/* In a fixed order the turn waits for its instance; otherwise only who asked has turns. */
static bool has_turns(const struct schedule *s, const struct member *i)
{
    return s->o.policy == POLICY_ROUND_ROBIN || s->o.policy == POLICY_WEIGHTED || is_asking(i);
}

void schedule_touch_turn(struct schedule *s, struct member *i)
{
    int rc = ERR_OK;

    if (has_turns(s, i)) {
        rc = heap_put(&s->turn, &i->turn, turn_key(s, i), i->order);
        assert(!rc); /* it is reserved */
    } else {
        heap_remove(&s->turn, &i->turn);
    }
}

static struct member *turn_at(const struct schedule *s, size_t k)
{
    return (struct member *)((char *)heap_at(&s->turn, k) - offsetof(struct member, turn));
}

/* What the instance would be loaded with, with this job. */
static double load(const struct schedule *s, const struct member *i, const struct job *j)
{
    double a = s->o.load_weight > 0 ? s->o.load_weight : LOAD_WEIGHT;
    double reference =
        s->rate > 0 ? (double)s->n_instances / s->rate : 1; /* a mean job's seconds */
    double tokens = (double)i->tokens + j->prompt_tokens + j->output_tokens;
    double memory = i->is.kv_tokens > 0 ? tokens / (double)i->is.kv_tokens : 0;
    double x = a * (i->seconds + schedule_cost_s(i, j)) / (reference * i->n_run) + (1 - a) * memory;

    return memory > 1 ? x + 1e6 : x; /* only when all are full */
}

/* Every one is looked at: this is a yardstick, not for clusters. */
static struct member *least_loaded(struct schedule *s, struct job **job)
{
    struct member *best = NULL;
    double least = INFINITY;

    for (size_t k = 0; k < s->turn.n; k++) {
        struct member *i = turn_at(s, k);
        struct job *j = schedule_pool_pick(s, i);
        double x;

        if (!j || !schedule_has_room(s, i, j)) continue;
        x = load(s, i, j);
        if (x > least || (x >= least && best && i->order > best->order)) continue;
        least = x;
        best = i;
        *job = j;
    }
    return best;
}

static void give_by_load(struct schedule *s)
{
    struct member *i;
    struct job *j = NULL;

    while (s->n_pooled && (i = least_loaded(s, &j)) && schedule_grant(s, i, j))
        schedule_touch_turn(s, i);
}

static double one_turn(const struct schedule *s, const struct member *i)
{
    return s->o.policy == POLICY_WEIGHTED ? 1 / i->rate : 1;
}

enum turn { TURN_TAKEN, TURN_PASSED, TURN_WAITS };

static enum turn take_turn(struct schedule *s, struct member *i)
{
    struct job *j = schedule_pool_pick(s, i);

    if (!j) return TURN_PASSED; /* nothing that fits it */
    if (!schedule_has_room(s, i, j)) return TURN_WAITS;
    for (int64_t k = 0; k < s->o.lease_rows || !k; k++) {
        if (k) j = schedule_pool_pick(s, i);
        if (!j || !schedule_has_room(s, i, j) || !schedule_grant(s, i, j)) break;
        i->turns += one_turn(s, i);
    }
    return TURN_TAKEN;
}

/* Whoever passes is set aside, and has the first turn when something comes that fits it. */
static void give_in_turn(struct schedule *s)
{
    struct member *aside = NULL, *i;
    enum turn t = TURN_TAKEN;

    while (s->n_pooled && s->turn.n && t != TURN_WAITS) {
        i = turn_at(s, 0);
        t = take_turn(s, i);
        if (t == TURN_WAITS && s->o.policy == POLICY_LEAST_TOKENS) t = TURN_PASSED;
        if (t == TURN_PASSED) {
            heap_remove(&s->turn, &i->turn);
            i->next = aside;
            aside = i;
        } else {
            schedule_touch_turn(s, i);
        }
    }
    while ((i = aside)) {
        aside = i->next;
        schedule_touch_turn(s, i);
    }
}

void schedule_give_turns(struct schedule *s)
{
    if (s->o.policy == POLICY_LOAD)
        give_by_load(s);
    else
        give_in_turn(s);
}
