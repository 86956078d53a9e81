/* mailbox.h - things handed from one thread to another, in order.
 *
 * Ownership  a thing belongs to the mailbox between mailbox_put and mailbox_take; its first member
 *            is struct mail.
 * Threads    any number may put; one takes.
 */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"

struct mail {
    struct mail *next;
};

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct mail *head, **tail;
    int fd; /* readable while something is there, for poll */
};

int mailbox_init(struct mailbox *m, struct errmsg *e) MUSTCHECK;
void mailbox_fini(struct mailbox *m); /* the caller has emptied it */
void mailbox_put(struct mailbox *m, struct mail *thing);

/* All that is there, as a chain, in order; NULL when nothing is.  wait: sleeps until there is
 * something. */
struct mail *mailbox_take(struct mailbox *m, bool wait);

#endif
