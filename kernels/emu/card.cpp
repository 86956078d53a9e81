/* card.cpp - the made-up card: what it is, what it refuses, its errors. */
#include "kernels/emu/card.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/emu/launch.h"

#define N_FUNCS 1024

/* The emulated driver's own state; a process has one driver. */
static int broken;
static struct {
    const void *kernel;
    int dynamic_bytes;
} raised[N_FUNCS];
static int n_raised;
/* Of this thread; not zero when it begins (shared.h). */
static thread_local struct {
    int last_error, device, mark;
} own = {0, 0, 1};

static size_t env_number(const char *name, size_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? (size_t)strtoull(text, NULL, 10) : otherwise;
}

struct emu_card emu_card_read(void)
{
    const size_t arch = env_number("EMU_ARCH", 90);
    struct emu_card c;

    c.n_devices = (int)env_number("EMU_DEVICES", 1);
    if (c.n_devices > EMU_MAX_DEVICES) c.n_devices = EMU_MAX_DEVICES;
    c.n_sm = (int)env_number("EMU_SM", 8);
    c.memory_bytes = env_number("EMU_MEMORY", (size_t)1 << 30);
    c.major = (int)(arch / 10);
    c.minor = (int)(arch % 10);
    c.shared_bytes = 48u << 10;
    /* CUDA C++ Programming Guide, technical specifications for each compute capability. */
    switch (arch) {
    case 75: c.shared_sm_bytes = 64u << 10; break;
    case 80:
    case 87: c.shared_sm_bytes = 164u << 10; break;
    case 86:
    case 89:
    case 120: c.shared_sm_bytes = 100u << 10; break;
    default: c.shared_sm_bytes = 228u << 10;
    }
    c.shared_optin_bytes = c.shared_sm_bytes - (arch == 75 ? 0 : 1u << 10);
    c.threads_sm = arch == 75 ? 1024 : arch == 86 || arch == 89 || arch == 120 ? 1536 : 2048;
    return c;
}

cudaError_t emu_broken(void)
{
    return (cudaError_t)__atomic_load_n(&broken, __ATOMIC_ACQUIRE);
}

cudaError_t emu_error(int error)
{
    const cudaError_t stays = emu_broken();

    if (stays) error = stays;
    if (error && error != cudaErrorNotReady) own.last_error = error;
    return (cudaError_t)error;
}

cudaError_t emu_break(int error)
{
    int none = 0;

    __atomic_compare_exchange_n(&broken, &none, error, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return emu_error(error);
}

cudaError_t cudaPeekAtLastError(void)
{
    return emu_broken() ? emu_broken() : (cudaError_t)own.last_error;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = cudaPeekAtLastError();

    own.last_error = 0;
    return e;
}

static const struct {
    int number;
    const char *name, *text;
} ERRORS[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
};

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &e : ERRORS)
        if (e.number == error) return e.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &e : ERRORS)
        if (e.number == error) return e.text;
    return "unrecognized error code";
}

int emu_device(void)
{
    return own.device;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = emu_card_read().n_devices;
    return emu_error(*n > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = own.device;
    return emu_error(0);
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= emu_card_read().n_devices) return emu_error(cudaErrorInvalidDevice);
    own.device = device;
    return emu_error(0);
}

cudaError_t cudaDeviceReset(void)
{
    __atomic_store_n(&broken, 0, __ATOMIC_RELEASE);
    own.last_error = 0;
    emu_memory_reset();
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    if (emu_capture_spoil()) return emu_error(cudaErrorStreamCaptureUnsupported);
    emu_streams_wait();
    return emu_error(0);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return emu_error(0);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    return cudaDriverGetVersion(version);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    const struct emu_card c = emu_card_read();

    if (device < 0 || device >= c.n_devices) return emu_error(cudaErrorInvalidDevice);
    switch (attr) {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxGridDimX: *value = 2147483647; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)c.shared_bytes; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrClockRate: *value = 1000000; break;
    case cudaDevAttrMultiProcessorCount: *value = c.n_sm; break;
    case cudaDevAttrPciBusId: *value = device + 1; break;
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId: *value = 0; break;
    case cudaDevAttrMemoryClockRate: *value = 1000000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = 64; break;
    case cudaDevAttrL2CacheSize: *value = 4 << 20; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = c.threads_sm; break;
    case cudaDevAttrComputeCapabilityMajor: *value = c.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = c.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = (int)c.shared_sm_bytes; break;
    case cudaDevAttrCooperativeLaunch: *value = 0; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)c.shared_optin_bytes; break;
    default: return emu_error(cudaErrorInvalidValue);
    }
    return emu_error(0);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    const struct emu_card c = emu_card_read();

    if (device < 0 || device >= c.n_devices) return emu_error(cudaErrorInvalidDevice);
    memset(prop, 0, sizeof *prop);
    snprintf(prop->name, sizeof prop->name, "Emulated sm_%d%d", c.major, c.minor);
    prop->totalGlobalMem = c.memory_bytes;
    prop->sharedMemPerBlock = c.shared_bytes;
    prop->sharedMemPerBlockOptin = c.shared_optin_bytes;
    prop->sharedMemPerMultiprocessor = c.shared_sm_bytes;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = 1024;
    prop->maxThreadsDim[2] = 64;
    prop->maxGridSize[0] = 2147483647;
    prop->maxGridSize[1] = prop->maxGridSize[2] = 65535;
    prop->major = c.major;
    prop->minor = c.minor;
    prop->multiProcessorCount = c.n_sm;
    prop->asyncEngineCount = 1;
    prop->l2CacheSize = 4 << 20;
    prop->memoryBusWidth = 64;
    prop->maxThreadsPerMultiProcessor = c.threads_sm;
    prop->maxBlocksPerMultiProcessor = 16;
    prop->regsPerBlock = prop->regsPerMultiprocessor = 65536;
    prop->pciBusID = device + 1;
    return emu_error(0);
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int n, int device)
{
    snprintf(id, (size_t)n, "0000:%02x:00.0", device + 1);
    return emu_error(0);
}

