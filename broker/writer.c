/* writer.c - the one thread that writes the database. */
#include "broker/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/apply.h"
#include "broker/holder.h"

#define RETRY_MS 500
#define GROUP_BYTES                                                                                \
    (8u << 20) /* of messages in one transaction: what it adds to the log is bounded */

struct writer {
    struct queue *queue; /* the thread's */
    pthread_t thread;
    bool started;
    struct mailbox in, out;
    const char *path;    /* borrowed */
    int64_t log_too_big; /* bytes */
    bool log_told;       /* that it is */
    struct mail end;     /* put last: the thread ends, told by its address */
    struct op *taken;    /* the server's: a chain from the last mailbox_take */
    char uuid[40];       /* copies: the thread reads the file's again when it reopens it */
    int64_t epoch;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    /* Under the lock: */
    bool stop, trouble;
    struct errmsg trouble_text;
};

struct op *op_new(enum op_kind kind)
{
    struct op *op = calloc(1, sizeof *op);

    if (op) op->kind = kind;
    return op;
}

void op_free(struct op **op)
{
    if (!*op) return;
    if ((*op)->has_msg) wire_msg_fini(&(*op)->msg);
    free((*op)->hint_uuids);
    free((*op)->hint_text);
    free((*op)->hint_jobs);
    free((*op)->settled);
    free(*op);
    *op = NULL;
}

static struct op *next_op(const struct op *op)
{
    return (struct op *)op->mail.next;
}

/* Applies the ops that are not at fault themselves.  One that breaks a rule of the schema is
 * marked, so that it cannot hold up the others for ever. */
static int apply_all(struct writer *w, struct op *head, bool *marked, struct errmsg *e)
{
    int rc = ERR_OK;

    for (struct op *op = head; op && !rc; op = next_op(op)) {
        if (op->at_fault) continue;
        rc = apply_op(w->queue, op, e);
        if (rc != ERR_ARG) continue;
        *marked = op->at_fault = true;
        op->rc = rc;
        op->err = *e;
    }
    return rc;
}

/* One group: all ops or none, but for those at fault. */
static int write_group(struct writer *w, struct op *head, struct errmsg *e)
{
    bool marked;
    int rc;

    do {
        marked = false;
        rc = queue_begin(w->queue, e);
        if (!rc) rc = apply_all(w, head, &marked, e);
        if (!rc) rc = queue_commit(w->queue, e);
        if (rc) queue_rollback(w->queue);
    } while (marked); /* without the one that was marked */
    return rc;
}

/* Waits for ops; *last: the end came with them.  NULL: only the end came. */
static struct op *next_group(struct writer *w, bool *last)
{
    struct mail *head = mailbox_take(&w->in, true);

    for (struct mail **at = &head; *at; at = &(*at)->next) {
        if (*at != &w->end) continue;
        *last = true;
        *at = NULL; /* nothing is put behind it */
        break;
    }
    return (struct op *)head;
}

static void hand_back(struct writer *w, struct op *head)
{
    pthread_mutex_lock(&w->lock);
    w->trouble = false;
    pthread_mutex_unlock(&w->lock);
    while (head) {
        struct op *op = head;

        head = next_op(op);
        mailbox_put(&w->out, &op->mail);
    }
}

/* Says what is wrong and waits a little; false when the writer shall stop instead of trying again.
 */
static bool wait_for_room(struct writer *w, const struct errmsg *e)
{
    struct timespec until;
    bool go_on;

    pthread_mutex_lock(&w->lock);
    if (!w->trouble) log_error("writer", "%s; nothing is acked until it is on disk", e->text);
    w->trouble = true;
    w->trouble_text = *e;
    clock_gettime(CLOCK_MONOTONIC, &until); /* the wall clock may be set back */
    until.tv_nsec += RETRY_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!w->stop && pthread_cond_timedwait(&w->stopped, &w->lock, &until) == 0)
        ;
    go_on = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

/* Ends the chain where the group is large enough; what is behind. */
static struct op *cut_group(struct op *head)
{
    size_t bytes = 0;

