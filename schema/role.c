/* role.c - what the holder of a key may say to the broker. */
#include "schema/role.h"

#include <string.h>

#include "schema/wire.h"

static const char *const NAMES[ROLE_N] = {"none", "worker", "client", "admin"};

#define W (1u << ROLE_WORKER)
#define C (1u << ROLE_CLIENT)
static const unsigned char MAY[WIRE_NTYPES] = {
    [WIRE_HELLO] = W,   [WIRE_PROFILE] = W,   [WIRE_WANT] = W,     [WIRE_LEASE_ACK] = W,
    [WIRE_RESULTS] = W, [WIRE_HEARTBEAT] = W, [WIRE_BYE] = W,      [WIRE_CRASHED] = W,
    [WIRE_BATCH] = C,   [WIRE_ROWS] = C,      [WIRE_PING] = W | C, [WIRE_NODE] = W,
    [WIRE_CONTROL] = 0, /* pause, cancel, delete: the admin's */
    [WIRE_PLAN] = 0,    /* what every node does: likewise */
};

const char *role_name(enum role r)
{
    return NAMES[r];
}

enum role role_from_name(const char *name)
{
    for (int r = ROLE_WORKER; r < ROLE_N; r++)
        if (!strcmp(NAMES[r], name)) return (enum role)r;
    return ROLE_NONE;
}

bool role_may(enum role r, unsigned type)
{
    if (r == ROLE_ADMIN) return true;
    return type < WIRE_NTYPES && MAY[type] & 1u << r;
}
