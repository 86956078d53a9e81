/* writer.h - the one thread that writes the database.
 *
 * The server hands over an op and gets it back, in order, after the commit that made it durable.
 * Whatever arrives while a commit is under way goes into the next one (group commit).
 *
 * Threads    writer_open, writer_put, writer_take, writer_close: the server's thread.  The queue
 *            belongs to the writer's thread alone.
 * Ownership  an op is the writer's between writer_put and writer_take; op_free by the server.
 * Errors     an op that breaks a rule of the schema changes nothing and has at_fault and rc set;
 * the others of its group are written.  A group that fails is rolled back and tried again, the same
 * ops in the same order, until it is on disk: nothing is acked, nothing is lost (a full disk, a
 * failed fsync). writer_trouble says what is wrong.
 */
#ifndef BROKER_WRITER_H
#define BROKER_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "broker/queue.h"
#include "schema/wire.h"

struct writer;

enum op_kind {
    OP_BATCH,     /* msg: a batch; gives batch_id, existed, and then batch */
    OP_ROWS,      /* msg: rows; gives counts */
    OP_RESULTS,   /* msg: results, with a verdict for each; gives settled */
    OP_CONTROL,   /* msg: control, or control alone; again, with asked = control, while control.more
                   */
    OP_EXPIRE,    /* batch_id; gives rows: again until there are none */
    OP_INSTANCE,  /* instance; gives instance_id */
    OP_GONE,      /* instance_id */
    OP_METRIC,    /* metric */
    OP_PROFILE,   /* profile */
    OP_FAIL,      /* failure, its texts in own_text; gives settled[0] */
    OP_ENDED,     /* settled, own_text: leases that ended without a result */
    OP_CRASHED,   /* msg: crashed, settled, own_text; gives settled[].to */
    OP_DUE,       /* gives rows */
    OP_THIN,      /* gives more */
    OP_EVENT,     /* level, unit, own_text */
    OP_HINT,      /* hint */
    OP_NODE,      /* msg: a node that joins */
    OP_NODE_GONE, /* code: its name; "": all */
    OP_PLAN       /* msg: a plan; gives plan_id */
};

/* One result's fate. */
struct settled {
    int64_t job_id;
    enum wire_kind kind;
    int64_t body_bytes;    /* in: of the prompt, when the broker knows it */
    bool counts;           /* in: an error from a live lease, and no other copy runs (Q1) */
    int64_t generation;    /* in, for OP_ENDED and OP_CRASHED */
    int64_t batch_id;      /* the server's */
    int64_t holder;        /* in, for OP_ENDED: the instance that had it */
    int64_t leased_ms;     /* in: unix, when its lease began; 0: not known */
    int rc;                /* out: ERR_OK or ERR_STALE */
    enum job_state to;     /* out */
    int64_t not_before_ms; /* out */
};

struct op {
    struct mail mail;
    enum op_kind kind;
    struct wire_msg
        msg; /* the message that caused it; map borrowed by apply; msg.peer gets the answer */
    bool has_msg;
    int64_t instance_id;

    struct instance_row instance;
    struct metric_row metric;
    struct profile_row profile;
    struct failure failure;
    struct batch_spec batch;       /* as the queue has it */
    struct control asked, control; /* as it went in; as it came out */
    char level[8], unit[16], code[64], own_text[512];
    int64_t *hint_jobs;      /* owned */
    const char **hint_uuids; /* owned; of each job, in hint_text */
    char *hint_text;         /* owned: the uuids of the instances */
    size_t n_hint;

    struct settled *settled; /* owned */
    size_t n_settled;
    int64_t batch_id, plan_id, rows;
    int64_t counts[PUT_N];
    int64_t least_priority; /* of the new rows */
    bool existed;
    bool alone;    /* in: OP_CRASHED: no other row was in a step of its process */
    bool again;    /* the server's: there is more of it, put it back */
    bool more;     /* there is more of it to do */
    bool at_fault; /* it breaks a rule of the schema: nothing of it was written, err says why */
    int rc; /* ERR_OK, or what is wrong with this op alone (ERR_EMPTY: no such batch; ERR_FORMAT) */
    struct errmsg err;
};

struct op *op_new(enum op_kind kind);
void op_free(struct op **op);

/* Keeps path, which outlives it. */
int writer_open(struct writer **out, const char *path, const struct dbfile_opts *o,
                struct errmsg *e) MUSTCHECK;
/* Writes what was put, then ends the thread and closes the file. */
void writer_close(struct writer **w);
const char *writer_uuid(const struct writer *w);
int64_t writer_epoch(const struct writer *w);

void writer_put(struct writer *w, struct op *op);
struct op *writer_take(struct writer *w); /* NULL: none is ready */
int writer_fd(const struct writer *w);    /* readable while writer_take may give one */
/* Is the last group refused by the disk?  Then text says why. */
bool writer_trouble(struct writer *w, struct errmsg *text);

#endif
