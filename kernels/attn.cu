/* attn.cu - attention of a step on CUDA: the splits of its plan, then the tiles. */
#include "kernels/attn_cuda.cuh"

extern "C" int attn_cuda(void *o, const void *q, const struct kv_layer *kv, const struct ragged *r,
                         const struct attn_shape *a, struct stream *s)
{
    const struct attn_plan *plan = step_plan(s);
    int rc = attn_check(kv, a);

    if (rc || r->T == 0) return rc;
    if (!plan || !r->plan) return ERR_ARG;
    rc = attn_decode_launch(o, q, kv, r, a, plan, s);
    return rc ? rc : attn_prefill_launch(o, q, kv, r, a, plan, s);
}
