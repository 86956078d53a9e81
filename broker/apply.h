/* apply.h - an op's meaning: the calls on the queue that it stands for.
 *
 * Threads  the writer's.
 * Errors   ERR_DB or ERR_FULL: the group must be rolled back; everything else is left in op->rc.
 */
#ifndef BROKER_APPLY_H
#define BROKER_APPLY_H

#include "broker/writer.h"

int apply_op(struct queue *q, struct op *op, struct errmsg *e) MUSTCHECK;

/* apply_plan.c: what is said of machines and plans. */
int apply_node(struct queue *q, struct op *op, struct errmsg *e) MUSTCHECK;
int apply_plan(struct queue *q, struct op *op, struct errmsg *e) MUSTCHECK;

/* Text that may stand in the database: valid UTF-8. */
bool apply_is_text(struct wire_text t);
/* Does it fit in cap bytes as a C string?  A name that was cut could be another one's. */
bool apply_is_name(struct wire_text t, size_t cap);

#endif
