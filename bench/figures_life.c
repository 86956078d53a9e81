/* figures_life.c - rows through the real broker: submitted, and worked off by instances that answer
 * at once (load.h). */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bench/disk.h"
#include "bench/figures.h"
#include "bench/load.h"
#include "bench/rows.h"

#define SUBMIT_PER_S   60000.0
#define INSTANCES      4
#define HOLD           2048 /* rows of one instance */
#define MESSAGE        512
#define ACK_MS         20.0
#define PACED_S        10.0 /* how long a paced run is, at most */
#define SINGLE_PER_S   10000.0
#define SINGLE_OF_SYNC 0.80
#define SINGLE_ROWS    20000

static double at_least(double a, double b)
{
    return a > b ? a : b;
}

static void must_hold(const struct figures *f, const char *what, const char *sql, int64_t want)
{
    const int64_t n = bed_count(&f->bed, sql);

    if (n != want)
        report_fail("%s: the file holds %lld of %lld", what, (long long)n, (long long)want);
}

/* --- submit ----------------------------------------------------------------------------------- */

static double submit_once(struct figures *f, const char *input)
{
    double s;

    bed_clear(&f->bed);
    bed_start(&f->bed);
    bed_ready(&f->bed);
    s = bed_run(&f->bed, (const char *const[]){"submit", input, NULL});
    bed_stop(&f->bed);
    must_hold(f, "submit", "SELECT count(*) FROM job JOIN prompt USING (job_id)", f->rows);
    bed_clear(&f->bed);
    return f->rows / s;
}

static void submit(struct figures *f, bool uuids)
{
    double rate[FIGURES_MAX_ROUNDS], raw[FIGURES_MAX_ROUNDS], own[FIGURES_MAX_ROUNDS];
    const char *ids = uuids ? "uuid" : "sequential";
    const size_t n = (size_t)f->rounds;
    char input[PATH_MAX], name[128];

    bed_path(&f->bed, "rows.jsonl", input);
    rows_write(input, f->rows, uuids);
    for (int i = 0; i < f->rounds; i++) {
        raw[i] = figures_pass(f, &STORE_RAW, false, uuids, FIGURES_RAW_GROUP, NULL, NULL);
        own[i] = figures_pass(f, &STORE_QUEUE, false, uuids, FIGURES_RAW_GROUP, NULL, NULL);
        rate[i] = submit_once(f, input);
    }
    rate[0] = report_median(rate, n), raw[0] = report_median(raw, n),
    own[0] = report_median(own, n);
    remove(input);
    snprintf(name, sizeof name, "submit ids=%s rows=%d", ids, f->rows);
    figures_print(name, rate[0], "rows/s", STORE_RAW.name, rate[0] / raw[0],
                  at_least(SUBMIT_PER_S, FIGURES_RAW * raw[0]), 0);
    snprintf(name, sizeof name, "submit ids=%s rows=%d, own statements", ids, f->rows);
    figures_print(name, rate[0], "rows/s", STORE_QUEUE.name, rate[0] / own[0],
                  at_least(SUBMIT_PER_S, FIGURES_RAW * own[0]), 0);
}

void figures_submit(struct figures *f)
{
    submit(f, false);
    submit(f, true);
}

/* --- the life of a job ------------------------------------------------------------------------ */

/* So many rows that are there already, by this load; what the file then holds is counted. */
static struct load_times work_off(struct figures *f, struct load l)
{
    struct load_times t;

    l.address = f->bed.address;
    bed_clear(&f->bed);
    rows_fill(f->bed.db, 0, l.rows, false);
    sync(); /* what it wrote must not be written back while others wait for the disk */
    bed_start(&f->bed);
    bed_ready(&f->bed);
    load_run(&l, &t);
    bed_stop(&f->bed);
    must_hold(f, "results", "SELECT count(*) FROM job JOIN result USING (job_id) WHERE state=1",
              l.rows);
    bed_clear(&f->bed);
    return t;
}

