/* bed.c - a folder of its own, and the real nightmill in it. */
#include "bench/bed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/load.h"
#include "bench/report.h"
#include "broker/dbfile.h"

#define MAX_WORDS 24

/* --- the folder ------------------------------------------------------------------------------- */

/* Of snprintf: was a path cut? */
static void cut(int n)
{
    if (n < 0 || n >= PATH_MAX) report_fail("a path is longer than %d bytes", PATH_MAX);
}

void bed_path(const struct bed *b, const char *name, char out[PATH_MAX])
{
    cut(snprintf(out, PATH_MAX, "%s/%s", b->dir, name));
}

/* Files whose names begin so; the folder holds no folders but those of rivals, which end empty. */
static void remove_all(const struct bed *b, const char *beginning)
{
    DIR *dir = opendir(b->dir);
    const struct dirent *d;
    char path[PATH_MAX];

    while (dir && (d = readdir(dir))) {
        if (strncmp(d->d_name, beginning, strlen(beginning)) || d->d_name[0] == '.') continue;
        bed_path(b, d->d_name, path);
        if (remove(path)) report_fail("%s: %s", path, strerror(errno));
    }
    if (dir) closedir(dir);
}

void bed_open(struct bed *b, const char *beside)
{
    char self[PATH_MAX];
    struct errmsg e;

    *b = (struct bed){0};
    if (!realpath(beside, self)) report_fail("%s: %s", beside, strerror(errno));
    cut(snprintf(b->dir, PATH_MAX, "%s.files", self));
    cut(snprintf(b->program, PATH_MAX, "%.*s/../nightmill", (int)(strrchr(self, '/') - self),
                 self));
    if (mkdir(b->dir, 0700) && errno != EEXIST) report_fail("%s: %s", b->dir, strerror(errno));
    bed_path(b, "bench.db", b->db);
    if (dbfile_address(b->db, b->address, sizeof b->address, &e)) report_fail("%s", e.text);
    remove_all(b, "");
}

void bed_clear(struct bed *b)
{
    remove_all(b, "bench.db");
}

void bed_close(struct bed *b)
{
    bed_stop(b);
    remove_all(b, "");
    rmdir(b->dir);
}

/* --- processes -------------------------------------------------------------------------------- */

pid_t bed_spawn(const char *const *words)
{
    pid_t pid = fork();
    int null;

    if (pid < 0) report_fail("fork: %s", strerror(errno));
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execvp(words[0], (char *const *)words);
    _exit(127);
}

bool bed_runs(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

void bed_end(pid_t *pid)
{
    if (*pid) {
        kill(*pid, SIGTERM);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

double bed_run(struct bed *b, const char *const *words)
{
    const char *all[MAX_WORDS] = {b->program};
    const int64_t start_ns = clock_mono_ns();
    int status, n = 1;
    pid_t pid;

    for (; *words && n < MAX_WORDS - 3; words++)
        all[n++] = *words;
    all[n++] = "--db";
    all[n++] = b->db;
    pid = bed_spawn(all);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
        report_fail("%s %s ended with %d", all[0], all[1], WEXITSTATUS(status));
    return (double)(clock_mono_ns() - start_ns) * 1e-9;
}

void bed_start_with(struct bed *b, const char *const *options)
{
    const char *all[MAX_WORDS] = {b->program, "broker", "--db", b->db};
    int n = 4;

    while (*options && n < MAX_WORDS - 1)
        all[n++] = *options++;
    b->broker = bed_spawn(all);
}

void bed_start(struct bed *b)
{
    bed_start_with(b, (const char *const[]){NULL});
}

void bed_ready(struct bed *b)
{
    double pong_s;

    load_first(b->address, &pong_s, NULL);
}

void bed_stop(struct bed *b)
{
    bed_end(&b->broker);
}

double bed_broker_mb(const struct bed *b)
{
    char path[64], line[256];
    double kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)b->broker);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6)) kib = strtod(line + 6, NULL);
    if (f) fclose(f);
    if (kib <= 0) report_fail("%s: no VmHWM", path);
    return kib * 1024 / 1e6;
}

/* --- what the file holds ---------------------------------------------------------------------- */

int64_t bed_count(const struct bed *b, const char *sql)
{
    sqlite3_stmt *st = NULL;
    struct errmsg e;
    sqlite3 *db;
    int64_t n = -1;

    if (dbfile_open_read(&db, b->db, &e)) report_fail("%s", e.text);
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}
