/* role.h - what the holder of a key may say to the broker.
 *
 *   worker  hello to bye: takes leases, gives results; node: offers devices
 *   client  ping, batches and their rows
 *   admin   everything
 *
 * R1  a message type that the table does not name for a role is refused to it, so a new type is
 *     the admin's alone until somebody decides.
 */
#ifndef SCHEMA_ROLE_H
#define SCHEMA_ROLE_H

#include <stdbool.h>

enum role { ROLE_NONE, ROLE_WORKER, ROLE_CLIENT, ROLE_ADMIN, ROLE_N };

const char *role_name(enum role r);         /* "worker"; "none" */
enum role role_from_name(const char *name); /* ROLE_NONE: there is no such role */
bool role_may(enum role r, unsigned type);  /* type: enum wire_type */

#endif
