/* test_emu_ptx.cu - kernels/cuda.cuh and ptx.cuh: numbers of 8 and 16 bits, warps, fragments.
 *
 * Only what both compilers know is used, so that nvcc makes of it a test of the device.
 */
#include <math.h>
#include <string.h>

#include "kernels/ptx.cuh"
#include "tests/test.h"

#define CALL(call) ck_assert_int_eq((int)(call), 0)

/* Device memory with what the host has, and back. */
template <class T> static T *device_copy(const T *host, size_t n)
{
    T *p;

    CALL(cudaMalloc((void **)&p, n * sizeof *p));
    if (host)
        CALL(cudaMemcpy(p, host, n * sizeof *p, cudaMemcpyHostToDevice));
    else
        CALL(cudaMemset(p, 0, n * sizeof *p));
    return p;
}

template <class T> static void host_copy(T *host, T *p, size_t n)
{
    CALL(cudaMemcpy(host, p, n * sizeof *p, cudaMemcpyDeviceToHost));
    CALL(cudaFree(p));
}

static uint64_t state = 1;

static unsigned random_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 32);
}

/* ---- numbers ---- */

template <class E, class U> static __global__ void widen_all(float *y, int n)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    const U bits = (U)i;
    E x;

    if (i >= n) return;
    memcpy(&x, &bits, sizeof x);
    y[i] = to_float(x);
}

template <class E, class U> static __global__ void narrow_all(U *y, const float *x, int n)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    E e;

    if (i >= n) return;
    e = from_float<E>(x[i]);
    memcpy(&y[i], &e, sizeof e);
}

/* A format by its definition: sign, `exps` bits of exponent, `mans` of fraction. */
struct format {
    int exps, mans;
    bool infinite; /* the largest exponent means infinity and NaN */
};

static double number_of(unsigned bits, struct format f)
{
    const double sign = bits >> (f.exps + f.mans) & 1u ? -1 : 1;
    const int top = (1 << f.exps) - 1, bias = top / 2;
    const int exp = (int)(bits >> f.mans) & top, man = (int)bits & ((1 << f.mans) - 1);

    if (f.infinite && exp == top) return man ? NAN : sign * HUGE_VAL;
    if (!f.infinite && exp == top && man == (1 << f.mans) - 1) return NAN;
    if (exp == 0) return sign * ldexp(man, 1 - bias - f.mans);
    return sign * ldexp((1 << f.mans) + man, exp - bias - f.mans);
}

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

template <class E, class U> static void check_widening(struct format f)
{
    const int n = 1 << (1 + f.exps + f.mans);
    float *host = (float *)malloc((size_t)n * sizeof *host),
          *y = device_copy<float>(NULL, (size_t)n);

    LAUNCH((widen_all<E, U>), (unsigned)(n + 255) / 256, 256, 0, 0, y, n);
    host_copy(host, y, (size_t)n);
    for (int i = 0; i < n; i++)
        if (!same((double)host[i], number_of((unsigned)i, f)))
            ck_abort_msg("0x%x is %g, not %g", i, (double)host[i], number_of((unsigned)i, f));
    free(host);
}

START_TEST(every_pattern_is_the_number_that_its_bits_say)
{
    check_widening<f16, uint16_t>({5, 10, true});
    check_widening<bf16, uint16_t>({8, 7, true});
    check_widening<fp8, uint8_t>({4, 3, false});
}
END_TEST

/* The nearest by trying all; ties to the even pattern; beyond the largest as the format does. */
static unsigned nearest_by_search(double x, struct format f)
{
    const unsigned sign = signbit(x) ? 1u << (f.exps + f.mans) : 0u, n = 1u << (f.exps + f.mans);
    const unsigned inf = ((1u << f.exps) - 1u) << f.mans;
    unsigned lo = 0, hi = f.infinite ? inf : n - 2;

    if (isnan(x)) return n - 1; /* all bits set but the sign */
    x = fabs(x);
    if (!f.infinite && x >= number_of(hi, f)) return sign | hi;
    while (hi - lo > 1) {
        const unsigned mid = (lo + hi) / 2;

        if (number_of(mid, f) <= x)
            lo = mid;
        else
            hi = mid;
    }
    /* What would follow the largest finite number, for the border of infinity. */
    const double low = number_of(lo, f);
    const double high = f.infinite && hi == inf ? 2 * low - number_of(lo - 1, f) : number_of(hi, f);
    if (x - low != high - x) return sign | (x - low < high - x ? lo : hi);
    return sign | (lo & 1u ? hi : lo);
}

