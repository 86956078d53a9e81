/* policy_flags.h - the options of a broker's scheduler, the same for `broker` and `run`.
 *
 * A config struct that has them embeds struct policy_flags; POLICY_OPTS gives the rows of its
 * option table.
 */
#ifndef CLIENTS_POLICY_FLAGS_H
#define CLIENTS_POLICY_FLAGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"
#include "broker/schedule.h"

struct policy_flags {
    const char *policy;
    int64_t lease_rows;
};

#define POLICY_FLAGS_DEFAULT                                                                       \
    {                                                                                              \
        .policy = "sized"                                                                          \
    }

#define POLICY_OPTS(at)                                                                            \
    {"policy",                                                                                     \
     0,                                                                                            \
     "NAME",                                                                                       \
     "who gets which rows: sized (default), or, to compare with, round_robin, weighted, "          \
     "least_tokens, pull, load",                                                                   \
     OPT_STR,                                                                                      \
     (at) + offsetof(struct policy_flags, policy),                                                 \
     0,                                                                                            \
     0},                                                                                           \
    {                                                                                              \
        "lease-rows", 0, "N",                                                                      \
            "rows of a lease, to compare with (default: sized to each instance)", OPT_INT,         \
            (at) + offsetof(struct policy_flags, lease_rows), 1, 1000000                           \
    }

/* ERR_ARG: there is no such policy. */
int policy_flags_read(struct schedule_opts *out, const struct policy_flags *f,
                      struct errmsg *e) MUSTCHECK;

#endif
