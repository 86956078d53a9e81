/* ptx.h - what emulated PTX keeps for a thread. */
#ifndef KERNELS_EMU_PTX_H
#define KERNELS_EMU_PTX_H

#include "kernels/emu/fiber.h"

/* The copies of a thread that has ended, or was stopped, never land. */
void emu_copies_drop(struct emu_thread *t);

#endif
