/* scene.c - the real broker in a thread of the test, and three hand-made peers. */
#include "tests/scene.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/rows.h"
#include "tests/test.h"

struct scene scene;

void scene_ready(void *arg, const char *address)
{
    struct scene *own = arg;

    snprintf(own->address, sizeof own->address, "%s", address);
    sem_post(&own->ready);
}

static void *run(void *arg)
{
    struct scene *own = arg;

    own->rc = broker_run(&own->o, &own->e);
    if (own->rc) sem_post(&own->ready); /* it never got so far */
    return NULL;
}

void scene_start(void)
{
    ck_assert_int_eq(pipe(scene.stop), 0);
    scene.o.stop_fd = scene.stop[0];
    sem_init(&scene.ready, 0, 0);
    ck_assert_int_eq(pthread_create(&scene.thread, NULL, run, &scene), 0);
    while (sem_wait(&scene.ready))
        ;
}

void scene_stop(void)
{
    ck_assert_int_eq(write(scene.stop[1], "x", 1), 1);
    pthread_join(scene.thread, NULL);
    close(scene.stop[0]);
    close(scene.stop[1]);
    sem_destroy(&scene.ready);
    ck_assert_msg(!scene.rc, "%s", scene.e.text);
}

void scene_open_with(int64_t lease_ms, int64_t lost_ms)
{
    snprintf(scene.db, sizeof scene.db, "%s", test_path("b.db"));
    scene.o = (struct broker_opts){.db = scene.db,
                                   .file = {.sync_normal = true},
                                   .lease_ms = lease_ms,
                                   .lost_ms = lost_ms,
                                   .stall_ms = lease_ms,
                                   .heartbeat_ms = 100,
                                   .on_ready = scene_ready,
                                   .ready_arg = &scene};
    scene_start();
    peer_open(&scene.client, scene.address, "client");
    peer_open(&scene.a, scene.address, "a");
    peer_open(&scene.b, scene.address, "b");
}

void scene_open(void)
{
    scene_open_with(60000, 60000);
}

void scene_close(void)
{
    rows_recount(scene.db);
    scene_stop();
    rows_recount(scene.db);
    peer_close(&scene.client);
    peer_close(&scene.a);
    peer_close(&scene.b);
}

int64_t scene_rows(int n)
{
    int64_t batch = peer_batch(&scene.client, "batch", "", 3);

    peer_rows(&scene.client, batch, "row", n, 8);
    return batch;
}

void scene_wait(const char *sql, int64_t want, int limit_ms)
{
    int64_t until = clock_mono_ms() + limit_ms;

    while (NUMBER(sql) != want) {
        ck_assert_msg(clock_mono_ms() < until, "%s is %lld", sql, (long long)NUMBER(sql));
        process_sleep_ms(5);
    }
}
