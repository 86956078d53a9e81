/* e2e_kill.c - kill -9 of anything, at any moment: the batch finishes with each row exactly once.
 *
 * Twenty kills in one job, at 2 to 98 % of the rows done: of the broker, of a worker, of `nightmill
 * run`; five of them by a fault point inside the commit.  TEST_SEED chooses the victims.
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tests/process.h"
#include "tests/test.h"

#define KILLS    20
#define BY_FAULT 5
#define ROWS     2000
#define MODEL    "examples/tidy"
#define INPUT    "examples/messy_cells.jsonl"

static uint64_t seed;

static unsigned rnd(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

struct scene {
    char db[512], output[512];
    struct process broker, worker, run;
    bool whole; /* `run` is everything */
};

static void start(struct scene *s, bool whole, const char *fault)
{
    s->whole = whole;
    if (whole) {
        PROCESS_START(&s->run, fault, "run", "-i", INPUT, "-o", s->output, "--db", s->db, "--batch",
                      "cells", "-m", MODEL, "--threads", "2");
        return;
    }
    PROCESS_START(&s->broker, fault, "broker", "--db", s->db);
    PROCESS_START(&s->worker, NULL, "worker", "--db", s->db, "-m", MODEL, "--threads", "2");
    /* Submitted again each time, as a user would: it adds nothing. */
    PROCESS_START(&s->run, NULL, "submit", INPUT, "--db", s->db, "--batch", "cells");
}

static int64_t rows_done(const struct scene *s)
{
    return process_sql(s->db, "SELECT count(*) FROM result");
}

/* Waits until so many rows are done, or the process that a fault shall end has ended. */
static void wait_for(struct scene *s, int64_t target, struct process *doomed)
{
    int64_t until = clock_mono_ms() + 60000;
    int status = 0;

    while (rows_done(s) < target) {
        if (doomed && process_ended(doomed, &status)) return;
        ck_assert_msg(clock_mono_ms() < until,
                      "no headway: %lld rows done, %lld wanted (seed %llu)",
                      (long long)rows_done(s), (long long)target, (unsigned long long)seed);
        process_sleep_ms(2);
    }
}

static void end_all(struct scene *s)
{
    process_kill(&s->run, SIGKILL);
    process_kill(&s->broker, SIGKILL);
    process_kill(&s->worker, SIGKILL);
}

/* One round: start, reach the target, kill. */
static void round_of(struct scene *s, int k, int64_t target)
{
    bool by_fault = k % (KILLS / BY_FAULT) == 1;
    char fault[40];
    struct process *victim;
    pid_t child;

    snprintf(fault, sizeof fault, "commit:%u:kill", 4 + rnd(6));
    start(s, rnd(2), by_fault ? fault : NULL);
    victim = s->whole ? &s->run : &s->broker;
    if (by_fault) {
        ck_assert_int_eq(process_wait(victim, 60), 128 + SIGKILL); /* it died inside a commit */
    } else {
        wait_for(s, target, NULL);
        if (rnd(3) == 0) { /* a worker alone: the others go on */
            child = s->whole ? process_child_of(s->run.pid) : s->worker.pid;
            if (child) kill(child, SIGKILL);
            if (s->whole) wait_for(s, target + 1, NULL); /* run starts another */
        }
    }
    printf("kill %d at %lld rows (wanted %lld)%s\n", k + 1, (long long)rows_done(s),
           (long long)target, by_fault ? ", inside a commit" : "");
    end_all(s);
}

START_TEST(twenty_kills_and_each_row_is_there_once)
{
    struct scene s = {0};
    struct buf out;
    int64_t lines = 0;
    const char *env = getenv("TEST_SEED");

    seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    snprintf(s.db, sizeof s.db, "%s", test_path("night.db"));
    snprintf(s.output, sizeof s.output, "%s", test_path("out.jsonl"));
    for (int k = 0; k < KILLS; k++)
        round_of(&s, k, ROWS * (2 + 96 * k / (KILLS - 1)) / 100);

    start(&s, true, NULL);
    ck_assert_int_eq(process_wait(&s.run, 120), 0);
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM job"), ROWS);
    ck_assert_int_eq(process_sql(s.db, "SELECT count(DISTINCT custom_id) FROM prompt"), ROWS);
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM result"),
                     ROWS); /* Q1: its key is the job */
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM job WHERE state<>1"), 0);
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM attempt WHERE counts"),
                     0); /* Q7: no attempt was used up */
    ck_assert_int_eq(process_sql(s.db, "SELECT n_done*10000+n_ready FROM batch"),
                     ROWS * 10000); /* counters agree */
    ck_assert_int_ge(process_sql(s.db, "SELECT value FROM meta WHERE key='epoch'"), KILLS);
    out = process_read(s.output);
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    ck_assert_int_eq(lines, ROWS);
    buf_fini(&out);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kill");
    TCase *t = tcase_create("kill");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, twenty_kills_and_each_row_is_there_once);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
