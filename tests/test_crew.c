/* test_crew.c - clients/crew: a node's workers are those of the plan, whatever ends or changes. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clients/command.h"
#include "clients/crew.h"
#include "tests/test.h"

static struct crew crew;
static struct engine_flags engine = ENGINE_FLAGS_DEFAULT;
static char started[16][128];
static int n_started,
    next_status;     /* next_status: the next one ends with it at once; -1: it waits */
static bool is_deaf; /* the next one does not hear SIGTERM */

/* A process in place of a worker. */
static int start(pid_t *pid, const struct child_spec *s, struct errmsg *e)
{
    int ready[2];
    char byte = 0;

    (void)e;
    snprintf(started[n_started++], sizeof started[0], "%s %s tp%d kv %s dtype %s quant %s", s->name,
             s->engine->device, (int)s->engine->tp, s->engine->kv_dtype, s->engine->dtype,
             s->engine->quantization);
    ck_assert_int_eq(pipe(ready), 0);
    if (!(*pid = fork())) {
        signal(SIGTERM, is_deaf ? SIG_IGN : SIG_DFL); /* not as Check has it */
        if (next_status >= 0) _exit(next_status);
        ck_assert_int_eq(write(ready[1], &byte, 1), 1);
        for (;;)
            pause();
    }
    if (next_status < 0) ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return ERR_OK;
}

static void set_up(void)
{
    crew = (struct crew){.spec = {.engine = &engine}, .start = start};
    n_started = 0;
    next_status = -1;
    is_deaf = false;
}

static struct node_instance want(int64_t n, const char *devices, const char *dtype)
{
    struct node_instance i = {.node = "desk", .n = n, .tp = 1, .kv_dtype = "f16"};

    strcpy(i.devices, devices);
    strcpy(i.dtype, dtype);
    return i;
}

/* Tends at this time until so many are alive: a signal takes a moment. */
static void tend_until(int alive, int64_t now_ms)
{
    for (int i = 0; i < 5000 && crew_tend(&crew, now_ms) != alive; i++)
        usleep(1000);
    ck_assert_int_eq(crew_tend(&crew, now_ms), alive);
}

/* Tends at this time until so many have been started. */
static void tend_until_started(int n, int64_t now_ms)
{
    for (int i = 0; i < 5000 && n_started < n; i++) {
        crew_tend(&crew, now_ms);
        usleep(1000);
    }
    ck_assert_int_eq(n_started, n);
}

static void stop_all(void)
{
    crew_plan(&crew, NULL, 0, 0);
    tend_until(0, 1LL << 40);
}

START_TEST(each_instance_of_the_plan_gets_a_worker_by_its_name)
{
    struct node_instance two[2] = {want(3, "cuda:0,1", "bf16"), want(4, "cuda:2", "fp8")};

    two[0].tp = 2;
    crew_plan(&crew, two, 2, 0);
    ck_assert_int_eq(crew_tend(&crew, 0), 2);
    ck_assert_int_eq(crew_tend(&crew, 1), 2);
    ck_assert_int_eq(n_started, 2);
    ck_assert_str_eq(started[0], "desk-3 cuda:0,1 tp2 kv f16 dtype bf16 quant none");
    ck_assert_str_eq(started[1], "desk-4 cuda:2 tp1 kv f16 dtype auto quant fp8");
    stop_all();
}
END_TEST

START_TEST(the_host_computes_in_what_it_computes_in)
{
    struct node_instance one = want(1, "cpu", "bf16"), quant = want(1, "cuda:0", "q8_0");
    struct engine_flags f;

    crew_flags(&one, &engine, &f);
    ck_assert_str_eq(f.dtype, "auto");
    ck_assert_str_eq(f.device, "cpu");
    crew_flags(&quant, &engine, &f);
    ck_assert_str_eq(f.dtype, "auto"); /* as the file has them */
    ck_assert_str_eq(f.quantization, "none");
}
END_TEST

