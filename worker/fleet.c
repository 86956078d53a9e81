/* fleet.c - simulated instances, many in one process. */
#include "worker/fleet.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zmq.h>

#include "base/log.h"
#include "worker/link.h"
#include "worker/sim.h"

#define FILES_EACH 8 /* descriptors that an instance needs, and some to spare */

struct member {
    const struct simfile *f;
    struct job_rules rules;
    struct link_opts link;
    pthread_t thread;
    int rc;
    struct errmsg err;
};

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct runner *r = NULL;
    struct backend b;

    m->rc = sim_open(&b, m->f, &m->rules, NULL, blackbox_slot(m->link.box, m->link.hello.uuid),
                     &m->err);
    if (!m->rc) m->rc = runner_open(&r, &b, &m->err);
    if (!m->rc) m->rc = link_run(&m->link, r, &m->err);
    if (m->rc) log_error("sim", "%s: %s", m->link.hello.name, m->err.text);
    runner_close(&r);
    return NULL;
}

static void fill_hello(struct link_hello *h, const struct simfile *f, const char *name, int k,
                       int n)
{
    size_t len;

    link_hello_as(h, name);
    len = strlen(h->name);
    if (n > 1) snprintf(h->name + len, sizeof h->name - len, "-%d", k + 1);
    snprintf(h->device, sizeof h->device, FLEET_DEVICE "%s", f->name);
    snprintf(h->model, sizeof h->model, "%s", f->model);
    snprintf(h->model_hash, sizeof h->model_hash, "%s", f->model_hash);
    snprintf(h->dtype, sizeof h->dtype, "sim");
    snprintf(h->kv_dtype, sizeof h->kv_dtype, "sim");
    snprintf(h->engine, sizeof h->engine, "nightmill %s sim", NIGHTMILL_VERSION);
    h->tp = h->threads = 1;
    h->kv_tokens = f->kv_tokens;
    h->max_model_len = f->max_model_len;
    h->max_num_seqs = f->max_num_seqs;
    h->max_batched_tokens = f->max_batched_tokens;
}

/* As many descriptors as the system lets us have, when the usual ones are too few. */
static void raise_files(int n)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l)) return;
    if (l.rlim_cur >= (rlim_t)(n * FILES_EACH)) return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

static int start(struct member *all, int n, int *started, struct errmsg *e)
{
    for (*started = 0; *started < n; ++*started)
        if (pthread_create(&all[*started].thread, NULL, member_main, &all[*started]))
            return err_set(e, ERR_NOMEM, "no thread for instance %d of %d", *started + 1, n);
    return ERR_OK;
}

int fleet_run(const struct worker_opts *o, struct errmsg *e)
{
    struct link_profile profile = {
        .source = "file", .mape = -1, .held_out_mape = -1, .start_mape = -1};
    struct member *all = NULL;
    struct simfile f;
    int rc = simfile_read(&f, o->device + strlen(FLEET_DEVICE), e), n, started = 0;
    void *zmq = NULL;

    if (rc) return rc;
    if (sodium_init() < 0) return err_set(e, ERR_IO, "libsodium cannot start");
    n = o->instances ? o->instances : f.instances;
    raise_files(n);
    profile.perf = f.perf;
    all = calloc((size_t)n, sizeof *all);
    zmq = zmq_ctx_new();
    if (!all || !zmq) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
        goto out;
    }
    zmq_ctx_set(zmq, ZMQ_MAX_SOCKETS, n + 1);
    for (int k = 0; k < n; k++) {
        all[k].f = &f;
        all[k].rules.default_max_tokens = o->default_max_tokens;
        all[k].link = (struct link_opts){.address = o->address,
                                         .key = o->key,
                                         .box = o->box,
                                         .profile = &profile,
                                         .zmq = zmq,
                                         .stop_fd = o->stop_fd};
        fill_hello(&all[k].link.hello, &f, o->name, k, n);
    }
    log_info("worker", "device=%s model=%s instances=%d kv_tokens=%d", o->device, f.model, n,
             f.kv_tokens);
    rc = start(all, n, &started, e); /* those that did start serve until they are stopped */
out:
    for (int k = 0; k < started; k++) {
        pthread_join(all[k].thread, NULL);
        if (all[k].rc && !rc) rc = err_set(e, all[k].rc, "%s", all[k].err.text);
    }
    if (zmq) zmq_ctx_term(zmq);
    free(all);
    return rc;
}
