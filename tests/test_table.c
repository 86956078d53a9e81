/* test_table.c - clients/table and clients/progress: what a person sees. */
#include <string.h>

#include "clients/progress.h"
#include "clients/table.h"
#include "tests/test.h"

static struct buf out;
static struct table *table;

static const struct table_column COLUMNS[] = {
    {"batch", false, 0}, {"done", true, 0}, {"text", false, 0}};

static void add(const char *a, const char *b, const char *c)
{
    ck_assert_int_eq(table_row(table, (const char *const[]){a, b, c}), ERR_OK);
}

static const char *print(int width)
{
    buf_clear(&out);
    ck_assert_int_eq(table_print(table, width, &out), ERR_OK);
    return out.data;
}

START_TEST(columns_are_aligned_and_numbers_stand_right)
{
    add("night", "7", "short");
    add("a", "1234567", "longer text");
    ck_assert_str_eq(print(0), "batch     done  text\n"
                               "night        7  short\n"
                               "a      1234567  longer text\n");
}
END_TEST

START_TEST(empty_table_prints_its_heads)
{
    ck_assert_str_eq(print(80), "batch  done  text\n");
}
END_TEST

START_TEST(wide_and_combining_characters_keep_the_columns_straight)
{
    add("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E", "1", "a"); /* three of two columns each */
    add("e\xCC\x81"
        "e\xCC\x81",
        "2", "b");
    ck_assert_int_eq(table_width("\xE6\x97\xA5", 3), 2);
    ck_assert_int_eq(table_width("e\xCC\x81", 3), 1);
    ck_assert_str_eq(print(0), "batch   done  text\n"
                               "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E     1  a\n"
                               "e\xCC\x81"
                               "e\xCC\x81         2  b\n");
}
END_TEST

START_TEST(widest_text_is_cut_with_an_ellipsis_to_fit_the_terminal)
{
    add("a", "5", "0123456789012345");
    ck_assert_str_eq(print(22), "batch  done  text\n"
                                "a         5  01234567\xE2\x80\xA6\n");
    ck_assert_str_eq(print(29), "batch  done  text\n"
                                "a         5  0123456789012345\n");
    ck_assert_str_eq(print(3), "batch  done  text\n"
                               "a         5  012\xE2\x80\xA6\n"); /* heads stay whole */
}
END_TEST

START_TEST(wide_character_that_meets_the_cut_is_left_out_whole)
{
    add("a", "5", "abc\xE6\x97\xA5\xE6\x9C\xAC");
    ck_assert_str_eq(print(18), "batch  done  text\n"
                                "a         5  abc\xE2\x80\xA6\n");
}
END_TEST

START_TEST(column_may_have_a_limit_of_its_own)
{
    static const struct table_column ONE[] = {{"id", false, 6}, {"x", false, 0}};

    table_close(&table);
    ck_assert_int_eq(table_open(&table, ONE, 2), ERR_OK);
    ck_assert_int_eq(table_row(table, (const char *const[]){"0123456789", "y"}), ERR_OK);
    ck_assert_str_eq(print(0), "id      x\n01234\xE2\x80\xA6  y\n");
}
END_TEST

START_TEST(control_characters_and_bad_bytes_cannot_reach_the_terminal)
{
    add("a\x1b[2J\nb", NULL, "x\xC2\x9By\xFFz");
    ck_assert_str_eq(print(0), "batch    done  text\n"
                               "a [2J b        x  y\xEF\xBF\xBDz\n");
}
END_TEST

START_TEST(durations_have_two_units_at_most)
{
    static const struct {
        double s;
        const char *text;
    } CASES[] = {{-1, "?"},         {0, "0s"},          {47.4, "47s"},          {59.6, "1m 00s"},
                 {200, "3m 20s"},   {3599, "59m 59s"},  {3720, "1h 02m"},       {86399, "23h 59m"},
                 {86400, "1d 00h"}, {183600, "2d 03h"}, {1e300, "1157407d 09h"}};
    char text[PROGRESS_TEXT];

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        ck_assert_str_eq(progress_duration(text, CASES[i].s), CASES[i].text);
}
END_TEST

