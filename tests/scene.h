/* scene.h - the real broker in a thread of the test, and hand-made peers.
 *
 * A call that fails ends the test.
 */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <pthread.h>
#include <semaphore.h>

#include "broker/server.h"
#include "tests/peer.h"
#include "tests/process.h"

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
extern struct scene scene;

#define NUMBER(text) process_sql(scene.db, text)

/* A database in test_dir, and options for it; the rest of o is the test's to set. */
void scene_prepare(struct scene *s, int64_t lease_ms, int64_t lost_ms);
void scene_start(struct scene *s); /* returns when it listens, or has failed with s->rc */
void scene_stop(struct scene *s);  /* in order; it must have ended well */

/* The one of most tests: the broker, and its peers connected. */
void scene_open(void);
void scene_open_with(int64_t lease_ms, int64_t lost_ms);
void scene_close(void); /* with a recount of every counter */

int64_t scene_rows(int n); /* n rows in a batch `batch`: its id */
/* Waits until a query gives the number. */
void scene_wait(const char *sql, int64_t want, int limit_ms);

#endif
