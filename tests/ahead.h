/* ahead.h - a window over a queue file, and the world that it asks, for the suites.
 *
 * One at a time, in `ahead`; a call that fails ends the test.
 */
#ifndef TESTS_AHEAD_H
#define TESTS_AHEAD_H

#include "broker/queue.h"
#include "broker/ready.h"

struct ahead {
    char db[512];
    struct queue *q;
    struct ready *win;
    struct errmsg e;
    int64_t known;              /* jobs up to this one are somebody's */
    bool taken[2 * READY_ROWS]; /* and these */
    int64_t held;               /* jobs of each batch */
    int64_t largest; /* of every instance of model m, and for batches of any; others: nobody's */
    int64_t now_ms;  /* on the wall */
};
extern struct ahead ahead;

void ahead_open(void); /* an empty file, and nobody has a job */
void ahead_close(void);
bool ahead_look(void);                 /* has a batch opened, or closed? */
int64_t ahead_tell(void);              /* reads all; the next row that is told of, 0: none */
struct ready_job *ahead_pop_job(void); /* the same, taken */
int64_t ahead_pop(void);               /* its id */

#endif
