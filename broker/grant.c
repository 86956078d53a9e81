/* grant.c - what the scheduler is told, and what is granted beside it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "broker/serve.h"

#define MOST_UNWRITTEN 16384 /* results; more leases would only make the disk's queue longer */
#define FAIL_AT_ONCE   1024  /* rows: results must not wait for them */
#define MOST_WANTED    ((int64_t)1 << 48)
#define NAMELESS       (INT32_MAX - 1) /* the model of an instance that does not say */

/* --- the world of the window ------------------------------------------------------------------ */

static bool is_known(void *arg, int64_t job_id)
{
    const struct server *s = arg;

    return lease_find(s->leases, job_id) || idmap_get(&s->withheld, job_id);
}

static int64_t n_held(void *arg, int64_t batch_id)
{
    return (int64_t)lease_count_batch(((const struct server *)arg)->leases, batch_id);
}

static int64_t largest(void *arg, const char *model)
{
    return instance_largest(&((const struct server *)arg)->instances, model);
}

struct ready_world grant_world(struct server *s)
{
    return (struct ready_world){s, is_known, n_held, largest};
}

/* --- instances -------------------------------------------------------------------------------- */

/* The number of a model's name; "": 0, any. */
static int32_t model_number(struct server *s, const char *name)
{
    struct model_name *n;
    int32_t last = 0;

    if (!name[0]) return 0;
    for (n = s->models; n; n = n->next) {
        if (!strcmp(n->name, name)) return n->number;
        if (n->number > last) last = n->number;
    }
    if (!(n = calloc(1, sizeof *n))) {
        s->out_of_step = true;
        return INT32_MAX; /* nobody's, until there is memory */
    }
    snprintf(n->name, sizeof n->name, "%s", name);
    n->number = last + 1;
    n->next = s->models;
    s->models = n;
    return n->number;
}

/* Instances of one process have the same; 0: alone, or not known. */
static int64_t host_number(const struct instance *i)
{
    char text[96];
    const int n = snprintf(text, sizeof text, "%s/%lld", i->row.host, (long long)i->pid);

    return i->pid ? (int64_t)(hash64(text, (size_t)n) >> 1 | 1) : 0;
}

static void tell_instance(struct server *s, const struct instance *i, enum schedule_kind kind)
{
    const struct schedule_instance x = {.id = i->instance_id,
                                        .model = i->row.model[0] ? model_number(s, i->row.model)
                                                                 : NAMELESS,
                                        .host = host_number(i),
                                        .perf = i->perf,
                                        .kv_tokens = i->row.kv_tokens,
                                        .max_model_len = i->row.max_model_len,
                                        .max_num_seqs = i->row.max_num_seqs,
                                        .max_batched_tokens = i->max_batched_tokens,
                                        .prefix_caching = i->prefix_caching};

    grant_event(s, &(struct schedule_event){.kind = kind, .id = x.id, .instance = &x});
}

void grant_joined(struct server *s, struct instance *i)
{
    i->want_rows = i->want_tokens = 0; /* it asks when it has its welcome */
    tell_instance(s, i, EVENT_JOIN);
    tell_instance(s, i, EVENT_MODEL); /* it was known already */
}

void grant_profiled(struct server *s, struct instance *i, const struct perf *p)
{
    i->perf = *p;
    tell_instance(s, i, EVENT_MODEL);
}

/* How much it may be given now, of what it wants. */
static void ask(struct server *s, struct instance *i, int64_t rows, int64_t tokens)
{
    i->asked_rows = rows;
    i->asked_tokens = tokens;
    grant_event(s, &(struct schedule_event){
                       .kind = EVENT_ASK, .id = i->instance_id, .rows = rows, .tokens = tokens});
}

void grant_left(struct server *s, struct instance *i)
{
    grant_event(s, &(struct schedule_event){.kind = EVENT_LEAVE, .id = i->instance_id});
}

void grant_nothing(struct server *s, struct instance *i)
{
    if (i->asked_rows) ask(s, i, 0, 0);
}