static void paced(struct figures *f)
{
    struct load l = {
        .instances = INSTANCES, .hold = HOLD, .per_message = MESSAGE, .until_ack = true};
    double p50[FIGURES_MAX_ROUNDS], p99[FIGURES_MAX_ROUNDS];
    char name[128];

    l.per_s = f->life / 2;
    l.rows = l.per_s * PACED_S < f->rows ? (int64_t)(l.per_s * PACED_S) : f->rows;
    for (int i = 0; i < f->rounds; i++) {
        const struct load_times t = work_off(f, l);

        p50[i] = t.p50_ms;
        p99[i] = t.p99_ms;
    }
    snprintf(name, sizeof name, "result to durable ack p50, %.0f rows/s", l.per_s);
    figures_print(name, report_median(p50, (size_t)f->rounds), "ms", NULL, 0, 0, 0);
    snprintf(name, sizeof name, "result to durable ack p99, %.0f rows/s", l.per_s);
    figures_print(name, report_median(p99, (size_t)f->rounds), "ms", NULL, 0, ACK_MS, 0);
}

static const char SIM[] =
    "{\"name\":\"zero\",\"model\":\"zero\",\"k0\":0,\"kw\":0,\"k1\":0,\"k2\":0,"
    "\"k3\":0,\"k4\":0,\"kv_tokens\":100000000,\"max_model_len\":100000,"
    "\"max_num_seqs\":4096,\"max_num_batched_tokens\":1048576,"
    "\"output_tokens\":40,\"time_scale\":0}";

/* Rows/s from the first result on disk to the last, by simulated instances that do not wait: real
 * workers, in one process of their own. */
static double simulated(struct figures *f)
{
    const struct timespec look = {0, 5000000};
    char file[PATH_MAX], device[PATH_MAX + 8];
    pid_t worker;
    int64_t ms;
    FILE *out;

    bed_path(&f->bed, "zero.json", file);
    snprintf(device, sizeof device, "sim:%s", file);
    out = fopen(file, "we");
    if (!out || fputs(SIM, out) < 0 || fclose(out)) report_fail("%s", file);
    bed_clear(&f->bed);
    rows_fill(f->bed.db, 0, f->rows, false);
    bed_start(&f->bed);
    bed_ready(&f->bed);
    worker = bed_spawn((const char *const[]){f->bed.program, "worker", "--db", f->bed.db,
                                             "--device", device, "--instances", "4", NULL});
    while (bed_count(&f->bed, "SELECT n_ready FROM batch") > 0) {
        if (!bed_runs(worker)) report_fail("the simulated worker ended");
        nanosleep(&look, NULL);
    }
    bed_end(&worker);
    bed_stop(&f->bed);
    must_hold(f, "results", "SELECT count(*) FROM job JOIN result USING (job_id) WHERE state=1",
              f->rows);
    ms = bed_count(&f->bed, "SELECT last_done_ms - first_done_ms FROM batch");
    bed_clear(&f->bed);
    return f->rows / ((double)(ms > 0 ? ms : 1) * 1e-3);
}

static void print_simulated(struct figures *f, double raw)
{
    double rate[FIGURES_MAX_ROUNDS];
    char name[128];

    for (int i = 0; i < f->rounds; i++)
        rate[i] = simulated(f);
    rate[0] = report_median(rate, (size_t)f->rounds);
    snprintf(name, sizeof name, "life of a job sim instances=%d rows=%d", INSTANCES, f->rows);
    figures_print(name, rate[0], "rows/s", STORE_RAW.name, rate[0] / raw,
                  at_least(FIGURES_RAW * raw, f->beanstalkd), 0);
}

