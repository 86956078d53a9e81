/* worker.c - nightmill worker: run a model for a broker. */
#include "worker/worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clients/broker_flags.h"
#include "clients/command.h"
#include "clients/engine_flags.h"
#include "worker/fleet.h"
#include "worker/supervise.h"

struct config {
    const char *model, *name;
    struct broker_flags broker;
    int64_t parent, instances;
    struct engine_flags engine;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"model", 'm', "MODEL", "a model directory in Hugging Face's layout, or a .gguf file", OPT_STR,
     AT(model), 0, 0},
    BROKER_OPTS(AT(broker)),
    {"name", 0, "NAME", "how this instance is called in the tables (default: host and process id)",
     OPT_STR, AT(name), 0, 0},
    {"end-with-parent", 0, "PID", "end when the process of this id, the parent, ends", OPT_INT,
     AT(parent), 0, INT32_MAX},
    {"instances", 0, "N", "simulated instances in this process (default: what the sim file says)",
     OPT_INT, AT(instances), 0, 4096},
    ENGINE_OPTS(AT(engine)),
    {0}};
static const struct opt_command COMMAND = {
    "worker",
    "",
    "Runs a model for a broker until it is interrupted; then what is unfinished goes back.",
    OPTS,
    0,
    0};

/* In the child: its signals are its own. */
static int run_worker(void *arg, struct blackbox *box)
{
    struct worker_opts o = *(struct worker_opts *)arg;
    struct errmsg e = {{0}};
    int rc;

    o.box = box;
    if ((o.stop_fd = command_signals(&e)) < 0) return command_fail("worker", ERR_IO, &e);
    rc = worker_run(&o, &e);
    return rc ? command_fail("worker", rc, &e) : EXIT_ALL_DONE;
}

int command_worker(int argc, char **argv)
{
    struct config c = {.broker = BROKER_FLAGS_DEFAULT, .engine = ENGINE_FLAGS_DEFAULT};
    struct worker_opts o = {0};
    struct errmsg e = {{0}};
    char room[256];
    int status = EXIT_ENVIRONMENT, rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);

    if (rc) return command_fail("worker", rc, &e);
    if (!c.model && strncmp(c.engine.device, FLEET_DEVICE, strlen(FLEET_DEVICE)))
        return command_fail("worker", err_set(&e, ERR_ARG, "--model is missing"), &e);
    if (c.instances && strncmp(c.engine.device, FLEET_DEVICE, strlen(FLEET_DEVICE)))
        return command_fail("worker",
                            err_set(&e, ERR_ARG,
                                    "--instances is for simulated devices: --device "
                                    "is '%s', not sim:FILE",
                                    c.engine.device),
                            &e);
    if (c.parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != (pid_t)c.parent) return EXIT_ALL_DONE; /* it ended before we could ask */
    }
    if ((rc = broker_flags_address(&c.broker, room, sizeof room, &o.address, &e)))
        return command_fail("worker", rc, &e);
    o.model = c.model;
    o.key = c.broker.key;
    o.name = c.name;
    o.instances = (int)c.instances;
    if ((rc = engine_flags_apply(&c.engine, &o, &e))) return command_fail("worker", rc, &e);
    if ((o.stop_fd = command_signals(&e)) < 0) return command_fail("worker", ERR_IO, &e);
    rc = supervise(&o, run_worker, &o, &status, &e);
    close(o.stop_fd);
    return rc ? command_fail("worker", rc, &e) : status;
}
