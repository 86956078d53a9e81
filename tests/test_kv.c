/* test_kv.c - worker/kv: who holds which block. */
#include <string.h>

#include "tests/test.h"
#include "worker/kv.h"

static const struct kv_shape SHAPE = {2, 3, 8, DTYPE_F32};

struct table {
    int32_t at[16];
    struct kv_table t;
};

static void table_init(struct table *t)
{
    t->t = (struct kv_table){t->at, 0, 16};
}

START_TEST(a_block_counts_all_layers_keys_and_values)
{
    ck_assert_uint_eq(kv_block_bytes(&SHAPE), 2 * 2 * 3 * 16 * 8 * 4);
    ck_assert_int_eq(kv_table_blocks(0), 0);
    ck_assert_int_eq(kv_table_blocks(1), 1);
    ck_assert_int_eq(kv_table_blocks(16), 1);
    ck_assert_int_eq(kv_table_blocks(17), 2);
}
END_TEST

START_TEST(reserve_takes_blocks_that_nobody_holds)
{
    struct table a, b;
    struct errmsg e;
    struct kv *kv;
    unsigned seen = 0;

    table_init(&a), table_init(&b);
    ck_assert_int_eq(kv_open(&kv, &SHAPE, 5, &e), ERR_OK);
    ck_assert_int_eq(kv_blocks_free(kv), 5);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 1), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &b.t, 33), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 16), ERR_OK); /* has room already */
    ck_assert_int_eq(kv_blocks_free(kv), 1);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 17), ERR_OK);
    for (int i = 0; i < a.t.n; i++)
        seen |= 1u << a.at[i];
    for (int i = 0; i < b.t.n; i++)
        seen |= 1u << b.at[i];
    ck_assert_uint_eq(seen, 31);
    kv_release(kv, &a.t);
    ck_assert_int_eq(a.t.n, 0);
    ck_assert_int_eq(kv_blocks_free(kv), 2);
    kv_release(kv, &b.t);
    ck_assert_int_eq(kv_blocks_free(kv), 5);
    kv_close(&kv);
    ck_assert_ptr_null(kv);
}
END_TEST

/* KV2 */
START_TEST(reserve_that_does_not_fit_takes_nothing)
{
    struct table a;
    struct errmsg e;
    struct kv *kv;

    table_init(&a);
    ck_assert_int_eq(kv_open(&kv, &SHAPE, 3, &e), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 20), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 64), ERR_FULL);
    ck_assert_int_eq(a.t.n, 2);
    ck_assert_int_eq(kv_blocks_free(kv), 1);
    kv_release(kv, &a.t);
    kv_close(&kv);
}
END_TEST

/* KV1 */
START_TEST(a_shared_block_is_free_when_the_last_table_lets_go)
{
    struct table a, b;
    struct errmsg e;
    struct kv *kv;

    table_init(&a), table_init(&b);
    ck_assert_int_eq(kv_open(&kv, &SHAPE, 4, &e), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 40), ERR_OK);
    kv_share(kv, &b.t, &a.t, 2);
    ck_assert_int_eq(kv_reserve(kv, &b.t, 33), ERR_OK);
    ck_assert_int_eq(b.at[0], a.at[0]);
    ck_assert_int_eq(b.at[1], a.at[1]);
    ck_assert_int_ne(b.at[2], a.at[2]);
    ck_assert_int_eq(kv_blocks_free(kv), 0);
    kv_release(kv, &a.t);
    ck_assert_int_eq(kv_blocks_free(kv), 1);
    kv_release(kv, &b.t);
    ck_assert_int_eq(kv_blocks_free(kv), 4);
    kv_close(&kv);
}
END_TEST

START_TEST(layers_do_not_overlap)
{
    struct errmsg e;
    struct kv *kv;
    const size_t half = 2 * kv_block_bytes(&SHAPE) / 4; /* two blocks of one layer's K */

    ck_assert_int_eq(kv_open(&kv, &SHAPE, 2, &e), ERR_OK);
    for (int l = 0; l < 2; l++) {
        memset(kv_layer_at(kv, l)->k, 2 * l + 1, half);
        memset(kv_layer_at(kv, l)->v, 2 * l + 2, half);
    }
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < half; i++) {
            ck_assert_int_eq(((char *)kv_layer_at(kv, l)->k)[i], 2 * l + 1);
            ck_assert_int_eq(((char *)kv_layer_at(kv, l)->v)[i], 2 * l + 2);
        }
    kv_close(&kv);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kv");
    TCase *t = tcase_create("kv");

    tcase_add_test(t, a_block_counts_all_layers_keys_and_values);
    tcase_add_test(t, reserve_takes_blocks_that_nobody_holds);
    tcase_add_test(t, reserve_that_does_not_fit_takes_nothing);
    tcase_add_test(t, a_shared_block_is_free_when_the_last_table_lets_go);
    tcase_add_test(t, layers_do_not_overlap);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
