/* writer.c - the one thread that writes the database. */
#include "broker/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/apply.h"

#define RETRY_MS 500

struct list {
    struct op *head, **tail;
};

struct writer {
    struct queue *queue; /* the thread's */
    pthread_t thread;
    bool started;
    int fd;
    char uuid[40]; /* copies: the thread reads the file's again when it reopens it */
    int64_t epoch;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock: */
    struct list in, out;
    bool stop, trouble;
    struct errmsg trouble_text;
};

static void list_init(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

/* Appends the chain that starts at op. */
static void list_add(struct list *l, struct op *op)
{
    *l->tail = op;
    while (*l->tail)
        l->tail = &(*l->tail)->next;
}

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
    for (size_t i = 0; i < (*op)->n_hint; i++)
        free((*op)->hint_uuids[i]);
    free((*op)->hint_uuids);
    free((*op)->hint_jobs);
    free((*op)->settled);
    free(*op);
    *op = NULL;
}

/* Applies the ops that are not at fault themselves.  One that breaks a rule of the schema is
 * marked, so that it cannot hold up the others for ever. */
static int apply_all(struct writer *w, struct op *head, bool *marked, struct errmsg *e)
{
    int rc = ERR_OK;

    for (struct op *op = head; op && !rc; op = op->next) {
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

/* Waits for ops; NULL when the writer shall stop and has nothing left. */
static struct op *next_group(struct writer *w)
{
    struct op *head;

    pthread_mutex_lock(&w->lock);
    while (!w->in.head && !w->stop)
        pthread_cond_wait(&w->wake, &w->lock);
    head = w->in.head;
    list_init(&w->in);
    pthread_mutex_unlock(&w->lock);
    return head;
}

static void hand_back(struct writer *w, struct op *head)
{
    uint64_t one = 1;

    pthread_mutex_lock(&w->lock);
    list_add(&w->out, head);
    w->trouble = false;
    pthread_mutex_unlock(&w->lock);
    if (write(w->fd, &one, sizeof one) < 0) log_error("writer", "eventfd: nobody is told");
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
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += RETRY_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!w->stop && pthread_cond_timedwait(&w->wake, &w->lock, &until) == 0)
        ;
    go_on = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct op *head;

    while ((head = next_group(w))) {
        struct errmsg e = {{0}};

        while (write_group(w, head, &e))
            if (!wait_for_room(w, &e)) break; /* unacked: their senders still have them */
        hand_back(w, head);
        queue_checkpoint(w->queue);
    }
    return NULL;
}

int writer_open(struct writer **out, const char *path, const struct dbfile_opts *o,
                struct errmsg *e)
{
    struct writer *w = calloc(1, sizeof *w);
    int rc;

    *out = NULL;
    if (!w) return err_set(e, ERR_NOMEM, "out of memory");
    list_init(&w->in);
    list_init(&w->out);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rc = w->fd < 0 ? err_set(e, ERR_IO, "eventfd failed")
                   : queue_open(&w->queue, path, o, clock_wall_ms(), e);
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

static void free_all(struct list *l)
{
    while (l->head) {
        struct op *op = l->head;

        l->head = op->next;
        op_free(&op);
    }
}

void writer_close(struct writer **w)
{
    struct writer *self = *w;

    if (!self) return;
    if (self->started) {
        pthread_mutex_lock(&self->lock);
        self->stop = true;
        pthread_cond_signal(&self->wake);
        pthread_mutex_unlock(&self->lock);
        pthread_join(self->thread, NULL);
    }
    free_all(&self->in);
    free_all(&self->out);
    queue_close(&self->queue);
    if (self->fd >= 0) close(self->fd);
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->wake);
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
    op->next = NULL;
    pthread_mutex_lock(&w->lock);
    list_add(&w->in, op);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

struct op *writer_take(struct writer *w)
{
    struct op *op;
    uint64_t n;

    pthread_mutex_lock(&w->lock);
    op = w->out.head;
    if (op) {
        w->out.head = op->next;
        if (!op->next) list_init(&w->out);
        op->next = NULL;
    } else if (read(w->fd, &n, sizeof n) < 0) {
        /* already empty */
    }
    pthread_mutex_unlock(&w->lock);
    return op;
}

int writer_fd(const struct writer *w)
{
    return w->fd;
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
