/* bench_unequal.c - unlike workers on this machine's cores, for real: our scheduling against
 * others.
 *
 *   bench_unequal [-r ROWS] [-n ROUNDS] [-p POLICY]... [-m MODEL] [-i INPUT]
 *
 * Three workers hold the same small model: one with one thread, one with two, and one with one
 * thread whose KV memory holds a few rows only; each was measured by itself before.  Each round
 * runs the same rows once by each policy (default: sized and round_robin; "": the broker's own),
 * one after the other, in turns; the answers of all runs must be the same.  A rate is the median of
 * the rounds.  Three workers on fewer than four cores take them from each other: the machine is
 * named in each line.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/report.h"
#include "bench/trial.h"
#include "bench/words.h"

#define MAX_ROUNDS   15
#define MAX_POLICIES 6
#define MAX_ROWS     1000000
#define MAX_LINE     (1 << 20)
#define LIMIT_S      1800
#define SMALL_KV     "2M" /* about 1,000 tokens of the model's */
#define LARGE_KV     "32M"

struct unequal {
    struct bed bed;
    const char *model, *input;
    int rows, rounds, n_policies;
    const char *policies[MAX_POLICIES];
    double seconds[MAX_POLICIES][MAX_ROUNDS];
    struct trial_result last;
    uint64_t answers; /* of the first run; 0: there was none */
};

static const char *const NAMES[] = {"one thread", "two threads", "small KV"};

/* --- the rows --------------------------------------------------------------------------------- */

/* Row n, from the input's line: with an id of its own, since lines come again. */
static void write_row(FILE *out, json_t *line, int n)
{
    char id[24];

    snprintf(id, sizeof id, "row-%07d", n);
    if (json_object_set_new(line, "custom_id", json_string(id)) ||
        json_dumpf(line, out, JSON_COMPACT) || fputc('\n', out) == EOF)
        report_fail("row %d cannot be written", n);
}

/* The input's good lines, from its start again behind its end. */
static void write_rows(const struct unequal *u, const char *path)
{
    FILE *in = fopen(u->input, "re"), *out = fopen(path, "we");
    char *text = malloc(MAX_LINE);
    int n = 0, before = -1;

    if (!in || !out || !text) report_fail("%s, %s: %s", u->input, path, strerror(errno));
    while (n < u->rows && n != before) {
        before = n;
        rewind(in);
        while (n < u->rows && fgets(text, MAX_LINE, in)) {
            json_t *line = json_loads(text, 0, NULL);

            if (json_is_object(line)) write_row(out, line, n++);
            json_decref(line);
        }
    }
    if (n < u->rows) report_fail("%s: no row in it", u->input);
    free(text);
    fclose(in);
    if (fclose(out)) report_fail("%s: %s", path, strerror(errno));
}

/* --- runs ------------------------------------------------------------------------------------- */

/* Each kind of worker by itself: three that start at once would measure each other. */
static void profile(const struct unequal *u, const char *threads)
{
    pid_t pid = bed_spawn(
        (const char *const[]){u->bed.program, "profile", "-m", u->model, "-t", threads, NULL});
    int status;

    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
        report_fail("%s: a profile with %s threads failed", u->model, threads);
}

/* What earlier runs measured is forgotten. */
static void open_contexts(const struct unequal *u)
{
    char contexts[PATH_MAX], command[PATH_MAX + 16];

    bed_path(&u->bed, "../contexts-unequal", contexts);
    snprintf(command, sizeof command, "rm -rf '%s'", contexts);
    if (system(command)) report_fail("%s", command);
    setenv("NIGHTMILL_CONTEXT_DIR", contexts, 1);
    profile(u, "1");
    profile(u, "2");
}

static struct trial trial_of(const struct unequal *u, const char *policy, const char *input)
{
    return (struct trial){
        .policy = policy,
        .input = input,
        .rows = u->rows,
        .instances = 3,
        .n_workers = 3,
        .limit_s = LIMIT_S,
        .workers = {
            {"-m", u->model, "--name", NAMES[0], "-t", "1", "--kv-cache-memory-bytes", LARGE_KV},
            {"-m", u->model, "--name", NAMES[1], "-t", "2", "--kv-cache-memory-bytes", LARGE_KV},
            {"-m", u->model, "--name", NAMES[2], "-t", "1", "--kv-cache-memory-bytes", SMALL_KV}}};
}

