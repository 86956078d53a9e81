/* command.h - the commands, one file for each.
 *
 * A command gets its own argv (argv[0] is its name) and returns the program's exit code.
 */
#ifndef CLIENTS_COMMAND_H
#define CLIENTS_COMMAND_H

#include "base/err.h"

enum exit_code {
    EXIT_ALL_DONE = 0,
    EXIT_SOME_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_ENVIRONMENT = 3,
    EXIT_SIGNAL = 130
};

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* one line */
};

int command_broker(int argc, char **argv);
int command_cancel(int argc, char **argv);
int command_delete(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_instances(int argc, char **argv);
int command_keys(int argc, char **argv);
int command_node(int argc, char **argv);
int command_pause(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_profile(int argc, char **argv);
int command_render(int argc, char **argv);
int command_report(int argc, char **argv);
int command_results(int argc, char **argv);
int command_resume(int argc, char **argv);
int command_retry(int argc, char **argv);
int command_run(int argc, char **argv);
int command_sql(int argc, char **argv);
int command_status(int argc, char **argv);
int command_submit(int argc, char **argv);
int command_tokenize(int argc, char **argv);
int command_top(int argc, char **argv);
int command_version(int argc, char **argv);
int command_worker(int argc, char **argv);

/* Prints "nightmill NAME: text" to stderr and returns the exit code that goes with rc. */
int command_fail(const char *name, int rc, const struct errmsg *e);

/* A descriptor that becomes readable at SIGINT or SIGTERM, which are blocked from then on in this
 * thread and those it starts; -1 with the text when that cannot be had. */
int command_signals(struct errmsg *e);

#endif
