/* test_engine_alloc.c - worker/engine: a step takes nothing from the heap. */
#include <string.h>

#include "tests/rig.h"
#include "tests/test.h"
#include "worker/mask.h"

#define BLOCK_BYTES (3 * 2 * 2 * 16 * 20 * 4) /* of the tiny model: layers, K and V, heads, ... */
#define ROWS        64

/* Counts what engine_step takes from the heap.  The sanitizers bring their own malloc. */
static long n_allocs;
static bool counting;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
#define CAN_COUNT 1
void *__libc_malloc(size_t n);
void *__libc_realloc(void *p, size_t n);
void *__libc_calloc(size_t n, size_t size);
void *malloc(size_t n)
{
    n_allocs += counting;
    return __libc_malloc(n);
}
void *realloc(void *p, size_t n)
{
    n_allocs += counting;
    return __libc_realloc(p, n);
}
void *calloc(size_t n, size_t size)
{
    n_allocs += counting;
    return __libc_calloc(n, size);
}
#else
#define CAN_COUNT 0
#endif

/* Rows with all that a step may have to do: one prefix, two answers each, log-probabilities,
 * penalties, biases, a mask, stops. */
static void add_rows(void)
{
    static const int32_t STOP_IDS[] = {9, 41};
    static const struct bias BIASES[] = {{4, 3.5f}, {12, -100}};
    static const uint64_t ALLOWED[] = {UINT64_MAX};
    struct sampling p = {.n = 2,
                         .temperature = 0.8f,
                         .top_p = 0.95f,
                         .min_tokens = 3,
                         .presence_penalty = 0.3f,
                         .frequency_penalty = 0.2f,
                         .repetition_penalty = 1.1f,
                         .logprobs = true,
                         .top_logprobs = 5,
                         .max_tokens = 30,
                         .n_stop_ids = 2,
                         .stop_ids = STOP_IDS,
                         .n_biases = 2,
                         .biases = BIASES,
                         .allowed = ALLOWED,
                         .n_stops = 1};
    int32_t ids[70];

    p.stops[0].text = "never said", p.stops[0].len = 10;
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < 70; k++)
            ids[k] = ((k < 64 ? 0 : i * 7) + k * k + 3) % (TINY_VOCAB - 1) + 1;
        p.seed = (uint64_t)i;
        rig_add(ids, 70, &p, i);
    }
}

/* _i: with ample room, or with put-backs and evictions. */
START_TEST(a_step_allocates_nothing)
{
    const struct sampling one = {.top_p = 1, .max_tokens = 1};
    struct engine_stats st;
    struct outcome out;
    int rc;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16});
    rig_start((struct engine_opts){.threads = 2, .kv_bytes = _i ? 16 * BLOCK_BYTES : 0});
    add_rows();
    counting = true;
    while ((rc = engine_step(rig.en, &rig.err)) == ERR_OK)
        ;
    counting = false;
    ck_assert_int_eq(rc, ERR_EMPTY);
    ck_assert_int_eq(n_allocs, 0);
    counting = true;
    rc = engine_add(rig.en, (int32_t[]){1}, 1, &one, NULL, &rig.err);
    counting = false;
    ck_assert_int_eq(rc, ERR_OK);
    if (CAN_COUNT) ck_assert_int_gt(n_allocs, 0); /* the counter does count */
    engine_stats(rig.en, &st);
    ck_assert_int_gt(st.cached_tokens, 0);
    if (_i) ck_assert_int_gt(st.put_back, 0);
    while (engine_take(rig.en, &out))
        rig_free(&out, 1);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("engine_alloc");
    TCase *t = tcase_create("tiny");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_step_allocates_nothing, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
