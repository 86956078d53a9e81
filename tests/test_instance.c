/* test_instance.c - the instances that have said hello. */
#include <string.h>

#include "broker/instance.h"
#include "tests/test.h"

static struct instance *join(struct instance_table *t, int64_t id, const char *peer,
                             int64_t kv_tokens)
{
    struct instance_row row = {.kv_tokens = kv_tokens, .max_model_len = 2000};

    snprintf(row.model, sizeof row.model, "m%d", (int)(id % 2));
    return instance_join(t, &row, id, peer, strlen(peer), 1000);
}

START_TEST(an_instance_is_known_by_id_and_its_address_may_change)
{
    struct instance_table t = {0};
    struct instance *i = join(&t, 5, "first", 100);

    ck_assert_ptr_nonnull(i);
    i->want_rows = 7;
    ck_assert_ptr_eq(join(&t, 5, "second", 200), i); /* I1 */
    ck_assert_uint_eq(t.n, 1);
    ck_assert_int_eq(i->want_rows, 7);
    ck_assert_int_eq(i->row.kv_tokens, 200);
    ck_assert_ptr_null(instance_of_peer(&t, "first", 5));
    ck_assert_ptr_null(instance_of_peer(&t, "secon", 5));
    ck_assert_ptr_eq(instance_of_peer(&t, "second", 6), i);
    ck_assert_ptr_eq(instance_of_id(&t, 5), i);
    instance_table_fini(&t);
}
END_TEST

START_TEST(an_address_is_of_whoever_said_hello_from_it_last)
{
    struct instance_table t = {0};
    struct instance *one = join(&t, 1, "p", 100), *two = join(&t, 2, "p", 100);

    ck_assert_ptr_eq(instance_of_peer(&t, "p", 1), two);
    ck_assert_ptr_eq(join(&t, 1, "q", 100), one); /* it has moved: the other one stays there */
    ck_assert_ptr_eq(instance_of_peer(&t, "p", 1), two);
    ck_assert_ptr_eq(instance_of_peer(&t, "q", 1), one);
    instance_leave(&t, two);
    ck_assert_ptr_null(instance_of_peer(&t, "p", 1));
    ck_assert_ptr_eq(instance_of_peer(&t, "q", 1), one);
    instance_table_fini(&t);
}
END_TEST

START_TEST(leaving_takes_one_and_keeps_the_others)
{
    struct instance_table t = {0};

    for (int64_t id = 1; id <= 40; id++) {
        char peer[8];

        snprintf(peer, sizeof peer, "p%d", (int)id);
        ck_assert_ptr_nonnull(join(&t, id, peer, 100 * id));
    }
    instance_leave(&t, instance_of_id(&t, 1));
    instance_leave(&t, instance_of_id(&t, 40));
    ck_assert_uint_eq(t.n, 38);
    ck_assert_ptr_null(instance_of_id(&t, 40));
    for (int64_t id = 2; id < 40; id++)
        ck_assert_int_eq(instance_of_id(&t, id)->instance_id, id);
    instance_table_fini(&t);
    ck_assert_uint_eq(t.n, 0);
}
END_TEST

START_TEST(the_largest_is_the_largest_of_that_model)
{
    struct instance_table t = {0};

    ck_assert_int_eq(instance_largest(&t, ""), 0);
    join(&t, 1, "a", 500);
    join(&t, 2, "b", 900);
    join(&t, 4, "c", 9000); /* its max_model_len is 2000 */
    ck_assert_int_eq(instance_largest(&t, "m1"), 500);
    ck_assert_int_eq(instance_largest(&t, "m0"), 2000);
    ck_assert_int_eq(instance_largest(&t, ""), 2000);
    ck_assert_int_eq(instance_largest(&t, "m2"), 0);
    instance_table_fini(&t);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("instance");
    TCase *t = tcase_create("instance");

    tcase_add_test(t, an_instance_is_known_by_id_and_its_address_may_change);
    tcase_add_test(t, an_address_is_of_whoever_said_hello_from_it_last);
    tcase_add_test(t, leaving_takes_one_and_keeps_the_others);
    tcase_add_test(t, the_largest_is_the_largest_of_that_model);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
