/* ready_batch.h - the window's inside, shared by ready.c and ready_read.c; nobody else includes it.
 *
 * Ownership  the jobs of a list are the list's until they are taken.
 */
#ifndef BROKER_READY_BATCH_H
#define BROKER_READY_BATCH_H

#include <sqlite3.h>

#include "base/idmap.h"
#include "broker/needs.h"
#include "broker/ready.h"

struct ready_list {
    struct ready_job *head, *tail;
    size_t n, bytes; /* of bodies */
};

struct ready_batch {
    int64_t batch_id, generation, n_ready;
    char model[256];
    int64_t largest; /* what the roomiest instance of its model holds; 0: nobody has it */
    double answer_tokens, bytes_per_token; /* of what it has done so far */
    const char *why_not;                   /* NULL: it may run now */
    bool seen, is_expired;
    /* The cursor: the last row that was read. */
    int64_t at_priority, at_group, at_job;
    bool dry;                       /* nothing lies behind the cursor */
    bool behind;                    /* there may be rows before it: then it starts over */
    struct ready_list fresh, told;  /* read and not yet told of; told of */
    size_t n_needy;                 /* of them, rows that need much */
    int64_t turn;                   /* when one of its rows was told last */
    int64_t read_rows, read_tokens; /* of prompts, to know what lies behind */
    int64_t *back;                  /* job ids to be read again; owned */
    size_t n_back, cap_back;
};

struct ready {
    sqlite3 *db;
    sqlite3_stmt *batches, *next, *one, *suspects, *look_up, *any_suspect;
    struct ready_world world;
    struct ready_batch **at; /* by batch id; owned */
    size_t n, cap;
    size_t n_open;     /* that may run, and that somebody could run */
    size_t from;       /* the batch whose turn it is to be read */
    bool is_partial;   /* there are rows behind a batch that has none here */
    int64_t turn;      /* rows told so far */
    struct idmap here; /* job id -> struct ready_job */
    struct ready_list gone;
    struct needs needs;
};

struct ready_batch *ready_batch_of(const struct ready *r, int64_t batch_id); /* NULL: not known */
/* Forgets what was read of it: the cursor stands at the start. */
void ready_rewind(struct ready *r, struct ready_batch *b);
/* Out of its list and the window; free, or in `gone` when it was told of. */
void ready_dismiss(struct ready *r, struct ready_batch *b, struct ready_job *j);
static inline size_t ready_rows(const struct ready_batch *b)
{
    return b->fresh.n + b->told.n;
}

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
