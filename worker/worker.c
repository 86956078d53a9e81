/* worker.c - a worker process. */
#include "worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/context.h"
#include "worker/fleet.h"
#include "worker/layers.h"
#include "worker/served.h"

/* A model, with the context directory that knows it. */
struct loaded {
    struct context *context;
    struct cache cache; /* borrowed by the model */
    struct tuning tuning;
    struct model *model;
};

static void unload(struct loaded *l)
{
    model_close(&l->model);
    context_close(&l->context);
}

/* unload also when it fails. */
static int load(struct loaded *l, const char *path, const char *context_dir, struct errmsg *e)
{
    int rc;

    if (sodium_init() < 0) return err_set(e, ERR_IO, "libsodium cannot start");
    if ((rc = context_open(&l->context, context_dir, e))) return rc;
    l->cache = context_cache(l->context, SERVED_ENGINE);
    l->tuning = context_tuning(l->context);
    return model_open_cached(&l->model, path, &l->cache, e);
}

int worker_check(const char *model, const char *device, int tp, const char *context_dir,
                 struct errmsg *e)
{
    struct loaded l = {0};
    struct layers layers;
    struct place place;
    int rc = place_find(&place, device, tp, e);

    if (!rc) rc = load(&l, model, context_dir, e);
    if (!rc) rc = layers_open(&layers, l.model, e);
    if (!rc) layers_fini(&layers);
    unload(&l);
    return rc;
}

/* --- several instances on one card ------------------------------------------------------------ */

struct member {
    struct served served;
    pthread_t thread;
    bool started;
    int ended_fd; /* made readable when it ends */
    int rc;
    struct errmsg err;
};

static void raise_fd(int fd)
{
    const uint64_t one = 1;

    if (write(fd, &one, sizeof one) < 0) log_warn("worker", "eventfd: %s", strerror(errno));
}

static void *member_main(void *arg)
{
    struct member *m = arg;

    m->rc = served_run(&m->served, &m->err);
    if (m->rc) log_error("worker", "%s: %s", m->served.link.hello.name, m->err.text);
    raise_fd(m->ended_fd);
    return NULL;
}

/* Until this process shall end, or one of them has: a device that failed fails for all. */
static void wait_for_end(int stop_fd, int ended_fd)
{
    struct pollfd fds[2] = {{ended_fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};

    while (poll(fds, stop_fd >= 0 ? 2 : 1, -1) < 0 && errno == EINTR) {
    }
}

static int run_members(struct member *all, const struct served_opts *one, struct errmsg *e)
{
    const int n = one->worker->n_parts, ended_fd = eventfd(0, EFD_CLOEXEC);
    struct served_opts o = *one;
    int rc = ERR_OK;

    o.stop_fd = eventfd(0, EFD_CLOEXEC);
    if (o.stop_fd < 0 || ended_fd < 0) rc = err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    for (int i = 0; i < n && !rc; i++) {
        o.part = i;
        all[i].ended_fd = ended_fd;
        rc = served_open(&all[i].served, &o, e);
    }
    for (int i = 0; i < n && !rc; i++) {
        all[i].started = !pthread_create(&all[i].thread, NULL, member_main, &all[i]);
        if (!all[i].started)
            rc = err_set(e, ERR_NOMEM, "no thread for instance %d of %d", i + 1, n);
    }
    if (!rc) wait_for_end(one->stop_fd, ended_fd);
    if (o.stop_fd >= 0) raise_fd(o.stop_fd);
    for (int i = 0; i < n; i++) {
        if (all[i].started) pthread_join(all[i].thread, NULL);
        if (all[i].rc && !rc) rc = err_set(e, all[i].rc, "%s", all[i].err.text);
        served_close(&all[i].served);
    }
    if (o.stop_fd >= 0) close(o.stop_fd);
    if (ended_fd >= 0) close(ended_fd);
    return rc;
}

static int run_one(const struct served_opts *o, struct errmsg *e)
{
    struct served served;
    int rc = served_open(&served, o, e);

    if (!rc) rc = served_run(&served, e);
    served_close(&served);
    return rc;
}

int worker_profile(struct profile *out, struct link_hello *hello, const struct worker_opts *o,
                   struct errmsg *e)
{
    struct loaded l = {0};
    struct place place;
    struct served_opts one = {.worker = o, .place = &place, .tuning = &l.tuning, .stop_fd = -1};
    int rc = place_find(&place, o->device, o->tp, e);

    if (!rc) rc = load(&l, o->model, o->context_dir, e);
    one.model = l.model;
    if (!rc) rc = served_profile(out, hello, &one, e);
    unload(&l);
    return rc;
}

int worker_run(const struct worker_opts *o, struct errmsg *e)
{
    struct member members[WORKER_MAX_PARTS] = {0};
    struct loaded l = {0};
    struct place place;
    struct served_opts one = {
        .worker = o, .place = &place, .tuning = &l.tuning, .stop_fd = o->stop_fd};
    int rc;

    if (!strncmp(o->device, FLEET_DEVICE, strlen(FLEET_DEVICE))) return fleet_run(o, e);
    if ((rc = place_find(&place, o->device, o->tp, e))) return rc;
    if (!(rc = load(&l, o->model, o->context_dir, e))) {
        one.model = l.model;
        rc = o->n_parts > 1 ? run_members(members, &one, e) : run_one(&one, e);
    }
    unload(&l);
    return rc;
}
