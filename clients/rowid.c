/* rowid.c - the keys of one file's rows.
 *
 * An open table of 64-bit keys, in SHARDS parts by the key's top bits: only one part at a time is
 * written anew when it grows, so the peak is close to what is held.
 */
#include "clients/rowid.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define SHARD_BITS 8
#define SHARDS     (1u << SHARD_BITS)
#define FIRST_CAP  6

struct entry {
    uint64_t key;
    uint32_t line;  /* that took it, from 1; UINT32_MAX stands for more; 0: free */
    uint32_t count; /* the last number given to a repeat of this made id */
};

struct shard {
    struct entry *at;
    uint32_t cap, used;
};

struct rowid {
    struct shard shards[SHARDS];
};

int rowid_open(struct rowid **out)
{
    struct rowid *r = calloc(1, sizeof *r);

    *out = NULL;
    for (unsigned i = 0; r && i < SHARDS; i++) {
        r->shards[i].cap = FIRST_CAP;
        r->shards[i].at = calloc(FIRST_CAP, sizeof(struct entry));
        if (!r->shards[i].at) rowid_close(&r);
    }
    *out = r;
    return r ? ERR_OK : ERR_NOMEM;
}

void rowid_close(struct rowid **r)
{
    if (!*r) return;
    for (unsigned i = 0; i < SHARDS; i++)
        free((*r)->shards[i].at);
    free(*r);
    *r = NULL;
}

size_t rowid_memory(const struct rowid *r)
{
    size_t bytes = sizeof *r;

    for (unsigned i = 0; i < SHARDS; i++)
        bytes += r->shards[i].cap * sizeof(struct entry);
    return bytes;
}

/* The key's entry, or the free one where it belongs. */
static struct entry *place(const struct shard *s, uint64_t key)
{
    uint32_t i = (uint32_t)(((key << SHARD_BITS >> 32) * s->cap) >> 32);

    while (s->at[i].line && s->at[i].key != key)
        i = i + 1 < s->cap ? i + 1 : 0;
    return &s->at[i];
}

/* A quarter larger when seven eighths are full. */
static int make_room(struct shard *s)
{
    struct shard grown = {.cap = s->cap + s->cap / 4 + 1, .used = s->used};

    if (s->used + 1 <= s->cap - (s->cap + 7) / 8) return ERR_OK;
    grown.at = calloc(grown.cap, sizeof *grown.at);
    if (!grown.at) return ERR_NOMEM;
    for (uint32_t i = 0; i < s->cap; i++)
        if (s->at[i].line) *place(&grown, s->at[i].key) = s->at[i];
    free(s->at);
    *s = grown;
    return ERR_OK;
}

/* Finds the key or takes it; ERR_EXISTS when it was there. */
static int take(struct rowid *r, uint64_t key, int64_t line, struct entry **out)
{
    struct shard *s = &r->shards[key >> (64 - SHARD_BITS)];

    *out = place(s, key);
    if ((*out)->line) return ERR_EXISTS;
    if (make_room(s)) return ERR_NOMEM;
    *out = place(s, key);
    **out = (struct entry){key, line < UINT32_MAX ? (uint32_t)line : UINT32_MAX, 1};
    s->used++;
    return ERR_OK;
}

/* A made id "0123456789abcdef" is its own hash, so that it is found under the body's. */
static uint64_t key_of(const char *id, size_t len)
{
    uint64_t key = 0;

    if (len != 16) return hash64(id, len);
    for (size_t i = 0; i < len; i++) {
        const char *digit = memchr("0123456789abcdef", id[i], 16);

        if (!digit) return hash64(id, len);
        key = key << 4 | (unsigned char)(*digit <= '9' ? *digit - '0' : *digit - 'a' + 10);
    }
    return key;
}

int rowid_claim(struct rowid *r, const char *id, size_t len, int64_t line, int64_t *first_line)
{
    struct entry *e;
    int rc = take(r, key_of(id, len), line, &e);

    if (rc == ERR_EXISTS) *first_line = e->line;
    return rc;
}

int rowid_make(struct rowid *r, const char *body, size_t len, int64_t line, char out[ROWID_BYTES])
{
    uint64_t key = hash64(body, len);
    struct entry *e;
    uint32_t k;
    int rc;

    snprintf(out, ROWID_BYTES, "%016" PRIx64, key);
    rc = take(r, key, line, &e);
    if (rc != ERR_EXISTS) return rc;
    for (k = e->count; rc == ERR_EXISTS;) {
        int n = snprintf(out, ROWID_BYTES, "%016" PRIx64 "-%" PRIu32, key, ++k);

        rc = take(r, key_of(out, (size_t)n), line, &e);
    }
    if (!rc) place(&r->shards[key >> (64 - SHARD_BITS)], key)->count = k;
    return rc;
}

int rowid_line(struct rowid *r, int64_t line, char out[ROWID_BYTES])
{
    struct entry *e;
    int n = snprintf(out, ROWID_BYTES, "line-%" PRId64, line);
    int rc = take(r, key_of(out, (size_t)n), line, &e);

    for (uint32_t k = 2; rc == ERR_EXISTS; k++) {
        n = snprintf(out, ROWID_BYTES, "line-%" PRId64 "-%" PRIu32, line, k);
        rc = take(r, key_of(out, (size_t)n), line, &e);
    }
    return rc;
}
