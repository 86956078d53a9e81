/* test_body.c - what the broker reads of a row's body. */
#include <string.h>

#include "broker/body.h"
#include "tests/test.h"

static int64_t most(const char *body)
{
    return body_max_tokens(body, strlen(body));
}

START_TEST(the_limit_of_an_answer_is_found_under_either_name)
{
    ck_assert_int_eq(most("{\"prompt\":\"x\",\"max_tokens\":17}"), 17);
    ck_assert_int_eq(most("{\"max_completion_tokens\" : \n 9,\"prompt\":\"x\"}"), 9);
    ck_assert_int_eq(most("{\"prompt\":\"x\"}"), 0);
    ck_assert_int_eq(most(""), 0);
}
END_TEST

START_TEST(a_text_that_looks_like_the_key_is_none)
{
    ck_assert_int_eq(most("{\"prompt\":\"say \\\"max_tokens\\\": 5\"}"), 0);
    ck_assert_int_eq(most("{\"prompt\":\"max_tokens\",\"max_tokens\":6}"), 6);
    ck_assert_int_eq(most("[\"max_tokens\",7]"), 0);
}
END_TEST

START_TEST(a_value_that_is_no_count_is_none_and_a_huge_one_is_cut)
{
    ck_assert_int_eq(most("{\"max_tokens\":null}"), 0);
    ck_assert_int_eq(most("{\"max_tokens\":-4}"), 0);
    ck_assert_int_eq(most("{\"max_tokens\":99999999999999999999999}"), 1 << 30);
    ck_assert_int_eq(most("{\"max_tokens\":"), 0);
    ck_assert_int_eq(most("{\"max_tokens\""), 0);
    ck_assert_int_eq(body_max_tokens("{\"max_tokens\":12", 14), 0); /* the digits lie behind it */
    ck_assert_int_eq(body_max_tokens("{\"max_tokens\":12", 15), 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("body");
    TCase *t = tcase_create("body");

    tcase_add_test(t, the_limit_of_an_answer_is_found_under_either_name);
    tcase_add_test(t, a_text_that_looks_like_the_key_is_none);
    tcase_add_test(t, a_value_that_is_no_count_is_none_and_a_huge_one_is_cut);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
