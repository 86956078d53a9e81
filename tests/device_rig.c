/* device_rig.c - the CUDA plug-in under test. */
#include "tests/device_rig.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tests/numbers.h"

struct device_rig dev;
const enum dtype ACTS[N_ACTS] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};

#define OK(call) ck_assert_msg((call) == ERR_OK, "%s: %s", #call, dev.err.text)

/* This program is BUILD/tests/NAME, and the emulation BUILD/libnightmill-emu.so. */
static void name_emulation(void)
{
    char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);

    if (n <= 0) return;
    path[n] = 0;
    for (int i = 0; i < 2 && strrchr(path, '/'); i++)
        *strrchr(path, '/') = 0;
    strcat(path, "/libnightmill-emu.so");
    setenv(PLUGIN_ENV, path, 0);
}

static bool plug(void)
{
    name_emulation();
    dev.plugin = plugin_open(&dev.err);
    dev.device = dev.plugin ? dev.plugin->device : NULL;
    return dev.plugin != NULL;
}

bool device_rig_found(void)
{
    /* The emulation needs no driver, and a real device's is not asked before the fork. */
    if (plug() && (dev.plugin->emulated || !access("/dev/nvidiactl", F_OK))) return true;
    printf("SKIPPED: suites on a device, %s\n", dev.plugin ? "there is none" : dev.err.text);
    /* The emulation is built beside the suites: one that does not open is a failure. */
    if (getenv("REQUIRE_GPU") || (!dev.plugin && !getenv(PLUGIN_ENV))) exit(EXIT_FAILURE);
    return false;
}

bool device_rig_multiplies(enum dtype d)
{
    const int least = d == DTYPE_BF16 ? 80 : d == DTYPE_FP8 ? 89 : 0;
    struct device_facts f;

    if (!dev.plugin) ck_assert_msg(plug(), "%s", dev.err.text);
    OK(dev.device->facts(0, &f, &dev.err));
    return f.arch >= least;
}

void device_rig_open(enum dtype act, const struct device_opts *o, const struct step_limits *l)
{
    static const struct step_limits LIMITS = {
        .max_tokens = 256, .max_seqs = 64, .max_blocks = 64, .max_width = 4096};

    if (!dev.plugin) ck_assert_msg(plug(), "%s", dev.err.text);
    OK(dev.device->open(&dev.s, o ? o : &(struct device_opts){0}, &dev.err));
    dev.act = act;
    dev.ops = dev.device->ops(act);
    ck_assert_ptr_nonnull(dev.ops);
    OK(dev.ops->prepare(dev.s, l ? l : &LIMITS));
}

void device_rig_close(void)
{
    device_rig_wait();
    dev.device->close(&dev.s);
    ck_assert_ptr_null(dev.s);
}

void device_rig_wait(void)
{
    OK(dev.device->wait(dev.s, &dev.err));
}

void *device_rig_take(size_t bytes)
{
    void *at = dev.device->take(dev.s, bytes ? bytes : 1, &dev.err), *ones;

    ck_assert_msg(at != NULL, "%zu bytes: %s", bytes, dev.err.text);
    ck_assert_uint_eq((uintptr_t)at % DEVICE_ALIGN, 0);
    if (!bytes) return at;
    ones = malloc(bytes);
    ck_assert_ptr_nonnull(ones);
    memset(ones, 0xFF, bytes);
    OK(dev.device->put(dev.s, at, ones, bytes));
    free(ones);
    return at;
}

void *device_rig_put(const void *from, size_t bytes)
{
    void *at = device_rig_take(bytes);

    if (bytes) OK(dev.device->put(dev.s, at, from, bytes));
    return at;
}

void device_rig_get(void *to, const void *from, size_t bytes)
{
    if (bytes) OK(dev.device->get(dev.s, to, from, bytes));
    device_rig_wait();
}

void *device_rig_numbers(float *x, size_t n, enum dtype d)
{
    uint16_t *half = malloc(n * sizeof *half + 1);
    void *at;

    ck_assert_ptr_nonnull(half);
    ck_assert(dtype_is_float(d));
    for (size_t i = 0; i < n && d != DTYPE_F32; i++) {
        half[i] = d == DTYPE_F16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
        x[i] = d == DTYPE_F16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]);
    }
    at = d == DTYPE_F32 ? device_rig_put(x, n * sizeof *x) : device_rig_put(half, n * sizeof *half);
    free(half);
    return at;
}

float *device_rig_floats(const void *from, size_t n, enum dtype d)
{
    float *x = malloc(n * sizeof *x + 1);
    uint16_t *half = malloc(n * sizeof *half + 1);

    ck_assert(x && half && dtype_is_float(d));
    if (d == DTYPE_F32)
        device_rig_get(x, from, n * sizeof *x);
    else
        device_rig_get(half, from, n * sizeof *half);
    for (size_t i = 0; i < n && d != DTYPE_F32; i++)
        x[i] = d == DTYPE_F16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]);
    free(half);
    return x;
}

struct ragged device_rig_begin(const struct ragged *r)
{
    struct ragged on;

    OK(dev.ops->begin(&on, r, dev.s));
    return on;
}

double device_rig_rtol(double rtol)
{
    return rtol + (dev.act == DTYPE_F32 ? 0 : dev.act == DTYPE_F16 ? 0x1p-11 : 0x1p-8);
}

double device_rig_worst(const void *a, const float *b, size_t rows, size_t width, double rtol)
{
    float *mine = device_rig_floats(a, rows * width, dev.act);
    const double worst = numbers_worst(mine, b, rows, width, rtol);

    free(mine);
    return worst;
}