    for (struct op *op = head; op; op = next_op(op)) {
        struct op *rest = next_op(op);

        if (op->has_msg) bytes += wire_msg_bytes(&op->msg);
        if (bytes < GROUP_BYTES || !rest) continue;
        op->mail.next = NULL;
        return rest;
    }
    return NULL;
}

/* Q5: says once who keeps the log from starting over. */
static void watch_log(struct writer *w)
{
    int64_t bytes = queue_log_bytes(w->queue);
    char who[200], text[300];
    struct errmsg e;

    if (bytes < w->log_too_big) w->log_told = false;
    if (bytes < w->log_too_big || w->log_told) return;
    w->log_told = true;
    holder_name(w->path, who, sizeof who);
    snprintf(text, sizeof text,
             "the log has grown to %lld MB, because an old state is still read by %s",
             (long long)(bytes >> 20), who);
    log_warn("writer", "%s", text);
    if (queue_begin(w->queue, &e) ||
        queue_put_event(w->queue, "warn", "writer", text, clock_wall_ms(), &e) ||
        queue_commit(w->queue, &e))
        queue_rollback(w->queue);
}

/* One group, until it is on disk. */
static void settle_group(struct writer *w, struct op *head)
{
    struct errmsg e = {{0}};

    while (write_group(w, head, &e))
        if (!wait_for_room(w, &e)) break; /* nobody takes it any more; its senders have it */
    hand_back(w, head);
    queue_checkpoint(w->queue);
    watch_log(w);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    bool last = false;

    while (!last) {
        struct op *head = next_group(w, &last), *rest;

        for (; head; head = rest) {
            rest = cut_group(head);
            settle_group(w, head);
        }
    }
    return NULL;
}

int writer_open(struct writer **out, const char *path, const struct dbfile_opts *o,
                struct errmsg *e)
{
    struct writer *w = calloc(1, sizeof *w);
    pthread_condattr_t attr;
    int rc;

    *out = NULL;
    if (!w) return err_set(e, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->stopped, &attr);
    pthread_condattr_destroy(&attr);
    w->path = path;
    w->log_too_big = o->log_too_big ? o->log_too_big : DBFILE_LOG_TOO_BIG;
    rc = mailbox_init(&w->in, e);
    if (!rc) rc = mailbox_init(&w->out, e);
    if (!rc) rc = queue_open(&w->queue, path, o, clock_wall_ms(), e);
    if (!rc) {
        snprintf(w->uuid, sizeof w->uuid, "%s", queue_uuid(w->queue));
        w->epoch = queue_epoch(w->queue);
    }
    if (!rc && pthread_create(&w->thread, NULL, writer_main, w))
        rc = err_set(e, ERR_NOMEM, "no thread for the writer");
    w->started = !rc;
    if (rc) writer_close(&w);
    *out = w;
    return rc;
}

void writer_close(struct writer **w)
{
    struct writer *self = *w;
    struct op *op;

    if (!self) return;
    if (self->started) {
        pthread_mutex_lock(&self->lock);
        self->stop = true;
        pthread_cond_signal(&self->stopped);
        pthread_mutex_unlock(&self->lock);
        mailbox_put(&self->in, &self->end);
        pthread_join(self->thread, NULL);
        while ((op = writer_take(self)))
            op_free(&op);
    }
    queue_close(&self->queue);
    mailbox_fini(&self->in);
    mailbox_fini(&self->out);
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->stopped);
    free(self);
    *w = NULL;
}

const char *writer_uuid(const struct writer *w)
{
    return w->uuid;
}

int64_t writer_epoch(const struct writer *w)
{
    return w->epoch;
}

void writer_put(struct writer *w, struct op *op)
{
    mailbox_put(&w->in, &op->mail);
}

struct op *writer_take(struct writer *w)
{
    struct op *op;

    if (!w->taken) w->taken = (struct op *)mailbox_take(&w->out, false);
    op = w->taken;
    if (op) w->taken = next_op(op);
    return op;
}

int writer_fd(const struct writer *w)
{
    return w->out.fd;
}

bool writer_trouble(struct writer *w, struct errmsg *text)
{
    bool trouble;

    pthread_mutex_lock(&w->lock);
    trouble = w->trouble;
    if (trouble && text) *text = w->trouble_text;
    pthread_mutex_unlock(&w->lock);
    return trouble;
}
