/* test_lease.c - who may work on a job, and until when. */
#include "broker/lease.h"
#include "tests/test.h"

static struct lease_table *open_table(void)
{
    struct lease_table *lt;

    ck_assert_int_eq(lease_table_open(&lt), ERR_OK);
    return lt;
}

static int grant(struct lease_table *lt, int64_t job, int64_t holder, int64_t deadline_ms)
{
    struct lease l = {.job_id = job, .batch_id = 1 + job % 3, .holder = holder};

    l.deadline_ms = deadline_ms;
    l.est_tokens = 10;
    return lease_grant(lt, &l);
}

START_TEST(a_job_has_at_most_one_lease)
{
    struct lease_table *lt = open_table();

    ck_assert_int_eq(grant(lt, 7, 1, 100), ERR_OK);
    ck_assert_int_eq(grant(lt, 7, 2, 200), ERR_EXISTS); /* L1 */
    ck_assert_int_eq(lease_find(lt, 7)->holder, 1);
    ck_assert_uint_eq(lease_count(lt), 1);
    lease_end(lt, 7, 2);
    ck_assert_uint_eq(lease_count(lt), 1);
    lease_end(lt, 7, 1);
    lease_end(lt, 7, 1);
    ck_assert_int_eq(grant(lt, 7, 2, 200), ERR_OK);
    lease_table_close(&lt);
    ck_assert_ptr_null(lt);
}
END_TEST

START_TEST(a_lease_past_its_deadline_is_dead_before_it_is_reaped)
{
    struct lease_table *lt = open_table();

    ck_assert_int_eq(grant(lt, 7, 1, 100), ERR_OK);
    ck_assert(lease_is_live(lt, 7, 1, 99));
    ck_assert(!lease_is_live(lt, 7, 1, 100)); /* L2 */
    ck_assert_ptr_nonnull(lease_find(lt, 7));
    ck_assert_int_eq(lease_renew(lt, 7, 1, 100, 50), ERR_STALE);
    lease_table_close(&lt);
}
END_TEST

START_TEST(only_its_holder_renews_a_lease)
{
    struct lease_table *lt = open_table();

    ck_assert_int_eq(grant(lt, 7, 1, 100), ERR_OK);
    ck_assert(!lease_is_live(lt, 7, 2, 50));
    ck_assert_int_eq(lease_renew(lt, 7, 2, 50, 100), ERR_STALE); /* L3 */
    ck_assert_int_eq(lease_renew(lt, 8, 1, 50, 100), ERR_STALE);
    ck_assert_int_eq(lease_renew(lt, 0, 1, 50, 100), ERR_STALE);
    ck_assert_int_eq(lease_renew(lt, 7, 1, 50, 100), ERR_OK);
    ck_assert(lease_is_live(lt, 7, 1, 149));
    ck_assert(!lease_is_live(lt, 7, 1, 150));
    lease_table_close(&lt);
}
END_TEST

START_TEST(a_settling_lease_does_not_expire)
{
    struct lease_table *lt = open_table();

    ck_assert_int_eq(grant(lt, 7, 1, 100), ERR_OK);
    lease_settle(lt, lease_find(lt, 7));
    ck_assert(lease_is_live(lt, 7, 1, 1000)); /* L4 */
    ck_assert_uint_eq(lease_reap(lt, 0, 1000, NULL, NULL), 0);
    ck_assert_uint_eq(lease_reap(lt, 1, INT64_MAX, NULL, NULL), 0);
    lease_end(lt, 7, 1);
    ck_assert_uint_eq(lease_count(lt), 0);
    lease_table_close(&lt);
}
END_TEST

