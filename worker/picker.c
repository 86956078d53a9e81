/* picker.c - the rows of a step to their next tokens, on the host or on the device. */
#include "worker/picker.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/pool.h"
#include "model/config.h"
#include "worker/chooser.h"
#include "worker/sample.h"
#include "worker/seq.h"
#include "worker/wishes.h"

#define MAX_CHOOSERS 8

struct picker {
    struct forward *forward;
    const struct model_config *c;
    struct stream *pool;
    int n_choosers, max_rows;
    struct chooser *choosers[MAX_CHOOSERS]; /* one for each thread that chooses */
    int32_t *picks;                         /* [max_rows] */

    /* on an asynchronous device */
    struct wishes *wishes;  /* NULL: it does not choose */
    struct choice *choices; /* [max_rows] */
    bool *by_host;          /* [max_rows] */
    float *fetched;         /* [n_choosers][V] */

    /* rows that the choosers work on */
    const struct batch *b;
    float *logits;
    int rows[FORWARD_LOGITS]; /* [n] */
    int n;
};

static int open_choice(struct picker *p, struct errmsg *e)
{
    const size_t n = (size_t)p->max_rows, V = (size_t)p->c->vocab_size;

    p->choices = calloc(n, sizeof *p->choices);
    p->by_host = calloc(n, sizeof *p->by_host);
    p->fetched = malloc((size_t)p->n_choosers * V * sizeof *p->fetched);
    if (!p->choices || !p->by_host || !p->fetched)
        return err_set(e, ERR_NOMEM, "no memory for the choices of %d rows", p->max_rows);
    return forward_can_choose(p->forward)
               ? wishes_open(&p->wishes, p->max_rows, p->c->vocab_size, e)
               : ERR_OK;
}

int picker_open(struct picker **out, struct forward *f, const struct model_config *c,
                struct stream *pool, int max_rows, struct errmsg *e)
{
    const int samplers = pool_threads(pool) < max_rows ? pool_threads(pool) : max_rows;
    struct picker *p = calloc(1, sizeof *p);
    int rc = ERR_OK;

    *out = NULL;
    if (p) p->picks = malloc((size_t)max_rows * sizeof *p->picks);
    if (!p || !p->picks) {
        rc = err_set(e, ERR_NOMEM, "no memory for the tokens of %d rows", max_rows);
        goto out;
    }
    p->forward = f;
    p->c = c;
    p->pool = pool;
    p->max_rows = max_rows;
    while (!rc && p->n_choosers < samplers && p->n_choosers < MAX_CHOOSERS)
        rc = chooser_open(&p->choosers[p->n_choosers++], c->vocab_size, e);
    if (!rc && forward_is_async(f)) rc = open_choice(p, e);
    if (rc) goto out;
    *out = p;
    p = NULL;
out:
    picker_close(&p);
    return rc;
}

void picker_close(struct picker **pp)
{
    struct picker *p = *pp;

    if (!p) return;
    for (int i = 0; i < p->n_choosers; i++)
        chooser_close(&p->choosers[i]);
    wishes_close(&p->wishes);
    free(p->choices);
    free(p->by_host);
    free(p->fetched);
    free(p->picks);
    free(p);
    *pp = NULL;
}

size_t picker_bytes(const struct picker *p)
{
    const int V = p->c->vocab_size;
    size_t bytes = (size_t)p->n_choosers * chooser_bytes(V);

    if (p->choices)
        bytes += (size_t)p->max_rows * sizeof *p->choices +
                 (size_t)p->n_choosers * (size_t)V * sizeof *p->fetched;
    if (p->wishes) bytes += wishes_bytes(p->max_rows, V);
    return bytes;
}

static struct seq *seq_of_row(const struct batch *b, int row)
{
    return b->seqs[b->row_seq[row]];
}

/* Every n_choosers-th of the rows at hand. */
static void pick_some(void *arg, int which)
{
    struct picker *p = arg;
    const size_t V = (size_t)p->c->vocab_size;

    for (int i = which; i < p->n; i += p->n_choosers)
        p->picks[p->rows[i]] = chooser_pick(p->choosers[which], seq_of_row(p->b, p->rows[i]),
                                            p->logits + (size_t)i * V, p->c);
}

static void pick_here(struct picker *p, float *logits)
{
    p->logits = logits;
    pool_run(p->pool, p->n_choosers, pick_some, p);
    p->n = 0;
}

/* The rows first..first+n-1, whose logits are on the host. */
static void choose_here(struct picker *p, float *logits, int first, int n)
{
    for (p->n = 0; p->n < n; p->n++)
        p->rows[p->n] = first + p->n;
    pick_here(p, logits);
}

/* The rows first..first+n-1, whose logits are on the device; those without a wish first, as the
 * device's chooser changes what it reads. */
static int choose_there(struct picker *p, float *logits, int first, int n, struct errmsg *e)
{
    const size_t V = (size_t)p->c->vocab_size;
    int rc = ERR_OK;

    p->n = 0;
    for (int i = 0; i < n && !rc; i++) {
        const int row = first + i;

        p->by_host[row] = !p->wishes || !wishes_put(p->wishes, row, seq_of_row(p->b, row), p->c);
        if (!p->by_host[row]) continue;
        rc = forward_fetch(p->forward, p->fetched + (size_t)p->n * V, logits + (size_t)i * V, V, e);
        p->rows[p->n++] = row;
        if (!rc && p->n == p->n_choosers) pick_here(p, p->fetched);
    }
    if (rc) return rc;
    pick_here(p, p->fetched);
    if (!p->wishes) return ERR_OK;
    rc = forward_choose(p->forward, p->choices + first, logits, wishes_at(p->wishes, first), n, e);
    if (rc != ERR_FULL) return rc;
    /* The room that the calls before have filled is free again after a wait. */
    rc = forward_wait(p->forward, e);
    return rc ? rc
              : forward_choose(p->forward, p->choices + first, logits, wishes_at(p->wishes, first),
                               n, e);
}

int picker_start(struct picker *p, const struct batch *b, struct errmsg *e)
{
    const int most = forward_max_logits(p->forward);
    float *logits;
    int rc = ERR_OK;

    p->b = b;
    for (int first = 0, n; first < b->r.n_rows && !rc; first += n) {
        n = b->r.n_rows - first < most ? b->r.n_rows - first : most;
        rc = forward_logits(p->forward, first, n, &logits, e);
        if (!rc && p->choices)
            rc = choose_there(p, logits, first, n, e);
        else if (!rc)
            choose_here(p, logits, first, n);
    }
    return rc;
}

static void note_logprobs(struct seq *s, const struct choice *c)
{
    struct logprob *out = seq_logprobs(s, s->n_out);

    out[0] = (struct logprob){c->id, c->logprob};
    for (int i = 0; i < s->sampling.top_logprobs; i++)
        out[1 + i] = i < c->n_top ? (struct logprob){c->top_ids[i], c->top_logprobs[i]}
                                  : (struct logprob){-1, -HUGE_VALF};
}

int32_t picker_token(struct picker *p, const struct batch *b, int row)
{
    struct seq *s = seq_of_row(b, row);
    const struct choice *c = &p->choices[row];

    if (!p->choices || p->by_host[row]) return p->picks[row];
    if (s->sampling.logprobs && c->id != CHOOSE_NONE) note_logprobs(s, c);
    return c->id;
}