/* What a worker says, as a count that can be reckoned with. */
static int64_t count_of(const msgpack_object *m, const char *key)
{
    const int64_t n = wire_int(m, key, 0);

    return n < 0 ? 0 : n < MOST_WANTED ? n : MOST_WANTED;
}

void grant_wanted(struct server *s, struct instance *i, const msgpack_object *m)
{
    const int64_t held = wire_int(m, "held", -1);
    size_t leased;
    const int64_t tokens = lease_tokens(s->leases, i->instance_id, &leased);

    i->want_rows = count_of(m, "rows");
    i->want_tokens = count_of(m, "tokens");
    i->asked_rows = -1; /* said anew */
    i->want_stands = held >= 0;
    if (held < 0 || held >= (int64_t)leased) return;
    /* On their way to it when it said so. */
    i->want_rows -= (int64_t)leased - held;
    i->want_tokens -= tokens / (int64_t)leased * ((int64_t)leased - held);
}

void grant_beat(struct server *s, const struct instance *i, int64_t unbegun)
{
    if (i->takes_back && unbegun >= 0)
        grant_event(
            s, &(struct schedule_event){.kind = EVENT_BEAT, .id = i->instance_id, .rows = unbegun});
}

/* --- jobs ------------------------------------------------------------------------------------- */

static int32_t clamp(int64_t n)
{
    return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : (int32_t)n;
}

void grant_done(struct server *s, int64_t instance_id, int64_t job_id, const msgpack_object *m)
{
    grant_event(s,
                &(struct schedule_event){.kind = EVENT_DONE,
                                         .id = instance_id,
                                         .job_id = job_id,
                                         .prompt_tokens = clamp(wire_int(m, "prompt_tokens", 0)),
                                         .cached_tokens = clamp(wire_int(m, "cached_tokens", 0)),
                                         .output_tokens = clamp(wire_int(m, "output_tokens", 0))});
}

void grant_back(struct server *s, int64_t instance_id, int64_t job_id, bool ready)
{
    grant_event(s, &(struct schedule_event){
                       .kind = EVENT_BACK, .id = instance_id, .job_id = job_id, .ready = ready});
}

static void tell_job(struct server *s, const struct ready_job *j, enum schedule_kind kind,
                     int64_t instance_id)
{
    const struct schedule_job x = {.id = j->job_id,
                                   .batch = j->batch_id,
                                   .priority = j->priority,
                                   .group = j->group,
                                   .model = model_number(s, j->model),
                                   .prompt_tokens = clamp(j->prompt_tokens + 1),
                                   .max_tokens = clamp(j->max_tokens),
                                   .output_tokens = -1,
                                   .need_tokens = j->need_tokens};

    grant_event(s, &(struct schedule_event){.kind = kind, .id = instance_id, .job = &x});
}

void grant_held(struct server *s, const struct lease *l)
{
    struct ready_job *j = NULL;
    struct errmsg e;

    if (ready_fetch(s->ready, l->job_id, l->batch_id, &j, &e) || !j) return;
    tell_job(s, j, EVENT_HELD, l->holder);
    free(j);
}

/* What lies behind the pool; with it the scheduler serves from what has come. */
static void tell_backlog(struct server *s, bool told)
{
    int64_t tokens, rows = ready_backlog(s->ready, &tokens);

    if (!told && rows == s->backlog_rows && tokens == s->backlog_tokens) return;
    s->backlog_rows = rows;
    s->backlog_tokens = tokens;
    grant_event(s, &(struct schedule_event){.kind = EVENT_BACKLOG, .rows = rows, .tokens = tokens});
}

/* --- the scheduler ---------------------------------------------------------------------------- */

static void tell(struct server *s, const struct schedule_event *ev)
{
    const double now_s = (double)clock_mono_ns() / 1e9;
    int rc;

    if (!s->schedule) return; /* it is told all of it once it is there */
    rc = schedule_event(s->schedule, ev, now_s);
    if (rc == ERR_NOMEM) s->out_of_step = true;
    if (!rc) decide_apply(s);
}

/* Rows that have left the window are told first: they would be granted in vain, one after the
 * other. */
