/* choose_state.cu - wishes on their way to the device, and choices on their way back. */
#include "kernels/choose_state.cuh"

extern "C" {
#include "base/fault.h"
}

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CALLS 16 /* between two waits */

struct choose_state {
    int max_rows, n_rows, n_edits, n_calls;
    struct choose_call device; /* all of it */
    struct choice *choices;    /* pinned, as the next two */
    struct device_wish *wishes;
    struct edit *edits;
    struct {
        struct choice *out;
        int at, n;
    } calls[MAX_CALLS];
};

int choose_open(struct stream *s)
{
    struct choose_state *c = (struct choose_state *)calloc(1, sizeof *c);
    size_t rows;

    if (!c) return ERR_NOMEM;
    s->choose = c;
    c->max_rows = s->limits.max_tokens;
    rows = (size_t)c->max_rows;
    c->device.choices = (struct choice *)stream_take(s, rows * sizeof *c->choices, "choose");
    c->device.wishes = (struct device_wish *)stream_take(s, rows * sizeof *c->wishes, "choose");
    c->device.edits = (struct edit *)stream_take(s, CHOOSE_MAX_EDITS * sizeof *c->edits, "choose");
    c->device.was = (float *)stream_take(s, CHOOSE_MAX_EDITS * sizeof(float), "choose");
    c->choices = (struct choice *)stream_pinned(s, rows * sizeof *c->choices, "choose");
    c->wishes = (struct device_wish *)stream_pinned(s, rows * sizeof *c->wishes, "choose");
    c->edits = (struct edit *)stream_pinned(s, CHOOSE_MAX_EDITS * sizeof *c->edits, "choose");
    return s->rc;
}

void choose_close(struct stream *s)
{
    free(s->choose);
    s->choose = NULL;
}

static struct device_wish wish_of(const struct wish *w, int first_edit)
{
    const struct device_wish d = {
        w->draw,
        w->min_p > 0 ? log((double)w->min_p) : 0,
        w->temperature,
        1.0f / w->temperature,
        w->top_p,
        w->repetition,
        w->frequency,
        w->presence,
        w->top_k,
        w->n_top,
        w->n_edits,
        first_edit,
        w->temperature<CHOOSE_GREEDY, w->min_p> 0,
    };

    return d;
}

/* Copies n things from where they were put in pinned memory to the same place on the device. */
template <class T> static int send(T *to, const T *from, int at, int n, struct stream *s)
{
    if (!n) return ERR_OK;
    return stream_called(
        s,
        cudaMemcpyAsync(to + at, from + at, (size_t)n * sizeof *to, cudaMemcpyHostToDevice, s->at),
        "choose", "n=%d", n);
}

int choose_send(struct choose_call *call, struct choice *out, const struct wish *wishes, int n,
                struct stream *s)
{
    struct choose_state *c = s->choose;
    const int row = c->n_rows, first = c->n_edits;
    int64_t edits = first;
    int rc;

    for (int i = 0; i < n; i++)
        edits += wishes[i].n_edits;
    if (n > c->max_rows - row || edits > CHOOSE_MAX_EDITS || c->n_calls == MAX_CALLS ||
        fault_here("choose"))
        return ERR_FULL;
    for (int i = 0, at = first; i < n; at += wishes[i++].n_edits) {
        c->wishes[row + i] = wish_of(&wishes[i], at);
        if (wishes[i].n_edits)
            memcpy(c->edits + at, wishes[i].edits, (size_t)wishes[i].n_edits * sizeof *c->edits);
    }
    if ((rc = send(c->device.wishes, c->wishes, row, n, s))) return rc;
    if ((rc = send(c->device.edits, c->edits, first, (int)edits - first, s))) return rc;
    c->calls[c->n_calls++] = {out, row, n};
    c->n_rows += n, c->n_edits = (int)edits;
    *call = c->device;
    call->choices += row, call->wishes += row, call->at = row;
    return ERR_OK;
}

int choose_fetch(const struct choose_call *call, int n, struct stream *s)
{
    return stream_called(s,
                         cudaMemcpyAsync(s->choose->choices + call->at, call->choices,
                                         (size_t)n * sizeof *call->choices, cudaMemcpyDeviceToHost,
                                         s->at),
                         "choose", "n=%d", n);
}

int choose_waited(struct stream *s)
{
    struct choose_state *c = s->choose;

    if (!c) return ERR_OK;
    for (int i = 0; i < c->n_calls && !s->rc; i++)
        memcpy(c->calls[i].out, c->choices + c->calls[i].at,
               (size_t)c->calls[i].n * sizeof *c->choices);
    c->n_rows = c->n_edits = c->n_calls = 0;
    return ERR_OK;
}
