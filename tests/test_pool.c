/* test_pool.c - kernels/pool: every index once, on as many threads as asked for. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "kernels/pool.h"
#include "tests/test.h"

#define MANY 1000

struct counts {
    atomic_int times[MANY];
    atomic_int total;
};

static void count(void *arg, int i)
{
    struct counts *c = arg;

    atomic_fetch_add(&c->times[i], 1);
    atomic_fetch_add(&c->total, 1);
}

START_TEST(every_index_is_done_exactly_once)
{
    static struct counts c;
    struct errmsg e;
    struct stream *s;

    ck_assert_int_eq(pool_open(&s, 4, &e), ERR_OK);
    ck_assert_int_eq(pool_threads(s), 4);
    for (int round = 1; round <= 200; round++) {
        const int n = round % 3 ? round : MANY;

        memset(&c, 0, sizeof c);
        pool_run(s, n, count, &c);
        ck_assert_int_eq(atomic_load(&c.total), n);
        for (int i = 0; i < MANY; i++)
            ck_assert_int_eq(atomic_load(&c.times[i]), i < n);
    }
    pool_close(&s);
    ck_assert_ptr_null(s);
}
END_TEST

struct meeting {
    atomic_int here;
    int n;
};

/* Returns only when n threads are inside at the same time. */
static void meet(void *arg, int i)
{
    struct meeting *m = arg;

    (void)i;
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < m->n)
        ;
}

START_TEST(all_threads_work_at_the_same_time)
{
    struct meeting m = {.n = 3};
    struct errmsg e;
    struct stream *s;

    ck_assert_int_eq(pool_open(&s, 3, &e), ERR_OK);
    pool_run(s, 3, meet, &m);
    pool_close(&s);
}
END_TEST

static void same_thread(void *arg, int i)
{
    (void)i;
    ck_assert(pthread_equal(*(pthread_t *)arg, pthread_self()));
}

START_TEST(one_thread_and_no_pool_run_on_the_caller)
{
    pthread_t self = pthread_self();
    struct errmsg e;
    struct stream *s;

    ck_assert_int_eq(pool_open(&s, 1, &e), ERR_OK);
    pool_run(s, 10, same_thread, &self);
    pool_run(NULL, 10, same_thread, &self);
    pool_run(s, 0, same_thread, NULL);
    ck_assert_int_eq(pool_threads(NULL), 1);
    pool_close(&s);
    pool_close(&s);
}
END_TEST

START_TEST(an_idle_pool_sleeps)
{
    struct timespec wait = {0, 100 * 1000 * 1000}, before, after;
    static struct counts c;
    struct errmsg e;
    struct stream *s;

    ck_assert_int_eq(pool_open(&s, 4, &e), ERR_OK);
    pool_run(s, 100, count, &c);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&wait, NULL); /* the time itself is what is tested: a spinning pool would burn it */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    ck_assert_int_lt((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec,
                     20 * 1000 * 1000);
    pool_close(&s);
}
END_TEST

START_TEST(scratch_grows_and_never_shrinks)
{
    struct errmsg e;
    struct stream *s;
    size_t n;

    ck_assert_ptr_null(pool_scratch(NULL, &n));
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(pool_reserve(NULL, 1), ERR_ARG);
    ck_assert_int_eq(pool_open(&s, 1, &e), ERR_OK);
    ck_assert_ptr_null(pool_scratch(s, &n));
    ck_assert_int_eq(pool_reserve(s, 1000), ERR_OK);
    memset(pool_scratch(s, &n), 1, 1000);
    ck_assert_uint_ge(n, 1000);
    ck_assert_uint_eq((uintptr_t)pool_scratch(s, &n) % 64, 0);
    ck_assert_int_eq(pool_reserve(s, 10), ERR_OK);
    (void)pool_scratch(s, &n);
    ck_assert_uint_ge(n, 1000);
    pool_close(&s);
}
END_TEST

START_TEST(a_thread_count_out_of_range_is_named)
{
    struct errmsg e;
    struct stream *s;

    ck_assert_int_eq(pool_open(&s, 0, &e), ERR_ARG);
    ck_assert_ptr_null(s);
    ck_assert_int_eq(pool_open(&s, 100000, &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "100000"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("pool");
    TCase *t = tcase_create("pool");

    tcase_add_test(t, every_index_is_done_exactly_once);
    tcase_add_test(t, all_threads_work_at_the_same_time);
    tcase_add_test(t, one_thread_and_no_pool_run_on_the_caller);
    tcase_add_test(t, an_idle_pool_sleeps);
    tcase_add_test(t, scratch_grows_and_never_shrinks);
    tcase_add_test(t, a_thread_count_out_of_range_is_named);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
