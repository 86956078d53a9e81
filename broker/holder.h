/* holder.h - which processes keep the log of a database from starting over.
 *
 * A reader locks a mark in FILE-shm for as long as it reads; /proc/locks tells who.  The file
 * itself is not opened: closing it would drop this process's own locks on it.
 *
 * Units  a process id is as this machine's /proc tells it; 0 of another container is named so.
 */
#ifndef BROKER_HOLDER_H
#define BROKER_HOLDER_H

#include <stddef.h>

/* The processes that read the database at path now, as words: "process 41 (sqlite3)", the first few
 * of them.  How many there are; 0: none, or /proc does not tell, and text says so. */
int holder_name(const char *path, char *text, size_t cap);

#endif
