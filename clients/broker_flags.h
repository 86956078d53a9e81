/* broker_flags.h - the options that say which broker is meant, the same for every command that
 * talks to one. */
#ifndef CLIENTS_BROKER_FLAGS_H
#define CLIENTS_BROKER_FLAGS_H

#include <stddef.h>

#include "base/opt.h"
#include "clients/client.h"

struct broker_flags {
    const char *db, *broker, *key;
};

#define BROKER_FLAGS_DEFAULT                                                                       \
    {                                                                                              \
        .db = "nightmill.db"                                                                       \
    }

#define BROKER_OPTS(at)                                                                            \
    {"db",    'd',                                                                                 \
     "FILE",  "the queue file whose broker is meant (default nightmill.db)",                       \
     OPT_STR, (at) + offsetof(struct broker_flags, db),                                            \
     0,       0},                                                                                  \
        {"broker", 0,                                                                              \
         "ADDR",   "the broker's ZeroMQ address, instead of the one that follows from --db",       \
         OPT_STR,  (at) + offsetof(struct broker_flags, broker),                                   \
         0,        0},                                                                             \
    {                                                                                              \
        "key", 0, "FILE", "the key to show to a tcp:// broker: a file of nightmill keys make",     \
            OPT_STR, (at) + offsetof(struct broker_flags, key), 0, 0                               \
    }

/* The address that is meant: --broker, or what follows from --db (then written into room).  A key
 * file that cannot be used there is refused. */
int broker_flags_address(const struct broker_flags *f, char *room, size_t cap, const char **address,
                         struct errmsg *e) MUSTCHECK;

/* Opens a client and pings; what nobody answers says how to start a broker, or what may be wrong
 * with the key. */
int broker_flags_connect(const struct broker_flags *f, int64_t timeout_ms, struct client **out,
                         struct errmsg *e) MUSTCHECK;

#endif
