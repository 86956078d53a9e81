/* schedule_pool.c - the jobs that nobody has yet, and which of them an instance may have. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mix.h"
#include "broker/schedule_part.h"

#define CAME_MOST   65536.0F /* jobs: beyond them all count half */
#define IDLE_GROUPS 16384    /* groups without jobs that are remembered, for their homes */

/* --- lists ------------------------------------------------------------------------------------ */

static void list_put(struct job_list *l, struct job *j, bool first)
{
    if (!l->n || j->need_tokens < l->least_need) l->least_need = j->need_tokens;
    j->next = first ? l->head : NULL;
    j->prev = first ? NULL : l->tail;
    *(j->prev ? &j->prev->next : &l->head) = j;
    *(j->next ? &j->next->prev : &l->tail) = j;
    l->n++;
}

static void list_remove(struct job_list *l, struct job *j)
{
    *(j->prev ? &j->prev->next : &l->head) = j->next;
    *(j->next ? &j->next->prev : &l->tail) = j->prev;
    j->next = j->prev = NULL;
    l->n--;
}

static void groups_put(struct group_list *l, struct group *g)
{
    g->next = NULL;
    g->prev = l->tail;
    *(g->prev ? &g->prev->next : &l->head) = g;
    l->tail = g;
}

static void groups_remove(struct group_list *l, struct group *g)
{
    *(g->prev ? &g->prev->next : &l->head) = g->next;
    *(g->next ? &g->next->prev : &l->tail) = g->prev;
    g->next = g->prev = NULL;
}

/* --- models, levels, lanes -------------------------------------------------------------------- */

struct model_pool *schedule_model(struct schedule *s, int32_t id)
{
    struct model_pool **at = &s->models, *m;

    while (*at && (*at)->id != id)
        at = &(*at)->next;
    if (*at) return *at;
    m = calloc(1, sizeof *m);
    if (m) m->id = id;
    return *at = m;
}

static struct level *find_level(struct model_pool *m, int64_t priority)
{
    struct level **at = &m->levels, *l;

    while (*at && (*at)->priority < priority)
        at = &(*at)->next;
    if (*at && (*at)->priority == priority) return *at;
    l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->priority = priority;
    l->model = m;
    l->next = *at;
    return *at = l;
}

static void drop_level(struct level *l)
{
    struct level **at = &l->model->levels;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    heap_fini(&l->pooled);
    free(l);
}

static struct lane *find_lane(struct schedule *s, struct level *l, int64_t batch)
{
    struct lane *q, **at = &l->lanes;
    size_t n = 1;

    for (; *at; at = &(*at)->next, n++)
        if ((*at)->batch == batch) return *at;
    if (heap_reserve(&l->pooled, n) || !(q = calloc(1, sizeof *q))) return NULL;
    q->batch = batch;
    q->level = l;
    q->order = ++s->orders;
    return *at = q;
}

static void drop_lane(struct lane *q)
{
    struct level *l = q->level;
    struct lane **at = &l->lanes;

    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    free(q);
    if (!l->lanes) drop_level(l);
}

/* --- groups ----------------------------------------------------------------------------------- */

static int64_t group_key(const struct schedule_job *w)
{
    uint64_t h = mix64((uint64_t)w->group ^ mix64((uint64_t)w->batch));

    h = mix64(h ^ mix64((uint64_t)w->priority + 1) ^ (uint64_t)w->model << 32);
    return (int64_t)(h >> 1 | 1);
}

static void forget_group(struct schedule *s, struct group *g)
{
    groups_remove(&s->idle_groups, g);
    s->n_idle_groups--;
    (void)idmap_remove(&s->groups, g->key);
    free(g);
}

static void rest_group(struct schedule *s, struct group *g)
{
    g->lane = NULL;
    groups_put(&s->idle_groups, g);
    if (++s->n_idle_groups > IDLE_GROUPS) forget_group(s, s->idle_groups.head);
}

static struct group *find_group(struct schedule *s, const struct schedule_job *w)
{
    int64_t key = group_key(w);
    struct group *g = idmap_get(&s->groups, key);

    if (g) return g;
    g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->key = key;
    if (idmap_put(&s->groups, key, g)) {
        free(g);
        return NULL;
    }
    rest_group(s, g);
    return g;
}

static struct group_list *list_of(struct group *g)
{
    return g->home ? &g->lane->homed : &g->lane->fresh;
}

void schedule_pool_home(const struct job *j, struct member *i)
{
    struct group *g = j->group;

    if (!g || !i->is.prefix_caching) return;
    for (int k = 0; k < SCHEDULE_HOMES; k++)
        if (i->homes[k] == g->key) return;
    i->homes[i->n_homes++ % SCHEDULE_HOMES] = g->key;
    if (g->pooled.n) groups_remove(list_of(g), g);
    g->home = i->is.id;
    if (g->pooled.n) groups_put(list_of(g), g);
}

