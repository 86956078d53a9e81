/* schedule_hold.c - jobs change hands: from the pool to an instance, to two, and back. */
#include <assert.h>
#include <stdlib.h>

#include "broker/schedule_part.h"

struct job *schedule_new_job(struct schedule *s)
{
    struct job *j = s->spare;
    struct job_slab *slab;

    if (!j) {
        slab = calloc(1, sizeof *slab);
        if (!slab) return NULL;
        slab->next = s->slabs;
        s->slabs = slab;
        for (size_t k = sizeof slab->jobs / sizeof slab->jobs[0]; k--;) {
            slab->jobs[k].next = j;
            j = &slab->jobs[k];
        }
    }
    s->spare = j->next;
    *j = (struct job){0};
    return j;
}

void schedule_free_job(struct schedule *s, struct job *j)
{
    j->next = s->spare;
    s->spare = j;
}

void schedule_hold(struct schedule *s, struct member *i, struct job *j)
{
    int64_t tokens = (int64_t)j->prompt_tokens + j->output_tokens;

    j->holder = i;
    j->begin_s = (float)(s->now_s - s->start_s + schedule_unbegun_s(i));
    j->next = NULL;
    j->prev = i->tail;
    *(i->tail ? &i->tail->next : &i->head) = j;
    i->tail = j;
    i->n_rows++;
    i->since++;
    i->awaits = 0;
    i->tokens += tokens;
    i->seconds += (double)j->seconds;
    i->ask_rows--;
    i->ask_tokens -= tokens;
    s->n_granted++;
    schedule_pool_charge(j->lane, (double)j->seconds);
    schedule_pool_count(s, j, 1);
}

bool schedule_grant(struct schedule *s, struct member *i, struct job *j)
{
    j->output_tokens = schedule_output(s, j);
    j->seconds = (float)schedule_cost_s(i, j);
    if (!schedule_decide(s, DECIDE_GRANT, j, i)) return false;
    schedule_pool_home(j, i);
    schedule_pool_remove(s, j);
    schedule_hold(s, i, j);
    schedule_count_job(s, i, j);
    return true;
}

void schedule_release(struct schedule *s, struct job *j)
{
    struct member *i = j->holder;

    *(j->prev ? &j->prev->next : &i->head) = j->next;
    *(j->next ? &j->next->prev : &i->tail) = j->prev;
    j->next = j->prev = NULL;
    j->holder = NULL;
    i->n_rows--;
    i->tokens -= (int64_t)j->prompt_tokens + j->output_tokens;
    i->seconds = i->n_rows ? i->seconds - (double)j->seconds : 0;
    s->n_granted--;
}

void schedule_forget(struct schedule *s, struct job *j)
{
    if (j->twin) j->twin->twin = NULL;
    schedule_pool_count(s, j, -1);
    schedule_free_job(s, j);
}

struct job *schedule_held_by(struct job *j, const struct member *i)
{
    if (!j || j->holder == i) return j;
    return j->twin && j->twin->holder == i ? j->twin : NULL;
}

void schedule_give_back(struct schedule *s, struct job *j, bool ready)
{
    struct job *other = j->twin;

    schedule_release(s, j);
    schedule_pool_charge(j->lane, -(double)j->seconds);
    if (other) {
        if (idmap_get(&s->jobs, j->id) == j && idmap_put(&s->jobs, j->id, other))
            assert(!"an id that is there needs no memory");
        schedule_forget(s, j);
    } else if (ready && !j->is_forgotten) {
        schedule_pool_put(s, j, true);
        schedule_pool_count(s, j, -1);
    } else {
        (void)idmap_remove(&s->jobs, j->id);
        schedule_forget(s, j);
    }
}
