/* rivals.c - other durable queues, on the same bodies and the same file system.
 *
 * Each server gets its commands over a Unix socket, WINDOW of them before the first answer is read,
 * so that it can share an fsync among them as well as it knows how; ours share one commit likewise.
 *
 *   beanstalkd -b DIR -f MS   put; reserve and delete
 *   redis-server              LPUSH; RPOPLPUSH and LREM, appendfsync always
 *   litequeue                 put; pop and done (bench/lite.py): one call at a time, it has no
 *                             other way; fewer rows, for it takes milliseconds
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/figures.h"
#include "bench/pipe.h"
#include "bench/rows.h"

#define WINDOW       500
#define SLOW_PART    20 /* litequeue gets one row in so many */
#define WALL_ROWS    100000
#define SYNC_EACH_AT 10 /* fsync each: one row in so many */

struct rates {
    double put[FIGURES_MAX_ROUNDS], life[FIGURES_MAX_ROUNDS];
};

static double per_s(int rows, int64_t start_ns)
{
    return rows / ((double)(clock_mono_ns() - start_ns) * 1e-9);
}

/* In windows of at most WINDOW. */
static void in_windows(struct pipe *p, int rows, void (*window)(struct pipe *p, int from, int n))
{
    for (int at = 0; at < rows; at += WINDOW)
        window(p, at, rows - at < WINDOW ? rows - at : WINDOW);
}

static void print(const char *name, struct rates *r, const struct figures *f, const char *life,
                  int rows, double *out)
{
    const double put = report_median(r->put, (size_t)f->rounds);
    const double done = report_median(r->life, (size_t)f->rounds);
    char figure[160];

    snprintf(figure, sizeof figure, "rival %s, put, rows=%d", name, rows);
    figures_print(figure, put, "rows/s", NULL, 0, 0, 0);
    snprintf(figure, sizeof figure, "rival %s, %s, rows=%d", name, life, rows);
    figures_print(figure, done, "rows/s", NULL, 0, 0, 0);
    if (out) *out = done;
}

/* --- beanstalkd ------------------------------------------------------------------------------- */

static void bean_put(struct pipe *p, int from, int n)
{
    char body[ROWS_BODY_BYTES + 1];

    for (int i = 0; i < n; i++)
        pipe_add(p, "put 1 0 600 %d\r\n%s\r\n", ROWS_BODY_BYTES, rows_body(body, from + i).at);
    pipe_send(p);
    for (int i = 0; i < n; i++)
        pipe_line(p, "INSERTED");
}

static void bean_life(struct pipe *p, int from, int n)
{
    static long ids[WINDOW];

    (void)from;
    for (int i = 0; i < n; i++)
        pipe_add(p, "reserve\r\n");
    pipe_send(p);
    for (int i = 0; i < n; i++) {
        ids[i] = strtol(pipe_line(p, "RESERVED ") + 9, NULL, 10);
        pipe_skip(p, ROWS_BODY_BYTES + 2);
    }
    for (int i = 0; i < n; i++)
        pipe_add(p, "delete %ld\r\n", ids[i]);
    pipe_send(p);
    for (int i = 0; i < n; i++)
        pipe_line(p, "DELETED");
}

static void clear_folder(const char *path)
{
    char command[PATH_MAX + 32];

    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command)) report_fail("%s", command);
    if (mkdir(path, 0700)) report_fail("%s: %s", path, strerror(errno));
}

static void beanstalkd(struct figures *f, const char *fsync_ms, int rows, double *out)
{
    char dir[PATH_MAX], socket[PATH_MAX], at[PATH_MAX + 8], name[64];
    struct rates r;

    bed_path(&f->bed, "bean", dir);
    bed_path(&f->bed, "bean.sock", socket);
    snprintf(at, sizeof at, "unix:%s", socket);
    for (int i = 0; i < f->rounds; i++) {
        struct pipe p;
        pid_t pid;
        int64_t start_ns;

        clear_folder(dir);
        unlink(socket);
        pid = bed_spawn(
            (const char *const[]){"beanstalkd", "-l", at, "-b", dir, "-f", fsync_ms, NULL});
        pipe_open(&p, socket);
        start_ns = clock_mono_ns();
        in_windows(&p, rows, bean_put);
        r.put[i] = per_s(rows, start_ns);
        start_ns = clock_mono_ns();
        in_windows(&p, rows, bean_life);
        r.life[i] = per_s(rows, start_ns);
        pipe_close(&p);
        bed_end(&pid);
    }
    clear_folder(dir);
    unlink(socket);
    rmdir(dir);
    snprintf(name, sizeof name, "beanstalkd -f %s", fsync_ms);
    print(name, &r, f, "reserve+delete", rows, out);
}

