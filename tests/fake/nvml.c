/* nvml.c - a management library of one device at 0000:17:00.0, for test_nvml.c.
 *
 *   FAKE_NVML  "" all is well; "begin" it does not begin; "mute" the device tells nothing
 *   FAKE_PIDS  process ids on the device, parted by commas; "many": more than fit
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

int nvmlInit_v2(void);
int nvmlShutdown(void);
const char *nvmlErrorString(int rc);
int nvmlSystemGetDriverVersion(char *out, unsigned size);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **out);
int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *out);
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw);
int nvmlDeviceGetClockInfo(void *d, int type, unsigned *mhz);

struct process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
};
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct process *out);

static const char *setting(const char *name)
{
    const char *text = getenv(name);

    return text ? text : "";
}

static int mute(void)
{
    return strcmp(setting("FAKE_NVML"), "mute") ? 0 : 3;
}

EXPORT int nvmlInit_v2(void)
{
    return strcmp(setting("FAKE_NVML"), "begin") ? 0 : 9;
}

EXPORT int nvmlShutdown(void)
{
    return 0;
}

EXPORT const char *nvmlErrorString(int rc)
{
    return rc == 9 ? "Driver Not Loaded" : rc == 6 ? "Not Found" : "Not Supported";
}

EXPORT int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    snprintf(out, size, "580.65.06");
    return 0;
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **out)
{
    static int device;

    *out = &device;
    return strcmp(bus, "0000:17:00.0") ? 6 : 0;
}

EXPORT int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *out)
{
    (void)d;
    if (mute()) return mute();
    out[0] = 150754820096ull;
    out[1] = 150000000000ull;
    out[2] = 754820096ull;
    return 0;
}

EXPORT int nvmlDeviceGetPowerUsage(void *d, unsigned *mw)
{
    (void)d;
    *mw = 412345;
    return mute() ? (*mw = 0, mute()) : 0;
}

EXPORT int nvmlDeviceGetClockInfo(void *d, int type, unsigned *mhz)
{
    (void)d;
    *mhz = type == 1 ? 1980 : 3201;
    return mute() ? (*mhz = 0, mute()) : 0;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct process *out)
{
    const char *at = setting("FAKE_PIDS");
    const unsigned cap = *n;

    (void)d;
    if (mute()) return mute();
    if (!strcmp(at, "many")) {
        *n = 1000;
        return 7;
    }
    for (*n = 0; *at && *n < cap; at += strcspn(at, ","), at += *at == ',')
        out[(*n)++] = (struct process){(unsigned)strtoul(at, NULL, 10), 1, 0, 0};
    return 0;
}
