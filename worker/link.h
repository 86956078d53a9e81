/* link.h - the worker's side of the conversation with the broker.
 *
 * Says hello until it is welcome, asks for work, hands leases to the runner, keeps every result
 * until it is acked (sending it again when no ack comes), and keeps the heartbeat, on its own
 * timer, never behind a step.
 *
 * Threads  one; it owns the socket.
 *
 * K1  a result is dropped only when the broker has settled it, or when it belongs to another
 *     database (Q3).
 * K2  the heartbeat names exactly the jobs held and not yet settled.
 * K3  a job that was cancelled still gives one result: a put-back with the broker's reason, or the
 *     one it had.
 * K4  a job that is taken back has not been in a step; one that has goes on.
 */
#ifndef WORKER_LINK_H
#define WORKER_LINK_H

#include <stdint.h>

#include "base/err.h"
#include "worker/blackbox.h"
#include "worker/place.h"
#include "worker/refit.h"
#include "worker/runner.h"

/* What hello says. */
struct link_hello {
    char uuid[40], name[64], host[64], device[64], model[256], model_hash[40], dtype[16],
        kv_dtype[16], engine[64];
    int tp, threads, kv_tokens, max_model_len, max_num_seqs, max_batched_tokens;
    bool prefix_caching;
};

/* Gives it a new uuid, this machine's name and a name; NULL: host and process id. */
void link_hello_as(struct link_hello *h, const char *name);

struct link_opts {
    const char *address;
    struct blackbox *box; /* counts what was finished and taken; NULL: none */
    const char *key;      /* a member's key file, for a tcp:// address; NULL: none */
    struct link_hello hello;
    const struct link_profile *profile; /* said after each welcome; NULL: none is known */
    int64_t refit_every_ms;             /* how often live steps may change it; 0: the usual */
    const struct place *place;          /* whose readings heartbeats have; NULL: the host's */
    void *zmq;                          /* a context to share; NULL: one of its own */
    int stop_fd;                        /* readable: drain and end */
};

/* Serves until stop_fd is readable (0: everything finished was handed over; ERR_TIMEOUT: the broker
 * did not take it in time) or the engine fails (ERR_FORMAT and its kin, with the engine's text). */
int link_run(const struct link_opts *o, struct runner *r, struct errmsg *e) MUSTCHECK;

#endif
