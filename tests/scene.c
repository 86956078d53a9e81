/* scene.c - the real broker in a thread of the test, and hand-made peers. */
#include "tests/scene.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/rows.h"
#include "tests/test.h"

struct scene scene;

static void on_ready(void *arg, const char *address)
{
    struct scene *s = arg;

    snprintf(s->address, sizeof s->address, "%s", address);
    sem_post(&s->ready);
}

static void *run(void *arg)
{
    struct scene *s = arg;

    s->rc = broker_run(&s->o, &s->e);
    if (s->rc) sem_post(&s->ready); /* it never got so far */
    return NULL;
}

void scene_prepare(struct scene *s, int64_t lease_ms, int64_t lost_ms)
{
    snprintf(s->db, sizeof s->db, "%s", test_path("b.db"));
    s->o = (struct broker_opts){.db = s->db,
                                .file = {.sync_normal = true},
                                .lease_ms = lease_ms,
                                .lost_ms = lost_ms,
                                .stall_ms = lease_ms,
                                .heartbeat_ms = 100,
                                .on_ready = on_ready,
                                .ready_arg = s};
}

void scene_start(struct scene *s)
{
    ck_assert_int_eq(pipe(s->stop), 0);
    s->o.stop_fd = s->stop[0];
    sem_init(&s->ready, 0, 0);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, run, s), 0);
    while (sem_wait(&s->ready))
        ;
}

void scene_stop(struct scene *s)
{
    ck_assert_int_eq(write(s->stop[1], "x", 1), 1);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->stop[1]);
    sem_destroy(&s->ready);
    ck_assert_msg(!s->rc, "%s", s->e.text);
}

void scene_open_with(int64_t lease_ms, int64_t lost_ms)
{
    scene_prepare(&scene, lease_ms, lost_ms);
    scene_start(&scene);
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
    scene_stop(&scene);
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
