/* e2e_faults.c - workers that stop, hang, lose a lease or come back to another file: their rows
 * are done once, by somebody. */
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "tests/mill.h"
#include "tests/rows.h"
#include "tests/test.h"

static struct mill m;
static struct process broker, a, b, client;

#define EXPIRED   "SELECT count(*) FROM attempt WHERE code='lease_expired'"
#define STALLS    "SELECT count(*) FROM event WHERE unit='worker' AND text LIKE 'stalled%'"
#define LOSSES    "SELECT count(*) FROM event WHERE unit='worker' AND text LIKE 'lost%'"
#define HERE(who) "SELECT count(*) FROM instance WHERE state='here' AND name='" who "'"

static void start_broker(const char *lease_ms, const char *lost_ms, const char *stall_ms)
{
    PROCESS_START(&broker, NULL, "broker", "--db", m.db, "--lease-ms", lease_ms, "--lost-ms",
                  lost_ms, "--stall-ms", stall_ms, "--heartbeat-ms", "100");
}

static void start_worker(struct process *p, const char *fault, const char *name)
{
    mill_worker(&m, p, fault, name, "1");
    mill_wait(&m, "SELECT count(*) FROM instance WHERE state='here'", 1, 10);
}

/* A second batch, which only the worker that is left can do. */
static void still_works(const char *batch)
{
    int64_t done = mill_sql(&m, "SELECT sum(n_done) FROM batch");
    const char *file = test_file("more.jsonl", "{\"prompt\":\"one more\"}\n", 22);

    ck_assert_int_eq(PROCESS_RUN(&client, 10, "submit", file, "--db", m.db, "--batch", batch), 0);
    mill_wait_done(&m, done + 1, 20);
}

static void end_all(void)
{
    process_kill(&a, SIGKILL);
    process_kill(&b, SIGKILL);
    process_kill(&broker, SIGTERM);
}

START_TEST(q1_a_stopped_worker_lets_go_of_what_others_did)
{
    int64_t until, total;

    MILL_OPEN(&m, .rows = 200, .ms = 10);
    start_broker("1000", "600", "10000");
    start_worker(&a, NULL, "a");
    mill_submit(&m, &client);
    mill_wait_done(&m, 1, 10);
    kill(process_child_of(a.pid), SIGSTOP);
    until = clock_mono_ms() + 2000; /* twice its lease */
    start_worker(&b, NULL, "b");
    mill_wait_done(&m, 200, 30);
    ck_assert_int_ge(mill_sql(&m, LOSSES), 1);
    while (clock_mono_ms() < until)
        process_sleep_ms(5);
    kill(process_child_of(a.pid), SIGCONT);
    mill_wait(&m, HERE("a"), 1, 10);
    mill_verify(&m);
    process_kill(&b, SIGTERM);
    still_works("after"); /* by a, which has let go of what it held */
    m.rows++;
    printf("%lld rows computed twice\n", (long long)mill_twice(&m, &total));
    ck_assert_int_eq(mill_sql(&m, "SELECT count(*) FROM result"), m.rows);
    end_all();
}
END_TEST

START_TEST(a_broker_that_was_stopped_loses_nobody)
{
    int64_t until;

    MILL_OPEN(&m, .rows = 100);
    start_broker("1000", "600", "20000"); /* lease, silence, stall */
    start_worker(&a, NULL, "a");
    mill_submit(&m, &client);
    mill_wait_done(&m, 1, 10);
    kill(broker.pid, SIGSTOP);
    until = clock_mono_ms() + 2000; /* longer than each of them */
    while (clock_mono_ms() < until)
        process_sleep_ms(5);
    kill(broker.pid, SIGCONT);
    mill_wait_done(&m, 100, 30);
    ck_assert_int_eq(mill_sql(&m, LOSSES), 0);
    mill_verify(&m);
    end_all();
}
END_TEST

START_TEST(rows_of_a_hung_engine_go_elsewhere_in_seconds)
{
    int64_t began;

    MILL_OPEN(&m, .rows = 100, .more = ",\"hang_after_rows\":5");
    start_broker("600000", "600000", "500"); /* neither lease nor silence would find it */
    start_worker(&a, NULL, "a");
    mill_submit(&m, &client);
    mill_wait(&m, STALLS, 1, 20);
    ck_assert_int_eq(process_ended(&a, &(int){0}), 0); /* it beats */
    mill_sim(&m, (struct mill_opts){.rows = 100});     /* the next one does not hang */
    began = clock_mono_ms();
    start_worker(&b, NULL, "b");
    mill_wait_done(&m, 100, 10);
    printf("%lld ms until another had done the rows\n", (long long)(clock_mono_ms() - began));
    mill_verify(&m);
    end_all();
}
END_TEST

START_TEST(l2_a_lease_that_is_lost_on_the_way_runs_out)
{
    MILL_OPEN(&m, .rows = 40);
    start_broker("700", "60000", "10000");
    start_worker(&a, "lease:1:fail", "a");
    mill_submit(&m, &client);
    mill_wait(&m, EXPIRED, 1, 10);
    start_worker(&b, NULL, "b");
    mill_wait_done(&m, 40, 20);
    mill_verify(&m);
    process_kill(&b, SIGTERM);
    still_works("after"); /* by a, which asks again */
    end_all();
}
END_TEST

START_TEST(q2_an_ack_that_is_lost_is_said_again)
{
    MILL_OPEN(&m, .rows = 16);
    PROCESS_START(&broker, "ack:1:fail", "broker", "--db", m.db);
    start_worker(&a, NULL, "a");
    mill_submit(&m, &client);
    mill_wait_done(&m, 16, 10);
    kill(a.pid, SIGTERM);
    ck_assert_int_eq(process_wait(&a, 10), 0); /* all that it had was taken */
    mill_verify(&m);
    end_all();
}
END_TEST

