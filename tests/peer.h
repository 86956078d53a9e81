/* peer.h - one end of a conversation with a broker, made by hand: a client or a worker.
 *
 * Each call that waits fails the test after twenty seconds.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <stdbool.h>

#include "schema/wire.h"

#define PEER_JOBS 64

struct peer {
    void *zmq, *socket;
    char uuid[40], model[40];
    int64_t kv_tokens, max_num_seqs;
    bool prefix_caching, takes_back; /* what hello says */
    char db_uuid[40];                /* of the welcome; a test may spoil it */
    int64_t instance, epoch;
    struct wire_msg m; /* the last message heard */
    /* The last lease: */
    int n_jobs;
    int64_t job[PEER_JOBS], generation[PEER_JOBS], attempt[PEER_JOBS];
};

void peer_open(struct peer *p, const char *address, const char *uuid);
/* With a member's key file, over tcp. */
void peer_open_key(struct peer *p, const char *address, const char *uuid, const char *key);
void peer_close(struct peer *p);

void peer_send(struct peer *p, enum wire_type type, struct wire_out *o); /* frees o */
/* Waits for a message of this type, passing over others. */
const msgpack_object *peer_hear(struct peer *p, enum wire_type type);
bool peer_hears(struct peer *p, enum wire_type type, int limit_ms);

/* --- a worker's */

void peer_hello(struct peer *p, const int64_t *held, int n);
void peer_welcomed(struct peer *p); /* the last message heard was the welcome */
/* Hello and welcome; held: jobs that it says it holds, of generation 0. */
void peer_join(struct peer *p, const int64_t *held, int n);
void peer_want(struct peer *p, int64_t rows, int64_t tokens);
/* One that stands, said while so many jobs are held. */
void peer_stand(struct peer *p, int64_t rows, int64_t tokens, int64_t held);
/* Waits for a lease: how many jobs, those in p->job. */
int peer_leased(struct peer *p);
/* Waits for a cancel: how many jobs, those in p->job; *why, when it is not NULL. */
int peer_cancelled(struct peer *p, char why[24]);
int peer_lease(struct peer *p, int64_t rows); /* wants, and waits for the lease: how many jobs */
void peer_heartbeat(struct peer *p, const int64_t *held, int n, int64_t steps);
/* The same; of those held so many have not begun. */
void peer_beat(struct peer *p, const int64_t *held, int n, int64_t steps, int64_t unbegun);
void peer_bye(struct peer *p);

/* One result each, sent; peer_acked waits for the ack. */
void peer_answer(struct peer *p, int64_t job, int64_t generation, const char *text);
void peer_error(struct peer *p, int64_t job, int64_t generation, bool final);
void peer_put_back(struct peer *p, int64_t job, int64_t generation, int64_t need_tokens);
void peer_stopped(struct peer *p, int64_t job, int64_t generation, const char *why); /* put back */
/* The end of a worker of that uuid by a signal, with those jobs of generation 0 in its last step;
 * waits for the answer. */
void peer_crashed(struct peer *p, const char *uuid, const int64_t *jobs, int n, int signal);
void peer_acked(struct peer *p, int64_t job);

/* --- a client's */

/* A control of the whole batch, or of one row: how many rows it concerned. */
int64_t peer_control(struct peer *p, const char *verb, const char *batch, const char *job,
                     const char *code);
int64_t peer_batch(struct peer *p, const char *name, const char *model, int64_t max_attempts);
/* n rows of len bytes each, ids prefix0 ...; acked. */
void peer_rows(struct peer *p, int64_t batch, const char *prefix, int n, size_t len);
int64_t peer_ping(struct peer *p, const char *key); /* a number of the pong */

#endif
