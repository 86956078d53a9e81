/* mix.h - spreads the bits of a number: each bit of the result depends on all of them.
 *
 * Not for secrets; for tables and for draws that must be the same everywhere.
 *
 * Source  Steele, Lea and Flood 2014 (SplitMix64's finalizer).
 */
#ifndef BASE_MIX_H
#define BASE_MIX_H

#include <stdint.h>

static inline uint64_t mix64(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

#endif
