/* device_rig.h - the CUDA plug-in under test: a stream, its memory, numbers of act.
 *
 * The plug-in is the one that $NIGHTMILL_CUDA names, else libnightmill-emu.so of this build.  One
 * stream at a time, in `dev`, opened inside the test (Check forks, and a device's context does not
 * cross a fork).  Every call ends the test when something fails.
 *
 * A device array that is taken is full of 0xFF: of any float dtype no number, so what an op leaves
 * out is seen.
 */
#ifndef TESTS_DEVICE_RIG_H
#define TESTS_DEVICE_RIG_H

#include "kernels/plugin.h"
#include "tests/test.h"

struct device_rig {
    const struct plugin *plugin;
    const struct device *device;
    struct stream *s;
    const struct ops *ops;
    enum dtype act;
    struct errmsg err;
};
extern struct device_rig dev;

/* The dtypes of act, for loop tests: tcase_add_loop_test(c, t, 0, N_ACTS) and ACTS[_i]. */
#define N_ACTS 3
extern const enum dtype ACTS[N_ACTS];

/* Is there a plug-in with a device?  When not: one SKIPPED line, and failure where REQUIRE_GPU=1 is
 * set.  For the suite's function: cases are added only when this is true. */
bool device_rig_found(void);

/* o and l may be NULL: device 0; prepared for 256 tokens, 64 sequences, 64 blocks each. */
void device_rig_open(enum dtype act, const struct device_opts *o, const struct step_limits *l);
/* Does the device multiply numbers of d?  bf16 it does from sm_80 on, fp8 from sm_89. */
bool device_rig_multiplies(enum dtype d);
void device_rig_close(void);
void device_rig_wait(void);

/* Device memory, which lives until close. */
void *device_rig_take(size_t bytes);
void *device_rig_put(const void *from, size_t bytes); /* taken and filled */
void device_rig_get(void *to, const void *from, size_t bytes);

/* n numbers of x, rounded to d in place, so that a reference sees what the device sees; the same in
 * d on the device. */
void *device_rig_numbers(float *x, size_t n, enum dtype d);
/* n numbers of d on the device, as floats; the caller frees. */
float *device_rig_floats(const void *from, size_t n, enum dtype d);

/* r with its arrays on the device, as begin gives it. */
struct ragged device_rig_begin(const struct ragged *r);

/* rtol, and what rounding a result to act may add: half a unit of the last place. */
double device_rig_rtol(double rtol);

/* Largest |a - b| of device numbers of act and a reference's, in units of the row's tolerance
 * (numbers_worst). */
double device_rig_worst(const void *a, const float *b, size_t rows, size_t width, double rtol);

#endif
