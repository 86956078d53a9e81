/* quality.c - how far one engine's next tokens are from another's. */
#include "bench/quality.h"

#include <math.h>
#include <stdlib.h>

#include "bench/report.h"
#include "worker/engine.h"

int quality_answer(struct engine *en, struct ids *ids, int max_tokens, int seed)
{
    const struct sampling p = {
        .max_tokens = max_tokens, .temperature = 1, .top_p = 1, .seed = (uint64_t)seed};
    const int from = (int)ids->n;
    struct outcome o;
    struct errmsg e;
    int rc;

    if (engine_add(en, ids->at, from, &p, NULL, &e)) report_fail("%s", e.text);
    while (!(rc = engine_step(en, &e)))
        continue;
    if (rc != ERR_EMPTY || !engine_take(en, &o)) report_fail("%s", e.text);
    for (int i = 0; i < o.n_ids; i++)
        if (ids_add(ids, o.ids[i])) report_fail("no memory for a row");
    free(o.ids);
    free(o.logprobs);
    buf_fini(&o.text);
    return from;
}

static int likeliest(const float *l, int V)
{
    int best = 0;

    for (int v = 1; v < V; v++)
        if (l[v] > l[best]) best = v;
    return best;
}

/* log of the sum of exp. */
static double log_total(const float *l, int V)
{
    const double top = (double)l[likeliest(l, V)];
    double sum = 0;

    for (int v = 0; v < V; v++)
        sum += exp((double)l[v] - top);
    return top + log(sum);
}

static double divergence(const float *p, const float *q, int V)
{
    const double p_total = log_total(p, V), q_total = log_total(q, V);
    double kl = 0;

    for (int v = 0; v < V; v++) {
        const double log_p = (double)p[v] - p_total;

        kl += exp(log_p) * (log_p - ((double)q[v] - q_total));
    }
    return kl;
}

void quality_add(struct quality *q, struct engine *first, struct engine *other,
                 const struct ids *ids, int from, int vocab)
{
    float *a = malloc((size_t)vocab * sizeof *a), *b = malloc((size_t)vocab * sizeof *b);
    struct errmsg e;

    if (!a || !b) report_fail("no memory for logits");
    for (int n = from; n < (int)ids->n; n++) {
        const double seen = q->places++;

        if (engine_logits(first, ids->at, n, a, &e) || engine_logits(other, ids->at, n, b, &e))
            report_fail("%s", e.text);
        q->agreement += ((likeliest(a, vocab) == likeliest(b, vocab)) - q->agreement) / (seen + 1);
        q->kl += (divergence(a, b, vocab) - q->kl) / (seen + 1);
    }
    free(a);
    free(b);
}
