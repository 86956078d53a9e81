/* worker.h - a worker process: one model, one instance of it or several on one card, each with an
 * engine and a link to the broker; or simulated ones.
 *
 * Threads  an instance has a link's (socket, heartbeat; worker_run's own where there is one
 * instance), and its runner's, which owns the engine; the engine's streams compute.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"
#include "worker/engine.h"

struct blackbox;
struct link_hello;
struct profile;

#define WORKER_LEAST_KV  ((int64_t)256 << 20)
#define WORKER_MAX_PARTS 16

struct worker_opts {
    const char *model;               /* directory */
    const char *address;             /* of the broker */
    const char *key;                 /* a member's key file, for a tcp:// address; NULL: none */
    const char *name;                /* NULL: host and process id */
    const char *device;              /* place.h; or "sim:FILE": simulated, without a model */
    const char *context_dir;         /* what is kept between starts; NULL: the user's cache */
    int instances;                   /* of a simulated device; 0: what its file says */
    int sm_counts[WORKER_MAX_PARTS]; /* [n_parts] instances on one card, each with so many
                                        multiprocessors */
    int n_parts;                     /* 0: one instance with all of them */
    int threads;                     /* 0: as many as this process may run on */
    int tp;                          /* ranks; 0: as many as devices are named */
    enum dtype act;                  /* N_DTYPES: auto */
    enum quantization quantization;
    bool batch_invariant;
    double memory_utilization; /* of a device's memory, for all that an instance needs */
    bool no_prefix_caching;    /* KV blocks are not kept for rows that come later */
    enum dtype kv_dtype;       /* N_DTYPES: auto */
    int64_t kv_bytes; /* 0: on the host half of what the weights leave of the memory, at least
                         WORKER_LEAST_KV; on a device what memory_utilization leaves */
    int max_num_seqs;
    int max_batched_tokens;
    int max_model_len;          /* 0: the model's */
    int64_t default_max_tokens; /* 0: the rest of the context */
    double profile_seconds;     /* to measure an instance that no profile is kept of; 0: never */
    int stop_fd;                /* readable: drain and end; -1: never */
    struct blackbox *box;       /* where the rows of each step are noted; NULL: nowhere */
};

/* What a worker would say of this model and device before it holds any row: 0, or why not.  What it
 * finds out is kept in the context directory (NULL: the user's). */
int worker_check(const char *model, const char *device, int tp, const char *context_dir,
                 struct errmsg *e) MUSTCHECK;

/* Measures the instance that such a worker would be, and keeps that for its next start.  *hello:
 * what it would say of itself. */
int worker_profile(struct profile *out, struct link_hello *hello, const struct worker_opts *o,
                   struct errmsg *e) MUSTCHECK;

int worker_run(const struct worker_opts *o, struct errmsg *e) MUSTCHECK;

#endif
