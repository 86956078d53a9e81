/* jobs.h - the rows of a simulated batch: how long their prompts and answers are.
 *
 * Row i is a function of the seed and i alone, so nothing of ten million of them is kept.  Lengths
 * are drawn, or are those of a published trace (in order, or any of them each time).
 *
 * Units    tokens.
 * Threads  one.
 * Errors   ERR_IO, ERR_FORMAT: the trace, with its line; ERR_NOMEM.
 *
 * J1  the same options give the same rows, in whatever order they are asked for.
 */
#ifndef BENCH_JOBS_H
#define BENCH_JOBS_H

#include "base/err.h"
#include "bench/chains.h"
#include "broker/schedule.h"

struct length_range { /* evenly between them, both included */
    int32_t least, most;
};

struct jobs_opts {
    int64_t n; /* 0: as many as the trace has */
    uint64_t seed;
    const char *trace;                  /* a file of data/traces, CSV in gzip; NULL: drawn */
    bool in_order;                      /* of a trace, again from its start behind its end */
    struct length_range prompt, answer; /* drawn */
    int32_t max_tokens; /* the limit that rows state; 0: none.  Longer answers of a trace are cut */
    int64_t groups;     /* of a shared prefix, rows in turn; 0: none */
    const struct chains *chains; /* rows that begin alike, in their order; borrowed, or NULL */
    bool states_answer;          /* a row's max_tokens is its answer's length */
    bool oracle;                 /* the scheduler is told how long an answer will be */
};

struct jobs;

int jobs_open(struct jobs **out, const struct jobs_opts *o, struct errmsg *e) MUSTCHECK;
void jobs_close(struct jobs **j);

const struct chains *jobs_chains(const struct jobs *j); /* NULL: prompts have nothing in common */
int64_t jobs_count(const struct jobs *j);
/* Row i, from 0; its id is i + 1.  Returns the tokens that its answer will have. */
int32_t jobs_at(const struct jobs *j, int64_t i, struct schedule_job *out);

/* Where the traces are: $NIGHTMILL_TEST_DATA, or ../shared/data. */
const char *jobs_data(void);

#endif
