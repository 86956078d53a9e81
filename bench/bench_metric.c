/* bench_metric.c - a week of a hundred instances: how large their metrics are, what they cost.
 *
 *   bench_metric [INSTANCES [DAYS]]     100 and 7; the file lies beside the program
 *
 * The last hour has a row every two seconds as in life; what is older than an hour is thinned to a
 * row a minute whatever it was, so it is put in as one every twenty seconds.  Thinning goes on all
 * the while, as the broker's timer does it.
 */
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/report.h"
#include "broker/queue.h"

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define BEGIN  ((int64_t)1800000000000 / DAY * DAY)
#define ROUNDS 5
#define CALLS  200000 /* of thinning, at most */

static struct errmsg e;
static char path[PATH_MAX];
static double *thin_ms;
static size_t n_thin;

static void must(int rc)
{
    if (rc) report_fail("%s", e.text);
}

static struct queue *open_queue(int n_instances)
{
    struct dbfile_opts o = {.sync_normal = true};
    struct queue *q;

    must(queue_open(&q, path, &o, BEGIN, &e));
    must(queue_begin(q, &e));
    for (int i = 0; i < n_instances; i++) {
        struct instance_row row = {.tp = 1, .threads = 1, .kv_tokens = 4096, .max_model_len = 2048};
        int64_t id;

        snprintf(row.uuid, sizeof row.uuid, "uuid-%d", i);
        snprintf(row.name, sizeof row.name, "instance-%d", i);
        row.max_num_seqs = 8;
        must(queue_put_instance(q, &row, BEGIN, &id, &e));
    }
    must(queue_commit(q, &e));
    return q;
}

/* Numbers as large as a fast device has them. */
static void put(struct queue *q, int64_t instance, int64_t at_ms, int64_t span_ms)
{
    struct metric_row m = {.instance_id = instance, .span_ms = span_ms, .rows = 60, .steps = 140};

    m.prompt_tokens = 61200, m.output_tokens = 19900, m.step_ms = span_ms - 10;
    m.cached_tokens = 30100, m.running = 200 + at_ms / 1000 % 56, m.waiting = 170;
    m.kv_blocks = 40960, m.kv_free = 10000 + m.running, m.leased_rows = 400;
    m.leased_tokens = 900000, m.queued_tokens = 400000, m.power_mw = 650000, m.clock_mhz = 1980;
    m.memory_bytes = INT64_C(130000000000) + at_ms % 100000;
    must(queue_put_metric(q, &m, at_ms, &e));
}

static void thin(struct queue *q, int64_t now_ms)
{
    for (bool more = true; more;) {
        int64_t start_ns = clock_mono_ns(), n;

        must(queue_begin(q, &e));
        must(queue_thin(q, now_ms, &n, &more, &e));
        must(queue_commit(q, &e));
        queue_checkpoint(q);
        if (n && n_thin < CALLS) thin_ms[n_thin++] = (double)(clock_mono_ns() - start_ns) / 1e6;
    }
}

/* All rows between two moments, in groups of a minute. */
static void fill(struct queue *q, int n_instances, int64_t from_ms, int64_t to_ms, int64_t step_ms)
{
    for (int64_t group = from_ms; group < to_ms; group += MINUTE) {
        must(queue_begin(q, &e));
        for (int64_t at = group; at < group + MINUTE; at += step_ms)
            for (int i = 1; i <= n_instances; i++)
                put(q, i, at + i % step_ms, step_ms);
        must(queue_commit(q, &e));
        thin(q, group + MINUTE);
    }
}

/* The first number that a query gives; *ms how long it took to its last row, the best of a few. */
static double ask(const char *sql, double *ms)
{
    sqlite3 *db = NULL;
    double value = 0;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        report_fail("%s", sqlite3_errmsg(db));
    for (int i = 0; i < ROUNDS; i++) {
        sqlite3_stmt *st = NULL;
        int64_t start_ns = clock_mono_ns();
        double took;

        if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
            report_fail("%s", sqlite3_errmsg(db));
        while (sqlite3_step(st) == SQLITE_ROW)
            value = sqlite3_column_double(st, 0);
        sqlite3_finalize(st);
        took = (double)(clock_mono_ns() - start_ns) / 1e6;
        if (!i || took < *ms) *ms = took;
    }
    sqlite3_close(db);
    return value;
}

static void figure(const char *what, const char *unit, double value, double target)
{
    report_figure(&(struct figure){
        .bench = "metric", .figure = what, .unit = unit, .value = value, .target = target});
}

static void report_view(const char *what, const char *sql)
{
    double ms = 0;

    ask(sql, &ms);
    figure(what, "ms", ms, 0);
}

static void report(int n_instances, int64_t days)
{
    char what[128];
    double ms, bytes;

    bytes = ask("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'instance_metric%'", &ms);
    snprintf(what, sizeof what, "table and index, %d instances, %lld days", n_instances,
             (long long)days);
    figure(what, "MB", bytes / 1e6, 100);
    figure("rows kept", "rows", ask("SELECT count(*) FROM instance_metric", &ms), 0);
    figure("bytes a row", "bytes", bytes / ask("SELECT count(*) FROM instance_metric", &ms), 0);
    figure("one call of thinning, median", "ms", report_median(thin_ms, n_thin), 0);
    figure("one call of thinning, longest", "ms", thin_ms[n_thin - 1], 0); /* sorted by now */
    report_view("view instances", "SELECT * FROM instances");
    report_view("view instances, without sums",
                "SELECT name, tokens_per_s, running, kv_free FROM instances WHERE state='here'");
    report_view("view throughput", "SELECT * FROM throughput");
    report_view("view progress", "SELECT * FROM progress");
}

int main(int argc, char **argv)
{
    int n_instances = argc > 1 ? atoi(argv[1]) : 100;
    int64_t days = argc > 2 ? atoi(argv[2]) : 7, end = BEGIN + days * DAY;
    struct queue *q;

    if (n_instances < 1 || days < 1) report_fail("bench_metric [INSTANCES [DAYS]]");
    thin_ms = calloc(CALLS, sizeof *thin_ms);
    if (!thin_ms) report_fail("out of memory");
    snprintf(path, sizeof path, "%s.db", argv[0]);
    unlink(path);
    q = open_queue(n_instances);
    fill(q, n_instances, BEGIN, end - HOUR, 20000);
    fill(q, n_instances, end - HOUR, end, 2000);
    queue_close(&q);
    report(n_instances, days);
    unlink(path);
    free(thin_ms);
    return EXIT_SUCCESS;
}
