/* cluster.h - a broker and its instances, simulated by discrete events.
 *
 * The scheduler is the broker's own (broker/schedule.h); instances run their batches as
 * worker/sim.c does (batching.h); between them messages take time.  The broker's part here is what
 * the real one does: it reads rows into the pool when asked, sends leases, hears results.  Answers
 * have the length that the row was drawn with; who schedules is not told, unless an oracle is
 * wanted.
 *
 * An instance that ends loses what it holds; the broker learns of it notice_s later.
 *
 * Units    seconds of the simulation, tokens.
 * Threads  one; no clock but for the cost of decisions, no randomness.
 * Ownership  jobs are borrowed; instances and options are copied in.
 * Errors   ERR_ARG: an instance that computes in no time, or has no room, with its number;
 *          ERR_STALE: nothing moves any more while rows are left; ERR_NOMEM.
 *
 * C1  the same jobs, instances and options give the same calls of note, to the bit.
 * C2  each row is noted done once.
 */
#ifndef BENCH_CLUSTER_H
#define BENCH_CLUSTER_H

#include "base/err.h"
#include "bench/jobs.h"
#include "broker/schedule.h"

struct cluster_instance {
    struct schedule_instance is; /* id is its place in the array, from 1 */
    double join_s, end_s;        /* end_s 0: never ends */
    double told_factor;          /* the scheduler is told a model so much slower; 0: 1 */
};

/* A row is done: the first result of it. */
struct cluster_note {
    double now_s;
    int64_t job_id;
    int32_t instance; /* its place, from 0 */
    int32_t prompt, answer;
};

/* A row that is not done: where it is, and how far. */
struct cluster_row {
    int64_t job_id;
    int32_t instance; /* SEQ_NONE: nowhere, or it has not begun there */
    int32_t has, made;
};

struct cluster_opts {
    struct schedule_opts schedule;
    double latency_s;   /* there and back; negative: none; 0: 1 ms */
    int64_t ask_tokens; /* that an instance wants to hold; 0: twice its KV memory */
    double beat_s;      /* heartbeats; 0: 1 s */
    double tick_s;      /* 0: 0.25 s */
    double notice_s;    /* until the broker knows of an end */
    double stop_s;      /* the simulation ends there; 0: when all rows are done */
    bool by_step;       /* each step on its own: for a comparison */
    bool no_cost;       /* decisions are not timed */
    void (*note)(void *arg, const struct cluster_note *n);
    void *arg; /* of both */
    /* Once, when 95 % of the rows are done, all that are not. */
    void (*rest)(void *arg, const struct cluster_row *r, int64_t n);
};

struct cluster_work { /* of an instance */
    int64_t rows, prompt_tokens, output_tokens, put_back, steps;
    int64_t begun_tokens, cached_tokens; /* of prompts that began; of those, found in KV */
    double busy_s, last_s;               /* computing; when its last result came */
};

struct cluster_result {
    double end_s;             /* the last result */
    double tail_s;            /* when 95 % of the rows were done */
    int32_t last;             /* the instance that it came from */
    int64_t rows, done, lost; /* lost: known to nobody at the end */
    int64_t redone;           /* begun by an instance that ended */
    int64_t returned;         /* held there, not begun */
    int64_t leases, granted, copies, taken_back, stopped, doubles, handed_back;
    int64_t events;   /* of the scheduler */
    int64_t max_held; /* granted at once */
    double decide_s;  /* processor time in the scheduler, from a part of the events */
};

struct cluster;

int cluster_open(struct cluster **out, const struct cluster_opts *o,
                 const struct cluster_instance *instances, int n, const struct jobs *jobs,
                 struct errmsg *e) MUSTCHECK;
void cluster_close(struct cluster **c);
int cluster_run(struct cluster *c, struct cluster_result *out, struct errmsg *e) MUSTCHECK;
/* After a run. */
void cluster_work(const struct cluster *c, int instance, struct cluster_work *out);

#endif
