/* gpu_gap.c - a device that notes how long it has nothing to do between two steps. */
#include "bench/gpu_gap.h"

#include <stddef.h>

#include "base/clock.h"

/* A table of ops takes no argument of its own, so what is watched stands here. */
static struct {
    const struct device *real;
    const struct ops *real_ops;
    struct device device;
    struct ops ops;
    int64_t idle_since_ns; /* 0: it is at work, or nobody knows */
    int64_t idle_ns;
    int steps;
} watched;

static int begin(struct ragged *on, const struct ragged *r, struct stream *s)
{
    const int rc = watched.real_ops->begin(on, r, s);

    if (watched.idle_since_ns) {
        watched.idle_ns += clock_mono_ns() - watched.idle_since_ns;
        watched.steps++;
    }
    watched.idle_since_ns = 0;
    return rc;
}

static const struct ops *ops(enum dtype act)
{
    watched.real_ops = watched.real->ops(act);
    if (!watched.real_ops) return NULL;
    watched.ops = *watched.real_ops;
    watched.ops.begin = begin;
    return &watched.ops;
}

static int wait(struct stream *s, struct errmsg *e)
{
    const int rc = watched.real->wait(s, e);

    watched.idle_since_ns = clock_mono_ns();
    return rc;
}

static int get(struct stream *s, void *to, const void *from, size_t bytes)
{
    const int rc = watched.real->get(s, to, from, bytes);

    watched.idle_since_ns = clock_mono_ns();
    return rc;
}

const struct device *gpu_gap_watch(const struct device *d)
{
    watched.real = d;
    watched.device = *d;
    watched.device.ops = ops;
    watched.device.wait = wait;
    watched.device.get = get;
    gpu_gap_clear();
    return &watched.device;
}

void gpu_gap_clear(void)
{
    watched.idle_since_ns = watched.idle_ns = 0;
    watched.steps = 0;
}

double gpu_gap_seconds(void)
{
    return (double)watched.idle_ns * 1e-9;
}

int gpu_gap_steps(void)
{
    return watched.steps;
}
