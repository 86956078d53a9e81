/* driver.cpp - the emulated driver's green contexts. */
#include "kernels/emu/driver.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/emu/card.h"

#define STEP 2u

struct CUdevResourceDesc_st {
    unsigned n_sm;
};

struct CUgreenCtx_st {
    unsigned n_sm;
    CUdevice device;
};

static CUresult device_resource(CUdevice device, CUdevResource *out, CUdevResourceType type)
{
    const struct emu_card c = emu_card_read();

    if (device < 0 || device >= c.n_devices) return CUDA_ERROR_INVALID_DEVICE;
    if (type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_VALUE;
    *out = {type, {(unsigned)c.n_sm, STEP, STEP}};
    return CUDA_SUCCESS;
}

static CUresult split(CUdevResource *out, unsigned *n, const CUdevResource *all,
                      CUdevResource *rest, unsigned, unsigned least)
{
    const unsigned each = least ? (least + STEP - 1) / STEP * STEP : STEP;
    unsigned most = all->sm.smCount / each;

    if (least > all->sm.smCount) return CUDA_ERROR_INVALID_VALUE;
    if (out && *n < most) most = *n;
    for (unsigned i = 0; out && i < most; i++)
        out[i] = {CU_DEV_RESOURCE_TYPE_SM, {each, STEP, STEP}};
    *n = most;
    if (rest) {
        const unsigned left = all->sm.smCount - most * each;

        *rest = {left ? CU_DEV_RESOURCE_TYPE_SM : CU_DEV_RESOURCE_TYPE_INVALID, {left, STEP, STEP}};
    }
    return CUDA_SUCCESS;
}

/* Freed by the context that is made of it. */
static CUresult descriptor(CUdevResourceDesc *out, CUdevResource *groups, unsigned n)
{
    *out = (CUdevResourceDesc)calloc(1, sizeof **out);
    if (!*out) return CUDA_ERROR_OUT_OF_MEMORY;
    for (unsigned i = 0; i < n; i++)
        (*out)->n_sm += groups[i].sm.smCount;
    return CUDA_SUCCESS;
}

static CUresult context(CUgreenCtx *out, CUdevResourceDesc d, CUdevice device, unsigned flags)
{
    *out = NULL;
    if (!(flags & CU_GREEN_CTX_DEFAULT_STREAM) || !d->n_sm) return CUDA_ERROR_INVALID_VALUE;
    *out = (CUgreenCtx)calloc(1, sizeof **out);
    if (!*out) return CUDA_ERROR_OUT_OF_MEMORY;
    **out = {d->n_sm, device};
    free(d);
    return CUDA_SUCCESS;
}

static CUresult stream(CUstream *out, CUgreenCtx, unsigned flags, int priority)
{
    if (flags != CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    return (CUresult)cudaStreamCreateWithPriority(out, flags, priority);
}

static CUresult destroy(CUgreenCtx c)
{
    free(c);
    return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **fn, unsigned,
                                             unsigned long long,
                                             enum cudaDriverEntryPointQueryResult *found)
{
    static const struct {
        const char *name;
        void *fn;
    } FUNCTIONS[] = {{"cuDeviceGetDevResource", (void *)device_resource},
                     {"cuDevSmResourceSplitByCount", (void *)split},
                     {"cuDevResourceGenerateDesc", (void *)descriptor},
                     {"cuGreenCtxCreate", (void *)context},
                     {"cuGreenCtxStreamCreate", (void *)stream},
                     {"cuGreenCtxDestroy", (void *)destroy}};

    *fn = NULL;
    for (const auto &f : FUNCTIONS)
        if (!strcmp(f.name, symbol)) *fn = f.fn;
    *found = *fn ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return emu_error(0);
}
