/* wordcache.h - the ids of words that came before: text repeats itself.
 *
 * Direct-mapped: a word has one place, and the latest word there holds it.  Only words of at most
 * WORDCACHE_TEXT bytes and WORDCACHE_IDS ids are kept; an entry is one line of the processor's
 * cache.
 *
 * Threads    one owner.
 * Ownership  caller's storage: zero it, wordcache_fini it.  The first find takes the memory.
 */
#ifndef MODEL_WORDCACHE_H
#define MODEL_WORDCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WORDCACHE_TEXT    26
#define WORDCACHE_IDS     9
#define WORDCACHE_ENTRIES 8192 /* a power of two */

struct wordcache_entry {
    uint8_t len; /* 0: empty */
    uint8_t n;
    char text[WORDCACHE_TEXT];
    int32_t ids[WORDCACHE_IDS];
};
_Static_assert(sizeof(struct wordcache_entry) == 64, "one line of the processor's cache");

struct wordcache {
    struct wordcache_entry *entries;
    struct wordcache_entry *place; /* of the word that was looked for last; NULL: it is too long */
};
void wordcache_fini(struct wordcache *c);

/* *hit is NULL when the word is not here.  0 or ERR_NOMEM. */
int wordcache_find(struct wordcache *c, const char *word, size_t len,
                   const struct wordcache_entry **hit) MUSTCHECK;

/* Keeps the ids of the word that was looked for last. */
void wordcache_keep(struct wordcache *c, const char *word, size_t len, const int32_t *ids,
                    size_t n);

#endif
