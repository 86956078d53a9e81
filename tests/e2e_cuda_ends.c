/* e2e_cuda_ends.c - how a worker on CUDA ends, and what it says of itself: a device that fails, one
 * that is not there, several ranks, parts of a card.
 *
 * Always on the emulation: the faults and the number of devices are made up.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "kernels/coll_nccl.h"
#include "kernels/plugin.h"
#include "tests/process.h"
#include "tests/test.h"

#define LIMIT_S 120
#define MODEL   "examples/tidy"
#define ROWS    4

static const char *db, *input;

/* This program is BUILD/tests/e2e_cuda_ends. */
static void name_file(const char *env, const char *name, int up)
{
    char path[PATH_MAX + 64];
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    for (int i = 0; i < up; i++)
        *strrchr(path, '/') = '\0';
    strcat(path, name);
    setenv(env, path, 1);
}

static void start(void)
{
    char rows[ROWS * 100] = "";

    for (int i = 0; i < ROWS; i++)
        sprintf(rows + strlen(rows), "{\"prompt\":\"%d March 19%d2\",\"max_tokens\":12}\n", i + 1,
                i);
    input = test_file("in.jsonl", rows, strlen(rows));
    db = test_path("q.db");
    name_file(PLUGIN_ENV, "/libnightmill-emu.so", 2);
    name_file(NCCL_ENV, "/fake/nccl.so", 1);
    setenv("EMU_DEVICES", "2", 1);
}

/* `run` on a device, with two more words or NULL; what it wrote is in *said. */
static int run_on(const char *device, const char *fault, const char *more, const char *value,
                  char said[4096])
{
    const char *words[] = {"run",
                           "-i",
                           input,
                           "-o",
                           test_path("out.jsonl"),
                           "--db",
                           db,
                           "-m",
                           MODEL,
                           "--max-num-seqs",
                           "4",
                           "--max-num-batched-tokens",
                           "32",
                           "--device",
                           device,
                           more,
                           value,
                           NULL};
    struct process p;
    struct buf err;
    int rc;

    process_start(&p, fault, words);
    rc = process_wait(&p, LIMIT_S);
    err = process_read(p.err);
    snprintf(said, 4096, "%.*s", (int)err.len, (const char *)err.data);
    buf_fini(&err);
    return rc;
}

START_TEST(a_device_that_fails_ends_the_worker_in_order_and_names_op_and_shape)
{
    char said[4096];

    ck_assert_int_eq(run_on("cuda", "replay:1:fail", NULL, NULL, said), 3);
    ck_assert_msg(strstr(said, "nightmill worker: CUDA: a fault was set, in ") &&
                      strstr(said, "T="),
                  "%s", said);
    ck_assert_int_eq(
        process_sql(db, "SELECT count(*) FROM attempts WHERE code='worker_crashed' AND message "
                        "LIKE 'CUDA: a fault was set, in % T=%'") > 0,
        1);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job WHERE state=0 AND attempts=0") +
                         process_sql(db, "SELECT count(*) FROM result"),
                     ROWS);
    ck_assert_msg(run_on("cuda", NULL, NULL, NULL, said) == 0, "%s", said); /* and on it goes */
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM result"), ROWS);
}
END_TEST

START_TEST(without_device_or_plug_in_one_line_says_which)
{
    char said[4096];

    setenv("EMU_DEVICES", "0", 1);
    ck_assert_int_eq(run_on("cuda", NULL, NULL, NULL, said), 3);
    ck_assert_str_eq(said, "nightmill run: no CUDA device: no CUDA-capable device is detected\n");
    setenv("EMU_DEVICES", "2", 1);
    ck_assert_int_eq(run_on("cuda:1,2", NULL, NULL, NULL, said), 3);
    ck_assert_str_eq(said, "nightmill run: --device cuda:1,2: there is no cuda:2, of 2 devices\n");
    setenv(NCCL_ENV, "/nowhere/libnccl.so.2", 1);
    ck_assert_int_eq(run_on("cuda:0,1", NULL, NULL, NULL, said), 3);
    ck_assert_msg(strstr(said, "nightmill run: no NCCL: /nowhere/libnccl.so.2"), "%s", said);
    setenv(PLUGIN_ENV, "/nowhere/plug.so", 1);
    ck_assert_int_eq(run_on("cuda", NULL, NULL, NULL, said), 3);
    ck_assert_msg(strstr(said, "nightmill run: no CUDA plug-in: /nowhere/plug.so"), "%s", said);
    ck_assert_msg(run_on("cpu", NULL, NULL, NULL, said) == 0, "%s", said); /* goes on */
}
END_TEST

