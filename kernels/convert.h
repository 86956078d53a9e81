/* convert.h - a weight in another dtype.
 *
 *   to[n][k] = the nearest number of to's dtype to from[n][k]
 *   fp8, int8: to->scales[n] = max_k |from[n][k]| / largest, and what is stored is from / scale
 *              (kernels/scaled.h)
 *
 *   from, to  [N][K], rows at row_bytes; not the same memory, but where the dtype is the same and
 *             nothing moves.  A weight of the same dtype is copied, blocks too, scales with it.
 *
 * convert_ref is the meaning; convert_cuda gives the same bits but for a NaN's.
 *
 * Bound   memory: N*K numbers read, once for a copy, twice for fp8 and int8, and written once.
 * Errors  ERR_ARG if the extents differ, N < 0, K <= 0 or no whole blocks, or scales are missing;
 *         ERR_UNSUPPORTED for a dtype that is neither of the same nor from a float to a float, fp8
 *         or int8.
 */
#ifndef KERNELS_CONVERT_H
#define KERNELS_CONVERT_H

#include "base/err.h"
#include "kernels/ops.h"

int convert_ref(const struct weight *to, const struct weight *from, struct stream *s);
int convert_cuda(const struct weight *to, const struct weight *from, struct stream *s);

/* The errors above, for both. */
static inline int convert_check(const struct weight *to, const struct weight *from)
{
    if (to->N != from->N || to->K != from->K || to->N < 0 || to->K <= 0) return ERR_ARG;
    if (to->K % dtype_block(to->dtype)) return ERR_ARG;
    if (dtype_is_scaled(to->dtype) && (!to->scales || (to->dtype == from->dtype && !from->scales)))
        return ERR_ARG;
    if (to->dtype == from->dtype) return ERR_OK;
    return dtype_is_float(from->dtype) && (dtype_is_float(to->dtype) || dtype_is_scaled(to->dtype))
               ? ERR_OK
               : ERR_UNSUPPORTED;
}

#endif
