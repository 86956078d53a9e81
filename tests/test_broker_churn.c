/* test_broker_churn.c - workers that do everything at the wrong time, against the real broker: no
 * row is lost, none is done twice, and those that are left are given to who is still there.
 *
 * TEST_SEED repeats a run's choices, CHURN_STEPS makes it long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

#define WORKERS  4
#define BATCHES  3
#define ROWS     300 /* of each batch */
#define MOST     4096
#define LEASE_MS 300
#define END_MS   20000

struct churn_worker {
    struct peer p;
    int64_t job[MOST], generation[MOST];
    int n;
    int64_t steps;
    bool joined;
};

static struct churn_worker workers[WORKERS];

static int draw(int n)
{
    return (int)(random() % n);
}

static int from_env(const char *name, int dflt)
{
    const char *v = getenv(name);

    return v && *v ? atoi(v) : dflt;
}

/* --- what a worker holds */

static int held_at(const struct churn_worker *w, int64_t job)
{
    for (int k = 0; k < w->n; k++)
        if (w->job[k] == job) return k;
    return -1;
}

static void drop(struct churn_worker *w, int k)
{
    w->job[k] = w->job[--w->n];
    w->generation[k] = w->generation[w->n];
}

static void hear_lease(struct churn_worker *w, const msgpack_object_array *jobs)
{
    for (uint32_t k = 0; k < jobs->size && w->n < MOST; k++) {
        const msgpack_object_array *a = wire_at_array(jobs, k);
        const int64_t job = wire_at_int(a, 0, 0);

        if (held_at(w, job) >= 0) drop(w, held_at(w, job));
        w->job[w->n] = job;
        w->generation[w->n++] = wire_at_int(a, 1, 0);
    }
}

static void hear_cancel(struct churn_worker *w, const msgpack_object_array *jobs)
{
    for (uint32_t k = 0; k < jobs->size; k++) {
        const int at = held_at(w, wire_at_int(jobs, k, 0));

        if (at < 0) continue;
        peer_stopped(&w->p, w->job[at], w->generation[at], "stopped");
        drop(w, at);
    }
}

static void say_hello(struct churn_worker *w)
{
    if (draw(2)) w->n = 0;
    peer_hello(&w->p, w->job, w->n); /* of generation 0: others are not wanted any more */
    w->joined = true;
}

/* Everything that has come; a lease or a cancel in twenty is lost. */
static void hear(struct churn_worker *w)
{
    struct wire_msg m;
    struct errmsg e;

    while (!wire_recv(w->p.socket, false, &m, &e)) {
        const msgpack_object_array *jobs = wire_array(&m.map, "jobs");

        if (m.head.type == WIRE_WELCOME)
            wire_copy(&m.map, "db_uuid", w->p.db_uuid, sizeof w->p.db_uuid);
        else if (m.head.type == WIRE_REHELLO)
            say_hello(w);
        else if (m.head.type == WIRE_LEASE && draw(20))
            hear_lease(w, jobs);
        else if (m.head.type == WIRE_CANCEL && draw(20))
            hear_cancel(w, jobs);
        wire_msg_fini(&m);
    }
}

/* --- what it says */

static void want(struct churn_worker *w, int k)
{
    (void)k;
    peer_stand(&w->p, draw(200), draw(30000), draw(3) ? w->n : 0);
}

static void answer(struct churn_worker *w, int k)
{
    for (int n = draw(8) ? 1 : 2; k >= 0 && n--;)
        peer_answer(&w->p, w->job[k], w->generation[k], "t");
    if (k >= 0) drop(w, k);
}

static void beat(struct churn_worker *w, int k)
{
    (void)k;
    w->steps += draw(3) > 0;
    peer_beat(&w->p, w->job, draw(3) ? w->n : w->n / 2, w->steps, draw(w->n + 1));
}

static void does_not_fit(struct churn_worker *w, int k)
{
    if (k < 0) return;
    peer_put_back(&w->p, w->job[k], w->generation[k], 50 + draw(3000));
    drop(w, k);
}

static void put_back(struct churn_worker *w, int k)
{
    for (int n = 1 + draw(2); k >= 0 && n--;)
        peer_stopped(&w->p, w->job[k], w->generation[k], "preempted");
    if (k >= 0) drop(w, k);
}

/* Of what it has not got, and at once it wants more. */
static void put_back_another(struct churn_worker *w, int k)
{
    (void)k;
    peer_stopped(&w->p, 1 + draw(BATCHES * ROWS), 0, "draining");
    peer_stand(&w->p, 200, 100000, w->n);
}

static void say_error(struct churn_worker *w, int k)
{
    if (k < 0) return;
    peer_error(&w->p, w->job[k], w->generation[k], false);
    drop(w, k);
}

