/* test_cuda_ops.c - the small ops of the .cu files against their references, on the emulation or a
 * device.
 *
 * Sizes are odd on purpose: rows that are no whole 16 bytes, one, more than a block of threads.
 */
#include <string.h>

#include "kernels/add.h"
#include "tests/device_rig.h"
#include "tests/numbers.h"

/* DV1, DV2 */
START_TEST(what_is_put_can_be_got)
{
    uint64_t seed = 1;
    float *x = numbers_take(&seed, 1000), *y;
    void *at;

    device_rig_open(ACTS[_i], NULL, NULL);
    at = device_rig_numbers(x, 1000, dev.act);
    y = device_rig_floats(at, 1000, dev.act);
    ck_assert_mem_eq(x, y, 1000 * sizeof *x);
    device_rig_close();
    free(x), free(y);
}
END_TEST

/* O1: one sum for each number, so the bits are the reference's. */
START_TEST(add_gives_the_sum_rounded_to_act)
{
    static const int TS[] = {1, 3, 7, 0}, DS[] = {1, 333, 1024, 8};

    device_rig_open(ACTS[_i], NULL, NULL);
    for (int c = 0; c < 4; c++) {
        const size_t n = (size_t)TS[c] * (size_t)DS[c];
        uint64_t seed = 1;
        float *x = numbers_take(&seed, n), *y = numbers_take(&seed, n), *got;
        void *dx = device_rig_numbers(x, n, dev.act), *dy = device_rig_numbers(y, n, dev.act);

        ck_assert_int_eq(dev.ops->add(dx, dy, TS[c], DS[c], dev.s), ERR_OK);
        ck_assert_int_eq(add_ref(x, y, TS[c], DS[c], NULL), ERR_OK);
        device_rig_numbers(x, n, dev.act);
        got = device_rig_floats(dx, n, dev.act);
        ck_assert_mem_eq(got, x, n * sizeof *x);
        free(x), free(y), free(got);
    }
    ck_assert_int_eq(dev.ops->add(NULL, NULL, -1, 8, dev.s), ERR_ARG);
    device_rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_ops");
    TCase *c = tcase_create("ops");

    suite_add_tcase(s, c);
    if (!device_rig_found()) return s;
    tcase_add_loop_test(c, what_is_put_can_be_got, 0, N_ACTS);
    tcase_add_loop_test(c, add_gives_the_sum_rounded_to_act, 0, N_ACTS);
    return s;
}

TEST_MAIN(suite)
