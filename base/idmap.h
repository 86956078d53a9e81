/* idmap.h - from a positive 64-bit id to a pointer.
 *
 * Open addressing, grows by itself, removal shifts back (no tombstones).
 * Ownership  the values are the caller's.
 */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap {
    struct idmap_slot {
        int64_t id; /* 0: free */
        void *value;
    } * slots;
    size_t cap; /* a power of two, or 0 */
    size_t n;
};

int idmap_put(struct idmap *m, int64_t id,
              void *value);                         /* 0 or ERR_NOMEM; an older value is replaced */
void *idmap_get(const struct idmap *m, int64_t id); /* NULL when it is not there */
void *idmap_remove(struct idmap *m, int64_t id);    /* what was there, or NULL */
void idmap_fini(struct idmap *m);

/* Every value once: start with *at = 0; NULL at the end.  The map must not change between calls. */
void *idmap_next(const struct idmap *m, size_t *at);

#endif
