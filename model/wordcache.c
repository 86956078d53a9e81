/* wordcache.c - the ids of words that came before. */
#include "model/wordcache.h"

#include <stdlib.h>
#include <string.h>

static uint64_t load(const char *s, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, s, n);
    return v;
}

/* Every byte counts: the words of 16 at both ends may overlap. */
static uint64_t hash_word(const char *s, size_t len)
{
    const uint64_t k = 0x9E3779B97F4A7C15u;
    uint64_t h;

    if (len < 8) {
        h = len < 4 ? load(s, 1) | load(s + len / 2, 1) << 8 | load(s + len - 1, 1) << 16
                    : load(s, 4) | load(s + len - 4, 4) << 32;
    } else {
        h = load(s, 8) * k ^ load(s + len - 8, 8);
        if (len > 16) h = (h ^ h >> 29) * k ^ load(s + 8, 8) ^ load(s + len - 16, 8) << 1;
    }
    h = (h ^ len) * k;
    return h ^ h >> 32;
}

void wordcache_fini(struct wordcache *c)
{
    free(c->entries);
    memset(c, 0, sizeof *c);
}

int wordcache_find(struct wordcache *c, const char *word, size_t len,
                   const struct wordcache_entry **hit)
{
    *hit = NULL;
    c->place = NULL;
    if (!len || len > WORDCACHE_TEXT) return ERR_OK;
    if (!c->entries) c->entries = calloc(WORDCACHE_ENTRIES, sizeof *c->entries);
    if (!c->entries) return ERR_NOMEM;
    c->place = &c->entries[hash_word(word, len) & (WORDCACHE_ENTRIES - 1)];
    if (c->place->len == len && !memcmp(c->place->text, word, len)) *hit = c->place;
    return ERR_OK;
}

void wordcache_keep(struct wordcache *c, const char *word, size_t len, const int32_t *ids, size_t n)
{
    if (!c->place || n > WORDCACHE_IDS) return;
    c->place->len = (uint8_t)len;
    c->place->n = (uint8_t)n;
    memcpy(c->place->text, word, len);
    memcpy(c->place->ids, ids, n * sizeof *ids);
}
