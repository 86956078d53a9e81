/* stack.cpp - mapped stacks and the switch between them. */
#include "kernels/emu/stack.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif
#define GUARD_BYTES 4096u
#define MAP_BYTES   (EMU_STACK_BYTES * (EMU_MAX_STACKS + 1))

#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
extern "C" void emu_swap(void **save, void *load) __attribute__((visibility("hidden")));

/* Saves what a call must keep on this stack, goes to the other, takes the same from there. */
asm(".text\n"
    ".p2align 4\n"
    ".hidden emu_swap\n"
    ".globl emu_swap\n"
    ".type emu_swap, @function\n"
    "emu_swap:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    retq\n"
    ".size emu_swap, . - emu_swap\n");
#endif

/* Tells AddressSanitizer on which stack we have landed, then goes to work. */
static void fiber_entry(void)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    emu_fiber_main();
}

/* Stacks begin at different places within a page, else they all would share a few cache lines. */
static size_t stagger(int i)
{
    return (size_t)(i * 7 % 32) * 128;
}

static void fiber_make(struct emu_fiber *f, char *slot, int i)
{
    f->bottom = slot + GUARD_BYTES;
    f->bytes = EMU_STACK_BYTES - GUARD_BYTES - EMU_HEAD_BYTES;
    f->fake = NULL;
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
    void **sp = (void **)(f->bottom + f->bytes - stagger(i) - 72);

    memset(sp, 0, 72); /* at its entry a function finds rsp 8 over a multiple of 16 */
    sp[0] = NULL;      /* where fiber_entry would return to; it does not */
    *--sp = (void *)fiber_entry;
    f->sp = sp - 6;
    memset(f->sp, 0, 6 * sizeof(void *));
#else
    if (!f->context) f->context = (ucontext_t *)calloc(1, sizeof *f->context);
    if (!f->context || getcontext(f->context)) abort();
    f->context->uc_stack.ss_sp = f->bottom;
    f->context->uc_stack.ss_size = f->bytes - stagger(i);
    makecontext(f->context, fiber_entry, 0);
#endif
}

static void stacks_map(struct emu_stacks *s)
{
    void *p = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (p == MAP_FAILED) {
        fprintf(stderr, "emu: no memory for %d stacks\n", EMU_MAX_STACKS);
        abort();
    }
    s->mapped = (char *)p;
    s->base = s->mapped + (-(uintptr_t)p & (EMU_STACK_BYTES - 1));
}

static char *slot_at(const struct emu_stacks *s, int i)
{
    return s->base + (size_t)i * EMU_STACK_BYTES;
}

struct emu_fiber *emu_stacks_take(struct emu_stacks *s)
{
    if (s->n_free) return s->free[--s->n_free];
    if (!s->base) stacks_map(s);
    if (s->n_made == EMU_MAX_STACKS) abort();
    const int i = s->n_made++;

    if (mprotect(slot_at(s, i), GUARD_BYTES, PROT_NONE)) abort();
    fiber_make(&s->fibers[i], slot_at(s, i), i);
    return &s->fibers[i];
}

void emu_stacks_give(struct emu_stacks *s, struct emu_fiber *f)
{
    s->free[s->n_free++] = f;
}

void emu_stacks_forget(struct emu_stacks *s)
{
    s->n_free = 0;
    for (int i = s->n_made - 1; i >= 0; i--) {
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(s->fibers[i].bottom, s->fibers[i].bytes);
#endif
        fiber_make(&s->fibers[i], slot_at(s, i), i);
        s->free[s->n_free++] = &s->fibers[i];
    }
}

void emu_stacks_fini(struct emu_stacks *s)
{
    for (int i = 0; i < s->n_made; i++) {
#if defined(__SANITIZE_THREAD__)
        if (s->fibers[i].shadow) __tsan_destroy_fiber(s->fibers[i].shadow);
#endif
        free(s->fibers[i].context);
    }
    if (s->mapped) munmap(s->mapped, MAP_BYTES);
}

void emu_fiber_host(struct emu_fiber *f)
{
#if defined(__SANITIZE_ADDRESS__)
    pthread_attr_t attr;
    void *bottom;

    if (f->bottom) return;
    if (pthread_getattr_np(pthread_self(), &attr)) abort();
    pthread_attr_getstack(&attr, &bottom, &f->bytes);
    pthread_attr_destroy(&attr);
    f->bottom = (char *)bottom;
#else
    (void)f;
#endif
#if defined(__SANITIZE_THREAD__)
    f->shadow = __tsan_get_current_fiber();
#endif
}

void emu_fiber_switch(struct emu_fiber *from, struct emu_fiber *to)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    if (!to->shadow) to->shadow = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(to->shadow, 0);
#endif
#if defined(__x86_64__) && !defined(EMU_UCONTEXT)
    emu_swap(&from->sp, to->sp);
#else
    if (!from->context) from->context = (ucontext_t *)calloc(1, sizeof *from->context);
    if (!from->context) abort();
    swapcontext(from->context, to->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#endif
}
