/* chooser.c - a row's logits to its next token. */
#include "worker/chooser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/scores.h"
#include "model/config.h"
#include "worker/mask.h"
#include "worker/penalty.h"
#include "worker/sample.h"
#include "worker/seq.h"

struct chooser {
    int V;
    struct candidate *candidates; /* [V] */
    float *raw;                   /* [V] the logits as they came */
    uint64_t *seen;               /* a set of mask.h, empty between rows */
};

size_t chooser_bytes(int V)
{
    return (size_t)V * (sizeof(struct candidate) + sizeof(float)) + 8 * mask_words(V);
}

int chooser_open(struct chooser **out, int V, struct errmsg *e)
{
    struct chooser *c = calloc(1, sizeof *c);

    *out = c;
    if (c) {
        c->V = V;
        c->candidates = malloc((size_t)V * sizeof *c->candidates);
        c->raw = malloc((size_t)V * sizeof *c->raw);
        c->seen = calloc(mask_words(V), sizeof *c->seen);
        if (c->candidates && c->raw && c->seen) return ERR_OK;
    }
    chooser_close(out);
    return err_set(e, ERR_NOMEM, "no memory to choose from %d tokens", V);
}

void chooser_close(struct chooser **c)
{
    if (!*c) return;
    free((*c)->candidates);
    free((*c)->raw);
    free((*c)->seen);
    free(*c);
    *c = NULL;
}

/* The chosen token's, then those of the likeliest. */
static void note_logprobs(struct chooser *c, struct seq *s, const float *raw, int32_t id)
{
    const int n = s->sampling.top_logprobs;
    struct logprob *out = seq_logprobs(s, s->n_out);
    const float top = raw[scores_best(raw, c->V)];
    const double all = (double)top + log(scores_sum(raw, c->V, top, 1));
    const int found = n ? sample_top(raw, c->V, n, c->candidates) : 0;

    out[0] = (struct logprob){id, (float)((double)raw[id] - all)};
    for (int i = 0; i < n; i++)
        out[1 + i] = i < found ? (struct logprob){c->candidates[i].id,
                                                  (float)((double)c->candidates[i].logit - all)}
                               : (struct logprob){-1, -HUGE_VALF};
}

int32_t chooser_pick(struct chooser *c, struct seq *s, float *logits, const struct model_config *m)
{
    const bool masked = mask_is_needed(&s->sampling, m, s->n_out);
    const bool penalised = penalty_is_needed(s);
    const float *raw = logits;
    int32_t id;

    if (s->sampling.logprobs && (masked || penalised)) {
        memcpy(c->raw, logits, (size_t)c->V * sizeof *c->raw);
        raw = c->raw;
    }
    if (masked) mask_row(logits, &s->sampling, m, s->n_out);
    if (penalised) penalty_row(logits, s, c->seen);
    id = sample_token(logits, c->V, &s->sampling, seq_len(s), c->candidates);
    if (s->sampling.logprobs && id != SAMPLE_NONE) note_logprobs(c, s, raw, id);
    return id;
}
