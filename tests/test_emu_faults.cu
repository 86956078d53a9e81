/* test_emu_faults.cu - kernels/emu: each planted fault of tests/bad/faults.cu is found. */
#include <string.h>
#include <unistd.h>

#include "tests/bad/faults.cu"
#include "tests/test.h"

static const char *const ORDERS[] = {"forward", "reverse", "random:1", "random:2", "random:3"};
#define N_ORDERS 5

static int *device_ints(int n)
{
    int *p;

    ck_assert_int_eq(cudaMalloc(&p, (size_t)n * sizeof *p), cudaSuccess);
    ck_assert_int_eq(cudaMemset(p, 0, (size_t)n * sizeof *p), cudaSuccess);
    return p;
}

/* stderr goes to a file, whose text comes back. */
static FILE *hear(void)
{
    FILE *f = tmpfile();

    ck_assert_ptr_nonnull(f);
    fflush(stderr);
    ck_assert_int_ge(dup2(fileno(f), STDERR_FILENO), 0);
    return f;
}

static const char *heard(FILE *f)
{
    static char text[4096];
    size_t n;

    fflush(stderr);
    rewind(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

static void check_said(const char *text, const char *want)
{
    if (!strstr(text, want)) ck_abort_msg("said \"%s\", not \"%s\"", text, want);
}

/* The launch has just left an error that stays, and stderr names it. */
static void check_fault(FILE *f, int error, const char *kernel, const char *why)
{
    const char *text;
    int *p;

    ck_assert_int_eq(cudaGetLastError(), error);
    ck_assert_int_eq(cudaGetLastError(), error); /* S2 */
    ck_assert_int_eq(cudaMalloc(&p, 4), error);
    text = heard(f);
    check_said(text, kernel);
    check_said(text, why);
    cudaDeviceReset();
}

/* In how many orders y[t] is other than want(t). */
template <class L> static int n_wrong(int n, int (*want)(int t), L launch)
{
    int *y = device_ints(n), wrong = 0;

    for (int k = 0; k < N_ORDERS; k++) {
        int bad = 0;

        setenv("EMU_ORDER", ORDERS[k], 1);
        launch(y);
        ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
        for (int t = 0; t < n; t++)
            bad += y[t] != want(t);
        wrong += bad > 0;
    }
    cudaFree(y);
    return wrong;
}

static int before_of_64(int t)
{
    return (t + 63) % 64;
}

START_TEST(a_missing_barrier_is_found)
{
    ck_assert_int_ge(
        n_wrong(64, before_of_64, [](int *y) { LAUNCH(missing_barrier, 1, 64, 0, 0, y, false); }),
        4);
    ck_assert_int_eq(
        n_wrong(64, before_of_64, [](int *y) { LAUNCH(missing_barrier, 1, 64, 0, 0, y, true); }),
        0);
}
END_TEST

static int before_of_32(int t)
{
    return (t + 31) % 32;
}

START_TEST(a_missing_syncwarp_is_found)
{
    ck_assert_int_ge(
        n_wrong(32, before_of_32, [](int *y) { LAUNCH(missing_syncwarp, 1, 32, 0, 0, y, false); }),
        4);
    ck_assert_int_eq(
        n_wrong(32, before_of_32, [](int *y) { LAUNCH(missing_syncwarp, 1, 32, 0, 0, y, true); }),
        0);
}
END_TEST

static int sum_of_rounds(int t)
{
    return 4 * (63 - t) + 64 * (0 + 1 + 2 + 3);
}

START_TEST(a_missing_barrier_before_the_next_write_is_found)
{
    ck_assert_int_ge(n_wrong(64, sum_of_rounds,
                             [](int *y) { LAUNCH(missing_second_barrier, 1, 64, 0, 0, y, false); }),
                     4);
    ck_assert_int_eq(n_wrong(64, sum_of_rounds,
                             [](int *y) { LAUNCH(missing_second_barrier, 1, 64, 0, 0, y, true); }),
                     0);
}
END_TEST

START_TEST(a_barrier_in_a_branch_ends_the_launch_F1_F3)
{
    int *y = device_ints(64);
    FILE *f = hear();

    LAUNCH(barrier_in_a_branch, 1, 64, 0, 0, y);
    check_fault(f, cudaErrorLaunchFailure, "kernel barrier_in_a_branch, block (0,0,0)",
                "deadlock: 16 of 64 threads wait, 48 have left");
}
END_TEST

START_TEST(a_barrier_that_some_have_left_ends_the_launch_F1)
{
    int *y = device_ints(64);
    FILE *f = hear();

    LAUNCH(barrier_after_some_left, 3, 64, 0, 0, y);
    check_fault(f, cudaErrorLaunchFailure, "kernel barrier_after_some_left",
                "deadlock: 48 of 64 threads wait, 16 have left");
}
END_TEST

START_TEST(two_barriers_of_one_block_do_not_meet)
{
    int *y = device_ints(64);
    FILE *f = hear();

    LAUNCH(two_barriers, 1, 64, 0, 0, y);
    check_fault(f, cudaErrorLaunchFailure, "kernel two_barriers",
                "threads of one block meet at two barriers, lines");
}
END_TEST

START_TEST(a_shuffle_whose_lanes_do_not_come_ends_the_launch_F2)
{
    static const struct {
        void (*kernel)(int *);
        const char *why;
    } cases[] = {
        {shuffle_in_a_branch, "deadlock: 32 of 32 threads wait"},
        {shuffle_of_lanes_that_left, "deadlock: 30 of 32 threads wait, 2 have left"},
        {shuffle_outside_its_mask, "reads lane 16, which the mask 0x0000ffff does not name"},
        {shuffle_not_in_its_mask, "mask 0x0000ffff, which does not name its own lane"},
        {shuffle_meets_a_vote, "__any_sync with mask 0xffffffff, but lane 0 is in __shfl_xor_sync"},
        {two_masks, "is in __shfl_xor_sync with mask 0x"},
    };
    int *y = device_ints(32);
    FILE *f = hear();

    LAUNCH(cases[_i].kernel, 1, 32, 0, 0, y);
    check_fault(f, cudaErrorLaunchFailure, "kernel cases[_i].kernel, block (0,0,0)", cases[_i].why);
}
END_TEST

/* Copies of 64 x 16 bytes that arrive reversed: in how many orders they do not. */
template <class L> static int n_wrong_copies(L launch)
{
    uint4 *x, *y;
    int wrong = 0;

    ck_assert_int_eq(cudaMalloc(&x, 64 * sizeof *x), cudaSuccess);
    ck_assert_int_eq(cudaMalloc(&y, 64 * sizeof *y), cudaSuccess);
    for (unsigned t = 0; t < 64; t++)
        x[t] = make_uint4(t, t + 1, t + 2, t + 3);
    for (int k = 0; k < N_ORDERS; k++) {
        int bad = 0;

        setenv("EMU_ORDER", ORDERS[k], 1);
        launch(y, x);
        ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
        for (int t = 0; t < 64; t++)
            bad += memcmp(&y[t], &x[63 - t], sizeof *y) != 0;
        wrong += bad > 0;
    }
    cudaFree(x);
    cudaFree(y);
    return wrong;
}

START_TEST(a_copy_that_is_not_waited_for_is_found_in_every_order)
{
    ck_assert_int_eq(n_wrong_copies([](uint4 *y, const uint4 *x) {
                         LAUNCH(copy_through<1>, 1, 64, 1024, 0, y, x);
                     }),
                     N_ORDERS);
    ck_assert_int_eq(n_wrong_copies([](uint4 *y, const uint4 *x) {
                         LAUNCH(copy_through<0>, 1, 64, 1024, 0, y, x);
                     }),
                     0);
}
END_TEST

START_TEST(a_copy_waited_for_without_a_barrier_is_found_in_every_order)
{
    ck_assert_int_eq(n_wrong_copies([](uint4 *y, const uint4 *x) {
                         LAUNCH(copy_without_barrier, 1, 64, 1024, 0, y, x, false);
                     }),
                     N_ORDERS);
    ck_assert_int_eq(n_wrong_copies([](uint4 *y, const uint4 *x) {
                         LAUNCH(copy_without_barrier, 1, 64, 1024, 0, y, x, true);
                     }),
                     0);
}
END_TEST

static int sum_of_the_next(int t)
{
    return 3 * ((t + 1) % 64) + 64 * (0 + 1 + 2);
}

START_TEST(a_copy_begun_while_others_read_is_found)
{
    uint4 *x;

    ck_assert_int_eq(cudaMalloc(&x, 3 * 64 * sizeof *x), cudaSuccess);
    for (unsigned t = 0; t < 3 * 64; t++)
        x[t].x = t;
    ck_assert_int_ge(n_wrong(64, sum_of_the_next,
                             [x](int *y) {
                                 LAUNCH(copy_over_readers, 1, 64, 1024, 0, (unsigned *)y, x, false);
                             }),
                     4);
    ck_assert_int_eq(
        n_wrong(64, sum_of_the_next,
                [x](int *y) { LAUNCH(copy_over_readers, 1, 64, 1024, 0, (unsigned *)y, x, true); }),
        0);
}
END_TEST

static int itself(int t)
{
    return t;
}

START_TEST(what_a_copy_will_write_is_not_there_before_it_was_waited_for)
{
    uint4 *x;

    ck_assert_int_eq(cudaMalloc(&x, 64 * sizeof *x), cudaSuccess);
    for (unsigned t = 0; t < 64; t++)
        x[t].x = t;
    ck_assert_int_eq(n_wrong(64, itself,
                             [x](int *y) {
                                 LAUNCH(copy_read_too_early, 1, 64, 1024, 0, (unsigned *)y, x,
                                        false);
                             }),
                     N_ORDERS);
    ck_assert_int_eq(n_wrong(64, itself,
                             [x](int *y) {
                                 LAUNCH(copy_read_too_early, 1, 64, 1024, 0, (unsigned *)y, x,
                                        true);
                             }),
                     0);
    cudaFree(x);
}
END_TEST

START_TEST(a_misaligned_vector_is_refused)
{
    float *y;
    FILE *f;

    ck_assert_int_eq(cudaMalloc(&y, 64), cudaSuccess);
    LAUNCH(misaligned, 1, 1, 0, 0, y, 4);
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
    ck_assert(y[7] == 4.0f);
    f = hear();
    LAUNCH(misaligned, 1, 1, 0, 0, y, 2);
    check_fault(f, cudaErrorMisalignedAddress, "kernel misaligned", "is not a multiple of 16");
}
END_TEST

START_TEST(a_misaligned_copy_is_refused)
{
    char *x;
    FILE *f;

    ck_assert_int_eq(cudaMalloc(&x, 64), cudaSuccess);
    f = hear();
    LAUNCH(misaligned_copy, 1, 1, 16, 0, x, 8);
    check_fault(f, cudaErrorMisalignedAddress, "kernel misaligned_copy", "is not a multiple of 16");
}
END_TEST

START_TEST(memory_of_the_host_is_not_reached_by_a_kernel)
{
    int mine[4], *y;
    FILE *f = hear();

    LAUNCH(out_of_bounds, 1, 32, 0, 0, mine, 3);
    check_fault(f, cudaErrorIllegalAddress, "kernel out_of_bounds", "argument 1");
    ck_assert_int_eq(cudaMallocHost(&y, 16), cudaSuccess);
    LAUNCH(out_of_bounds, 1, 32, 0, 0, y, 3); /* pinned memory is */
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
    cudaFreeHost(y);
}
END_TEST

START_TEST(shared_memory_that_nobody_wrote_is_no_number)
{
    float *y;

    ck_assert_int_eq(cudaMalloc(&y, 32 * sizeof *y), cudaSuccess);
    for (int round = 0; round < 4; round++) {
        if (round % 2)
            LAUNCH(unwritten, 1, 32, 128, 0, y);
        else
            LAUNCH(unwritten_static, 1, 32, 0, 0, y);
        for (int t = 0; t < 32; t++)
            ck_assert(y[t] != y[t]);
        memset(y, 0, 32 * sizeof *y);
    }
    cudaDeviceReset();
}
END_TEST

START_TEST(blocks_that_count_on_their_order_are_found)
{
    int *y = device_ints(50), *turn = device_ints(1), n_right[N_ORDERS] = {0};

    for (int k = 0; k < N_ORDERS; k++) {
        setenv("EMU_ORDER", ORDERS[k], 1);
        *turn = 0;
        LAUNCH(ordered_blocks, 50, 1, 0, 0, turn, y);
        ck_assert_int_eq(*turn, 50); /* each block once */
        for (int i = 0; i < 50; i++)
            n_right[k] += y[i];
    }
    ck_assert_int_eq(n_right[0], 50);
    for (int k = 1; k < N_ORDERS; k++)
        ck_assert_int_lt(n_right[k], 25);
    cudaDeviceReset();
}
END_TEST

START_TEST(after_a_fault_a_reset_device_works_again)
{
    for (int round = 0; round < 3; round++) {
        int *y = device_ints(64);

        fclose(hear());
        LAUNCH(barrier_in_a_branch, 1, 64, 0, 0, y);
        ck_assert_int_eq(cudaGetLastError(), cudaErrorLaunchFailure);
        ck_assert_int_eq(cudaDeviceReset(), cudaSuccess);
        y = device_ints(64);
        LAUNCH(missing_barrier, 1, 64, 0, 0, y, true);
        ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
        for (int t = 0; t < 64; t++)
            ck_assert_int_eq(y[t], before_of_64(t));
        cudaFree(y);
    }
}
END_TEST

#if defined(__SANITIZE_ADDRESS__)
START_TEST(a_write_behind_the_end_of_device_memory_ends_the_program)
{
    int *y = device_ints(100);

    fclose(hear());
    LAUNCH(out_of_bounds, 1, 32, 0, 0, y, 100);
}
END_TEST

START_TEST(a_write_behind_the_end_of_shared_memory_ends_the_program)
{
    int *y = device_ints(1);

    fclose(hear());
    LAUNCH(out_of_shared, 1, 1, 100, 0, y, 25);
}
END_TEST
#else
START_TEST(a_write_within_bounds_is_let_through)
{
    int *y = device_ints(101);

    LAUNCH(out_of_bounds, 1, 32, 0, 0, y, 100);
    LAUNCH(out_of_shared, 1, 1, 104, 0, y, 25);
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
    ck_assert_int_eq(y[100], 100);
    cudaDeviceReset();
}
END_TEST
#endif

static Suite *suite(void)
{
    Suite *s = suite_create("emu_faults");
    TCase *tc = tcase_create("faults");

    tcase_add_test(tc, a_missing_barrier_is_found);
    tcase_add_test(tc, a_missing_syncwarp_is_found);
    tcase_add_test(tc, a_missing_barrier_before_the_next_write_is_found);
    tcase_add_test(tc, a_barrier_in_a_branch_ends_the_launch_F1_F3);
    tcase_add_test(tc, a_barrier_that_some_have_left_ends_the_launch_F1);
    tcase_add_test(tc, two_barriers_of_one_block_do_not_meet);
    tcase_add_loop_test(tc, a_shuffle_whose_lanes_do_not_come_ends_the_launch_F2, 0, 6);
    tcase_add_test(tc, a_copy_that_is_not_waited_for_is_found_in_every_order);
    tcase_add_test(tc, a_copy_waited_for_without_a_barrier_is_found_in_every_order);
    tcase_add_test(tc, a_copy_begun_while_others_read_is_found);
    tcase_add_test(tc, what_a_copy_will_write_is_not_there_before_it_was_waited_for);
    tcase_add_test(tc, a_misaligned_vector_is_refused);
    tcase_add_test(tc, a_misaligned_copy_is_refused);
    tcase_add_test(tc, memory_of_the_host_is_not_reached_by_a_kernel);
    tcase_add_test(tc, shared_memory_that_nobody_wrote_is_no_number);
    tcase_add_test(tc, blocks_that_count_on_their_order_are_found);
    tcase_add_test(tc, after_a_fault_a_reset_device_works_again);
#if defined(__SANITIZE_ADDRESS__)
    tcase_add_exit_test(tc, a_write_behind_the_end_of_device_memory_ends_the_program, 1);
    tcase_add_exit_test(tc, a_write_behind_the_end_of_shared_memory_ends_the_program, 1);
#else
    tcase_add_test(tc, a_write_within_bounds_is_let_through);
#endif
    suite_add_tcase(s, tc);
    return s;
}

TEST_MAIN(suite)
