/* e2e_plan.c - plans and nodes through real processes: what is planned runs, where it was planned.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/process.h"
#include "tests/test.h"

#define MODEL "examples/tidy"
#define INPUT "examples/messy_dates.jsonl"

struct scene {
    char db[512];
    struct process broker, node;
};

static struct scene s;

static int64_t ask(const char *sql)
{
    return process_sql(s.db, sql);
}

/* Until a query gives this. */
static void wait_for(const char *sql, int64_t want)
{
    for (int i = 0; i < 3000 && ask(sql) != want; i++)
        process_sleep_ms(10);
    ck_assert_msg(ask(sql) == want, "%s is not %lld but %lld", sql, (long long)want,
                  (long long)ask(sql));
}

static void start_node(struct process *p, const char *name)
{
    PROCESS_START(p, NULL, "node", "--db", s.db, "-m", MODEL, "--name", name, "--threads", "1",
                  "--kv-cache-memory-bytes", "1M", "--profile-seconds", "0");
}

static void scene_open(void)
{
    snprintf(s.db, sizeof s.db, "%s", test_path("p.db"));
    PROCESS_START(&s.broker, NULL, "broker", "--db", s.db, "--lost-ms", "1500");
    start_node(&s.node, "desk");
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 1);
}

static void scene_close(void)
{
    process_kill(&s.node, SIGTERM);
    wait_for("SELECT count(*) FROM node WHERE state='here'", 0);
    process_kill(&s.broker, SIGTERM);
}

static int plan(struct process *p, const char *more)
{
    return PROCESS_RUN(p, 60, "plan", "--db", s.db, "-m", MODEL, "-i", INPUT, more);
}

static void expect_in(const char *path, const char *words)
{
    struct buf b = process_read(path);

    ck_assert_msg(b.data && strstr(b.data, words), "'%s' is not in: %s", words, b.data);
    buf_fini(&b);
}

static void submit(void)
{
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "submit", INPUT, "--db", s.db, "--batch", "dates"), 1);
}

/* --- nodes */

START_TEST(a_node_without_a_plan_runs_a_worker_on_its_device)
{
    scene_open();
    ck_assert_int_eq(ask("SELECT count(*) FROM nodes WHERE name='desk' AND state='here' AND "
                         "cores>0 AND memory_bytes>0 AND devices LIKE 'cpu %'"),
                     1);
    ck_assert_int_eq(ask("SELECT count(*) FROM instance WHERE name='desk-1' AND threads=1"), 1);
    submit();
    wait_for("SELECT done FROM progress", 2000);
    scene_close();
    ck_assert_int_eq(ask("SELECT count(*) FROM instance WHERE state='here'"), 0);
}
END_TEST

START_TEST(a_saved_plan_is_put_to_work_and_its_rows_finish)
{
    struct process p;

    scene_open();
    ck_assert_int_eq(plan(&p, "--save"), 1); /* three bad lines */
    expect_in(p.out, "best plan: ");
    expect_in(p.err, "plan 1 is active: 1 instance");
    ck_assert_int_eq(ask("SELECT count(*) FROM plans WHERE node='desk' AND devices='cpu' AND n=1 "
                         "AND model='tidy' AND rows=2000 AND rows_per_s>0 AND kv_tokens>0"),
                     1);
    wait_for("SELECT count(*) FROM instance", 2); /* the plan's in place of its own */
    wait_for("SELECT count(*) FROM plans WHERE state='here'", 1);
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 1);
    submit();
    wait_for("SELECT done FROM progress", 2000);
    scene_close();
}
END_TEST

