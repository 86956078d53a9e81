/* e2e_accuracy.c - the default model's exact answers, measured through the whole system: file,
 * queue, broker, worker, engine, SQL.
 *
 * examples/messy_cells.jsonl and messy_dates.jsonl are made of surface forms and seeds that
 * training never saw.
 */
#include <string.h>

#include "tests/process.h"
#include "tests/test.h"

#define MODEL "examples/tidy"
#define ROWS  2000

static int64_t exact_of(const char *db)
{
    return process_sql(db,
                       "SELECT sum(text = json_extract(prompt, '$.metadata.expected')) FROM results"
                       " WHERE state = 'done'");
}

START_TEST(dates_and_amounts_are_98_percent_exact)
{
    const char *db = test_path("cells.db");
    struct process p;

    ck_assert_int_eq(
        PROCESS_RUN(&p, 300, "run", "-i", "examples/messy_cells.jsonl", "--db", db, "-m", MODEL),
        0);
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), ROWS);
    printf("seed 1002: %lld of %d exact\n", (long long)exact_of(db), ROWS);
    ck_assert_int_ge(exact_of(db), ROWS * 98 / 100);
}
END_TEST

START_TEST(dates_alone_are_98_percent_exact_beside_three_damaged_lines)
{
    const char *db = test_path("dates.db");
    struct process p;

    ck_assert_int_eq(
        PROCESS_RUN(&p, 300, "run", "-i", "examples/messy_dates.jsonl", "--db", db, "-m", MODEL),
        1);
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), ROWS);
    ck_assert_int_eq(process_sql(db, "SELECT failed FROM progress"), 3);
    printf("seed 1001: %lld of %d exact\n", (long long)exact_of(db), ROWS);
    ck_assert_int_ge(exact_of(db), ROWS * 98 / 100);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("accuracy");
    TCase *t = tcase_create("accuracy");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, dates_and_amounts_are_98_percent_exact);
    tcase_add_test(t, dates_alone_are_98_percent_exact_beside_three_damaged_lines);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
