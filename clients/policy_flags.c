/* policy_flags.c - the options of a broker's scheduler. */
#include "clients/policy_flags.h"

#include <string.h>

int policy_flags_read(struct schedule_opts *out, const struct policy_flags *f, struct errmsg *e)
{
    for (int p = 0; p < POLICY_N; p++) {
        if (strcmp(f->policy, POLICY_NAMES[p])) continue;
        *out =
            (struct schedule_opts){.policy = (enum schedule_policy)p, .lease_rows = f->lease_rows};
        return ERR_OK;
    }
    return err_set(e, ERR_ARG,
                   "--policy is '%s', not sized, round_robin, weighted, least_tokens, pull or load",
                   f->policy);
}
