/* batching.h - an instance's batch as it runs, from event to event in closed form.
 *
 * It does what worker/sim.c does: the decoding ones have a token each, then prompts by chunks under
 * max_batched_tokens, the oldest first; the waiting are admitted in order while their tokens and a
 * block for each that runs fit the KV memory; where a token does not fit the youngest is put back,
 * first in line, and keeps what it has made.
 *
 * A run is the steps from one change of the batch to the next.  While all decode, n is constant and
 * m grows by n a step, so j steps take
 *
 *   T(j) = j*t(m) + k4*n*j*(j-1)/2          t: perf_step_ms at the first of them
 *
 * and the run is as long as its shortest answer, or as the KV memory lets all grow.  A job that
 * comes meanwhile ends it at the step under way.  All else (a prompt, a put-back) is a run of one
 * step.
 *
 * Units    tokens; seconds of the simulation, passed in.
 * Threads  one.
 * Ownership  sequences lie in a pool that all batches of a simulation share; a list goes over to
 *            whoever it is given to.
 * Errors   ERR_NOMEM.
 *
 * With a prefix cache (sharing.h, set behind batching_init) a row's number there is its job id less
 * 1; what is kept of its prompt is in its KV as it begins, and is counted once for all that use it.
 *
 * B1  by_step or not, everything happens at the same times.
 * B2  KV tokens in use never exceed kv_tokens, and the oldest always advances: a job must fit
 * alone.
 */
#ifndef BENCH_BATCHING_H
#define BENCH_BATCHING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bench/sharing.h"
#include "schema/perf.h"

#define SEQ_NONE (-1)

struct seq { /* a job that an instance was granted */
    int64_t job_id;
    int32_t prompt, answer; /* tokens it has, and will make */
    int32_t made, kv;       /* of the answer; in KV.  While it decodes both follow from its end */
    int32_t next;           /* in a list */
    int32_t tokens;         /* of it, as was predicted */
    bool is_begun, is_dropped, is_misfit;
};

/* Compact: a number for each sequence, which is one of the pool's. */
struct seqs {
    struct seq *at;
    int32_t n, cap, freed;
};
void seqs_init(struct seqs *p);
void seqs_fini(struct seqs *p);
int32_t seqs_take(struct seqs *p); /* SEQ_NONE: out of memory */
void seqs_free(struct seqs *p, int32_t list);

/* A list of sequences, in order. */
struct seq_list {
    int32_t first, last;
    int32_t n;
};
#define SEQ_LIST_EMPTY ((struct seq_list){SEQ_NONE, SEQ_NONE, 0})
void seq_list_add(struct seqs *p, struct seq_list *l, int32_t s);

struct batching {
    const struct perf *perf; /* borrowed */
    int64_t kv_tokens, max_num_seqs, max_batched_tokens;
    bool by_step;
    /* Decoding, the oldest first: the step at whose end each has its answer. */
    int64_t *end;
    int32_t *seq;
    int32_t n, cap;
    int32_t partial;                /* the youngest, whose prompt is not all in KV; or SEQ_NONE */
    int32_t chunk;                  /* its tokens in this step */
    bool is_stalled;                /* the youngest decoding one has no room in this step */
    bool has_put_back;              /* in this step */
    struct seq_list waiting, fresh; /* fresh: admitted, their prompts complete with this step */
    int32_t n_unbegun, n_dropped;
    struct sharing *sharing;              /* borrowed; NULL: prompts have nothing in common */
    int64_t prompt_tokens, cached_tokens; /* of rows that began; of those, found in KV */
    int64_t kv_used, context; /* tokens in KV; of the decoding ones, with those being read */
    int64_t steps;            /* done */
    int64_t run;              /* steps in the run under way; 0: idle */
    double began_s, first_s, growth_s; /* T(j) = j*first + growth*j*(j-1)/2 */
    int64_t put_back, run_count;
    double busy_s;
};

void batching_init(struct batching *b, const struct perf *k, int64_t kv_tokens,
                   int64_t max_num_seqs, int64_t max_batched_tokens);
void batching_fini(struct batching *b, struct seqs *p); /* frees its sequences */

/* Of a list that arrives: it is taken over. */
int batching_add(struct batching *b, struct seqs *p, struct seq_list list, double now_s) MUSTCHECK;
/* Takes a job out that waits and has not begun, or any.  SEQ_NONE: it is not there, or it runs and
 * comes with those that end, is_dropped, unless its answer is complete by then. */
int32_t batching_drop(struct batching *b, struct seqs *p, int64_t job_id, bool begun_too,
                      double now_s);

double batching_due_s(const struct batching *b); /* when its run ends; INFINITY: idle */
/* At that time: *ended has those that have their answers. */
int batching_advance(struct batching *b, struct seqs *p, struct seq_list *ended) MUSTCHECK;

int32_t batching_running(const struct batching *b);
/* Of running sequence i, the oldest first, when so much of the run under way is over: tokens it has
 * in KV and has made, in *kv and *made; returns the sequence. */
int32_t batching_look(const struct batching *b, const struct seqs *p, int32_t i, double now_s,
                      int32_t *kv, int32_t *made);

#endif
