/* runner.c - the engine's thread. */
#include "worker/runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/idmap.h"
#include "base/log.h"

struct runner {
    struct engine *engine; /* the thread's */
    struct job_rules rules;
    struct idmap active; /* job id -> struct job; the thread's */
    bool draining;       /* the thread's */
    pthread_t thread;
    bool started;
    struct mailbox in, out;
    struct result *taken;   /* the link's: a chain from the last mailbox_take */
    struct mail end, drain; /* orders, told by their address */
    pthread_mutex_t lock;
    struct runner_stats stats; /* under the lock */
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
    res = job_start(j, &r->rules, r->engine);
    if (!res && !idmap_put(&r->active, j->job_id, j)) return;
    if (!res) {
        engine_abort(r->engine, j);
        return; /* its outcome comes as an abort */
    }
    give(r, res);
    job_close(&j);
}

static void take_outcomes(struct runner *r)
{
    struct outcome o;

    while (engine_take(r->engine, &o)) {
        struct job *j = o.owner;

        idmap_remove(&r->active, j->job_id);
        if (o.finish == FINISH_ABORT) {
            give(r, job_put_back(j, r->draining ? "draining" : "preempted", 0));
            buf_fini(&o.text);
            free(o.ids);
        } else {
            const int cached = o.n_cached;
            struct result *res = job_answer(j, &o);

            pthread_mutex_lock(&r->lock);
            r->stats.rows++;
            r->stats.cached_tokens += cached;
            pthread_mutex_unlock(&r->lock);
            fault_here("result");
            give(r, res);
        }
        job_close(&j);
    }
}

static void abort_all(struct runner *r)
{
    size_t at = 0;
    struct job *j;

    r->draining = true;
    while ((j = idmap_next(&r->active, &at)))
        engine_abort(r->engine, j);
    take_outcomes(r);
}

static void publish(struct runner *r, bool busy)
{
    struct engine_stats s;

    engine_stats(r->engine, &s);
    pthread_mutex_lock(&r->lock);
    r->stats.engine = s;
    r->stats.busy = busy;
    pthread_mutex_unlock(&r->lock);
}

static void fail(struct runner *r, const struct errmsg *e)
{
    log_error("engine", "%s; everything unfinished is given back", e->text);
    pthread_mutex_lock(&r->lock);
    r->stats.failed = true;
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
        int rc;

        if (idle) publish(r, false);
        if (!take_orders(r, idle)) break;
        rc = engine_step(r->engine, &e);
        idle = rc == ERR_EMPTY;
        if (rc && !idle) {
            fail(r, &e);
            idle = true;
        }
        take_outcomes(r);
        if (!idle) publish(r, true);
    }
    abort_all(r);
    return NULL;
}

int runner_open(struct runner **out, struct engine **en, const struct job_rules *rules,
                struct errmsg *e)
{
    struct runner *r = calloc(1, sizeof *r);
    int rc;

    *out = NULL;
    if (!r) {
        engine_close(en);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    r->engine = *en;
    *en = NULL;
    r->rules = *rules;
    pthread_mutex_init(&r->lock, NULL);
    if ((rc = mailbox_init(&r->in, e))) goto out;
    if ((rc = mailbox_init(&r->out, e))) goto out;
    if (pthread_create(&r->thread, NULL, runner_main, r)) {
        rc = err_set(e, ERR_NOMEM, "no thread for the engine");
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
    idmap_fini(&r->active);
    engine_close(&r->engine);
    pthread_mutex_destroy(&r->lock);
    free(r);
    *rp = NULL;
}

void runner_put(struct runner *r, struct job *j)
{
    mailbox_put(&r->in, &j->mail);
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
}

const char *runner_error(struct runner *r)
{
    return r->error.text;
}
