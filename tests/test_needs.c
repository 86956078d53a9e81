/* test_needs.c - rows that need much: the smallest first, each once, none that is settled. */
#include <stdlib.h>

#include "base/err.h"
#include "broker/needs.h"
#include "tests/test.h"

static struct needs n;

static void add(int64_t job, int64_t batch, int64_t tokens)
{
    ck_assert_int_eq(needs_put(&n, job, batch, 0, tokens), ERR_OK);
    ck_assert_int_eq(needs_queue(&n, job), ERR_OK);
}

static int64_t pop(int64_t batch, int64_t max_tokens)
{
    int64_t job;

    return needs_pop(&n, batch, max_tokens, &job) ? job : 0;
}

START_TEST(the_smallest_need_of_a_batch_comes_first)
{
    int64_t last = 0;

    for (int64_t k = 1; k <= 1000; k++)
        add(k, 1, k * 7919 % 1009);
    add(2000, 2, 1);
    ck_assert_uint_eq(needs_queued(&n, 1), 1000);
    ck_assert_int_eq(needs_least(&n, 2), 1);
    for (int k = 0; k < 1000; k++) {
        int64_t least = needs_least(&n, 1), job;

        ck_assert_int_ge(least, last);
        last = least;
        ck_assert_int_eq(pop(1, least - 1), 0);
        job = pop(1, least);
        ck_assert_int_eq(needs_of(&n, job, 0), least);
    }
    ck_assert_int_eq(pop(1, INT64_MAX), 0);
    ck_assert_int_eq(pop(2, INT64_MAX), 2000);
    needs_fini(&n);
}
END_TEST

START_TEST(a_job_is_queued_once)
{
    add(1, 1, 5);
    ck_assert_int_eq(needs_queue(&n, 1), ERR_OK); /* N1 */
    ck_assert_uint_eq(needs_queued(&n, 1), 1);
    add(1, 1, 3); /* found to need less */
    ck_assert_uint_eq(needs_queued(&n, 1), 1);
    ck_assert_int_eq(needs_least(&n, 1), 3);
    ck_assert_int_eq(needs_queue(&n, 99), ERR_OK); /* nothing is known of it */
    ck_assert_int_eq(pop(1, 3), 1);
    ck_assert_int_eq(needs_queue(&n, 1), ERR_OK); /* it came back */
    ck_assert_int_eq(pop(1, 3), 1);
    needs_fini(&n);
}
END_TEST

START_TEST(what_is_forgotten_leaves_the_queue_in_order)
{
    for (int64_t k = 1; k <= 200; k++)
        add(k, 1 + k % 2, 201 - k);
    for (int64_t k = 1; k <= 200; k += 3)
        needs_forget(&n, k);
    ck_assert_int_eq(needs_of(&n, 1, 0), 0);
    for (int64_t last = 0, job; (job = pop(1, INT64_MAX)); last = needs_of(&n, job, 0)) {
        ck_assert_int_ne(job % 3, 1);
        ck_assert_int_gt(needs_of(&n, job, 0), last);
    }
    needs_forget_batch(&n, 2);
    ck_assert_uint_eq(needs_queued(&n, 2), 0);
    for (int64_t k = 1; k <= 200; k += 2)
        ck_assert_int_eq(needs_of(&n, k, 0), 0);
    needs_fini(&n);
}
END_TEST

START_TEST(a_need_is_of_its_generation_and_a_queue_can_be_emptied)
{
    add(1, 1, 5);
    ck_assert_int_eq(needs_of(&n, 1, 1), 0);
    needs_unqueue(&n, 1);
    ck_assert_uint_eq(needs_queued(&n, 1), 0);
    ck_assert_int_eq(needs_of(&n, 1, 0), 5);
    ck_assert_int_eq(needs_queue(&n, 1), ERR_OK);
    ck_assert_int_eq(needs_least(&n, 1), 5);
    needs_fini(&n);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("needs");
    TCase *t = tcase_create("needs");

    tcase_add_test(t, the_smallest_need_of_a_batch_comes_first);
    tcase_add_test(t, a_job_is_queued_once);
    tcase_add_test(t, what_is_forgotten_leaves_the_queue_in_order);
    tcase_add_test(t, a_need_is_of_its_generation_and_a_queue_can_be_emptied);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
