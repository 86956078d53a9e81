/* profile_kept.c - a profile that was measured, kept for the next start. */
#include "worker/profile_kept.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "model/weights.h"
#include "worker/meter.h"

#define MAGIC     "nightmill prof1"
#define KEY_BYTES 640

struct kept {
    char magic[16];
    char key[KEY_BYTES];
    struct perf perf;
    double mape, held_out_mape, seconds;
    int64_t samples, held_out, steps, shared;
};
_Static_assert(sizeof(struct kept) == 16 + KEY_BYTES + 13 * 8, "an entry of version 1");

static void make_key(char out[KEY_BYTES], const struct engine *en, const struct engine_opts *o,
                     const char *engine)
{
    const struct model *m = o->model;
    struct device_facts facts = {0};
    char cpu[128] = "";
    struct errmsg e;

    if (o->device->facts(o->n_devices ? o->devices[0] : 0, &facts, &e)) facts.name[0] = '\0';
    if (!o->device->async) meter_cpu_name("", cpu, sizeof cpu);
    memset(out, 0, KEY_BYTES);
    snprintf(out, KEY_BYTES,
             "%s|%s|%s|%s|act %d|quantization %d|kv %s|tp %d|%s %s %s|devices %d|sms %d|threads %d|"
             "seqs %d|tokens %d|len %d|invariant %d|graphs %d",
             engine, m->hash, dtype_name(weights_dtype(m->weights)), m->config.arch, (int)o->act,
             (int)o->quantization, dtype_name(engine_kv_dtype(en)), o->tp, o->device->name,
             facts.name, cpu, o->n_devices, engine_sm_count(en), o->threads, o->max_num_seqs,
             o->max_batched_tokens, engine_max_len(en), o->batch_invariant, !o->no_graphs);
}

static void make_name(char out[64], const char key[KEY_BYTES])
{
    char hex[HASH_HEX];

    hash_hex(key, KEY_BYTES, hex);
    snprintf(out, 64, "profile-%s", hex);
}

static bool is_number(double v)
{
    return isfinite(v) && v >= 0;
}

/* PK1 */
static bool is_good(const struct kept *k, const char key[KEY_BYTES])
{
    const struct perf *p = &k->perf;

    return !memcmp(k->magic, MAGIC, sizeof k->magic) && !memcmp(k->key, key, KEY_BYTES) &&
           is_number(p->k0) && is_number(p->kw) && is_number(p->k1) && is_number(p->k2) &&
           is_number(p->k3) && is_number(p->k4) && p->k0 + p->kw + p->k1 > 0 &&
           is_number(k->mape) && isfinite(k->held_out_mape) && is_number(k->seconds) &&
           k->samples > 0 && k->samples <= GRID_MAX && k->held_out >= 0 &&
           k->held_out < k->samples && (k->shared == 0 || k->shared == 1);
}

bool profile_find(struct profile *out, const struct engine *en, const struct engine_opts *o,
                  const char *engine)
{
    char key[KEY_BYTES], name[64];
    struct kept k;
    size_t n;

    if (!o->tuning) return false;
    make_key(key, en, o, engine);
    make_name(name, key);
    n = o->tuning->find(o->tuning->self, name, &k, sizeof k);
    if (!n) return false;
    if (n != sizeof k || !is_good(&k, key)) {
        log_info("profile", "what was kept as %s is no profile of this instance; it is made again",
                 name);
        return false;
    }
    *out = (struct profile){.perf = k.perf,
                            .mape = k.mape,
                            .held_out_mape = k.held_out_mape,
                            .samples = (int)k.samples,
                            .held_out = (int)k.held_out,
                            .steps = (int)k.steps,
                            .shared = k.shared,
                            .seconds = k.seconds};
    return true;
}

void profile_keep(const struct profile *p, const struct engine *en, const struct engine_opts *o,
                  const char *engine)
{
    struct kept k = {.magic = MAGIC,
                     .perf = p->perf,
                     .mape = p->mape,
                     .held_out_mape = p->held_out_mape,
                     .seconds = p->seconds,
                     .samples = p->samples,
                     .held_out = p->held_out,
                     .steps = p->steps,
                     .shared = p->shared};
    char name[64];

    if (!o->tuning) return;
    make_key(k.key, en, o, engine);
    make_name(name, k.key);
    o->tuning->keep(o->tuning->self, name, &k, sizeof k);
}
