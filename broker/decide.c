/* decide.c - what the scheduler has decided becomes leases, and messages to workers. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "broker/serve.h"

#define PARCEL_ROWS 1024 /* of one message */
#define STOP_ROWS   256  /* likewise */

bool decide_lease(struct server *s, struct instance *i, struct ready_job *j, bool copy,
                  int64_t tokens)
{
    const struct lease l = {.job_id = j->job_id,
                            .batch_id = j->batch_id,
                            .generation = j->generation,
                            .holder = i->instance_id,
                            .deadline_ms = clock_mono_ms() + s->o->lease_ms,
                            .leased_ms = clock_wall_ms(),
                            .body_bytes = (int64_t)j->body_len,
                            .est_tokens = j->est_tokens,
                            .alone = j->suspect};
    const int rc = copy ? lease_copy(s->leases, &l) : lease_grant(s->leases, &l);

    if (rc) {
        free(j); /* somebody said meanwhile that he still holds it */
        return false;
    }
    j->next = NULL;
    *(i->parcel_tail ? &i->parcel_tail->next : &i->parcel) = j;
    i->parcel_tail = j;
    i->want_rows--;
    i->want_tokens -= tokens;
    s->has_parcels = true;
    return true;
}

/* --- decisions -------------------------------------------------------------------------------- */

/* False when it came to nothing: then the scheduler must hear that the job is back. */
static bool grant(struct server *s, struct instance *i, const struct schedule_decision *d)
{
    struct ready_job *j = NULL;
    struct errmsg e;

    i->asked_rows -= i->asked_rows > 0;
    i->asked_tokens -= d->tokens;
    if (d->verdict == DECIDE_GRANT) {
        j = ready_take(s->ready, d->job_id);
    } else {
        const struct lease *l = lease_find(s->leases, d->job_id);

        if (l && !l->settling && ready_fetch(s->ready, d->job_id, l->batch_id, &j, &e))
            log_info("schedule", "no copy of job %lld", (long long)d->job_id);
        if (j && j->generation != l->generation) {
            free(j);
            j = NULL;
        }
    }
    return j && decide_lease(s, i, j, d->verdict == DECIDE_COPY, d->tokens);
}

/* The jobs of decisions alike that follow each other are one message: how many there were. */
static size_t stop(struct server *s, const struct schedule_decision *d, size_t n)
{
    const bool unstarted = d->verdict == DECIDE_TAKE_BACK;
    const struct instance *i = instance_of_id(&s->instances, d->instance);
    int64_t jobs[STOP_ROWS];
    size_t k, n_jobs = 0;

    for (k = 0;
         k < n && k < STOP_ROWS && d[k].verdict == d->verdict && d[k].instance == d->instance;
         k++) {
        struct lease *l = lease_of(s->leases, d[k].job_id, d->instance);

        if (!l || l->stopped || l->settling) continue;
        if (!unstarted) l->stopped = true;
        jobs[n_jobs++] = l->job_id;
    }
    if (i && n_jobs && (i->takes_back || !unstarted))
        ended_say_stop(s, i, jobs, n_jobs, unstarted ? "taken_back" : "done_elsewhere", unstarted);
    return k;
}

/* Decisions that came to nothing, told after the others: an event is the end of its array. */
struct undone {
    int64_t instance, job_id;
    bool stays; /* it is in the pool again */
};

static void note_undone(struct server *s, struct undone **at, size_t *n,
                        const struct schedule_decision *d, bool stays)
{
    struct undone *bigger = *at;

    if (!(*n & (*n - 1))) bigger = realloc(*at, (*n ? *n * 2 : 1) * sizeof **at);
    if (!bigger) {
        s->out_of_step = true;
        return;
    }
    *at = bigger;
    (*at)[(*n)++] = (struct undone){d->instance, d->job_id, stays};
}

static void tell_undone(struct server *s, const struct undone *u, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        struct instance *i = u[k].stays ? instance_of_id(&s->instances, u[k].instance) : NULL;

        if (i) grant_nothing(s, i); /* or it would have it again at once */
        grant_back(s, u[k].instance, u[k].job_id, u[k].stays);
    }
}

