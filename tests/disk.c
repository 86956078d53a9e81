/* disk.c - a disk that loses its power, refuses a call or runs full. */
#include "tests/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/test.h"

#define MAX_NAMES   64
#define MAX_CHANGES 256
#define TRACKED     (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)

struct write {
    struct write *next;
    int64_t at;
    size_t len; /* 0: cut to `at` bytes */
    uint8_t data[];
};

struct inode {
    uint8_t *data; /* stored */
    size_t len, cap;
    struct write *first, **last; /* not yet */
    int64_t seen_len;            /* what the page cache shows */
    struct inode *next;          /* of all */
};

struct name {
    char path[512];
    struct inode *seen, *stored;
};

struct change { /* of a name, not yet stored: `at` is now inode, `from` (or -1) is no more */
    int at, from;
    struct inode *inode;
};

struct disk_file {
    sqlite3_file base;
    struct inode *inode; /* NULL: not followed */
    bool syncs_dir;      /* as SQLite's own: with the first sync of a new journal or log */
    sqlite3_file real[]; /* of the VFS below */
};

static struct {
    pthread_mutex_t lock;
    bool ready;
    sqlite3_vfs vfs, *below;
    struct name names[MAX_NAMES];
    int n_names, n_open;
    struct inode *inodes;
    struct change changes[MAX_CHANGES];
    int n_changes;
    uint64_t random;
    int64_t left, syncs_left, limit;
    enum disk_fault how;
    const char *failed;
    bool dead;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* SQLite's own VFS is at work: what it does to names has been counted. */
static _Thread_local bool below;

static uint64_t draw(void)
{
    uint64_t z = disk.random += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* --- what has reached the disk ---------------------------------------------------------------- */

static void store(struct inode *f, int64_t at, const uint8_t *data, size_t len)
{
    size_t end = (size_t)at + len;

    if (end > f->cap) {
        f->cap = end * 2;
        f->data = realloc(f->data, f->cap);
        ck_assert_ptr_nonnull(f->data);
    }
    if (end > f->len) {
        memset(f->data + f->len, 0, end - f->len);
        f->len = end;
    }
    memcpy(f->data + at, data, len);
}

/* keep: of 256 sectors, how many. */
static void store_write(struct inode *f, const struct write *w, unsigned keep)
{
    if (!w->len) {
        if (keep < 256 && draw() % 256 >= keep) return;
        if ((size_t)w->at < f->len) f->len = (size_t)w->at;
        return;
    }
    for (size_t k = 0; k < w->len;) {
        size_t n = DISK_SECTOR - (size_t)(w->at + (int64_t)k) % DISK_SECTOR;

        if (n > w->len - k) n = w->len - k;
        if (keep == 256 || draw() % 256 < keep) store(f, w->at + (int64_t)k, w->data + k, n);
        k += n;
    }
}

/* The writes that wait, whole, in part, or only the first of them, by keep and whole. */
static void store_all(struct inode *f, unsigned keep, int64_t whole)
{
    while (f->first) {
        struct write *w = f->first;

        f->first = w->next;
        store_write(f, w, whole-- > 0 ? 256 : keep);
        free(w);
    }
    f->last = &f->first;
}

static void add_write(struct inode *f, int64_t at, const void *data, size_t len)
{
    struct write *w = malloc(sizeof *w + len);

    ck_assert_ptr_nonnull(w);
    w->next = NULL;
    w->at = at;
    w->len = len;
    if (len) memcpy(w->data, data, len);
    *f->last = w;
    f->last = &w->next;
    f->seen_len = !len || at + (int64_t)len > f->seen_len ? at + (int64_t)len : f->seen_len;
}

/* What a cut leaves of the writes that wait: all, none, a beginning, or any of their sectors. */
static void store_some(struct inode *f)
{
    static const unsigned KEEP[] = {0, 0, 128, 256, 240, 16};
    int64_t n = 0;

    for (struct write *w = f->first; w; w = w->next)
        n++;
    store_all(f, KEEP[draw() % 6], draw() % 3 ? 0 : (int64_t)(draw() % (uint64_t)(n + 1)));
}

/* --- names ------------------------------------------------------------------------------------ */

static struct inode *inode_of_file(const char *path)
{
    struct inode *f = calloc(1, sizeof *f);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t block[65536];
    ssize_t n;

    ck_assert_ptr_nonnull(f);
    f->last = &f->first;
    f->next = disk.inodes;
    disk.inodes = f;
    while (fd >= 0 && (n = read(fd, block, sizeof block)) > 0)
        store(f, (int64_t)f->len, block, (size_t)n);
    if (fd >= 0) close(fd);
    f->seen_len = (int64_t)f->len;
    return f;
}

/* A name that was never seen is stored as the file system has it. */
static int name_at(const char *path)
{
    int i;

    for (i = 0; i < disk.n_names; i++)
        if (!strcmp(disk.names[i].path, path)) return i;
    ck_assert_int_lt(i, MAX_NAMES);
    memset(&disk.names[i], 0, sizeof disk.names[i]);
    snprintf(disk.names[i].path, sizeof disk.names[i].path, "%s", path);
    if (!access(path, F_OK)) disk.names[i].seen = disk.names[i].stored = inode_of_file(path);
    disk.n_names++;
    return i;
}

static void store_change(const struct change *c)
{
    disk.names[c->at].stored = c->inode;
    if (c->from >= 0) disk.names[c->from].stored = NULL;
}

static void store_names(void)
{
    for (int i = 0; i < disk.n_changes; i++)
        store_change(&disk.changes[i]);
    disk.n_changes = 0;
}

static void change_name(int at, struct inode *f, int from)
{
    disk.names[at].seen = f;
    if (from >= 0) disk.names[from].seen = NULL;
    ck_assert_int_lt(disk.n_changes, MAX_CHANGES);
    disk.changes[disk.n_changes++] = (struct change){at, from, f};
}

static bool is_named(const struct inode *f)
{
    for (int i = 0; i < disk.n_names; i++)
        if (disk.names[i].stored == f || disk.names[i].seen == f) return true;
    return false;
}

static void drop_unnamed(void)
{
    for (struct inode **at = &disk.inodes; *at;) {
        struct inode *f = *at;

        if (is_named(f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        store_all(f, 0, 0);
        free(f->data);
        free(f);
    }
}

/* --- failing ---------------------------------------------------------------------------------- */

/* Counts a call; true: it fails.  The lock is held. */
static bool refuses(const char *call)
{
    if (disk.dead) return true;
    if (!disk.left || --disk.left) return false;
    disk.failed = call;
    disk.dead = disk.how == DISK_DIES;
    return true;
}

static bool fails(const char *call)
{
    bool yes;

    pthread_mutex_lock(&disk.lock);
    yes = refuses(call);
    pthread_mutex_unlock(&disk.lock);
    return yes;
}

#define PASS(call, code)                                                                           \
    do {                                                                                           \
        if (fails(#call)) return (code);                                                           \
    } while (0)

/* --- a file ----------------------------------------------------------------------------------- */

static struct disk_file *own(sqlite3_file *f)
{
    return (struct disk_file *)f;
}

static sqlite3_file *real(sqlite3_file *f)
{
    return own(f)->real;
}

static int file_close(sqlite3_file *f)
{
    pthread_mutex_lock(&disk.lock);
    disk.n_open--;
    pthread_mutex_unlock(&disk.lock);
    return real(f)->pMethods->xClose(real(f));
}

static int file_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    PASS(xRead, SQLITE_IOERR_READ);
    return real(f)->pMethods->xRead(real(f), out, n, at);
}

static bool has_room(const struct inode *f, int64_t end)
{
    int64_t used = 0;

    if (!disk.limit || end <= f->seen_len) return true;
    for (int i = 0; i < disk.n_names; i++)
        if (disk.names[i].seen) used += disk.names[i].seen->seen_len;
    return used + end - f->seen_len <= disk.limit;
}

static int file_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    struct inode *in = own(f)->inode;
    int rc = SQLITE_OK;

    pthread_mutex_lock(&disk.lock);
    if (refuses("xWrite"))
        rc = SQLITE_IOERR_WRITE;
    else if (in && !has_room(in, at + n))
        rc = SQLITE_FULL;
    else if (in)
        add_write(in, at, data, (size_t)n);
    if (!rc) rc = real(f)->pMethods->xWrite(real(f), data, n, at);
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 len)
{
    int rc = SQLITE_IOERR_TRUNCATE;

    pthread_mutex_lock(&disk.lock);
    if (!refuses("xTruncate")) {
        if (own(f)->inode) add_write(own(f)->inode, len, NULL, 0);
        rc = real(f)->pMethods->xTruncate(real(f), len);
    }
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int file_sync(sqlite3_file *f, int flags)
{
    struct inode *in = own(f)->inode;
    int rc = SQLITE_OK;

    (void)flags;
    pthread_mutex_lock(&disk.lock);
    if (!disk.dead && disk.syncs_left && !--disk.syncs_left) {
        disk.failed = "xSync";
        rc = SQLITE_IOERR_FSYNC;
    }
    if (refuses("xSync")) rc = SQLITE_IOERR_FSYNC;
    if (in && !rc) {
        store_all(in, 256, 0);
        if (own(f)->syncs_dir) store_names();
        own(f)->syncs_dir = false;
    } else if (in && !disk.dead) {
        store_some(in); /* the rest is never written again */
    }
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *out)
{
    PASS(xFileSize, SQLITE_IOERR_FSTAT);
    return real(f)->pMethods->xFileSize(real(f), out);
}

static int file_lock(sqlite3_file *f, int level)
{
    PASS(xLock, SQLITE_IOERR_LOCK);
    return real(f)->pMethods->xLock(real(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xUnlock(real(f), level);
}

static int file_reserved(sqlite3_file *f, int *out)
{
    PASS(xCheckReservedLock, SQLITE_IOERR_CHECKRESERVEDLOCK);
    return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

/* What SQLite asks for without having to get it does not count. */
static int file_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int file_kind(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    PASS(xShmMap, SQLITE_IOERR_SHMMAP);
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    if (!(flags & SQLITE_SHM_UNLOCK)) PASS(xShmLock, SQLITE_IOERR_SHMLOCK);
    return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int file_shm_unmap(sqlite3_file *f, int delete)
{
    int rc;

    below = true;
    rc = real(f)->pMethods->xShmUnmap(real(f), delete);
    below = false;
    return rc;
}

static const sqlite3_io_methods METHODS = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_kind,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* --- the file system -------------------------------------------------------------------------- */

static int disk_open_file(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *got)
{
    int at = -1, rc = SQLITE_CANTOPEN;

    (void)v;
    memset(f, 0, sizeof(struct disk_file));
    pthread_mutex_lock(&disk.lock);
    if (!refuses("xOpen")) {
        if (path && (flags & TRACKED)) at = name_at(path);
        rc = disk.below->xOpen(disk.below, path, real(f), flags, got);
    }
    if (!rc) {
        f->pMethods = &METHODS;
        disk.n_open++;
    }
    if (!rc && at >= 0) {
        if (!disk.names[at].seen) change_name(at, inode_of_file(path), -1);
        own(f)->inode = disk.names[at].seen;
        own(f)->syncs_dir = flags & SQLITE_OPEN_CREATE && !(flags & SQLITE_OPEN_MAIN_DB);
    }
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int disk_delete(sqlite3_vfs *v, const char *path, int sync_dir)
{
    int at, rc = SQLITE_IOERR_DELETE;

    (void)v;
    pthread_mutex_lock(&disk.lock);
    if (!refuses("xDelete")) {
        at = name_at(path);
        below = true;
        rc = disk.below->xDelete(disk.below, path, 0);
        below = false;
        if (!rc) change_name(at, NULL, -1);
        if (!rc && sync_dir) store_names();
    }
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int disk_access(sqlite3_vfs *v, const char *path, int flags, int *out)
{
    (void)v;
    PASS(xAccess, SQLITE_IOERR_ACCESS);
    return disk.below->xAccess(disk.below, path, flags, out);
}

void disk_open(uint64_t seed)
{
    pthread_mutex_lock(&disk.lock);
    if (!disk.ready) {
        disk.below = sqlite3_vfs_find(NULL);
        disk.vfs = *disk.below; /* names, time and randomness are the one's below */
        disk.vfs.iVersion = 2;
        disk.vfs.zName = "disk";
        disk.vfs.szOsFile = (int)sizeof(struct disk_file) + disk.below->szOsFile;
        disk.vfs.xOpen = disk_open_file;
        disk.vfs.xDelete = disk_delete;
        disk.vfs.xAccess = disk_access;
        ck_assert_int_eq(sqlite3_vfs_register(&disk.vfs, 1), SQLITE_OK);
        disk.ready = true;
    }
    if (!disk.n_open) {
        disk.n_names = disk.n_changes = 0;
        drop_unnamed();
    }
    disk.dead = false;
    disk.left = disk.syncs_left = disk.limit = 0;
    disk.random = seed;
    pthread_mutex_unlock(&disk.lock);
}

void disk_fail_at(int64_t n, enum disk_fault how)
{
    pthread_mutex_lock(&disk.lock);
    disk.left = n;
    disk.how = how;
    disk.failed = NULL;
    pthread_mutex_unlock(&disk.lock);
}

void disk_fail_sync_at(int64_t n)
{
    pthread_mutex_lock(&disk.lock);
    disk.syncs_left = n;
    disk.failed = NULL;
    pthread_mutex_unlock(&disk.lock);
}

const char *disk_failed_call(void)
{
    const char *call;

    pthread_mutex_lock(&disk.lock);
    call = disk.failed;
    pthread_mutex_unlock(&disk.lock);
    return call ? call : "";
}

bool disk_has_failed(void)
{
    return disk_failed_call()[0];
}

bool disk_is_dead(void)
{
    bool dead;

    pthread_mutex_lock(&disk.lock);
    dead = disk.dead;
    pthread_mutex_unlock(&disk.lock);
    return dead;
}

void disk_limit(int64_t bytes)
{
    pthread_mutex_lock(&disk.lock);
    disk.limit = bytes;
    pthread_mutex_unlock(&disk.lock);
}

/* --- the cut ---------------------------------------------------------------------------------- */

static void write_back(const struct name *n)
{
    int fd;

    if (!n->stored) {
        syscall(SYS_unlink, n->path);
        return;
    }
    fd = open(n->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, n->stored->data, n->stored->len), (ssize_t)n->stored->len);
    close(fd);
}

void disk_cut(void)
{
    char shm[600];

    pthread_mutex_lock(&disk.lock);
    ck_assert_int_eq(disk.n_open, 0);
    for (int i = 0; i < disk.n_changes; i++)
        if (draw() % 2) store_change(&disk.changes[i]);
    disk.n_changes = 0;
    for (int i = 0; i < disk.n_names; i++) {
        struct inode *f = disk.names[i].stored;

        if (f) store_some(f);
        if (f) f->seen_len = (int64_t)f->len;
        disk.names[i].seen = f;
        write_back(&disk.names[i]);
        snprintf(shm, sizeof shm, "%s-shm", disk.names[i].path);
        syscall(SYS_unlink, shm);
    }
    drop_unnamed();
    disk.dead = false;
    disk.left = disk.syncs_left = 0;
    disk.failed = NULL;
    pthread_mutex_unlock(&disk.lock);
}

/* --- names, without SQLite -------------------------------------------------------------------- */

static int refused(void)
{
    errno = EIO;
    return -1;
}

int disk_rename(const char *from, const char *to)
{
    int rc;

    if (below) return (int)syscall(SYS_rename, from, to);
    pthread_mutex_lock(&disk.lock);
    if (!disk.ready) {
        rc = (int)syscall(SYS_rename, from, to);
    } else if (refuses("rename")) {
        rc = refused();
    } else {
        int a = name_at(from), b = name_at(to);

        rc = (int)syscall(SYS_rename, from, to);
        if (!rc) change_name(b, disk.names[a].seen, a);
    }
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

int disk_unlink(const char *path)
{
    int rc;

    if (below) return (int)syscall(SYS_unlink, path);
    pthread_mutex_lock(&disk.lock);
    if (!disk.ready) {
        rc = (int)syscall(SYS_unlink, path);
    } else if (refuses("unlink")) {
        rc = refused();
    } else {
        int at = name_at(path);

        rc = (int)syscall(SYS_unlink, path);
        if (!rc && disk.names[at].seen) change_name(at, NULL, -1);
    }
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

int disk_sync_fd(int fd)
{
    struct stat st;
    int rc = 0;

    pthread_mutex_lock(&disk.lock);
    if (!disk.ready)
        rc = (int)syscall(SYS_fsync, fd);
    else if (refuses("fsync"))
        rc = refused();
    else if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
        store_names();
    pthread_mutex_unlock(&disk.lock);
    return rc;
}