static void start_broker_at(const char *db, const char *address)
{
    PROCESS_START(&broker, NULL, "broker", "--db", db, "--bind", address);
}

static void submit_to(const char *address, const char *db, const char *file)
{
    ck_assert_int_eq(
        PROCESS_RUN(&client, 20, "submit", file, "--db", db, "--broker", address, "--batch", "b"),
        0);
}

START_TEST(q1_nothing_lands_on_another_file)
{
    char address[600], other[512], short_rows[512];
    const char *of_first = "SELECT count(*) FROM result WHERE prompt_tokens<>101";
    const char *of_other = "SELECT count(*) FROM result WHERE prompt_tokens<>11";
    FILE *f;

    MILL_OPEN(&m, .rows = 32, .prompt_bytes = 400, .ms = 100);
    snprintf(address, sizeof address, "ipc://%s", test_path("s"));
    snprintf(other, sizeof other, "%s", test_path("other.db"));
    snprintf(short_rows, sizeof short_rows, "%s", test_path("short.jsonl"));
    ck_assert_ptr_nonnull(f = fopen(short_rows, "w"));
    for (int i = 0; i < 32; i++) /* job ids as in the first file */
        fprintf(f, "{\"custom_id\":\"row-%d\",\"prompt\":\"%040d\"}\n", i, i);
    fclose(f);
    start_broker_at(other, address);
    submit_to(address, other, short_rows);
    process_kill(&broker, SIGTERM);
    start_broker_at(m.db, address);
    PROCESS_START(&a, NULL, "worker", "--broker", address, "--device", m.sim, "--name", "a");
    submit_to(address, m.db, m.input);
    mill_wait_done(&m, 1, 20); /* more of them are under way */
    process_kill(&broker, SIGKILL);
    start_broker_at(other, address);
    /* At once: what it still did for the first file does not hold up its namesakes. */
    for (int64_t until = clock_mono_ms() + 15000;
         process_sql(other, "SELECT sum(n_done) FROM batch") < 32;) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(5);
    }
    ck_assert_int_eq(process_sql(other, of_other), 0);
    ck_assert_int_eq(process_sql(other, "SELECT count(*) FROM result"), 32);
    process_kill(&broker, SIGTERM);
    start_broker_at(m.db, address); /* and back */
    mill_wait_done(&m, 32, 30);
    ck_assert_int_eq(mill_sql(&m, of_first), 0);
    mill_verify(&m);
    end_all();
}
END_TEST

#define SUSPECTS "SELECT count(*) FROM attempt WHERE code='worker_crashed'"
#define GUILTY   "SELECT count(*) FROM errors WHERE code='poison' AND custom_id='row-150'"

START_TEST(q8_one_poison_row_among_300_fails_alone)
{
    int64_t total, twice;

    MILL_OPEN(&m, .rows = 300, .ms = 1, .seqs = 300, .more = ",\"poison\":\"0150\\\"\"");
    start_broker("30000", "10000", "10000");
    mill_submit(&m, &client); /* all of them are there for the first step */
    start_worker(&a, NULL, "a");
    mill_wait(&m, "SELECT sum(n_done+n_failed) FROM batch", 300, 60);
    ck_assert_int_eq(mill_sql(&m, "SELECT sum(n_done) FROM batch"), 299);
    ck_assert_int_eq(mill_sql(&m, GUILTY), 1);
    ck_assert_int_eq(mill_sql(&m, "SELECT count(*) FROM errors"), 1);
    /* The price: the rows of one step begin again, and two more ends of the worker. */
    ck_assert_int_eq(mill_sql(&m, "SELECT count(*) FROM instance"), 4);
    ck_assert_int_le(mill_sql(&m, SUSPECTS), 302);
    twice = mill_twice(&m, &total);
    ck_assert_int_eq(twice, 0); /* what crashed was not done */
    ck_assert_int_eq(total, 299);
    rows_recount(m.db);
    end_all();
}
END_TEST

/* SV1 */
START_TEST(a_broken_worker_is_given_up_before_it_fails_the_batch)
{
    MILL_OPEN(&m, .rows = 30, .ms = 1, .seqs = 1, .more = ",\"poison\":\"0\"");
    start_broker("30000", "10000", "10000");
    mill_submit(&m, &client);
    start_worker(&a, NULL, "a");
    ck_assert_int_eq(process_wait(&a, 60), 128 + SIGSEGV);
    ck_assert_int_eq(mill_sql(&m, "SELECT sum(n_failed) FROM batch"), 5);
    ck_assert_int_eq(mill_sql(&m, "SELECT sum(n_ready) FROM batch"), 25);
    end_all();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("faults");
    TCase *t = tcase_create("faults");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, q1_a_stopped_worker_lets_go_of_what_others_did);
    tcase_add_test(t, a_broker_that_was_stopped_loses_nobody);
    tcase_add_test(t, rows_of_a_hung_engine_go_elsewhere_in_seconds);
    tcase_add_test(t, l2_a_lease_that_is_lost_on_the_way_runs_out);
    tcase_add_test(t, q2_an_ack_that_is_lost_is_said_again);
    tcase_add_test(t, q1_nothing_lands_on_another_file);
    tcase_add_test(t, q8_one_poison_row_among_300_fails_alone);
    tcase_add_test(t, a_broken_worker_is_given_up_before_it_fails_the_batch);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
