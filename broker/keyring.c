/* keyring.c - a directory of keys. */
#include "broker/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define OWN_NAME   "broker"
#define SETTLED_MS 1000 /* a directory can change twice within one tick of its clock */

struct keyring {
    char dir[PATH_MAX];
    struct key own;
    struct key *at; /* by public key */
    size_t n;
    struct timespec changed; /* of the directory, when it was read */
    int64_t read_ms;
};

static int path_in(char out[PATH_MAX], const char *dir, const char *name, const char *end,
                   struct errmsg *e)
{
    if (snprintf(out, PATH_MAX, "%s/%s%s", dir, name, end) < PATH_MAX) return ERR_OK;
    return err_set(e, ERR_ARG, "%s: the path is too long", dir);
}

/* --- read ------------------------------------------------------------------------------------- */

static int by_public(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->public_key, ((const struct key *)b)->public_key);
}

/* The name in front of ".pub"; false for other files. */
static bool member_of(const char *file, char name[KEY_NAME])
{
    size_t n = strlen(file);

    if (n < 5 || n - 4 >= KEY_NAME || strcmp(file + n - 4, ".pub")) return false;
    memcpy(name, file, n - 4);
    name[n - 4] = '\0';
    return key_name_is_good(name);
}

/* Y2 */
static bool read_member(struct key *k, const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct errmsg e;

    if (path_in(path, dir, name, ".pub", &e) || key_read(k, path, &e)) {
        log_warn("keys", "not taken: %s", e.text);
        return false;
    }
    if (k->role && !strcmp(k->name, name)) return true;
    log_warn("keys", "not taken: %s: it names %s, role %s", path, k->name, role_name(k->role));
    return false;
}

static int read_members(DIR *d, const char *dir, struct key **at, size_t *n)
{
    const struct dirent *f;
    char name[KEY_NAME];
    size_t cap = 0;

    while ((f = readdir(d))) {
        if (!member_of(f->d_name, name)) continue;
        if (*n == cap) {
            struct key *more = realloc(*at, (cap = cap ? 2 * cap : 16) * sizeof **at);

            if (!more) return ERR_NOMEM;
            *at = more;
        }
        *n += read_member(&(*at)[*n], dir, name);
    }
    return ERR_OK;
}

static void tell_changes(const struct keyring *was, const struct keyring *is)
{
    for (size_t i = 0; i < was->n; i++)
        if (!keyring_find(is, was->at[i].public_key))
            log_info("keys", "revoked name=%s", was->at[i].name);
    for (size_t i = 0; i < is->n; i++)
        if (!keyring_find(was, is->at[i].public_key))
            log_info("keys", "taken name=%s role=%s", is->at[i].name, role_name(is->at[i].role));
}

static int read_dir(struct keyring *k, int64_t wall_ms, struct errmsg *e)
{
    struct keyring was = *k;
    struct key *at = NULL;
    struct stat st = {0};
    size_t n = 0;
    DIR *d = opendir(k->dir);
    int rc = ERR_OK;

    if (!d && errno != ENOENT) return err_set(e, ERR_IO, "%s: %s", k->dir, strerror(errno));
    /* The time is taken first: what changes while we read is seen the next time. */
    if (d && fstat(dirfd(d), &st))
        rc = err_set(e, ERR_IO, "%s: %s", k->dir, strerror(errno));
    else if (d && (rc = read_members(d, k->dir, &at, &n)))
        err_set(e, rc, "out of memory");
    if (d) closedir(d);
    if (rc) {
        free(at);
        return rc;
    }
    if (n) qsort(at, n, sizeof *at, by_public);
    k->at = at;
    k->n = n;
    k->changed = st.st_mtim; /* Y3: of a directory that is gone it is 0 */
    k->read_ms = wall_ms;
    tell_changes(&was, k);
    free(was.at);
    return ERR_OK;
}

void keyring_refresh(struct keyring *k, int64_t wall_ms)
{
    int64_t changed_ms = k->changed.tv_sec * 1000 + k->changed.tv_nsec / 1000000;
    struct stat st = {0};
    struct errmsg e;

    if (stat(k->dir, &st) && errno != ENOENT) return;
    if (st.st_mtim.tv_sec == k->changed.tv_sec && st.st_mtim.tv_nsec == k->changed.tv_nsec &&
        k->read_ms - changed_ms > SETTLED_MS)
        return;
    if (read_dir(k, wall_ms, &e)) log_error("keys", "%s", e.text);
}

/* --- opened ----------------------------------------------------------------------------------- */

