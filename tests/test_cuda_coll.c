/* test_cuda_coll.c - NCCL's collectives: on the emulation with a library of the test's own and four
 * devices, on a real device with NCCL and one rank.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "kernels/coll_nccl.h"
#include "kernels/pool.h"
#include "tests/device_rig.h"

#define MAX_RANKS 4
#define COUNT     33
#define T         3

static struct {
    int n;
    enum dtype act;
    const struct coll_ops *ops;
    struct coll *ranks[MAX_RANKS];
    struct stream *streams[MAX_RANKS], *team;
    void *x[MAX_RANKS];    /* [COUNT] of act, on the device */
    float *y, *columns[4]; /* of a gather */
    int bad_rank, bad_round, rounds, rc[MAX_RANKS];
    struct graph *graphs[MAX_RANKS];
} g;

static int n_ranks(void)
{
    return dev.plugin->emulated ? MAX_RANKS : 1;
}

/* This program is BUILD/tests/test_cuda_coll, the library BUILD/tests/fake/nccl.so. */
static void name_library(void)
{
    char path[PATH_MAX + 16];
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    strcpy(strrchr(path, '/'), "/fake/nccl.so");
    if (dev.plugin->emulated) setenv(NCCL_ENV, path, 1);
}

static void put(int rank, void *to, const float *x, size_t n, enum dtype d)
{
    uint16_t half[256];

    for (size_t i = 0; i < n && d != DTYPE_F32; i++)
        half[i] = d == DTYPE_F16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
    ck_assert_int_eq(dev.device->put(g.streams[rank], to, d == DTYPE_F32 ? (const void *)x : half,
                                     n * dtype_bytes(d)),
                     ERR_OK);
}

static void get(int rank, float *x, const void *from, size_t n, enum dtype d)
{
    uint16_t half[256];

    ck_assert_int_eq(dev.device->get(g.streams[rank], d == DTYPE_F32 ? (void *)x : half, from,
                                     n * dtype_bytes(d)),
                     ERR_OK);
    for (size_t i = 0; i < n && d != DTYPE_F32; i++)
        x[i] = d == DTYPE_F16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]);
}

static void open_group(int n, enum dtype act)
{
    name_library();
    setenv("EMU_DEVICES", "4", 1);
    g.n = n;
    g.act = act;
    g.rounds = 1;
    g.bad_rank = g.bad_round = -1;
    g.ops = dev.plugin->nccl(&dev.err);
    ck_assert_msg(g.ops != NULL, "%s", dev.err.text);
    ck_assert_int_eq(pool_open(&g.team, n, &dev.err), ERR_OK);
    for (int i = 0; i < n; i++) {
        const struct device_opts o = {.index = i};

        ck_assert_int_eq(dev.device->open(&g.streams[i], &o, &dev.err), ERR_OK);
        g.x[i] = dev.device->take(g.streams[i], COUNT * sizeof(float), &dev.err);
        g.columns[i] = dev.device->take(g.streams[i], (size_t)T * 8 * sizeof(float), &dev.err);
    }
    g.y = dev.device->take(g.streams[0], (size_t)T * 32 * sizeof(float), &dev.err);
    ck_assert_msg(g.ops->open(g.ranks, g.streams, n, act, &dev.err) == ERR_OK, "%s", dev.err.text);
}

static void close_group(void)
{
    g.ops->close(g.ranks, g.n);
    ck_assert_ptr_null(g.ranks[0]);
    for (int i = 0; i < g.n; i++)
        dev.device->close(&g.streams[i]);
    pool_close(&g.team);
}

static float number(int rank, int i)
{
    return (float)(rank + 1) * 0.25f * (float)(i - 16);
}

static void add_up(void *arg, int rank)
{
    float x[COUNT];

    (void)arg;
    for (int i = 0; i < COUNT; i++)
        x[i] = number(rank, i);
    put(rank, g.x[rank], x, COUNT, g.act);
    for (int round = 0; round < g.rounds; round++) {
        const bool bad = rank == g.bad_rank && round == g.bad_round;

        g.rc[rank] =
            g.ops->sum(g.ranks[rank], g.x[rank], COUNT, bad ? ERR_NOMEM : ERR_OK, g.streams[rank]);
        if (g.rc[rank]) return;
    }
}

