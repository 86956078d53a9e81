/* dbfile.c - the queue file as a file. */
#include "broker/dbfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "schema/sql.h"

#include <sodium.h>

#define HEADER_BYTES   100 /* of a SQLite file */
#define AT_PAGE_SIZE   16  /* two bytes; 1 means 65536 */
#define AT_USER        60
#define AT_APPLICATION 68
#define SOCKET_MAX     100 /* sun_path holds 108 */
#define TEXT_(x)       #x
#define TEXT(x)        TEXT_(x)

int dbfile_error(sqlite3 *db, struct errmsg *e, const char *what)
{
    int rc = ERR_DB;

    switch (sqlite3_errcode(db)) {
    case SQLITE_FULL: rc = ERR_FULL; break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: rc = ERR_FORMAT; break;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE: rc = ERR_ARG; break; /* what was written is at fault, not the file */
    default: break;
    }
    return err_set(e, rc, "%s: %s", what, sqlite3_errmsg(db));
}

static int exec(sqlite3 *db, const char *sql, struct errmsg *e)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK) return ERR_OK;
    return dbfile_error(db, e, "database");
}

static int first_int(sqlite3 *db, const char *sql, int *out, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int rc = ERR_OK;

    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
        rc = dbfile_error(db, e, "database");
    else
        *out = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return rc;
}

/* --- recognised ------------------------------------------------------------------------------- */

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Is there a log or a journal with something in it? */
static bool has_log(const char *path)
{
    static const char *const ENDS[] = {"-wal", "-journal"};
    char name[PATH_MAX];
    struct stat st;

    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++)
        if ((size_t)snprintf(name, sizeof name, "%s%s", path, ENDS[i]) < sizeof name &&
            !stat(name, &st) && st.st_size > 0)
            return true;
    return false;
}

/* SQLite takes a last page that was cut for a whole one.  With a log it may be written anew. */
static int check_size(const char *path, const unsigned char *header, struct errmsg *e)
{
    int64_t page = header[AT_PAGE_SIZE] << 8 | header[AT_PAGE_SIZE + 1];
    struct stat st;

    if (stat(path, &st)) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (page == 1) page = 65536;
    if (page && st.st_size % page == 0) return ERR_OK;
    if (page && has_log(path)) return ERR_OK;
    return err_set(e, ERR_FORMAT,
                   "%s: damaged: %lld bytes are no whole number of its %lld-byte pages", path,
                   (long long)st.st_size, (long long)page);
}

/* D6: through SQLite, which knows of the locks that this process has on the file; a descriptor of
 * our own would take them all away when it is closed (POSIX). */
static int read_header(const char *path, unsigned char h[HEADER_BYTES], struct errmsg *e)
{
    sqlite3 *db = NULL;
    sqlite3_file *f = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK) rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &f);
    if (rc == SQLITE_OK && !(f && f->pMethods)) rc = SQLITE_CANTOPEN;
    if (rc == SQLITE_OK) rc = f->pMethods->xRead(f, h, HEADER_BYTES, 0);
    sqlite3_close(db);
    if (rc == SQLITE_IOERR_SHORT_READ) return ERR_OK; /* the rest is zeros */
    return rc == SQLITE_OK ? ERR_OK : err_set(e, ERR_IO, "%s: %s", path, sqlite3_errstr(rc));
}

/* D1.  ERR_EMPTY when there is no file, or one without a byte. */
static int check_header(const char *path, struct errmsg *e)
{
    unsigned char h[HEADER_BYTES] = {0};
    struct stat st;
    int rc;

    if (stat(path, &st) && errno == ENOENT)
        return err_set(e, ERR_EMPTY, "%s: no such database", path);
    if (access(path, R_OK)) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return err_set(e, ERR_IO, "%s: %s", path, strerror(EISDIR));
    if (!st.st_size) return err_set(e, ERR_EMPTY, "%s: an empty file", path);
    if ((rc = read_header(path, h, e))) return rc;
    if (st.st_size < HEADER_BYTES || memcmp(h, "SQLite format 3", 16))
        return err_set(e, ERR_FORMAT, "%s: not a database; left untouched", path);
    if (be32(h + AT_APPLICATION) != SCHEMA_APPLICATION_ID)
        return err_set(e, ERR_FORMAT,
                       "%s: a database of another program (application id 0x%08x); left untouched",
                       path, be32(h + AT_APPLICATION));
    if (be32(h + AT_USER) > SCHEMA_VERSION)
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: written by a newer nightmill (schema %u, this one knows %d); left untouched", path,
            be32(h + AT_USER), SCHEMA_VERSION);
    return check_size(path, h, e);
}

