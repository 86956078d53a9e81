/* figures_big.c - a file with many rows: the broker's memory and start, `progress`, `results`. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "bench/disk.h"
#include "bench/figures.h"
#include "bench/load.h"
#include "bench/rows.h"
#include "broker/dbfile.h"

#define MEMORY_MB   200.0
#define START_S     2.0
#define PROGRESS_MS 5.0
#define EXPORT_MB_S 200.0
#define LOOKS       101    /* at progress */
#define BUSY_ROWS   200000 /* worked off before the memory is read: the page caches are full */

static void print_start(struct figures *f, int64_t rows)
{
    double pong_s, lease_s;
    char name[96];

    bed_start(&f->bed);
    load_first(f->bed.address, &pong_s, &lease_s);
    snprintf(name, sizeof name, "broker start to its first answer, queued=%lld", (long long)rows);
    figures_print(name, pong_s, "s", NULL, 0, START_S, 0);
    snprintf(name, sizeof name, "broker start to its first lease, queued=%lld", (long long)rows);
    figures_print(name, lease_s, "s", NULL, 0, START_S, 0);
}

/* The most that was resident after some work; the broker runs.  few_mb: of fewer rows, or 0. */
static double print_memory(struct figures *f, int64_t rows, double few_mb)
{
    const struct load l = {.address = f->bed.address,
                           .instances = 4,
                           .hold = 2048,
                           .per_message = 512,
                           .until_ack = true,
                           .rows = rows / 2 < BUSY_ROWS ? rows / 2 : BUSY_ROWS};
    struct load_times t;
    char name[96];
    double mb;

    load_run(&l, &t);
    mb = bed_broker_mb(&f->bed);
    snprintf(name, sizeof name, "broker resident at most, queued=%lld", (long long)rows);
    figures_print(name, mb, "MB", few_mb > 0 ? "a tenth of the rows" : NULL,
                  few_mb > 0 ? mb / few_mb : 0, MEMORY_MB, 0);
    return mb;
}

static void print_progress(struct figures *f, int64_t rows)
{
    double ms[LOOKS];
    sqlite3_stmt *st;
    struct errmsg e;
    sqlite3 *db;
    char name[96];

    if (dbfile_open_read(&db, f->bed.db, &e)) report_fail("%s", e.text);
    for (int i = 0; i < LOOKS; i++) {
        const int64_t start_ns = clock_mono_ns();
        int n = 0;

        if (sqlite3_prepare_v2(db, "SELECT * FROM progress", -1, &st, NULL) != SQLITE_OK)
            report_fail("progress: %s", sqlite3_errmsg(db));
        while (sqlite3_step(st) == SQLITE_ROW)
            n++;
        sqlite3_finalize(st);
        if (n != 1) report_fail("progress: %d batches", n);
        ms[i] = (double)(clock_mono_ns() - start_ns) * 1e-6;
    }
    sqlite3_close(db);
    snprintf(name, sizeof name, "progress view p50, queued=%lld", (long long)rows);
    figures_print(name, report_median(ms, LOOKS), "ms", NULL, 0, PROGRESS_MS, 0);
}

/* Each once: a file of this size takes minutes. */
void figures_big(struct figures *f)
{
    const int64_t sizes[2] = {f->big / 10, f->big};
    double mb = 0;

    bed_clear(&f->bed);
    for (int i = 0; i < 2; i++) {
        rows_fill(f->bed.db, i ? sizes[0] : 0, sizes[i] - (i ? sizes[0] : 0), false);
        print_start(f, sizes[i]);
        mb = print_memory(f, sizes[i], mb);
        print_progress(f, sizes[i]);
        bed_stop(&f->bed);
    }
    bed_clear(&f->bed);
}

/* --- results ---------------------------------------------------------------------------------- */

static int64_t lines_of(const char *path)
{
    static char chunk[1 << 20];
    FILE *f = fopen(path, "re");
    int64_t lines = 0;
    size_t n;

    while (f && (n = fread(chunk, 1, sizeof chunk, f)))
        for (const char *at = chunk; (at = memchr(at, '\n', (size_t)(chunk + n - at))); at++)
            lines++;
    if (f) fclose(f);
    return lines;
}

void figures_export(struct figures *f)
{
    double rate[FIGURES_MAX_ROUNDS], disk[FIGURES_MAX_ROUNDS];
    const size_t n = (size_t)f->rounds;
    char out[PATH_MAX], name[96];
    struct stat st;

    bed_clear(&f->bed);
    bed_path(&f->bed, "results.jsonl", out);
    rows_fill(f->bed.db, 0, f->rows, true);
    for (int i = 0; i < f->rounds; i++) {
        const double s =
            bed_run(&f->bed, (const char *const[]){"results", "bench", "-o", out, NULL});

        if (stat(out, &st)) report_fail("%s: %s", out, strerror(errno));
        if (lines_of(out) != f->rows) report_fail("%s: not %d lines", out, f->rows);
        rate[i] = (double)st.st_size / 1e6 / s;
        disk[i] = disk_mb_per_s(f->bed.dir, st.st_size);
    }
    rate[0] = report_median(rate, n), disk[0] = report_median(disk, n);
    snprintf(name, sizeof name, "results rows=%d of %lld bytes", f->rows,
             (long long)st.st_size / f->rows);
    figures_print(name, rate[0], "MB/s", "writes in order, then fdatasync", rate[0] / disk[0],
                  disk[0] < EXPORT_MB_S ? disk[0] : EXPORT_MB_S, 0);
    remove(out);
    bed_clear(&f->bed);
}
