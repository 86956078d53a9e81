/* context.c - what must be in place before the first token, kept on this node's disk. */
#include "worker/context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define MAGIC     "nightmill ctx 1"
#define DAY_MS    ((int64_t)24 * 3600 * 1000)
#define PART_TAIL ".XXXXXX"
#define TUNED     "tuned-"

/* Before the bytes.  Another layout is another MAGIC. */
struct entry {
    char magic[16];
    char name[CACHE_NAME_BYTES];
    uint64_t len; /* of the bytes */
    uint64_t zero[7];
};
_Static_assert(sizeof(struct entry) == 128, "the bytes stand at a multiple of 64");

struct context {
    char dir[PATH_MAX]; /* "": none */
    bool warned;        /* that nothing can be kept */
};

/* --- the directory ---------------------------------------------------------------------------- */

static int default_dir(char out[PATH_MAX])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;

    if (cache && cache[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/nightmill", cache);
    else if (home && home[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/.cache/nightmill", home);
    return n > 0 && n < PATH_MAX ? ERR_OK : ERR_ARG;
}

/* With its parents. */
static int make_dir(char *dir)
{
    for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool failed = mkdir(dir, 0700) && errno != EEXIST;
        *slash = '/';
        if (failed) return ERR_IO;
    }
    return mkdir(dir, 0700) && errno != EEXIST ? ERR_IO : ERR_OK;
}

static void warn_once(struct context *c, const char *what, const char *why)
{
    if (!c->warned)
        log_warn("context", "%s: %s; starts take longer, as nothing is kept", what, why);
    c->warned = true;
}

int context_open(struct context **out, const char *dir, struct errmsg *e)
{
    struct context *c = calloc(1, sizeof *c);
    int n;

    *out = c;
    if (!c) return err_set(e, ERR_NOMEM, "no memory for a context");
    if (!dir || !*dir) {
        if (default_dir(c->dir)) {
            warn_once(c, "no context directory", "neither HOME nor XDG_CACHE_HOME is a path");
            c->dir[0] = '\0';
            return ERR_OK;
        }
    } else if ((n = snprintf(c->dir, sizeof c->dir, "%s", dir)) >= (int)sizeof c->dir) {
        context_close(out);
        return err_set(e, ERR_ARG, "--context-dir: a path of %d bytes, not in [1, %d]", n,
                       (int)sizeof c->dir - 1);
    }
    if (make_dir(c->dir)) {
        warn_once(c, c->dir, strerror(errno));
        c->dir[0] = '\0';
    }
    return ERR_OK;
}

void context_close(struct context **c)
{
    free(*c);
    *c = NULL;
}

const char *context_dir(const struct context *c)
{
    return c->dir[0] ? c->dir : NULL;
}

/* --- finding ---------------------------------------------------------------------------------- */

static bool is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && (st->st_uid == geteuid() || st->st_uid == 0);
}

/* CX2 */
static bool is_whole(const struct entry *en, const char *name, size_t file_bytes)
{
    return !memcmp(en->magic, MAGIC, sizeof en->magic) &&
           !strncmp(en->name, name, sizeof en->name) && en->len == file_bytes - sizeof *en;
}

/* So that it counts as used; once a day is enough. */
static void touch(int fd, const struct stat *st)
{
    const int64_t age_ms = clock_wall_ms() - (int64_t)st->st_mtim.tv_sec * 1000;

    if (age_ms > DAY_MS && futimens(fd, NULL))
        log_debug("context", "an entry keeps its age: %s", strerror(errno));
}

static bool find(void *self, const char *name, struct cache_entry *out)
{
    const struct context *c = self;
    char path[PATH_MAX + CACHE_NAME_BYTES + 2];
    struct stat st;
    void *map = MAP_FAILED;
    int fd;

    if (!c->dir[0]) return false;
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    if (!fstat(fd, &st) && is_ours(&st) && st.st_size > (off_t)sizeof(struct entry))
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED && !is_whole(map, name, (size_t)st.st_size)) {
        log_info("context", "%s is damaged or not ours; it is made again", path);
        munmap(map, (size_t)st.st_size);
        map = MAP_FAILED;
    }
    if (map != MAP_FAILED) touch(fd, &st);
    close(fd);
    if (map == MAP_FAILED) return false;
    *out = (struct cache_entry){(char *)map + sizeof(struct entry),
                                (size_t)st.st_size - sizeof(struct entry), map};
    return true;
}

