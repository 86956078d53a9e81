/* intake.c - what an engine takes. */
#include "worker/intake.h"

#include <stdbool.h>

#include "model/model.h"
#include "model/tokenizer.h"
#include "worker/mask.h"
#include "worker/sample.h"
#include "worker/seq.h"

int intake_check_ids(const struct intake *in, const int32_t *ids, int n, struct errmsg *e)
{
    const int V = in->model->config.vocab_size;

    if (n < 1) return err_set(e, ERR_ARG, "the prompt has no tokens");
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= V)
            return err_set(e, ERR_ARG, "token %d of the prompt is %d, outside the vocabulary of %d",
                           i + 1, ids[i], V);
    return ERR_OK;
}

static int check_sampling(const struct intake *in, const struct sampling *p, struct errmsg *e)
{
    const int V = in->model->config.vocab_size;
    int rc = sample_check(p, e);

    for (int i = 0; i < p->n_stop_ids && !rc; i++)
        if (p->stop_ids[i] < 0 || p->stop_ids[i] >= V)
            rc = err_set(e, ERR_ARG, "stop_token_ids holds %d, outside the vocabulary of %d",
                         p->stop_ids[i], V);
    for (int i = 0; i < p->n_biases && !rc; i++)
        if (p->biases[i].id < 0 || p->biases[i].id >= V)
            rc = err_set(e, ERR_ARG, "logit_bias names token %d, outside the vocabulary of %d",
                         p->biases[i].id, V);
    return rc;
}

/* Room for the answer, and KV blocks for both. */
static int check_room(const struct intake *in, int n, const struct sampling *p, int *max_out,
                      struct errmsg *e)
{
    if (n >= in->max_len)
        return err_set(e, ERR_ARG,
                       "the prompt has %d tokens, and the limit is %d for prompt and answer", n,
                       in->max_len);
    *max_out = in->max_len - n;
    if (p->max_tokens && p->max_tokens < *max_out) *max_out = p->max_tokens;
    /* The last token's K and V are never needed. */
    if (n + *max_out - 1 > in->kv_tokens)
        return err_set(e, ERR_FULL,
                       "the prompt has %d tokens and the answer up to %d, and the KV blocks here "
                       "hold %d tokens",
                       n, *max_out, in->kv_tokens);
    return ERR_OK;
}

static bool spells_something(const struct model *m, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        if (!tokenizer_is_special(m->tokenizer, ids[i])) return true;
    return false;
}

static void free_all(struct seq *s)
{
    for (struct seq *next; s; s = next) {
        next = s->next;
        seq_free(&s);
    }
}

int intake_seqs(const struct intake *in, const int32_t *ids, int n, const struct sampling *p,
                struct seq **first, struct errmsg *e)
{
    const bool has_text = n > 0 && spells_something(in->model, ids, n);
    int max_out = 0, rc = check_sampling(in, p, e);

    *first = NULL;
    if (!rc) rc = check_room(in, n, p, &max_out, e);
    for (int i = p->n ? p->n - 1 : 0; i >= 0 && !rc; i--) {
        struct seq *s = seq_new(ids, n, p, max_out);

        if (!s) {
            free_all(*first);
            *first = NULL;
            return err_set(e, ERR_NOMEM, "no memory for sequences of %d tokens", n + max_out);
        }
        s->index = i;
        s->sampling.seed = p->seed + (uint64_t)i;
        s->has_text = has_text;
        s->next = *first;
        *first = s;
    }
    return rc;
}
