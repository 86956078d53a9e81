/* child.h - a worker as a child process of a command.
 *
 * The child gets all options as words, ends when this process ends (--end-with-parent), and has its
 * signals unblocked.
 *
 * Errors  ERR_IO: it cannot be started.
 */
#ifndef CLIENTS_CHILD_H
#define CLIENTS_CHILD_H

#include <sys/types.h>

#include "clients/engine_flags.h"

struct child_spec {
    const char *model, *address, *key, *name; /* key may be NULL */
    const struct engine_flags *engine;
};

int child_start(pid_t *pid, const struct child_spec *s, struct errmsg *e) MUSTCHECK;

/* "ended by signal 9 (Killed)", "ended with status 3" */
const char *child_end_text(int status, char text[64]);

#endif