START_TEST(reap_ends_what_has_expired_and_nothing_else)
{
    struct lease_table *lt = open_table();

    for (int64_t job = 1; job <= 10; job++)
        ck_assert_int_eq(grant(lt, job, 1 + job % 2, 100 * job), ERR_OK);
    ck_assert_uint_eq(lease_reap(lt, 0, 300, NULL, NULL), 3);
    ck_assert_ptr_null(lease_find(lt, 3));
    ck_assert_ptr_nonnull(lease_find(lt, 4));
    ck_assert_uint_eq(lease_reap(lt, 2, 600, NULL, NULL), 1); /* 5: the other holder's stay */
    ck_assert_ptr_nonnull(lease_find(lt, 6));
    lease_table_close(&lt);
}
END_TEST

START_TEST(reap_of_a_holder_ends_all_of_its_leases)
{
    struct lease_table *lt = open_table();
    size_t rows;

    for (int64_t job = 1; job <= 10; job++)
        ck_assert_int_eq(grant(lt, job, 1 + job % 2, 1000000), ERR_OK);
    ck_assert_int_eq(lease_tokens(lt, 1, &rows), 50);
    ck_assert_uint_eq(rows, 5);
    ck_assert_uint_eq(lease_count_batch(lt, 1), 3);
    ck_assert_uint_eq(lease_reap(lt, 1, INT64_MAX, NULL, NULL), 5);
    ck_assert_int_eq(lease_tokens(lt, 1, &rows), 0);
    ck_assert_uint_eq(rows, 0);
    ck_assert_int_eq(lease_tokens(lt, 2, &rows), 50);
    lease_table_close(&lt);
}
END_TEST

START_TEST(settling_leases_are_no_work_outstanding)
{
    struct lease_table *lt = open_table();
    size_t rows;

    ck_assert_int_eq(grant(lt, 1, 1, 100), ERR_OK);
    ck_assert_int_eq(grant(lt, 2, 1, 100), ERR_OK);
    lease_settle(lt, lease_find(lt, 1));
    ck_assert_int_eq(lease_tokens(lt, 1, &rows), 10);
    ck_assert_uint_eq(rows, 1);
    lease_table_close(&lt);
}
END_TEST

START_TEST(reaping_while_scanning_misses_none_of_10000)
{
    struct lease_table *lt = open_table();
    size_t at = 0, left = 0;
    const struct lease *l;

    for (int64_t job = 1; job <= 10000; job++)
        ck_assert_int_eq(grant(lt, job * 7919, 1, job % 3 ? 100 : 200), ERR_OK);
    ck_assert_uint_eq(lease_reap(lt, 0, 150, NULL, NULL), 6667);
    while ((l = lease_next(lt, &at))) {
        ck_assert_int_eq(l->deadline_ms, 200);
        left++;
    }
    ck_assert_uint_eq(left, 3333);
    for (int64_t job = 1; job <= 10000; job++)
        ck_assert(!lease_find(lt, job * 7919) == (job % 3 != 0));
    ck_assert_uint_eq(lease_reap(lt, 1, INT64_MAX, NULL, NULL), 3333);
    ck_assert_uint_eq(lease_count(lt), 0);
    lease_table_close(&lt);
}
END_TEST

static int copy(struct lease_table *lt, int64_t job, int64_t holder, int64_t deadline_ms)
{
    struct lease l = {.job_id = job, .batch_id = 1 + job % 3, .holder = holder, .est_tokens = 10};

    l.deadline_ms = deadline_ms;
    return lease_copy(lt, &l);
}