START_TEST(a_sum_is_the_same_on_every_rank) /* CO1, in each act */
{
    const enum dtype act = ACTS[_i % N_ACTS];
    float x[COUNT];

    open_group(_i < N_ACTS ? n_ranks() : 1, act);
    pool_run(g.team, g.n, add_up, NULL);
    for (int k = 0; k < g.n; k++) {
        ck_assert_int_eq(g.rc[k], ERR_OK);
        get(k, x, g.x[k], COUNT, act);
        for (int i = 0; i < COUNT; i++) /* exact: quarters of small numbers */
            ck_assert_float_eq(x[i], 0.25f * (float)(i - 16) * (float)(g.n * (g.n + 1) / 2));
    }
    close_group();
}
END_TEST

/* Rank k brings k + 2 columns: 100 * rank + 10 * row + column. */
static void bring_columns(void *arg, int rank)
{
    const int N = rank + 2, rows = *(const int *)arg;
    float x[T * 8];

    for (int i = 0; i < rows * N; i++)
        x[i] = (float)(100 * rank + 10 * (i / N) + i % N);
    put(rank, g.columns[rank], x, (size_t)rows * (size_t)N, DTYPE_F32);
    g.rc[rank] = g.ops->gather(g.ranks[rank], rank ? NULL : g.y, g.columns[rank], rows, N,
                               rank == g.bad_rank ? ERR_ARG : ERR_OK, g.streams[rank]);
}

START_TEST(columns_are_gathered_on_rank_0_in_the_order_of_the_ranks)
{
    float y[T * 32];
    int at;

    open_group(n_ranks(), DTYPE_BF16);
    for (int rows = 0; rows <= T; rows++) {
        pool_run(g.team, g.n, bring_columns, &rows);
        get(0, y, g.y, T * 32, DTYPE_F32);
        at = 0;
        for (int t = 0; t < rows; t++)
            for (int k = 0; k < g.n; k++)
                for (int c = 0; c < k + 2; c++)
                    ck_assert_float_eq(y[at++], (float)(100 * k + 10 * t + c));
    }
    g.bad_rank = g.n - 1;
    at = T;
    pool_run(g.team, g.n, bring_columns, &at);
    for (int k = 0; k < g.n; k++)
        ck_assert_int_eq(g.rc[k], ERR_ARG);
    close_group();
}
END_TEST

START_TEST(an_error_of_one_rank_ends_the_group_for_all) /* CO2 */
{
    struct errmsg e;

    open_group(n_ranks(), DTYPE_F32);
    g.rounds = 3;
    g.bad_rank = _i % g.n;
    g.bad_round = 1;
    pool_run(g.team, g.n, add_up, NULL);
    for (int k = 0; k < g.n; k++)
        ck_assert_int_eq(g.rc[k], ERR_NOMEM);
    g.bad_rank = -1;
    pool_run(g.team, g.n, add_up, NULL);
    for (int k = 0; k < g.n; k++) {
        ck_assert_int_eq(g.rc[k], ERR_NOMEM);
        ck_assert_int_eq(dev.device->wait(g.streams[k], &e), ERR_NOMEM);
    }
    close_group();
}
END_TEST

START_TEST(a_launch_that_fails_on_one_rank_is_told_by_all)
{
    struct errmsg e;
    int named = 0;

    open_group(n_ranks(), DTYPE_F32);
    g.rounds = 9;
    setenv("NIGHTMILL_FAULT", "cuda:6:fail", 1);
    ck_assert_ptr_nonnull(plugin_open(&dev.err)); /* it reads the setting */
    pool_run(g.team, g.n, add_up, NULL);
    for (int k = 0; k < g.n; k++) {
        ck_assert_int_eq(g.rc[k], ERR_CUDA);
        ck_assert_int_eq(dev.device->wait(g.streams[k], &e), ERR_CUDA);
        named += strstr(e.text, "sum of 33 numbers") != NULL;
    }
    ck_assert_int_eq(named, 1);
    close_group();
}
END_TEST

