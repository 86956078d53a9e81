/* test_rowid.c - clients/rowid: every row of a file has a key of its own. */
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "clients/row_error.h"
#include "clients/rowid.h"
#include "tests/test.h"

static struct rowid *ids;

static void set_up(void)
{
    ck_assert_int_eq(rowid_open(&ids), ERR_OK);
}

static void tear_down(void)
{
    rowid_close(&ids);
    ck_assert_ptr_null(ids);
    rowid_close(&ids);
}

static int claim(const char *id, int64_t line, int64_t *first)
{
    return rowid_claim(ids, id, strlen(id), line, first);
}

static const char *make(const char *body, int64_t line)
{
    static char out[4][ROWID_BYTES];
    static unsigned next;
    char *p = out[next++ % 4];

    ck_assert_int_eq(rowid_make(ids, body, strlen(body), line, p), ERR_OK);
    return p;
}

START_TEST(made_id_is_16_hex_digits_of_the_bodys_hash)
{
    char want[ROWID_BYTES];

    snprintf(want, sizeof want, "%016" PRIx64, hash64("{\"prompt\":\"a\"}", 14));
    ck_assert_str_eq(make("{\"prompt\":\"a\"}", 1), want);
    ck_assert_uint_eq(strlen(want), 16);
}
END_TEST

START_TEST(further_occurrences_of_a_body_are_numbered_from_two)
{
    char want[ROWID_BYTES];

    snprintf(want, sizeof want, "%s", make("b", 1));
    ck_assert_str_ne(make("other", 2), want);
    for (int k = 2; k <= 100; k++) {
        snprintf(want + 16, sizeof want - 16, "-%d", k);
        ck_assert_str_eq(make("b", k + 1), want);
    }
}
END_TEST

START_TEST(second_row_with_an_id_is_told_the_first_ones_line)
{
    struct row_error err;
    int64_t first = 0;

    ck_assert_int_eq(claim("a", 3, &first), ERR_OK);
    ck_assert_int_eq(claim("b", 4, &first), ERR_OK);
    ck_assert_int_eq(claim("a", 9, &first), ERR_EXISTS);
    ck_assert_int_eq(first, 3);
    row_error_duplicate(&err, "a", 1, 9, first);
    ck_assert_str_eq(err.code, "duplicate_custom_id");
    ck_assert_str_eq(err.message, "custom_id \"a\" was used before, by line 3");
    ck_assert_int_eq(err.line, 9);
}
END_TEST

START_TEST(ids_with_nul_bytes_are_told_apart)
{
    int64_t first;

    ck_assert_int_eq(rowid_claim(ids, "a\0b", 3, 1, &first), ERR_OK);
    ck_assert_int_eq(rowid_claim(ids, "a\0c", 3, 2, &first), ERR_OK);
    ck_assert_int_eq(rowid_claim(ids, "a\0b", 3, 3, &first), ERR_EXISTS);
}
END_TEST

START_TEST(made_id_steps_aside_for_an_own_id_of_the_same_name)
{
    char id[ROWID_BYTES];
    int64_t first;

    snprintf(id, sizeof id, "%016" PRIx64, hash64("b", 1));
    ck_assert_int_eq(claim(id, 1, &first), ERR_OK);
    snprintf(id + 16, sizeof id - 16, "-3");
    ck_assert_int_eq(claim(id, 2, &first), ERR_OK);
    id[17] = '2';
    ck_assert_str_eq(make("b", 3), id);
    id[17] = '4';
    ck_assert_str_eq(make("b", 4), id);
    ck_assert_int_eq(claim(id, 5, &first), ERR_EXISTS); /* and the other way round */
    ck_assert_int_eq(first, 4);
}
END_TEST

START_TEST(error_row_is_keyed_by_its_line)
{
    char key[ROWID_BYTES];
    int64_t first;

    ck_assert_int_eq(rowid_line(ids, 12, key), ERR_OK);
    ck_assert_str_eq(key, "line-12");
    ck_assert_int_eq(claim("line-12", 13, &first), ERR_EXISTS);
    ck_assert_int_eq(claim("line-14", 13, &first), ERR_OK);
    ck_assert_int_eq(rowid_line(ids, 14, key), ERR_OK);
    ck_assert_str_eq(key, "line-14-2");
    ck_assert_int_eq(rowid_line(ids, INT64_MAX, key), ERR_OK);
    ck_assert_str_eq(key, "line-9223372036854775807");
}
END_TEST

START_TEST(same_file_gives_the_same_keys)
{
    static const char *const BODIES[] = {"a", "b", "a", "c", "b", "a"};
    char keys[6][ROWID_BYTES];

    for (int i = 0; i < 6; i++)
        snprintf(keys[i], ROWID_BYTES, "%s", make(BODIES[i], i + 1));
    tear_down();
    set_up();
    for (int i = 0; i < 6; i++)
        ck_assert_str_eq(make(BODIES[i], i + 1), keys[i]);
}
END_TEST

START_TEST(half_a_million_keys_are_found_in_24_bytes_each)
{
    const int n = 500000;
    size_t at_start = rowid_memory(ids), worst = 0;
    char id[32];
    int64_t first;

    for (int i = 0; i < n; i++) {
        int len = snprintf(id, sizeof id, "row-%d", i);

        ck_assert_int_eq(rowid_claim(ids, id, (size_t)len, i + 1, &first), ERR_OK);
        if (i > 20000) {
            size_t each = (rowid_memory(ids) - at_start) / (size_t)(i + 1);

            if (each > worst) worst = each;
        }
    }
    ck_assert_uint_le(worst, 24);
    for (int i = 0; i < n; i += 7) {
        int len = snprintf(id, sizeof id, "row-%d", i);

        ck_assert_int_eq(rowid_claim(ids, id, (size_t)len, n + 1, &first), ERR_EXISTS);
        ck_assert_int_eq(first, i + 1);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rowid");
    TCase *t = tcase_create("rowid");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, made_id_is_16_hex_digits_of_the_bodys_hash);
    tcase_add_test(t, further_occurrences_of_a_body_are_numbered_from_two);
    tcase_add_test(t, second_row_with_an_id_is_told_the_first_ones_line);
    tcase_add_test(t, ids_with_nul_bytes_are_told_apart);
    tcase_add_test(t, made_id_steps_aside_for_an_own_id_of_the_same_name);
    tcase_add_test(t, error_row_is_keyed_by_its_line);
    tcase_add_test(t, same_file_gives_the_same_keys);
    tcase_add_test(t, half_a_million_keys_are_found_in_24_bytes_each);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
