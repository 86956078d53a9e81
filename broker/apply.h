/* apply.h - an op's meaning: the calls on the queue that it stands for.
 *
 * Threads  the writer's.
 * Errors   ERR_DB or ERR_FULL: the group must be rolled back; everything else is left in op->rc.
 */
#ifndef BROKER_APPLY_H
#define BROKER_APPLY_H

#include "broker/writer.h"

int apply_op(struct queue *q, struct op *op, struct errmsg *e) MUSTCHECK;

#endif
