/* scene.c - the real broker in a thread of the test. */
#include "tests/scene.h"

#include <unistd.h>

#include "tests/test.h"

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
