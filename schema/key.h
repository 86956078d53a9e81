/* key.h - a CURVE key pair, and the file it is kept in.
 *
 * The file is text, a word and its value a line; keys are 40 characters of Z85:
 *
 *   name    gpu1
 *   role    worker
 *   public  ...
 *   secret  ...      a member's file and the broker's have it; the broker's list of members not
 *   broker  ...      a member's file only: the public key of the broker it talks to
 *
 * K1  a file with a secret is made with mode 0600, whole or not at all, and never over another.
 * K2  a file with a secret that everybody may read, or the group may write, is refused.
 * K3  a public key that is not the secret's is refused.
 */
#ifndef SCHEMA_KEY_H
#define SCHEMA_KEY_H

#include <stdbool.h>

#include "base/err.h"
#include "schema/role.h"

#define KEY_Z85  41 /* with its NUL */
#define KEY_NAME 41

struct key {
    char name[KEY_NAME];
    enum role role; /* ROLE_NONE: the broker's own */
    char public_key[KEY_Z85], secret_key[KEY_Z85], broker_key[KEY_Z85]; /* "": has none */
};

/* Letters, digits, '.', '_' and '-', not '.' first: it is a part of file names. */
bool key_name_is_good(const char *name);

int key_make(struct key *k, const char *name, enum role role, struct errmsg *e) MUSTCHECK;
int key_read(struct key *k, const char *path, struct errmsg *e) MUSTCHECK;
/* ERR_EXISTS: the path is taken. */
int key_write(const struct key *k, const char *path, struct errmsg *e) MUSTCHECK;

/* Before zmq_connect to a broker: the socket proves with the member's key in file who it is, and
 * speaks to that key's broker only.  An address that is not tcp:// needs no key, and file may be
 * NULL: then nothing is done. */
int key_use(const char *file, const char *address, void *socket, struct errmsg *e) MUSTCHECK;

#endif
