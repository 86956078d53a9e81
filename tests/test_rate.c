/* test_rate.c - clients/rate: how fast a batch moves. */
#include "clients/rate.h"
#include "tests/test.h"

START_TEST(nothing_is_known_at_the_first_look_or_without_headway)
{
    struct rate r = {0};

    rate_see(&r, 5000, 700, 10);
    ck_assert_double_eq(rate_tokens_s(&r), 0);
    ck_assert(rate_eta_s(&r, 90) < 0);
    rate_see(&r, 9000, 700, 10);
    ck_assert_double_eq(rate_tokens_s(&r), 0);
    ck_assert(rate_eta_s(&r, 90) < 0);
}
END_TEST

START_TEST(a_young_batch_is_rated_from_its_first_look)
{
    struct rate r = {0};

    rate_see(&r, 1000, 0, 0);
    rate_see(&r, 1500, 5000, 50);
    ck_assert_double_eq_tol(rate_tokens_s(&r), 10000, 1e-9);
    ck_assert_double_eq_tol(rate_eta_s(&r, 200), 2, 1e-9);
    ck_assert(rate_eta_s(&r, 0) < 0); /* nobody waits for nothing */
}
END_TEST

START_TEST(an_old_speed_is_forgotten_after_twenty_seconds)
{
    struct rate r = {0};
    int64_t tokens = 0;

    for (int64_t ms = 0; ms <= 60000; ms += 100, tokens += 1000)
        rate_see(&r, ms, tokens, tokens / 100); /* 10,000 tokens/s for a minute */
    for (int64_t ms = 60100; ms <= 81000; ms += 100, tokens += 100)
        rate_see(&r, ms, tokens, tokens / 100); /* then a tenth of it */
    ck_assert_double_eq_tol(rate_tokens_s(&r), 1000, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rate");
    TCase *t = tcase_create("rate");

    tcase_add_test(t, nothing_is_known_at_the_first_look_or_without_headway);
    tcase_add_test(t, a_young_batch_is_rated_from_its_first_look);
    tcase_add_test(t, an_old_speed_is_forgotten_after_twenty_seconds);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
