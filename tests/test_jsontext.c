/* test_jsontext.c - clients/jsontext: the same bytes that jansson writes. */
#include <jansson.h>
#include <string.h>

#include "base/utf8.h"
#include "clients/jsontext.h"
#include "tests/test.h"

#define WIDTH 20 /* more than two words of eight bytes */

static struct buf out;

/* Is it what jansson makes of the same bytes, once they are mended? */
static void check(const char *s, size_t len)
{
    struct buf good = {0};
    json_t *j;
    char *want;

    ck_assert_int_eq(utf8_repair(&good, s, len), 0);
    j = json_stringn_nocheck(good.data ? good.data : "", good.len);
    want = json_dumps(j, JSON_ENCODE_ANY);
    buf_clear(&out);
    ck_assert_int_eq(jsontext_add(&out, s, len), 0);
    ck_assert_str_eq(out.data, want);
    ck_assert_uint_eq(out.len, strlen(want));
    free(want);
    json_decref(j);
    buf_fini(&good);
}

START_TEST(every_byte_at_every_place_of_a_word)
{
    char s[WIDTH];

    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < WIDTH; at++) {
            memset(s, 'x', sizeof s);
            s[at] = (char)c;
            check(s, sizeof s);
            check(s, at + 1);
        }
    }
}
END_TEST

START_TEST(every_pair_of_bytes)
{
    char s[8] = "........";

    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            s[3] = (char)a;
            s[4] = (char)b;
            check(s, sizeof s);
        }
    }
}
END_TEST

START_TEST(characters_of_all_lengths_stand_as_they_are)
{
    static const char TEXT[] = "a\xC3\xA9 \xE2\x82\xAC, \xF0\x9F\x99\x82\xF4\x8F\xBF\xBF\"";

    for (size_t len = 0; len < sizeof TEXT; len++)
        check(TEXT, len); /* most of them cut in the middle of one */
}
END_TEST

START_TEST(nothing_is_null_and_no_bytes_are_an_empty_string)
{
    ck_assert_int_eq(jsontext_adds(&out, NULL), 0);
    ck_assert_int_eq(jsontext_adds(&out, ""), 0);
    ck_assert_str_eq(out.data, "null\"\"");
}
END_TEST

START_TEST(numbers_of_all_lengths_are_decimal)
{
    static const int64_t NUMBERS[] = {0, 7, 10, -1, -10, 1234567890123, INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++) {
        char want[32];

        snprintf(want, sizeof want, "%lld", (long long)NUMBERS[i]);
        buf_clear(&out);
        ck_assert_int_eq(buf_addi(&out, NUMBERS[i]), 0);
        ck_assert_str_eq(out.data, want);
    }
}
END_TEST

static void set_up(void)
{
    buf_init(&out);
}

static void tear_down(void)
{
    buf_fini(&out);
}

static Suite *suite(void)
{
    Suite *s = suite_create("jsontext");
    TCase *t = tcase_create("jsontext");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, every_byte_at_every_place_of_a_word);
    tcase_add_test(t, every_pair_of_bytes);
    tcase_add_test(t, characters_of_all_lengths_stand_as_they_are);
    tcase_add_test(t, nothing_is_null_and_no_bytes_are_an_empty_string);
    tcase_add_test(t, numbers_of_all_lengths_are_decimal);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
