/* supervise.c - the process above a worker. */
#include "worker/supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/crash.h"

#define MAX_ENDS    5
#define MAX_ALONE   10  /* five rows in a row that are found guilty: it is not the rows */
#define WAIT_MS     100 /* before the second start; doubles */
#define WAIT_MAX_MS 5000
#define LOOK_MS     50
#define REPORT_MS   10000 /* for the broker to take a report */

/* Q8 */
static bool is_crash(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
           signal == SIGABRT;
}

static int start(supervise_fn run, void *arg, struct blackbox *box, pid_t *pid, struct errmsg *e)
{
    const pid_t parent = getpid();

    fflush(NULL);
    *pid = fork();
    if (*pid < 0) return err_set(e, ERR_IO, "a worker cannot be started: %s", strerror(errno));
    if (*pid > 0) return ERR_OK;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILURE); /* it ended before we could ask */
    exit(run(arg, box));
}

/* Waits for the child's end; passes a request to stop on, once. */
static int wait_for(pid_t pid, int stop_fd, bool *stopping, int *status)
{
    struct pollfd p[2] = {{(int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0}, {stop_fd, POLLIN, 0}};

    while (!(p[0].revents & POLLIN)) {
        /* Where there are no pidfds its end is looked for every now and then. */
        if (poll(p, *stopping || stop_fd < 0 ? 1 : 2, p[0].fd < 0 ? LOOK_MS : -1) < 0 &&
            errno != EINTR)
            break;
        if (p[0].fd < 0 && waitpid(pid, status, WNOHANG) == pid) return ERR_OK;
        if (*stopping || !(p[1].revents & POLLIN)) continue;
        *stopping = true;
        kill(pid, SIGTERM);
    }
    if (p[0].fd >= 0) close(p[0].fd);
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR) return ERR_IO;
    return ERR_OK;
}

/* Rows in the last steps of all instances of the process. */
static int rows_in_step(struct blackbox *box)
{
    int n = 0;

    for (int i = 0; i < box->n_slots && i < BLACKBOX_SLOTS; i++)
        n += box->slots[i].n;
    return n;
}

/* Tells the broker that each instance is gone, and what it had in its last step when that is to
 * blame: its other rows are free at once. */
static void report(const struct worker_opts *o, struct blackbox *box, int signal)
{
    const int all = is_crash(signal) ? rows_in_step(box) : 0;
    struct errmsg e;
    char why[96];
    int rc = ERR_OK;

    snprintf(why, sizeof why, "signal %d (%s)", signal, strsignal(signal));
    for (int i = 0; !rc && i < box->n_slots && i < BLACKBOX_SLOTS; i++) {
        if (!is_crash(signal)) box_end(&box->slots[i]);
        rc = crash_report(o->address, o->key, &box->slots[i], signal, why, all - box->slots[i].n,
                          REPORT_MS, &e);
    }
    if (rc) log_warn("worker", "the broker was not told of a worker's end: %s", e.text);
}

/* Nothing that the worker did last time is true of the next one. */
static void clear(struct blackbox *box)
{
    for (int i = 0; i < box->n_slots && i < BLACKBOX_SLOTS; i++)
        box_end(&box->slots[i]);
    box->n_slots = 0;
}

/* A pause before the next start, which a request to stop ends. */
static void pause_for(int ends, int stop_fd, bool *stopping)
{
    struct pollfd p = {stop_fd, POLLIN, 0};
    int ms = WAIT_MS;

    for (int i = 1; i < ends && ms < WAIT_MAX_MS; i++)
        ms *= 2;
    if (poll(&p, stop_fd >= 0 ? 1 : 0, ms) > 0) *stopping = true;
}

int supervise(const struct worker_opts *o, supervise_fn run, void *arg, int *status,
              struct errmsg *e)
{
    struct blackbox *box = NULL;
    bool stopping = false;
    int ends = 0, alone = 0, how, rc = blackbox_open(&box, e);

    while (!rc && !stopping && ends < MAX_ENDS && alone < MAX_ALONE) {
        const int64_t finished = box->finished;
        pid_t pid;

        if ((rc = start(run, arg, box, &pid, e))) break;
        if (wait_for(pid, o->stop_fd, &stopping, &how)) {
            rc = err_set(e, ERR_IO, "the worker's end was not seen: %s", strerror(errno));
            break;
        }
        *status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
        if (!WIFSIGNALED(how)) break;
        log_warn("worker", "ended by signal %d (%s), with %d rows in its last step", WTERMSIG(how),
                 strsignal(WTERMSIG(how)), rows_in_step(box));
        /* A row that ends it while alone is found guilty soon: that is headway too (Q8). */
        if (box->finished > finished)
            ends = alone = 0;
        else if (rows_in_step(box) == 1)
            alone++, ends = 0;
        else
            ends++;
        report(o, box, WTERMSIG(how));
        clear(box);
        if (!stopping && ends < MAX_ENDS && alone < MAX_ALONE)
            pause_for(ends, o->stop_fd, &stopping);
    }
    blackbox_close(&box);
    return rc;
}