template <class E, class U> static void check_narrowing(struct format f)
{
    const int n_patterns = 1 << (f.exps + f.mans), step = n_patterns > 4096 ? 7 : 1, n = 200000;
    float *host = (float *)calloc((size_t)n, sizeof *host);
    U *bits = (U *)malloc((size_t)n * sizeof *bits), *y = device_copy<U>(NULL, (size_t)n);
    float *x;
    int k = 0;

    for (int i = 0; i + 1 < n_patterns && k + 8 < n / 2; i += step) {
        const double a = number_of((unsigned)i, f), b = number_of((unsigned)i + 1, f);
        const float half = (float)((a + b) / 2);

        if (isnan(a) || isnan(b) || isinf(b)) continue;
        host[k++] = (float)a;
        host[k++] = half;
        host[k++] = -half;
        host[k++] = nextafterf(half, 0);
        host[k++] = nextafterf(half, HUGE_VALF);
    }
    host[k++] = HUGE_VALF;
    host[k++] = -HUGE_VALF;
    host[k++] = NAN;
    host[k++] = 448.0f;
    host[k++] = 464.0f;
    host[k++] = 480.0f;
    host[k++] = 65519.996f;
    host[k++] = 65520.0f;
    host[k++] = 3.4028235e38f;
    host[k++] = -0.0f;
    for (; k < n; k++) {
        const unsigned any = random_bits();

        memcpy(&host[k], &any, sizeof host[k]);
        if (k % 2) host[k] = (float)(int)any * 0x1p-24f;
    }
    x = device_copy(host, (size_t)n);
    LAUNCH((narrow_all<E, U>), (unsigned)(n + 255) / 256, 256, 0, 0, y, x, n);
    host_copy(bits, y, (size_t)n);
    for (int i = 0; i < n; i++) {
        const unsigned want = nearest_by_search((double)host[i], f);

        if (bits[i] != want && !(isnan(host[i]) && isnan(number_of(bits[i], f))))
            ck_abort_msg("%a becomes 0x%x, not 0x%x", (double)host[i], bits[i], want);
    }
    CALL(cudaFree(x));
    free(host);
    free(bits);
}

START_TEST(a_float_becomes_the_nearest_number_ties_to_even)
{
    if (_i == 0) check_narrowing<f16, uint16_t>({5, 10, true});
    if (_i == 1) check_narrowing<bf16, uint16_t>({8, 7, true});
    if (_i == 2) check_narrowing<fp8, uint8_t>({4, 3, false});
}
END_TEST

static __global__ void pack_all(unsigned *bad)
{
    const float a = (float)threadIdx.x * 0.25f, b = -3.0f - (float)threadIdx.x;
    const float2 h = unpack2<f16>(pack2<f16>(a, b)), v = unpack2<bf16>(pack2<bf16>(a, b));
    const float4 q = unpack4_fp8(pack4_fp8(a, b, 448.0f, 1000.0f));

    if (h.x != a || h.y != b) atomicAdd(&bad[0], 1u);
    if (v.x != to_float(from_float<bf16>(a)) || v.y != to_float(from_float<bf16>(b)))
        atomicAdd(&bad[1], 1u);
    if (q.x != to_float(from_float<fp8>(a)) || q.y != to_float(from_float<fp8>(b)) ||
        q.z != 448.0f || q.w != 448.0f)
        atomicAdd(&bad[2], 1u);
    if ((pack2<bf16>(1.0f, 2.0f) & 0xFFFFu) != 0x3F80u) atomicAdd(&bad[1], 1u);
    if ((pack4_fp8(1.0f, 0, 0, 0) & 0xFFu) != 0x38u) atomicAdd(&bad[2], 1u);
}

START_TEST(packed_numbers_come_back_the_first_in_the_low_bits)
{
    unsigned bad[3], *p = device_copy<unsigned>(NULL, 3);

    LAUNCH(pack_all, 1, 256, 0, 0, p);
    host_copy(bad, p, 3);
    ck_assert_uint_eq(bad[0], 0);
    ck_assert_uint_eq(bad[1], 0);
    ck_assert_uint_eq(bad[2], 0);
}
END_TEST

/* ---- fragments ---- */

