/* panel_cpu.c - sixteen rows of a quantised weight as bytes for a dot product of sixteen lanes.
 *
 * Rows lie along k and a panel stands across, so the work is a transposition, of 32 bytes of each
 * row at a time.  Memory is asked for what comes next meanwhile, row after row, because it is read
 * fastest in order.
 */
#include "kernels/panel.h"
#include "kernels/simd.h"

#define LINE 64 /* bytes that one prefetch brings */

typedef uint32_t bits8 __attribute__((vector_size(32)));
typedef uint32_t bits8_at __attribute__((vector_size(32), aligned(1), may_alias));
typedef uint32_t bits_at __attribute__((vector_size(64), aligned(4), may_alias));

/* What memory is asked for while a run is unpacked: the bytes of each row that come next. */
struct ahead {
    const char *const *row;
    ptrdiff_t ahead;
    size_t bytes; /* of a row */
    size_t r, at; /* the next ones */
};

/* As many bytes as are unpacked meanwhile, rounded up; at a row's end somewhat less. */
SIMD_INLINE void ask(struct ahead *a, const size_t n_bytes)
{
    const char *from = a->row[a->r] + a->ahead + a->at;

#pragma GCC unroll 32
    for (size_t i = 0; i < n_bytes; i += LINE)
        __builtin_prefetch(from + i);
    a->at += n_bytes;
    for (; a->at >= a->bytes && a->r < PANEL_ROWS - 1; a->r++)
        a->at -= a->bytes;
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

/* The f16 at `at` of the sixteen rows. */
SIMD_INLINE void halves(vec *out, const char *const *row, size_t at)
{
    uint16_t h[PANEL_ROWS];
    vec_half v;

    for (int r = 0; r < PANEL_ROWS; r++)
        memcpy(&h[r], row[r] + at, sizeof h[r]);
    memcpy(&v, h, sizeof v);
    vec_from_f16(out, &v);
}

SIMD_INLINE void words(vec_bits *out, const char *const *row, size_t at)
{
    uint32_t w[PANEL_ROWS];

    for (int r = 0; r < PANEL_ROWS; r++)
        memcpy(&w[r], row[r] + at, sizeof w[r]);
    memcpy(out, w, sizeof w);
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

SIMD_INLINE void unpack_q8_0(struct panel *p, const char *const *row, int n, struct ahead *a,
                             const int level)
{
    for (int b = 0; b < n; b++) {
        vec_bits w[8];
        vec d;

        ask(a, 34 * PANEL_ROWS);
        columns(w, row, (size_t)b * 34 + 2, level);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
            w[g] ^= 0x80808080u;
            put(&p->q[b][g], &w[g]);
        }
        halves(&d, row, (size_t)b * 34);
        vec_store(p->scale[b][0], &d);
    }
}

/* Only half of what columns brings belongs to the block. */
SIMD_INLINE void unpack_q4_0(struct panel *p, const char *const *row, int n, struct ahead *a,
                             const int level)
{
    for (int b = 0; b < n; b++) {
        vec_bits w[8], low, high;
        vec d;

        ask(a, 18 * PANEL_ROWS);
        /* The other half would lie past the row's end. */
        if (b + 1 < n)
            columns(w, row, (size_t)b * 18 + 2, level);
        else
            for (int g = 0; g < 4; g++)
                words(&w[g], row, (size_t)b * 18 + 2 + 4 * (size_t)g);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            low = w[g] & 0x0F0F0F0Fu;
            high = w[g] >> 4 & 0x0F0F0F0Fu;
            put(&p->q[b][g], &low);
            put(&p->q[b][g + 4], &high);
        }
        halves(&d, row, (size_t)b * 18);
        vec_store(p->scale[b][0], &d);
    }
}