static void note(void *arg, int rank)
{
    float x[COUNT];

    (void)arg;
    for (int i = 0; i < COUNT; i++)
        x[i] = number(rank, i);
    put(rank, g.x[rank], x, COUNT, g.act);
    ck_assert_int_eq(dev.device->record(g.streams[rank]), ERR_OK);
    g.rc[rank] = g.ops->sum(g.ranks[rank], g.x[rank], COUNT, ERR_OK, g.streams[rank]);
    if (!g.rc[rank]) g.rc[rank] = dev.device->recorded(&g.graphs[rank], g.streams[rank]);
    for (int i = 0; i < 2 && !g.rc[rank]; i++)
        g.rc[rank] = dev.device->replay(g.graphs[rank], g.streams[rank]);
}

/* The test's own library does its work at once and knows of no capture. */
START_TEST(a_sum_can_be_recorded)
{
    open_group(n_ranks(), DTYPE_BF16);
    pool_run(g.team, g.n, note, NULL);
    for (int k = 0; k < g.n; k++) {
        ck_assert_int_eq(g.rc[k], ERR_OK);
        dev.device->forget(&g.graphs[k]);
    }
    close_group();
}
END_TEST

START_TEST(a_group_that_does_not_open_says_why)
{
    open_group(n_ranks(), DTYPE_F32);
    close_group();
    setenv("FAKE_NCCL", "open", 1);
    ck_assert_int_eq(dev.device->open(&g.streams[0], &(struct device_opts){0}, &dev.err), ERR_OK);
    ck_assert_int_eq(g.ops->open(g.ranks, g.streams, 1, DTYPE_F32, &dev.err), ERR_CUDA);
    ck_assert_str_eq(dev.err.text,
                     "NCCL: invalid usage (run with NCCL_DEBUG=WARN for details), opening 1 ranks");
    ck_assert_ptr_null(g.ranks[0]);
    dev.device->close(&g.streams[0]);
}
END_TEST

START_TEST(without_the_library_one_line_says_so)
{
    setenv(NCCL_ENV, "/nowhere/libnccl.so.2", 1);
    ck_assert_ptr_null(dev.plugin->nccl(&dev.err));
    ck_assert_msg(strstr(dev.err.text, "no NCCL: /nowhere/libnccl.so.2"), "%s", dev.err.text);
    setenv(NCCL_ENV, "libm.so.6", 1);
    ck_assert_ptr_null(dev.plugin->nccl(&dev.err));
    ck_assert_str_eq(dev.err.text, "NCCL has no ncclGetVersion");
    name_library();
    setenv("FAKE_NCCL_VERSION", "2804", 1);
    ck_assert_ptr_null(dev.plugin->nccl(&dev.err));
    ck_assert_str_eq(dev.err.text, "NCCL has version 2804, and 21000 is the least");
    unsetenv("FAKE_NCCL_VERSION");
    ck_assert_ptr_nonnull(dev.plugin->nccl(&dev.err));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_coll");
    TCase *c = tcase_create("all");

    suite_add_tcase(s, c);
    if (!device_rig_found()) return s;
    tcase_add_loop_test(c, a_sum_is_the_same_on_every_rank, 0, 2 * N_ACTS);
    tcase_add_test(c, columns_are_gathered_on_rank_0_in_the_order_of_the_ranks);
    tcase_add_test(c, a_sum_can_be_recorded);
    if (!dev.plugin->emulated) return s;
    tcase_add_loop_test(c, an_error_of_one_rank_ends_the_group_for_all, 0, MAX_RANKS);
    tcase_add_test(c, a_launch_that_fails_on_one_rank_is_told_by_all);
    tcase_add_test(c, a_group_that_does_not_open_says_why);
    tcase_add_test(c, without_the_library_one_line_says_so);
    return s;
}

TEST_MAIN(suite)