START_TEST(a_new_plan_keeps_those_that_it_still_names)
{
    struct node_instance one[2] = {want(1, "cuda:0", "bf16"), want(2, "cuda:1", "bf16")};
    struct node_instance two[2] = {one[0], want(2, "cuda:1", "fp8")};
    pid_t kept;

    crew_plan(&crew, one, 2, 0);
    crew_tend(&crew, 0);
    kept = crew.at[0].pid;
    crew_plan(&crew, two, 2, 10);
    tend_until_started(3, 10);
    ck_assert_int_eq(crew.n, 2);
    ck_assert_int_eq(crew.at[0].pid, kept);
    ck_assert_str_eq(crew.at[1].as.dtype, "fp8");
    stop_all();
}
END_TEST

START_TEST(nobody_starts_before_those_that_go_have_ended)
{
    struct node_instance one = want(1, "cuda:0", "bf16"), two = want(1, "cuda:0", "fp8");

    is_deaf = true;
    crew_plan(&crew, &one, 1, 0);
    crew_tend(&crew, 0);
    is_deaf = false;
    crew_plan(&crew, &two, 1, 100);
    ck_assert_int_eq(crew_tend(&crew, 100), 1);
    ck_assert_int_eq(crew_tend(&crew, 100 + CREW_DRAIN_MS - 1), 1);
    ck_assert_int_eq(n_started, 1); /* CW1 */
    ck_assert_int_eq(crew.n, 2);
    tend_until_started(2, 100 + CREW_DRAIN_MS); /* killed now */
    ck_assert_int_eq(crew.n, 1);
    stop_all();
}
END_TEST

START_TEST(a_plan_that_comes_back_before_the_end_starts_anew)
{
    struct node_instance one = want(1, "cuda:0", "bf16");

    crew_plan(&crew, &one, 1, 0);
    crew_tend(&crew, 0);
    crew_plan(&crew, NULL, 0, 1);
    crew_plan(&crew, &one, 1, 2);
    tend_until_started(2, 2);
    tend_until(1, 2);
    stop_all();
}
END_TEST

START_TEST(one_that_ends_is_started_again_with_growing_pauses)
{
    struct node_instance one = want(1, "cpu", "");
    int64_t now = 0, pause = CREW_WAIT_MS;

    next_status = 3;
    crew_plan(&crew, &one, 1, 0);
    crew_tend(&crew, 0);
    for (int i = 1; i < 9; i++) {
        tend_until(0, now);
        ck_assert_int_eq(crew_tend(&crew, now + pause - 1), 0);
        ck_assert_int_eq(n_started, i);
        now += pause;
        crew_tend(&crew, now);
        ck_assert_int_eq(n_started, i + 1);
        pause = pause * 2 < CREW_WAIT_MAX_MS ? pause * 2 : CREW_WAIT_MAX_MS;
    }
    ck_assert_int_eq(pause, CREW_WAIT_MAX_MS);
    now += CREW_STEADY_MS; /* it has worked for so long: the next pause is short */
    tend_until(0, now);
    ck_assert_int_eq(crew.at[0].due_ms, now + CREW_WAIT_MS);
    stop_all();
}
END_TEST

START_TEST(one_that_was_misused_waits_for_another_plan)
{
    struct node_instance one = want(1, "cpu", ""), two = want(2, "cpu", "");

    next_status = EXIT_USAGE;
    crew_plan(&crew, &one, 1, 0);
    crew_tend(&crew, 0);
    tend_until(0, 0);
    ck_assert_int_eq(crew_tend(&crew, 1LL << 40), 0);
    ck_assert_int_eq(n_started, 1);
    next_status = -1;
    crew_plan(&crew, &two, 1, 5);
    ck_assert_int_eq(crew_tend(&crew, 5), 1);
    stop_all();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("crew");
    TCase *t = tcase_create("crew");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_test(t, each_instance_of_the_plan_gets_a_worker_by_its_name);
    tcase_add_test(t, the_host_computes_in_what_it_computes_in);
    tcase_add_test(t, a_new_plan_keeps_those_that_it_still_names);
    tcase_add_test(t, nobody_starts_before_those_that_go_have_ended);
    tcase_add_test(t, a_plan_that_comes_back_before_the_end_starts_anew);
    tcase_add_test(t, one_that_ends_is_started_again_with_growing_pauses);
    tcase_add_test(t, one_that_was_misused_waits_for_another_plan);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