void figures_life(struct figures *f)
{
    const struct load l = {.instances = INSTANCES,
                           .hold = HOLD,
                           .per_message = MESSAGE,
                           .until_ack = true,
                           .rows = f->rows};
    double rate[FIGURES_MAX_ROUNDS], raw[FIGURES_MAX_ROUNDS], own[FIGURES_MAX_ROUNDS];
    const size_t n = (size_t)f->rounds;
    char name[128];

    for (int i = 0; i < f->rounds; i++) {
        raw[i] = figures_pass(f, &STORE_RAW, true, false, FIGURES_RAW_GROUP, NULL, NULL);
        own[i] = figures_pass(f, &STORE_QUEUE, true, false, FIGURES_RAW_GROUP, NULL, NULL);
        rate[i] = (double)f->rows / work_off(f, l).seconds;
    }
    f->life = report_median(rate, n);
    snprintf(name, sizeof name, "life of a job instances=%d rows=%d", INSTANCES, f->rows);
    raw[0] = report_median(raw, n), own[0] = report_median(own, n);
    figures_print(name, f->life, "rows/s", STORE_RAW.name, f->life / raw[0],
                  at_least(FIGURES_RAW * raw[0], f->beanstalkd), 0);
    snprintf(name, sizeof name, "life of a job instances=%d rows=%d, own statements", INSTANCES,
             f->rows);
    figures_print(name, f->life, "rows/s", STORE_QUEUE.name, f->life / own[0],
                  at_least(FIGURES_RAW * own[0], f->beanstalkd), 0);
    if (f->beanstalkd > 0) {
        snprintf(name, sizeof name, "life of a job instances=%d rows=%d, rival", INSTANCES,
                 f->rows);
        figures_print(name, f->life, "rows/s", "beanstalkd reserve+delete, fsync every 50 ms",
                      f->life / f->beanstalkd, f->beanstalkd, 0);
    }
    print_simulated(f, raw[0]);
    paced(f);
}

/* --- one job a message ------------------------------------------------------------------------ */

static void single(struct figures *f, int hold, bool until_ack)
{
    const int most = hold > 1 ? SINGLE_ROWS : SINGLE_ROWS / 4;
    const struct load l = {.instances = 1,
                           .hold = hold,
                           .per_message = 1,
                           .until_ack = until_ack,
                           .rows = f->rows < most ? f->rows : most};
    double rate[FIGURES_MAX_ROUNDS], syncs[FIGURES_MAX_ROUNDS], target;
    const size_t n = (size_t)f->rounds;
    char name[128];

    for (int i = 0; i < f->rounds; i++) {
        syncs[i] = disk_syncs_per_s(f->bed.dir);
        rate[i] = (double)l.rows / work_off(f, l).seconds;
    }
    rate[0] = report_median(rate, n), syncs[0] = report_median(syncs, n);
    target = hold > 1 ? SINGLE_PER_S : SINGLE_OF_SYNC * syncs[0];
    snprintf(name, sizeof name, "one job a message, %d outstanding, held until its %s", hold,
             until_ack ? "ack" : "answer");
    figures_print(name, rate[0], "rows/s", "1/fdatasync of 8 KiB", rate[0] / syncs[0], target, 0);
}

/* What the commits alone allow: one finish each, in one thread. */
static void single_commits(struct figures *f)
{
    struct figures few = *f;
    double rate[FIGURES_MAX_ROUNDS], syncs[FIGURES_MAX_ROUNDS];
    const size_t n = (size_t)f->rounds;

    few.rows = f->rows < SINGLE_ROWS / 4 ? f->rows : SINGLE_ROWS / 4;
    for (int i = 0; i < f->rounds; i++) {
        syncs[i] = disk_syncs_per_s(f->bed.dir);
        rate[i] = figures_pass(&few, &STORE_QUEUE, true, false, 1, NULL, NULL);
    }
    rate[0] = report_median(rate, n), syncs[0] = report_median(syncs, n);
    figures_print("one queue_finish a commit, no messages", rate[0], "rows/s",
                  "1/fdatasync of 8 KiB", rate[0] / syncs[0], 0, 0);
}

void figures_single(struct figures *f)
{
    single_commits(f);
    for (int until_ack = 0; until_ack < 2; until_ack++) {
        single(f, 16, until_ack);
        single(f, 1, until_ack);
    }
}