/* How the rows were shared, and until when each worker had some: seconds before the last of all. */
static void report_shares(const struct unequal *u, const char *policy)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char sql[512], name[128];

        snprintf(sql, sizeof sql,
                 "SELECT count(*) FROM result JOIN instance USING (instance_id) WHERE name='%s'",
                 NAMES[i]);
        snprintf(name, sizeof name, "%s: rows of the worker with %s, last round", policy, NAMES[i]);
        report_figure(&(struct figure){.bench = "unequal",
                                       .figure = name,
                                       .value = (double)bed_count(&u->bed, sql),
                                       .unit = "rows"});
        snprintf(sql, sizeof sql,
                 "SELECT (SELECT max(done_ms) FROM result) - coalesce(max(done_ms), 0) FROM result "
                 "JOIN instance USING (instance_id) WHERE name='%s'",
                 NAMES[i]);
        snprintf(name, sizeof name, "%s: the worker with %s ended before the last, last round",
                 policy, NAMES[i]);
        report_figure(&(struct figure){.bench = "unequal",
                                       .figure = name,
                                       .value = (double)bed_count(&u->bed, sql) * 1e-3,
                                       .unit = "s"});
    }
}

static void run(struct unequal *u, int policy, int round, const char *input)
{
    const char *name = u->policies[policy];
    const struct trial t = trial_of(u, *name ? name : NULL, input);

    trial_run(&u->bed, &t, &u->last);
    u->seconds[policy][round] = u->last.seconds;
    fprintf(stderr, "unequal: round %d, %s: %.2f s\n", round + 1, u->policies[policy],
            u->last.seconds);
    if (!u->answers) u->answers = u->last.answers;
    if (u->answers != u->last.answers)
        report_fail("%s, round %d: other answers than in the first run", u->policies[policy],
                    round + 1);
    if (round + 1 == u->rounds) report_shares(u, u->policies[policy]);
}

static void report_rates(struct unequal *u)
{
    double s[MAX_POLICIES];
    char name[160];

    for (int i = 0; i < u->n_policies; i++)
        s[i] = report_median(u->seconds[i], (size_t)u->rounds);
    for (int i = 0; i < u->n_policies; i++) {
        const bool is_ours = i == 0 && u->n_policies > 1;

        snprintf(name, sizeof name, "%d rows by 1 thread, 2 threads and small KV, %s", u->rows,
                 u->policies[i]);
        report_figure(&(struct figure){.bench = "unequal",
                                       .figure = name,
                                       .value = u->rows / s[i],
                                       .unit = "rows/s",
                                       .against = is_ours ? u->policies[1] : NULL,
                                       .ratio = is_ours ? s[1] / s[0] : 0});
    }
}

static void read_options(struct unequal *u, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "r:n:p:m:i:")) != -1) {
        if (c == 'r')
            u->rows = (int)words_number(optarg, MAX_ROWS);
        else if (c == 'n')
            u->rounds = (int)words_number(optarg, MAX_ROUNDS);
        else if (c == 'p' && u->n_policies < MAX_POLICIES)
            u->policies[u->n_policies++] = optarg;
        else if (c == 'm')
            u->model = optarg;
        else if (c == 'i')
            u->input = optarg;
        else
            report_fail("bench_unequal [-r ROWS] [-n ROUNDS] [-p POLICY]... [-m MODEL] [-i INPUT]");
    }
    if (!u->n_policies) {
        u->policies[u->n_policies++] = "sized";
        u->policies[u->n_policies++] = "round_robin";
    }
}

int main(int argc, char **argv)
{
    struct unequal u = {.model = "examples/tidy",
                        .input = "examples/messy_cells.jsonl",
                        .rows = 20000,
                        .rounds = 5};
    char input[PATH_MAX];

    read_options(&u, argc, argv);
    bed_open(&u.bed, argv[0]);
    open_contexts(&u);
    bed_path(&u.bed, "rows.jsonl", input);
    write_rows(&u, input);
    for (int round = 0; round < u.rounds; round++)
        for (int i = 0; i < u.n_policies; i++)
            run(&u, i, round, input);
    report_rates(&u);
    bed_close(&u.bed);
    return EXIT_SUCCESS;
}
