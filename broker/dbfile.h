/* dbfile.h - the queue file as a file: made, recognised, locked, migrated, opened.
 *
 * Ownership  the caller closes what it got with sqlite3_close; a lock is given back with close(2).
 * Errors     ERR_FORMAT: no database, not ours, or damaged (the file is untouched);
 * ERR_UNSUPPORTED: from a newer version, or on a network file system; ERR_EXISTS: another broker
 * holds it; ERR_EMPTY: there is no such file (readers); ERR_FULL: no room to migrate; ERR_DB,
 * ERR_IO otherwise.
 *
 * D1  a file that is not ours, or newer, is not written to: its header is read before a
 *     connection reads it.
 * D2  a file appears whole (made under another name, then renamed), so a crash while making it
 *     leaves none.
 * D3  FILE.lock is locked before the file is opened for writing.
 * D4  a migration is one transaction, after a check of free space and a copy beside the file
 *     (FILE.vN.bak).
 * D5  the views are those of the program that serves the file, also when the schema's version is
 *     the same.
 * D6  no descriptor of a queue file is closed but by SQLite: the system would take away all locks
 *     that this process has on it, and another program's last close would then delete the log.
 */
#ifndef BROKER_DBFILE_H
#define BROKER_DBFILE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DBFILE_PAGE_BYTES  8192
#define DBFILE_BUSY_MS     10000
#define DBFILE_LOG_BYTES   33554432             /* what the log's file keeps when it starts over */
#define DBFILE_LOG_TOO_BIG ((int64_t)256 << 20) /* Q5: somebody keeps it, and is named */

struct dbfile_opts {
    int64_t log_too_big;   /* 0: DBFILE_LOG_TOO_BIG */
    bool force_network_fs; /* NFS, Lustre, GPFS: their locks cannot be trusted */
    bool sync_normal;      /* synchronous=NORMAL instead of FULL */
};

/* Takes FILE.lock; *fd keeps it. */
int dbfile_lock(int *fd, const char *path, struct errmsg *e) MUSTCHECK;

/* The one writing connection: the file is made or migrated first.  The caller holds the lock. */
int dbfile_open_write(sqlite3 **out, const char *path, const struct dbfile_opts *o,
                      struct errmsg *e) MUSTCHECK;
int dbfile_open_read(sqlite3 **out, const char *path, struct errmsg *e) MUSTCHECK;

/* Runs migrations user_version .. n-1, then the views; for dbfile_open_write and its test. */
int dbfile_migrate(sqlite3 *db, const char *path, const char *const *migrations, int n,
                   const char *views, struct errmsg *e) MUSTCHECK;

/* The broker's socket for a database: ipc://FILE.sock, or a hashed name under XDG_RUNTIME_DIR (or
 * /tmp) when that is longer than a socket's name may be. */
int dbfile_address(const char *path, char *out, size_t cap, struct errmsg *e) MUSTCHECK;

/* Turns SQLite's last error into err_set's text; ERR_FULL for a full disk, ERR_FORMAT for a damaged
 * file, ERR_ARG for a value that the schema does not allow, else ERR_DB. */
int dbfile_error(sqlite3 *db, struct errmsg *e, const char *what);

#endif
