/* scene.h - the real broker in a thread of the test, and three hand-made peers.
 *
 * One scene a test process; a call that fails ends the test.
 */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <pthread.h>
#include <semaphore.h>

#include "broker/server.h"
#include "tests/peer.h"
#include "tests/process.h"

struct scene {
    char db[512], address[256];
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

void scene_open(void);
void scene_open_with(int64_t lease_ms, int64_t lost_ms);
void scene_close(void); /* with a recount of every counter */
void scene_start(void); /* the broker alone, as scene.o says */
void scene_stop(void);
void scene_ready(void *arg, const char *address); /* for scene.o.on_ready */

int64_t scene_rows(int n); /* n rows in a batch `batch`: its id */
/* Waits until a query gives the number. */
void scene_wait(const char *sql, int64_t want, int limit_ms);

#endif
