/* test_idmap.c - the map from ids to pointers, against a plain array that does the same. */
#include <string.h>

#include "base/err.h"
#include "base/idmap.h"
#include "tests/test.h"

#define IDS   512 /* ids in play: few, so that runs form and wrap around */
#define STEPS 40000

static uint64_t state = 7;

static unsigned rnd(unsigned n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

static size_t home(const struct idmap *m, int64_t id)
{
    return (size_t)(((uint64_t)id * 0x9E3779B97F4A7C15u) >> 32) & (m->cap - 1);
}

/* Each value once, and as many as the model holds. */
static void check(const struct idmap *m, char *const model[IDS], const int64_t id[IDS])
{
    size_t at = 0, n = 0, seen = 0;
    char *v;

    for (int k = 0; k < IDS; k++) {
        ck_assert_ptr_eq(idmap_get(m, id[k]), model[k]);
        n += model[k] != NULL;
    }
    while ((v = idmap_next(m, &at))) {
        seen++;
        ck_assert_int_ge(*v, 0);
    }
    ck_assert_uint_eq(m->n, n);
    ck_assert_uint_eq(seen, n);
}

static void play(const int64_t id[IDS])
{
    static char things[STEPS];
    char *model[IDS] = {NULL};
    struct idmap m = {0};

    for (int i = 0; i < STEPS; i++) {
        unsigned k = rnd(IDS);

        if (rnd(2)) {
            ck_assert_int_eq(idmap_put(&m, id[k], &things[i]), ERR_OK);
            model[k] = &things[i];
        } else {
            ck_assert_ptr_eq(idmap_remove(&m, id[k]), model[k]);
            model[k] = NULL;
        }
        if (i % 500 == 0) check(&m, model, id);
    }
    check(&m, model, id);
    idmap_fini(&m);
    ck_assert_uint_eq(m.n, 0);
}

START_TEST(map_agrees_with_a_plain_array_for_ids_in_a_run)
{
    int64_t id[IDS];

    for (int k = 0; k < IDS; k++)
        id[k] = k + 1;
    play(id);
}
END_TEST

START_TEST(map_agrees_with_a_plain_array_for_scattered_ids)
{
    int64_t id[IDS];

    for (int k = 0; k < IDS; k++)
        id[k] = (int64_t)((uint64_t)(k + 1) * 0x2545F4914F6CDD1Du >> 1) + 1;
    play(id);
}
END_TEST

START_TEST(runs_that_wrap_around_the_end_stay_whole)
{
    struct idmap m = {.cap = 64};
    int64_t id[24];
    int n = 0;

    for (int64_t i = 1; n < 24; i++) /* all at home in the last two slots */
        if (home(&m, i) >= 62) id[n++] = i;
    for (int round = 0; round < 200; round++) {
        struct idmap own = {0};

        for (int k = 0; k < n; k++)
            ck_assert_int_eq(idmap_put(&own, id[k], &id[k]), ERR_OK);
        ck_assert_uint_eq(own.cap, 64);
        for (int left = n; left > 0; left--) {
            unsigned k = rnd((unsigned)left);
            int64_t swap = id[k];

            ck_assert_ptr_nonnull(idmap_remove(&own, id[k]));
            id[k] = id[left - 1];
            id[left - 1] = swap;
            for (int j = 0; j < left - 1; j++)
                ck_assert_ptr_nonnull(idmap_get(&own, id[j]));
            ck_assert_ptr_null(idmap_get(&own, swap));
        }
        idmap_fini(&own);
    }
}
END_TEST

START_TEST(an_empty_map_and_ids_that_are_none_are_answered)
{
    struct idmap m = {0};
    size_t at = 0;
    int v;

    ck_assert_ptr_null(idmap_get(&m, 5));
    ck_assert_ptr_null(idmap_remove(&m, 5));
    ck_assert_ptr_null(idmap_next(&m, &at));
    ck_assert_int_eq(idmap_put(&m, INT64_MAX, &v), ERR_OK);
    ck_assert_ptr_null(idmap_get(&m, 0));
    ck_assert_ptr_null(idmap_get(&m, -1));
    ck_assert_ptr_null(idmap_get(&m, INT64_MIN));
    ck_assert_ptr_null(idmap_remove(&m, 0));
    ck_assert_ptr_eq(idmap_remove(&m, INT64_MAX), &v);
    idmap_fini(&m);
}
END_TEST

START_TEST(put_again_replaces)
{
    struct idmap m = {0};
    int one, two;

    ck_assert_int_eq(idmap_put(&m, 9, &one), ERR_OK);
    ck_assert_int_eq(idmap_put(&m, 9, &two), ERR_OK);
    ck_assert_uint_eq(m.n, 1);
    ck_assert_ptr_eq(idmap_get(&m, 9), &two);
    idmap_fini(&m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("idmap");
    TCase *t = tcase_create("idmap");

    tcase_add_test(t, map_agrees_with_a_plain_array_for_ids_in_a_run);
    tcase_add_test(t, map_agrees_with_a_plain_array_for_scattered_ids);
    tcase_add_test(t, runs_that_wrap_around_the_end_stay_whole);
    tcase_add_test(t, an_empty_map_and_ids_that_are_none_are_answered);
    tcase_add_test(t, put_again_replaces);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
