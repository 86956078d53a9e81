/* penalty.c - makes tokens that were there before less likely. */
#include "worker/penalty.h"

#include "worker/mask.h"
#include "worker/seq.h"

bool penalty_repeats(const struct sampling *p)
{
    return p->repetition_penalty > 0 && (p->repetition_penalty < 1 || p->repetition_penalty > 1);
}

bool penalty_counts(const struct sampling *p)
{
    return p->presence_penalty < 0 || p->presence_penalty > 0 || p->frequency_penalty < 0 ||
           p->frequency_penalty > 0;
}

bool penalty_is_needed(const struct seq *s)
{
    return penalty_repeats(&s->sampling) || (s->n_out && penalty_counts(&s->sampling));
}

/* Is it the first time that id is seen? */
static bool is_new(uint64_t *seen, int32_t id)
{
    const bool is = !mask_has(seen, id);

    mask_put(seen, id);
    return is;
}

static void forget(const struct seq *s, int from, uint64_t *seen)
{
    for (int i = from; i < seq_len(s); i++)
        seen[seq_id_at(s, i) / 64] = 0;
}

void penalty_row(float *logits, const struct seq *s, uint64_t *seen)
{
    const struct sampling *p = &s->sampling;

    for (int i = 0; penalty_repeats(p) && i < seq_len(s); i++) {
        float *l = &logits[seq_id_at(s, i)];

        if (is_new(seen, seq_id_at(s, i)))
            *l = *l > 0 ? *l / p->repetition_penalty : *l * p->repetition_penalty;
    }
    if (penalty_repeats(p)) forget(s, 0, seen);
    for (int i = 0; penalty_counts(p) && i < s->n_out; i++) {
        float *l = &logits[s->out[i]];

        *l -= p->frequency_penalty;
        if (is_new(seen, s->out[i])) *l -= p->presence_penalty;
    }
    forget(s, s->n_prompt, seen);
}
