/* hash.h - names for contents.
 *
 * BLAKE2b from libsodium, cut to 64 bits for row ids and kept at 128 bits (32 hex digits) for
 * models, whose names must not collide among all that exist.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HASH_HEX 33 /* 32 digits and a NUL */

uint64_t hash64(const void *data, size_t len);
void hash_hex(const void *data, size_t len, char out[HASH_HEX]);

/* A hash over parts: hash_part as often as wanted, then hash_done. */
struct hash {
    _Alignas(64) unsigned char state[384];
};
void hash_init(struct hash *h);
void hash_part(struct hash *h, const void *data, size_t len);
void hash_done(struct hash *h, char out[HASH_HEX]);

#endif
