/* e2e_queries.c - what a person asks while a job is under way: queries, instances, top, report. */
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define MODEL   "examples/tidy"
#define QUERIES 20

struct scene {
    char db[512];
    struct process broker, worker;
};

static struct scene s;

/* Two batches, one with bad lines; the larger one lasts as long as the test looks. */
static void scene_open(void)
{
    struct buf rows = {0};
    struct process p;

    snprintf(s.db, sizeof s.db, "%s", test_path("q.db"));
    PROCESS_START(&s.broker, NULL, "broker", "--db", s.db);
    PROCESS_START(&s.worker, NULL, "worker", "--db", s.db, "-m", MODEL, "--name", "desk",
                  "--threads", "1");
    while (process_sql(s.db, "SELECT count(*) FROM instances WHERE state='here'") < 1)
        process_sleep_ms(10);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "submit", "examples/messy_dates.jsonl", "--db", s.db,
                                 "--batch", "dates"),
                     1);
    for (int i = 0; i < 20000; i++)
        buf_printf(&rows,
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"Clean the date. Locale: de. "
                   "Cell: %d.%d.%d\"}],\"max_tokens\":24,\"temperature\":0}\n",
                   1 + i % 28, 1 + i / 28 % 12, 1900 + i / 336);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "submit", test_file("long.jsonl", rows.data, rows.len),
                                 "--db", s.db, "--batch", "long"),
                     0);
    buf_fini(&rows);
    while (process_sql(s.db, "SELECT count(*) FROM instance_metric") < 1 ||
           process_sql(s.db, "SELECT sum(done>0) FROM progress") < 2)
        process_sleep_ms(10);
}

static void scene_close(void)
{
    ck_assert_int_gt(process_sql(s.db, "SELECT sum(ready) FROM progress"), 0); /* under way */
    process_kill(&s.worker, SIGTERM);
    process_kill(&s.broker, SIGTERM);
}

static size_t count_lines(const char *path)
{
    struct buf b = process_read(path);
    size_t n = 0;

    for (size_t i = 0; i < b.len; i++)
        n += b.data[i] == '\n';
    buf_fini(&b);
    return n;
}

static void expect_in(const char *path, const char *words)
{
    struct buf b = process_read(path);

    ck_assert_msg(strstr(b.data, words) != NULL, "'%s' is not in: %s", words, b.data);
    buf_fini(&b);
}

/* One query with its comment, from `at` on; NULL behind the last one. */
static char *next_query(char *at, char **query)
{
    char *end;

    at = strstr(at, "\n-- ");
    if (!at) return NULL;
    *query = ++at;
    end = strstr(at, ";\n");
    ck_assert_msg(end != NULL, "no end of: %s", at);
    *end = '\0';
    return end + 1;
}

START_TEST(every_query_of_the_examples_gives_rows_while_a_job_is_under_way)
{
    struct buf file = process_read("examples/queries.sql");
    char *query, *at = strstr(file.data, "\n\n"); /* behind the file's own words */
    int n = 0;

    ck_assert_ptr_nonnull(at);
    scene_open();
    while ((at = next_query(at, &query))) {
        struct process p;
        char *line = strchr(query, '\n');

        n++;
        ck_assert_msg(line && line[-1] == '?' && line[1] != '-', "no question of one line: %s",
                      query);
        ck_assert_msg(PROCESS_RUN(&p, 60, "sql", "--db", s.db, line + 1) == 0, "%s", query);
        ck_assert_msg(count_lines(p.out) >= 2, "no rows: %s", query); /* the head, and one */
    }
    ck_assert_int_eq(n, QUERIES);
    scene_close();
    buf_fini(&file);
}
END_TEST

START_TEST(instances_and_top_show_who_works)
{
    struct process p;

    scene_open();
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "instances", "--db", s.db), 0);
    expect_in(p.out, "desk");
    expect_in(p.out, "tidy");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "instances", "--db", s.db, "--json"), 0);
    expect_in(p.out, "\"name\":\"desk\"");
    expect_in(p.out, "\"memory_bytes\":");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "top", "--db", s.db, "--count", "1"), 0);
    expect_in(p.out, "batch long: running, ");
    expect_in(p.out, "instance desk: ");
    scene_close();
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "instances", "--db", s.db), 0);
    expect_in(p.out, "no instance is here");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "instances", "--db", s.db, "--all"), 0);
    expect_in(p.out, "gone");
}
END_TEST

