/* runner.c - an instance's thread. */
#include "worker/runner.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/idmap.h"
#include "base/log.h"

/* A job that shall end without an answer. */
struct cancel {
    struct cancel *next;
    int64_t job_id;
    bool unstarted; /* only if it has not begun */
    char why[24];
};

struct runner {
    struct backend backend; /* the thread's */
    struct idmap active;    /* job id -> struct job; the thread's */
    bool draining;          /* the thread's */
    int64_t n_ended;        /* jobs that had begun; the thread's */
    pthread_t thread;
    bool started;
    struct mailbox in, out;
    struct result *taken;   /* the link's: a chain from the last mailbox_take */
    struct mail end, drain; /* orders, told by their address */
    pthread_mutex_t lock;
    struct cancel *cancels;    /* under the lock */
    struct runner_stats stats; /* under the lock */
    struct perf_live *live;    /* under the lock; NULL: it does not learn */
    struct errmsg error;       /* under the lock */
};

static void give(struct runner *r, struct result *res)
{
    if (res)
        mailbox_put(&r->out, &res->mail);
    else
        log_error("runner", "out of memory: a job is given back when its lease ends");
}

static void start_job(struct runner *r, struct job *j)
{
    struct result *res;

    if (r->draining) {
        give(r, job_put_back(j, "draining", 0));
        job_close(&j);
        return;
    }
    res = r->backend.start(r->backend.self, j);
    if (!res && !idmap_put(&r->active, j->job_id, j)) return;
    if (!res) {
        r->backend.abort(r->backend.self, j);
        return; /* its outcome comes as an abort */
    }
    give(r, res);
    job_close(&j);
}

static const char *why_aborted(const struct runner *r, const struct job *j)
{
    if (j->why[0]) return j->why;
    return r->draining ? "draining" : "preempted";
}

static void end_job(struct runner *r, struct job *j)
{
    if (job_is_aborted(j)) {
        give(r, job_put_back(j, why_aborted(r, j), 0));
    } else {
        struct result *res = job_answer(j);

        pthread_mutex_lock(&r->lock);
        r->stats.rows++;
        r->stats.cached_tokens += j->outcomes[0].n_cached;
        pthread_mutex_unlock(&r->lock);
        fault_here("result");
        give(r, res);
    }
    job_close(&j);
}

static void take_outcomes(struct runner *r)
{
    struct outcome o;

    while (r->backend.take(r->backend.self, &o)) {
        struct job *j = o.owner;

        if (!job_collect(j, &o)) continue;
        idmap_remove(&r->active, j->job_id);
        r->n_ended += j->begun;
        end_job(r, j);
    }
}

static void abort_all(struct runner *r)
{
    size_t at = 0;
    struct job *j;

    r->draining = true;
    while ((j = idmap_next(&r->active, &at)))
        r->backend.abort(r->backend.self, j);
    take_outcomes(r);
}

static struct cancel *take_cancels(struct runner *r)
{
    struct cancel *c;

    pthread_mutex_lock(&r->lock);
    c = r->cancels;
    r->cancels = NULL;
    pthread_mutex_unlock(&r->lock);
    return c;
}

/* Frees the chain; a job that has ended meanwhile has its result. */
static void apply_cancels(struct runner *r, struct cancel *c)
{
    while (c) {
        struct cancel *next = c->next;
        struct job *j = idmap_get(&r->active, c->job_id);

        if (j && !(c->unstarted && j->begun)) {
            memcpy(j->why, c->why, sizeof j->why);
            r->backend.abort(r->backend.self, j);
        }
        free(c);
        c = next;
    }
    take_outcomes(r); /* now, not behind the next step */
}

static void publish(struct runner *r, bool busy)
{
    struct engine_stats s;

    r->backend.stats(r->backend.self, &s);
    pthread_mutex_lock(&r->lock);
    r->stats.engine = s;
    r->stats.busy = busy;
    r->stats.begun = r->backend.begun(r->backend.self) - r->n_ended;
    if (busy && r->live && s.last.ms > 0) perf_live_add(r->live, &s.last);
    pthread_mutex_unlock(&r->lock);
}

static void fail(struct runner *r, int rc, const struct errmsg *e)
{
    log_error("engine", "%s; everything unfinished is given back", e->text);
    pthread_mutex_lock(&r->lock);
    r->stats.failed = true;
    r->stats.rc = rc;
    r->error = *e;
    pthread_mutex_unlock(&r->lock);
    abort_all(r);
}

/* Takes what came in; false when it is time to end. */
static bool take_orders(struct runner *r, bool wait)
{
    struct mail *next;
    bool go_on = true;

    for (struct mail *m = mailbox_take(&r->in, wait); m; m = next) {
        next = m->next;
        if (m == &r->end)
            go_on = false;
        else if (m == &r->drain)
            abort_all(r);
        else
            start_job(r, (struct job *)m);
    }
    return go_on;
}