/* The directory part of a path. */
static void parent_of(const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');

    snprintf(out, cap, "%.*s", slash ? (int)(slash - path + (slash == path)) : 1,
             slash ? path : ".");
}

static int check_filesystem(const char *path, struct errmsg *e)
{
    static const struct {
        long magic;
        const char *name;
    } BAD[] = {{0x6969, "NFS"}, {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"}};
    char dir[PATH_MAX];
    struct statfs fs;

    parent_of(path, dir, sizeof dir);
    if (statfs(dir, &fs)) return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        if ((long)fs.f_type == BAD[i].magic)
            return err_set(
                e, ERR_UNSUPPORTED,
                "%s: on %s, whose locks cannot be trusted; use a local disk, or --force-network-fs",
                path, BAD[i].name);
    return ERR_OK;
}

int dbfile_lock(int *fd, const char *path, struct errmsg *e)
{
    char name[PATH_MAX];

    *fd = -1;
    if ((size_t)snprintf(name, sizeof name, "%s.lock", path) >= sizeof name)
        return err_set(e, ERR_ARG, "database path is longer than %d bytes", PATH_MAX);
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) return err_set(e, ERR_IO, "%s: %s", name, strerror(errno));
    if (!flock(*fd, LOCK_EX | LOCK_NB)) return ERR_OK;
    close(*fd);
    *fd = -1;
    return err_set(e, ERR_EXISTS, "%s: another broker serves this database", path);
}

/* --- made and migrated ------------------------------------------------------------------------ */

static int copy_before(sqlite3 *db, const char *path, int version, struct errmsg *e)
{
    char sql[PATH_MAX + 64], copy[PATH_MAX];
    struct statvfs fs;
    struct stat st;
    int fd;

    if (stat(path, &st) || statvfs(path, &fs))
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if ((uint64_t)fs.f_bavail * fs.f_frsize < 3 * (uint64_t)st.st_size)
        return err_set(e, ERR_FULL, "%s: migration needs %lld MB free, there are %lld", path,
                       (long long)(3 * st.st_size >> 20),
                       (long long)((uint64_t)fs.f_bavail * fs.f_frsize >> 20));
    snprintf(copy, sizeof copy, "%s.v%d.bak", path, version);
    unlink(copy); /* of a migration that did not end */
    /* Made first, as readable as the file: SQLite's own would be open to everybody. */
    fd = open(copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", copy, strerror(errno));
    close(fd);
    sqlite3_snprintf(sizeof sql, sql, "VACUUM INTO %Q", copy);
    return exec(db, sql, e);
}

int dbfile_migrate(sqlite3 *db, const char *path, const char *const *migrations, int n,
                   const char *views, struct errmsg *e)
{
    char sql[64];
    int version = 0, rc;

    if ((rc = first_int(db, "PRAGMA user_version", &version, e))) return rc;
    if (version > n)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: written by a newer nightmill (schema %d, this one knows %d)", path,
                       version, n);
    if (version == n) return ERR_OK;
    if (version > 0 && (rc = copy_before(db, path, version, e))) return rc;
    for (; version < n; version++) {
        snprintf(sql, sizeof sql, "PRAGMA user_version=%d", version + 1);
        if ((rc = exec(db, "BEGIN IMMEDIATE", e))) return rc;
        rc = exec(db, migrations[version], e);
        if (!rc && version + 1 == n) rc = exec(db, views, e);
        if (!rc) rc = exec(db, sql, e);
        if (!rc) rc = exec(db, "COMMIT", e);
        if (rc) {
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
            return rc;
        }
    }
    return ERR_OK;
}

/* A random name for the file, so that an answer never lands on another file's row. */
static int put_identity(sqlite3 *db, struct errmsg *e)
{
    unsigned char r[16];
    char hex[33], sql[256];

    randombytes_buf(r, sizeof r);
    sodium_bin2hex(hex, sizeof hex, r, sizeof r);
    snprintf(sql, sizeof sql,
             "INSERT INTO meta VALUES "
             "('db_uuid','%s'),('epoch',0),('created_ms',%lld),('last_version','%s')",
             hex, (long long)clock_wall_ms(), NIGHTMILL_VERSION);
    return exec(db, sql, e);
}

/* The names in the file's directory are on disk. */
static int sync_names(const char *path, struct errmsg *e)
{
    char dir[PATH_MAX];
    int fd, rc = ERR_OK;

    parent_of(path, dir, sizeof dir);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd)) rc = err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    if (fd >= 0) close(fd);
    return rc;
}