/* One warp: D [16][8] += A [16][K] B [K][8], A in rows, B kept as its columns [8][K]. */
template <class E, int K, class D, class P>
static __device__ void fragments_add(D *d, const E *a, const E *b, P product)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4, per = K / 8;
    unsigned ra[4], rb[2];
    D rd[4];

    for (int i = 0; i < 4; i++) {
        const int row = g + i % 2 * 8, k = per * t + i / 2 * 4 * per;

        memcpy(&ra[i], &a[row * K + k], 4);
        if (i < 2) memcpy(&rb[i], &b[g * K + per * t + i * 4 * per], 4);
        rd[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    }
    product(rd, ra, rb);
    for (int i = 0; i < 4; i++)
        d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = rd[i];
}

template <class E> struct product {
    __device__ void operator()(float d[4], const unsigned a[4], const unsigned b[2]) const
    {
        mma_m16n8k16<E>(d, a, b);
    }
};

template <> struct product<fp8> {
    __device__ void operator()(float d[4], const unsigned a[4], const unsigned b[2]) const
    {
        mma_m16n8k32_e4m3(d, a, b);
    }
};

template <> struct product<signed char> {
    __device__ void operator()(int d[4], const unsigned a[4], const unsigned b[2]) const
    {
        mma_m16n8k32_s8(d, a, b);
    }
};

template <class E, int K, class D> static __global__ void mma_once(D *d, const E *a, const E *b)
{
    fragments_add<E, K>(d, a, b, product<E>());
}

static float value_of(signed char x)
{
    return (float)x;
}

template <class E> static float value_of(E x)
{
    return to_float(x);
}

static void random_fill(f16 *x)
{
    *x = from_float<f16>((float)((int)(random_bits() % 511) - 255) / 64.0f);
}

static void random_fill(bf16 *x)
{
    *x = from_float<bf16>((float)((int)(random_bits() % 255) - 127) / 32.0f);
}

static void random_fill(fp8 *x)
{
    *x = from_float<fp8>((float)((int)(random_bits() % 31) - 15) / 4.0f);
}

static void random_fill(signed char *x)
{
    *x = (signed char)random_bits();
}

/* The numbers are such that every sum is exact. */
template <class E, int K, class D> static void check_mma(void)
{
    E a[16 * K], b[8 * K];
    D d[16 * 8], got[16 * 8];

    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 16 * K; i++)
            random_fill(&a[i]);
        for (int i = 0; i < 8 * K; i++)
            random_fill(&b[i]);
        for (int i = 0; i < 16 * 8; i++)
            d[i] = (D)((int)(random_bits() % 2001) - 1000);
        E *pa = device_copy(a, 16 * K), *pb = device_copy(b, 8 * K);
        D *pd = device_copy(d, 16 * 8);
        LAUNCH((mma_once<E, K, D>), 1, 32, 0, 0, pd, pa, pb);
        host_copy(got, pd, 16 * 8);
        CALL(cudaFree(pa));
        CALL(cudaFree(pb));
        for (int m = 0; m < 16; m++)
            for (int n = 0; n < 8; n++) {
                double sum = (double)d[m * 8 + n];

                for (int k = 0; k < K; k++)
                    sum += (double)value_of(a[m * K + k]) * (double)value_of(b[n * K + k]);
                if ((double)got[m * 8 + n] != sum)
                    ck_abort_msg("row %d, column %d: %g, not %g", m, n, (double)got[m * 8 + n],
                                 sum);
            }
    }
}

START_TEST(a_product_of_fragments_is_the_product_of_the_matrices)
{
    if (_i == 0) check_mma<f16, 16, float>();
    if (_i == 1) check_mma<bf16, 16, float>();
    if (_i == 2) check_mma<signed char, 32, int>();
    if (_i == 3) check_mma<fp8, 32, float>();
}
END_TEST

static __global__ void s8_wraps(int *d)
{
    const unsigned a[4] = {0x7F7F7F7Fu, 0x7F7F7F7Fu, 0x7F7F7F7Fu, 0x7F7F7F7Fu};
    const unsigned b[2] = {0x01010101u, 0x01010101u};
    int r[4] = {0x7FFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF};

    mma_m16n8k32_s8(r, a, b);
    d[threadIdx.x] = r[0];
}

START_TEST(a_sum_of_int8_products_wraps)
{
    int got[32], *d = device_copy<int>(NULL, 32);

    LAUNCH(s8_wraps, 1, 32, 0, 0, d);
    host_copy(got, d, 32);
    for (int i = 0; i < 32; i++)
        ck_assert_int_eq(got[i], (int)(0x7FFFFFFFu + 32u * 127u));
}
END_TEST