/* The scales and minimums of eight blocks: as quant_scale_min, four bytes at a time. */
SIMD_INLINE void scales_q4_k(struct panel *p, const char *const *row, int b)
{
    const size_t at = (size_t)b / 8 * 144;
    vec_bits w[3], s[4];
    vec d, dmin, f;

    halves(&d, row, at);
    halves(&dmin, row, at + 2);
    for (int i = 0; i < 3; i++)
        words(&w[i], row, at + 4 + 4 * (size_t)i);
    s[0] = w[0] & 0x3F3F3F3Fu;
    s[1] = (w[2] & 0x0F0F0F0Fu) | (w[0] >> 2 & 0x30303030u);
    s[2] = w[1] & 0x3F3F3F3Fu;
    s[3] = (w[2] >> 4 & 0x0F0F0F0Fu) | (w[1] >> 2 & 0x30303030u);
    for (int j = 0; j < 8; j++) {
        byte_of(&f, &s[j / 4], j % 4, false);
        f *= d;
        vec_store(p->scale[b + j][0], &f);
        byte_of(&f, &s[2 + j / 4], j % 4, false);
        f *= dmin;
        vec_store(p->min[b + j], &f);
    }
}

SIMD_INLINE void unpack_q4_k(struct panel *p, const char *const *row, int n, struct ahead *a,
                             const int level)
{
    for (int b = 0; b < n; b += 2) {
        vec_bits w[8], low, high;

        ask(a, 36 * PANEL_ROWS);
        if (b % 8 == 0) scales_q4_k(p, row, b);
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

SIMD_INLINE void scales_q6_k(struct panel *p, const char *const *row, int b)
{
    const size_t at = (size_t)b / 8 * 210;
    vec_bits w = {0};
    vec d, f;

    halves(&d, row, at + 208);
    for (int j = 0; j < 16; j++) {
        if (j % 4 == 0) words(&w, row, at + 192 + (size_t)j);
        byte_of(&f, &w, j % 4, true);
        f *= d;
        vec_store(p->scale[b + j / 2][j % 2], &f);
    }
}

/* Four blocks at a time: two of low halves, two of high ones, and two bits of each in `top`. */
SIMD_INLINE void unpack_q6_k(struct panel *p, const char *const *row, int n, struct ahead *a,
                             const int level)
{
    for (int b = 0; b < n; b += 4) {
        const size_t at = (size_t)b / 8 * 210, part = (size_t)b % 8 / 4;
        vec_bits w[8], top[8], q;

        ask(a, 105 * PANEL_ROWS);
        if (b % 8 == 0) scales_q6_k(p, row, b);
        columns(top, row, at + 128 + part * 32, level);
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            columns(w, row, at + part * 64 + (size_t)i * 32, level);
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++) {
                q = (w[g] & 0x0F0F0F0Fu) | (top[g] >> (2 * i) & 0x03030303u) << 4;
                put(&p->q[b + i][g], &q);
                q = (w[g] >> 4 & 0x0F0F0F0Fu) | (top[g] >> (2 * i + 4) & 0x03030303u) << 4;
                put(&p->q[b + i + 2][g], &q);
            }
        }
    }
}

SIMD_INLINE void unpack_body(struct panel *p, const char *const *row, enum dtype d, int n,
                             ptrdiff_t ahead, const int level)
{
    struct ahead a = {.row = row, .ahead = ahead};

    a.bytes = dtype_row_bytes(d, (size_t)n * 32);
    if (d == DTYPE_Q8_0) unpack_q8_0(p, row, n, &a, level);
    if (d == DTYPE_Q4_0) unpack_q4_0(p, row, n, &a, level);
    if (d == DTYPE_Q4_K) unpack_q4_k(p, row, n, &a, level);
    if (d == DTYPE_Q6_K) unpack_q6_k(p, row, n, &a, level);
}

SIMD_CLONES(unpack,
            (struct panel * p, const char *const *row, enum dtype d, int n, ptrdiff_t ahead),
            (p, row, d, n, ahead, LEVEL))

void panel_unpack(struct panel *p, const char *const row[PANEL_ROWS], enum dtype d, int n,
                  ptrdiff_t ahead)
{
    SIMD_PICK(unpack)(p, row, d, n, ahead);
}
