/* intake.h - what an engine takes: checks a prompt and its sampling, and makes the sequences.
 *
 * Threads  the engine's thread only.
 * Errors   ERR_ARG for what no instance of this model could do, ERR_FULL for what does not fit this
 *          one; the text names the limit and the number.  ERR_NOMEM.
 */
#ifndef WORKER_INTAKE_H
#define WORKER_INTAKE_H

#include <stdint.h>

#include "base/err.h"

struct model;
struct sampling;
struct seq;

struct intake {
    const struct model *model;
    int max_len;   /* tokens of prompt and answer */
    int kv_tokens; /* that the KV blocks hold */
};

/* At least one id, all of the vocabulary. */
int intake_check_ids(const struct intake *in, const int32_t *ids, int n,
                     struct errmsg *e) MUSTCHECK;

/* A sequence for each answer, in order, linked by next, on no list; owner, order, scope and time
 * are left to the caller.  NULL in *first when it fails. */
int intake_seqs(const struct intake *in, const int32_t *ids, int n, const struct sampling *p,
                struct seq **first, struct errmsg *e) MUSTCHECK;

#endif