/* x [32][8] rows of 8 numbers; y [32][4] and [32][4] registers, plain and transposed; then x2. */
static __global__ void load_fragments(unsigned *y, const uint4 *x)
{
    SHARED_DYNAMIC(uint4, sh);
    const int lane = (int)threadIdx.x;
    unsigned r[12];

    sh[lane] = x[lane];
    __syncwarp();
    ldmatrix_x4(r, &sh[lane]);
    ldmatrix_x4_trans(r + 4, &sh[lane]);
    ldmatrix_x2(r + 8, &sh[lane % 16]);
    ldmatrix_x2_trans(r + 10, &sh[lane % 16 + 16]);
    for (int i = 0; i < 12; i++)
        y[lane * 12 + i] = r[i];
}

START_TEST(ldmatrix_gives_each_lane_its_two_numbers_of_each_matrix)
{
    uint16_t x[32][8];
    unsigned y[32][12], *py = device_copy<unsigned>(NULL, 32 * 12);
    uint4 *px;

    for (int i = 0; i < 32 * 8; i++)
        x[i / 8][i % 8] = (uint16_t)random_bits();
    px = device_copy((const uint4 *)(const void *)x, 32);
    LAUNCH(load_fragments, 1, 32, 512, 0, py, px);
    host_copy(&y[0][0], py, 32 * 12);
    CALL(cudaFree(px));
    for (int lane = 0; lane < 32; lane++)
        for (int j = 0; j < 12; j++) {
            /* register j: which matrix, and whether transposed */
            const int matrix = j < 8 ? j % 4 : j < 10 ? j - 8 : j - 10 + 2;
            const bool turned = (j >= 4 && j < 8) || j >= 10;
            const int g = lane / 4, t = lane % 4;
            const unsigned lo = turned ? x[matrix * 8 + 2 * t][g] : x[matrix * 8 + g][2 * t];
            const unsigned hi =
                turned ? x[matrix * 8 + 2 * t + 1][g] : x[matrix * 8 + g][2 * t + 1];

            if (y[lane][j] != (lo | hi << 16)) ck_abort_msg("lane %d, register %d", lane, j);
        }
}
END_TEST

/* As the card of ptx.cuh says: A in rows, B kept as [n][k] and as [k][n], all by ldmatrix. */
static __global__ void product_by_ldmatrix(float *d, const uint4 *a, const uint4 *b_rows,
                                           const uint4 *b_columns)
{
    SHARED_DYNAMIC(uint4, sh);
    const int lane = (int)threadIdx.x;
    bf16 *const as = (bf16 *)sh, *const bn = as + 16 * 16, *const bk = bn + 8 * 16;
    unsigned ra[4], rb[2], rt[2];
    float x[4] = {0, 0, 0, 0}, y[4] = {0, 0, 0, 0};

    sh[lane] = a[lane];
    if (lane < 16) sh[32 + lane] = b_rows[lane];
    if (lane < 16) sh[48 + lane] = b_columns[lane];
    __syncwarp();
    ldmatrix_x4(ra, &as[lane % 16 * 16 + lane / 16 * 8]);
    ldmatrix_x2(rb, &bn[lane % 8 * 16 + lane / 8 % 2 * 8]);
    ldmatrix_x2_trans(rt, &bk[lane % 16 * 8]);
    mma_m16n8k16<bf16>(x, ra, rb);
    mma_m16n8k16<bf16>(y, ra, rt);
    for (int i = 0; i < 4; i++) {
        const int at = (lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2;

        d[at] = x[i];
        d[128 + at] = y[i];
    }
}

START_TEST(matrices_in_shared_memory_become_fragments_as_the_card_says)
{
    bf16 a[16 * 16], bn[8 * 16], bk[16 * 8];
    float d[2][16 * 8], *pd = device_copy<float>(NULL, 2 * 16 * 8);

    for (int i = 0; i < 16 * 16; i++)
        random_fill(&a[i]);
    for (int n = 0; n < 8; n++)
        for (int k = 0; k < 16; k++) {
            random_fill(&bn[n * 16 + k]);
            bk[k * 8 + n] = bn[n * 16 + k];
        }
    uint4 *pa = device_copy((const uint4 *)(const void *)a, 32);
    uint4 *pn = device_copy((const uint4 *)(const void *)bn, 16);
    uint4 *pk = device_copy((const uint4 *)(const void *)bk, 16);
    LAUNCH(product_by_ldmatrix, 1, 32, 1024, 0, pd, pa, pn, pk);
    host_copy(&d[0][0], pd, 2 * 16 * 8);
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++) {
            float sum = 0;

            for (int k = 0; k < 16; k++)
                sum += to_float(a[m * 16 + k]) * to_float(bn[n * 16 + k]);
            ck_assert_float_eq(d[0][m * 8 + n], sum);
            ck_assert_float_eq(d[1][m * 8 + n], sum);
        }
    CALL(cudaFree(pa));
    CALL(cudaFree(pn));
    CALL(cudaFree(pk));
}
END_TEST

