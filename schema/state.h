/* state.h - a job's durable states and the moves between them.
 *
 * The numbers are in every database file (001_init.sql): they never change.
 */
#ifndef SCHEMA_STATE_H
#define SCHEMA_STATE_H

#include <stdbool.h>

enum job_state { JOB_READY, JOB_DONE, JOB_FAILED, JOB_PAUSED, JOB_CANCELLED, JOB_NSTATES };

const char *job_state_name(enum job_state s); /* "ready" */
bool job_state_allows(enum job_state from, enum job_state to);

#endif
