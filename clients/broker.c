/* broker.c - nightmill broker: serve a queue file to workers and clients. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opt.h"
#include "broker/server.h"
#include "clients/command.h"
#include "clients/policy_flags.h"

struct config {
    const char *db, *bind, *keys, *durability;
    int64_t lease_ms, lost_ms, stall_ms, heartbeat_ms;
    bool force_network_fs;
    struct policy_flags policy;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file; made when it is not there (default nightmill.db)", OPT_STR,
     AT(db), 0, 0},
    {"bind", 0, "ADDR",
     "a tcp:// address to listen at as well, or an ipc:// one instead of the socket beside the "
     "file",
     OPT_STR, AT(bind), 0, 0},
    {"keys", 0, "DIR", "whom tcp:// is open to, as nightmill keys made it (default FILE.keys)",
     OPT_STR, AT(keys), 0, 0},
    {"durability", 0, "full|normal",
     "full (default): what was acked survives power loss; normal: a process's end", OPT_STR,
     AT(durability), 0, 0},
    {"lease-ms", 0, "MS", "a lease ends when its worker has not made headway for so long", OPT_INT,
     AT(lease_ms), 100, 86400000},
    {"lost-ms", 0, "MS", "a worker that is silent for so long is gone", OPT_INT, AT(lost_ms), 100,
     86400000},
    {"stall-ms", 0, "MS", "a worker that says it is busy and takes no step for so long has stalled",
     OPT_INT, AT(stall_ms), 100, 86400000},
    {"heartbeat-ms", 0, "MS", "how often workers show that they live", OPT_INT, AT(heartbeat_ms),
     10, 60000},
    {"force-network-fs", 0, NULL, "accept a queue file on NFS, Lustre or GPFS, at your own risk",
     OPT_FLAG, AT(force_network_fs), 0, 0},
    POLICY_OPTS(AT(policy)),
    {0}};
static const struct opt_command COMMAND = {
    "broker", "", "Serves a queue file to workers and clients until it is interrupted.",
    OPTS,     0,  0};

static void say_ready(void *arg, const char *address)
{
    (void)arg;
    fprintf(stderr, "nightmill broker: ready at %s\n", address);
}

int command_broker(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db",
                       .durability = "full",
                       .lease_ms = 30000,
                       .lost_ms = 10000,
                       .stall_ms = 20000,
                       .heartbeat_ms = 1000,
                       .policy = POLICY_FLAGS_DEFAULT};
    struct broker_opts o = {.on_ready = say_ready};
    struct errmsg e = {{0}};
    int rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);

    if (rc) return command_fail("broker", rc, &e);
    if (strcmp(c.durability, "full") && strcmp(c.durability, "normal")) {
        rc = err_set(&e, ERR_ARG, "--durability is '%s', not full or normal", c.durability);
        return command_fail("broker", rc, &e);
    }
    if ((rc = policy_flags_read(&o.schedule, &c.policy, &e))) return command_fail("broker", rc, &e);
    o.db = c.db;
    o.bind = c.bind;
    o.keys = c.keys;
    o.file.force_network_fs = c.force_network_fs;
    o.file.sync_normal = !strcmp(c.durability, "normal");
    o.lease_ms = c.lease_ms;
    o.lost_ms = c.lost_ms;
    o.stall_ms = c.stall_ms;
    o.heartbeat_ms = c.heartbeat_ms;
    if ((o.stop_fd = command_signals(&e)) < 0) return command_fail("broker", ERR_IO, &e);
    rc = broker_run(&o, &e);
    close(o.stop_fd);
    return rc ? command_fail("broker", rc, &e) : EXIT_ALL_DONE;
}