START_TEST(counts_have_about_three_digits)
{
    static const struct {
        double n;
        const char *text;
    } CASES[] = {{0, "0"},
                 {7, "7"},
                 {999, "999"},
                 {1000, "1.0k"},
                 {12345, "12.3k"},
                 {99949, "99.9k"},
                 {99950, "100k"},
                 {999499, "999k"},
                 {999500, "1.0M"},
                 {4000000, "4.0M"},
                 {1e30, "1000000000000E"}};
    char text[PROGRESS_TEXT];

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        ck_assert_str_eq(progress_count(text, CASES[i].n), CASES[i].text);
}
END_TEST

START_TEST(progress_shows_bar_rows_share_speed_and_time_left)
{
    struct progress p = {.done = 447, .failed = 3, .total = 1000, .tokens_s = 1234, .eta_s = 3720};

    ck_assert_int_eq(progress_line(&out, &p, 200), ERR_OK);
    ck_assert_str_eq(out.data, "[#################---------------------]  45%  450/1.0k rows  "
                               "ETA 1h 02m  3 failed  1.2k tok/s");
}
END_TEST

START_TEST(progress_is_never_wider_than_the_terminal)
{
    struct progress p = {.done = 447, .failed = 3, .total = 1000, .tokens_s = 1234, .eta_s = 3720};

    for (int width = 0; width < 120; width++) {
        buf_clear(&out);
        ck_assert_int_eq(progress_line(&out, &p, width), ERR_OK);
        ck_assert_uint_le(out.len, (size_t)width);
        if (width >= 4) ck_assert_ptr_nonnull(strstr(out.data, "45%"));
    }
}
END_TEST

START_TEST(progress_says_100_only_when_nothing_is_left)
{
    struct progress p = {.done = 999999, .total = 1000000, .eta_s = -1};

    ck_assert_int_eq(progress_line(&out, &p, 20), ERR_OK);
    ck_assert_str_eq(out.data, " 99%  1.0M/1.0M rows");
    p.failed = 1;
    buf_clear(&out);
    ck_assert_int_eq(progress_line(&out, &p, 4), ERR_OK);
    ck_assert_str_eq(out.data, "100%");
    p = (struct progress){.eta_s = -1};
    buf_clear(&out);
    ck_assert_int_eq(progress_line(&out, &p, 20), ERR_OK);
    ck_assert_str_eq(out.data, "  0%  0/0 rows");
}
END_TEST

START_TEST(plain_progress_is_one_line_of_words)
{
    struct progress p = {.done = 447, .failed = 3, .total = 1000, .tokens_s = 1234, .eta_s = 47};

    ck_assert_int_eq(progress_plain(&out, &p), ERR_OK);
    ck_assert_str_eq(out.data, "450 of 1000 rows (45 %), 3 failed, 1234 tokens/s, 47s left\n");
}
END_TEST

static void set_up(void)
{
    buf_init(&out);
    ck_assert_int_eq(table_open(&table, COLUMNS, 3), ERR_OK);
}

static void tear_down(void)
{
    table_close(&table);
    buf_fini(&out);
}

static Suite *suite(void)
{
    Suite *s = suite_create("table");
    TCase *t = tcase_create("table");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, columns_are_aligned_and_numbers_stand_right);
    tcase_add_test(t, empty_table_prints_its_heads);
    tcase_add_test(t, wide_and_combining_characters_keep_the_columns_straight);
    tcase_add_test(t, widest_text_is_cut_with_an_ellipsis_to_fit_the_terminal);
    tcase_add_test(t, wide_character_that_meets_the_cut_is_left_out_whole);
    tcase_add_test(t, column_may_have_a_limit_of_its_own);
    tcase_add_test(t, control_characters_and_bad_bytes_cannot_reach_the_terminal);
    tcase_add_test(t, durations_have_two_units_at_most);
    tcase_add_test(t, counts_have_about_three_digits);
    tcase_add_test(t, progress_shows_bar_rows_share_speed_and_time_left);
    tcase_add_test(t, progress_is_never_wider_than_the_terminal);
    tcase_add_test(t, progress_says_100_only_when_nothing_is_left);
    tcase_add_test(t, plain_progress_is_one_line_of_words);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
