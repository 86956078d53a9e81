/* test_link.c - the worker's side of the conversation, with a hand-made broker at the other end. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "schema/endpoint.h"
#include "schema/wire.h"
#include "tests/test.h"
#include "worker/link.h"
#include "worker/sim.h"

#define LIMIT_MS 5000
#define BODY     "{\"prompt\":\"one\",\"max_tokens\":4}"

static struct {
    char address[300];
    void *zmq, *socket; /* the broker's */
    struct wire_msg m;  /* the last one heard */
    struct simfile f;
    struct runner *runner;
    struct link_opts o;
    struct link_profile profile;
    double wait_ms; /* steps last so long */
    double step_ms; /* steps say that they lasted so long; 0: they do not say */
    void (*stats)(const void *self, struct engine_stats *out); /* of the simulated instance */
    pthread_t thread;
    int rc;
    struct errmsg e;
} s;

static void *run(void *arg)
{
    (void)arg;
    s.rc = link_run(&s.o, s.runner, &s.e);
    return NULL;
}

static void stats(const void *self, struct engine_stats *out)
{
    s.stats(self, out);
    if (s.step_ms > 0) out->last = (struct perf_sample){.n = 1, .m = 10, .ms = s.step_ms};
}

/* A worker that hangs after so many rows; 0: never. */
static void open_scene(int64_t hang_after_rows)
{
    struct job_rules rules = {.default_max_tokens = 10};
    struct backend b;

    snprintf(s.address, sizeof s.address, "ipc://%s", test_path("s"));
    s.zmq = zmq_ctx_new();
    s.socket = zmq_socket(s.zmq, ZMQ_ROUTER);
    zmq_setsockopt(s.socket, ZMQ_LINGER, &(int){0}, sizeof(int));
    ck_assert_int_eq(zmq_bind(s.socket, s.address), 0);
    s.f = (struct simfile){.kv_tokens = 1000,
                           .max_model_len = 100,
                           .max_num_seqs = 4,
                           .max_batched_tokens = 100,
                           .bytes_per_token = 4,
                           .hang_after_rows = hang_after_rows,
                           .perf = {.k0 = s.wait_ms},
                           .time_scale = 1};
    ck_assert_int_eq(sim_open(&b, &s.f, &rules, NULL, NULL, &s.e), ERR_OK);
    s.stats = b.stats;
    b.stats = stats;
    ck_assert_int_eq(runner_open(&s.runner, &b, &s.e), ERR_OK);
    if (!s.profile.source)
        s.profile = (struct link_profile){.source = "file", .perf = {.k4 = 0.5}, .mape = -1};
    s.o = (struct link_opts){.address = s.address, .profile = &s.profile, .refit_every_ms = 1};
    s.o.stop_fd = eventfd(0, EFD_CLOEXEC);
    snprintf(s.o.hello.uuid, sizeof s.o.hello.uuid, "u");
    s.o.hello.kv_tokens = 1000;
    s.o.hello.max_num_seqs = 4;
    ck_assert_int_eq(pthread_create(&s.thread, NULL, run, NULL), 0);
}

static enum wire_type hear_any(int64_t until_ms)
{
    zmq_pollitem_t item = {s.socket, 0, ZMQ_POLLIN, 0};

    while (zmq_poll(&item, 1, 100) <= 0)
        ck_assert_int_lt(clock_mono_ms(), until_ms);
    ck_assert_int_lt(clock_mono_ms(), until_ms);
    wire_msg_fini(&s.m);
    ck_assert_msg(!wire_recv(s.socket, true, &s.m, &s.e), "%s", s.e.text);
    return s.m.head.type;
}

/* Waits for a message of this type, passing over others. */
static const msgpack_object *hear(enum wire_type type)
{
    int64_t until = clock_mono_ms() + LIMIT_MS;

    while (hear_any(until) != type)
        ;
    return &s.m.map;
}

/* Sends to whom was heard last; frees o. */
static void say(enum wire_type type, struct wire_out *o)
{
    ck_assert_int_eq(wire_send(s.socket, s.m.peer, s.m.peer_len, type, 0, o), ERR_OK);
    wire_fini(o);
}

