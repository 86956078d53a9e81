/* nvml.c - what NVIDIA's management library tells of a device. */
#include "kernels/nvml.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLOCK_SM      1
#define TOO_SMALL     7
#define MAX_PROCESSES 256

struct nvml_device; /* the library's */

struct memory_now {
    unsigned long long total, free, used;
};

struct process_now {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
};

struct nvml {
    void *lib;
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*text)(int rc);
    int (*driver)(char *out, unsigned size);
    int (*device)(const char *bus, struct nvml_device **out);
    int (*memory)(struct nvml_device *d, struct memory_now *out);
    int (*power)(struct nvml_device *d, unsigned *mw);
    int (*clock)(struct nvml_device *d, int type, unsigned *mhz);
    int (*processes)(struct nvml_device *d, unsigned *n, struct process_now *out);
    bool begun;
};

static int find(const struct nvml *n, void *fn, const char *name, struct errmsg *e)
{
    void *at = dlsym(n->lib, name);

    if (!at) return err_set(e, ERR_UNSUPPORTED, "NVML has no %s", name);
    memcpy(fn, &at, sizeof at);
    return ERR_OK;
}

static int find_all(struct nvml *n, struct errmsg *e)
{
    int rc = find(n, &n->init, "nvmlInit_v2", e);

    if (!rc) rc = find(n, &n->shutdown, "nvmlShutdown", e);
    if (!rc) rc = find(n, &n->text, "nvmlErrorString", e);
    if (!rc) rc = find(n, &n->driver, "nvmlSystemGetDriverVersion", e);
    if (!rc) rc = find(n, &n->device, "nvmlDeviceGetHandleByPciBusId_v2", e);
    if (!rc) rc = find(n, &n->memory, "nvmlDeviceGetMemoryInfo", e);
    if (!rc) rc = find(n, &n->power, "nvmlDeviceGetPowerUsage", e);
    if (!rc) rc = find(n, &n->clock, "nvmlDeviceGetClockInfo", e);
    if (!rc) rc = find(n, &n->processes, "nvmlDeviceGetComputeRunningProcesses_v3", e);
    return rc;
}

int nvml_open(struct nvml **out, const char *path, struct errmsg *e)
{
    struct nvml *n = calloc(1, sizeof *n);
    int rc, said;

    *out = NULL;
    if (!n) return err_set(e, ERR_NOMEM, "no memory for NVML");
    n->lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    rc = n->lib ? find_all(n, e) : err_set(e, ERR_UNSUPPORTED, "no NVML: %s", dlerror());
    if (rc) goto out;
    said = n->init();
    rc = said ? err_set(e, ERR_IO, "NVML: %s", n->text(said)) : ERR_OK;
    if (rc) goto out;
    n->begun = true;
    *out = n;
    n = NULL;
out:
    nvml_close(&n);
    return rc;
}

void nvml_close(struct nvml **n)
{
    if (!*n) return;
    if ((*n)->begun) (*n)->shutdown();
    if ((*n)->lib) dlclose((*n)->lib);
    free(*n);
    *n = NULL;
}

static int others_on(const struct nvml *n, struct nvml_device *d)
{
    struct process_now all[MAX_PROCESSES];
    unsigned count = MAX_PROCESSES;
    const int said = n->processes(d, &count, all);
    bool here = false;

    if (said && said != TOO_SMALL) return -1;
    if (said == TOO_SMALL) return (int)count - 1;
    for (unsigned i = 0; i < count && i < MAX_PROCESSES; i++)
        here |= all[i].pid == (unsigned)getpid();
    return (int)count - (here || count > 0);
}

int nvml_read(const struct nvml *n, const char *bus, struct device_reading *out, struct errmsg *e)
{
    struct nvml_device *d = NULL;
    const int said = n->device(bus, &d);
    struct memory_now memory = {0};
    unsigned mw = 0, mhz = 0;

    *out = (struct device_reading){.others = -1};
    if (said) return err_set(e, ERR_IO, "NVML: %s: %s", bus, n->text(said));
    if (!n->memory(d, &memory)) out->used_bytes = (int64_t)memory.used;
    if (!n->power(d, &mw)) out->power_mw = mw;
    if (!n->clock(d, CLOCK_SM, &mhz)) out->clock_mhz = mhz;
    out->others = others_on(n, d);
    return ERR_OK;
}

void nvml_driver(const struct nvml *n, char *out, size_t size)
{
    char text[80] = "";

    if (n->driver(text, sizeof text)) text[0] = '\0';
    snprintf(out, size, "%s", text);
}
