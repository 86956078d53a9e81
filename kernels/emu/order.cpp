/* order.cpp - orders of threads and blocks. */
#include "kernels/emu/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void emu_order_init(struct emu_order *o)
{
    const char *name = getenv("EMU_ORDER");

    memset(o, 0, sizeof *o);
    if (!name || !*name || !strcmp(name, "forward")) return;
    if (!strcmp(name, "reverse")) {
        o->kind = EMU_REVERSE;
        return;
    }
    if (strncmp(name, "random:", 7)) {
        fprintf(stderr, "emu: EMU_ORDER=%s is not forward, reverse or random:SEED\n", name);
        abort();
    }
    o->kind = EMU_RANDOM;
    o->state = strtoull(name + 7, NULL, 10) * 0x9E3779B97F4A7C15u + 1;
}

/* splitmix64 */
static uint64_t random_next(struct emu_order *o)
{
    uint64_t x = o->state += 0x9E3779B97F4A7C15u;

    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

unsigned emu_order_random(struct emu_order *o, unsigned n)
{
    return (unsigned)((random_next(o) >> 32) * n >> 32);
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
    while (b) {
        const uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

uint64_t emu_order_block(struct emu_order *o, uint64_t i, uint64_t n)
{
    if (o->kind == EMU_FORWARD) return i;
    if (o->kind == EMU_REVERSE) return n - 1 - i;
    if (i == 0) {
        o->first = random_next(o) % n;
        do
            o->stride = random_next(o) % n | 1u;
        while (divisor(o->stride, n) != 1);
    }
    return (uint64_t)(((unsigned __int128)i * o->stride + o->first) % n);
}