static void tell_gone(struct server *s)
{
    int64_t job_id;

    while ((job_id = ready_gone(s->ready)))
        tell(s, &(struct schedule_event){.kind = EVENT_UNREADY, .id = job_id});
}

void grant_event(struct server *s, const struct schedule_event *ev)
{
    tell_gone(s);
    tell(s, ev);
}

/* Memory ran out somewhere: the scheduler begins anew with what is known here.  Leases that it does
 * not know of end like any other. */
static void begin_anew(struct server *s)
{
    struct errmsg e;

    schedule_close(&s->schedule);
    if (grant_open(s, &e)) return;
    log_warn("schedule", "out of memory: it begins anew");
    for (size_t k = 0; k < s->instances.n; k++) {
        tell_instance(s, s->instances.at[k], EVENT_JOIN);
        s->instances.at[k]->asked_rows = -1;
    }
    ready_untell(s->ready);
}

int grant_open(struct server *s, struct errmsg *e)
{
    s->out_of_step = false;
    s->backlog_rows = s->backlog_tokens = 0;
    return schedule_open(&s->schedule, &s->o->schedule, e);
}

void grant_close(struct server *s)
{
    struct model_name *n;

    schedule_close(&s->schedule);
    while ((n = s->models)) {
        s->models = n->next;
        free(n);
    }
}

void grant_tick(struct server *s)
{
    if (!s->schedule) s->out_of_step = true;
    grant_event(s, &(struct schedule_event){.kind = EVENT_TICK});
}

/* Which batches may run now?  What is under way of those that no longer may is stopped. */
static void look(struct server *s)
{
    struct errmsg e;
    bool changed;

    if (s->looked_at == s->news) return;
    s->looked_at = s->news;
    if (s->has_suspects) s->has_suspects = ready_has_suspects(s->ready);
    if (ready_refresh(s->ready, clock_wall_ms(), &changed, &e)) {
        log_error("ready", "%s", e.text);
        return;
    }
    if (!changed) return;
    s->looked_at = ++s->news;
    ended_stop(s, 0, "");
}

/* A piece of the rows that are ready comes into the pool, or goes out of it; true when there is
 * more of that to do. */
static bool read_ahead(struct server *s)
{
    const struct ready_job *j;
    bool more = false, told = false;
    struct errmsg e;

    tell_gone(s);
    if (ready_read(s->ready, s->wants_rows, &more, &e)) log_error("ready", "%s", e.text);
    for (; (j = ready_tell(s->ready)); told = true)
        tell_job(s, j, EVENT_READY, 0);
    s->wants_rows = s->wants_rows && more;
    tell_backlog(s, told);
    return more;
}

/* --- who may be given something --------------------------------------------------------------- */

static bool share_a_process(const struct instance *a, const struct instance *b)
{
    return a == b || (a->pid && a->pid == b->pid && !strcmp(a->row.host, b->row.host));
}

/* Q8: a suspect has a process to itself, whatever else that process could run. */
static bool process_is_reserved(const struct server *s, const struct instance *i)
{
    for (size_t k = 0; k < s->instances.n; k++)
        if (share_a_process(i, s->instances.at[k]) &&
            lease_is_alone(s->leases, s->instances.at[k]->instance_id))
            return true;
    return false;
}

static bool process_is_idle(const struct server *s, const struct instance *i)
{
    size_t held;

    for (size_t k = 0; k < s->instances.n; k++) {
        if (!share_a_process(i, s->instances.at[k])) continue;
        (void)lease_tokens(s->leases, s->instances.at[k]->instance_id, &held);
        if (held) return false;
    }
    return true;
}

/* Q8: an instance that holds nothing takes a suspect before other work, one at a time. */
static void give_suspect(struct server *s, struct instance *i)
{
    struct ready_job *j;
    struct errmsg e;
    int rc;

    if (i->no_suspect_at == s->news || !process_is_idle(s, i) || process_is_reserved(s, i)) return;
    rc = ready_pop_suspect(s->ready, i->row.model, instance_limit(i), &j, &e);
    if (rc == ERR_EMPTY) i->no_suspect_at = s->news;
    if (rc && rc != ERR_EMPTY) log_error("ready", "%s", e.text);
    if (!rc && decide_lease(s, i, j, false, j->est_tokens)) {
        s->granted = true;
        for (size_t k = 0; k < s->instances.n; k++) /* rows that come before the next look */
            if (share_a_process(i, s->instances.at[k])) grant_nothing(s, s->instances.at[k]);
    }
}

