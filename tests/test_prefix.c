/* test_prefix.c - clients/prefix: rows that begin alike get one group, others none. */
#include <string.h>

#include "clients/prefix.h"
#include "tests/test.h"

static struct prefix *p;

/* A chat whose system message has n bytes of c, and whose user message is `user`. */
static struct prefix_keys keys_of(char c, int n, const char *user)
{
    static char body[200000], text[100000];
    struct prefix_keys keys;
    int len;

    memset(text, c, (size_t)n);
    text[n] = '\0';
    len = snprintf(body, sizeof body,
                   "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"%s\"},"
                   "{\"role\":\"user\",\"content\":\"%s\"}],\"seed\":1}",
                   text, user);
    prefix_read(p, ENDPOINT_CHAT, body, (size_t)len, &keys);
    return keys;
}

static struct prefix_keys keys_in(enum endpoint endpoint, const char *body)
{
    struct prefix_keys keys;

    prefix_read(p, endpoint, body, strlen(body), &keys);
    return keys;
}

START_TEST(keys_are_as_many_as_the_prompt_is_long)
{
    ck_assert_int_eq(keys_of('a', 100, "x").n, 0);
    ck_assert_int_eq(keys_of('a', 260, "x").n, 1);
    ck_assert_int_eq(keys_of('a', 600, "x").n, 2);
    ck_assert_int_eq(keys_of('a', 33000, "x").n, PREFIX_KEYS);
    ck_assert_int_eq(keys_of('a', 99000, "x").n, PREFIX_KEYS);
}
END_TEST

START_TEST(a_beginning_that_nobody_shares_is_no_group)
{
    struct prefix_keys a = keys_of('a', 600, "x"), b = keys_of('b', 600, "x");

    prefix_note(p, &a);
    prefix_note(p, &b);
    ck_assert_int_eq(prefix_group(p, &a), 0);
    ck_assert_int_eq(prefix_group(p, &b), 0);
}
END_TEST

START_TEST(rows_that_begin_alike_share_a_group)
{
    struct prefix_keys a = keys_of('a', 600, "one"), b = keys_of('a', 600, "two and more");
    struct prefix_keys c = keys_of('c', 600, "one"), d = keys_of('c', 600, "two");

    prefix_note(p, &a);
    prefix_note(p, &b);
    prefix_note(p, &c);
    prefix_note(p, &d);
    ck_assert_int_gt(prefix_group(p, &a), 0);
    ck_assert_int_eq(prefix_group(p, &a), prefix_group(p, &b));
    ck_assert_int_eq(prefix_group(p, &c), prefix_group(p, &d));
    ck_assert_int_ne(prefix_group(p, &a), prefix_group(p, &c));
}
END_TEST

START_TEST(the_longest_shared_beginning_counts)
{
    struct prefix_keys near1 = keys_of('a', 2000, "x"), near2 = keys_of('a', 2000, "y");
    struct prefix_keys far = keys_of('a', 300, "a prompt that goes on in another way");

    prefix_note(p, &near1);
    prefix_note(p, &near2);
    prefix_note(p, &far);
    ck_assert_int_eq(prefix_group(p, &near1), prefix_group(p, &near2));
    ck_assert_int_gt(prefix_group(p, &far), 0); /* its 256 bytes are the others' */
    ck_assert_int_ne(prefix_group(p, &near1), prefix_group(p, &far));
}
END_TEST

START_TEST(the_order_of_keys_and_the_parameters_do_not_matter)
{
#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
    struct prefix_keys a =
        keys_in(ENDPOINT_CHAT,
                "{\"messages\":[{\"role\":\"user\",\"content\":\"" LONG LONG LONG LONG "\"}]}");
    struct prefix_keys b =
        keys_in(ENDPOINT_CHAT, "{\"seed\":5,\"messages\":[{\"content\":\"" LONG LONG LONG LONG
                               "\",\"name\":\"n\",\"role\":\"user\"}],\"n\":1}");
    struct prefix_keys other =
        keys_in(ENDPOINT_CHAT,
                "{\"messages\":[{\"role\":\"tool\",\"content\":\"" LONG LONG LONG LONG "\"}]}");
    struct prefix_keys prompt =
        keys_in(ENDPOINT_COMPLETION, "{\"n\":1,\"prompt\":\"" LONG LONG LONG LONG "\"}");

    ck_assert_int_eq(a.n, 1);
    ck_assert(a.at[0] == b.at[0]);
    ck_assert(a.at[0] != other.at[0]); /* the role is part of the prompt */
    ck_assert_int_eq(prompt.n, 1);
    ck_assert(a.at[0] != prompt.at[0]);
}
END_TEST

START_TEST(a_full_table_keeps_what_is_shared)
{
    struct prefix_keys a = keys_of('a', 600, "x"), k = {.n = 1};
    int64_t group;

    prefix_note(p, &a);
    prefix_note(p, &a);
    group = prefix_group(p, &a);
    ck_assert_int_gt(group, 0);
    for (uint64_t i = 1; i < 3 * PREFIX_SLOTS; i++) {
        k.at[0] = (i * 0x9E3779B97F4A7C15u & ~(uint64_t)1) | 2;
        prefix_note(p, &k);
    }
    ck_assert_int_eq(prefix_group(p, &a), group);
    for (uint64_t i = 1; i < PREFIX_SLOTS; i++) { /* now too many are shared: all go */
        k.at[0] = (i * 0x9E3779B97F4A7C15u & ~(uint64_t)1) | 2;
        prefix_note(p, &k);
        prefix_note(p, &k);
    }
    prefix_note(p, &a);
    ck_assert_int_eq(prefix_group(p, &a), 0);
}
END_TEST

static void set_up(void)
{
    ck_assert_int_eq(prefix_open(&p), ERR_OK);
}

static void tear_down(void)
{
    prefix_close(&p);
}

static Suite *suite(void)
{
    Suite *s = suite_create("prefix");
    TCase *t = tcase_create("prefix");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, keys_are_as_many_as_the_prompt_is_long);
    tcase_add_test(t, a_beginning_that_nobody_shares_is_no_group);
    tcase_add_test(t, rows_that_begin_alike_share_a_group);
    tcase_add_test(t, the_longest_shared_beginning_counts);
    tcase_add_test(t, the_order_of_keys_and_the_parameters_do_not_matter);
    tcase_add_test(t, a_full_table_keeps_what_is_shared);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
