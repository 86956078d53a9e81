/* top.c - nightmill top: batches and instances as they are now, again and again. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/opt.h"
#include "broker/dbfile.h"
#include "clients/command.h"
#include "clients/overview.h"
#include "clients/terminal.h"

#define MOST_EVENTS 6
#define MOST_LINES  1000 /* of a screen */

struct config {
    const char *db;
    int64_t interval, count;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file (default nightmill.db)", OPT_STR, AT(db), 0, 0},
    {"interval", 'i', "SECONDS", "between two looks (default 1)", OPT_INT, AT(interval), 1, 3600},
    {"count", 'n', "N", "end after so many looks (default: at q or a signal)", OPT_INT, AT(count),
     0, 1 << 30},
    {0}};
static const struct opt_command COMMAND = {
    "top",
    "",
    "Shows batches and instances as they are now, again and again: a screen on a terminal (q "
    "quits), plain lines elsewhere. Needs no broker: it reads the queue file.",
    OPTS,
    0,
    0};

static void clock_text(char out[16])
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;

    localtime_r(&now, &tm);
    strftime(out, 16, "%H:%M:%S", &tm);
}

/* The parts that fit, one below the other; instances before old batches, events last. */
static int compose(sqlite3 *db, const char *path, int width, int height, struct buf *out,
                   struct errmsg *e)
{
    struct buf instances = {0};
    char at[16];
    int n_instances = 0, n_batches = 0, rc, left;

    clock_text(at);
    buf_printf(out, "%s  %s   ", at, path);
    rc = overview_head(db, out, e);
    buf_adds(out, "\n\n");
    if (!rc) rc = overview_instances(db, false, width, &instances, &n_instances, e);
    left = height - 5 - (n_instances ? n_instances + 2 : 0);
    if (!rc) rc = overview_batches(db, width, left > 3 ? left : 3, out, &n_batches, e);
    if (!rc && n_instances) {
        buf_addc(out, '\n');
        rc = buf_add(out, instances.data, instances.len);
    }
    left -= n_batches + 3;
    if (!rc && left > 0) {
        buf_addc(out, '\n');
        rc = overview_events(db, width, left < MOST_EVENTS ? left : MOST_EVENTS, out, e);
    }
    buf_fini(&instances);
    return rc;
}

/* Draws over what was there: each line is cut to the screen, its rest cleared. */
static void draw(const struct buf *text, int width, int height)
{
    struct buf out = {0};
    const char *at = text->data, *end = text->data + text->len;

    buf_adds(&out, "\033[H");
    for (int line = 0; at < end && line + 1 < height; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = stop ? (size_t)(stop - at) : (size_t)(end - at), bytes = 0;
        int columns = 0;

        while (bytes < len && (columns < width || ((unsigned char)at[bytes] & 0xC0) == 0x80))
            columns += ((unsigned char)at[bytes++] & 0xC0) != 0x80;
        buf_add(&out, at, bytes);
        buf_adds(&out, "\033[K\n");
        at += len + 1;
    }
    buf_adds(&out, "\033[Jq quits");
    if (!out.failed && write(STDOUT_FILENO, out.data, out.len) < 0) out.failed = true;
    buf_fini(&out);
}

static int look(sqlite3 *db, const char *path, bool screen, struct errmsg *e)
{
    int width = terminal_width(STDOUT_FILENO), height = terminal_height(STDOUT_FILENO), rc;
    struct buf out = {0};
    char at[16];

    if (screen) {
        rc = compose(db, path, width, height < MOST_LINES ? height : MOST_LINES, &out, e);
        if (!rc) draw(&out, width, height);
    } else {
        clock_text(at);
        rc = overview_plain(db, at, &out, e);
        if (!rc && !out.len) buf_printf(&out, "%s nothing to do, nobody here\n", at);
        if (!rc) fwrite(out.data, 1, out.len, stdout);
        fflush(stdout);
    }
    buf_fini(&out);
    return rc;
}

/* Waits for the next look; false when somebody wants to quit. */
static bool wait_for_next(int signals, bool screen, int64_t until_ms)
{
    struct pollfd fds[2] = {{signals, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    int64_t now_ms;

    while ((now_ms = clock_mono_ms()) < until_ms) {
        char key;

        if (poll(fds, screen ? 2 : 1, (int)(until_ms - now_ms)) <= 0) continue;
        if (fds[0].revents) return false;
        if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') return false;
    }
    return true;
}

static int show(sqlite3 *db, const struct config *c, int signals, struct errmsg *e)
{
    bool screen = isatty(STDOUT_FILENO) && isatty(STDIN_FILENO), more = true;
    struct terminal t = {.taken = false};
    int rc = screen ? terminal_take(&t, e) : ERR_OK;

    for (int64_t n = 1; !rc && more; n++) {
        int64_t next_ms = clock_mono_ms() + c->interval * 1000;

        rc = look(db, c->db, screen, e);
        if (rc || n == c->count) break;
        more = wait_for_next(signals, screen, next_ms);
    }
    terminal_give(&t);
    return rc;
}

int command_top(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db", .interval = 1};
    struct errmsg e = {{0}};
    sqlite3 *db = NULL;
    int signals = -1, rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);

    if (!rc) rc = dbfile_open_read(&db, c.db, &e);
    if (!rc && (signals = command_signals(&e)) < 0) rc = ERR_IO;
    if (!rc) rc = show(db, &c, signals, &e);
    if (signals >= 0) close(signals);
    sqlite3_close(db);
    return rc ? command_fail("top", rc, &e) : EXIT_ALL_DONE;
}
