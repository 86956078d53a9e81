/* disk.h - a disk that loses its power, refuses a call or runs full: a SQLite VFS over the real
 * one.
 *
 * Files are real, so whatever reads them without SQLite sees what a page cache would show.  What a
 * power cut leaves of them is kept beside: a write counts as stored once its file was synced, a
 * new, renamed or deleted name once its directory was.  Until then disk_cut keeps or drops each
 * write by itself, in sectors of DISK_SECTOR bytes, and each change of a name by itself.
 *
 * Every call of SQLite that may fail passes one counter; so do the three below for what the code
 * under test does to names.  The log's index (-shm) is memory, and gone after a cut.
 *
 * Threads  any; one process.  Before disk_cut every connection must be closed.
 */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include <stdbool.h>
#include <stdint.h>

#define DISK_SECTOR 512

/* Makes it SQLite's default, all files as they are now stored; seed: of what a cut keeps. */
void disk_open(uint64_t seed);

/* The n-th call from now fails (n = 1: the next one); 0: none does. */
enum disk_fault {
    DISK_REFUSES, /* this call alone.  A sync that fails keeps some writes and forgets the others:
                     they stay visible, and are not written again */
    DISK_DIES     /* this one and all that follow, until disk_cut */
};
void disk_fail_at(int64_t n, enum disk_fault how);
void disk_fail_sync_at(int64_t n);  /* the n-th sync from now, as DISK_REFUSES */
bool disk_has_failed(void);         /* since the last disk_fail_at or disk_fail_sync_at */
const char *disk_failed_call(void); /* which call it was: "xWrite" */
bool disk_is_dead(void);

/* Room for all files together; 0: no end of it. */
void disk_limit(int64_t bytes);

/* The power comes back: each file is what had reached the disk. */
void disk_cut(void);

/* What the code under test does to names without SQLite; each as the system call. */
int disk_rename(const char *from, const char *to);
int disk_unlink(const char *path);
int disk_sync_fd(int fd); /* of a directory: its names are stored */

#endif
