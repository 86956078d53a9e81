/* listener.h - where the broker listens, and to whom.
 *
 * The socket beside the file is always there, with mode 0600: the file's owner alone may connect,
 * and may do everything.  A tcp:// address is listened to as well when one is given; with keys, by
 * CURVE, and beyond the loopback only with keys.
 *
 * Threads    the server's.
 *
 * H1  beyond the loopback nothing is bound without keys.
 * H2  no socket file of ours is open to others, not for a moment.
 * H3  what is no socket is never removed from a socket's place.
 * H4  a routing id belongs to the link that had it first: nobody gets another's messages by its
 *     name.
 */
#ifndef BROKER_LISTENER_H
#define BROKER_LISTENER_H

#include "broker/zap.h"

struct listener {
    void *zmq, *socket; /* a ROUTER */
    char local[256];    /* ipc:// */
    bool has_local;     /* bound: its file is ours to remove */
    char address[256];  /* what others are to be told: the tcp:// address, else local */
    struct zap *zap;    /* NULL: no keys */
};

/* bind: NULL, an ipc:// address instead of the one beside the file, or a tcp:// address.  keys: a
 * directory; NULL: DB.keys when it is there.  ERR_ARG: an address that is refused. */
int listener_open(struct listener *l, const char *db, const char *bind, const char *keys,
                  struct errmsg *e) MUSTCHECK;
void listener_close(struct listener *l);

/* The role behind a message's user ("": it came by a socket that needs no key). */
enum role listener_role(const struct listener *l, const char *user);

#endif
