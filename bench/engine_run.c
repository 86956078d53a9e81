/* engine_run.c - our engine on rows of made-up tokens, timed. */
#include "bench/engine_run.h"

#include <stdlib.h>
#include <string.h>

#include "bench/peak.h"
#include "bench/report.h"
#include "worker/engine.h"

/* A worker's options when nobody says otherwise. */
#define MAX_SEQS  64
#define MAX_BATCH 512

void engine_run_ids(int32_t *ids, int row, int n, int vocab)
{
    for (int64_t k = 0; k < n; k++)
        ids[k] = (int32_t)((row * 131 + k * 17 + k * k * 7 + 3) % (vocab - 1) + 1);
}

struct engine *engine_run_open(const struct model *m, const struct engine_load *l)
{
    struct engine *en;
    struct errmsg e;
    const struct engine_opts o = {.model = m,
                                  .device = device_cpu(),
                                  .threads = l->threads,
                                  .kv_bytes = (size_t)8 << 30,
                                  .max_num_seqs = MAX_SEQS,
                                  .max_batched_tokens = MAX_BATCH,
                                  .max_model_len = l->prompt + l->answer,
                                  .kv_dtype = DTYPE_F32};

    if (engine_open(&en, &o, &e)) report_fail("%s", e.text);
    return en;
}

static void add_rows(struct engine *en, const struct model *m, const struct engine_load *l)
{
    const struct sampling greedy = {.max_tokens = l->answer, .top_p = 1, .ignore_eos = true};
    int32_t *ids = malloc((size_t)l->prompt * sizeof *ids);
    struct errmsg e;

    if (!ids) report_fail("no memory for a prompt of %d", l->prompt);
    for (int i = 0; i < l->sequences; i++) {
        engine_run_ids(ids, i, l->prompt, m->config.vocab_size);
        if (engine_add(en, ids, l->prompt, &greedy, (void *)(intptr_t)i, &e))
            report_fail("%s", e.text);
    }
    free(ids);
}

static void take_rows(struct engine *en, const struct engine_load *l, struct engine_times *out)
{
    struct outcome o;

    for (int i = 0; i < l->sequences; i++) {
        if (!engine_take(en, &o)) report_fail("%d of %d rows came out", i, l->sequences);
        if (o.n_ids != l->answer) report_fail("a row has %d tokens of %d", o.n_ids, l->answer);
        if (!o.owner) memcpy(out->ids, o.ids, (size_t)o.n_ids * sizeof *o.ids);
        free(o.ids);
        buf_fini(&o.text);
    }
}

void engine_run(struct engine *en, const struct model *m, const struct engine_load *l,
                struct engine_times *out)
{
    struct engine_stats before, after;
    int64_t start_ns, last_ns, now_ns;
    struct errmsg e;
    int rc;

    *out = (struct engine_times){0};
    if (l->answer > ENGINE_RUN_MAX_ANSWER) report_fail("answers of %d tokens", l->answer);
    add_rows(en, m, l);
    engine_stats(en, &before);
    start_ns = last_ns = peak_clock_ns(l->threads);
    while (!(rc = engine_step(en, &e))) {
        now_ns = peak_clock_ns(l->threads);
        engine_stats(en, &after);
        if (after.prefill_tokens == before.prefill_tokens) {
            out->decode_s += (double)(now_ns - last_ns) * 1e-9;
            out->decoded += (double)(after.decode_tokens - before.decode_tokens);
        }
        before = after;
        last_ns = now_ns;
    }
    if (rc != ERR_EMPTY) report_fail("a step: %s", e.text);
    out->total_s = (double)(last_ns - start_ns) * 1e-9;
    take_rows(en, l, out);
}
