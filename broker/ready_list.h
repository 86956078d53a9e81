/* ready_list.h - a list of ready jobs, by the links in them; of ready.c alone.
 *
 * Ownership  the jobs are the list's until they are taken.
 */
#ifndef BROKER_READY_LIST_H
#define BROKER_READY_LIST_H

#include "broker/ready.h"

struct ready_list {
    struct ready_job *head, *tail;
    size_t n, bytes; /* of bodies */
};

static inline void ready_list_add(struct ready_list *l, struct ready_job *j)
{
    j->next = NULL;
    j->prev = l->tail;
    *(l->tail ? &l->tail->next : &l->head) = j;
    l->tail = j;
    l->n++;
    l->bytes += j->body_len;
}

static inline void ready_list_push(struct ready_list *l, struct ready_job *j)
{
    j->prev = NULL;
    j->next = l->head;
    *(l->head ? &l->head->prev : &l->tail) = j;
    l->head = j;
    l->n++;
    l->bytes += j->body_len;
}

static inline void ready_list_take(struct ready_list *l, struct ready_job *j)
{
    *(j->prev ? &j->prev->next : &l->head) = j->next;
    *(j->next ? &j->next->prev : &l->tail) = j->prev;
    j->next = j->prev = NULL;
    l->n--;
    l->bytes -= j->body_len;
}

#endif