static void welcome(const char *db_uuid)
{
    struct wire_out o;

    wire_begin(&o, 3);
    wire_put_str(&o, "db_uuid", db_uuid);
    wire_put_int(&o, "epoch", 1);
    wire_put_int(&o, "heartbeat_ms", 10);
    say(WIRE_WELCOME, &o);
}

static void join(const char *db_uuid)
{
    hear(WIRE_HELLO);
    welcome(db_uuid);
    hear(WIRE_WANT);
}

static void lease(int64_t first, int n)
{
    struct wire_out o;

    wire_begin(&o, 1);
    wire_put_array(&o, "jobs", (size_t)n);
    for (int i = 0; i < n; i++) {
        wire_add_array(&o, 5);
        wire_add_int(&o, first + i);
        wire_add_int(&o, 3);
        wire_add_int(&o, 1);
        wire_add_int(&o, ENDPOINT_COMPLETION);
        wire_add_bin(&o, BODY, strlen(BODY));
    }
    say(WIRE_LEASE, &o);
    hear(WIRE_LEASE_ACK);
}

static void say_jobs(enum wire_type type, int64_t first, int n, const char *why)
{
    struct wire_out o;

    wire_begin(&o, 2);
    wire_put_array(&o, "jobs", (size_t)n);
    for (int i = 0; i < n; i++)
        wire_add_int(&o, first + i);
    wire_put_str(&o, "why", why);
    say(type, &o);
}

static void rehello(void)
{
    struct wire_out o;

    wire_begin(&o, 0);
    say(WIRE_REHELLO, &o);
}

/* Result i of the last message heard. */
static const msgpack_object *result(uint32_t i)
{
    const msgpack_object_array *a = wire_array(&s.m.map, "results");

    ck_assert_ptr_nonnull(a);
    ck_assert_uint_lt(i, a->size);
    return &a->ptr[i];
}

/* Heartbeats until one names n jobs. */
static void hear_held(uint32_t n)
{
    int64_t until = clock_mono_ms() + LIMIT_MS;

    while (wire_array(hear(WIRE_HEARTBEAT), "held")->size != n)
        ck_assert_int_lt(clock_mono_ms(), until);
}

/* Takes what the worker gives back when it is told to end. */
static void close_scene(void)
{
    int64_t until = clock_mono_ms() + LIMIT_MS;
    uint64_t one = 1;
    uint32_t held = 1;

    ck_assert_int_eq(write(s.o.stop_fd, &one, sizeof one), sizeof one);
    while (hear_any(until) != WIRE_BYE) {
        const msgpack_object_array *a = wire_array(&s.m.map, "results");

        for (uint32_t i = 0; a && i < a->size; i++)
            say_jobs(WIRE_RESULTS_ACK, wire_int(&a->ptr[i], "job", 0), 1, "");
        a = wire_array(&s.m.map, "held");
        if (a) held = a->size;
    }
    ck_assert_uint_eq(held, 0); /* of the last heartbeat */
    pthread_join(s.thread, NULL);
    ck_assert_msg(!s.rc, "%s", s.e.text);
    runner_close(&s.runner);
    close(s.o.stop_fd);
    wire_msg_fini(&s.m);
    zmq_close(s.socket);
    zmq_ctx_term(s.zmq);
}

START_TEST(the_instance_model_is_said_after_each_welcome)
{
    const msgpack_object *map;

    open_scene(0);
    for (int i = 0; i < 2; i++) {
        hear(WIRE_HELLO);
        welcome("db");
        map = hear(WIRE_PROFILE);
        ck_assert_double_eq(wire_float(map, "k4", 0), 0.5);
        ck_assert_double_eq(wire_float(map, "mape", 0), -1);
        ck_assert_int_eq(wire_int(map, "kv_tokens", 0), 1000);
        if (i == 0) rehello();
    }
    close_scene();
}
END_TEST

