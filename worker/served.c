/* served.c - one instance of this process. */
#include "worker/served.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/weights.h"
#include "worker/crash.h"
#include "worker/estimate.h"
#include "worker/meter.h"
#include "worker/profile_kept.h"

#define REPORT_MS 5000 /* for the broker to hear of a device that failed */

static int cpus_allowed(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/* Half of what the weights leave of the memory to take: pages are taken as they are written. */
static size_t auto_kv_bytes(const struct weights *w)
{
    int64_t left = meter_available_bytes("");

    for (int i = 0; i < weights_count(w); i++)
        left -= (int64_t)weights_at(w, i)->bytes;
    return (size_t)(left / 2 > WORKER_LEAST_KV ? left / 2 : WORKER_LEAST_KV);
}

/* Of a card that several divide, what the instances from `from` to this one have. */
static double share_of(const struct worker_opts *o, int from, int part)
{
    int all = 0, some = 0;

    for (int i = 0; i < o->n_parts; i++) {
        all += o->sm_counts[i];
        if (i >= from && i <= part) some += o->sm_counts[i];
    }
    return all ? (double)some / all : 1;
}

static void fill_engine(struct engine_opts *out, const struct served_opts *o)
{
    const struct worker_opts *w = o->worker;
    /* Memory is looked at when those before have taken theirs. */
    const double taken = share_of(w, 0, o->part);

    *out = (struct engine_opts){.model = o->model,
                                .device = o->place->device,
                                .n_devices = o->place->n_devices,
                                .coll = o->place->coll,
                                .act = w->act,
                                .quantization = w->quantization,
                                .threads = w->threads > 0 ? w->threads : cpus_allowed(),
                                .kv_bytes =
                                    (size_t)((double)w->kv_bytes * share_of(w, o->part, o->part)),
                                .memory_utilization = w->memory_utilization * taken,
                                .sm_count = w->n_parts ? w->sm_counts[o->part] : 0,
                                .batch_invariant = w->batch_invariant,
                                .tuning = o->tuning,
                                .max_num_seqs = w->max_num_seqs,
                                .max_batched_tokens = w->max_batched_tokens,
                                .max_model_len = w->max_model_len,
                                .kv_dtype = w->kv_dtype,
                                .tp = o->place->tp,
                                .no_prefix_caching = w->no_prefix_caching};
    memcpy(out->devices, o->place->devices, sizeof out->devices);
    if (!out->kv_bytes && !out->device->async) out->kv_bytes = auto_kv_bytes(o->model->weights);
}

/* What most of its weights are while it runs: what is stored, or what --quantization makes of it.
 */
static enum dtype dtype_held(const struct engine_opts *eo)
{
    const enum dtype stored = weights_dtype(eo->model->weights);

    if (eo->quantization == QUANTIZATION_NONE || !dtype_is_float(stored)) return stored;
    return eo->quantization == QUANTIZATION_FP8 ? DTYPE_FP8 : DTYPE_INT8;
}

static void fill_hello(struct link_hello *h, const struct served_opts *o, struct engine *en,
                       const struct engine_opts *eo)
{
    const struct worker_opts *w = o->worker;
    size_t len;

    link_hello_as(h, w->name);
    len = strlen(h->name);
    if (w->n_parts > 1) snprintf(h->name + len, sizeof h->name - len, "-%d", o->part + 1);
    snprintf(h->device, sizeof h->device, "%s", w->device);
    len = strlen(h->device);
    if (w->n_parts)
        snprintf(h->device + len, sizeof h->device - len, " (%d SMs)", engine_sm_count(en));
    snprintf(h->model, sizeof h->model, "%.255s", o->model->name);
    snprintf(h->model_hash, sizeof h->model_hash, "%s", o->model->hash);
    snprintf(h->dtype, sizeof h->dtype, "%s", dtype_name(dtype_held(eo)));
    snprintf(h->kv_dtype, sizeof h->kv_dtype, "%s", dtype_name(engine_kv_dtype(en)));
    snprintf(h->engine, sizeof h->engine, "%s", SERVED_ENGINE);
    h->tp = eo->tp;
    h->threads = eo->threads;
    h->kv_tokens = engine_kv_tokens(en);
    h->max_model_len = engine_max_len(en);
    h->max_num_seqs = w->max_num_seqs;
    h->max_batched_tokens = eo->max_batched_tokens;
    h->prefix_caching = !eo->no_prefix_caching;
}

static int measure(struct profile *out, struct engine *en, const struct engine_opts *eo,
                   const struct worker_opts *w, struct errmsg *e)
{
    const struct profile_opts po = {eo, w->profile_seconds, w->stop_fd};
    const int rc = profile_measure(out, en, &po, e);

    if (!rc) profile_keep(out, en, eo, SERVED_ENGINE);
    return rc;
}

int served_profile(struct profile *out, struct link_hello *hello, const struct served_opts *o,
                   struct errmsg *e)
{
    struct engine *engine = NULL;
    struct engine_opts eo;
    int rc;

    fill_engine(&eo, o);
    if ((rc = engine_open(&engine, &eo, e))) return rc;
    fill_hello(hello, o, engine, &eo);
    rc = measure(out, engine, &eo, o->worker, e);
    engine_close(&engine);
    return rc;
}

/* The instance model: as it was kept, or measured now, or estimated. */
static int learn(struct link_profile *out, struct engine *en, const struct engine_opts *eo,
                 const struct worker_opts *w, struct errmsg *e)
{
    struct profile p, now;
    bool known = profile_find(&p, en, eo, SERVED_ENGINE);
    int rc = ERR_OK;

    if (w->profile_seconds > 0 && (!known || profile_is_doubtful(&p))) {
        rc = measure(&now, en, eo, w, e);
        if (!rc) p = now;
        known |= !rc;
        if (rc == ERR_TIMEOUT || rc == ERR_INTERRUPTED) rc = ERR_OK;
    }
    *out = (struct link_profile){.source = "roofline", .start_mape = -1};
    if (known) {
        out->source = "measured";
        out->perf = p.perf;
        out->mape = p.mape;
        out->held_out_mape = p.held_out_mape;
        out->samples = p.samples;
        out->shared = p.shared;
    } else {
        estimate_perf(&out->perf, en, eo);
        out->mape = out->held_out_mape = -1;
    }
    log_info("worker", "profile=%s k0=%g kw=%g k1=%g k2=%g k3=%g k4=%g mape=%.1f held_out=%.1f",
             out->source, out->perf.k0, out->perf.kw, out->perf.k1, out->perf.k2, out->perf.k3,
             out->perf.k4, out->mape, out->held_out_mape);
    return rc;
}

int served_open(struct served *out, const struct served_opts *o, struct errmsg *e)
{
    const struct worker_opts *w = o->worker;
    struct engine *engine = NULL;
    struct engine_opts eo;
    struct backend backend;
    int rc;

    *out = (struct served){
        .o = *o,
        .link = {.address = w->address,
                 .key = w->key,
                 .box = w->box,
                 .place = o->place,
                 .profile = &out->profile,
                 .stop_fd = o->stop_fd},
        .rules = {.model = o->model,
                  .default_max_tokens = w->default_max_tokens,
                  .batch_dependent = o->place->device->async && !w->batch_invariant}};
    fill_engine(&eo, o);
    if ((rc = engine_open(&engine, &eo, e))) return rc;
    fill_hello(&out->link.hello, o, engine, &eo);
    log_info("worker", "model=%s hash=%s device=%s threads=%d kv_tokens=%d", o->model->name,
             o->model->hash, out->link.hello.device, eo.threads, out->link.hello.kv_tokens);
    if ((rc = learn(&out->profile, engine, &eo, w, e))) {
        engine_close(&engine);
        return rc;
    }
    out->slot = blackbox_slot(w->box, out->link.hello.uuid);
    if ((rc = backend_of_engine(&backend, &engine, &out->rules, out->slot, e))) return rc;
    rc = runner_open(&out->runner, &backend, e);
    return rc ? rc : runner_learn(out->runner, &out->profile.perf, e);
}

/* Rows in the last steps of the other instances of this process. */
static int others_rows(const struct blackbox *b, const struct box_slot *slot)
{
    int n = 0;

    for (int i = 0; i < b->n_slots && i < BLACKBOX_SLOTS; i++)
        if (&b->slots[i] != slot) n += b->slots[i].n;
    return n;
}

int served_run(struct served *v, struct errmsg *e)
{
    const struct worker_opts *w = v->o.worker;
    struct errmsg told;
    const int rc = link_run(&v->link, v->runner, e);

    if (rc == ERR_CUDA && v->slot &&
        crash_report(w->address, w->key, v->slot, 0, e->text, others_rows(w->box, v->slot),
                     REPORT_MS, &told))
        log_warn("worker", "the broker was not told of the device: %s", told.text);
    return rc;
}

void served_close(struct served *v)
{
    runner_close(&v->runner);
}
