/* test_kv.c - worker/kv: who holds which block. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/test.h"
#include "worker/kv.h"

static const struct kv_shape SHAPE = {2, 3, 8, DTYPE_F32};

/* One rank, on the host. */
static const struct kv_home *home(void)
{
    static struct stream *s;
    static struct kv_home h = {.streams = &s, .n = 1};
    struct errmsg e;

    h.device = device_cpu();
    if (!s) ck_assert_int_eq(h.device->open(&s, &(struct device_opts){.threads = 1}, &e), ERR_OK);
    return &h;
}

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
    ck_assert_int_eq(kv_open(&kv, &SHAPE, home(), 5, true, &e), ERR_OK);
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

START_TEST(blank_blocks_are_zeros_and_others_stay)
{
    struct table a, b;
    struct errmsg e;
    struct kv *kv;

    table_init(&a), table_init(&b);
    ck_assert_int_eq(kv_open(&kv, &SHAPE, home(), 5, true, &e), ERR_OK);
    for (int l = 0; l < SHAPE.n_layers; l++) {
        memset(kv_layer_at(kv, l)->k, 7, 5 * 3 * 16 * 8 * 4);
        memset(kv_layer_at(kv, l)->v, 7, 5 * 3 * 16 * 8 * 4);
    }
    ck_assert_int_eq(kv_reserve(kv, &a.t, 40), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &b.t, 16), ERR_OK);
    ck_assert_int_eq(kv_blank(kv, &a.t, 17, &e), ERR_OK); /* two blocks of three */
    for (int l = 0; l < SHAPE.n_layers; l++)
        for (int i = 0; i < 4; i++) {
            const int32_t block = i < 3 ? a.at[i] : b.at[0];
            const size_t at = (size_t)block * 3 * 16 * 8 * 4, last = at + 3 * 16 * 8 * 4 - 1;
            const char want = i < 2 ? 0 : 7;

            ck_assert_int_eq(((char *)kv_layer_at(kv, l)->k)[at], want);
            ck_assert_int_eq(((char *)kv_layer_at(kv, l)->k)[last], want);
            ck_assert_int_eq(((char *)kv_layer_at(kv, l)->v)[at], want);
            ck_assert_int_eq(((char *)kv_layer_at(kv, l)->v)[last], want);
        }
    kv_release(kv, &a.t);
    kv_release(kv, &b.t);
    kv_close(&kv);
}
END_TEST

/* KV2 */
START_TEST(reserve_that_does_not_fit_takes_nothing)
{
    struct table a;
    struct errmsg e;
    struct kv *kv;

    table_init(&a);
    ck_assert_int_eq(kv_open(&kv, &SHAPE, home(), 3, true, &e), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 20), ERR_OK);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 64), ERR_FULL);
    ck_assert_int_eq(a.t.n, 2);
    ck_assert_int_eq(kv_blocks_free(kv), 1);
    kv_release(kv, &a.t);
    kv_close(&kv);
}
END_TEST

/* Ids of a block that differ from those of any other n. */
static const int32_t *ids_of(int n)
{
    static int32_t ids[KV_BLOCK_TOKENS];

    for (int i = 0; i < KV_BLOCK_TOKENS; i++)
        ids[i] = n;
    return ids;
}

static void open_kv(struct kv **kv, int n_blocks, bool keep)
{
    struct errmsg e;

    ck_assert_msg(kv_open(kv, &SHAPE, home(), n_blocks, keep, &e) == ERR_OK, "%s", e.text);
}

/* Fills t with n_blocks sealed blocks of the ids first, first + 1, ... */
static void fill(struct kv *kv, struct kv_table *t, int n_blocks, int first)
{
    ck_assert_int_eq(kv_reserve(kv, t, n_blocks * KV_BLOCK_TOKENS), ERR_OK);
    for (int i = 0; i < n_blocks; i++)
        ck_assert(kv_seal(kv, t, i, CHAIN_SCOPE, ids_of(first + i), false));
}

/* How many blocks of the ids first, first + 1, ... the cache has; holds none. */
static int cached(struct kv *kv, int64_t scope, int first)
{
    struct table t;
    int n = 0;

    table_init(&t);
    while (kv_share(kv, &t.t, scope, ids_of(first + n)))
        n++;
    kv_release(kv, &t.t);
    return n;
}

