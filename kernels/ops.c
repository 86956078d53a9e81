/* ops.c - the tables of ops: the reference and the CPU. */
#include "kernels/ops.h"

#include "base/err.h"
#include "kernels/add.h"
#include "kernels/attn.h"
#include "kernels/embed.h"
#include "kernels/gather.h"
#include "kernels/glu.h"
#include "kernels/linear.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope_kv.h"
#include "kernels/softcap.h"

static int no_scratch(struct stream *s, const struct step_limits *l)
{
    (void)s;
    return l->max_tokens > 0 && l->max_width > 0 ? ERR_OK : ERR_ARG;
}

/* The host's ops read a step where it is. */
static int begin_here(struct ragged *on, const struct ragged *r, struct stream *s)
{
    (void)s;
    *on = *r;
    return ERR_OK;
}

static const struct ops REF = {
    .name = "ref",
    .act = DTYPE_F32,
    .prepare = no_scratch,
    .begin = begin_here,
    .embed = embed_ref,
    .rmsnorm = rmsnorm_ref,
    .add_rmsnorm = add_rmsnorm_ref,
    .linear = linear_ref,
    .rope_kv = rope_kv_ref,
    .attn = attn_ref,
    .glu = glu_ref,
    .add = add_ref,
    .softcap = softcap_ref,
    .gather = gather_ref,
};

static const struct ops CPU = {
    .name = "cpu",
    .act = DTYPE_F32,
    .prepare = linear_cpu_prepare,
    .begin = begin_here,
    .embed = embed_ref,
    .rmsnorm = rmsnorm_cpu,
    .add_rmsnorm = add_rmsnorm_cpu,
    .linear = linear_cpu,
    .rope_kv = rope_kv_cpu,
    .attn = attn_cpu,
    .glu = glu_cpu,
    .add = add_cpu,
    .softcap = softcap_cpu,
    .gather = gather_ref,
};

const struct ops *ops_ref(void)
{
    return &REF;
}

const struct ops *ops_cpu(void)
{
    return &CPU;
}
