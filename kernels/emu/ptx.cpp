/* ptx.cpp - copies that land late. */
#include "kernels/emu/ptx.h"

#include <stdlib.h>

struct emu_copies {
    int n;
};

void emu_copies_drop(struct emu_thread *t)
{
    free(t->copies);
    t->copies = NULL;
}
