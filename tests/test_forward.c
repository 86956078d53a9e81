/* test_forward.c - worker/forward: an allocation that fails while it opens.
 *
 * Linked with --wrap for malloc, calloc and aligned_alloc, so that the program's calls come here
 * first; what the libraries allocate does not.
 */
#include "worker/forward.h"

#include <stdlib.h>
#include <string.h>

#include "tests/family.h"
#include "tests/test.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t to, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t to, size_t n);

static int left = -1; /* allocations before the one that fails; -1: none does */

static bool is_refused(void)
{
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return is_refused() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_refused() ? NULL : __real_calloc(n, size);
}

void *__wrap_aligned_alloc(size_t to, size_t n)
{
    return is_refused() ? NULL : __real_aligned_alloc(to, n);
}

START_TEST(an_allocation_that_fails_ends_forward_open_in_order)
{
    struct family_run f;
    int n = 0, rc;

    family_load(&f, &FAMILY_CASES[N_FAMILY_CASES - 1]);
    do {
        const struct forward_opts o = {.model = &f.model,
                                       .device = device_cpu(),
                                       .ops = ops_cpu(),
                                       .parts = &(struct device_opts){.threads = 2},
                                       .n_parts = 1,
                                       .max_tokens = 16,
                                       .max_rows = 4,
                                       .max_model_len = 64,
                                       .tp = _i};
        struct forward *w = NULL;

        memset(&f.e, 0, sizeof f.e);
        left = n++;
        rc = forward_open(&w, &o, &f.e);
        left = -1;
        if (rc) {
            ck_assert_int_eq(rc, ERR_NOMEM);
            ck_assert_ptr_null(w);
            ck_assert_ptr_nonnull(strstr(f.e.text, "no "));
        }
        forward_close(&w);
    } while (rc);
    ck_assert_int_gt(n, 5 * _i);
    family_close(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("forward");
    TCase *t = tcase_create("forward");

    tcase_add_loop_test(t, an_allocation_that_fails_ends_forward_open_in_order, 1, 3);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
