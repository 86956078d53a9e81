/* control.c - nightmill pause, resume, cancel, retry, delete: what a person does to a batch or a
 * row. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/broker_flags.h"
#include "clients/command.h"

#define PING_MS 5000
#define WAIT_MS 3600000 /* a retry or a delete goes through every row */

struct config {
    struct broker_flags broker;
    const char *job, *code;
    bool yes;
};

#define AT(field) offsetof(struct config, field)
#define JOB_OPT                                                                                    \
    {                                                                                              \
        "job", 'j', "ID", "only the row with this custom_id", OPT_STR, AT(job), 0, 0               \
    }
static const struct opt OPTS[] = {BROKER_OPTS(AT(broker)), JOB_OPT, {0}};
static const struct opt RETRY_OPTS[] = {
    BROKER_OPTS(AT(broker)),
    JOB_OPT,
    {"code", 'c', "CODE",
     "only rows that failed with this code; batch_cancelled: what was cancelled", OPT_STR, AT(code),
     0, 0},
    {0}};
static const struct opt DELETE_OPTS[] = {BROKER_OPTS(AT(broker)),
                                         JOB_OPT,
                                         {"yes", 'y', NULL, "do not ask", OPT_FLAG, AT(yes), 0, 0},
                                         {0}};

static const struct verb_command {
    struct opt_command command;
    const char *done; /* as it is told */
} PAUSE = {{"pause", "BATCH", "Starts no more rows of a batch; what is under way comes back.", OPTS,
            1, 1},
           "paused"},
  RESUME = {{"resume", "BATCH", "Goes on with a batch that was paused.", OPTS, 1, 1}, "resumed"},
  CANCEL = {{"cancel", "BATCH", "Ends a batch: what has no answer yet gets none.", OPTS, 1, 1},
            "cancelled"},
  RETRY = {{"retry", "BATCH", "Runs the failed rows of a batch again, with fresh attempts.",
            RETRY_OPTS, 1, 1},
           "ready again"},
  DELETE = {{"delete", "BATCH", "Removes a batch, its rows and its answers.", DELETE_OPTS, 1, 1},
            "deleted"};

static int confirm(const struct verb_command *v, const struct config *c, const char *batch,
                   struct errmsg *e)
{
    char answer[8] = "";

    if (v != &DELETE || c->yes) return ERR_OK;
    if (!isatty(STDIN_FILENO))
        return err_set(e, ERR_ARG, "deletes for good: say --yes when nobody can be asked");
    if (c->job)
        fprintf(stderr, "Delete row %s of batch %s for good? [y/N] ", c->job, batch);
    else
        fprintf(stderr, "Delete batch %s with all its rows and answers for good? [y/N] ", batch);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return ERR_OK;
    return err_set(e, ERR_INTERRUPTED, "nothing was deleted");
}

static int ask(struct client *client, const struct verb_command *v, const struct config *c,
               const char *batch, int64_t *rows, struct errmsg *e)
{
    struct wire_out o;
    struct wire_msg m;
    int rc;

    wire_begin(&o, 4);
    wire_put_str(&o, "verb", v->command.name);
    wire_put_str(&o, "batch", batch);
    wire_put_str(&o, "job", c->job ? c->job : "");
    wire_put_str(&o, "code", c->code ? c->code : "");
    if ((rc = client_ask(client, WIRE_CONTROL, &o, e))) return rc;
    if ((rc = client_hear(client, WIRE_CONTROL_OK, &m, WAIT_MS, e))) return rc;
    *rows = wire_int(&m.map, "rows", 0);
    wire_msg_fini(&m);
    return ERR_OK;
}

static int run(const struct verb_command *v, int argc, char **argv)
{
    struct config c = {.broker = BROKER_FLAGS_DEFAULT};
    struct client *client = NULL;
    struct errmsg e = {{0}};
    const char *batch = NULL;
    int64_t rows = 0;
    int signals = -1, rc = opt_parse(&v->command, &c, &batch, argc, argv, &e);

    if (!rc && c.job && !c.job[0]) rc = err_set(&e, ERR_ARG, "--job is empty");
    if (!rc) rc = confirm(v, &c, batch, &e);
    if (!rc && (signals = command_signals(&e)) < 0) rc = ERR_IO;
    if (!rc) rc = broker_flags_connect(&c.broker, PING_MS, &client, &e);
    if (!rc) {
        client_wake(client, signals);
        rc = ask(client, v, &c, batch, &rows, &e);
    }
    if (!rc && v == &RETRY && !rows)
        fprintf(
            stderr,
            "nightmill retry: batch %s: nothing to retry%s%s; rows that were refused for what they "
            "say are submitted mended\n",
            batch, c.code ? ": no row that failed with code " : "", c.code ? c.code : "");
    else if (!rc)
        fprintf(stderr, "nightmill %s: batch %s: %lld row%s %s\n", v->command.name, batch,
                (long long)rows, rows == 1 ? "" : "s", v->done);
    client_close(&client);
    if (signals >= 0) close(signals);
    return rc ? command_fail(v->command.name, rc, &e) : EXIT_ALL_DONE;
}

int command_pause(int argc, char **argv)
{
    return run(&PAUSE, argc, argv);
}

int command_resume(int argc, char **argv)
{
    return run(&RESUME, argc, argv);
}

int command_cancel(int argc, char **argv)
{
    return run(&CANCEL, argc, argv);
}

int command_retry(int argc, char **argv)
{
    return run(&RETRY, argc, argv);
}

int command_delete(int argc, char **argv)
{
    return run(&DELETE, argc, argv);
}
