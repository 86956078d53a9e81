/* figures_store.c - the queue's functions against bare SQLite, one thread and no messages. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/figures.h"
#include "bench/rows.h"
#include "broker/dbfile.h"

#define TEXT_BYTES 200

static const struct store *const STORES[] = {&STORE_QUEUE, &STORE_RAW};

struct job {
    bool finish, uuids;
    int group;
};

static struct wire_text words(const char *s)
{
    return (struct wire_text){s, strlen(s)};
}

static void put(const struct store *s, int n, bool uuids)
{
    char id[ROWS_ID_BYTES], body[ROWS_BODY_BYTES + 1];
    const uint64_t h = rows_mix((uint64_t)n + 7);

    s->put(&(struct store_row){.n = n,
                               .id_hash = (int64_t)h,
                               .body_hash = (int64_t)rows_mix(h),
                               .id = rows_id(id, n, uuids),
                               .body = rows_body(body, n)});
}

static void finish(const struct store *s, int n)
{
    char text[TEXT_BYTES + 1];

    memset(text, 't', TEXT_BYTES);
    text[TEXT_BYTES] = '\0';
    s->finish(&(struct store_answer){
        .n = n, .finish_reason = words("stop"), .text = words(text), .choices = words("[]")});
}

/* All rows, in groups of one commit and at most one checkpoint each, as in the broker. */
static double all_rows(const struct store *s, int rows, const struct job *j, bool finishing,
                       double *commit_ms, size_t *n_commits)
{
    const int64_t start_ns = clock_mono_ns();

    for (int n = 0; n < rows; n += j->group) {
        int64_t commit_ns;

        s->begin();
        for (int i = n; i < n + j->group && i < rows; i++) {
            if (finishing)
                finish(s, i);
            else
                put(s, i, j->uuids);
        }
        commit_ns = clock_mono_ns();
        s->commit();
        if (commit_ms) commit_ms[(*n_commits)++] = (double)(clock_mono_ns() - commit_ns) * 1e-6;
        s->checkpoint();
    }
    return rows / ((double)(clock_mono_ns() - start_ns) * 1e-9);
}

static void check_file(const struct figures *f, const struct store *s, bool finished)
{
    const int64_t rows = bed_count(&f->bed, "SELECT count(*) FROM job JOIN prompt USING (job_id)");
    const int64_t done =
        bed_count(&f->bed, "SELECT count(*) FROM job JOIN result USING (job_id) WHERE state=1");

    if (rows != f->rows || done != (finished ? f->rows : 0))
        report_fail("%s: the file holds %lld rows and %lld results", s->name, (long long)rows,
                    (long long)done);
}

double figures_pass(struct figures *f, const struct store *s, bool finishing, bool uuids, int group,
                    double *commit_ms, size_t *n_commits)
{
    const struct job j = {finishing, uuids, group}, first = {false, uuids, FIGURES_RAW_GROUP};
    struct errmsg e;
    double rate;
    int lock;

    bed_clear(&f->bed);
    if (dbfile_lock(&lock, f->bed.db, &e)) report_fail("%s", e.text);
    s->open(f->bed.db);
    if (finishing) all_rows(s, f->rows, &first, false, NULL, NULL);
    rate = all_rows(s, f->rows, &j, finishing, commit_ms, n_commits);
    s->close();
    close(lock);
    check_file(f, s, finishing);
    bed_clear(&f->bed);
    return rate;
}

static void run_job(struct figures *f, const struct job *j)
{
    const size_t room = (size_t)(f->rows / j->group + 1) * (size_t)f->rounds;
    double rate[2][FIGURES_MAX_ROUNDS], *commit_ms[2], ms[2];
    size_t n_commits[2] = {0, 0};
    char name[96], commit_name[128];

    for (int i = 0; i < 2; i++)
        if (!(commit_ms[i] = calloc(room, sizeof(double)))) report_fail("out of memory");
    for (int round = 0; round < f->rounds; round++)
        for (int i = 0; i < 2; i++)
            rate[i][round] = figures_pass(f, STORES[i], j->finish, j->uuids, j->group, commit_ms[i],
                                          &n_commits[i]);
    for (int i = 0; i < 2; i++) {
        rate[i][0] = report_median(rate[i], (size_t)f->rounds);
        ms[i] = report_median(commit_ms[i], n_commits[i]);
        free(commit_ms[i]);
    }
    snprintf(name, sizeof name, "%s group=%d%s rows=%d",
             j->finish ? "queue_finish" : "queue_put_row", j->group,
             j->finish  ? ""
             : j->uuids ? " ids=uuid"
                        : " ids=sequential",
             f->rows);
    snprintf(commit_name, sizeof commit_name, "commit p50 %s", name);
    figures_print(name, rate[0][0], "rows/s", STORE_RAW.name, rate[0][0] / rate[1][0], 0, 0);
    figures_print(commit_name, ms[0], "ms", STORE_RAW.name, ms[0] / ms[1], 0, 0);
}

void figures_store(struct figures *f)
{
    static const struct job JOBS[] = {
        {false, false, 1024}, {false, true, 1024}, {false, false, 16384},
        {false, true, 16384}, {true, true, 1024},  {true, true, 16384},
    };

    struct figures tenth = *f; /* twelve passes in each round */

    if (f->rows >= 10) tenth.rows /= 10;
    for (size_t i = 0; i < sizeof JOBS / sizeof JOBS[0]; i++)
        run_job(&tenth, &JOBS[i]);
}

void figures_print(const char *what, double value, const char *unit, const char *against,
                   double ratio, double target, double limit)
{
    report_figure(&(struct figure){.bench = "queue",
                                   .figure = what,
                                   .value = value,
                                   .unit = unit,
                                   .against = against,
                                   .ratio = ratio,
                                   .target = target,
                                   .limit = limit});
}
