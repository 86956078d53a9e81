/* watch.c - follows a batch until it is finished. */
#include "clients/watch.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "broker/dbfile.h"
#include "clients/command.h"
#include "clients/progress.h"
#include "clients/rate.h"
#include "clients/terminal.h"

#define LOOK_MS        100
#define PLAIN_EVERY_MS 5000

static const char PROGRESS_SQL[] = "SELECT jobs, ready, done, failed, cancelled, paused, "
                                   "prompt_tokens + output_tokens FROM progress WHERE batch=?1";

static int read_counts(sqlite3 *db, sqlite3_stmt *st, const char *batch, struct watch_counts *out,
                       struct errmsg *e)
{
    int rc = ERR_OK, step;

    sqlite3_bind_text(st, 1, batch, -1, SQLITE_STATIC);
    step = sqlite3_step(st);
    if (step == SQLITE_ROW) {
        *out = (struct watch_counts){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                                     sqlite3_column_int64(st, 2), sqlite3_column_int64(st, 3),
                                     sqlite3_column_int64(st, 4), sqlite3_column_int64(st, 5),
                                     sqlite3_column_int64(st, 6)};
    } else {
        rc = step == SQLITE_DONE ? err_set(e, ERR_EMPTY, "there is no batch '%s'", batch)
                                 : dbfile_error(db, e, "progress");
    }
    sqlite3_reset(st);
    return rc;
}

static int open_progress(const char *path, sqlite3 **db, sqlite3_stmt **st, struct errmsg *e)
{
    int rc = dbfile_open_read(db, path, e);

    if (rc) return rc;
    if (sqlite3_prepare_v2(*db, PROGRESS_SQL, -1, st, NULL) == SQLITE_OK) return ERR_OK;
    rc = dbfile_error(*db, e, "progress");
    sqlite3_close(*db);
    return rc;
}

static void show(const struct watch_counts *c, const struct rate *r, bool terminal)
{
    struct progress p = {.done = c->done,
                         .failed = c->failed,
                         .total = c->jobs,
                         .tokens_s = rate_tokens_s(r),
                         .eta_s = rate_eta_s(r, c->ready)};
    struct buf line = {0};
    int rc;

    if (terminal) {
        int width = terminal_width(STDERR_FILENO);

        rc = buf_adds(&line, "\r\033[K") || progress_line(&line, &p, width - 1);
    } else {
        rc = progress_plain(&line, &p);
    }
    if (!rc && write(STDERR_FILENO, line.data, line.len) < 0) rc = ERR_IO; /* nobody looks */
    buf_fini(&line);
}

int watch_batch(const char *path, const char *batch, int signals,
                bool (*still_there)(void *, const struct watch_counts *), void *arg,
                struct watch_counts *out, struct errmsg *e)
{
    bool terminal = isatty(STDERR_FILENO), more = true;
    struct rate rate = {0};
    int64_t shown_ms = 0;
    sqlite3 *db;
    sqlite3_stmt *st = NULL;
    int rc = open_progress(path, &db, &st, e);

    if (rc) return rc;
    while (more && !(rc = read_counts(db, st, batch, out, e))) {
        int64_t now_ms = clock_mono_ms();

        rate_see(&rate, now_ms, out->tokens, out->done + out->failed);
        more = out->ready + out->paused > 0 && (!still_there || still_there(arg, out));
        if (terminal || !more || !shown_ms || now_ms - shown_ms >= PLAIN_EVERY_MS) {
            show(out, &rate, terminal);
            shown_ms = now_ms;
        }
        if (more && poll(&(struct pollfd){signals, POLLIN, 0}, 1, LOOK_MS) > 0) {
            rc = err_set(e, ERR_INTERRUPTED,
                         "interrupted; the same command goes on where it stopped");
            break;
        }
    }
    if (terminal) fputc('\n', stderr);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return rc;
}

int watch_exit(const struct watch_counts *c)
{
    return c->done == c->jobs ? EXIT_ALL_DONE : EXIT_SOME_FAILED;
}
