/* fault.h - failures as inputs: the Nth time a named point is passed, something goes wrong.
 *
 *   NIGHTMILL_FAULT=commit:37:kill      the 37th pass of "commit" ends the process as kill -9 would
 *   NIGHTMILL_FAULT=commit:3:fail       the 3rd pass returns true: as if the call had failed
 *   NIGHTMILL_FAULT=alloc:5:fail,commit:2:kill
 *
 * Points in use: commit (inside the writer's transaction, before COMMIT), committed (after COMMIT,
 * before any ack), result (a worker has a result and has not sent it), step (before an engine
 * step), lease (a worker has a lease; fail: it never came), grant (rows are leased, the message is
 * not sent; fail: it cannot be), ack (results are on disk, their worker does not know; fail: it
 * never hears), cuda (something was launched on a device; fail: it could not be), replay (of them,
 * a recorded graph), choose (rows' wishes go to a device; fail: no room before the next wait).
 *
 * Threads  any; counts are atomic.  Costs one load where no fault is set.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

#include "base/err.h"

/* Reads the setting; NULL or "" clears it.  ERR_ARG names the word that is wrong. */
int fault_setup(const char *setting, struct errmsg *e) MUSTCHECK;

/* True when this pass is the chosen one and its action is fail. */
bool fault_here(const char *point);

#endif
