/* scene.h - the real broker in a thread of the test, and room for hand-made peers.
 */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <pthread.h>
#include <semaphore.h>

#include "broker/server.h"
#include "tests/peer.h"

struct scene {
    char db[512], address[256]; /* address: where it listens, once it is started */
    struct broker_opts o;
    int stop[2];
    pthread_t thread;
    sem_t ready;
    int rc;
    struct errmsg e;
    struct peer client, a, b; /* a and b: workers, not yet joined */
};

/* A database in test_dir, and options for it; the rest of o is the test's to set. */
void scene_prepare(struct scene *s, int64_t lease_ms, int64_t lost_ms);
void scene_start(struct scene *s); /* returns when it listens, or has failed with s->rc */
void scene_stop(struct scene *s);  /* in order; it must have ended well */

#endif
