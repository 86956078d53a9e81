/* cluster_rest.c - what is left of a simulated batch, and how far it is. */
#include <stdlib.h>

#include "bench/cluster_part.h"

static bool is_done(const struct cluster *c, int64_t row)
{
    return c->done[row / 8] >> row % 8 & 1;
}

/* Of a job that runs twice the further one counts. */
static void look(const struct cluster *c, int32_t at, struct cluster_row *rows)
{
    const struct batching *b = &c->members[at].b;

    for (int32_t i = 0; i < batching_running(b); i++) {
        int32_t kv, made, s = batching_look(b, &c->seqs, i, c->now_s, &kv, &made);
        struct cluster_row *r = &rows[c->seqs.at[s].job_id - 1];

        if (r->instance != SEQ_NONE && r->made + r->has > made + kv) continue;
        r->instance = at;
        r->has = kv;
        r->made = made;
    }
}

int cluster_tell_rest(struct cluster *c)
{
    struct cluster_row *rows = malloc((size_t)c->r.rows * sizeof *rows);
    int64_t n = 0;

    c->rest_is_told = true;
    if (!rows) return ERR_NOMEM;
    for (int64_t i = 0; i < c->r.rows; i++)
        rows[i] = (struct cluster_row){.job_id = i + 1, .instance = SEQ_NONE};
    for (int32_t i = 0; i < c->n_members; i++)
        if (c->members[i].is_here) look(c, i, rows);
    for (int64_t i = 0; i < c->r.rows; i++)
        if (!is_done(c, i)) rows[n++] = rows[i];
    c->o.rest(c->o.arg, rows, n);
    free(rows);
    return ERR_OK;
}
