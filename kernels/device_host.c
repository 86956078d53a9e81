/* device_host.c - the host as a device: memory is memory, and work is done when it is asked for. */
#include "kernels/device.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/pool.h"

static const struct ops *cpu_in(enum dtype act)
{
    return act == DTYPE_F32 ? ops_cpu() : NULL;
}

static const struct ops *ref_in(enum dtype act)
{
    return act == DTYPE_F32 ? ops_ref() : NULL;
}

static int one(struct errmsg *e)
{
    (void)e;
    return 1;
}

static int host_facts(int index, struct device_facts *out, struct errmsg *e)
{
    const long pages = sysconf(_SC_PHYS_PAGES), free_pages = sysconf(_SC_AVPHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);

    if (index) return err_set(e, ERR_ARG, "cpu:%d: there is one host", index);
    *out = (struct device_facts){.memory_bytes = (int64_t)pages * page,
                                 .free_bytes = (int64_t)free_pages * page};
    snprintf(out->name, sizeof out->name, "cpu");
    return ERR_OK;
}

static int host_open(struct stream **out, const struct device_opts *o, struct errmsg *e)
{
    return pool_open(out, o->threads, e);
}

static int no_sms(const struct stream *s)
{
    (void)s;
    return 0;
}

/* Huge pages were slower for KV: a first token would zero one for the K and the V of each layer. */
static void *host_take(struct stream *s, size_t bytes, struct errmsg *e)
{
    void *at = pool_keep(s, bytes);

    if (!at) err_set(e, ERR_NOMEM, "no memory for %zu bytes", bytes);
    return at;
}

static int host_copy(struct stream *s, void *to, const void *from, size_t bytes)
{
    (void)s;
    memcpy(to, from, bytes);
    return ERR_OK;
}

static int host_wait(struct stream *s, struct errmsg *e)
{
    (void)s;
    (void)e;
    return ERR_OK;
}

#define HOST(kind)                                                                                 \
    {                                                                                              \
        .name = #kind, .ops = kind##_in, .count = one, .facts = host_facts, .open = host_open,     \
        .close = pool_close, .sm_count = no_sms, .take = host_take, .put = host_copy,              \
        .get = host_copy, .wait = host_wait                                                        \
    }

const struct device *device_cpu(void)
{
    static const struct device CPU = HOST(cpu);

    return &CPU;
}

const struct device *device_ref(void)
{
    static const struct device REF = HOST(ref);

    return &REF;
}
