/* disk.c - what the file system of a folder does. */
#include "bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/report.h"

#define SYNCS       1000
#define CHUNK_BYTES (1 << 20)

static char chunk[CHUNK_BYTES];

static int open_file(const char *dir, char path[PATH_MAX])
{
    int fd;

    snprintf(path, PATH_MAX, "%s/disk", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) report_fail("%s: %s", path, strerror(errno));
    return fd;
}

static void put(int fd, size_t n, int sync)
{
    if (write(fd, chunk, n) != (ssize_t)n || (sync && fdatasync(fd)))
        report_fail("the disk: %s", strerror(errno));
}

double disk_syncs_per_s(const char *dir)
{
    char path[PATH_MAX];
    const int fd = open_file(dir, path);
    double s[SYNCS];

    for (int i = 0; i < SYNCS; i++) {
        const int64_t start_ns = clock_mono_ns();

        put(fd, DISK_SYNC_BYTES, 1);
        s[i] = (double)(clock_mono_ns() - start_ns) * 1e-9;
    }
    close(fd);
    unlink(path);
    return 1 / report_median(s, SYNCS);
}

double disk_mb_per_s(const char *dir, int64_t n_bytes)
{
    char path[PATH_MAX];
    const int fd = open_file(dir, path);
    const int64_t start_ns = clock_mono_ns(), n = n_bytes / CHUNK_BYTES + 1;
    double mb_per_s;

    memset(chunk, 'x', sizeof chunk);
    for (int64_t i = 0; i < n; i++)
        put(fd, CHUNK_BYTES, i == n - 1);
    mb_per_s = (double)n * CHUNK_BYTES / 1e6 / ((double)(clock_mono_ns() - start_ns) * 1e-9);
    close(fd);
    unlink(path);
    return mb_per_s;
}
