/* mask.c - the one place where a row's logits are forbidden or shifted. */
#include "worker/mask.h"

#include <math.h>

#include "model/config.h"
#include "worker/engine.h"

size_t mask_words(int V)
{
    return ((size_t)V + 63) / 64;
}

void mask_put(uint64_t *set, int32_t id)
{
    set[id / 64] |= (uint64_t)1 << id % 64;
}

bool mask_has(const uint64_t *set, int32_t id)
{
    return set[id / 64] >> id % 64 & 1;
}

static void forbid(float *logits, int V, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < V) logits[ids[i]] = -HUGE_VALF;
}

static void allow_only(float *logits, int V, const uint64_t *allowed)
{
    for (int32_t from = 0; from < V; from += 64) {
        const int n = V - from < 64 ? V - from : 64;

        for (int i = 0; i < n && allowed[from / 64] != UINT64_MAX; i++)
            if (!(allowed[from / 64] >> i & 1)) logits[from + i] = -HUGE_VALF;
    }
}

bool mask_is_needed(const struct sampling *p, const struct model_config *c, int n_out)
{
    const bool has_end = p->n_stop_ids || (c->n_eos && !p->ignore_eos);

    return p->allowed || p->n_biases || (n_out < p->min_tokens && has_end);
}

void mask_row(float *logits, const struct sampling *p, const struct model_config *c, int n_out)
{
    const int V = c->vocab_size;

    for (int i = 0; i < p->n_biases; i++)
        logits[p->biases[i].id] += p->biases[i].value;
    if (p->allowed) allow_only(logits, V, p->allowed);
    if (n_out >= p->min_tokens) return;
    forbid(logits, V, p->stop_ids, p->n_stop_ids);
    if (!p->ignore_eos) forbid(logits, V, c->eos_ids, c->n_eos);
}
