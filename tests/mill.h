/* mill.h - a whole mill for the tests of what goes wrong: a queue file, a file of rows, simulated
 * workers that note each row they compute.
 *
 * The test fails where a call fails.  A number is drawn from the mill's seed ($TEST_SEED, printed).
 */
#ifndef TESTS_MILL_H
#define TESTS_MILL_H

#include "tests/process.h"

struct mill {
    uint64_t seed;
    int rows;
    char db[512], input[512], trace[512], sim[512];
};

struct mill_opts {
    int rows;
    int prompt_bytes; /* of each row: zeros and its number; 0: 40 */
    int ms;           /* how long each of the 20 steps of a row lasts; 0: 5 */
    int seqs;         /* in a step of one instance; 0: 16 */
    const char *more; /* further keys of the sim file, each with a comma before it; NULL: none */
};
void mill_open(struct mill *m, struct mill_opts o);
#define MILL_OPEN(m, ...) mill_open(m, (struct mill_opts){__VA_ARGS__})

/* Another sim file for the workers that start from now on. */
void mill_sim(struct mill *m, struct mill_opts o);
unsigned mill_draw(struct mill *m, unsigned n); /* 0 to n-1 */

/* A worker of so many instances. */
void mill_worker(const struct mill *m, struct process *p, const char *fault, const char *name,
                 const char *instances);
void mill_submit(const struct mill *m, struct process *p); /* to the end, exit code 0 */

int64_t mill_sql(const struct mill *m, const char *sql);
/* Until a query gives at least this. */
void mill_wait(const struct mill *m, const char *sql, int64_t least, int limit_s);
void mill_wait_done(const struct mill *m, int64_t least, int limit_s);

/* Rows computed more often than once, by the workers' notes; *total: all that were computed. */
int64_t mill_twice(const struct mill *m, int64_t *total);

/* Each row is done, once, with no attempt used; the counters agree with a recount; the export has
 * each custom_id once.  The broker may run or not. */
void mill_verify(const struct mill *m);

#endif