void decide_apply(struct server *s)
{
    size_t n, n_undone = 0, granted = 0;
    const struct schedule_decision *d = schedule_decisions(s->schedule, &n);
    struct undone *undone = NULL;

    for (size_t k = 0; k < n; k++) {
        struct instance *i;

        switch (d[k].verdict) {
        case DECIDE_GRANT:
        case DECIDE_COPY:
            i = instance_of_id(&s->instances, d[k].instance);
            if (i && !s->blocked && grant(s, i, &d[k]))
                granted++;
            else
                note_undone(s, &undone, &n_undone, &d[k],
                            s->blocked && d[k].verdict == DECIDE_GRANT);
            break;
        case DECIDE_TAKE_BACK:
        case DECIDE_STOP: k += stop(s, &d[k], n - k) - 1; break;
        case DECIDE_READ: s->wants_rows = true; break;
        }
    }
    s->granted |= granted > 0;
    tell_undone(s, undone, n_undone);
    free(undone);
}

/* --- parcels ---------------------------------------------------------------------------------- */

/* The first rows of the parcel, up to a message's worth; *end: the first that is not in it. */
static void lease_message(const struct server *s, const struct ready_job *head,
                          const struct ready_job **end, struct wire_out *o)
{
    size_t n = 0, bytes = 0;
    const struct ready_job *j;

    for (j = head; j && n < PARCEL_ROWS && bytes < WIRE_GROUP_BYTES; j = j->next) {
        bytes += j->body_len + 64;
        n++;
    }
    *end = j;
    wire_begin(o, 3);
    wire_put_str(o, "db_uuid", writer_uuid(s->writer));
    wire_put_int(o, "epoch", writer_epoch(s->writer));
    wire_put_array(o, "jobs", n);
    for (j = head; j != *end; j = j->next) {
        wire_add_array(o, 5);
        wire_add_int(o, j->job_id);
        wire_add_int(o, j->generation);
        wire_add_int(o, j->attempts + 1);
        wire_add_int(o, j->endpoint);
        wire_add_bin(o, j->body, j->body_len);
    }
}

static struct ready_job *take_first(struct instance *i)
{
    struct ready_job *j = i->parcel;

    i->parcel = j->next;
    if (!i->parcel) i->parcel_tail = NULL;
    return j;
}

static bool send_some(struct server *s, struct instance *i)
{
    const struct ready_job *end;
    struct wire_out o;
    size_t n = 0;
    int rc;

    lease_message(s, i->parcel, &end, &o);
    rc = fault_here("grant") ? ERR_FULL
                             : wire_send(s->socket, i->peer, i->peer_len, WIRE_LEASE, 0, &o);
    wire_fini(&o);
    for (; !rc && i->parcel != end; n++)
        free(take_first(i));
    log_debug("lease", "granted %zu rows name=%s", n, i->row.name);
    return !rc;
}

void decide_unsend(struct server *s, struct instance *i)
{
    while (i->parcel) {
        struct ready_job *j = take_first(i);
        const struct lease *l = lease_of(s->leases, j->job_id, i->instance_id);
        const int64_t job_id = j->job_id, batch_id = j->batch_id;
        const bool alone = l && !lease_beside(s->leases, l);
        bool stays = false;

        lease_end(s->leases, job_id, i->instance_id);
        if (alone)
            stays = ready_push(s->ready, j);
        else
            free(j);
        if (!stays) ended_return(s, job_id, batch_id);
        grant_back(s, i->instance_id, job_id, stays);
        s->news++;
    }
}

/* False when it is gone. */
static bool send_parcel(struct server *s, struct instance *i)
{
    while (i->parcel && send_some(s, i))
        ;
    if (i->parcel) {
        worker_lost(s, i, "unreachable");
        return false;
    }
    if (i->want_stands) return true;
    i->want_rows = i->want_tokens = 0;
    grant_nothing(s, i);
    return true;
}

void decide_send(struct server *s)
{
    if (!s->has_parcels) return;
    s->has_parcels = false;
    for (size_t k = 0; k < s->instances.n;)
        if (!s->instances.at[k]->parcel || send_parcel(s, s->instances.at[k]))
            k++; /* otherwise another one is in its place */
}