/* KV1 */
START_TEST(a_shared_block_is_free_when_the_last_table_lets_go)
{
    struct table a, b;
    struct kv *kv;

    table_init(&a), table_init(&b);
    open_kv(&kv, 4, false);
    fill(kv, &a.t, 2, 10);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 40), ERR_OK);
    for (int i = 0; i < 2; i++)
        ck_assert(kv_share(kv, &b.t, CHAIN_SCOPE, ids_of(10 + i)));
    ck_assert(!kv_share(kv, &b.t, CHAIN_SCOPE, ids_of(12)));
    ck_assert_int_eq(kv_reserve(kv, &b.t, 33), ERR_OK);
    ck_assert_int_eq(b.at[0], a.at[0]);
    ck_assert_int_eq(b.at[1], a.at[1]);
    ck_assert_int_ne(b.at[2], a.at[2]);
    ck_assert_int_eq(kv_blocks_free(kv), 0);
    kv_release(kv, &a.t);
    ck_assert_int_eq(kv_blocks_free(kv), 1);
    kv_release(kv, &b.t);
    ck_assert_int_eq(kv_blocks_free(kv), 4);
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 10), 0); /* nothing is kept here */
    kv_close(&kv);
}
END_TEST

/* KV1 */
START_TEST(sealed_blocks_are_kept_until_no_free_one_is_left)
{
    struct table a, b;
    struct kv *kv;

    table_init(&a), table_init(&b);
    open_kv(&kv, 6, true);
    fill(kv, &a.t, 3, 10);
    kv_release(kv, &a.t);
    ck_assert_int_eq(kv_blocks_free(kv), 6);
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 10), 3);
    ck_assert_int_eq(kv_reserve(kv, &b.t, 3 * 16), ERR_OK); /* those that were free */
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 10), 3);
    ck_assert_int_eq(kv_reserve(kv, &b.t, 4 * 16), ERR_OK);
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 10), 2); /* what stands behind goes first */
    ck_assert_int_eq(kv_reserve(kv, &b.t, 6 * 16), ERR_OK);
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 10), 0);
    ck_assert_int_eq(kv_reserve(kv, &a.t, 1), ERR_FULL);
    kv_release(kv, &b.t);
    kv_close(&kv);
}
END_TEST

/* KV3 */
START_TEST(what_was_let_go_of_longest_ago_goes_first_and_a_leaf_before_its_trunk)
{
    struct table a, b, c;
    struct kv *kv;

    table_init(&a), table_init(&b), table_init(&c);
    open_kv(&kv, 6, true);
    fill(kv, &a.t, 3, 10); /* 10 11 12 */
    fill(kv, &b.t, 2, 20); /* 20 21 */
    kv_release(kv, &a.t);
    kv_release(kv, &b.t);
    ck_assert(kv_share(kv, &a.t, CHAIN_SCOPE, ids_of(10))); /* 10 is used again: the newest */
    kv_release(kv, &a.t);
    ck_assert_int_eq(kv_reserve(kv, &c.t, 3 * 16), ERR_OK); /* the free one, 12, 11 */
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 20), 2);
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 10), 1);
    kv_release(kv, &c.t);
    kv_close(&kv);
}
END_TEST

START_TEST(a_block_is_known_by_its_tokens_and_all_before_them)
{
    struct table a, b;
    struct kv *kv;

    table_init(&a), table_init(&b);
    open_kv(&kv, 6, true);
    fill(kv, &a.t, 2, 10);
    ck_assert(!kv_share(kv, &b.t, CHAIN_SCOPE, ids_of(11)));
    ck_assert(!kv_share(kv, &b.t, CHAIN_SCOPE - 1, ids_of(10))); /* another scope */
    ck_assert_int_eq(kv_reserve(kv, &b.t, 16), ERR_OK);
    ck_assert(kv_seal(kv, &b.t, 0, CHAIN_SCOPE, ids_of(5), false));
    ck_assert(!kv_share(kv, &b.t, CHAIN_SCOPE, ids_of(11))); /* behind 5, not behind 10 */
    kv_release(kv, &a.t), kv_release(kv, &b.t);
    kv_close(&kv);
}
END_TEST

/* CH1 */
START_TEST(two_that_computed_the_same_block_end_with_one)
{
    struct table a, b;
    struct kv *kv;

    table_init(&a), table_init(&b);
    open_kv(&kv, 4, true);
    fill(kv, &a.t, 1, 10);
    ck_assert_int_eq(kv_reserve(kv, &b.t, 32), ERR_OK);
    ck_assert(!kv_seal(kv, &b.t, 0, CHAIN_SCOPE, ids_of(10), false)); /* the step still writes */
    ck_assert_int_ne(b.at[0], a.at[0]);
    ck_assert_int_eq(kv_blocks_free(kv), 1);
    ck_assert(kv_seal(kv, &b.t, 0, CHAIN_SCOPE, ids_of(10), true));
    ck_assert_int_eq(b.at[0], a.at[0]);
    ck_assert_int_eq(kv_blocks_free(kv), 2);
    ck_assert(kv_seal(kv, &b.t, 1, CHAIN_SCOPE, ids_of(11), true));
    kv_release(kv, &a.t);
    ck_assert_int_eq(kv_blocks_free(kv), 2);
    kv_release(kv, &b.t);
    ck_assert_int_eq(cached(kv, CHAIN_SCOPE, 10), 2);
    kv_close(&kv);
}
END_TEST