static void leave(struct churn_worker *w, int k)
{
    if (k < 0 || draw(8)) return;
    peer_bye(&w->p);
    w->joined = false;
}

static void hello_again(struct churn_worker *w, int k)
{
    (void)k;
    if (!draw(4)) say_hello(w);
}

static void act(struct churn_worker *w)
{
    static void (*const ACTS[])(struct churn_worker *, int) = {
        want, want,         answer,   answer,           answer,    answer, beat,
        beat, does_not_fit, put_back, put_back_another, say_error, leave,  hello_again};

    if (w->joined)
        ACTS[draw(sizeof ACTS / sizeof ACTS[0])](w, w->n ? draw(w->n) : -1);
    else if (!draw(3))
        say_hello(w);
}

/* --- what clients say meanwhile */

static void control(const char *verb, int batch, const char *job)
{
    struct wire_out o;
    char name[16];

    snprintf(name, sizeof name, "b%d", batch);
    wire_begin(&o, 4);
    wire_put_str(&o, "verb", verb);
    wire_put_str(&o, "batch", name);
    wire_put_str(&o, "job", job);
    wire_put_str(&o, "code", "");
    peer_send(&scene.client, WIRE_CONTROL, &o);
    while (peer_hears(&scene.client, WIRE_CONTROL_OK, 0))
        ;
}

static void control_something(void)
{
    static const char *const VERBS[] = {"pause", "resume", "cancel", "retry", "resume"};
    const char *verb = VERBS[draw(sizeof VERBS / sizeof VERBS[0])];
    char job[16] = "";

    if (draw(2) || !strcmp(verb, "cancel")) snprintf(job, sizeof job, "r%d", draw(ROWS));
    control(verb, draw(BATCHES), job);
}

/* --- the run */

static void open_all(void)
{
    for (int b = 0; b < BATCHES; b++) {
        char name[16];

        snprintf(name, sizeof name, "b%d", b);
        peer_rows(&scene.client, peer_batch(&scene.client, name, b == 2 ? "m" : "", 1000), "r",
                  ROWS, 8 + 400 * (size_t)b);
    }
    for (int k = 0; k < WORKERS; k++) {
        struct churn_worker *w = &workers[k];
        char uuid[16];

        memset(w, 0, sizeof *w);
        snprintf(uuid, sizeof uuid, "w%d", k);
        peer_open(&w->p, scene.address, uuid);
        w->p.kv_tokens = 500 << (2 * k);
        w->p.max_num_seqs = 4 << k;
        w->p.takes_back = w->p.prefix_caching = true;
        if (k % 2) snprintf(w->p.model, sizeof w->p.model, "m");
    }
}

/* The roomiest one is left, and does what there is. */
static void end_well(void)
{
    struct churn_worker *w = &workers[WORKERS - 1];
    const int64_t until = clock_mono_ms() + END_MS;

    for (int k = 0; k < WORKERS - 1; k++)
        peer_close(&workers[k].p); /* without a word: its leases run out */
    for (int b = 0; b < BATCHES; b++) {
        control("resume", b, "");
        control("retry", b, "");
    }
    say_hello(w);
    while (NUMBER("SELECT count(*) FROM job WHERE state=0")) {
        ck_assert_msg(clock_mono_ms() < until, "%lld rows are left that nobody gets",
                      (long long)NUMBER("SELECT count(*) FROM job WHERE state=0"));
        hear(w);
        peer_stand(&w->p, 100, 1 << 20, w->n);
        peer_beat(&w->p, w->job, w->n, ++w->steps, 0);
        while (w->n)
            answer(w, 0);
        process_sleep_ms(5);
    }
    peer_close(&w->p);
}

START_TEST(no_row_is_lost_or_done_twice_whatever_workers_do)
{
    const int seed = from_env("TEST_SEED", (int)time(NULL));

    fprintf(stderr, "seed %d\n", seed);
    srandom((unsigned)seed);
    scene_open_with(LEASE_MS, 60000);
    open_all();
    for (int n = from_env("CHURN_STEPS", 1500); n--;) {
        for (int k = 0; k < WORKERS; k++)
            hear(&workers[k]);
        act(&workers[draw(WORKERS)]);
        if (!draw(60)) control_something();
        if (!draw(16)) process_sleep_ms(1);
    }
    end_well();
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result"),
                     NUMBER("SELECT count(*) FROM job WHERE state=1")); /* Q1 */
    scene_close();                                                      /* with a recount */
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("broker_churn");
    TCase *t = tcase_create("broker_churn");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, no_row_is_lost_or_done_twice_whatever_workers_do);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
