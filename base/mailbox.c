/* mailbox.c - things handed from one thread to another, in order. */
#include "base/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *m, struct errmsg *e)
{
    memset(m, 0, sizeof *m);
    m->tail = &m->head;
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->fd < 0) return err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->wake, NULL);
    return ERR_OK;
}

void mailbox_fini(struct mailbox *m)
{
    if (!m->tail) return;
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->wake);
    close(m->fd);
    memset(m, 0, sizeof *m);
}

void mailbox_put(struct mailbox *m, struct mail *thing)
{
    uint64_t one = 1;
    ssize_t n = 0;

    thing->next = NULL;
    pthread_mutex_lock(&m->lock);
    if (!m->head) { /* otherwise it is readable already, and whoever waits was told */
        n = write(m->fd, &one, sizeof one);
        pthread_cond_signal(&m->wake);
    }
    *m->tail = thing;
    m->tail = &thing->next;
    pthread_mutex_unlock(&m->lock);
    (void)n;
}

struct mail *mailbox_take(struct mailbox *m, bool wait)
{
    struct mail *head;
    uint64_t count;
    ssize_t n = 0;

    pthread_mutex_lock(&m->lock);
    while (wait && !m->head)
        pthread_cond_wait(&m->wake, &m->lock);
    head = m->head;
    m->head = NULL;
    m->tail = &m->head;
    if (head) n = read(m->fd, &count, sizeof count);
    pthread_mutex_unlock(&m->lock);
    (void)n;
    return head;
}
