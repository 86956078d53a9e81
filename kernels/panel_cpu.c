/* panel_cpu.c - sixteen rows of a quantised weight as bytes for a dot product of sixteen lanes.
 *
 * Rows lie along k and a panel stands across, so the work is a transposition, of 32 bytes of each
 * row at a time.  Memory is asked for what comes next meanwhile, row after row, because it is read
 * fastest in order.
 */
#include "kernels/panel.h"
#include "kernels/simd.h"

#define LINE 64 /* bytes that one prefetch brings */

typedef uint32_t bits4 __attribute__((vector_size(16)));
typedef uint32_t bits4_at __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint32_t bits8 __attribute__((vector_size(32)));
typedef uint32_t bits8_at __attribute__((vector_size(32), aligned(1), may_alias));
typedef uint32_t bits_at __attribute__((vector_size(64), aligned(4), may_alias));

/* Asks memory for n_lines of what comes next, the lines from `line` on of what follows row r. */
SIMD_INLINE void ask(const char *const *row, ptrdiff_t ahead, int r, int line, const int n_lines)
{
    const char *from = row[r] + ahead + line * LINE;

#pragma GCC unroll 32
    for (int i = 0; i < n_lines; i++)
        __builtin_prefetch(from + i * LINE);
}

SIMD_INLINE void load_two(vec_bits *out, const char *a, const char *b)
{
    const bits8 x = *(const bits8_at *)a, y = *(const bits8_at *)b;

    *out = VEC_SHUFFLE(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/* Four rows of four words become four words of four rows, in each quarter. */
SIMD_INLINE void turn_quarters(vec_bits *a)
{
    const vec_bits p =
        VEC_SHUFFLE(a[0], a[1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    const vec_bits q =
        VEC_SHUFFLE(a[2], a[3], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    const vec_bits r =
        VEC_SHUFFLE(a[0], a[1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    const vec_bits s =
        VEC_SHUFFLE(a[2], a[3], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);

    a[0] = VEC_SHUFFLE(p, q, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    a[1] = VEC_SHUFFLE(p, q, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    a[2] = VEC_SHUFFLE(r, s, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    a[3] = VEC_SHUFFLE(r, s, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}

/* out[g] = the words 4*g.. of 32 bytes at `at` of the sixteen rows. */
SIMD_INLINE void columns(vec_bits *out, const char *const *row, size_t at, const int level)
{
    vec_bits a[8];

    if (level != SIMD_V4) {
        uint32_t w[8][PANEL_ROWS];

        for (int r = 0; r < PANEL_ROWS; r++)
            for (int g = 0; g < 8; g++)
                memcpy(&w[g][r], row[r] + at + 4 * g, 4);
        memcpy(out, w, sizeof w);
        return;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        load_two(&a[i], row[i] + at, row[i + 4] + at);
        load_two(&a[i + 4], row[i + 8] + at, row[i + 12] + at);
    }
    turn_quarters(a);
    turn_quarters(a + 4);
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        out[g] =
            VEC_SHUFFLE(a[g], a[g + 4], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        out[g + 4] =
            VEC_SHUFFLE(a[g], a[g + 4], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
}

/* out[g] = the words 4*g.. of 16 bytes at `at` of the sixteen rows. */
SIMD_INLINE void short_columns(vec_bits *out, const char *const *row, size_t at, const int level)
{
    if (level != SIMD_V4) {
        uint32_t w[4][PANEL_ROWS];

        for (int r = 0; r < PANEL_ROWS; r++)
            for (int g = 0; g < 4; g++)
                memcpy(&w[g][r], row[r] + at + 4 * g, 4);
        memcpy(out, w, sizeof w);
        return;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const bits4 a = *(const bits4_at *)(row[i] + at), b = *(const bits4_at *)(row[i + 4] + at);
        const bits4 c = *(const bits4_at *)(row[i + 8] + at);
        const bits4 d = *(const bits4_at *)(row[i + 12] + at);
        const bits8 low = VEC_SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
        const bits8 high = VEC_SHUFFLE(c, d, 0, 1, 2, 3, 4, 5, 6, 7);

        out[i] = VEC_SHUFFLE(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
    turn_quarters(out);
}

/* The scales of all blocks.  First they are gathered, all of them, because a vec cannot be loaded
 * at once from halves that were just stored. */
SIMD_INLINE void block_scales(struct panel *p, const char *const *row, int n, size_t block_bytes,
                              ptrdiff_t ahead, const int lines)
{
    uint16_t h[PANEL_BLOCKS][PANEL_ROWS];
    vec_half v;
    vec d;

    for (int r = 0; r < PANEL_ROWS; r++) {
        ask(row, ahead, r, 0, lines);
        for (int b = 0; b < n; b++)
            memcpy(&h[b][r], row[r] + (size_t)b * block_bytes, sizeof h[b][r]);
    }
    for (int b = 0; b < n; b++) {
        memcpy(&v, h[b], sizeof v);
        vec_from_f16(&d, &v);
        vec_store(p->scale[b][0], &d);
    }
}

SIMD_INLINE void put(uint32_t (*to)[PANEL_ROWS], const vec_bits *v)
{
    *(bits_at *)to = *v;
}

/* Byte i of each word, with its sign or without, as floats. */
SIMD_INLINE void byte_of(vec *out, const vec_bits *w, int i, bool is_signed)
{
    const vec_bits top = *w << (24 - 8 * i);

    *out = is_signed ? __builtin_convertvector((vec_int)top >> 24, vec)
                     : __builtin_convertvector((vec_int)(top >> 24), vec);
}

/* A run of 1024 numbers is 17 lines of each row: 9 with the scales, 4 with each of two blocks. */
SIMD_INLINE void unpack_q8_0(struct panel *p, const char *const *row, int n, ptrdiff_t ahead,
                             const int level)
{
    block_scales(p, row, n, 34, ahead, 9);
    for (int b = 0; b < n; b++) {
        vec_bits w[8];

        ask(row, ahead, b / 2, 9 + b % 2 * 4, 4);
        columns(w, row, (size_t)b * 34 + 2, level);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
            w[g] ^= 0x80808080u;
            put(&p->q[b][g], &w[g]);
        }
    }
}

/* 9 lines: 5 with the scales, 2 with each of two blocks. */
SIMD_INLINE void unpack_q4_0(struct panel *p, const char *const *row, int n, ptrdiff_t ahead,
                             const int level)
{
    block_scales(p, row, n, 18, ahead, 5);
    for (int b = 0; b < n; b++) {
        vec_bits w[4], low, high;

        ask(row, ahead, b / 2, 5 + b % 2 * 2, 2);
        short_columns(w, row, (size_t)b * 18 + 2, level);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            low = w[g] & 0x0F0F0F0Fu;
            high = w[g] >> 4 & 0x0F0F0F0Fu;
            put(&p->q[b][g], &low);
            put(&p->q[b][g + 4], &high);
        }
    }
}

/* The scales and minimums of eight blocks: as quant_scale_min, four bytes at a time. */
SIMD_INLINE void scales_q4_k(struct panel *p, const char *const *row, int b, const int level)
{
    vec_bits w[4], s[4], h;
    vec d, dmin, f;

    short_columns(w, row, (size_t)b / 8 * 144, level); /* d and dmin, twelve bytes */
    h = w[0] & 0xFFFFu;
    vec_from_f16_bits(&d, &h);
    h = w[0] >> 16;
    vec_from_f16_bits(&dmin, &h);
    s[0] = w[1] & 0x3F3F3F3Fu;
    s[1] = (w[3] & 0x0F0F0F0Fu) | (w[1] >> 2 & 0x30303030u);
    s[2] = w[2] & 0x3F3F3F3Fu;
    s[3] = (w[3] >> 4 & 0x0F0F0F0Fu) | (w[2] >> 2 & 0x30303030u);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        byte_of(&f, &s[j / 4], j % 4, false);
        f *= d;
        vec_store(p->scale[b + j][0], &f);
        byte_of(&f, &s[2 + j / 4], j % 4, false);
        f *= dmin;
        vec_store(p->min[b + j], &f);
    }
}

/* 9 lines: a row with each pair of blocks, 16 of both.  The first-level cache alone waits for too
 * few lines at once to keep memory busy, so the second is told of the sixteen rows after next. */
SIMD_INLINE void unpack_q4_k(struct panel *p, const char *const *row, int n, ptrdiff_t ahead,
                             const int level)
{
    const ptrdiff_t after_next = PANEL_ROWS * (row[1] - row[0]);

    for (int b = 0; b < n; b += 2) {
        vec_bits w[8], low, high;

        ask(row, ahead, b / 2, 0, 9);
#pragma GCC unroll 9
        for (int i = 0; i < 9; i++)
            __builtin_prefetch(row[b / 2] + ahead + after_next + i * LINE, 0, 2);
        if (b % 8 == 0) scales_q4_k(p, row, b, level);
        columns(w, row, (size_t)b / 8 * 144 + 16 + (size_t)(b % 8) * 16, level);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
            low = w[g] & 0x0F0F0F0Fu;
            high = w[g] >> 4 & 0x0F0F0F0Fu;
            put(&p->q[b][g], &low);
            put(&p->q[b + 1][g], &high);
        }
    }
}

SIMD_INLINE void scales_q6_k(struct panel *p, const char *const *row, int b, const int level)
{
    const size_t at = (size_t)b / 8 * 210;
    vec_bits w[4], h;
    vec d, f;

    short_columns(w, row, at + 194, level); /* the block's end, for its last two bytes */
    h = w[3] >> 16;
    vec_from_f16_bits(&d, &h);
    short_columns(w, row, at + 192, level);
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++) {
        byte_of(&f, &w[j / 4], j % 4, true);
        f *= d;
        vec_store(p->scale[b + j / 2][j % 2], &f);
    }
}

/* Four blocks at a time: two of low halves, two of high ones, and two bits of each in `top`.  14
 * lines: two rows with each four blocks. */
SIMD_INLINE void unpack_q6_k(struct panel *p, const char *const *row, int n, ptrdiff_t ahead,
                             const int level)
{
    for (int b = 0; b < n; b += 4) {
        const size_t at = (size_t)b / 8 * 210, part = (size_t)b % 8 / 4;
        vec_bits w[8], top[8], q;

        ask(row, ahead, b / 2, 0, 14);
        ask(row, ahead, b / 2 + 1, 0, 14);
        if (b % 8 == 0) scales_q6_k(p, row, b, level);
        columns(top, row, at + 128 + part * 32, level);
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            columns(w, row, at + part * 64 + (size_t)i * 32, level);
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++) {
                q = (w[g] & 0x0F0F0F0Fu) | (top[g] << (4 - 2 * i) & 0x30303030u);
                put(&p->q[b + i][g], &q);
                q = (w[g] >> 4 & 0x0F0F0F0Fu) | (top[g] >> (2 * i) & 0x30303030u);
                put(&p->q[b + i + 2][g], &q);
            }
        }
    }
}

SIMD_INLINE void unpack_body(struct panel *p, const char *const *row, enum dtype d, int n,
                             ptrdiff_t ahead, const int level)
{
    if (d == DTYPE_Q8_0) unpack_q8_0(p, row, n, ahead, level);
    if (d == DTYPE_Q4_0) unpack_q4_0(p, row, n, ahead, level);
    if (d == DTYPE_Q4_K) unpack_q4_k(p, row, n, ahead, level);
    if (d == DTYPE_Q6_K) unpack_q6_k(p, row, n, ahead, level);
}

SIMD_CLONES(unpack,
            (struct panel * p, const char *const *row, enum dtype d, int n, ptrdiff_t ahead),
            (p, row, d, n, ahead, LEVEL))

void panel_unpack(struct panel *p, const char *const row[PANEL_ROWS], enum dtype d, int n,
                  ptrdiff_t ahead)
{
    SIMD_PICK(unpack)(p, row, d, n, ahead);
}