START_TEST(words_that_do_not_fit_are_wrong_usage)
{
    char said[4096];

    ck_assert_int_eq(run_on("cuda:0,0", NULL, NULL, NULL, said), 2);
    ck_assert_str_eq(said, "nightmill run: --device cuda:0,0: 0 is there twice\n");
    ck_assert_int_eq(run_on("cuda:0,1", NULL, "--tensor-parallel-size", "4", said), 2);
    ck_assert_int_eq(run_on("cuda:x", NULL, NULL, NULL, said), 2);
    ck_assert_int_eq(run_on("cpu", NULL, "--sm-count", "4", said), 2);
    ck_assert_str_eq(said,
                     "nightmill run: --sm-count is for CUDA devices, and --device is 'cpu'\n");
    ck_assert_int_eq(run_on("cpu", NULL, "--quantization", "fp8", said), 2);
    ck_assert_int_eq(run_on("cpu", NULL, "--dtype", "bfloat16", said), 2);
    ck_assert_str_eq(said, "nightmill run: --dtype bfloat16 is for CUDA devices, and --device is "
                           "'cpu'\n");
    ck_assert_int_eq(run_on("gpu", NULL, NULL, NULL, said), 2);
    ck_assert_int_eq(run_on("cuda", NULL, "--sm-count", "4,", said), 2);
    ck_assert_int_eq(run_on("cuda", NULL, "--workers", "2", said), 2);
    ck_assert_msg(strstr(said, "--workers is 2 on --device cuda"), "%s", said);
    ck_assert_int_eq(run_on("cuda", NULL, "--dtype", "fp4", said), 2);
    ck_assert_int_eq(run_on("cuda", NULL, "--gpu-memory-utilization", "1.5", said), 2);
}
END_TEST

START_TEST(two_devices_are_one_instance_of_two_ranks)
{
    char said[4096];

    ck_assert_msg(run_on("cuda:0,1", NULL, NULL, NULL, said) == 0, "%s", said);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM result"), ROWS);
    ck_assert_int_eq(process_sql(db, "SELECT tp FROM instances"), 2);
}
END_TEST

START_TEST(parts_of_a_card_are_instances_of_their_own)
{
    char said[4096];

    setenv("EMU_MEMORY", "67108864", 1); /* so that KV takes all that is left */
    ck_assert_int_eq(run_on("cuda", NULL, "--sm-count", "5,4", said), 3);
    ck_assert_msg(strstr(said, "4 multiprocessors are asked for, 2 are left"), "%s", said);
    ck_assert_msg(run_on("cuda", NULL, "--sm-count", "5,2", said) == 0, "%s", said);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM result"), ROWS);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM instances"), 2);
    /* rounded up to the emulation's step of two, and told */
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM instances WHERE device='cuda (6 SMs)'"),
                     1);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM instances WHERE device='cuda (2 SMs)'"),
                     1);
}
END_TEST

static void doctor_says(const char *line)
{
    struct process p;
    struct buf out;

    ck_assert_int_eq(PROCESS_RUN(&p, LIMIT_S, "doctor", "--db", db), 0);
    out = process_read(p.out);
    buf_addc(&out, '\0');
    ck_assert_msg(strstr(out.data, line) != NULL, "%s", (const char *)out.data);
    buf_fini(&out);
}

START_TEST(doctor_says_what_keeps_a_device_from_work)
{
    doctor_says("ok      cuda      cuda:1: Emulated ");
    doctor_says("ok      cuda      NCCL is here");
    setenv(NCCL_ENV, "/nowhere/libnccl.so.2", 1);
    doctor_says("note    cuda      no NCCL: /nowhere/libnccl.so.2");
    setenv("EMU_ARCH", "70", 1);
    doctor_says("note    cuda      cuda:0 is too old: sm_75 is the oldest that computes");
    setenv("EMU_DEVICES", "0", 1);
    doctor_says("note    cuda      no CUDA device: ");
    setenv(PLUGIN_ENV, input, 1);
    doctor_says("note    cuda      no CUDA plug-in: ");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_ends");
    TCase *t = tcase_create("cuda_ends");

    tcase_add_checked_fixture(t, start, NULL);
    tcase_set_timeout(t, 2 * LIMIT_S);
    tcase_add_test(t, a_device_that_fails_ends_the_worker_in_order_and_names_op_and_shape);
    tcase_add_test(t, without_device_or_plug_in_one_line_says_which);
    tcase_add_test(t, words_that_do_not_fit_are_wrong_usage);
    tcase_add_test(t, doctor_says_what_keeps_a_device_from_work);
    tcase_add_test(t, two_devices_are_one_instance_of_two_ranks);
    tcase_add_test(t, parts_of_a_card_are_instances_of_their_own);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
