/* cache.h - what a model's files took long to make, kept by somebody else.
 *
 * The model knows what to keep and under which name, and not where: the worker gives it two hands
 * (worker/context.c).  Everywhere a NULL cache is one that keeps nothing.
 *
 *   hash-H       the content hash of a file, H the hash of its path, size, mtime and inode
 *   tokenizer-H  a tokenizer's image, H the hash of what it was made of and by
 *
 * Ownership  a struct cache is borrowed; an entry is given back with cache_drop.
 * Errors     what cannot be kept or found is made again: no call fails for the cache's sake.
 *
 * CA1  a hash that was kept is that of the file, unless somebody changed the file and put size,
 * mtime and inode back.  So a file that changed less than CACHE_QUIET_MS ago is not kept: it could
 *      change once more within the same tick of its file system's clock.
 */
#ifndef MODEL_CACHE_H
#define MODEL_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/hash.h"

#define CACHE_NAME_BYTES 48 /* a-z, 0-9 and -, with the NUL */
#define CACHE_QUIET_MS   2000

struct cache_entry {
    const void *bytes; /* at a multiple of 64; NULL: none */
    size_t len;
    void *owner; /* the keeper's */
};

struct cache {
    void *self;
    const char *engine; /* version and commit: what made an image */
    bool (*find)(void *self, const char *name, struct cache_entry *out);
    void (*drop)(void *self, struct cache_entry *e);
    void (*keep)(void *self, const char *name, const void *bytes, size_t len);
};

bool cache_find(const struct cache *c, const char *name, struct cache_entry *out);
void cache_drop(const struct cache *c, struct cache_entry *e); /* also one that is not there */
void cache_keep(const struct cache *c, const char *name, const void *bytes, size_t len);

/* The content hash of a file, which is read only if it has to be.  ERR_IO with errno's text. */
int cache_hash_file(const struct cache *c, const char *path, char out[HASH_HEX],
                    struct errmsg *e) MUSTCHECK;

/* The name of what this engine made of something with this hash. */
void cache_name(const struct cache *c, const char *kind, const char *hash,
                char out[CACHE_NAME_BYTES]);

#endif