static int raised_bytes(const void *kernel)
{
    for (int i = 0; i < __atomic_load_n(&n_raised, __ATOMIC_ACQUIRE); i++)
        if (raised[i].kernel == kernel) return raised[i].dynamic_bytes;
    return 48 << 10;
}

cudaError_t emu_func_set(const void *kernel, enum cudaFuncAttribute attr, int value)
{
    static int lock;
    int i;

    if (attr != cudaFuncAttributeMaxDynamicSharedMemorySize) return emu_error(0);
    if (value < 0 || (size_t)value > emu_card_read().shared_optin_bytes) {
        fprintf(stderr, "emu: %d bytes of dynamic shared memory asked for, the card has %zu\n",
                value, emu_card_read().shared_optin_bytes);
        return emu_error(cudaErrorInvalidValue);
    }
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
    }
    for (i = 0; i < n_raised && raised[i].kernel != kernel; i++) {
    }
    if (i == N_FUNCS) abort();
    raised[i].kernel = kernel;
    raised[i].dynamic_bytes = value;
    if (i == n_raised) __atomic_store_n(&n_raised, i + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    return emu_error(0);
}

cudaError_t emu_func_get(struct cudaFuncAttributes *a, const void *kernel)
{
    const struct emu_card c = emu_card_read();

    memset(a, 0, sizeof *a);
    a->maxThreadsPerBlock = 1024;
    a->numRegs = 32;
    a->ptxVersion = a->binaryVersion = c.major * 10 + c.minor;
    a->maxDynamicSharedSizeBytes = raised_bytes(kernel);
    return emu_error(0);
}

/* As if registers never were the limit. */
cudaError_t emu_func_occupancy(int *n, int threads, size_t dynamic_bytes)
{
    const struct emu_card c = emu_card_read();
    const int by_threads =
        threads > 0 && threads <= 1024 ? c.threads_sm / ((threads + 31) / 32 * 32) : 0;
    const size_t by_shared = c.shared_sm_bytes / (dynamic_bytes + (1u << 10));

    if (threads <= 0) return emu_error(cudaErrorInvalidValue);
    *n = by_threads < 16 ? by_threads : 16;
    if (by_shared < (size_t)*n) *n = (int)by_shared;
    return emu_error(0);
}

static bool refuse(const struct emu_work *w, int error, const char *what, unsigned long long n,
                   unsigned long long limit)
{
    fprintf(stderr, "emu: kernel %s: %s is %llu, the device takes 1 to %llu\n", w->name, what, n,
            limit);
    emu_error(error);
    return false;
}

bool emu_launch_fits(const struct emu_work *w, const void *kernel)
{
    const struct {
        const char *name;
        unsigned n, limit;
    } extents[] = {{"grid x", w->grid.x, 2147483647}, {"grid y", w->grid.y, 65535},
                   {"grid z", w->grid.z, 65535},      {"block x", w->block.x, 1024},
                   {"block y", w->block.y, 1024},     {"block z", w->block.z, 64}};
    const unsigned long long n = (unsigned long long)w->block.x * w->block.y * w->block.z;

    if (emu_broken()) {
        emu_error(0);
        return false;
    }
    for (const auto &e : extents)
        if (e.n == 0 || e.n > e.limit)
            return refuse(w, cudaErrorInvalidConfiguration, e.name, e.n, e.limit);
    if (n > 1024) return refuse(w, cudaErrorInvalidConfiguration, "threads of a block", n, 1024);
    if (w->dynamic_bytes > (size_t)raised_bytes(kernel))
        return refuse(w, cudaErrorInvalidValue, "bytes of dynamic shared memory", w->dynamic_bytes,
                      (unsigned long long)raised_bytes(kernel));
    return true;
}