static void drop(void *self, struct cache_entry *e)
{
    (void)self;
    munmap(e->owner, e->len + sizeof(struct entry));
}

/* --- keeping ---------------------------------------------------------------------------------- */

static int write_all(int fd, const void *data, size_t n)
{
    const char *at = data;

    while (n) {
        const ssize_t done = write(fd, at, n);

        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return ERR_IO;
        at += done;
        n -= (size_t)done;
    }
    return ERR_OK;
}

/* Entries, and what was left half written, that nobody used for long. */
static void remove_old(const struct context *c)
{
    const int64_t now_ms = clock_wall_ms();
    DIR *dir = opendir(c->dir);
    const struct dirent *d;
    struct stat st;

    while (dir && (d = readdir(dir))) {
        if (strncmp(d->d_name, "hash-", 5) && strncmp(d->d_name, "tokenizer-", 10) &&
            strncmp(d->d_name, TUNED, strlen(TUNED)))
            continue;
        if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) || !is_ours(&st)) continue;
        if (now_ms - (int64_t)st.st_mtim.tv_sec * 1000 > CONTEXT_KEEP_DAYS * DAY_MS)
            unlinkat(dirfd(dir), d->d_name, 0);
    }
    if (dir) closedir(dir);
}

/* CX1: a crash leaves what has another name.  Nobody waits for the disk: a lost entry is made
 * again, and CX2 knows one that is too short. */
static void keep(void *self, const char *name, const void *bytes, size_t len)
{
    struct context *c = self;
    struct entry en = {.magic = MAGIC, .len = len};
    char path[PATH_MAX + CACHE_NAME_BYTES + 2], part[sizeof path + sizeof PART_TAIL];
    int fd, rc = ERR_IO;

    if (!c->dir[0] || !len || strlen(name) >= sizeof en.name) return;
    snprintf(en.name, sizeof en.name, "%s", name);
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    snprintf(part, sizeof part, "%s" PART_TAIL, path);
    fd = mkostemp(part, O_CLOEXEC);
    if (fd >= 0) {
        rc = write_all(fd, &en, sizeof en);
        if (!rc) rc = write_all(fd, bytes, len);
        if (!rc && rename(part, path)) rc = ERR_IO;
        if (rc) warn_once(c, part, strerror(errno));
        if (rc) unlink(part);
        close(fd);
    } else {
        warn_once(c, path, strerror(errno));
    }
    if (!rc) remove_old(c);
}

struct cache context_cache(struct context *c, const char *engine)
{
    return (struct cache){c, engine, find, drop, keep};
}

static size_t find_tuned(void *self, const char *name, void *out, size_t cap)
{
    char full[CACHE_NAME_BYTES];
    struct cache_entry entry;
    size_t n;

    if (snprintf(full, sizeof full, TUNED "%s", name) >= (int)sizeof full) return 0;
    if (!find(self, full, &entry)) return 0;
    n = entry.len <= cap ? entry.len : 0;
    memcpy(out, entry.bytes, n);
    drop(self, &entry);
    return n;
}

static void keep_tuned(void *self, const char *name, const void *bytes, size_t len)
{
    char full[CACHE_NAME_BYTES];

    if (snprintf(full, sizeof full, TUNED "%s", name) < (int)sizeof full)
        keep(self, full, bytes, len);
}

struct tuning context_tuning(struct context *c)
{
    return (struct tuning){c, find_tuned, keep_tuned};
}