/* A log whose database was deleted: SQLite would play it into the new one. */
static int drop_orphans(const char *path, struct errmsg *e)
{
    static const char *const ENDS[] = {"-wal", "-shm", "-journal"};
    char name[PATH_MAX];

    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
        if ((size_t)snprintf(name, sizeof name, "%s%s", path, ENDS[i]) >= sizeof name)
            return err_set(e, ERR_ARG, "database path is longer than %d bytes", PATH_MAX);
        if (unlink(name) && errno != ENOENT)
            return err_set(e, ERR_IO, "%s: %s", name, strerror(errno));
    }
    return sync_names(path, e); /* or a power cut could bring the log back beside the new file */
}

/* D2 */
static int make_file(const char *path, struct errmsg *e)
{
    char name[PATH_MAX];
    sqlite3 *db = NULL;
    int rc, fd;

    if ((size_t)snprintf(name, sizeof name, "%s.new", path) >= sizeof name)
        return err_set(e, ERR_ARG, "database path is longer than %d bytes", PATH_MAX);
    unlink(name); /* of a start that did not end */
    if ((rc = drop_orphans(name, e))) return rc;
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", name, strerror(errno));
    close(fd);
    if (sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        rc = dbfile_error(db, e, name);
        goto out;
    }
    if ((rc = exec(
             db,
             "PRAGMA page_size=" TEXT(
                 DBFILE_PAGE_BYTES) "; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA synchronous=FULL;"
                                    "PRAGMA application_id=" TEXT(SCHEMA_APPLICATION_ID),
             e)))
        goto out;
    if ((rc = dbfile_migrate(db, name, SCHEMA_MIGRATIONS, SCHEMA_VERSION, schema_views(), e)))
        goto out;
    if ((rc = put_identity(db, e))) goto out;
    /* Now, not under its own name: a crash meanwhile would leave a journal that no reader can play
     * back. */
    if ((rc = exec(db, "PRAGMA journal_mode=WAL", e))) goto out;
    if (sqlite3_close(db) != SQLITE_OK) {
        rc = dbfile_error(db, e, name);
        goto out;
    }
    db = NULL;
    if ((rc = drop_orphans(path, e))) goto out;
    if (rename(name, path))
        rc = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    else
        return sync_names(path, e);
out:
    sqlite3_close(db);
    if (rc) unlink(name);
    return rc;
}

/* D1 again: the version may be newer in the log than in the header.  The log stays as it is until
 * the file is known to be ours. */
static int check_version(sqlite3 *db, const char *path, struct errmsg *e)
{
    int version = 0, rc;

    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if ((rc = first_int(db, "PRAGMA user_version", &version, e))) return rc;
    if (version > SCHEMA_VERSION)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: written by a newer nightmill (schema %d, this one knows %d)", path,
                       version, SCHEMA_VERSION);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return ERR_OK;
}

