/* nodes.h - the nodes that have said that they are there, and what the active plan gives them.
 *
 * A node says `node` again and again and is answered with its part of the plan: whoever starts
 * again, node or broker, knows all after one beat.
 *
 * Units      *_ms on CLOCK_MONOTONIC.
 * Threads    the server's.
 * Ownership  caller's storage: zero, nodes_fini.
 * Errors     ERR_NOMEM; ERR_EXISTS: another process has this name; ERR_FULL: NODES_MOST.
 *
 * ND1  a name belongs to the process that said it first, until that one goes or was not heard of
 *      for longer than the limit.
 */
#ifndef BROKER_NODES_H
#define BROKER_NODES_H

#include <stdbool.h>

#include "broker/plan.h"
#include "schema/wire.h"

#define NODES_MOST      1024
#define NODES_NAME      64 /* bytes of a node's name, and of its devices' */
#define NODES_WORD      16 /* of a dtype */
#define NODES_MODEL     256
#define NODES_INSTANCES (PLAN_MACHINES * PLAN_DEVICES) /* of a plan */

struct node {
    char name[NODES_NAME], uuid[64];
    int64_t heard_ms;
};

struct node_instance {
    char node[NODES_NAME], devices[NODES_NAME], dtype[NODES_WORD], kv_dtype[NODES_WORD];
    int64_t n, tp;
};

struct nodes {
    struct node *at; /* owned */
    size_t n;
    int64_t plan_id; /* 0: none is active */
    char model[NODES_MODEL];
    struct node_instance *instances; /* owned */
    size_t n_instances;
};

void nodes_fini(struct nodes *t);

/* *joined: it was not there. */
int nodes_hear(struct nodes *t, const char *name, const char *uuid, int64_t now_ms, int64_t lost_ms,
               bool *joined) MUSTCHECK;
/* The process of this uuid goes; false: it was not there. */
bool nodes_leave(struct nodes *t, const char *name, const char *uuid);
/* Takes one that was not heard of for longer than the limit out; false: there is none. */
bool nodes_lost(struct nodes *t, int64_t now_ms, int64_t lost_ms, struct node *out);
void nodes_shift(struct nodes *t, int64_t ms); /* nobody could be heard for so long */

/* The active plan, from the queue file. */
int nodes_read_plan(struct nodes *t, const char *db, struct errmsg *e) MUSTCHECK;

#endif
