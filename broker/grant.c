/* grant.c - ready rows to hungry instances. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "broker/schedule.h"
#include "broker/serve.h"

#define DFLT_ANSWER 64.0 /* tokens, while a batch has no answers */
#define DFLT_BYTES  4.0  /* for each token, likewise */

static bool is_known(void *arg, int64_t job_id)
{
    const struct server *s = arg;

    return lease_find(s->leases, job_id) || idmap_get(&s->withheld, job_id);
}

/* Reads ahead when the window runs low, or holds nothing that this instance may run: rows of
 * another model must not keep it idle. */
static void fill(struct server *s, struct instance *i)
{
    bool has = ready_has(s->ready, i->row.model, instance_limit(i));
    struct errmsg e;
    int n;

    if (i->dry_at == s->news || (has && !ready_is_low(s->ready))) return;
    if (ready_is_full(s->ready)) {
        ready_clear(s->ready); /* of rows that nobody who asks can run */
        s->news++;
    }
    if (ready_fill(s->ready, i->row.model, instance_limit(i), is_known, (void *)s, &n, &e)) {
        log_error("ready", "%s", e.text);
        return;
    }
    if (!n) i->dry_at = s->news;
    s->backlog = ready_backlog(s->ready) - (int64_t)lease_count(s->leases);
}

/* What is expected of a job, in tokens of KV. */
static int64_t estimate(struct server *s, const struct ready_job *j, int64_t *rated_batch,
                        double *answer, double *bytes)
{
    if (*rated_batch != j->batch_id) {
        *rated_batch = j->batch_id;
        *answer = DFLT_ANSWER;
        *bytes = DFLT_BYTES;
        ready_rates(s->ready, j->batch_id, answer, bytes);
    }
    return (int64_t)((double)j->body_len / *bytes + *answer) + 1;
}

struct parcel {
    struct ready_job *head, **tail;
    size_t n, bytes;
};

/* Takes rows from the window until a limit is reached. */
static void pick(struct server *s, struct instance *i, int64_t rows, struct parcel *p,
                 int64_t now_ms)
{
    int64_t tokens = i->want_tokens, rated = 0;
    double answer = DFLT_ANSWER, bytes = DFLT_BYTES;

    while ((int64_t)p->n < rows && p->bytes < WIRE_GROUP_BYTES && tokens > 0) {
        struct ready_job *j = ready_pop(s->ready, i->row.model, instance_limit(i));
        struct lease l;

        if (!j) break;
        l = (struct lease){.job_id = j->job_id,
                           .batch_id = j->batch_id,
                           .generation = j->generation,
                           .holder = i->instance_id,
                           .deadline_ms = now_ms + s->o->lease_ms,
                           .body_bytes = (int64_t)j->body_len,
                           .est_tokens = estimate(s, j, &rated, &answer, &bytes)};
        if (lease_grant(s->leases, &l)) {
            free(j); /* leased meanwhile: somebody said that he still holds it */
            continue;
        }
        tokens -= l.est_tokens;
        j->next = NULL;
        *p->tail = j;
        p->tail = &j->next;
        p->n++;
        p->bytes += j->body_len + 64;
    }
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
    rc = wire_send(s->socket, i->peer, i->peer_len, WIRE_LEASE, 0, &o);
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

static void grant_one(struct server *s, struct instance *i, int64_t now_ms)
{
    struct parcel p = {.tail = &p.head};
    struct schedule_ask ask = {.rows_per_s = i->rows_per_s,
                               .total_rows_per_s = instance_total_rate(&s->instances),
                               .n_instances = (int64_t)s->instances.n,
                               .want = i->want_rows,
                               .step = i->row.max_num_seqs};
    size_t held;

    fill(s, i);
    (void)lease_tokens(s->leases, i->instance_id, &held);
    ask.held = (int64_t)held;
    ask.backlog =
        s->backlog > (int64_t)ready_count(s->ready) ? s->backlog : (int64_t)ready_count(s->ready);
    pick(s, i, schedule_rows(&ask), &p, now_ms);
    if (!p.n) return;
    log_debug("lease", "granted %zu rows name=%s held=%zu backlog=%lld", p.n, i->row.name, held,
              (long long)ask.backlog);
    s->backlog -= (int64_t)p.n;
    i->want_rows = i->want_tokens = 0; /* it asks again when it has room */
    if (!send_parcel(s, i, &p)) worker_lost(s, i, "unreachable");
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
    ready_remove(s->ready, j->job_id);
    writer_put(s->writer, op);
}

/* A row too large for every instance that may run it fails when nothing else of its batch is left
 * to do. */
static void fail_oversized(struct server *s)
{
    for (const struct ready_job *j = NULL; (j = ready_needy(s->ready, j));) {
        int64_t largest = instance_largest(&s->instances, j->model);

        if (!largest || j->need_tokens <= largest || lease_count_batch(s->leases, j->batch_id) ||
            !ready_only_larger(s->ready, j->batch_id, largest))
            continue;
        fail_row(s, j, largest); /* j is freed: the next one at the next look */
        return;
    }
}

void grant_all(struct server *s, int64_t now_ms)
{
    size_t n = s->instances.n;

    if (s->in_trouble) return; /* B3 */
    for (size_t k = 0; k < s->instances.n; k++) {
        if (s->instances.at[k]->want_rows > 0) grant_one(s, s->instances.at[k], now_ms);
        if (s->instances.n != n) break; /* one was lost on the way: the table moved */
    }
    fail_oversized(s);
}
