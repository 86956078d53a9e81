/* process.h - real nightmill processes for the end-to-end tests: started, watched, killed by their
 * own pid. */
#ifndef TESTS_PROCESS_H
#define TESTS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct process {
    pid_t pid;               /* 0: none */
    char out[512], err[512]; /* files with what it wrote */
};

/* The program under test: $NIGHTMILL, or build/nightmill. */
const char *process_program(void);

/* Starts nightmill with these words (NULL-terminated, without the program's own name).  fault may
 * be NULL. */
void process_start(struct process *p, const char *fault, const char *const *words);
#define PROCESS_START(p, fault, ...)                                                               \
    process_start(p, fault, (const char *const[]){__VA_ARGS__, NULL})

/* Waits for its end: the exit code, or 128 + the signal.  Fails the test after limit_s. */
int process_wait(struct process *p, int limit_s);
/* Has it ended?  Then *status is as of process_wait. */
bool process_ended(struct process *p, int *status);
void process_kill(struct process *p, int sig); /* and waits */

/* Runs to the end. */
int process_run(struct process *p, int limit_s, const char *const *words);
#define PROCESS_RUN(p, limit_s, ...)                                                               \
    process_run(p, limit_s, (const char *const[]){__VA_ARGS__, NULL})

/* A file's contents; the test fails when it cannot be read.  Free with buf_fini. */
struct buf process_read(const char *path);

/* The one number a query gives, read-only; -1 when the file or the table is not there yet. */
int64_t process_sql(const char *db, const char *sql);
/* Changes a file that nobody else has open for writing. */
void process_change(const char *db, const char *sql);

/* The first child of a process, or 0. */
pid_t process_child_of(pid_t parent);

void process_sleep_ms(int ms); /* between two looks at another process, never to let time pass */

#endif
