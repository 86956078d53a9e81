/* plugin_cuda.cu - what the plug-in shows: the device, its tables of ops, and NCCL. */
#include "kernels/cuda_stream.cuh"

#include <stdlib.h>

extern "C" {
#include "base/fault.h"
#include "kernels/add.h"
#include "kernels/attn.h"
#include "kernels/choose.h"
#include "kernels/coll_nccl.h"
#include "kernels/convert.h"
#include "kernels/device_cuda.h"
#include "kernels/embed.h"
#include "kernels/gather.h"
#include "kernels/glu.h"
#include "kernels/linear.h"
#include "kernels/plugin.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope_kv.h"
#include "kernels/softcap.h"
}

template <enum dtype ACT> static int prepare(struct stream *s, const struct step_limits *l)
{
    int rc = stream_enter(s);

    if (rc) return rc;
    if (l->max_tokens <= 0 || l->max_width <= 0) return ERR_ARG;
    if (ACT == DTYPE_BF16 && s->arch < 80) return ERR_UNSUPPORTED; /* no bf16 in its matrix units */
    s->act = ACT;
    s->limits = *l;
    if ((rc = step_open(s))) return rc;
    if ((rc = linear_open(s))) return rc;
    return choose_open(s);
}

/* These may be a thread's first call. */
static int begin(struct ragged *on, const struct ragged *r, struct stream *s)
{
    const int rc = stream_enter(s);

    return rc ? rc : step_begin(on, r, s);
}

static int tune(const struct product *p, int n, struct stream *s)
{
    const int rc = stream_enter(s);

    return rc ? rc : linear_cuda_tune(p, n, s);
}

static int convert(const struct weight *to, const struct weight *from, struct stream *s)
{
    const int rc = stream_enter(s);

    return rc ? rc : convert_cuda(to, from, s);
}

/* The head's product and the choice are asked for by other calls than the layers, and with several
 * ranks from other threads. */
static int linear(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    const int rc = stream_enter(s);

    return rc ? rc : linear_cuda(p, n, x, T, s);
}

static int choose(struct choice *out, float *logits, const struct wish *wishes, int n, int V,
                  struct stream *s)
{
    const int rc = stream_enter(s);

    return rc ? rc : choose_cuda(out, logits, wishes, n, V, s);
}

template <enum dtype ACT> static const struct ops *table(void)
{
    static const struct ops OPS = {
        "cuda",    ACT,        true,         prepare<ACT>,     tune,        convert,
        begin,     embed_cuda, rmsnorm_cuda, add_rmsnorm_cuda, linear,      rope_kv_cuda,
        attn_cuda, glu_cuda,   add_cuda,     softcap_cuda,     gather_cuda, choose,
    };

    return &OPS;
}

const struct ops *ops_cuda(enum dtype act)
{
    switch (act) {
    case DTYPE_F32: return table<DTYPE_F32>();
    case DTYPE_F16: return table<DTYPE_F16>();
    case DTYPE_BF16: return table<DTYPE_BF16>();
    default: return NULL;
    }
}

#ifdef CUDA_EMU
#define EMULATED  true
#define BUILT_FOR "emu"
#else
#define EMULATED false
#ifndef BUILT_FOR
#define BUILT_FOR "not told"
#endif
#endif

extern "C" __attribute__((visibility("default"))) const struct plugin *nightmill_plugin(void)
{
    static const struct plugin PLUGIN = {PLUGIN_VERSION, EMULATED, BUILT_FOR, device_cuda(),
                                         coll_nccl};
    struct errmsg e;

    /* The plug-in has counts of its own; the program has told what is wrong with the setting. */
    (void)!fault_setup(getenv("NIGHTMILL_FAULT"), &e);
    return &PLUGIN;
}
