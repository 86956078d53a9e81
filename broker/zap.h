/* zap.h - who gets through the door: CURVE on a socket, and the handler that ZeroMQ asks.
 *
 * ZeroMQ asks for each handshake, over inproc://zeromq.zap.01, whether the key behind it is taken;
 * until it is, nothing of what the other side sends reaches the socket.  A link whose key was taken
 * puts the key, as the user id, on each message.
 *
 * Threads    the server's; it polls zap_socket and zap_monitor, and calls zap_answer when either is
 *            readable.
 *
 * Z1  a key that is not in the keyring is refused before anything else of it is read.
 * Z2  ZeroMQ lets everybody in while there is no handler: this one is there from before the first
 *     bind until nobody reads the socket any more.
 * Z3  every handshake that failed is counted once, whatever it failed of.
 */
#ifndef BROKER_ZAP_H
#define BROKER_ZAP_H

#include "broker/keyring.h"

struct zap;

/* zmq: the context of the sockets to be guarded. */
int zap_open(struct zap **out, void *zmq, const char *keys_dir, int64_t wall_ms,
             struct errmsg *e) MUSTCHECK;
void zap_close(struct zap **z); /* before the guarded socket is closed */

/* What the socket binds to from now on takes known keys only. */
int zap_guard(struct zap *z, void *socket, struct errmsg *e) MUSTCHECK;

void *zap_socket(const struct zap *z);
void *zap_monitor(const struct zap *z);
/* Answers what waits; how many handshakes failed since the last call, and why the last one did. */
int64_t zap_answer(struct zap *z, int64_t wall_ms, struct errmsg *why);

/* Takes keys in that were made since, and out that were revoked. */
void zap_refresh(struct zap *z, int64_t wall_ms);
/* ROLE_NONE: the key was revoked. */
enum role zap_role(const struct zap *z, const char *user);

#endif
