/* disk.h - what the file system of a folder does, measured now: the limits of a durable queue. */
#ifndef BENCH_DISK_H
#define BENCH_DISK_H

#include <stdint.h>

#define DISK_SYNC_BYTES 8192 /* a page of the queue file */

double disk_syncs_per_s(const char *dir);               /* append DISK_SYNC_BYTES, fdatasync */
double disk_mb_per_s(const char *dir, int64_t n_bytes); /* written in order, then fdatasync */

#endif
