/* order.h - which thread and which block comes first: EMU_ORDER=forward|reverse|random:SEED. */
#ifndef KERNELS_EMU_ORDER_H
#define KERNELS_EMU_ORDER_H

#include <stdint.h>

enum emu_order_kind { EMU_FORWARD, EMU_REVERSE, EMU_RANDOM };

struct emu_order {
    enum emu_order_kind kind;
    uint64_t state;         /* of the random numbers */
    uint64_t stride, first; /* random blocks: first + i * stride, modulo their number */
};

/* As the environment says now; an order that is not known ends the program. */
void emu_order_init(struct emu_order *o);

/* 0 .. n - 1. */
unsigned emu_order_random(struct emu_order *o, unsigned n);

/* The block that comes i-th of n; each comes once. */
uint64_t emu_order_block(struct emu_order *o, uint64_t i, uint64_t n);

#endif