static int check_dir(const char *dir, struct errmsg *e)
{
    struct stat st;

    if (stat(dir, &st) && errno == ENOENT)
        return err_set(e, ERR_EMPTY, "%s: there are no keys; make one: nightmill keys make", dir);
    if (stat(dir, &st)) return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return err_set(e, ERR_ARG, "%s: not a directory", dir);
    if (st.st_mode & 077)
        return err_set(e, ERR_ARG, "%s: holds secrets, and others may open it: chmod 700 %s", dir,
                       dir);
    return ERR_OK;
}

int keyring_open(struct keyring **out, const char *dir, int64_t wall_ms, struct errmsg *e)
{
    struct keyring *k = calloc(1, sizeof *k);
    char path[PATH_MAX];
    int rc;

    *out = NULL;
    if (!k) return err_set(e, ERR_NOMEM, "out of memory");
    snprintf(k->dir, sizeof k->dir, "%s", dir);
    if ((rc = check_dir(dir, e))) goto out;
    if ((rc = path_in(path, dir, OWN_NAME, ".key", e))) goto out;
    if ((rc = key_read(&k->own, path, e))) goto out;
    if (!k->own.secret_key[0]) {
        rc = err_set(e, ERR_FORMAT, "%s: holds no secret key", path);
        goto out;
    }
    if ((rc = read_dir(k, wall_ms, e))) goto out;
    *out = k;
    k = NULL;
out:
    keyring_close(&k);
    return rc;
}

void keyring_close(struct keyring **k)
{
    if (!*k) return;
    free((*k)->at);
    free(*k);
    *k = NULL;
}

const struct key *keyring_own(const struct keyring *k)
{
    return &k->own;
}

const struct key *keyring_find(const struct keyring *k, const char *public_key)
{
    struct key wanted;

    if (!k->n) return NULL;
    snprintf(wanted.public_key, sizeof wanted.public_key, "%s", public_key);
    return bsearch(&wanted, k->at, k->n, sizeof *k->at, by_public);
}

const struct key *keyring_at(const struct keyring *k, size_t i)
{
    return i < k->n ? &k->at[i] : NULL;
}

/* --- changed ---------------------------------------------------------------------------------- */

/* The directory with the broker's pair in it. */
static int make_own(struct key *own, const char *dir, struct errmsg *e)
{
    char path[PATH_MAX];
    int rc;

    if (mkdir(dir, 0700) && errno != EEXIST)
        return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    if ((rc = check_dir(dir, e)) || (rc = path_in(path, dir, OWN_NAME, ".key", e))) return rc;
    if (access(path, F_OK)) {
        if ((rc = key_make(own, OWN_NAME, ROLE_NONE, e))) return rc;
        rc = key_write(own, path, e);
        if (rc && rc != ERR_EXISTS) return rc;
    }
    return key_read(own, path, e);
}

int keyring_add(const char *dir, const char *name, enum role role, char made[PATH_MAX],
                struct errmsg *e)
{
    char pub[PATH_MAX];
    struct key own, k, listed;
    int rc;

    if (!key_name_is_good(name) || !strcmp(name, OWN_NAME))
        return err_set(e, ERR_ARG, "'%s' cannot be a key's name", name);
    if ((rc = make_own(&own, dir, e))) return rc;
    if ((rc = path_in(made, dir, name, ".key", e))) return rc;
    if ((rc = path_in(pub, dir, name, ".pub", e))) return rc;
    if (!access(pub, F_OK))
        return err_set(e, ERR_EXISTS, "%s: there is a key of this name; revoke it first", name);
    if ((rc = key_make(&k, name, role, e))) return rc;
    listed = k;
    memset(listed.secret_key, 0, sizeof listed.secret_key);
    memcpy(k.broker_key, own.public_key, sizeof k.broker_key);
    if ((rc = key_write(&k, made, e))) return rc;
    if ((rc = key_write(&listed, pub, e))) unlink(made);
    return rc;
}

int keyring_revoke(const char *dir, const char *name, struct errmsg *e)
{
    char pub[PATH_MAX], own[PATH_MAX];
    int rc;

    if (!key_name_is_good(name)) return err_set(e, ERR_ARG, "'%s' cannot be a key's name", name);
    if ((rc = path_in(own, dir, name, ".key", e))) return rc;
    if ((rc = path_in(pub, dir, name, ".pub", e))) return rc;
    if (unlink(pub))
        return err_set(e, errno == ENOENT ? ERR_EMPTY : ERR_IO, "%s: %s", pub,
                       errno == ENOENT ? "there is no such key" : strerror(errno));
    if (strcmp(name, OWN_NAME)) unlink(own);
    return ERR_OK;
}
