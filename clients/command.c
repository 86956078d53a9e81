/* command.c - what all commands do alike: failing, and being interrupted. */
#include "clients/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

int command_fail(const char *name, int rc, const struct errmsg *e)
{
    fprintf(stderr, "nightmill %s: %s\n", name, e->text[0] ? e->text : err_name(rc));
    if (rc == ERR_ARG) return EXIT_USAGE;
    return rc == ERR_INTERRUPTED ? EXIT_SIGNAL : EXIT_ENVIRONMENT;
}

int command_signals(struct errmsg *e)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) err_set(e, ERR_IO, "signalfd: %s", strerror(errno));
    return fd;
}
