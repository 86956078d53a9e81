/* job.h - a leased job inside the worker: from its body to a sequence, from the outcome to a
 * result.
 *
 * A job with n > 1 is n sequences of one prompt, and one result when the last of them has ended.
 * The body is the OpenAI request as the user wrote it (checked when it was submitted, and again
 * here, because programs of other versions may have written it).
 *
 * Ownership  a job is allocated by job_open and freed by job_close; the engine knows it as a
 *            sequence's owner.
 * Threads    the engine's.
 *
 * J1  a job gives exactly one result: an answer, an error of its own, or a put-back.
 */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mailbox.h"
#include "worker/engine.h"
#include "worker/params.h"

struct tokenizer;

struct job {
    struct mail mail;
    int64_t job_id, generation, attempt; /* attempt: of the lease; 0: not known */
    int endpoint;
    int64_t leased_ns;                 /* monotonic */
    json_t *request;                   /* parsed; owns the stop strings that the sampling borrows */
    const struct tokenizer *tokenizer; /* borrowed; NULL: nothing spells its tokens */
    struct params params;
    struct outcome *outcomes; /* [params.sampling.n] by index, as they come */
    int n_outcomes;
    bool batch_dependent; /* as its rules say */
    bool begun;           /* it has been in a step */
    char why[24];         /* it was cancelled: the put-back's code */
    size_t body_len;
    char body[];
};

/* A result, ready to be sent; made by the engine's thread, kept by the link until it is acked. */
struct result {
    struct mail mail;
    int64_t job_id, generation;
    int kind;          /* enum wire_kind */
    bool queued;       /* the link will send it (again) */
    int64_t sent_ms;   /* the last time */
    struct buf packed; /* the MessagePack map of wire.h */
};

struct job_rules {
    const struct model *model;
    int64_t default_max_tokens; /* for a chat without max_tokens; 0: the rest of the context */
    bool batch_dependent;       /* other rows in a step may change a row's tokens */
};

struct job *job_open(int64_t job_id, int64_t generation, int endpoint, const char *body,
                     size_t len);
void job_close(struct job **j);

/* What a prompt has and an instance holds, in tokens. */
struct job_room {
    int n_prompt, max_len, kv_tokens;
};

/* The two halves of a start that know no engine: the body becomes j->request; then, with the
 * prompt's length known, the request becomes j->params.  NULL, or the result that ends the job.
 */
struct result *job_read(struct job *j);
struct result *job_plan(struct job *j, const struct job_rules *rules, const struct job_room *r);

/* Tokenises the prompt and queues the sequence.  NULL: it runs.  Otherwise the result that ends the
 * job here: an error, or a put-back (it needs more KV memory than this instance has). */
struct result *job_start(struct job *j, const struct job_rules *rules, struct engine *en);

/* Takes the outcome of one of its sequences over; true when it was the last. */
bool job_collect(struct job *j, struct outcome *o);
/* Of a job whose outcomes are all there: did one end without an answer? */
bool job_is_aborted(const struct job *j);

/* The answer of all its sequences, or an error: one came to no token, or it is more than a message
 * holds.  NULL: out of memory. */
struct result *job_answer(const struct job *j);

/* A result that gives the job back unharmed (Q7). */
struct result *job_put_back(const struct job *j, const char *why, int64_t need_tokens);

void result_free(struct result **r);

#endif
