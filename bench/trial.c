/* trial.c - one batch by the real broker and real workers. */
#include "bench/trial.h"

#include <signal.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/hash.h"
#include "bench/report.h"
#include "broker/dbfile.h"

#define POLL_NS   20000000
#define JOIN_S    300.0 /* a first start may profile the model */
#define MAX_PIECE 65536

/* Until the number that the statement gives is at least n. */
static void await(const struct bed *b, const char *sql, int64_t n, const char *what, double limit_s)
{
    const int64_t start_ns = clock_mono_ns();

    while (bed_count(b, sql) < n) {
        if ((double)(clock_mono_ns() - start_ns) * 1e-9 > limit_s)
            report_fail("%s: %lld of %lld after %.0f s", what, (long long)bed_count(b, sql),
                        (long long)n, limit_s);
        clock_wait_until_ns(clock_mono_ns() + POLL_NS);
    }
}

static void start_broker(struct bed *b, const struct trial *t)
{
    const char *options[] = {t->policy ? "--policy" : NULL, t->policy, NULL};

    bed_start_with(b, options);
    bed_ready(b);
}

static void start_workers(struct bed *b, const struct trial *t, pid_t *workers)
{
    for (int i = 0; i < t->n_workers; i++) {
        const char *words[TRIAL_WORDS + 8] = {b->program, "worker", "--db", b->db};

        for (int k = 0; k < TRIAL_WORDS && t->workers[i][k]; k++)
            words[4 + k] = t->workers[i][k];
        workers[i] = bed_spawn(words);
    }
    await(b, "SELECT count(*) FROM instance WHERE state='here'", t->instances, "instances", JOIN_S);
}

static void submit(struct bed *b, const struct trial *t)
{
    bed_run(b, (const char *const[]){"submit", t->input, "--batch", "trial", NULL});
}

static void control(struct bed *b, const char *command)
{
    bed_run(b, (const char *const[]){command, "trial", NULL});
}

static uint64_t hash_answers(const struct bed *b)
{
    sqlite3_stmt *st = NULL;
    struct errmsg e;
    uint64_t h[2] = {0};
    sqlite3 *db;

    if (dbfile_open_read(&db, b->db, &e)) report_fail("%s", e.text);
    if (sqlite3_prepare_v2(db, "SELECT custom_id || ' ' || text FROM results ORDER BY custom_id",
                           -1, &st, NULL) != SQLITE_OK)
        report_fail("%s: %s", b->db, sqlite3_errmsg(db));
    while (sqlite3_step(st) == SQLITE_ROW) {
        h[1] = hash64(sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0));
        h[0] = hash64(h, sizeof h);
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    return h[0];
}

void trial_run(struct bed *b, const struct trial *t, struct trial_result *out)
{
    pid_t workers[TRIAL_WORKERS];
    int64_t began_ms;

    bed_clear(b);
    start_broker(b, t);
    if (t->is_there_first) {
        submit(b, t);
        control(b, "pause");
    }
    start_workers(b, t, workers);
    began_ms = clock_wall_ms();
    if (t->is_there_first)
        control(b, "resume");
    else
        submit(b, t);
    await(b, "SELECT sum(n_done + n_failed) FROM batch", t->rows, "rows", t->limit_s);
    out->seconds = (double)(bed_count(b, "SELECT max(done_ms) FROM result") - began_ms) * 1e-3;
    for (int i = 0; i < t->n_workers; i++)
        bed_end(&workers[i]);
    bed_stop(b);
    if (bed_count(b, "SELECT count(*) FROM result") != t->rows)
        report_fail("%s: not every row has an answer", t->input);
    out->prompt_tokens = bed_count(b, "SELECT sum(prompt_tokens) FROM result");
    out->output_tokens = bed_count(b, "SELECT sum(output_tokens) FROM result");
    out->cached_tokens = bed_count(b, "SELECT sum(cached_tokens) FROM result");
    out->answers = hash_answers(b);
}
