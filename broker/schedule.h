/* schedule.h - who does what: the scheduler as a deterministic state machine.
 *
 * It is told what happens (struct schedule_event) and says what to do about it (struct
 * schedule_decision): grant a job, take one back that has not begun, run one twice, read more rows
 * into the pool.  It has no clock, does no I/O and draws no random numbers; the broker and the
 * simulator (bench/) run this very code.
 *
 * The pool is a bounded part of what is ready: whoever drives it puts rows in as DECIDE_READ asks,
 * and says with EVENT_BACKLOG how many more lie behind.  A job is in the pool, or granted to one
 * instance, or to two (a copy), or unknown here.
 *
 * POLICY_SIZED, ours.  An instance that asked is topped up to H seconds of predicted work (by its
 * instance model at the batch it runs and the pace it really has, predict.h for the output), never
 * beyond its KV headroom.  Which jobs: the smallest priority first; of the batches of one priority
 * the one that has been given the least (in predicted seconds of work); within it siblings of a
 * prefix group together and to the instance that has it; then what other instances are worse at in
 * comparison (long rows, say, for a roomy one), at prices that rise for kinds of jobs that wait
 * longer than they came.  The tail: when what is left is less than the instances would finish in H
 * and the time of a long job, by expected completion time; jobs not begun are taken back from an
 * instance that would end late; a straggler runs a second time where it would end sooner.
 *
 * The baselines grant from the same pool and differ only in who gets which job:
 *   round_robin    instances in turn, as many rows for each; the turn waits for its instance
 *   weighted       in turn by measured speed
 *   least_tokens   to the instance with the fewest outstanding predicted tokens
 *   pull           who asks gets as many rows as he runs at once, in order
 *   load           the reconstruction of the load formula of arXiv 2504.15303 (the paper's own is
 *                  not known): a*(seconds outstanding / reference) + (1-a)*(KV outstanding / C)
 *
 * Units    seconds (now_s, monotonic, passed in), tokens, bytes.
 * Threads  one.
 * Ownership  jobs and instances are copied in; the decisions' array belongs to the scheduler and
 *            holds until the next event.
 * Errors   ERR_NOMEM: nothing of the event was taken in.  An event about a job or an instance that
 * is not known, or known already, changes nothing (ERR_STALE): whoever drives it may be late. Cost
 * O(log n) of instances and pooled jobs for each job that is granted.
 *
 * S1  a job is granted to at most two instances at a time, the second only as a copy.
 * S2  an instance is never granted a job beyond its limit (min(kv_tokens, max_model_len); where no
 *     need was found yet the estimate counts, and what is too long by estimate for all goes to the
 *     roomiest), nor, by POLICY_SIZED, more outstanding tokens than its headroom: a tenth more than
 *     its KV memory, and what it finishes in a quarter of a second (a queue behind a full memory
 *     would be admitted while others grow, and be put back).  One job at a time is granted whatever
 *     its size.
 * S3  of the jobs in the pool that an instance may run none of a larger priority value is granted
 *     before a smaller one.  In the tail a job may be kept for who ends it sooner, and then none of
 *     a larger one is granted instead.
 * S4  batches of one priority that both have rows in the pool have been given work that differs by
 *     at most one lease, whatever their sizes; a batch that comes later starts even.  So it is
 *     before the tail, and as far as the instances may run the jobs of both.
 * S5  an instance that has asked, holds nothing, and for which the pool has a job, is granted one
 *     (not where turns are fixed, and in the tail only if it ends it in time).
 * S6  the same events at the same times give the same decisions.
 * S7  only a job that has not begun, as its instance last told, is taken back.
 */
#ifndef BROKER_SCHEDULE_H
#define BROKER_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "schema/perf.h"

struct schedule;

enum schedule_policy {
    POLICY_SIZED,
    POLICY_ROUND_ROBIN,
    POLICY_WEIGHTED,
    POLICY_LEAST_TOKENS,
    POLICY_PULL,
    POLICY_LOAD,
    POLICY_N
};
extern const char
    *const POLICY_NAMES[POLICY_N]; /* "sized", "round_robin", ... as --policy has them */

struct schedule_opts {
    enum schedule_policy policy;
    double horizon_s;   /* H at most; 0: 8 */
    int64_t lease_rows; /* every lease has so many rows, where there are as many; 0: sized */
    double load_weight; /* a of POLICY_LOAD; 0: 0.5 */
    int64_t pool_rows;  /* DECIDE_READ keeps the pool at about this many rows; 0: 16384 */
    bool no_tail, no_affinity, no_copies; /* parts left out, to see what they are worth */
};