/* KV1, KV3, CH2: tables come and go at random, and every block is always accounted for. */
START_TEST(no_block_is_lost_whatever_comes_and_goes)
{
    enum { BLOCKS = 23, TABLES = 5 };
    struct table t[TABLES];
    uint64_t dice = 7;
    struct kv *kv;
    int shared = 0;

    open_kv(&kv, BLOCKS, true);
    for (int i = 0; i < TABLES; i++)
        table_init(&t[i]);
    for (int round = 0; round < 4000; round++) {
        struct kv_table *at;
        bool held[BLOCKS] = {false};
        int n_held = 0;

        dice = dice * 6364136223846793005u + 1442695040888963407u;
        at = &t[dice >> 33 & 3].t;
        if (at->n) {
            kv_release(kv, at);
        } else {
            const int family = dice >> 40 & 3, n = dice >> 44 & 7;

            while (at->n < n && kv_share(kv, at, CHAIN_SCOPE, ids_of(family * 10 + at->n)))
                shared++;
            for (int i = at->n; i < n; i++) {
                if (kv_reserve(kv, at, (i + 1) * KV_BLOCK_TOKENS)) break;
                ck_assert(kv_seal(kv, at, i, CHAIN_SCOPE, ids_of(family * 10 + i), true));
            }
        }
        for (int i = 0; i < TABLES; i++)
            for (int k = 0; k < t[i].t.n; k++) {
                n_held += !held[t[i].at[k]];
                held[t[i].at[k]] = true;
            }
        ck_assert_int_eq(kv_blocks_free(kv), BLOCKS - n_held);
    }
    ck_assert_int_gt(shared, 1000);
    for (int i = 0; i < TABLES; i++)
        kv_release(kv, &t[i].t);
    kv_close(&kv);
}
END_TEST

START_TEST(layers_do_not_overlap)
{
    struct errmsg e;
    struct kv *kv;
    const size_t half = 2 * kv_block_bytes(&SHAPE) / 4; /* two blocks of one layer's K */

    ck_assert_int_eq(kv_open(&kv, &SHAPE, home(), 2, true, &e), ERR_OK);
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

/* 1 GiB of KV is opened; one page of it is written. */
START_TEST(memory_comes_when_it_is_written)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const int n_blocks = (int)((1u << 30) / kv_block_bytes(&SHAPE));
    unsigned char there;
    struct errmsg e;
    struct kv *kv;
    char *k;

    ck_assert_int_eq(kv_open(&kv, &SHAPE, home(), n_blocks, true, &e), ERR_OK);
    k = kv_layer_at(kv, 0)->k;
    ck_assert_uint_eq((uintptr_t)k % page, 0);
    ck_assert_int_eq(mincore(k, page, &there), 0);
    ck_assert_int_eq(there & 1, 0);
    k[0] = 1;
    ck_assert_int_eq(mincore(k, page, &there), 0);
    ck_assert_int_eq(there & 1, 1);
    kv_close(&kv);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kv");
    TCase *t = tcase_create("kv");

    tcase_add_test(t, a_block_counts_all_layers_keys_and_values);
    tcase_add_test(t, reserve_takes_blocks_that_nobody_holds);
    tcase_add_test(t, blank_blocks_are_zeros_and_others_stay);
    tcase_add_test(t, reserve_that_does_not_fit_takes_nothing);
    tcase_add_test(t, a_shared_block_is_free_when_the_last_table_lets_go);
    tcase_add_test(t, sealed_blocks_are_kept_until_no_free_one_is_left);
    tcase_add_test(t, what_was_let_go_of_longest_ago_goes_first_and_a_leaf_before_its_trunk);
    tcase_add_test(t, a_block_is_known_by_its_tokens_and_all_before_them);
    tcase_add_test(t, two_that_computed_the_same_block_end_with_one);
    tcase_add_test(t, no_block_is_lost_whatever_comes_and_goes);
    tcase_add_test(t, layers_do_not_overlap);
    tcase_add_test(t, memory_comes_when_it_is_written);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