/* RF1 */
START_TEST(an_instance_that_drifts_says_so_with_what_it_is_now)
{
    const struct perf start = {.k0 = 1};
    const msgpack_object *map;
    char source[16];

    s.step_ms = 2;
    s.profile = (struct link_profile){.source = "measured", .perf = start, .mape = 3};
    open_scene(0);
    ck_assert_int_eq(runner_learn(s.runner, &start, &s.e), ERR_OK);
    join("db");
    lease(100, 80); /* at least 80 steps of four rows each */
    do
        map = hear(WIRE_PROFILE);
    while (!wire_int(map, "drift", 0));
    wire_copy(map, "source", source, sizeof source);
    ck_assert_str_eq(source, "measured");
    ck_assert_double_eq_tol(wire_float(map, "start_mape", 0), 50, 1);
    ck_assert_double_gt(wire_float(map, "k0", 0) + wire_float(map, "k3", 0), 1);
    close_scene();
}
END_TEST

START_TEST(a_model_is_told_again_when_a_usual_step_changes)
{
    const struct perf a = {1, 2, 0.1, 1e-4, 0.01, 1e-3};
    struct perf b = a;

    ck_assert(!refit_differs(&a, &a, 64));
    b.k0 = 1.05;
    ck_assert(!refit_differs(&a, &b, 64));
    b.k0 = 1.5;
    ck_assert(refit_differs(&a, &b, 64));
    b = a;
    b.k4 = 1.2e-3; /* seen in a full step only */
    ck_assert(refit_differs(&a, &b, 64));
    b = a;
    b.k2 = 2e-4;
    ck_assert(refit_differs(&a, &b, 64));
}
END_TEST

START_TEST(k1_a_result_is_said_again_to_the_next_broker_until_it_is_acked)
{
    open_scene(0);
    join("db");
    lease(7, 1);
    hear(WIRE_RESULTS);
    ck_assert_int_eq(wire_int(result(0), "job", 0), 7);
    ck_assert_int_eq(wire_int(result(0), "generation", 0), 3);
    rehello(); /* not acked */
    ck_assert_uint_eq(wire_array(hear(WIRE_HELLO), "held")->size, 1);
    welcome("db");
    hear(WIRE_RESULTS);
    ck_assert_int_eq(wire_int(result(0), "job", 0), 7);
    say_jobs(WIRE_RESULTS_ACK, 7, 1, "");
    hear_held(0); /* K2 */
    rehello();
    ck_assert_uint_eq(wire_array(hear(WIRE_HELLO), "held")->size, 0);
    welcome("db");
    hear_held(0);
    close_scene();
}
END_TEST

START_TEST(k2_heartbeats_name_what_is_held_though_no_step_ends)
{
    open_scene(1);
    join("db");
    lease(7, 1);
    hear(WIRE_RESULTS);
    say_jobs(WIRE_RESULTS_ACK, 7, 1, "");
    lease(20, 3); /* it hangs now */
    hear_held(3);
    ck_assert_uint_eq(wire_str(&s.m.map, "state").len, 4); /* busy */
    hear_held(3);
    close_scene();
}
END_TEST

START_TEST(k3_a_cancelled_job_comes_back_with_the_brokers_reason)
{
    char why[40];

    open_scene(1);
    join("db");
    lease(7, 1);
    hear(WIRE_RESULTS);
    say_jobs(WIRE_CANCEL, 7, 1, "cancelled"); /* it has its result, and keeps it */
    say_jobs(WIRE_RESULTS_ACK, 7, 1, "");
    lease(20, 3);
    say_jobs(WIRE_CANCEL, 21, 1, "paused");
    hear(WIRE_RESULTS);
    ck_assert_uint_eq(wire_array(&s.m.map, "results")->size, 1);
    ck_assert_int_eq(wire_int(result(0), "job", 0), 21);
    ck_assert_int_eq(wire_int(result(0), "kind", -1), WIRE_PUT_BACK);
    wire_copy(result(0), "code", why, sizeof why);
    ck_assert_str_eq(why, "paused");
    say_jobs(WIRE_RESULTS_ACK, 21, 1, "");
    hear_held(2);
    close_scene();
}
END_TEST