/* --- redis ------------------------------------------------------------------------------------ */

static void redis_put(struct pipe *p, int from, int n)
{
    char body[ROWS_BODY_BYTES + 1];

    for (int i = 0; i < n; i++)
        pipe_add(p, "*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$%d\r\n%s\r\n", ROWS_BODY_BYTES,
                 rows_body(body, from + i).at);
    pipe_send(p);
    for (int i = 0; i < n; i++)
        pipe_line(p, ":");
}

/* The working list is short: LREM finds its element among at most a window. */
static void redis_life(struct pipe *p, int from, int n)
{
    char body[ROWS_BODY_BYTES + 1];

    for (int i = 0; i < n; i++)
        pipe_add(p, "*3\r\n$9\r\nRPOPLPUSH\r\n$1\r\nq\r\n$1\r\nw\r\n");
    pipe_send(p);
    for (int i = 0; i < n; i++) {
        pipe_line(p, "$400");
        pipe_skip(p, ROWS_BODY_BYTES + 2);
    }
    for (int i = 0; i < n; i++)
        pipe_add(p, "*4\r\n$4\r\nLREM\r\n$1\r\nw\r\n$2\r\n-1\r\n$%d\r\n%s\r\n", ROWS_BODY_BYTES,
                 rows_body(body, from + i).at);
    pipe_send(p);
    for (int i = 0; i < n; i++)
        pipe_line(p, ":1");
}

static void redis(struct figures *f, int rows)
{
    char dir[PATH_MAX], socket[PATH_MAX];
    struct rates r;

    bed_path(&f->bed, "redis", dir);
    bed_path(&f->bed, "redis.sock", socket);
    for (int i = 0; i < f->rounds; i++) {
        struct pipe p;
        pid_t pid;
        int64_t start_ns;

        clear_folder(dir);
        unlink(socket);
        pid = bed_spawn((const char *const[]){"redis-server", "--port", "0", "--unixsocket", socket,
                                              "--dir", dir, "--save", "", "--appendonly", "yes",
                                              "--appendfsync", "always", NULL});
        pipe_open(&p, socket);
        start_ns = clock_mono_ns();
        in_windows(&p, rows, redis_put);
        r.put[i] = per_s(rows, start_ns);
        start_ns = clock_mono_ns();
        in_windows(&p, rows, redis_life);
        r.life[i] = per_s(rows, start_ns);
        pipe_close(&p);
        bed_end(&pid);
    }
    clear_folder(dir);
    unlink(socket);
    rmdir(dir);
    print("redis appendfsync=always", &r, f, "RPOPLPUSH+LREM", rows, NULL);
}

/* --- litequeue -------------------------------------------------------------------------------- */

static void litequeue(struct figures *f, const char *folder, int rows)
{
    char path[PATH_MAX], command[3 * PATH_MAX];
    struct rates r;

    bed_path(&f->bed, "bench.db.lite", path);
    snprintf(command, sizeof command, "%s/venv/bin/python bench/lite.py '%s' %d", folder, path,
             rows);
    for (int i = 0; i < f->rounds; i++) {
        FILE *p;

        bed_clear(&f->bed);
        p = popen(command, "r");
        if (!p || fscanf(p, "%lf %lf", &r.put[i], &r.life[i]) != 2 || pclose(p))
            report_fail("%s", command);
    }
    bed_clear(&f->bed);
    print("litequeue synchronous=FULL", &r, f, "pop+done", rows, NULL);
}

void figures_rivals(struct figures *f)
{
    const int rows = f->rows < WALL_ROWS ? f->rows : WALL_ROWS;
    char folder[PATH_MAX], command[PATH_MAX + 32];

    snprintf(folder, sizeof folder, "%.*s.rivals", (int)strlen(f->bed.dir) - 6, f->bed.dir);
    snprintf(command, sizeof command, "sh bench/deps.sh '%s'", folder);
    if (system(command)) {
        fprintf(stderr, "bench: SKIPPED: no figure of a rival, and none against one\n");
        return;
    }
    beanstalkd(f, "50", rows, &f->beanstalkd);
    beanstalkd(f, "0", rows > SYNC_EACH_AT ? rows / SYNC_EACH_AT : rows, NULL);
    redis(f, rows);
    litequeue(f, folder, rows > SLOW_PART ? rows / SLOW_PART : rows);
}
