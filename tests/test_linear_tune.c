/* test_linear_tune.c - kernels/linear_tune: buckets, the fastest, what is kept. */
#include "kernels/linear_tune.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "tests/test.h"
#include "tests/tuning.h"

static const char TEXT[] = "NVIDIA H200, driver 13000, library 130002, 132 multiprocessors, N=4096";

static struct shelf shelf;

static void fill(struct tune_choice choices[TUNE_BUCKETS])
{
    for (int b = 0; b < TUNE_BUCKETS; b++) {
        choices[b].way = b % 2 ? TUNE_LIBRARY : TUNE_ROWS;
        for (int i = 0; i < 8; i++)
            choices[b].algo[i] = (uint64_t)(b * 100 + i);
    }
}

START_TEST(a_step_belongs_to_the_least_bucket_that_holds_it)
{
    static const int CASES[][2] = {{1, 0},     {2, 1},     {3, 2},      {4, 2},
                                   {5, 3},     {64, 6},    {65, 7},     {4097, 13},
                                   {8192, 13}, {8193, 13}, {99999, 13}, {INT_MAX, 13}};

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        ck_assert_int_eq(tune_bucket(CASES[i][0]), CASES[i][1]);
    for (int b = 0; b < TUNE_BUCKETS; b++)
        ck_assert_int_eq(tune_bucket(tune_tokens(b)), b);
}
END_TEST

START_TEST(the_fastest_is_chosen)
{
    ck_assert_int_eq(tune_best((float[]){3, 1, 2}, 3), 1);
    ck_assert_int_eq(tune_best((float[]){3}, 1), 0);
}
END_TEST

/* TU2 */
START_TEST(of_equally_fast_ones_the_first_is_chosen)
{
    ck_assert_int_eq(tune_best((float[]){1.0f, 0.99f, 1.0f}, 3), 0);
    ck_assert_int_eq(tune_best((float[]){1.0f, 0.97f, 0.96f}, 3), 1);
}
END_TEST

START_TEST(what_could_not_be_run_is_never_chosen)
{
    ck_assert_int_eq(tune_best((float[]){-1, 5, -1}, 3), 1);
    ck_assert_int_eq(tune_best((float[]){NAN, 5, 4}, 3), 2);
    ck_assert_int_eq(tune_best((float[]){-1, -1}, 2), -1);
    ck_assert_int_eq(tune_best(NULL, 0), -1);
}
END_TEST

/* TU1 */
START_TEST(what_was_kept_is_found)
{
    struct tune_choice in[TUNE_BUCKETS], out[TUNE_BUCKETS];

    fill(in);
    shelf_init(&shelf);
    ck_assert(!tune_find(&shelf.tuning, TEXT, out));
    tune_keep(&shelf.tuning, TEXT, in);
    ck_assert(tune_find(&shelf.tuning, TEXT, out));
    ck_assert_mem_eq(in, out, sizeof in);
    ck_assert(!tune_find(&shelf.tuning, "another", out));
}
END_TEST

/* TU1 */
START_TEST(a_text_that_only_shares_the_name_is_not_taken)
{
    struct tune_choice in[TUNE_BUCKETS], out[TUNE_BUCKETS];
    char name[TUNE_NAME];

    fill(in);
    shelf_init(&shelf);
    tune_keep(&shelf.tuning, TEXT, in);
    tune_name(name, "another");
    strcpy(shelf.items[0].name, name);
    ck_assert(!tune_find(&shelf.tuning, "another", out));
}
END_TEST

/* TU1 */
START_TEST(what_is_damaged_is_not_found)
{
    struct tune_choice in[TUNE_BUCKETS], out[TUNE_BUCKETS];
    const size_t choices = sizeof in;

    fill(in);
    shelf_init(&shelf);
    tune_keep(&shelf.tuning, TEXT, in);
    shelf.items[0].len--;
    ck_assert(!tune_find(&shelf.tuning, TEXT, out));
    shelf.items[0].len += 2; /* longer than any */
    ck_assert(!tune_find(&shelf.tuning, TEXT, out));
    shelf.items[0].len--;
    ck_assert(tune_find(&shelf.tuning, TEXT, out));
    shelf.items[0].bytes[0] ^= 2; /* another format */
    ck_assert(!tune_find(&shelf.tuning, TEXT, out));
    shelf.items[0].bytes[0] ^= 2;
    shelf.items[0].bytes[shelf.items[0].len - choices] = 77; /* an unknown way */
    ck_assert(!tune_find(&shelf.tuning, TEXT, out));
}
END_TEST

START_TEST(without_a_shelf_nothing_is_kept)
{
    struct tune_choice choices[TUNE_BUCKETS];

    fill(choices);
    tune_keep(NULL, TEXT, choices);
    ck_assert(!tune_find(NULL, TEXT, choices));
}
END_TEST

START_TEST(names_differ_where_texts_do)
{
    char a[TUNE_NAME], b[TUNE_NAME];

    tune_name(a, "N=4096 K=4096");
    tune_name(b, "N=4096 K=4097");
    ck_assert_str_ne(a, b);
    tune_name(b, "N=4096 K=4096");
    ck_assert_str_eq(a, b);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("linear_tune");
    TCase *t = tcase_create("tune");

    tcase_add_test(t, a_step_belongs_to_the_least_bucket_that_holds_it);
    tcase_add_test(t, the_fastest_is_chosen);
    tcase_add_test(t, of_equally_fast_ones_the_first_is_chosen);
    tcase_add_test(t, what_could_not_be_run_is_never_chosen);
    tcase_add_test(t, what_was_kept_is_found);
    tcase_add_test(t, a_text_that_only_shares_the_name_is_not_taken);
    tcase_add_test(t, what_is_damaged_is_not_found);
    tcase_add_test(t, without_a_shelf_nothing_is_kept);
    tcase_add_test(t, names_differ_where_texts_do);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
