/* choose.h - a row of logits becomes a token, on the device: only the choice crosses the bus.
 *
 *   l[v]   the logits as they come; log-probabilities are of these
 *   edits  for each edit (id, seen, bias), an id once in a row:
 *            l += bias                                             (-inf forbids the token)
 *            if seen: l = l > 0 ? l / repetition : l * repetition
 *            l -= frequency * (times in the answer);  l -= presence  if there is one
 *   greedy (temperature < CHOOSE_GREEDY): the largest, the lowest id of equals
 *   else   p[v] = exp((l[v] - top) / temperature), under e^-87 counts as 0; left are those with
 *          p >= min_p, of them the top_k largest, of them the largest that together reach top_p of
 *          what those have, at least one (equals: the lower id first); the choice is the first v,
 *          in order of id, at which the running sum of what is left passes draw * its total
 *
 * The order in which the running sum goes is this op's own: the host's sampler (worker/sample.h)
 * draws from the same probabilities, and may give another token for the same draw.
 *
 *   logits  [n][V] float, changed; on the device      wishes, edits, choices  on the host
 *
 * A choice is there when the stream has been waited for.  id is CHOOSE_NONE where the largest
 * logit, after the edits, is no finite number; nothing else of the choice is said then.  A NaN
 * counts as -inf.
 *
 * O1 holds: a row's choice is a function of its logits and its wish.
 *
 * choose_ref is the meaning: plain loops, sums in double.  Where a draw or a border falls within
 * CHOOSE_RTOL of the total to a neighbour's share, the neighbour is right too: float sums of V
 * terms in a tree.  Log-probabilities differ by CHOOSE_LOGPROB.
 *
 * choose_cuda adds up weights as whole numbers, p * 2^44, so that no order changes a sum: what is
 * under 2^-45 of the largest weight counts as 0, V * 2^-45 = 1e-8 of the total at most.
 *
 * Bound   memory: some passes over 4*V bytes a row.
 * Errors  ERR_ARG if n < 0, V is outside 1..CHOOSE_MAX_V, n_top over CHOOSE_MAX_TOP, a number of
 *         edits under 0 or an edit's id outside 0..V-1; ERR_FULL when the rows or edits of the
 *         calls since the last wait are more than the stream has room for: the tokens of a step
 *         (struct step_limits), CHOOSE_MAX_EDITS; ERR_NOMEM from choose_ref.
 */
#ifndef KERNELS_CHOOSE_H
#define KERNELS_CHOOSE_H

#include <stdint.h>

#include "base/err.h"
#include "kernels/stream.h"

#define CHOOSE_GREEDY    1e-5f
#define CHOOSE_NONE      (-1)
#define CHOOSE_MAX_TOP   20
#define CHOOSE_MAX_EDITS (1 << 20)
#define CHOOSE_MAX_V     (1 << 19)
#define CHOOSE_RTOL      1e-5
#define CHOOSE_LOGPROB   1e-4

struct edit {
    int32_t id;
    int32_t in_answer; /* times */
    int32_t seen;      /* is it in the prompt or the answer? */
    float bias;
};

struct wish {
    float temperature, top_p, min_p;
    int32_t top_k; /* 0: off */
    float repetition, frequency, presence;
    double draw; /* in [0, 1) */
    const struct edit *edits;
    int32_t n_edits;
    int32_t n_top; /* likeliest tokens to tell; -1: no log-probabilities at all */
};

struct choice {
    int32_t id;
    float logprob;
    int32_t n_top; /* told: less than asked for where logits are -inf or no numbers */
    int32_t top_ids[CHOOSE_MAX_TOP];
    float top_logprobs[CHOOSE_MAX_TOP];
};

int choose_ref(struct choice *out, float *logits, const struct wish *wishes, int n, int V,
               struct stream *s);
int choose_cuda(struct choice *out, float *logits, const struct wish *wishes, int n, int V,
                struct stream *s);

/* What a caller got wrong, for both. */
static inline int choose_check(const struct wish *wishes, int n, int V)
{
    if (n < 0 || V <= 0 || V > CHOOSE_MAX_V) return ERR_ARG;
    for (int i = 0; i < n; i++) {
        const struct wish *w = &wishes[i];

        if (w->n_top > CHOOSE_MAX_TOP || w->n_edits < 0) return ERR_ARG;
        for (int k = 0; k < w->n_edits; k++)
            if (w->edits[k].id < 0 || w->edits[k].id >= V) return ERR_ARG;
    }
    return ERR_OK;
}

/* What an edit makes of a logit. */
static inline float choose_edited(float l, const struct edit *e, const struct wish *w)
{
    l += e->bias;
    if (e->seen) l = l > 0 ? l / w->repetition : l * w->repetition;
    l -= w->frequency * (float)e->in_answer;
    return e->in_answer > 0 ? l - w->presence : l;
}

#endif
