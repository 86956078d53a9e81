/* post.c - messages of a simulation on their way. */
#include "bench/post.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static struct message *at(const struct post *p, size_t i)
{
    return &p->at[(p->head + i) & (p->cap - 1)];
}

static int grow(struct post *p)
{
    size_t cap = p->cap ? 2 * p->cap : 256;
    struct message *more = malloc(cap * sizeof *more);

    if (!more) return ERR_NOMEM;
    for (size_t i = 0; i < p->n; i++)
        more[i] = *at(p, i);
    free(p->at);
    *p = (struct post){more, 0, p->n, cap};
    return ERR_OK;
}

int post_add(struct post *p, const struct message *m)
{
    if (p->n == p->cap && grow(p)) return ERR_NOMEM;
    *at(p, p->n++) = *m;
    return ERR_OK;
}

struct message *post_last(const struct post *p)
{
    return p->n ? at(p, p->n - 1) : NULL;
}

double post_due_s(const struct post *p)
{
    return p->n ? at(p, 0)->at_s : INFINITY;
}

struct message post_take(struct post *p)
{
    assert(p->n);
    p->n--;
    p->head = (p->head + 1) & (p->cap - 1);
    return p->at[(p->head - 1) & (p->cap - 1)];
}

void post_fini(struct post *p, struct seqs *s)
{
    while (p->n) {
        struct message m = post_take(p);

        if (m.what == SAY_LEASE || m.what == SAY_RESULTS) seqs_free(s, m.list.first);
    }
    free(p->at);
    *p = (struct post){0};
}
