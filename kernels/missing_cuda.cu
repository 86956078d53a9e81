/* missing_cuda.cu - stands in for an op that is not in the plug-in and says so.  Its own file takes
 * its place, since this is weak. */
#include "kernels/cuda_stream.cuh"

extern "C" {
#include "kernels/linear.h"
}

extern "C" __attribute__((weak)) int linear_quant_cuda(const struct product *, int, const void *,
                                                       int, struct stream *)
{
    return ERR_UNSUPPORTED;
}
