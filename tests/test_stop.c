/* test_stop.c - worker/stop: stop strings in text that grows token by token. */
#include <string.h>

#include "tests/test.h"
#include "worker/engine.h"
#include "worker/stop.h"

static struct sampling p;

static void stops(const char *a, const char *b)
{
    memset(&p, 0, sizeof p);
    p.stops[p.n_stops].text = a;
    p.stops[p.n_stops++].len = strlen(a);
    if (!b) return;
    p.stops[p.n_stops].text = b;
    p.stops[p.n_stops++].len = strlen(b);
}

/* Where the text is cut when it comes n bytes at a time; -1: nowhere. */
static int cut(const char *text, size_t n)
{
    const size_t len = strlen(text);
    size_t searched = 0, at;

    while (searched < len) {
        const size_t now = searched + n < len ? searched + n : len;

        if (stop_find(&p, text, now, searched, &at)) return (int)at;
        searched = now;
    }
    return -1;
}

START_TEST(a_stop_string_is_found_across_token_borders)
{
    stops("</end>", NULL);
    for (size_t n = 1; n < 20; n++) {
        ck_assert_int_eq(cut("some text</end>and more", n), 9);
        ck_assert_int_eq(cut("</end>", n), 0);
        ck_assert_int_eq(cut("</en</en></end", n), -1);
        ck_assert_int_eq(cut("</</end>", n), 2);
    }
}
END_TEST

START_TEST(the_earliest_of_several_cuts)
{
    stops("world", "o w");
    ck_assert_int_eq(cut("hello world", 100), 4);
    stops("b", "abc");
    ck_assert_int_eq(cut("xabc", 100), 1);
    ck_assert_int_eq(cut("xabc", 1), 2); /* the token that completed "b" was the last */
}
END_TEST

START_TEST(a_stop_string_may_cut_a_character)
{
    stops("\xA9", NULL);
    ck_assert_int_eq(cut("caf\xC3\xA9", 1), 4);
}
END_TEST

START_TEST(what_ended_before_is_not_found_again)
{
    size_t at;

    stops("ab", NULL);
    ck_assert(!stop_find(&p, "xabx", 4, 3, &at));
    ck_assert(stop_find(&p, "xabx", 4, 2, &at));
    ck_assert_uint_eq(at, 1);
    ck_assert(stop_find(&p, "xabab", 5, 3, &at));
    ck_assert_uint_eq(at, 3);
}
END_TEST

START_TEST(no_stop_strings_never_stop)
{
    size_t at;

    memset(&p, 0, sizeof p);
    ck_assert(!stop_find(&p, "text", 4, 0, &at));
    ck_assert(!stop_find(&p, "", 0, 0, &at));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("stop");
    TCase *t = tcase_create("stop");

    tcase_add_test(t, a_stop_string_is_found_across_token_borders);
    tcase_add_test(t, the_earliest_of_several_cuts);
    tcase_add_test(t, a_stop_string_may_cut_a_character);
    tcase_add_test(t, what_ended_before_is_not_found_again);
    tcase_add_test(t, no_stop_strings_never_stop);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
