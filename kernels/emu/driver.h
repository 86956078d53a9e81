/* driver.h - the part of the CUDA driver that makes green contexts, found by name as on a device.
 *
 * Multiprocessors are numbers: a part has as many as it was made of, and work runs as anywhere.
 * The groups of a split come by twos, and what is left of an odd number is the rest.
 *
 * Source  CUDA Driver API 13.0 (functions, meanings), cuda.h (numbers).
 */
#ifndef KERNELS_EMU_DRIVER_H
#define KERNELS_EMU_DRIVER_H

#include "kernels/emu/runtime.h"

typedef int CUdevice;
typedef struct CUstream_st *CUstream;
typedef struct CUgreenCtx_st *CUgreenCtx;
typedef struct CUdevResourceDesc_st *CUdevResourceDesc;

enum CUresult {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_INVALID_DEVICE = 101,
};
enum CUdevResourceType { CU_DEV_RESOURCE_TYPE_INVALID = 0, CU_DEV_RESOURCE_TYPE_SM = 1 };
#define CU_GREEN_CTX_DEFAULT_STREAM 1u
#define CU_STREAM_NON_BLOCKING      1u

struct CUdevResource {
    CUdevResourceType type;
    struct {
        unsigned smCount, minSmPartitionSize, smCoscheduledAlignment;
    } sm;
};

enum cudaDriverEntryPointQueryResult {
    cudaDriverEntryPointSuccess = 0,
    cudaDriverEntryPointSymbolNotFound = 1,
};
#define cudaEnableDefault 0

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **fn, unsigned version,
                                             unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *found);

#endif
