/* sharing.c - the prefix cache of a simulated instance. */
#include "bench/sharing.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#define NONE (-1)

struct piece {
    int32_t users;
    int32_t before, after; /* among the kept ones, from the one let go of longest ago */
    bool is_here;
};

struct sharing {
    const struct chains *chains;
    struct piece *at; /* by piece */
    int32_t oldest, newest;
    int64_t kept; /* tokens */
};

int sharing_open(struct sharing **out, const struct chains *c)
{
    struct sharing *s = calloc(1, sizeof *s);

    *out = s;
    if (!s) return ERR_NOMEM;
    s->chains = c;
    s->oldest = s->newest = NONE;
    s->at = calloc((size_t)chains_pieces(c) + 1, sizeof *s->at);
    if (s->at) return ERR_OK;
    sharing_close(out);
    return ERR_NOMEM;
}

void sharing_close(struct sharing **s)
{
    if (!*s) return;
    free((*s)->at);
    free(*s);
    *s = NULL;
}

static void keep(struct sharing *s, int32_t id)
{
    struct piece *p = &s->at[id];

    p->before = s->newest;
    p->after = NONE;
    if (s->newest == NONE)
        s->oldest = id;
    else
        s->at[s->newest].after = id;
    s->newest = id;
    s->kept += chains_tokens(s->chains, id);
}

static void unkeep(struct sharing *s, int32_t id)
{
    const struct piece *p = &s->at[id];

    if (p->before == NONE)
        s->oldest = p->after;
    else
        s->at[p->before].after = p->after;
    if (p->after == NONE)
        s->newest = p->before;
    else
        s->at[p->after].before = p->before;
    s->kept -= chains_tokens(s->chains, id);
}

int32_t sharing_look(const struct sharing *s, int64_t row, int32_t *woken)
{
    struct chain_row r;
    int32_t found = 0;

    *woken = 0;
    chains_at(s->chains, row, &r);
    for (int32_t i = 0; i < r.n && s->at[r.pieces[i]].is_here; i++) {
        const int32_t tokens = chains_tokens(s->chains, r.pieces[i]);

        found += tokens;
        if (!s->at[r.pieces[i]].users) *woken += tokens;
    }
    return found;
}

int32_t sharing_begin(struct sharing *s, int64_t row, int32_t *woken)
{
    const int32_t found = sharing_look(s, row, woken);
    struct chain_row r;

    chains_at(s->chains, row, &r);
    for (int32_t i = 0; i < r.n; i++) {
        struct piece *p = &s->at[r.pieces[i]];

        if (p->is_here && !p->users) unkeep(s, r.pieces[i]);
        p->is_here = true;
        p->users++;
    }
    return found;
}

/* From its end, so that what stands behind a piece goes before it. */
int32_t sharing_end(struct sharing *s, int64_t row, int32_t computed, int32_t *shared)
{
    struct chain_row r;
    int32_t freed = 0, end = 0;

    *shared = 0;
    chains_at(s->chains, row, &r);
    for (int32_t i = 0; i < r.n; i++)
        end += chains_tokens(s->chains, r.pieces[i]);
    for (int32_t i = r.n - 1; i >= 0; i--) {
        struct piece *p = &s->at[r.pieces[i]];
        const int32_t tokens = chains_tokens(s->chains, r.pieces[i]);
        const bool is_computed = end <= computed;

        end -= tokens;
        assert(p->users > 0);
        p->users--;
        if (is_computed) *shared += tokens;
        if (p->users) continue;
        p->is_here = is_computed;
        if (!is_computed) continue;
        keep(s, r.pieces[i]);
        freed += tokens;
    }
    return freed;
}

void sharing_fit(struct sharing *s, int64_t tokens)
{
    while (s->kept > tokens && s->oldest != NONE) {
        const int32_t id = s->oldest;

        unkeep(s, id);
        s->at[id].is_here = false;
    }
}

int64_t sharing_kept(const struct sharing *s)
{
    return s->kept;
}
