/* refit.c - when an instance's refitted model is worth telling again. */
#include "worker/refit.h"

#include <math.h>
#include <string.h>

#include "worker/runner.h"

bool refit_differs(const struct perf *a, const struct perf *b, int max_num_seqs)
{
    const double S = max_num_seqs, context = 512;
    const struct perf_sample steps[] = {{.n = 1, .m = context},
                                        {.n = S, .m = S * context},
                                        {.p = 16, .x = 16 * context},
                                        {.p = context, .x = context * context / 2},
                                        {.p = context, .x = context * context / 2, .n = S / 2}};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const struct perf_sample *s = &steps[i];
        const double was = perf_step_ms(a, s->p, s->n, s->x, s->m);
        const double now = perf_step_ms(b, s->p, s->n, s->x, s->m);

        if (fabs(now - was) > REFIT_CHANGE * was) return true;
    }
    return false;
}

bool refit_look(struct refit *f, struct link_profile *p, struct runner *r, int max_num_seqs,
                int64_t now_ms)
{
    const bool is_measured = !strcmp(p->source, "measured");
    struct runner_model m;
    bool worth;

    if (now_ms - f->looked_ms < (f->every_ms ? f->every_ms : REFIT_EVERY_MS)) return false;
    f->looked_ms = now_ms;
    if (!runner_model(r, &m)) return false;
    m.drifted = m.drifted && is_measured; /* an estimate is left behind by rights */
    worth = m.drifted != p->drifted || refit_differs(&p->perf, &m.perf, max_num_seqs);
    if (!worth) return false;
    if (!is_measured) p->source = "mixed";
    p->perf = m.perf;
    p->mape = m.mape;
    p->start_mape = m.start_mape;
    p->drifted = m.drifted;
    return true;
}