/* ---- copies ---- */

/* Three groups under way; each wait lets the latest stay.  Threads past n bring zeros. */
static __global__ void copy_in_groups(uint4 *y, const uint4 *x, int n)
{
    SHARED_DYNAMIC(uint4, sh);
    const int t = (int)threadIdx.x;

    for (int group = 0; group < 3; group++) {
        cp_async16(&sh[group * 32 + t], &x[group * 32 + t], t < n);
        cp_async_commit();
    }
    cp_async_wait<2>();
    __syncthreads();
    y[t] = sh[t ^ 1];
    cp_async_wait<1>();
    __syncthreads();
    y[32 + t] = sh[32 + (t ^ 1)];
    cp_async_wait<0>();
    __syncthreads();
    y[64 + t] = sh[64 + (t ^ 1)];
}

START_TEST(copies_have_landed_when_their_group_was_waited_for)
{
    uint4 x[96], y[96];
    const int n = 29;

    for (unsigned i = 0; i < 96; i++)
        x[i] = make_uint4(i + 1, i + 2, i + 3, i + 4);
    uint4 *px = device_copy(x, 96), *py = device_copy<uint4>(NULL, 96);
    LAUNCH(copy_in_groups, 1, 32, sizeof x, 0, py, px, n);
    host_copy(y, py, 96);
    CALL(cudaFree(px));
    for (int i = 0; i < 96; i++) {
        const uint4 want = (i % 32 ^ 1) < n ? x[i ^ 1] : make_uint4(0, 0, 0, 0);

        if (memcmp(&y[i], &want, sizeof want)) ck_abort_msg("piece %d", i);
    }
}
END_TEST

/* ---- warps ---- */

static __global__ void warp_words(unsigned *y)
{
    const unsigned lane = threadIdx.x, all = 0xFFFFFFFFu;
    unsigned *o = y + lane * 16;

    o[0] = __shfl_sync(all, lane * 3, 5);
    o[1] = __shfl_up_sync(all, lane, 3);
    o[2] = __shfl_down_sync(all, lane, 3);
    o[3] = __shfl_xor_sync(all, lane, 9);
    o[4] = __shfl_down_sync(all, lane, 1, 8);
    o[5] = __ballot_sync(all, lane % 3 == 0);
    o[6] = (unsigned)__any_sync(all, lane == 7) | (unsigned)__all_sync(all, lane < 31) << 1;
    o[7] = (unsigned)__shfl_xor_sync(all, (double)lane + 0.5, 1);
    o[8] = __shfl_sync(all, lane, 1, 16);
    o[9] = lane < 8 ? __shfl_xor_sync(0xFFu, lane, 7) : __ballot_sync(0xFFFFFF00u, lane == 31);
    o[10] = (unsigned)__popc(__activemask());
    o[11] = __brev(lane) ^ (unsigned)__clz((int)lane) ^ (unsigned)__ffs((int)lane) << 8;
    o[12] = (unsigned)__dp4a((int)0xFF02FE03u, (int)0x01FF0204u, (int)lane);
    o[13] = __byte_perm(0x33221100u, 0x77665544u, 0x7513u);
    o[14] = __float_as_uint(__fmaf_rn(3.0f, (float)lane, 1.0f));
    o[15] = __shfl_up_sync(all, lane, 1, 4);
}

