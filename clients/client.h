/* client.h - a command's line to the broker: questions and answers.
 *
 * Threads  one; a client belongs to the thread that opened it.
 * Errors   ERR_TIMEOUT: nobody answered, with the address in the text; ERR_ARG: the broker refused,
 * with its reason.
 */
#ifndef CLIENTS_CLIENT_H
#define CLIENTS_CLIENT_H

#include <stdint.h>

#include "base/err.h"
#include "schema/wire.h"

struct client;

/* key: a member's key file, for a tcp:// address; NULL: none. */
int client_open(struct client **out, const char *address, const char *key,
                struct errmsg *e) MUSTCHECK;
void client_close(struct client **c);

/* A wait for an answer ends with ERR_INTERRUPTED when this descriptor becomes readable. */
void client_wake(struct client *c, int fd);

/* Sends a question; o is freed.  Many may be under way. */
int client_ask(struct client *c, enum wire_type type, struct wire_out *o,
               struct errmsg *e) MUSTCHECK;
/* Waits for the next answer, which must be of this type; wire_msg_fini by the caller when it
 * returns 0. */
int client_hear(struct client *c, enum wire_type type, struct wire_msg *reply, int64_t timeout_ms,
                struct errmsg *e) MUSTCHECK;

/* Is a broker there?  Asks once. */
int client_ping(struct client *c, struct wire_msg *pong, int64_t timeout_ms,
                struct errmsg *e) MUSTCHECK;

#endif
