/* e2e_submit.c - what submit's options become in the queue file, through a real broker. */
#include <signal.h>
#include <string.h>

#include "tests/process.h"
#include "tests/test.h"

#define LONG                                                                                       \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"     \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"     \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
#define ROWS                                                                                       \
    "{\"custom_id\":\"a\",\"prompt\":\"" LONG "x\",\"temperature\":0}\n"                           \
    "{\"custom_id\":\"b\",\"prompt\":\"short\",\"priority\":-9}\n"                                 \
    "{\"custom_id\":\"c\",\"prompt\":\"" LONG "y\"}\n"
/* Only the first is fixed: greedy. */
#define TIDY                                                                                       \
    "{\"custom_id\":\"a\",\"prompt\":\"x\",\"max_tokens\":2,\"temperature\":0}\n"                  \
    "{\"custom_id\":\"b\",\"prompt\":\"y\",\"max_tokens\":2,\"temperature\":1}\n"

static struct process broker;
static const char *db, *file;

static void set_up(void)
{
    db = test_path("q.db");
    file = test_file("rows.jsonl", ROWS, strlen(ROWS));
    PROCESS_START(&broker, NULL, "broker", "--db", db);
    while (process_sql(db, "SELECT count(*) FROM batch") < 0)
        process_sleep_ms(10);
}

static void tear_down(void)
{
    process_kill(&broker, SIGTERM);
}

#define expect_sql(sql, value) ck_assert_int_eq(process_sql(db, sql), value)

static int submit_with(const char *const *words, const char *said)
{
    const char *all[16] = {"submit", file, "--db", db};
    struct process p;
    struct buf text;
    int n = 4, code;

    while (*words)
        all[n++] = *words++;
    code = process_run(&p, 20, all);
    text = process_read(p.err);
    ck_assert_msg(strstr(text.data, said) != NULL, "'%s' is not in: %s", said, text.data);
    buf_fini(&text);
    return code;
}
#define SUBMIT(said, ...) submit_with((const char *const[]){__VA_ARGS__, NULL}, said)

START_TEST(options_are_the_batchs_and_a_later_submit_does_not_change_them)
{
    ck_assert_int_eq(SUBMIT("3 new", "--priority", "5", "--deadline", "2286-11-20 17:46",
                            "--not-before", "10", "--window", "22:00-07:30", "--reuse"),
                     0);
    expect_sql("SELECT priority FROM batch", 5);
    expect_sql("SELECT deadline_ms/86400000 FROM batch", 115740); /* the day, in any zone */
    expect_sql("SELECT not_before_ms FROM batch", 10000);
    expect_sql("SELECT window_from*10000+window_to FROM batch", 13200450);
    expect_sql("SELECT reuse FROM batch", 1);
    expect_sql("SELECT max_attempts FROM batch", 3);
    ck_assert_int_eq(SUBMIT("keeps priority 5 (not 6), window to 07:30 (not 08:00)", "--priority",
                            "6", "--window", "22:00-08:00"),
                     0);
    expect_sql("SELECT priority FROM batch", 5);
    ck_assert_int_eq(SUBMIT("3 there already\n", "--priority", "5"), 0);
}
END_TEST

START_TEST(rows_have_their_own_priority_and_their_prefix_group)
{
    ck_assert_int_eq(SUBMIT("3 new", "--priority", "2"), 0);
    expect_sql("SELECT count(*) FROM job WHERE priority=2", 2);
    expect_sql("SELECT priority FROM job WHERE line=2", -9);
    expect_sql("SELECT prefix_group FROM job WHERE line=2", 0);
    expect_sql("SELECT count(DISTINCT prefix_group) FROM job WHERE line<>2 AND prefix_group>0", 1);
}
END_TEST

START_TEST(bad_times_are_wrong_usage)
{
    ck_assert_int_eq(SUBMIT("'soon' is no time", "--deadline", "soon"), 2);
    ck_assert_int_eq(SUBMIT("has passed", "--deadline", "2020-01-01 00:00"), 2);
    ck_assert_int_eq(
        SUBMIT("is not after --not-before", "--deadline", "+1h", "--not-before", "+2h"), 2);
    ck_assert_int_eq(SUBMIT("'22-7' is no window", "--window", "22-7"), 2);
    expect_sql("SELECT count(*) FROM batch", 0);
}
END_TEST

START_TEST(a_row_whose_answer_is_known_takes_it_and_says_so)
{
    struct process worker, p;
    struct buf text;

    file = test_file("tidy.jsonl", TIDY, strlen(TIDY));
    PROCESS_START(&worker, NULL, "worker", "--db", db, "-m", "examples/tidy");
    ck_assert_int_eq(SUBMIT("2 new", "--batch", "first", "--wait"), 0);
    ck_assert_int_eq(
        SUBMIT("1 new, 1 answered from earlier rows", "--batch", "again", "--reuse", "--wait"), 0);
    process_kill(&worker, SIGTERM);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "results", "again", "--db", db, "--format", "jsonl"), 0);
    text = process_read(p.out);
    ck_assert_ptr_nonnull(strstr(text.data, "\"reused\":true"));
    ck_assert_ptr_null(strstr(strstr(text.data, "\"reused\"") + 1, "\"reused\""));
    buf_fini(&text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("submit");
    TCase *t = tcase_create("submit");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, options_are_the_batchs_and_a_later_submit_does_not_change_them);
    tcase_add_test(t, rows_have_their_own_priority_and_their_prefix_group);
    tcase_add_test(t, bad_times_are_wrong_usage);
    tcase_add_test(t, a_row_whose_answer_is_known_takes_it_and_says_so);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
