/* worker.c - a worker process. */
#include "worker/worker.h"

#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "model/weights.h"
#include "worker/context.h"
#include "worker/crash.h"
#include "worker/fleet.h"
#include "worker/layers.h"
#include "worker/link.h"
#include "worker/meter.h"
#include "worker/runner.h"

#define ENGINE_NAME "nightmill " NIGHTMILL_VERSION " " NIGHTMILL_COMMIT
#define REPORT_MS   5000 /* for the broker to hear of a device that failed */

static int cpus_allowed(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

static const struct device *device_of(const char *device, struct errmsg *e)
{
    if (!strcmp(device, "cpu")) return device_cpu();
    if (!strcmp(device, "ref")) return device_ref();
    err_set(e, ERR_UNSUPPORTED, "device '%s' is not known here; known: cpu, ref, sim:FILE", device);
    return NULL;
}

/* What most of the layers' weights are stored in. */
static enum dtype dtype_of(const struct weights *w)
{
    size_t bytes[N_DTYPES] = {0};
    enum dtype most = DTYPE_F32;

    for (int i = 0; i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);

        if (t->n_dims == 2 && strstr(t->name, ".layers.")) bytes[t->dtype] += t->bytes;
    }
    for (int d = 0; d < N_DTYPES; d++)
        if (bytes[d] > bytes[most]) most = (enum dtype)d;
    return most;
}

/* Half the memory costs no more than the weights have lost already. */
static enum dtype auto_kv_dtype(const struct weights *w)
{
    return dtype_of(w) == DTYPE_F32 ? DTYPE_F32 : DTYPE_F16;
}

/* Half of what the weights leave of the memory to take: pages are taken as they are written. */
static size_t auto_kv_bytes(const struct weights *w)
{
    int64_t left = meter_available_bytes("");

    for (int i = 0; i < weights_count(w); i++)
        left -= (int64_t)weights_at(w, i)->bytes;
    return (size_t)(left / 2 > WORKER_LEAST_KV ? left / 2 : WORKER_LEAST_KV);
}

static void fill_hello(struct link_hello *h, const struct worker_opts *o, const struct model *m,
                       struct engine *en, const struct engine_opts *eo)
{
    link_hello_as(h, o->name);
    snprintf(h->device, sizeof h->device, "%s", o->device);
    snprintf(h->model, sizeof h->model, "%.255s", m->name);
    snprintf(h->model_hash, sizeof h->model_hash, "%s", m->hash);
    snprintf(h->dtype, sizeof h->dtype, "%s", dtype_name(dtype_of(m->weights)));
    snprintf(h->kv_dtype, sizeof h->kv_dtype, "%s", dtype_name(eo->kv_dtype));
    snprintf(h->engine, sizeof h->engine, "%s", ENGINE_NAME);
    h->tp = eo->tp > 1 ? eo->tp : 1;
    h->threads = eo->threads;
    h->kv_tokens = engine_kv_tokens(en);
    h->max_model_len = engine_max_len(en);
    h->max_num_seqs = o->max_num_seqs;
}

/* A model, with the context directory that knows it. */
struct loaded {
    struct context *context;
    struct cache cache; /* borrowed by the model */
    struct model *model;
};

static void unload(struct loaded *l)
{
    model_close(&l->model);
    context_close(&l->context);
}

/* unload also when it fails. */
static int load(struct loaded *l, const char *path, const char *context_dir, struct errmsg *e)
{
    int rc;

    if (sodium_init() < 0) return err_set(e, ERR_IO, "libsodium cannot start");
    if ((rc = context_open(&l->context, context_dir, e))) return rc;
    l->cache = context_cache(l->context, ENGINE_NAME);
    return model_open_cached(&l->model, path, &l->cache, e);
}

int worker_check_model(const char *path, const char *context_dir, struct errmsg *e)
{
    struct loaded l = {0};
    struct layers layers;
    int rc = load(&l, path, context_dir, e);

    if (!rc) rc = layers_open(&layers, l.model, e);
    if (!rc) layers_fini(&layers);
    unload(&l);
    return rc;
}

int worker_run(const struct worker_opts *o, struct errmsg *e)
{
    struct job_rules rules = {.default_max_tokens = o->default_max_tokens};
    struct link_opts link = {
        .address = o->address, .key = o->key, .box = o->box, .stop_fd = o->stop_fd};
    struct engine_opts eo = {.threads = o->threads > 0 ? o->threads : cpus_allowed(),
                             .kv_bytes = (size_t)o->kv_bytes,
                             .max_num_seqs = o->max_num_seqs,
                             .max_batched_tokens = o->max_batched_tokens,
                             .max_model_len = o->max_model_len,
                             .no_prefix_caching = o->no_prefix_caching,
                             .kv_dtype = o->kv_dtype,
                             .tp = o->tp};
    struct loaded l = {0};
    struct engine *engine = NULL;
    struct backend backend;
    struct runner *runner = NULL;
    struct box_slot *slot;
    struct errmsg told;
    int rc = ERR_UNSUPPORTED;

    if (!strncmp(o->device, FLEET_DEVICE, strlen(FLEET_DEVICE))) return fleet_run(o, e);
    if (!(eo.device = device_of(o->device, e))) return rc;
    if ((rc = load(&l, o->model, o->context_dir, e))) goto out;
    eo.model = rules.model = l.model;
    if (!eo.kv_bytes) eo.kv_bytes = auto_kv_bytes(l.model->weights);
    if (o->kv_auto) eo.kv_dtype = auto_kv_dtype(l.model->weights);
    if ((rc = engine_open(&engine, &eo, e))) goto out;
    fill_hello(&link.hello, o, l.model, engine, &eo);
    log_info("worker", "model=%s hash=%s device=%s threads=%d kv_tokens=%d", l.model->name,
             l.model->hash, o->device, eo.threads, engine_kv_tokens(engine));
    slot = blackbox_slot(o->box, link.hello.uuid);
    if ((rc = backend_of_engine(&backend, &engine, &rules, slot, e))) goto out;
    if ((rc = runner_open(&runner, &backend, e))) goto out;
    rc = link_run(&link, runner, e);
    if (rc == ERR_CUDA && slot &&
        crash_report(o->address, o->key, slot, 0, e->text, 0, REPORT_MS, &told))
        log_warn("worker", "the broker was not told of the device: %s", told.text);
out:
    runner_close(&runner);
    engine_close(&engine);
    unload(&l);
    return rc;
}