static void take_back(int64_t first, int n)
{
    struct wire_out o;

    wire_begin(&o, 3);
    wire_put_array(&o, "jobs", (size_t)n);
    for (int i = 0; i < n; i++)
        wire_add_int(&o, first + i);
    wire_put_str(&o, "why", "taken_back");
    wire_put_int(&o, "unstarted", 1);
    say(WIRE_CANCEL, &o);
}

START_TEST(k4_only_what_has_not_been_in_a_step_is_taken_back)
{
    int64_t until = clock_mono_ms() + LIMIT_MS;
    int n_back = 0, n_done = 0;

    s.wait_ms = 30;
    open_scene(0);
    join("db");
    lease(20, 6); /* four run at once */
    while (wire_int(hear(WIRE_HEARTBEAT), "unbegun", -1) != 2)
        ck_assert_int_lt(clock_mono_ms(), until);
    take_back(20, 6);
    while (n_back + n_done < 6) {
        const msgpack_object_array *a = wire_array(hear(WIRE_RESULTS), "results");

        for (uint32_t i = 0; i < a->size; i++) {
            const bool back = wire_int(result(i), "kind", -1) == WIRE_PUT_BACK;

            n_back += back;
            n_done += !back;
            ck_assert(back == (wire_int(result(i), "job", 0) >= 24));
            if (back) ck_assert_uint_eq(wire_str(result(i), "code").len, strlen("taken_back"));
        }
    }
    ck_assert_int_eq(n_back, 2);
    s.wait_ms = 0;
    close_scene();
}
END_TEST

START_TEST(a_want_is_said_again_when_there_is_materially_more_room)
{
    const msgpack_object *map;
    int64_t held;

    s.wait_ms = 5;
    open_scene(0);
    hear(WIRE_HELLO);
    welcome("db");
    map = hear(WIRE_WANT);
    ck_assert_int_eq(wire_int(map, "held", -1), 0);
    ck_assert_int_eq(wire_int(map, "rows", 0), 64 * 4);
    ck_assert_int_eq(wire_int(map, "tokens", 0), 4 * 1000);
    lease(100, 40);
    map = hear(WIRE_WANT);
    held = wire_int(map, "held", -1);
    ck_assert_int_gt(held, 0); /* before it is out of work */
    ck_assert_int_lt(held, 40);
    ck_assert_int_eq(wire_int(map, "rows", 0), 64 * 4 - held);
    s.wait_ms = 0;
    close_scene();
}
END_TEST

START_TEST(jobs_of_another_file_are_ended_and_not_named)
{
    open_scene(1);
    join("db");
    lease(7, 1);
    hear(WIRE_RESULTS); /* not acked */
    lease(20, 2);       /* they hang */
    hear_held(3);
    rehello();
    join("other");
    hear_held(0);
    rehello();
    ck_assert_uint_eq(wire_array(hear(WIRE_HELLO), "held")->size, 0);
    welcome("other");
    hear(WIRE_WANT);
    lease(20, 2); /* its own ones, of the same ids */
    hear_held(2);
    close_scene();
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("link");
    TCase *t = tcase_create("link");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, the_instance_model_is_said_after_each_welcome);
    tcase_add_test(t, an_instance_that_drifts_says_so_with_what_it_is_now);
    tcase_add_test(t, a_model_is_told_again_when_a_usual_step_changes);
    tcase_add_test(t, k1_a_result_is_said_again_to_the_next_broker_until_it_is_acked);
    tcase_add_test(t, k2_heartbeats_name_what_is_held_though_no_step_ends);
    tcase_add_test(t, k3_a_cancelled_job_comes_back_with_the_brokers_reason);
    tcase_add_test(t, k4_only_what_has_not_been_in_a_step_is_taken_back);
    tcase_add_test(t, a_want_is_said_again_when_there_is_materially_more_room);
    tcase_add_test(t, jobs_of_another_file_are_ended_and_not_named);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