START_TEST(a_plan_that_gives_a_node_nothing_ends_its_workers)
{
    struct process p, other;

    scene_open();
    ck_assert_int_eq(plan(&p, "--save"), 1);
    wait_for("SELECT count(*) FROM plans WHERE state='here'", 1);
    process_kill(&s.node, SIGTERM);
    wait_for("SELECT count(*) FROM node WHERE state='here'", 0);
    start_node(&other, "attic"); /* the plan does not know it */
    wait_for("SELECT count(*) FROM node WHERE state='here'", 1);
    ck_assert_int_eq(plan(&p, "--save"), 1);
    wait_for("SELECT count(*) FROM plans WHERE node='attic' AND state='here'", 1);
    start_node(&s.node, "desk");
    wait_for("SELECT count(*) FROM node WHERE state='here'", 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "plan", "--db", s.db, "--drop"), 0);
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 2); /* each its own again */
    ck_assert_int_eq(plan(&p, "--save"), 1);                         /* for both */
    wait_for("SELECT count(*) FROM plans WHERE state='here'", 2);
    process_kill(&other, SIGTERM);
    scene_close();
}
END_TEST

START_TEST(a_node_that_is_killed_is_gone_and_so_are_its_workers)
{
    scene_open();
    kill(s.node.pid, SIGKILL);
    process_wait(&s.node, 20);
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 0); /* they ended with it */
    wait_for("SELECT count(*) FROM nodes WHERE state='gone'", 1);
    start_node(&s.node, "desk");
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 1);
    ck_assert_int_eq(ask("SELECT count(*) FROM nodes"), 1);
    scene_close();
}
END_TEST

START_TEST(a_worker_that_is_killed_is_started_again)
{
    scene_open();
    ck_assert_int_eq(kill(process_child_of(s.node.pid), SIGKILL), 0);
    wait_for("SELECT count(*) FROM instance", 2);
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 1);
    expect_in(s.node.err, "worker desk-1 on cpu ended by signal 9 (Killed); starting it again");
    scene_close();
}
END_TEST

START_TEST(a_node_of_another_model_runs_nothing_of_the_plan)
{
    struct process p;

    scene_open();
    ck_assert_int_eq(symlink(realpath(MODEL, NULL), test_path("tidier")), 0);
    ck_assert_int_eq(
        PROCESS_RUN(&p, 60, "plan", "--db", s.db, "-m", test_path("tidier"), "-i", INPUT, "--save"),
        1);
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 0);
    expect_in(s.node.err, "plan 1 is for model tidier, and this node has tidy");
    scene_close();
}
END_TEST

START_TEST(a_plan_for_machines_that_are_not_here_says_which)
{
    static const char LAB[] = "{\"machines\":[{\"name\":\"rack\",\"count\":2,\"card\":\"L4\"}]}";
    struct process p;

    scene_open();
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "plan", "--db", s.db, "-m", MODEL, "-i", INPUT, "--save",
                                 "--cluster", test_file("lab.json", LAB, strlen(LAB))),
                     1);
    expect_in(p.err, "no node of that name is here yet: rack-1, rack-2");
    ck_assert_int_eq(ask("SELECT count(*) FROM plans WHERE state='away' AND devices='cuda:0'"), 2);
    wait_for("SELECT count(*) FROM instance WHERE state='here'", 0); /* nothing for desk */
    scene_close();
}
END_TEST

/* --- dry runs */

START_TEST(a_plan_needs_no_broker_and_tells_all_of_the_rows)
{
    struct process p;

    snprintf(s.db, sizeof s.db, "%s", test_path("none.db"));
    ck_assert_int_eq(plan(&p, "--json"), 1);
    expect_in(p.out, "\"rows\":2003,\"good\":2000");
    expect_in(p.out, "\"bad\":{\"invalid_json_line\":1,\"invalid_request\":2}");
    expect_in(p.out, "\"machines_of\":\"this machine\"");
    expect_in(p.out, "\"instances\":[{\"machine\":");
    ck_assert_int_ne(access(s.db, F_OK), 0); /* and makes no file */
    ck_assert_int_eq(plan(&p, "--save"), 3);
    expect_in(p.err, "nightmill plan: ");
}
END_TEST

