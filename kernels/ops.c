/* ops.c - the tables of ops: the reference and the CPU. */
#include "kernels/ops.h"

#include "kernels/add.h"
#include "kernels/attn.h"
#include "kernels/embed.h"
#include "kernels/gather.h"
#include "kernels/linear.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope_kv.h"
#include "kernels/swiglu.h"

static const struct ops REF = {
    .name = "ref",
    .act = DTYPE_F32,
    .embed = embed_ref,
    .rmsnorm = rmsnorm_ref,
    .linear = linear_ref,
    .rope_kv = rope_kv_ref,
    .attn = attn_ref,
    .swiglu = swiglu_ref,
    .add = add_ref,
    .gather = gather_ref,
};

static const struct ops CPU = {
    .name = "cpu",
    .act = DTYPE_F32,
    .embed = embed_ref,
    .rmsnorm = rmsnorm_cpu,
    .linear = linear_cpu,
    .rope_kv = rope_kv_cpu,
    .attn = attn_cpu,
    .swiglu = swiglu_cpu,
    .add = add_ref,
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
