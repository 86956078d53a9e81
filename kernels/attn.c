/* attn.c - which shapes and dtypes attention is made for. */
#include "kernels/attn.h"

#include "base/err.h"

int attn_check(const struct kv_layer *kv, const struct attn_shape *a)
{
    if (a->H <= 0 || a->HK <= 0 || a->H % a->HK || a->HD <= 0 || a->HD > ATTN_MAX_HD)
        return ERR_ARG;
    if (a->window < 0 || !(a->softcap >= 0)) return ERR_ARG;
    if (a->q_step && a->q_step < a->H * a->HD) return ERR_ARG;
    return dtype_is_float(kv->dtype) || kv->dtype == DTYPE_FP8 ? ERR_OK : ERR_UNSUPPORTED;
}
