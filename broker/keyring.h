/* keyring.h - a directory of keys: the broker's own, and those it takes.
 *
 *   DIR/broker.key  the broker's pair
 *   DIR/NAME.pub    a member: its name, role and public key; what the broker goes by
 *   DIR/NAME.key    the member's own file, to be handed to it; the broker does not read it
 *
 * Threads    one for each keyring; the directory is changed by other processes meanwhile.
 * Ownership  what keyring_find and keyring_at give is good until the next keyring_refresh.
 *
 * Y1  a key that was made or revoked is known after the next keyring_refresh.
 * Y2  a file that cannot be read takes no member in; the others stay.
 * Y3  a directory that is gone takes nobody in.
 */
#ifndef BROKER_KEYRING_H
#define BROKER_KEYRING_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/key.h"

struct keyring;

/* ERR_EMPTY: no keys have been made there; ERR_ARG: others may open the directory. */
int keyring_open(struct keyring **out, const char *dir, int64_t wall_ms,
                 struct errmsg *e) MUSTCHECK;
void keyring_close(struct keyring **k);

/* Looks whether the directory changed, and reads it again then. */
void keyring_refresh(struct keyring *k, int64_t wall_ms);

const struct key *keyring_own(const struct keyring *k);
/* The member of that public key, or NULL. */
const struct key *keyring_find(const struct keyring *k, const char *public_key);
const struct key *keyring_at(const struct keyring *k, size_t i); /* NULL behind the last */

/* A new member, its file's path in made; the directory and the broker's pair are made when they are
 * not there.  ERR_EXISTS: there is a member of that name. */
int keyring_add(const char *dir, const char *name, enum role role, char made[PATH_MAX],
                struct errmsg *e) MUSTCHECK;
/* ERR_EMPTY: there is no such member. */
int keyring_revoke(const char *dir, const char *name, struct errmsg *e) MUSTCHECK;

#endif