START_TEST(shuffles_and_votes_are_what_the_guide_says)
{
    unsigned y[32][16], *p = device_copy<unsigned>(NULL, 32 * 16);

    LAUNCH(warp_words, 1, 32, 0, 0, p);
    host_copy(&y[0][0], p, 32 * 16);
    for (unsigned lane = 0; lane < 32; lane++) {
        unsigned brev = 0;
        const unsigned *o = y[lane];
        const float fma = 3.0f * (float)lane + 1.0f;

        for (unsigned i = 0; i < 32; i++)
            brev |= (lane >> i & 1u) << (31 - i);
        ck_assert_uint_eq(o[0], 15);
        ck_assert_uint_eq(o[1], lane < 3 ? lane : lane - 3);
        ck_assert_uint_eq(o[2], lane > 28 ? lane : lane + 3);
        ck_assert_uint_eq(o[3], lane ^ 9u);
        ck_assert_uint_eq(o[4], lane % 8 == 7 ? lane : lane + 1);
        ck_assert_uint_eq(o[5], 0x49249249u);
        ck_assert_uint_eq(o[6], 1);
        ck_assert_uint_eq(o[7], lane ^ 1u);
        ck_assert_uint_eq(o[8], lane / 16 * 16 + 1);
        ck_assert_uint_eq(o[9], lane < 8 ? lane ^ 7u : 0x80000000u);
        ck_assert_uint_eq(o[10], 32);
        ck_assert_uint_eq(o[11], brev ^ (lane ? (unsigned)__builtin_clz(lane) : 32u) ^
                                     (unsigned)__builtin_ffs((int)lane) << 8);
        /* 3*4 + -2*2 + 2*-1 + -1*1 */
        ck_assert_uint_eq(o[12], 5 + lane);
        ck_assert_uint_eq(o[13], 0x77551133u);
        ck_assert_int_eq(memcmp(&o[14], &fma, 4), 0);
        ck_assert_uint_eq(o[15], lane % 4 == 0 ? lane : lane - 1);
    }
}
END_TEST

static __global__ void named_barriers(int *y)
{
    __shared__ int sh[128];
    const int t = (int)threadIdx.x;

    /* Warps 2 and 3 write, warps 0 and 1 read what they wrote; a barrier of 64 for each pair. */
    if (t >= 64) {
        sh[t] = t;
        barrier_arrive(1 + t / 32 % 2, 64);
    } else {
        barrier_sync(1 + t / 32, 64);
        y[t] = sh[t + 64];
    }
    __syncthreads();
    y[t + 64] = __syncthreads_count(t % 3 == 0) + 1000 * __syncthreads_or(t == 5) +
                2000 * __syncthreads_and(t < 128) + 4000 * __syncthreads_and(t != 9);
}

START_TEST(named_barriers_and_votes_of_a_block)
{
    int y[192], *p = device_copy<int>(NULL, 192);

    LAUNCH(named_barriers, 1, 128, 0, 0, p);
    host_copy(y, p, 192);
    for (int t = 0; t < 64; t++)
        ck_assert_int_eq(y[t], t + 64);
    for (int t = 0; t < 128; t++)
        ck_assert_int_eq(y[64 + t], 43 + 1000 + 2000);
}
END_TEST

#ifdef CUDA_EMU
#define N_ORDERS 4
#else
#define N_ORDERS 1
#endif

/* A device has one order of its own, and ignores these. */
static void forward(void)
{
    setenv("EMU_ORDER", "forward", 1);
}

static void reverse(void)
{
    setenv("EMU_ORDER", "reverse", 1);
}

static void random_1(void)
{
    setenv("EMU_ORDER", "random:1", 1);
}

static void random_2(void)
{
    setenv("EMU_ORDER", "random:2", 1);
}

static Suite *suite(void)
{
    static const struct {
        const char *name;
        void (*set)(void);
    } orders[] = {
        {"forward", forward}, {"reverse", reverse}, {"random 1", random_1}, {"random 2", random_2}};
    Suite *s = suite_create("emu_ptx");
    TCase *tc = tcase_create("numbers");

    tcase_add_test(tc, every_pattern_is_the_number_that_its_bits_say);
    tcase_add_loop_test(tc, a_float_becomes_the_nearest_number_ties_to_even, 0, 3);
    tcase_add_test(tc, packed_numbers_come_back_the_first_in_the_low_bits);
    suite_add_tcase(s, tc);
    for (int i = 0; i < N_ORDERS; i++) {
        tc = tcase_create(orders[i].name);
        tcase_add_checked_fixture(tc, orders[i].set, NULL);
        tcase_add_loop_test(tc, a_product_of_fragments_is_the_product_of_the_matrices, 0, 4);
        tcase_add_test(tc, a_sum_of_int8_products_wraps);
        tcase_add_test(tc, ldmatrix_gives_each_lane_its_two_numbers_of_each_matrix);
        tcase_add_test(tc, matrices_in_shared_memory_become_fragments_as_the_card_says);
        tcase_add_test(tc, copies_have_landed_when_their_group_was_waited_for);
        tcase_add_test(tc, shuffles_and_votes_are_what_the_guide_says);
        tcase_add_test(tc, named_barriers_and_votes_of_a_block);
        suite_add_tcase(s, tc);
    }
    return s;
}

TEST_MAIN(suite)