/* D5 */
static int renew_views(sqlite3 *db, const char *views, struct errmsg *e)
{
    char hex[HASH_HEX], sql[160];
    int same = 0, rc;

    hash_hex(views, strlen(views), hex);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM meta WHERE key='views' AND value='%s'", hex);
    if ((rc = first_int(db, sql, &same, e)) || same) return rc;
    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO meta VALUES('views','%s')", hex);
    if ((rc = exec(db, "BEGIN IMMEDIATE", e))) return rc;
    rc = exec(db, views, e);
    if (!rc) rc = exec(db, sql, e);
    if (!rc) rc = exec(db, "COMMIT", e);
    if (rc) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* --- opened ----------------------------------------------------------------------------------- */

int dbfile_open_write(sqlite3 **out, const char *path, const struct dbfile_opts *o,
                      struct errmsg *e)
{
    sqlite3 *db = NULL;
    int rc;

    *out = NULL;
    if (sodium_init() < 0) return err_set(e, ERR_IO, "libsodium cannot start");
    if (!o->force_network_fs && (rc = check_filesystem(path, e))) return rc;
    rc = check_header(path, e);
    if (rc == ERR_EMPTY) rc = make_file(path, e);
    if (rc) return rc;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        rc = dbfile_error(db, e, path);
        goto out;
    }
    sqlite3_busy_timeout(db, DBFILE_BUSY_MS);
    if ((rc = check_version(db, path, e))) goto out;
    /* This connection alone checkpoints, between commits; mmap would hide an I/O error behind a
     * signal. */
    rc = exec(db, o->sync_normal ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL", e);
    if (!rc)
        rc = exec(db,
                  "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"
                  "PRAGMA journal_size_limit=" TEXT(
                      DBFILE_LOG_BYTES) ";"
                                        "PRAGMA foreign_keys=ON; PRAGMA cache_size=-65536; PRAGMA "
                                        "temp_store=MEMORY",
                  e);
    if (!rc) rc = dbfile_migrate(db, path, SCHEMA_MIGRATIONS, SCHEMA_VERSION, schema_views(), e);
    if (!rc) rc = renew_views(db, schema_views(), e);
    if (rc) goto out;
    *out = db;
    db = NULL;
out:
    sqlite3_close(db);
    return rc;
}

int dbfile_open_read(sqlite3 **out, const char *path, struct errmsg *e)
{
    sqlite3 *db = NULL;
    int rc;

    *out = NULL;
    if ((rc = check_header(path, e))) return rc;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        rc = dbfile_error(db, e, path);
        sqlite3_close(db);
        return rc;
    }
    sqlite3_busy_timeout(db, DBFILE_BUSY_MS);
    *out = db;
    return ERR_OK;
}

int dbfile_address(const char *path, char *out, size_t cap, struct errmsg *e)
{
    char real[PATH_MAX], dir[PATH_MAX], hex[HASH_HEX];
    const char *run = getenv("XDG_RUNTIME_DIR"), *slash = strrchr(path, '/');
    int n;

    parent_of(path, dir, sizeof dir);
    if (!realpath(dir, real)) return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    n = snprintf(out, cap, "ipc://%s/%s.sock", strcmp(real, "/") ? real : "",
                 slash ? slash + 1 : path);
    if (n > 0 && n < SOCKET_MAX && (size_t)n < cap) return ERR_OK;
    strncat(real, "/", sizeof real - strlen(real) - 1);
    strncat(real, slash ? slash + 1 : path, sizeof real - strlen(real) - 1);
    hash_hex(real, strlen(real), hex);
    n = snprintf(out, cap, "ipc://%s/nightmill-%.16s.sock", run && *run ? run : "/tmp", hex);
    if (n > 0 && n < SOCKET_MAX + 6 && (size_t)n < cap) return ERR_OK;
    return err_set(e, ERR_ARG, "%s: no room for a socket name of %d bytes", run ? run : "/tmp", n);
}
