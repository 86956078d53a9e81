/* prefix.h - which rows of a submit begin alike.
 *
 * A prompt's text is the role and the content of each of its messages, in order, or the prompt; as
 * spelled in the body, quotes included.  It is hashed at PREFIX_BYTES << k bytes, for as many k as
 * it is long enough for; each hash is a key.  Keys are counted in a table, and a row's group is its
 * longest key that was noted twice: so a group has at least two rows, and the same rows in the same
 * order give the same groups.
 *
 * The table is bounded: when it is full, keys that were noted once are forgotten, and all of them
 * when the others alone would keep it half full.
 *
 * Memory  11 * PREFIX_SLOTS bytes, and the longest prefix.
 * Errors  ERR_NOMEM.
 */
#ifndef CLIENTS_PREFIX_H
#define CLIENTS_PREFIX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "schema/endpoint.h"

#define PREFIX_BYTES 256
#define PREFIX_KEYS  8         /* the longest is PREFIX_BYTES << 7, 32 KiB */
#define PREFIX_SLOTS (1 << 18) /* a power of two */

struct prefix;

struct prefix_keys {
    uint64_t at[PREFIX_KEYS]; /* even, and not 0 */
    int n;
};

int prefix_open(struct prefix **out) MUSTCHECK;
void prefix_close(struct prefix **p);

/* The keys of a body that request_parse gave. */
void prefix_read(struct prefix *p, enum endpoint endpoint, const char *body, size_t len,
                 struct prefix_keys *keys);

void prefix_note(struct prefix *p, const struct prefix_keys *keys);

/* The row's group, over 0; 0: it shares its beginning with nobody. */
int64_t prefix_group(const struct prefix *p, const struct prefix_keys *keys);

/* Bytes of the longest key that was noted before; 0: none was. */
size_t prefix_known(const struct prefix *p, const struct prefix_keys *keys);

#endif