struct schedule_instance {
    int64_t id;
    int32_t model;    /* a number for its name, as the driver has it; from 1 */
    int64_t host;     /* instances that share one process end together; 0: alone */
    struct perf perf; /* all zeros: not known yet */
    int64_t kv_tokens, max_model_len, max_num_seqs, max_batched_tokens;
    bool prefix_caching;
};

struct schedule_job {
    int64_t id, batch;
    int64_t priority;      /* smaller runs first */
    int64_t group;         /* of a shared prefix; 0: none */
    int32_t model;         /* 0: any */
    int32_t prompt_tokens; /* by estimate */
    int32_t max_tokens;    /* of the answer; 0: not limited by the row */
    int32_t output_tokens; /* known beforehand (an oracle's); -1: predicted */
    int64_t need_tokens;   /* a KV capacity that was found to be needed, or 0 */
};

enum schedule_kind {
    EVENT_JOIN,  /* instance (all of it) */
    EVENT_MODEL, /* instance: its perf as it is now */
    EVENT_LEAVE, /* id: what it held is back in the pool, but for jobs that another one runs too */
    EVENT_READY, /* job: into the pool */
    EVENT_HELD,  /* job, by id: an instance runs it since before this scheduler began */
    EVENT_UNREADY, /* id, a job: out of the pool; one that is granted is forgotten when it ends */
    EVENT_BACKLOG, /* `rows` are ready behind the pool, with `tokens` expected in all; follows what
                      was read for DECIDE_READ, which is not said again before.  Who wants more is
                      served now: an EVENT_READY serves only instances that hold nothing */
    EVENT_ASK,  /* id, an instance: it can take `rows` more, `tokens` of them in all; stands until
                   it is used up or asked anew; none: the tail does not count on it */
    EVENT_BEAT, /* id, an instance: of what it was granted, `rows` have not begun (the latest) */
    EVENT_DONE, /* job id, by id (0: by one that is not known): prompt_tokens and output_tokens as
                   they were.  Whoever else has the job is told to stop, and holds it no more */
    EVENT_BACK, /* job id, by id: it came back unfinished; to the pool again if `ready` */
    EVENT_TICK  /* time goes by; at least once a second while anything is granted */
};

struct schedule_event {
    enum schedule_kind kind;
    int64_t id;     /* an instance; EVENT_UNREADY: a job */
    int64_t job_id; /* EVENT_DONE, EVENT_BACK */
    int64_t rows, tokens;
    int32_t prompt_tokens, cached_tokens, output_tokens;
    bool ready;
    const struct schedule_instance *instance;
    const struct schedule_job *job;
};

enum schedule_verdict {
    DECIDE_GRANT,     /* job to instance */
    DECIDE_COPY,      /* likewise, beside the one that runs it already */
    DECIDE_TAKE_BACK, /* job from instance, if it has not begun; an EVENT_BACK or EVENT_DONE follows
                       */
    DECIDE_STOP,      /* job from instance, begun or not: another one was first */
    DECIDE_READ       /* n more rows into the pool: EVENT_READY of each, then EVENT_BACKLOG */
};

struct schedule_decision {
    enum schedule_verdict verdict;
    int64_t job_id, instance;
    int64_t n;      /* DECIDE_READ */
    int64_t tokens; /* granted: predicted, prompt and answer */
    double seconds; /* granted: predicted work */
};

int schedule_open(struct schedule **out, const struct schedule_opts *o, struct errmsg *e) MUSTCHECK;
void schedule_close(struct schedule **s);

int schedule_event(struct schedule *s, const struct schedule_event *ev, double now_s) MUSTCHECK;
/* What the last event led to: n decisions, in order; grants of one instance that follow each other
 * are one lease. */
const struct schedule_decision *schedule_decisions(const struct schedule *s, size_t *n);

/* For tables and tests: what is expected of an instance. */
struct schedule_view {
    int64_t rows, tokens; /* outstanding */
    double seconds;       /* predicted until it is out of work */
    double tokens_per_s;  /* of the batch it runs */
};
int schedule_look(const struct schedule *s, int64_t instance, struct schedule_view *out) MUSTCHECK;
size_t schedule_pooled(const struct schedule *s);
bool schedule_in_tail(const struct schedule *s);

#endif
