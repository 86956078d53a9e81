/* stack.h - stacks to run threads on, and the switch from one to another.
 *
 * A stack is mapped once and used again; under each lies a page that must not be touched.  On
 * x86-64 a switch saves the registers that a call keeps (the signal mask stays), elsewhere it is
 * swapcontext.  AddressSanitizer and ThreadSanitizer are told of each switch.
 *
 * Ownership  a fiber belongs to the emu_stacks that gave it.
 */
#ifndef KERNELS_EMU_STACK_H
#define KERNELS_EMU_STACK_H

#include <stddef.h>
#include <ucontext.h>

#include "kernels/emu/fiber.h"

#define EMU_MAX_STACKS 1032

/* At the upper end of a stack (fiber.h finds it there). */
struct emu_head {
    struct emu_thread *thread; /* that runs on it */
};

struct emu_fiber {
    void *sp;
    ucontext_t *context; /* where there is no switch of our own */
    char *bottom;        /* above the page that must not be touched */
    size_t bytes;
    void *fake;   /* AddressSanitizer's */
    void *shadow; /* ThreadSanitizer's */
};

struct emu_stacks {
    char *mapped, *base;
    struct emu_fiber fibers[EMU_MAX_STACKS];
    struct emu_fiber *free[EMU_MAX_STACKS];
    int n_made, n_free;
};

static inline struct emu_head *emu_fiber_head(struct emu_fiber *f)
{
    return (struct emu_head *)(void *)(f->bottom + f->bytes);
}

/* A fiber that runs emu_fiber_main when it is first switched to. */
struct emu_fiber *emu_stacks_take(struct emu_stacks *s);
void emu_stacks_give(struct emu_stacks *s, struct emu_fiber *f);
/* After a fault: whatever the fibers were doing is dropped. */
void emu_stacks_forget(struct emu_stacks *s);
void emu_stacks_fini(struct emu_stacks *s);

/* The stack that this thread runs on now. */
void emu_fiber_host(struct emu_fiber *f);

void emu_fiber_switch(struct emu_fiber *from, struct emu_fiber *to);

/* In fiber.cpp; never returns. */
void emu_fiber_main(void);

#endif
