/* grant.c - ready rows to hungry instances. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "broker/schedule.h"
#include "broker/serve.h"

#define PARCEL_ROWS    1024  /* milliseconds of reading: results must not wait for it */
#define MOST_UNWRITTEN 16384 /* results; more leases would only make the disk's queue longer */

bool grant_is_known(void *arg, int64_t job_id)
{
    const struct server *s = arg;

    return lease_find(s->leases, job_id) || idmap_get(&s->withheld, job_id);
}

static int64_t n_held(void *arg, int64_t batch_id)
{
    return (int64_t)lease_count_batch(((const struct server *)arg)->leases, batch_id);
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

struct parcel {
    struct ready_job *head, **tail;
    size_t n, bytes;
};

/* Adds a job to the parcel; false when somebody has it already. */
static bool add(struct server *s, const struct instance *i, struct parcel *p, struct ready_job *j,
                int64_t now_ms)
{
    struct lease l = {.job_id = j->job_id,
                      .batch_id = j->batch_id,
                      .generation = j->generation,
                      .holder = i->instance_id,
                      .deadline_ms = now_ms + s->o->lease_ms,
                      .leased_ms = clock_wall_ms(),
                      .body_bytes = (int64_t)j->body_len,
                      .est_tokens = j->est_tokens,
                      .alone = j->suspect};

    if (lease_grant(s->leases, &l)) {
        free(j); /* leased meanwhile: somebody said that he still holds it */
        return false;
    }
    j->next = NULL;
    *p->tail = j;
    p->tail = &j->next;
    p->n++;
    p->bytes += j->body_len + 64;
    return true;
}

/* Takes rows from the window until a limit is reached. */
static void pick(struct server *s, struct instance *i, int64_t rows, struct parcel *p,
                 int64_t now_ms)
{
    int64_t tokens = i->want_tokens;

    while ((int64_t)p->n < rows && p->n < PARCEL_ROWS && p->bytes < WIRE_GROUP_BYTES &&
           tokens > 0) {
        struct ready_job *j;
        struct errmsg e;
        int rc = ready_pop(s->ready, i->row.model, instance_limit(i), &j, &e);

        if (rc == ERR_EMPTY) i->dry_at = s->news;
        if (rc && rc != ERR_EMPTY) log_error("ready", "%s", e.text);
        if (rc) break;
        tokens -= j->est_tokens;
        (void)add(s, i, p, j, now_ms);
    }
}

/* Q8: an instance that holds nothing takes a suspect before other work, one at a time. */
static void pick_suspect(struct server *s, struct instance *i, struct parcel *p, int64_t now_ms)
{
    struct ready_job *j;
    struct errmsg e;
    int rc;

    if (i->no_suspect_at == s->news) return;
    rc = ready_pop_suspect(s->ready, i->row.model, instance_limit(i), &j, &e);
    if (rc == ERR_EMPTY) i->no_suspect_at = s->news;
    if (rc && rc != ERR_EMPTY) log_error("ready", "%s", e.text);
    if (!rc) (void)add(s, i, p, j, now_ms);
}

static void lease_message(const struct server *s, const struct parcel *p, struct wire_out *o)
{
    wire_begin(o, 3);
    wire_put_str(o, "db_uuid", writer_uuid(s->writer));
    wire_put_int(o, "epoch", writer_epoch(s->writer));
    wire_put_array(o, "jobs", p->n);
    for (const struct ready_job *j = p->head; j; j = j->next) {
        wire_add_array(o, 5);
        wire_add_int(o, j->job_id);
        wire_add_int(o, j->generation);
        wire_add_int(o, j->attempts + 1);
        wire_add_int(o, j->endpoint);
        wire_add_bin(o, j->body, j->body_len);
    }
}

/* Sends the parcel; what cannot be sent goes back to ready at once. */
static bool send_parcel(struct server *s, struct instance *i, struct parcel *p)
{
    struct wire_out o;
    int rc;

    lease_message(s, p, &o);
    rc = fault_here("grant") ? ERR_FULL
                             : wire_send(s->socket, i->peer, i->peer_len, WIRE_LEASE, 0, &o);
    wire_fini(&o);
    while (p->head) {
        struct ready_job *j = p->head;

        p->head = j->next;
        if (rc) {
            lease_end(s->leases, j->job_id);
            ready_push(s->ready, j);
        } else {
            free(j);
        }
    }
    return !rc;
}

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

/* Was a parcel sent, or could it not be? */
static bool grant_one(struct server *s, struct instance *i, double total_rate, int64_t now_ms)
{
    struct parcel p = {.tail = &p.head};
    struct schedule_ask ask = {.rows_per_s = i->rows_per_s,
                               .total_rows_per_s = total_rate,
                               .n_instances = (int64_t)s->instances.n,
                               .want = i->want_rows,
                               .step = i->row.max_num_seqs};
    size_t held;

    if (i->stalled || (s->has_suspects && process_is_reserved(s, i))) return false;
    (void)lease_tokens(s->leases, i->instance_id, &held);
    if (s->has_suspects && process_is_idle(s, i)) pick_suspect(s, i, &p, now_ms);
    if (!p.n && i->dry_at != s->news) {
        ask.held = (int64_t)held;
        ask.backlog = ready_backlog(s->ready, i->row.model, n_held, s);
        if (ask.backlog < 1) ask.backlog = 1; /* as of the last look; the window knows better */
        pick(s, i, schedule_rows(&ask), &p, now_ms);
    }
    if (!p.n) return false;
    log_debug("lease", "granted %zu rows name=%s held=%zu", p.n, i->row.name, held);
    i->want_rows = i->want_tokens = 0; /* it asks again when it has room */
    if (!send_parcel(s, i, &p)) worker_lost(s, i, "unreachable");
    return true;
}

/* Fails a row that needs more than the largest instance has. */
static void fail_row(struct server *s, const struct ready_job *j, int64_t largest)
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
             (long long)j->need_tokens, (long long)largest);
    writer_put(s->writer, op);
}

/* Rows too large for every instance that may run them fail when nothing else of their batch is left
 * to do. */
static void fail_oversized(struct server *s)
{
    const char *model;
    int64_t least, largest, batch_id = 0;
    struct ready_job *j;
    struct errmsg e;

    while ((batch_id = ready_next_needy(s->ready, batch_id, &model, &least))) {
        largest = instance_largest(&s->instances, model);
        if (!largest || least <= largest || lease_count_batch(s->leases, batch_id) ||
            !ready_only_needy(s->ready, batch_id))
            continue;
        for (int n = 0; n < PARCEL_ROWS && !ready_pop_needy(s->ready, batch_id, &j, &e); n++) {
            fail_row(s, j, largest);
            free(j);
        }
    }
}

bool grant_next(struct server *s, int64_t now_ms)
{
    const double total_rate = instance_total_rate(&s->instances);
    const size_t n = s->instances.n;

    if (s->in_trouble || s->unwritten > MOST_UNWRITTEN) return false; /* B3, B5 */
    look(s);
    for (size_t k = 0; k < n; k++) {
        size_t at = (s->grant_from + k) % n;
        struct instance *i = s->instances.at[at];

        if (i->want_rows <= 0 || !grant_one(s, i, total_rate, now_ms)) continue;
        s->grant_from = at + 1;
        return true; /* what came in meanwhile first; and the table may have moved */
    }
    fail_oversized(s);
    return false;
}
