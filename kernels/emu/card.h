/* card.h - the made-up card, and the state of its devices.
 *
 *   EMU_DEVICES  how many (1)         EMU_SM    multiprocessors of each (8)
 *   EMU_MEMORY   bytes of each (1 GiB) EMU_ARCH  compute capability, as in sm_90 (90)
 *
 * The environment is read at each call, so that a test can change it.
 */
#ifndef KERNELS_EMU_CARD_H
#define KERNELS_EMU_CARD_H

#include "kernels/emu/runtime.h"

#define EMU_MAX_DEVICES 8

struct emu_card {
    int n_devices, n_sm, major, minor;
    size_t memory_bytes;
    size_t shared_bytes, shared_optin_bytes, shared_sm_bytes; /* of a block, raised; of an SM */
    int threads_sm;
};

struct emu_card emu_card_read(void);

/* Leaves the error for cudaGetLastError and returns it; success leaves what was there. */
cudaError_t emu_error(int error);
/* From now on every call gives this error. */
cudaError_t emu_break(int error);
/* The error that stays, or cudaSuccess. */
cudaError_t emu_broken(void);
/* Frees all device memory. */
void emu_memory_reset(void);
/* Work that streams have put off is done. */
void emu_streams_wait(void);
/* Of this thread. */
int emu_device(void);
/* Whether a stream of this thread is under capture (but in relaxed mode): what waits for all work,
 * or may, is then refused, and the capture spoilt. */
bool emu_capture_spoil(void);

#endif