/* B3, B5: with a distance between the end and the beginning, each of which all are told of. */
static bool is_blocked(const struct server *s)
{
    const size_t most = s->blocked ? MOST_UNWRITTEN * 3 / 4 : MOST_UNWRITTEN;

    return s->in_trouble || s->unwritten > most;
}

/* S3 holds for what is in the pool: nobody is given more at once than a batch with rows behind the
 * pool has in it. */
static void tell_want(struct server *s, struct instance *i, int64_t depth)
{
    int64_t rows = i->want_rows < depth ? i->want_rows : depth;

    if (s->has_suspects && i->want_rows > 0 && !s->blocked && !i->stalled) give_suspect(s, i);
    if (s->blocked || i->stalled || i->want_tokens <= 0 || rows <= 0 ||
        (s->has_suspects && process_is_reserved(s, i))) {
        grant_nothing(s, i);
        return;
    }
    if (rows > i->asked_rows || i->want_tokens > i->asked_tokens) ask(s, i, rows, i->want_tokens);
}

static void tell_wants(struct server *s)
{
    const size_t n = s->instances.n;
    int64_t depth;

    s->blocked = is_blocked(s);
    depth = s->blocked ? 0 : ready_depth(s->ready);
    for (size_t k = 0; k < n; k++) {
        struct instance *i = s->instances.at[(s->grant_from + k) % n];

        if (i->want_rows > 0 || i->asked_rows) tell_want(s, i, depth);
    }
    if (n) s->grant_from = (s->grant_from + 1) % n;
}

/* --- rows that fit nowhere -------------------------------------------------------------------- */

/* Fails a row that needs more than the largest instance has. */
static void fail_row(struct server *s, const struct ready_job *j, int64_t most)
{
    struct lease l = {.job_id = j->job_id, .batch_id = j->batch_id, .settling = true};
    struct op *op = op_new(OP_FAIL);

    if (op) op->settled = calloc(1, sizeof *op->settled);
    /* Held by nobody while the failure is on its way to the disk. */
    if (!op || !op->settled || lease_grant(s->leases, &l)) {
        if (op) op_free(&op);
        return;
    }
    op->n_settled = 1;
    op->failure = (struct failure){.job_id = j->job_id,
                                   .generation = j->generation,
                                   .final = true,
                                   .code = {"does_not_fit", 12}};
    snprintf(op->own_text, sizeof op->own_text,
             "the row needs %lld tokens of KV memory, the largest known instance holds %lld",
             (long long)j->need_tokens, (long long)most);
    writer_put(s->writer, op);
}

/* Rows too large for every instance that may run them fail when nothing else of their batch is left
 * to do. */
static void fail_oversized(struct server *s)
{
    const char *model;
    int64_t least, most, batch_id = 0;
    struct ready_job *j;
    struct errmsg e;

    while ((batch_id = ready_next_needy(s->ready, batch_id, &model, &least))) {
        most = instance_largest(&s->instances, model);
        if (!most || least <= most || lease_count_batch(s->leases, batch_id) ||
            !ready_only_needy(s->ready, batch_id))
            continue;
        for (int n = 0; n < FAIL_AT_ONCE && !ready_pop_needy(s->ready, batch_id, &j, &e); n++) {
            fail_row(s, j, most);
            free(j);
        }
    }
}

bool grant_next(struct server *s)
{
    bool more = false;

    s->granted = false;
    if (s->out_of_step) begin_anew(s);
    if (!s->in_trouble) {
        look(s);
        more = read_ahead(s);
    }
    tell_wants(s);
    decide_send(s);
    if (!s->blocked) fail_oversized(s);
    return more || s->granted; /* the pool has room again */
}