START_TEST(a_job_has_at_most_one_copy_and_it_is_anothers)
{
    struct lease_table *lt = open_table();
    size_t rows;

    ck_assert_int_eq(copy(lt, 7, 2, 100), ERR_STALE); /* L1: beside nothing */
    ck_assert_int_eq(grant(lt, 7, 1, 100), ERR_OK);
    ck_assert_int_eq(copy(lt, 7, 1, 100), ERR_EXISTS);
    ck_assert_int_eq(copy(lt, 7, 2, 200), ERR_OK);
    ck_assert_int_eq(copy(lt, 7, 3, 200), ERR_EXISTS);
    ck_assert_uint_eq(lease_count(lt), 1); /* one job */
    ck_assert_uint_eq(lease_count_batch(lt, 2), 1);
    ck_assert_int_eq(lease_tokens(lt, 2, &rows), 10);
    ck_assert_ptr_eq(lease_beside(lt, lease_find(lt, 7)), lease_of(lt, 7, 2));
    ck_assert_ptr_eq(lease_beside(lt, lease_of(lt, 7, 2)), lease_find(lt, 7));
    ck_assert_int_eq(lease_renew(lt, 7, 2, 50, 500), ERR_OK); /* L3: each its own */
    ck_assert(!lease_is_live(lt, 7, 1, 100));
    ck_assert(lease_is_live(lt, 7, 2, 549));
    lease_table_close(&lt);
}
END_TEST

START_TEST(the_copy_is_the_lease_when_the_lease_ends)
{
    struct lease_table *lt = open_table();
    size_t rows;

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(grant(lt, 7, 1, 100), ERR_OK);
        ck_assert_int_eq(copy(lt, 7, 2, 200), ERR_OK);
        lease_end(lt, 7, 1 + i); /* the lease, or the copy */
        ck_assert_int_eq(lease_find(lt, 7)->holder, 2 - i);
        ck_assert(!lease_find(lt, 7)->copy); /* L1 */
        ck_assert_ptr_null(lease_of(lt, 7, 1 + i));
        ck_assert_uint_eq(lease_count_batch(lt, 2), 1);
        ck_assert_int_eq(lease_tokens(lt, 1 + i, &rows), 0);
        lease_end(lt, 7, 2 - i);
        ck_assert_uint_eq(lease_count(lt), 0);
        ck_assert_uint_eq(lease_count_batch(lt, 2), 0);
    }
    lease_table_close(&lt);
}
END_TEST

START_TEST(reaping_one_of_two_leaves_the_other)
{
    struct lease_table *lt = open_table();
    size_t at = 0, seen = 0;

    for (int64_t job = 1; job <= 1000; job++) {
        ck_assert_int_eq(grant(lt, job, 1, 100), ERR_OK);
        if (job % 2) ck_assert_int_eq(copy(lt, job, 2, job % 4 == 1 ? 200 : 50), ERR_OK);
    }
    while (lease_next(lt, &at))
        seen++;
    ck_assert_uint_eq(seen, 1500);
    ck_assert_uint_eq(lease_reap(lt, 0, 150, NULL, NULL), 1250); /* L2 */
    ck_assert_uint_eq(lease_count(lt), 250);
    for (int64_t job = 1; job <= 1000; job++)
        ck_assert(!lease_of(lt, job, 2) == (job % 4 != 1));
    ck_assert_uint_eq(lease_reap(lt, 2, INT64_MAX, NULL, NULL), 250);
    ck_assert_uint_eq(lease_count(lt), 0);
    lease_table_close(&lt);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lease");
    TCase *t = tcase_create("lease");

    tcase_add_test(t, a_job_has_at_most_one_lease);
    tcase_add_test(t, a_lease_past_its_deadline_is_dead_before_it_is_reaped);
    tcase_add_test(t, only_its_holder_renews_a_lease);
    tcase_add_test(t, a_settling_lease_does_not_expire);
    tcase_add_test(t, reap_ends_what_has_expired_and_nothing_else);
    tcase_add_test(t, reap_of_a_holder_ends_all_of_its_leases);
    tcase_add_test(t, settling_leases_are_no_work_outstanding);
    tcase_add_test(t, reaping_while_scanning_misses_none_of_10000);
    tcase_add_test(t, a_job_has_at_most_one_copy_and_it_is_anothers);
    tcase_add_test(t, the_copy_is_the_lease_when_the_lease_ends);
    tcase_add_test(t, reaping_one_of_two_leaves_the_other);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
