/* cache.c - what a model's files took long to make, kept by somebody else. */
#include "model/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define READ_BYTES ((size_t)1 << 20)

/* What a file's hash is kept as: the hash, and one of it and of what it was computed for. */
struct kept_hash {
    char hash[HASH_HEX];
    char check[HASH_HEX];
};

bool cache_find(const struct cache *c, const char *name, struct cache_entry *out)
{
    *out = (struct cache_entry){0};
    return c && c->find(c->self, name, out);
}

void cache_drop(const struct cache *c, struct cache_entry *e)
{
    if (c && e->bytes) c->drop(c->self, e);
    *e = (struct cache_entry){0};
}

void cache_keep(const struct cache *c, const char *name, const void *bytes, size_t len)
{
    if (c) c->keep(c->self, name, bytes, len);
}

void cache_name(const struct cache *c, const char *kind, const char *hash,
                char out[CACHE_NAME_BYTES])
{
    char made_of[512], hex[HASH_HEX];
    const int n = snprintf(made_of, sizeof made_of, "%s %s", hash, c ? c->engine : "");

    hash_hex(made_of, (size_t)n < sizeof made_of ? (size_t)n : sizeof made_of - 1, hex);
    snprintf(out, CACHE_NAME_BYTES, "%s-%s", kind, hex);
}

static int hash_bytes(int fd, const char *path, char out[HASH_HEX], struct errmsg *e)
{
    char *part = malloc(READ_BYTES);
    struct hash h;
    ssize_t n = 0;
    int rc = ERR_OK;

    if (!part) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    hash_init(&h);
    while ((n = read(fd, part, READ_BYTES)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0) hash_part(&h, part, (size_t)n);
    if (n < 0) rc = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    hash_done(&h, out);
    free(part);
    return rc;
}

/* What must not have changed. */
static void describe(const struct stat *st, const char *path, char of[HASH_HEX])
{
    char real[PATH_MAX], text[PATH_MAX + 128];
    const int n =
        snprintf(text, sizeof text, "%lld %lld.%09ld %llu %llu %s", (long long)st->st_size,
                 (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (unsigned long long)st->st_ino,
                 (unsigned long long)st->st_dev, realpath(path, real) ? real : path);

    hash_hex(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, of);
}

static bool is_quiet(const struct stat *st)
{
    const int64_t changed_ms =
        (int64_t)st->st_mtim.tv_sec * 1000 + (int64_t)st->st_mtim.tv_nsec / 1000000;

    return clock_wall_ms() - changed_ms >= CACHE_QUIET_MS;
}

static void sign(struct kept_hash *k, const char *of)
{
    char both[2 * HASH_HEX];

    memcpy(both, k->hash, HASH_HEX);
    memcpy(both + HASH_HEX, of, HASH_HEX);
    hash_hex(both, sizeof both, k->check);
}

static bool find_hash(const struct cache *c, const char *name, const char *of, char out[HASH_HEX])
{
    struct cache_entry entry;
    struct kept_hash kept, again;
    bool found = cache_find(c, name, &entry) && entry.len == sizeof kept;

    if (found) {
        memcpy(&kept, entry.bytes, sizeof kept);
        again = kept;
        sign(&again, of);
        found = !memcmp(&kept, &again, sizeof kept);
    }
    if (found) memcpy(out, kept.hash, HASH_HEX);
    cache_drop(c, &entry);
    return found;
}

int cache_hash_file(const struct cache *c, const char *path, char out[HASH_HEX], struct errmsg *e)
{
    char name[CACHE_NAME_BYTES];
    char of[HASH_HEX];
    struct kept_hash kept;
    struct stat st;
    int rc = ERR_IO, fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st)) {
        err_set(e, rc, "%s: %s", path, strerror(errno));
        goto out;
    }
    describe(&st, path, of);
    snprintf(name, sizeof name, "hash-%s", of);
    rc = ERR_OK;
    if (find_hash(c, name, of, out)) goto out;
    rc = hash_bytes(fd, path, out, e);
    if (rc || !is_quiet(&st)) goto out;
    memcpy(kept.hash, out, HASH_HEX);
    sign(&kept, of);
    cache_keep(c, name, &kept, sizeof kept);
out:
    if (fd >= 0) close(fd);
    return rc;
}