START_TEST(a_row_is_found_by_the_hash_of_its_id)
{
    struct process p;

    scene_open();
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "sql", "--db", s.db,
                                 "SELECT line FROM results WHERE batch='dates' AND"
                                 " id_hash=id_hash('line-500')"),
                     0);
    expect_in(p.out, "line\n 500\n");
    scene_close();
}
END_TEST

START_TEST(top_on_a_terminal_is_a_screen_that_q_ends)
{
    const struct winsize size = {.ws_row = 24, .ws_col = 60};
    struct buf seen = {0};
    char bytes[4096];
    int fd, status;
    ssize_t n;
    pid_t pid;

    scene_open();
    pid = forkpty(&fd, NULL, NULL, &size);
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        execl(process_program(), "nightmill", "top", "--db", s.db, (char *)NULL);
        _exit(127);
    }
    while ((n = read(fd, bytes, sizeof bytes)) > 0) { /* to the end of what it writes */
        buf_add(&seen, bytes, (size_t)n);
        if (memmem(bytes, (size_t)n, "q quits", 7)) ck_assert_int_eq(write(fd, "q", 1), 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
    ck_assert_ptr_nonnull(strstr(seen.data, "\033[?1049h")); /* a screen of its own */
    ck_assert_ptr_nonnull(strstr(seen.data, "\033[?1049l")); /* and given back */
    ck_assert_ptr_nonnull(strstr(seen.data, "desk"));
    for (char *line = seen.data, *end; (end = strstr(line, "\033[K")); line = end + 1)
        ck_assert_int_le(end - line, 60 + 24); /* its columns, and what moves the cursor */
    close(fd);
    buf_fini(&seen);
    scene_close();
}
END_TEST

START_TEST(what_is_old_is_thinned_while_the_broker_runs)
{
    struct metric_row m = {.span_ms = 2000, .rows = 1, .steps = 1};
    int64_t old_ms = (clock_wall_ms() / 60000 - 120) * 60000; /* two hours ago */
    const char *db = test_path("old.db");
    struct queue *q = rows_open(db);
    struct process broker;
    struct errmsg e;

    m.instance_id = rows_instance(q, "u");
    ck_assert_int_eq(queue_begin(q, &e), 0);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(queue_put_metric(q, &m, old_ms + i * 2000, &e), 0);
    ck_assert_int_eq(queue_commit(q, &e), 0);
    queue_close(&q);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM instance_metric"), 30);
    PROCESS_START(&broker, NULL, "broker", "--db", db);
    while (process_sql(db, "SELECT count(*) FROM instance_metric") > 1)
        process_sleep_ms(10);
    ck_assert_int_eq(process_sql(db, "SELECT rows FROM instance_metric"), 30);
    process_kill(&broker, SIGTERM);
}
END_TEST

START_TEST(top_ends_at_a_signal)
{
    struct process p;

    scene_open();
    PROCESS_START(&p, NULL, "top", "--db", s.db, "--interval", "3600");
    while (access(p.out, R_OK) || count_lines(p.out) < 2)
        process_sleep_ms(5);
    kill(p.pid, SIGTERM);
    ck_assert_int_eq(process_wait(&p, 20), 0);
    scene_close();
}
END_TEST

START_TEST(a_report_can_be_had_while_a_job_is_under_way)
{
    const char *page = test_path("night.html");
    struct process p;

    scene_open();
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "report", "dates", "--db", s.db), 0);
    expect_in(p.out, "invalid_json_line");
    expect_in(p.out, "desk");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "report", "--db", s.db, "-o", page), 0);
    expect_in(page, "<svg");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "report", "nobody", "--db", s.db), 3);
    expect_in(p.err, "nobody");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "report", "--db", s.db, "-o", s.db), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "report", "--db", s.db, "--format", "pdf"), 2);
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("queries");
    TCase *t = tcase_create("queries");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, every_query_of_the_examples_gives_rows_while_a_job_is_under_way);
    tcase_add_test(t, instances_and_top_show_who_works);
    tcase_add_test(t, a_row_is_found_by_the_hash_of_its_id);
    tcase_add_test(t, top_on_a_terminal_is_a_screen_that_q_ends);
    tcase_add_test(t, what_is_old_is_thinned_while_the_broker_runs);
    tcase_add_test(t, top_ends_at_a_signal);
    tcase_add_test(t, a_report_can_be_had_while_a_job_is_under_way);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
