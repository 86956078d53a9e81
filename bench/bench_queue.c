/* bench_queue.c - rows/s into the queue and to done, against bare SQLite on the same schema.
 *
 *   bench_queue [ROWS [ROUNDS]]     100000 and 3; the files lie beside the program
 *
 * Rows go in groups, one commit and at most one checkpoint each, as in the broker; both stores in
 * turns, each time into a new file.  What the file then holds is counted.
 */
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/report.h"
#include "bench/store.h"
#include "broker/dbfile.h"

#define BODY_BYTES 400
#define TEXT_BYTES 200
#define ID_BYTES   40
#define MAX_ROUNDS 15

static int n_rows = 100000, n_rounds = 3;
static char path[PATH_MAX];
static char (*ids)[ID_BYTES]; /* [n_rows] */
static char body[BODY_BYTES + 1], text[TEXT_BYTES + 1];

/* What the rounds of one case gave. */
struct timing {
    double rows_per_s[MAX_ROUNDS];
    double *commit_ms; /* of all rounds */
    size_t n_commits;
};

struct job {
    const char *what;
    bool is_put, uuids;
    int group;
    struct timing store[2]; /* the queue's, the rival's */
};

static const struct store *const STORES[] = {&STORE_QUEUE, &STORE_RAW};

static struct wire_text words(const char *s)
{
    return (struct wire_text){s, strlen(s)};
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

static void make_ids(bool uuids)
{
    for (int i = 0; i < n_rows; i++) {
        const uint64_t a = mix((uint64_t)i + 1), b = mix(a);

        if (uuids)
            snprintf(ids[i], ID_BYTES, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
                     (unsigned)(a >> 16 & 0xFFFF), (unsigned)(a & 0xFFF),
                     (unsigned)(b >> 62 << 12 | 0x8000), (unsigned long long)(b & 0xFFFFFFFFFFFF));
        else
            snprintf(ids[i], ID_BYTES, "row-%07d", i + 1);
    }
}

static void one_row(const struct store *s, int n, bool is_put)
{
    if (is_put) {
        const uint64_t h = mix((uint64_t)n + 7);
        char number[16];
        const int len = snprintf(number, sizeof number, "%d", n);

        memcpy(body + BODY_BYTES / 2, number, (size_t)len);
        s->put(&(struct store_row){.n = n,
                                   .id_hash = (int64_t)h,
                                   .body_hash = (int64_t)mix(h),
                                   .id = words(ids[n]),
                                   .body = {body, BODY_BYTES}});
    } else {
        s->finish(&(struct store_answer){
            .n = n, .finish_reason = words("stop"), .text = words(text), .choices = words("[]")});
    }
}

/* All rows, in groups; t may be NULL. */
static void all_rows(const struct store *s, bool is_put, int group, int round, struct timing *t)
{
    const int64_t start_ns = clock_mono_ns();

    for (int n = 0; n < n_rows; n += group) {
        int64_t commit_ns;

        s->begin();
        for (int i = n; i < n + group && i < n_rows; i++)
            one_row(s, i, is_put);
        commit_ns = clock_mono_ns();
        s->commit();
        if (t) t->commit_ms[t->n_commits++] = (double)(clock_mono_ns() - commit_ns) * 1e-6;
        s->checkpoint();
    }
    if (t) t->rows_per_s[round] = n_rows / ((double)(clock_mono_ns() - start_ns) * 1e-9);
}

static void remove_file(void)
{
    static const char *const TAILS[] = {"", "-wal", "-shm"};
    char name[PATH_MAX + 8];

    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", path, TAILS[i]);
        unlink(name);
    }
}

