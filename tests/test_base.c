/* test_base.c - base/: buffers, text, faults, arenas, hashes. */
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "tests/test.h"

START_TEST(buf_grows_and_keeps_nul_bytes)
{
    struct buf b = {0};

    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(buf_add(&b, "a\0b", 3), ERR_OK);
    ck_assert_uint_eq(b.len, 3000);
    ck_assert_int_eq(b.data[1], '\0');
    ck_assert_int_eq(b.data[3000], '\0');
    buf_fini(&b);
}
END_TEST

START_TEST(buf_refuses_a_length_that_overflows)
{
    struct buf b = {0};

    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 8), ERR_NOMEM);
    ck_assert(b.failed);
    ck_assert_int_eq(buf_adds(&b, "still works"), ERR_OK);
    buf_fini(&b);
}
END_TEST

START_TEST(utf8_refuses_overlong_surrogate_and_too_large)
{
    ck_assert(utf8_is_valid("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 10));
    ck_assert(utf8_is_valid("a\0b", 3));
    ck_assert(!utf8_is_valid("\xC0\x80", 2));         /* overlong NUL */
    ck_assert(!utf8_is_valid("\xED\xA0\x80", 3));     /* surrogate */
    ck_assert(!utf8_is_valid("\xF4\x90\x80\x80", 4)); /* above U+10FFFF */
    ck_assert(!utf8_is_valid("\xE2\x82", 2));         /* cut */
    ck_assert_int_eq(utf8_next("\xE2\x82", 2, NULL), -1);
}
END_TEST

START_TEST(utf8_repair_marks_each_bad_part_once)
{
    struct buf b = {0};

    ck_assert_int_eq(utf8_repair(&b, "a\xE2\x82z\xFF\xFE.", 7), ERR_OK);
    ck_assert_str_eq(b.data, "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD.");
    buf_fini(&b);
}
END_TEST

START_TEST(utf8_put_and_next_agree_on_every_length)
{
    static const uint32_t CPS[] = {0, 'a', 0x7F, 0x80, 0x7FF, 0x800, 0xFFFD, 0x10000, 0x10FFFF};

    for (size_t i = 0; i < sizeof CPS / sizeof CPS[0]; i++) {
        struct buf b = {0};
        uint32_t cp = 1;

        ck_assert_int_eq(utf8_put(&b, CPS[i]), ERR_OK);
        ck_assert_int_eq(utf8_next(b.data, b.len, &cp), (int)b.len);
        ck_assert_uint_eq(cp, CPS[i]);
        buf_fini(&b);
    }
}
END_TEST

START_TEST(fault_strikes_on_the_nth_pass_only)
{
    struct errmsg e;

    ck_assert_int_eq(fault_setup("commit:3:fail", &e), ERR_OK);
    ck_assert(!fault_here("commit"));
    ck_assert(!fault_here("result"));
    ck_assert(!fault_here("commit"));
    ck_assert(fault_here("commit"));
    ck_assert(!fault_here("commit"));
}
END_TEST

START_TEST(fault_setting_that_is_wrong_is_named)
{
    struct errmsg e;

    ck_assert_int_eq(fault_setup("commit:0:fail", &e), ERR_ARG);
    ck_assert_int_eq(fault_setup("commit:1:burn", &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "burn"));
    ck_assert(!fault_here("commit"));
}
END_TEST

START_TEST(arena_is_aligned_and_bounded)
{
    struct arena a;
    char *p;

    ck_assert_int_eq(arena_init(&a, 256), ERR_OK);
    ck_assert_ptr_nonnull(p = arena_take(&a, 1));
    ck_assert_uint_eq((uintptr_t)p % 64, 0);
    ck_assert_ptr_nonnull(p = arena_take(&a, 128));
    ck_assert_uint_eq((uintptr_t)p % 64, 0);
    ck_assert_ptr_null(arena_take(&a, 128));
    ck_assert_ptr_null(arena_take(&a, SIZE_MAX));
    ck_assert_ptr_nonnull(arena_take(&a, 64));
    arena_fini(&a);
}
END_TEST

START_TEST(hash_of_parts_is_the_hash_of_the_whole)
{
    char whole[HASH_HEX], parts[HASH_HEX];
    struct hash h;

    hash_hex("hello world", 11, whole);
    hash_init(&h);
    hash_part(&h, "hello ", 6);
    hash_part(&h, "world", 5);
    hash_done(&h, parts);
    ck_assert_str_eq(whole, parts);
    ck_assert_uint_eq(strlen(whole), 32);
    ck_assert(hash64("a", 1) != hash64("b", 1));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("base");

    tcase_add_test(t, buf_grows_and_keeps_nul_bytes);
    tcase_add_test(t, buf_refuses_a_length_that_overflows);
    tcase_add_test(t, utf8_refuses_overlong_surrogate_and_too_large);
    tcase_add_test(t, utf8_repair_marks_each_bad_part_once);
    tcase_add_test(t, utf8_put_and_next_agree_on_every_length);
    tcase_add_test(t, fault_strikes_on_the_nth_pass_only);
    tcase_add_test(t, fault_setting_that_is_wrong_is_named);
    tcase_add_test(t, arena_is_aligned_and_bounded);
    tcase_add_test(t, hash_of_parts_is_the_hash_of_the_whole);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
