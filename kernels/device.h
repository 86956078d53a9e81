/* device.h - where an instance computes: its memory, the order of its work, its tables of ops.
 *
 * A struct device is a kind of device, a constant; an open struct stream is one of them, or a part
 * of one, with memory and an order of work of its own.  The host's (device_cpu, device_ref) do at
 * once what they are asked; cuda (kernels/plugin.h) puts it in the stream's order.
 *
 * Memory     take: at a border of DEVICE_ALIGN bytes, what it holds is not said; all of a stream's
 * memory is given back when it is closed.  On the host a page comes when it is first written.
 * Threads    a stream is used by one thread at a time, and may be opened by another.
 * Errors     ERR_CUDA with a text that names the op and its shape, from `wait`; the stream is of no
 *            use then but to be closed.  ERR_FULL where memory does not suffice, with the numbers.
 *
 * DV1  what is put is there for all work that comes after it in the stream; the source may be
 *      changed when put returns.
 * DV2  get and wait return when all work before them is done.
 */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/ops.h"

#define DEVICE_ALIGN 256
#define DEVICE_TEXT  96

struct device;
struct graph; /* work that was recorded, to be run again */

/* What measuring found, kept by somebody else under a name: a-z, 0-9 and '-', 40 at most. */
struct tuning {
    void *self;
    size_t (*find)(void *self, const char *name, void *out, size_t cap); /* its bytes; 0: none */
    void (*keep)(void *self, const char *name, const void *bytes, size_t len);
};

struct device_opts {
    int index;            /* cuda:N */
    int threads;          /* cpu: of the stream's pool */
    int sm_count;         /* cuda: multiprocessors of this stream, rounded up to what can be had; 0:
                             all */
    bool batch_invariant; /* one algorithm, tile and split for all batch sizes */
    const struct tuning *tuning; /* borrowed while the stream is open, or NULL */
};

struct device_facts {
    char name[DEVICE_TEXT];    /* "NVIDIA H200" */
    char library[DEVICE_TEXT]; /* driver and library versions, on one line */
    char bus[32];              /* PCI address; "" on the host */
    int arch;                  /* 90 for sm_90 */
    int sm_count;              /* of the device, or of the stream where one is asked */
    int64_t memory_bytes, free_bytes;
};

/* What NVML tells now; 0 or -1 where it does not. */
struct device_reading {
    int64_t used_bytes, power_mw, clock_mhz;
    int others; /* processes on the device beside this one; -1: not known */
};

struct device {
    const char *name; /* "cpu", "ref", "cuda" */
    bool async;       /* work is done later than the call: the host has time for something else */
    const struct ops *(*ops)(enum dtype act); /* NULL: it does not compute in it */
    int (*count)(struct errmsg *e);           /* devices there are; 0 with the reason in e */
    int (*facts)(int index, struct device_facts *out, struct errmsg *e);
    int (*read)(int index, struct device_reading *out);

    int (*open)(struct stream **out, const struct device_opts *o, struct errmsg *e);
    void (*close)(struct stream **s);
    int (*sm_count)(const struct stream *s); /* really had; 0 on the host */
    void *(*take)(struct stream *s, size_t bytes, struct errmsg *e);
    int (*put)(struct stream *s, void *to, const void *from, size_t bytes);
    int (*get)(struct stream *s, void *to, const void *from, size_t bytes);
    int (*wait)(struct stream *s, struct errmsg *e);

    /* Graphs.  NULL on the host.  Between record and recorded, ops are noted and not run; begin and
     * choose are not among them, and nothing is taken, put or waited for.  ERR_UNSUPPORTED: from
     * record where the stream waits for each launch (CUDA_SYNC=1); from recorded when anything
     * failed since, which the stream has forgotten: what was noted can be done op by op. */
    int (*record)(struct stream *s);
    int (*recorded)(struct graph **out, struct stream *s);
    int (*replay)(struct graph *g, struct stream *s);
    void (*forget)(struct graph **g);
};

const struct device *device_cpu(void);
const struct device *device_ref(void);

#endif
