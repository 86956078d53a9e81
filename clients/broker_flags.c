/* broker_flags.c - which broker is meant. */
#include "clients/broker_flags.h"

#include <string.h>

#include "broker/dbfile.h"
#include "schema/key.h"

int broker_flags_address(const struct broker_flags *f, char *room, size_t cap, const char **address,
                         struct errmsg *e)
{
    struct key k;

    *address = f->broker ? f->broker : room;
    if (!f->broker) return dbfile_address(f->db, room, cap, e);
    /* Now rather than when a model has been loaded. */
    return f->key && !strncmp(f->broker, "tcp://", 6) ? key_read(&k, f->key, e) : ERR_OK;
}

static int say_why(const struct broker_flags *f, struct errmsg *e)
{
    if (!f->broker)
        return err_set(e, ERR_TIMEOUT, "no broker serves %s; start one: nightmill broker --db %s",
                       f->db, f->db);
    if (strncmp(f->broker, "tcp://", 6)) return ERR_TIMEOUT;
    if (f->key)
        return err_set(e, ERR_TIMEOUT, "no broker answers at %s, or it does not take the key in %s",
                       f->broker, f->key);
    return err_set(e, ERR_TIMEOUT, "no broker answers at %s, or it wants a key: --key FILE",
                   f->broker);
}

int broker_flags_connect(const struct broker_flags *f, int64_t timeout_ms, struct client **out,
                         struct errmsg *e)
{
    struct client *c = NULL;
    struct wire_msg pong;
    const char *address;
    char room[256];
    int rc;

    *out = NULL;
    if ((rc = broker_flags_address(f, room, sizeof room, &address, e))) goto out;
    if ((rc = client_open(&c, address, f->key, e))) goto out;
    rc = client_ping(c, &pong, timeout_ms, e);
    if (rc == ERR_TIMEOUT) say_why(f, e);
    if (rc) goto out;
    wire_msg_fini(&pong);
    *out = c;
    c = NULL;
out:
    client_close(&c);
    return rc;
}