static void *runner_main(void *arg)
{
    struct runner *r = arg;
    bool idle = true;

    for (;;) {
        struct errmsg e = {{0}};
        struct cancel *cancels;
        bool go_on;
        int rc;

        if (idle) publish(r, false);
        cancels = take_cancels(r); /* before the jobs they name are taken, which came earlier */
        go_on = take_orders(r, idle);
        apply_cancels(r, cancels);
        if (!go_on) break;
        rc = r->backend.step(r->backend.self, &e);
        idle = rc == ERR_EMPTY;
        if (rc && !idle) {
            fail(r, rc, &e);
            idle = true;
        }
        take_outcomes(r);
        if (!idle) publish(r, true);
    }
    abort_all(r);
    return NULL;
}

int runner_open(struct runner **out, const struct backend *b, struct errmsg *e)
{
    struct runner *r = calloc(1, sizeof *r);
    int rc;

    *out = NULL;
    if (!r) {
        b->close(b->self);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    r->backend = *b;
    pthread_mutex_init(&r->lock, NULL);
    if ((rc = mailbox_init(&r->in, e))) goto out;
    if ((rc = mailbox_init(&r->out, e))) goto out;
    if (pthread_create(&r->thread, NULL, runner_main, r)) {
        rc = err_set(e, ERR_NOMEM, "no thread for an instance");
        goto out;
    }
    r->started = true;
    *out = r;
    r = NULL;
out:
    runner_close(&r);
    return rc;
}

void runner_close(struct runner **rp)
{
    struct runner *r = *rp;
    struct result *res;

    if (!r) return;
    if (r->started) {
        mailbox_put(&r->in, &r->end);
        pthread_join(r->thread, NULL);
        while ((res = runner_take(r)))
            result_free(&res);
    }
    mailbox_fini(&r->in);
    mailbox_fini(&r->out);
    apply_cancels(r, r->cancels);
    idmap_fini(&r->active);
    r->backend.close(r->backend.self);
    perf_live_close(&r->live);
    pthread_mutex_destroy(&r->lock);
    free(r);
    *rp = NULL;
}

int runner_learn(struct runner *r, const struct perf *start, struct errmsg *e)
{
    struct perf_live *live;

    if (perf_live_open(&live, start)) return err_set(e, ERR_NOMEM, "no memory to learn from steps");
    pthread_mutex_lock(&r->lock);
    perf_live_close(&r->live);
    r->live = live;
    pthread_mutex_unlock(&r->lock);
    return ERR_OK;
}

bool runner_model(struct runner *r, struct runner_model *out)
{
    bool known = false;

    pthread_mutex_lock(&r->lock);
    if (r->live) {
        perf_live_get(r->live, &out->perf, &out->start_mape, &out->mape);
        out->drifted = perf_live_drifted(r->live);
        known = out->start_mape >= 0;
    }
    pthread_mutex_unlock(&r->lock);
    return known;
}

void runner_put(struct runner *r, struct job *j)
{
    mailbox_put(&r->in, &j->mail);
}

static void cancel(struct runner *r, int64_t job_id, const char *why, bool unstarted)
{
    struct cancel *c = calloc(1, sizeof *c);

    if (!c) return; /* it runs on; whether its answer counts is the broker's to say */
    c->job_id = job_id;
    c->unstarted = unstarted;
    snprintf(c->why, sizeof c->why, "%s", why);
    pthread_mutex_lock(&r->lock);
    c->next = r->cancels;
    r->cancels = c;
    pthread_mutex_unlock(&r->lock);
}

void runner_cancel(struct runner *r, int64_t job_id, const char *why)
{
    cancel(r, job_id, why, false);
}

void runner_take_back(struct runner *r, int64_t job_id, const char *why)
{
    cancel(r, job_id, why, true);
}

struct result *runner_take(struct runner *r)
{
    struct result *res;

    if (!r->taken) r->taken = (struct result *)mailbox_take(&r->out, false);
    res = r->taken;
    if (res) r->taken = (struct result *)res->mail.next;
    return res;
}

int runner_fd(const struct runner *r)
{
    return r->out.fd;
}

void runner_drain(struct runner *r)
{
    mailbox_put(&r->in, &r->drain);
}

void runner_stats(struct runner *r, struct runner_stats *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->stats;
    pthread_mutex_unlock(&r->lock);
    out->beats = out->engine.steps + (r->backend.beats ? r->backend.beats(r->backend.self) : 0);
}

const char *runner_error(struct runner *r)
{
    return r->error.text;
}
