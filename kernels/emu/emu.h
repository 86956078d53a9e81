/* emu.h - CUDA's words for g++: the .cu files of kernels/ compile against this with -DCUDA_EMU.
 *
 * A grid is a loop, a block is fibers (fiber.h).  Static shared memory is thread-local and filled
 * with 0xFF before each launch, dynamic shared memory before each block.
 */
#ifndef KERNELS_EMU_EMU_H
#define KERNELS_EMU_EMU_H

#include <stdint.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __shared__      static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

#include "kernels/emu/arith.h"
#include "kernels/emu/atomic.h"
#include "kernels/emu/driver.h"
#include "kernels/emu/fiber.h"
#include "kernels/emu/launch.h"
#include "kernels/emu/runtime.h"
#include "kernels/emu/types.h"
#include "kernels/emu/vector.h"
#include "kernels/emu/warp.h"

#define SHARED_DYNAMIC(type, name) type *const name = (type *)emu_now->block->dynamic

#endif
