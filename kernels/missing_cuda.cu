/* missing_cuda.cu - stands in for ops that are not in the plug-in: each says so.  An op's own file
 * takes its place, since these are weak. */
#include "kernels/cuda_stream.cuh"

extern "C" {
#include "kernels/linear.h"
#include "kernels/missing_cuda.h"
}

#define WEAK __attribute__((weak))

extern "C" WEAK int step_begin(struct ragged *, const struct ragged *, struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int convert_cuda(const struct weight *, const struct weight *, struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int embed_cuda(void *, const struct weight *, float, const struct ragged *,
                               struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int rmsnorm_cuda(void *, const void *, const float *, int, int, float,
                                 struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int add_rmsnorm_cuda(void *, void *, const void *, const float *, int, int, float,
                                     struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int linear_quant_cuda(const struct product *, int, const void *, int,
                                      struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int rope_kv_cuda(void *, void *, const void *, const struct kv_layer *,
                                 const struct ragged *, const struct rope_shape *, struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int attn_cuda(void *, const void *, const struct kv_layer *, const struct ragged *,
                              const struct attn_shape *, struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int glu_cuda(void *, const void *, const void *, int, int, int, enum glu,
                             struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int add_cuda(void *, const void *, int, int, struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int softcap_cuda(float *, int, int, float, struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int gather_cuda(void *, const void *, const struct ragged *, int, struct stream *)
{
    return ERR_UNSUPPORTED;
}

extern "C" WEAK int choose_cuda(struct choice *, float *, const struct wish *, int, int,
                                struct stream *)
{
    return ERR_UNSUPPORTED;
}

WEAK int step_open(struct stream *)
{
    return ERR_OK;
}

WEAK void step_close(struct stream *)
{
}

WEAK int choose_open(struct stream *)
{
    return ERR_OK;
}

WEAK void choose_close(struct stream *)
{
}

WEAK int choose_waited(struct stream *)
{
    return ERR_OK;
}
struct attn_plan;
WEAK int attn_prefill_launch(void *, const void *, const struct kv_layer *, const struct ragged *,
                             const struct attn_shape *, const struct attn_plan *, struct stream *)
{
    return ERR_OK;
}