static int count(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int n = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

static void check_file(const struct store *s, bool finished)
{
    struct errmsg e;
    sqlite3 *db;
    int rows, done;

    if (dbfile_open_read(&db, path, &e)) report_fail("%s", e.text);
    rows = count(db, "SELECT count(*) FROM job JOIN prompt USING (job_id)");
    done = count(db, "SELECT count(*) FROM job JOIN result USING (job_id) WHERE state=1");
    sqlite3_close(db);
    if (rows != n_rows || done != (finished ? n_rows : 0))
        report_fail("%s: the file holds %d rows and %d results", s->name, rows, done);
}

static void run_once(struct job *j, int which, int round)
{
    const struct store *s = STORES[which];

    remove_file();
    make_ids(j->uuids);
    s->open(path);
    all_rows(s, true, j->is_put ? j->group : n_rows, round, j->is_put ? &j->store[which] : NULL);
    if (!j->is_put) all_rows(s, false, j->group, round, &j->store[which]);
    s->close();
    check_file(s, !j->is_put);
    remove_file();
}

static void print(struct job *j)
{
    double rate[2], commit_ms[2];
    char name[96], commit_name[128];

    for (int i = 0; i < 2; i++) {
        rate[i] = report_median(j->store[i].rows_per_s, (size_t)n_rounds);
        commit_ms[i] = report_median(j->store[i].commit_ms, j->store[i].n_commits);
    }
    snprintf(name, sizeof name, "%s group=%d%s rows=%d", j->what, j->group,
             !j->is_put ? ""
             : j->uuids ? " ids=uuid"
                        : " ids=sequential",
             n_rows);
    report_figure(&(struct figure){.bench = "queue",
                                   .figure = name,
                                   .value = rate[0],
                                   .unit = "rows/s",
                                   .against = STORE_RAW.name,
                                   .ratio = rate[0] / rate[1]});
    snprintf(commit_name, sizeof commit_name, "commit p50 %s", name);
    report_figure(&(struct figure){.bench = "queue",
                                   .figure = commit_name,
                                   .value = commit_ms[0],
                                   .unit = "ms",
                                   .against = STORE_RAW.name,
                                   .ratio = commit_ms[0] / commit_ms[1]});
}

static void run_job(struct job *j)
{
    const size_t n = (size_t)(n_rows / j->group + 1) * (size_t)n_rounds;

    for (int i = 0; i < 2; i++)
        if (!(j->store[i].commit_ms = calloc(n, sizeof(double)))) report_fail("out of memory");
    for (int round = 0; round < n_rounds; round++)
        for (int i = 0; i < 2; i++)
            run_once(j, i, round);
    print(j);
    free(j->store[0].commit_ms), free(j->store[1].commit_ms);
}

static int number(const char *s, int most)
{
    const long v = strtol(s, NULL, 10);

    if (v < 1 || v > most) report_fail("%s is not a number from 1 to %d", s, most);
    return (int)v;
}

int main(int argc, char **argv)
{
    struct job jobs[] = {
        {.what = "queue_put_row", .is_put = true, .group = 1024},
        {.what = "queue_put_row", .is_put = true, .uuids = true, .group = 1024},
        {.what = "queue_put_row", .is_put = true, .group = 16384},
        {.what = "queue_put_row", .is_put = true, .uuids = true, .group = 16384},
        {.what = "queue_finish", .uuids = true, .group = 1024},
        {.what = "queue_finish", .uuids = true, .group = 16384},
    };
    struct errmsg e;
    int lock;

    if (argc > 1) n_rows = number(argv[1], 10000000);
    if (argc > 2) n_rounds = number(argv[2], MAX_ROUNDS);
    snprintf(path, sizeof path, "%s.db", argv[0]);
    memset(body, 'b', BODY_BYTES);
    memset(text, 't', TEXT_BYTES);
    ids = calloc((size_t)n_rows, sizeof *ids);
    if (!ids) report_fail("no memory for %d ids", n_rows);
    if (dbfile_lock(&lock, path, &e)) report_fail("%s", e.text);
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++)
        run_job(&jobs[i]);
    close(lock);
    free(ids);
    return EXIT_SUCCESS;
}