/* --- into the pool and out -------------------------------------------------------------------- */

int schedule_pool_place(struct schedule *s, struct job *j, const struct schedule_job *w)
{
    struct model_pool *m = schedule_model(s, w->model);
    struct level *l = m ? find_level(m, w->priority) : NULL;

    if (!l) return ERR_NOMEM;
    j->lane = find_lane(s, l, w->batch);
    if (!j->lane) {
        if (!l->lanes) drop_level(l);
        return ERR_NOMEM;
    }
    j->group = w->group ? find_group(s, w) : NULL;
    if (!w->group || j->group) return ERR_OK;
    if (!j->lane->n_pooled && !j->lane->n_granted) drop_lane(j->lane);
    return ERR_NOMEM;
}

static void place(struct lane *q)
{
    int rc = heap_put(&q->level->pooled, &q->node, q->given, q->order);

    assert(!rc); /* it is reserved */
}

/* A lane that comes, or comes back, has no arrears. */
static void enter(struct lane *q)
{
    const struct heap *h = &q->level->pooled;

    if (h->n && q->given < h->entries[0].key) q->given = h->entries[0].key;
    place(q);
}

static void count_class(struct lane *q, int c)
{
    q->came[c]++;
    if (++q->all_came < CAME_MOST) return;
    q->all_came = 0;
    for (int k = 0; k < SCHEDULE_CLASSES; k++)
        q->all_came += q->came[k] /= 2;
}

void schedule_pool_put(struct schedule *s, struct job *j, bool first)
{
    struct lane *q = j->lane;
    struct group *g = j->group;

    j->holder = NULL;
    if (!q->n_pooled++) enter(q);
    s->n_pooled++;
    q->level->model->n_pooled++;
    if (!g) {
        list_put(&q->lists[j->class], j, first);
        if (!first) count_class(q, j->class);
        q->classes |= (uint64_t)1 << j->class;
        return;
    }
    if (!g->pooled.n) {
        if (!g->lane) {
            groups_remove(&s->idle_groups, g);
            s->n_idle_groups--;
        }
        g->lane = q;
        groups_put(list_of(g), g);
    }
    list_put(&g->pooled, j, first);
}

void schedule_pool_remove(struct schedule *s, struct job *j)
{
    struct lane *q = j->lane;
    struct group *g = j->group;

    s->n_pooled--;
    q->level->model->n_pooled--;
    if (!--q->n_pooled) heap_remove(&q->level->pooled, &q->node);
    if (!g) {
        list_remove(&q->lists[j->class], j);
        if (!q->lists[j->class].n) q->classes &= ~((uint64_t)1 << j->class);
        return;
    }
    list_remove(&g->pooled, j);
    if (!g->pooled.n) groups_remove(list_of(g), g);
}

static int64_t add_list(struct features *sum, const struct job_list *l)
{
    for (const struct job *j = l->head; j; j = j->next)
        schedule_add_features(sum, j);
    return l->n;
}

static int64_t add_lane(struct features *sum, const struct lane *q)
{
    int64_t n = 0;

    for (uint64_t left = q->classes; left; left &= left - 1)
        n += add_list(sum, &q->lists[__builtin_ctzll(left)]);
    for (const struct group *g = q->fresh.head; g; g = g->next)
        n += add_list(sum, &g->pooled);
    for (const struct group *g = q->homed.head; g; g = g->next)
        n += add_list(sum, &g->pooled);
    return n;
}

int64_t schedule_pool_sum(const struct schedule *s, struct features *sum)
{
    int64_t n = 0;

    *sum = (struct features){{0}};
    for (const struct model_pool *m = s->models; m; m = m->next)
        for (const struct level *l = m->levels; l; l = l->next)
            for (const struct lane *q = l->lanes; q; q = q->next)
                n += add_lane(sum, q);
    return n;
}

void schedule_pool_charge(struct lane *q, double seconds)
{
    q->given += seconds;
    if (q->node.at) place(q);
}

void schedule_pool_count(struct schedule *s, struct job *j, int by)
{
    struct lane *q = j->lane;
    struct group *g = j->group;

    q->n_granted += by;
    if (g) g->n_granted += by;
    if (g && !g->n_granted && !g->pooled.n && g->lane) rest_group(s, g);
    if (!q->n_granted && !q->n_pooled) drop_lane(q);
}

void schedule_pool_fini(struct schedule *s)
{
    struct model_pool *m;
    struct group *g;
    size_t at = 0;

    while ((g = idmap_next(&s->groups, &at)))
        free(g);
    while ((m = s->models)) {
        while (m->levels) {
            struct lane *q = m->levels->lanes;

            m->levels->lanes = q ? q->next : NULL;
            free(q);
            if (!m->levels->lanes) drop_level(m->levels);
        }
        s->models = m->next;
        heap_fini(&m->idle);
        heap_fini(&m->hungry);
        free(m);
    }
    idmap_fini(&s->groups);
}
