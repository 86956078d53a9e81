/* plan.h - which instances run on which devices: the exhaustive search.
 *
 * Of each machine every partition of its devices into instances, every TP degree that divides the
 * query heads and the feed-forward width (in whole quantisation blocks) and fits, every dtype,
 * every KV dtype.  The speed of an instance is from its model (cards.h, or a profile) at the
 * workload's joint histogram of prompt and answer lengths, as continuous batching runs it within
 * its KV memory.
 *
 * What is minimised is the time of the workload as a fluid:
 *
 *   T = max over k of  rows(k) / sum over instances of speed(k)
 *
 * where k goes over the lengths at which some instance of the space ends (a row longer than an
 * instance's limit cannot run there), rows(k) are the rows at least that long, and speed(k) an
 * instance's rows per second of those of them that it can hold.  With one limit, or none that
 * matters, T is rows over the sum of the speeds, and machines are independent.  Rows that no
 * instance of the space can hold do not count; those that some instance can hold are held by the
 * plan.  Equal T: a machine with a price that T does not need is left out, the dearest first; of a
 * machine's partitions that are equally fast the one of fewer instances; then the first in order.
 *
 * Units    seconds, tokens, bytes, dollars.
 * Threads  no shared state.
 * Errors   ERR_ARG with the machine or the key; ERR_EMPTY: nothing fits anywhere, with the least
 *          bytes that would and the most that there are.
 *
 * PL1  exact: no configuration of the space above has a smaller T (plan_machine.c and plan_join.c
 * prove what they do not look at; test_plan compares with plain enumeration).  Where several limits
 * bind and the work is cut off, `gap` says by how much T could be smaller at most.
 *
 * PL2  every instance of a plan fits its memory, and each device is in at most one.
 *
 * PL3  the same input gives the same plan.
 */
#ifndef BROKER_PLAN_H
#define BROKER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"
#include "broker/cards.h"

#define PLAN_MACHINES    64
#define PLAN_DEVICES     8 /* of a machine */
#define PLAN_CELLS       4096
#define PLAN_OTHERS      5
#define PLAN_STEP_TOKENS 512 /* as a worker has it by default */

/* One device of a machine: a card, or the processors (then card is NULL and speed says all). */
struct plan_device {
    char name[64]; /* "H200-SXM-141GB", "cpu" */
    const struct card *card;
    double bytes; /* of memory that may be used */
    struct device_speed speed;
};

struct plan_machine {
    char name[64];
    int n_devices;
    struct plan_device devices[PLAN_DEVICES];
    double link_bytes_per_s; /* between its devices; 0: as the cards say */
    double utilisation;      /* of device memory; 0: 0.92 */
    double usd_per_hour;     /* of all of it; 0: not known */
};

struct plan_cluster {
    int n_machines;
    struct plan_machine machines[PLAN_MACHINES];
};

/* {"machines": [{"name", "count", "cards": [...], ...}]}: docs/cluster.md.  *out is for free().
 * ERR_IO; ERR_FORMAT names the machine and the key. */
int plan_cluster_read(struct plan_cluster **out, const char *path, struct errmsg *e) MUSTCHECK;

/* Rows of one length class: the middle of the class. */
struct plan_cell {
    int prompt, output;
    int64_t rows;
};
struct plan_workload {
    int n_cells;
    struct plan_cell cells[PLAN_CELLS];
    int64_t rows;         /* of all cells */
    double shared_prompt; /* share of prompt tokens that a prefix cache saves; 0 to 1 */
};

struct plan_model {
    const char *name;
    struct model_shape shape;
    enum dtype dtypes[8]; /* that weights may have: those stored, and those asked for */
    int n_dtypes;
    enum dtype kv_dtypes[4];
    int n_kv_dtypes;
    int max_num_seqs;
    int max_batched_tokens; /* in a step, prefill and decoding; 0: PLAN_STEP_TOKENS */
    double work_bytes;      /* of a rank, beside weights and KV; 0: estimated */
};

/* A profile of this very model on such a device: used in place of cards.h. */
struct plan_profile {
    const char *device;
    int tp;
    enum dtype dtype, kv_dtype;
    struct perf perf;
    double mape;
};

struct plan_instance {
    int machine;      /* index */
    unsigned devices; /* bit i: its device i */
    int tp;
    enum dtype dtype, kv_dtype;
    int64_t kv_tokens;
    double rows_per_s; /* of the rows that it can hold, in the workload's mix */
    double batch;      /* sequences at once, on average */
    struct perf perf;
    enum model_source source;
    double mape;
};

struct plan {
    int n_instances;
    struct plan_instance *instances; /* owned */
    double seconds, usd;             /* of the workload; usd 0: prices are not known */
    int64_t rows_nowhere;            /* rows that no instance can hold */
    char why[256];                   /* of another plan: why it loses */
};

struct plan_answer {
    struct plan best, others[PLAN_OTHERS]; /* others: the best ones of each other kind, in order */
    int n_others;
    double gap;        /* 0: none is faster; else none has a T smaller by more than this share */
    int64_t looked_at; /* instances, partitions, combinations; not those that were pruned */
};

int plan_search(struct plan_answer *out, const struct plan_cluster *c,
                const struct plan_workload *w, const struct plan_model *m,
                const struct plan_profile *profiles, int n_profiles, struct errmsg *e) MUSTCHECK;
void plan_answer_fini(struct plan_answer *a);

/* What of an instance decides its speed. */
struct plan_batcher {
    const struct perf *perf;
    int64_t kv_tokens;
    int max_num_seqs, max_batched_tokens; /* as of plan_model */
    double shared_prompt;                 /* as of plan_workload */
};

/* plan_speed.c: rows per second of an instance on the rows of at least `from` and at most `to`
 * tokens, in their mix; 0 where there are none.  *batch may be NULL. */
double plan_speed(const struct plan_batcher *b, const struct plan_workload *w, int from, int to,
                  double *batch);

#endif
