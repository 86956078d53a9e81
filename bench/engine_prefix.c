/* engine_prefix.c - a thousand rows with one system prompt: whose tokens are computed once? */
#include <stdlib.h>

#include "bench/engine_figures.h"
#include "bench/engine_run.h"
#include "bench/report.h"
#include "worker/engine.h"

#define ROWS   1000
#define SHARED 2000 /* tokens */
#define OWN    24
#define ANSWER 2
#define TARGET 0.99

static void add_row(struct engine *en, int row, int32_t *ids, int vocab)
{
    const struct sampling greedy = {.max_tokens = ANSWER, .top_p = 1, .ignore_eos = true};
    struct errmsg e;

    engine_run_ids(ids + SHARED, row, OWN, vocab);
    if (engine_add(en, ids, SHARED + OWN, &greedy, NULL, &e)) report_fail("%s", e.text);
}

/* Tokens of the shared prompt that were read and not computed, of all rows that came out. */
static double cached(struct engine *en)
{
    struct outcome o;
    double n = 0;

    while (engine_take(en, &o)) {
        n += o.n_cached < SHARED ? o.n_cached : SHARED;
        free(o.ids);
        buf_fini(&o.text);
    }
    return n;
}

void engine_figures_prefix(struct engine_figures *f)
{
    static int32_t ids[SHARED + OWN];
    const struct engine_load l = {f->threads, ROWS, SHARED + OWN, ANSWER};
    char path[PATH_MAX];
    struct engine *en;
    struct model *m;
    struct errmsg e;
    double n = 0;
    int rc;

    engine_model_path(f, ENGINE_SMALL, "hf", path);
    if (model_open(&m, path, &e)) report_fail("%s", e.text);
    en = engine_run_open(m, &l);
    engine_run_ids(ids, 0, SHARED, m->config.vocab_size);
    for (int i = 0; i < ROWS; i++)
        add_row(en, i + 1, ids, m->config.vocab_size);
    while (!(rc = engine_step(en, &e)))
        n += cached(en);
    if (rc != ERR_EMPTY) report_fail("a step: %s", e.text);
    engine_close(&en);
    model_close(&m);
    report_figure(&(struct figure){.bench = "engine",
                                   .figure = "prefix tokens from the cache rows=1000 shared=2000",
                                   .value = n / ROWS / SHARED,
                                   .unit = "share",
                                   .target = TARGET,
                                   .limit = (ROWS - 1.0) / ROWS});
}
