/* plan_search.c - the plan of a cluster, and the others. */
#include <stdlib.h>
#include <string.h>

#include "broker/plan_others.h"

#define WORK                                                                                       \
    100000000 /* choices of a part of a machine, before the rest is bounded: half a second */

int plan_search(struct plan_answer *out, const struct plan_cluster *c,
                const struct plan_workload *w, const struct plan_model *m,
                const struct plan_profile *profiles, int n_profiles, struct errmsg *e)
{
    struct space *s;
    struct solution *best = malloc(sizeof *best);
    int64_t work = WORK;
    int rc;

    memset(out, 0, sizeof *out);
    if (!best) return err_set(e, ERR_NOMEM, "no memory for a plan");
    if ((rc = space_open(&s, c, w, m, profiles, n_profiles, e))) goto out;
    if ((rc = solve(best, s, &PLAN_ANY, &work, e)) || (rc = solution_plan(&out->best, s, best, e)))
        goto out;
    out->gap = best->bound > best->value * (1 + 1e-9) ? 1 - best->value / best->bound : 0;
    out->looked_at = s->n_options + best->looked_at;
    rc = plan_others(out, s, e);
out:
    space_close(&s);
    free(best);
    if (rc) plan_answer_fini(out);
    return rc;
}

void plan_answer_fini(struct plan_answer *a)
{
    free(a->best.instances);
    for (int i = 0; i < a->n_others; i++)
        free(a->others[i].instances);
    memset(a, 0, sizeof *a);
}
