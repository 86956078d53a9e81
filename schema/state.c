/* state.c - a job's durable states and the moves between them. */
#include "schema/state.h"

#include <assert.h>

#define TO(s) (1u << JOB_##s)

static const struct {
    const char *name;
    unsigned next; /* states reachable in one move */
} STATES[JOB_NSTATES] = {
    /* ready to ready is an attempt that failed with attempts left */
    [JOB_READY] = {"ready", TO(READY) | TO(DONE) | TO(FAILED) | TO(PAUSED) | TO(CANCELLED)},
    [JOB_DONE] = {"done", TO(READY)},     /* --replace with another body */
    [JOB_FAILED] = {"failed", TO(READY)}, /* retry, or the line was mended */
    [JOB_PAUSED] = {"paused", TO(READY) | TO(DONE) | TO(CANCELLED)},
    [JOB_CANCELLED] = {"cancelled", TO(READY)},
};

const char *job_state_name(enum job_state s)
{
    assert((unsigned)s < JOB_NSTATES);
    return STATES[s].name;
}

bool job_state_allows(enum job_state from, enum job_state to)
{
    assert((unsigned)from < JOB_NSTATES && (unsigned)to < JOB_NSTATES);
    return STATES[from].next & (1u << to);
}
