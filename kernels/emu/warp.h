/* warp.h - shuffles, votes and sums of the lanes of a warp.
 *
 * Each is a meeting (fiber.h, F2): the last lane that comes works for all.  A lane that a shuffle
 * reads must be one of the mask; a source outside the segment of `width` lanes gives back the own
 * value, as on the device.
 */
#ifndef KERNELS_EMU_WARP_H
#define KERNELS_EMU_WARP_H

#include <string.h>

#include "kernels/emu/fiber.h"

struct emu_lane {
    uint64_t in, out; /* the value's bits */
    int from;         /* the lane to read */
};

static inline void emu_act_shuffle(void **args, unsigned mask)
{
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1u)) continue;
        struct emu_lane *me = (struct emu_lane *)args[lane];

        if (!(mask >> me->from & 1u))
            emu_fault(719, "a shuffle reads lane %d, which the mask 0x%08x does not name", me->from,
                      mask);
        me->out = ((const struct emu_lane *)args[me->from])->in;
    }
}

template <class T> static inline T emu_shuffle(unsigned mask, T value, int from, const char *what)
{
    struct emu_lane lane = {0, 0, from};
    T out;

    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    memcpy(&lane.in, &value, sizeof value);
    emu_meet(mask, what, &lane, emu_act_shuffle);
    memcpy((void *)&out, &lane.out, sizeof out);
    return out;
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int from, int width = warpSize)
{
    const int base = emu_now->lane & ~(width - 1);

    return emu_shuffle(mask, value, base + (from & (width - 1)), "__shfl_sync");
}

template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize)
{
    const int lane = emu_now->lane, base = lane & ~(width - 1), from = lane - (int)delta;

    return emu_shuffle(mask, value, from < base ? lane : from, "__shfl_up_sync");
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize)
{
    const int lane = emu_now->lane, last = lane | (width - 1), from = lane + (int)delta;

    return emu_shuffle(mask, value, from > last ? lane : from, "__shfl_down_sync");
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize)
{
    const int lane = emu_now->lane, last = lane | (width - 1), from = lane ^ bits;

    return emu_shuffle(mask, value, from > last ? lane : from, "__shfl_xor_sync");
}

/* What a reduction makes of all lanes' values, for each of them. */
template <class T, class F> static inline void emu_reduce(void **args, unsigned mask, F join)
{
    T all{};
    int n = 0;

    for (int lane = 0; lane < 32; lane++) {
        T value;

        if (!(mask >> lane & 1u)) continue;
        memcpy(&value, &((struct emu_lane *)args[lane])->in, sizeof value);
        all = n++ ? join(all, value) : value;
    }
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1u) memcpy(&((struct emu_lane *)args[lane])->out, &all, sizeof all);
}

template <class T>
static inline T emu_reduced(unsigned mask, T value, const char *what,
                            void (*act)(void **, unsigned))
{
    struct emu_lane lane = {0, 0, 0};
    T out;

    memcpy(&lane.in, &value, sizeof value);
    emu_meet(mask, what, &lane, act);
    memcpy(&out, &lane.out, sizeof out);
    return out;
}

#define EMU_REDUCE(name, T, expression)                                                            \
    static inline T name(unsigned mask, T value)                                                   \
    {                                                                                              \
        return emu_reduced<T>(mask, value, #name, [](void **args, unsigned lanes) {                \
            emu_reduce<T>(args, lanes, [](T a, T b) { return (T)(expression); });                  \
        });                                                                                        \
    }
EMU_REDUCE(__reduce_add_sync, unsigned, a + b)
EMU_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
EMU_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
EMU_REDUCE(__reduce_and_sync, unsigned, a &b)
EMU_REDUCE(__reduce_or_sync, unsigned, a | b)
EMU_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
EMU_REDUCE(__reduce_add_sync, int, (unsigned)a + (unsigned)b)
EMU_REDUCE(__reduce_min_sync, int, a < b ? a : b)
EMU_REDUCE(__reduce_max_sync, int, a > b ? a : b)
#undef EMU_REDUCE

static inline void emu_act_ballot(void **args, unsigned mask)
{
    uint64_t votes = 0;

    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1u)
            votes |= (((struct emu_lane *)args[lane])->in != 0 ? 1ull : 0) << lane;
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1u) ((struct emu_lane *)args[lane])->out = votes;
}

static inline unsigned __ballot_sync(unsigned mask, int vote)
{
    return emu_reduced<unsigned>(mask, vote != 0, "__ballot_sync", emu_act_ballot);
}

static inline int __any_sync(unsigned mask, int vote)
{
    return emu_reduced<unsigned>(mask, vote != 0, "__any_sync", emu_act_ballot) != 0;
}

static inline int __all_sync(unsigned mask, int vote)
{
    return emu_reduced<unsigned>(mask, vote != 0, "__all_sync", emu_act_ballot) == mask;
}

static inline void emu_act_match(void **args, unsigned mask)
{
    for (int lane = 0; lane < 32; lane++) {
        struct emu_lane *me = (struct emu_lane *)args[lane];

        for (int k = 0; k < 32 && mask >> lane & 1u; k++)
            if (mask >> k & 1u && ((struct emu_lane *)args[k])->in == me->in) me->out |= 1ull << k;
    }
}

template <class T> static inline unsigned __match_any_sync(unsigned mask, T value)
{
    struct emu_lane lane = {0, 0, 0};

    static_assert(sizeof(T) <= 8, "a match compares at most 8 bytes");
    memcpy(&lane.in, &value, sizeof value);
    emu_meet(mask, "__match_any_sync", &lane, emu_act_match);
    return (unsigned)lane.out;
}

static inline void emu_act_nothing(void **, unsigned)
{
}

static inline void __syncwarp(unsigned mask = 0xFFFFFFFFu)
{
    const int n = (int)(blockDim.x * blockDim.y * blockDim.z) - (emu_now->id - emu_now->lane);

    /* Unlike a shuffle it may name lanes that the block does not have. */
    if (n < 32) mask &= (1u << n) - 1u;
    emu_meet(mask, "__syncwarp", NULL, emu_act_nothing);
}

/* The lanes that have not left. */
static inline unsigned __activemask(void)
{
    const int n = (int)(blockDim.x * blockDim.y * blockDim.z) - (emu_now->id - emu_now->lane);

    return (n < 32 ? (1u << n) - 1u : 0xFFFFFFFFu) & ~emu_lanes_ended();
}

#endif
