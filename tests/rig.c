/* rig.c - an engine on a model, for the suites that run one. */
#include "tests/rig.h"

#include <string.h>

#include "kernels/plugin.h"
#include "tests/async_device.h"
#include "tests/test.h"

struct rig rig;
const struct sampling RIG_GREEDY = {.top_p = 1, .ignore_eos = true};

void rig_close(void)
{
    engine_close(&rig.en);
    tiny_close(&rig.model);
}

const struct device *rig_device(void)
{
    const char *name = getenv("TEST_DEVICE");
    const struct plugin *p;

    if (name && !strcmp(name, "async")) return async_device();
    if (!name || strcmp(name, "cuda")) return device_cpu();
    p = plugin_open(&rig.err);
    ck_assert_msg(p != NULL, "%s", rig.err.text);
    return p->device;
}

void rig_start(struct engine_opts o)
{
    engine_close(&rig.en);
    o.model = &rig.model;
    if (!o.device) o.device = rig_device();
    if (o.device == async_device()) o.coll = async_coll();
    if (!o.threads) o.threads = 1;
    if (!o.kv_bytes) o.kv_bytes = RIG_AMPLE;
    if (!o.max_num_seqs) o.max_num_seqs = 64;
    if (!o.max_batched_tokens) o.max_batched_tokens = 512;
    ck_assert_msg(engine_open(&rig.en, &o, &rig.err) == ERR_OK, "%s", rig.err.text);
}

void rig_add(const int32_t *ids, int n, const struct sampling *p, int owner)
{
    ck_assert_msg(engine_add(rig.en, ids, n, p, (void *)(intptr_t)owner, &rig.err) == ERR_OK, "%s",
                  rig.err.text);
}

void rig_run(void)
{
    int rc;

    while ((rc = engine_step(rig.en, &rig.err)) == ERR_OK)
        ;
    ck_assert_msg(rc == ERR_EMPTY, "%s", rig.err.text);
}

void rig_take(struct outcome *out, int n)
{
    struct outcome o;

    memset(out, 0, (size_t)n * sizeof *out);
    for (int i = 0; i < n; i++) {
        ck_assert_msg(engine_take(rig.en, &o), "%d of %d came out", i, n);
        ck_assert_int_lt((int)(intptr_t)o.owner, n);
        ck_assert_ptr_null(out[(intptr_t)o.owner].ids);
        out[(intptr_t)o.owner] = o;
    }
    ck_assert(!engine_take(rig.en, &o));
}

void rig_free(struct outcome *out, int n)
{
    for (int i = 0; i < n; i++) {
        free(out[i].ids);
        free(out[i].logprobs);
        buf_fini(&out[i].text);
    }
}
