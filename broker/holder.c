/* holder.c - which processes keep the log of a database from starting over. */
#include "broker/holder.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define FIRST_MARK 123 /* of FILE-shm, "The WAL-index file format": each reader locks one */
#define LAST_MARK  127
#define MAX_NAMED  3

static void command_of(long pid, char *out, size_t cap)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    f = fopen(path, "r");
    if (!f || !fgets(out, (int)cap, f)) snprintf(out, cap, "?");
    if (f) fclose(f);
    out[strcspn(out, "\n")] = '\0';
}

/* Does the line tell of a reader's mark in this file?  Then whose. */
static long reader_of(const char *line, const struct stat *st)
{
    unsigned maj, min;
    unsigned long inode, from, to;
    char kind[16];
    long pid;

    if (sscanf(line, "%*u: %*s %*s %15s %ld %x:%x:%lu %lu %lu", kind, &pid, &maj, &min, &inode,
               &from, &to) != 7)
        return -1;
    if (inode != st->st_ino || maj != major(st->st_dev) || min != minor(st->st_dev)) return -1;
    return !strcmp(kind, "READ") && from <= LAST_MARK && to >= FIRST_MARK ? pid : -1;
}

int holder_name(const char *path, char *text, size_t cap)
{
    char shm[PATH_MAX], line[256], command[64];
    size_t len = 0;
    struct stat st;
    FILE *f = NULL;
    int n = 0;

    snprintf(text, cap, "a reader that this machine does not name");
    if ((size_t)snprintf(shm, sizeof shm, "%s-shm", path) >= sizeof shm) return 0;
    if (!stat(shm, &st)) f = fopen("/proc/locks", "r");
    while (f && fgets(line, sizeof line, f)) {
        long pid = reader_of(line, &st);

        if (pid < 0 || ++n > MAX_NAMED) continue;
        if (pid) command_of(pid, command, sizeof command);
        if (len < cap)
            len += (size_t)(pid ? snprintf(text + len, cap - len, "%sprocess %ld (%s)",
                                           len ? ", " : "", pid, command)
                                : snprintf(text + len, cap - len,
                                           "%sa process of another container", len ? ", " : ""));
    }
    if (n > MAX_NAMED && len < cap) snprintf(text + len, cap - len, " and %d more", n - MAX_NAMED);
    if (f) fclose(f);
    return n;
}
