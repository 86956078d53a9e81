/* panel.h - sixteen rows of a quantised weight, unpacked to bytes that stand as a dot product of
 * sixteen lanes wants them.
 *
 * A panel is a run of up to PANEL_BLOCKS blocks of 32 numbers.  Number 4*g + i of block b in row r
 * is scale * (q[b][g][r][i] - offset) - min, where
 *
 *   offset  of the dtype: 128 for Q8_0, 8 for Q4_0, 0 for Q4_K, 32 for Q6_K
 *   scale   [b][h][r]  of the half h of the block; both are the same but for Q6_K
 *   min     [b][r]     Q4_K only
 *
 * It is made in the first-level cache, used for all tokens of a piece, and gone.
 *
 * Threads  any; the panel is the caller's.
 */
#ifndef KERNELS_PANEL_H
#define KERNELS_PANEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

#define PANEL_ROWS   16
#define PANEL_BLOCKS 32

struct panel {
    _Alignas(64) uint32_t q[PANEL_BLOCKS][8][PANEL_ROWS]; /* four bytes each */
    float scale[PANEL_BLOCKS][2][PANEL_ROWS];
    float min[PANEL_BLOCKS][PANEL_ROWS];
};

static inline int panel_offset(enum dtype d)
{
    return d == DTYPE_Q8_0 ? 128 : d == DTYPE_Q4_0 ? 8 : d == DTYPE_Q4_K ? 0 : 32;
}

/* Blocks [0, n) of 32 numbers of the rows, which are whole blocks of the dtype.  ahead: from a row
 * to what will be read next there. */
void panel_unpack(struct panel *p, const char *const row[PANEL_ROWS], enum dtype d, int n,
                  ptrdiff_t ahead);

#endif
