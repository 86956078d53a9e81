/* wishes.c - what the rows of a step ask of the device's chooser. */
#include "worker/wishes.h"

#include <math.h>
#include <stdlib.h>

#include "model/config.h"
#include "worker/mask.h"
#include "worker/penalty.h"
#include "worker/sample.h"
#include "worker/seq.h"

struct wishes {
    int V;
    int32_t *place;      /* [V] 1 + where an id's edit stands in the row at work; 0 between rows */
    struct wish *wishes; /* [max_rows] */
    struct edit *edits;  /* [max_rows][WISHES_EDITS] */
};

size_t wishes_bytes(int max_rows, int V)
{
    return (size_t)V * sizeof(int32_t) +
           (size_t)max_rows * (sizeof(struct wish) + WISHES_EDITS * sizeof(struct edit));
}

int wishes_open(struct wishes **out, int max_rows, int V, struct errmsg *e)
{
    struct wishes *w = calloc(1, sizeof *w);

    *out = w;
    if (w) {
        w->V = V;
        w->place = calloc((size_t)V, sizeof *w->place);
        w->wishes = calloc((size_t)max_rows, sizeof *w->wishes);
        w->edits = malloc((size_t)max_rows * WISHES_EDITS * sizeof *w->edits);
        if (w->place && w->wishes && w->edits) return ERR_OK;
    }
    wishes_close(out);
    return err_set(e, ERR_NOMEM, "no memory for the wishes of %d rows", max_rows);
}

void wishes_close(struct wishes **w)
{
    if (!*w) return;
    free((*w)->place);
    free((*w)->wishes);
    free((*w)->edits);
    free(*w);
    *w = NULL;
}

/* A row's edits while they are collected. */
struct list {
    int32_t *place;
    struct edit *edits;
    int n;
    bool full;
    struct edit rest; /* where those go that there is no room for */
};

static struct edit *edit_of(struct list *l, int32_t id)
{
    if (l->place[id]) return &l->edits[l->place[id] - 1];
    if (l->n == WISHES_EDITS) {
        l->full = true;
        return &l->rest;
    }
    l->edits[l->n] = (struct edit){.id = id};
    l->place[id] = ++l->n;
    return &l->edits[l->n - 1];
}

static void forbid(struct list *l, int V, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < V) edit_of(l, ids[i])->bias = -HUGE_VALF;
}

static void collect(struct list *l, const struct seq *s, const struct model_config *c)
{
    const struct sampling *p = &s->sampling;

    for (int i = 0; i < p->n_biases; i++)
        edit_of(l, p->biases[i].id)->bias += p->biases[i].value;
    if (s->n_out < p->min_tokens) {
        forbid(l, c->vocab_size, p->stop_ids, p->n_stop_ids);
        if (!p->ignore_eos) forbid(l, c->vocab_size, c->eos_ids, c->n_eos);
    }
    for (int i = 0; penalty_repeats(p) && i < seq_len(s) && !l->full; i++)
        edit_of(l, seq_id_at(s, i))->seen = 1;
    for (int i = 0; penalty_counts(p) && i < s->n_out && !l->full; i++)
        edit_of(l, s->out[i])->in_answer++;
}

bool wishes_put(struct wishes *w, int row, const struct seq *s, const struct model_config *c)
{
    const struct sampling *p = &s->sampling;
    struct wish *out = &w->wishes[row];
    struct list l = {.place = w->place, .edits = w->edits + (size_t)row * WISHES_EDITS};

    *out = (struct wish){.top_p = 1, .repetition = 1, .n_top = -1};
    if (p->allowed) return false;
    collect(&l, s, c);
    for (int i = 0; i < l.n; i++)
        w->place[l.edits[i].id] = 0;
    if (l.full) return false;
    *out = (struct wish){.temperature = p->temperature,
                         .top_p = p->top_p,
                         .min_p = p->min_p,
                         .top_k = p->top_k,
                         .repetition = penalty_repeats(p) ? p->repetition_penalty : 1,
                         .frequency = p->frequency_penalty,
                         .presence = p->presence_penalty,
                         .draw = sample_draw(p->seed, seq_len(s)),
                         .edits = l.edits,
                         .n_edits = l.n,
                         .n_top = p->logprobs ? p->top_logprobs : -1};
    return true;
}

const struct wish *wishes_at(const struct wishes *w, int row)
{
    return &w->wishes[row];
}