START_TEST(a_batch_is_planned_as_its_answers_were_so_far)
{
    struct process p;

    scene_open();
    submit();
    wait_for("SELECT done FROM progress", 2000);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "plan", "--db", s.db, "-m", MODEL, "--batch", "dates"), 3);
    expect_in(p.err, "dates holds no rows that are not finished");
    ck_assert_int_eq(
        PROCESS_RUN(&p, 60, "plan", "--db", s.db, "-m", MODEL, "-i", INPUT, "--like", "dates"), 1);
    expect_in(p.out, "like those of the 2000 finished rows of dates");
    ck_assert_int_eq(
        PROCESS_RUN(&p, 60, "plan", "--db", s.db, "-m", MODEL, "-i", INPUT, "--like", "nobody"), 3);
    expect_in(p.err, "there is no batch 'nobody'");
    scene_close();
}
END_TEST

START_TEST(what_cannot_be_planned_is_told_in_one_line)
{
    static const struct {
        const char *words[6], *says;
        int code;
    } BAD[] = {{{"-i", INPUT}, "--model is missing", 2},
               {{"-m", MODEL}, "--input or --batch is missing", 2},
               {{"-m", MODEL, "-i", INPUT, "--batch", "b"}, "both given", 2},
               {{"-m", MODEL, "-i", "/dev/null"}, "null holds no rows", 3},
               {{"-m", "no/model", "-i", INPUT}, "no/model", 3},
               {{"-m", MODEL, "-i", "no/file"}, "no/file", 3},
               {{"-m", MODEL, "-i", INPUT, "--dtype", "bf17"}, "'bf17' is not", 2},
               {{"-m", MODEL, "-i", INPUT, "--kv-cache-dtype", "int8"}, "not stored in int8", 2},
               {{"-m", MODEL, "-i", INPUT, "--max-model-len", "9999"}, "limit is 512", 2},
               {{"-m", MODEL, "-i", INPUT, "--cluster", "no/lab.json"}, "no/lab.json", 3}};

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        const char *const *w = BAD[i].words;
        struct process p;
        struct buf err;

        ck_assert_int_eq(PROCESS_RUN(&p, 60, "plan", w[0], w[1], w[2], w[3], w[4], w[5]),
                         BAD[i].code);
        expect_in(p.err, BAD[i].says);
        err = process_read(p.err);
        ck_assert_msg(strchr(err.data, '\n') == err.data + err.len - 1, "more lines: %s", err.data);
        buf_fini(&err);
    }
}
END_TEST

START_TEST(a_card_that_nobody_knows_is_named)
{
    static const char LAB[] = "{\"machines\":[{\"name\":\"a\",\"cards\":[\"Z9000\"]}]}";
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "plan", "-m", MODEL, "-i", INPUT, "--cluster",
                                 test_file("lab.json", LAB, strlen(LAB))),
                     3);
    expect_in(p.err, "Z9000");
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("plan");
    TCase *t = tcase_create("nodes"), *d = tcase_create("dry");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_node_without_a_plan_runs_a_worker_on_its_device);
    tcase_add_test(t, a_saved_plan_is_put_to_work_and_its_rows_finish);
    tcase_add_test(t, a_plan_that_gives_a_node_nothing_ends_its_workers);
    tcase_add_test(t, a_node_that_is_killed_is_gone_and_so_are_its_workers);
    tcase_add_test(t, a_worker_that_is_killed_is_started_again);
    tcase_add_test(t, a_node_of_another_model_runs_nothing_of_the_plan);
    tcase_add_test(t, a_plan_for_machines_that_are_not_here_says_which);
    tcase_add_test(t, a_batch_is_planned_as_its_answers_were_so_far);
    suite_add_tcase(su, t);
    tcase_set_timeout(d, 60);
    tcase_add_test(d, a_plan_needs_no_broker_and_tells_all_of_the_rows);
    tcase_add_test(d, what_cannot_be_planned_is_told_in_one_line);
    tcase_add_test(d, a_card_that_nobody_knows_is_named);
    suite_add_tcase(su, d);
    return su;
}

TEST_MAIN(suite)
