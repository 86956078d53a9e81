/* shared.h - static shared memory, which is the thread-local memory of this program or library that
 * begins as zeros.
 *
 * What is thread-local and must last beside it (the emulation's own) begins as something else.
 */
#ifndef KERNELS_EMU_SHARED_H
#define KERNELS_EMU_SHARED_H

/* This thread's static shared memory of all kernels becomes 0xFF: what no kernel may count on. */
void emu_shared_fill(void);

#endif
