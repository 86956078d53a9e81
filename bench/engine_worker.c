/* engine_worker.c - a real worker on a real broker: its memory at work, and how soon it begins. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "bench/engine_figures.h"
#include "bench/report.h"

#define KV_MIB    256
#define ROWS      32  /* of WORDS words: more tokens than the KV memory holds, ... */
#define WORDS     300 /* ... and a full step */
#define MEMORY_MB 100
#define FIRST_MS  300
#define POLL_NS   1000000
#define LIMIT_S   600

/* --- a worker --------------------------------------------------------------------------------- */

static pid_t start_worker(struct engine_figures *f, const char *model)
{
    char threads[16], kv[16];

    snprintf(threads, sizeof threads, "%d", f->threads);
    snprintf(kv, sizeof kv, "%dM", KV_MIB);
    return bed_spawn((const char *const[]){f->bed.program, "worker", "--db", f->bed.db, "-m", model,
                                           "-t", threads, "--kv-cache-memory-bytes", kv,
                                           "--profile-seconds", "0", NULL});
}

/* The process that computes: the one that was started watches over it. */
static int child_of(pid_t pid)
{
    char path[64];
    int child = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    f = fopen(path, "re");
    if (!f || fscanf(f, "%d", &child) != 1) report_fail("%s: no child", path);
    fclose(f);
    return child;
}

static void submit(struct engine_figures *f, const char *batch, int rows, int words, int answer)
{
    struct buf b = {0};
    char path[PATH_MAX];
    FILE *out;

    for (int i = 0; i < rows; i++) {
        buf_printf(&b, "{\"prompt\": \"");
        for (int k = 0; k < words; k++)
            buf_printf(&b, "%c%d ", 'a' + (i + k) % 26, i);
        buf_printf(&b, "\", \"max_tokens\": %d, \"ignore_eos\": true}\n", answer);
    }
    bed_path(&f->bed, "rows.jsonl", path);
    out = fopen(path, "we");
    if (!out || b.failed || fwrite(b.data, b.len, 1, out) != 1 || fclose(out))
        report_fail("%s: %s", path, strerror(errno));
    buf_fini(&b);
    bed_run(&f->bed, (const char *const[]){"submit", path, "--batch", batch, NULL});
}

/* Until so many rows of all batches are done. */
static void await(struct engine_figures *f, int rows)
{
    const int64_t start_ns = clock_mono_ns();

    while (bed_count(&f->bed, "SELECT count(*) FROM result") < rows) {
        if (clock_mono_ns() - start_ns > LIMIT_S * (int64_t)1000000000)
            report_fail("%d rows are not done after %d s", rows, LIMIT_S);
        clock_wait_until_ns(clock_mono_ns() + POLL_NS);
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

struct resident {
    double model, all, largest; /* KiB: mapped from the model's files; all; the largest mapping of
                                   no file, which is the KV memory's */
};

static void read_resident(struct resident *r, int pid, const char *model)
{
    char path[64], line[4600];
    bool of_model = false, of_file = false;
    FILE *f;

    *r = (struct resident){0};
    snprintf(path, sizeof path, "/proc/%d/smaps", pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        const double kib = strncmp(line, "Rss:", 4) ? -1 : strtod(line + 4, NULL);

        if (kib < 0 && strchr(line, '-') && strchr(line, '-') < strchr(line, ' ')) {
            of_model = strstr(line, model) != NULL;
            of_file = strchr(line, '/') != NULL;
        }
        if (kib < 0) continue;
        r->all += kib;
        if (of_model) r->model += kib;
        if (!of_file && kib > r->largest) r->largest = kib;
    }
    if (f) fclose(f);
    if (r->all <= 0) report_fail("%s: no Rss", path);
}

/* In order: the worker's files have their real names in smaps. */
void engine_figures_memory(struct engine_figures *f)
{
    char dir[PATH_MAX], model[PATH_MAX], real[PATH_MAX];
    const double kv = KV_MIB * 1024;
    struct resident r;
    pid_t worker;

    engine_model_path(f, ENGINE_BIG, "hf", dir);
    snprintf(model, sizeof model, "%s", dir);
    if (!realpath(model, real)) report_fail("%s: %s", model, strerror(errno));
    bed_clear(&f->bed);
    bed_start(&f->bed);
    bed_ready(&f->bed);
    submit(f, "memory", ROWS, WORDS, 2);
    worker = start_worker(f, real);
    await(f, ROWS);
    read_resident(&r, child_of(worker), real);
    bed_end(&worker);
    bed_stop(&f->bed);
    if (r.largest < kv * 0.9)
        report_fail("of %d MiB of KV memory only %.0f KiB were used", KV_MIB, r.largest);
    report_figure(&(struct figure){
        .bench = "engine",
        .figure = "worker's memory over weights and KV, 0.5B bf16, Llama 3's words",
        .value = (r.all - r.model - kv) * 1024 / 1e6,
        .unit = "MB",
        .target = MEMORY_MB});
}

/* --- start ------------------------------------------------------------------------------------ */

/* All its threads. */
static double processor_ms(int pid)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
        report_fail("process %d has no clock", pid);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* From a worker's start to one token on record. */
static double first_token_ms(struct engine_figures *f, const char *model, int n, double *used_ms)
{
    char batch[32];
    int64_t start_ns;
    double ms;
    pid_t worker;

    snprintf(batch, sizeof batch, "start %d", n);
    submit(f, batch, 1, 4, 1);
    start_ns = clock_mono_ns();
    worker = start_worker(f, model);
    await(f, n);
    ms = (double)(clock_mono_ns() - start_ns) * 1e-6;
    *used_ms = processor_ms(child_of(worker));
    bed_end(&worker);
    return ms;
}

static void print_start(const char *what, double ms, double target)
{
    char name[96];

    snprintf(name, sizeof name, "first token after a worker's start, 0.5B bf16, %s", what);
    report_figure(&(struct figure){
        .bench = "engine", .figure = name, .value = ms, .unit = "ms", .target = target});
}

void engine_figures_start(struct engine_figures *f)
{
    char model[PATH_MAX], contexts[PATH_MAX], command[PATH_MAX + 32];
    double first, ms[ENGINE_MAX_ROUNDS], used_ms[ENGINE_MAX_ROUNDS];

    engine_model_path(f, ENGINE_BIG, "hf", model);
    bed_path(&f->bed, "../contexts", contexts);
    snprintf(command, sizeof command, "rm -rf '%s'", contexts);
    if (system(command)) report_fail("%s", command);
    setenv("NIGHTMILL_CONTEXT_DIR", contexts, 1);
    bed_clear(&f->bed);
    bed_start(&f->bed);
    bed_ready(&f->bed);
    first = first_token_ms(f, model, 1, used_ms);
    for (int i = 0; i < f->rounds; i++)
        ms[i] = first_token_ms(f, model, i + 2, &used_ms[i]);
    bed_stop(&f->bed);
    print_start("empty context directory", first, 0);
    print_start("cached", report_median(ms, (size_t)f->rounds), FIRST_MS);
    print_start("cached, its processor time", report_median(used_ms, (size_t)f->rounds), 0);
    if (system(command)) report_fail("%s", command);
}
