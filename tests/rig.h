/* rig.h - an engine on a model, for the suites that run one.
 *
 * One at a time, in `rig`; every call ends the test when something fails.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "tests/tiny.h"
#include "worker/engine.h"

#define RIG_AMPLE ((size_t)64 << 20)

struct rig {
    struct model model;
    struct engine *en;
    struct errmsg err;
};
extern struct rig rig;
extern const struct sampling RIG_GREEDY;

/* Restarts the engine on the open model; what is 0 in o gets a value that fits the tests.  The
 * device is rig_device. */
/* cpu; where $TEST_DEVICE is "async" the one of async_device.h, where it is "cuda" the plug-in's.
 */
const struct device *rig_device(void);
void rig_start(struct engine_opts o);
void rig_close(void); /* the engine and the model */

/* owner: a small number, the outcome's place in rig_take. */
void rig_add(const int32_t *ids, int n, const struct sampling *p, int owner);
void rig_run(void); /* steps until there is nothing to do */

/* Takes every outcome into out[owner]; each owner comes once (E2). */
void rig_take(struct outcome *out, int n);
void rig_free(struct outcome *out, int n);

#endif
