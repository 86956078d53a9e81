/* hash.c - names for contents. */
#include "base/hash.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct hash),
               "struct hash holds libsodium's state");

uint64_t hash64(const void *data, size_t len)
{
    unsigned char d[16]; /* BLAKE2b gives 16 bytes at least */
    uint64_t h;

    crypto_generichash(d, sizeof d, data, len, NULL, 0);
    memcpy(&h, d, sizeof h);
    return h;
}

void hash_init(struct hash *h)
{
    crypto_generichash_init((crypto_generichash_state *)h->state, NULL, 0, 16);
}

void hash_part(struct hash *h, const void *data, size_t len)
{
    crypto_generichash_update((crypto_generichash_state *)h->state, data, len);
}

void hash_done(struct hash *h, char out[HASH_HEX])
{
    unsigned char d[16];

    crypto_generichash_final((crypto_generichash_state *)h->state, d, sizeof d);
    sodium_bin2hex(out, HASH_HEX, d, sizeof d);
}

void hash_hex(const void *data, size_t len, char out[HASH_HEX])
{
    struct hash h;

    hash_init(&h);
    hash_part(&h, data, len);
    hash_done(&h, out);
}
