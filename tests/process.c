/* process.c - real nightmill processes for the end-to-end tests. */
#include "tests/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/test.h"

#define MAX_WORDS 40

const char *process_program(void)
{
    const char *p = getenv("NIGHTMILL");

    return p && *p ? p : "build/nightmill";
}

static void redirect(const char *path, int to)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || dup2(fd, to) < 0) _exit(126);
    close(fd);
}

void process_start(struct process *p, const char *fault, const char *const *words)
{
    static int n;
    char *argv[MAX_WORDS + 2] = {(char *)process_program()};
    const char *contexts;
    int k = 0;
    char name[64];

    while (words[k]) {
        ck_assert_int_lt(k, MAX_WORDS);
        argv[k + 1] = (char *)words[k];
        k++;
    }
    n++;
    snprintf(name, sizeof name, "out%d", n);
    snprintf(p->out, sizeof p->out, "%s", test_path(name));
    snprintf(name, sizeof name, "err%d", n);
    snprintf(p->err, sizeof p->err, "%s", test_path(name));
    contexts = test_path("contexts");
    p->pid = fork();
    ck_assert_int_ge(p->pid, 0);
    if (p->pid) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives a test that fails */
    if (fault) setenv("NIGHTMILL_FAULT", fault, 1);
    setenv("NIGHTMILL_CONTEXT_DIR", contexts, 1);
    setenv("NIGHTMILL_PROFILE_SECONDS", "0", 0); /* who wants one asks for it */
    redirect(p->out, STDOUT_FILENO);
    redirect(p->err, STDERR_FILENO);
    close(STDIN_FILENO);
    open("/dev/null", O_RDONLY);
    execv(argv[0], argv);
    _exit(127);
}

static int status_of(int raw)
{
    return WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
}

bool process_ended(struct process *p, int *status)
{
    int raw;

    if (p->pid && waitpid(p->pid, &raw, WNOHANG) != p->pid) return false;
    if (p->pid) *status = status_of(raw);
    p->pid = 0;
    return true;
}

int process_wait(struct process *p, int limit_s)
{
    int64_t until = clock_mono_ms() + limit_s * 1000;
    int status = -1;

    while (!process_ended(p, &status)) {
        if (clock_mono_ms() > until) {
            struct buf err = process_read(p->err);

            kill(p->pid, SIGKILL);
            ck_abort_msg("still running after %d s; it said: %s", limit_s,
                         err.data ? err.data : "");
        }
        process_sleep_ms(5);
    }
    return status;
}

void process_kill(struct process *p, int sig)
{
    if (!p->pid) return;
    kill(p->pid, sig);
    process_wait(p, 30);
}

int process_run(struct process *p, int limit_s, const char *const *words)
{
    process_start(p, NULL, words);
    return process_wait(p, limit_s);
}

struct buf process_read(const char *path)
{
    struct buf b = {0};
    char chunk[65536];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        ck_assert_int_eq(buf_add(&b, chunk, (size_t)n), 0);
    close(fd);
    ck_assert_int_eq(buf_adds(&b, ""), 0);
    return b;
}

int64_t process_sql(const char *db, const char *sql)
{
    sqlite3 *c = NULL;
    sqlite3_stmt *st = NULL;
    int64_t v = -1;

    if (access(db, R_OK)) return -1;
    if (sqlite3_open_v2(db, &c, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(c, 10000);
        if (sqlite3_prepare_v2(c, sql, -1, &st, NULL) == SQLITE_OK &&
            sqlite3_step(st) == SQLITE_ROW)
            v = sqlite3_column_int64(st, 0);
    }
    sqlite3_finalize(st);
    sqlite3_close(c);
    return v;
}

void process_change(const char *db, const char *sql)
{
    sqlite3 *c = NULL;

    ck_assert_int_eq(sqlite3_open(db, &c), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(c, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(c));
    sqlite3_close(c);
}

pid_t process_child_of(pid_t parent)
{
    DIR *proc = opendir("/proc");
    struct dirent *d;
    pid_t found = 0;

    while (proc && !found && (d = readdir(proc))) {
        char path[300];
        int pid = atoi(d->d_name), ppid = 0;
        FILE *f;

        if (pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%s/stat", d->d_name);
        if (!(f = fopen(path, "r"))) continue;
        if (fscanf(f, "%*d (%*[^)]) %*c %d", &ppid) == 1 && ppid == parent) found = pid;
        fclose(f);
    }
    if (proc) closedir(proc);
    return found;
}

void process_sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}
