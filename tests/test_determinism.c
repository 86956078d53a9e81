/* test_determinism.c - E1: a row's tokens and log-probabilities, bit for bit, whatever runs beside
 * it and however the engine is set up. */
#include <string.h>

#include "tests/rig.h"
#include "tests/test.h"
#include "worker/mask.h"

#define BLOCK_BYTES (3 * 2 * 2 * 16 * 20 * 4) /* of the tiny model: layers, K and V, heads, ... */
#define ROWS        500
#define MAX_N       2

static const struct way {
    struct engine_opts o;
    bool shuffled;
    int burst;          /* rows that arrive at once; 0: all */
    bool must_put_back; /* so small that it cannot go without */
    int must_find;      /* tokens in the prefix cache, at least */
} WAYS[] = {
    {.o = {.threads = 1}, .must_find = 9000},
    {.o = {.threads = 2}, .shuffled = true, .must_find = 9000},
    {.o = {.threads = 3, .max_num_seqs = 7}, .burst = 20},
    {.o = {.max_num_seqs = 1}, .shuffled = true},
    {.o = {.max_batched_tokens = 1}, .must_find = 9000},
    {.o = {.max_batched_tokens = 17, .max_num_seqs = 9}, .shuffled = true},
    {.o = {.no_prefix_caching = true, .threads = 2}},
    {.o = {.no_prefix_caching = true, .max_batched_tokens = 40}, .shuffled = true, .burst = 7},
    {.o = {.kv_bytes = 7 * BLOCK_BYTES}, .must_put_back = true, .must_find = 1},
    {.o = {.kv_bytes = 7 * BLOCK_BYTES, .no_prefix_caching = true, .threads = 3},
     .shuffled = true,
     .must_put_back = true},
    {.o = {.max_batched_tokens = 4096, .max_num_seqs = 600}, .shuffled = true},
};
#define N_WAYS (int)(sizeof WAYS / sizeof WAYS[0])

static const int32_t STOP_IDS[] = {9, 41};
static const struct bias BIASES[] = {{4, 3.5f}, {12, -100}};

/* Row i is a function of i: prompts of 1 to 68 tokens, half of them with one of three prefixes of
 * 48, some longer than a block, some greedy, some with two answers, penalties, stops, a mask. */
static int row_of(int i, int32_t ids[100], struct sampling *p)
{
    const int prefix = i % 2 ? 48 : 0, own = i * 37 % 20 + 1;

    for (int k = 0; k < prefix; k++)
        ids[k] = (k * 5 + i % 3 * 17) % (TINY_VOCAB - 1) + 1;
    for (int k = 0; k < own; k++)
        ids[prefix + k] = (i * 7 + k * k + 3) % (TINY_VOCAB - 1) + 1;
    *p = (struct sampling){.temperature = i % 3 ? 0.9f : 0,
                           .top_p = i % 5 ? 1 : 0.9f,
                           .top_k = i % 7 ? 0 : 20,
                           .min_p = i % 11 ? 0 : 0.05f,
                           .repetition_penalty = i % 13 ? 1 : 1.3f,
                           .presence_penalty = i % 17 ? 0 : 0.5f,
                           .frequency_penalty = i % 17 ? 0 : 0.25f,
                           .seed = (uint64_t)i,
                           .n = i % 10 == 1 ? MAX_N : 1,
                           .logprobs = i % 4 == 0,
                           .top_logprobs = i % 8 ? 0 : 3,
                           .max_tokens = i * 11 % 17 + 1};
    if (i % 19 == 0) p->stop_ids = STOP_IDS, p->n_stop_ids = 2;
    if (i % 23 == 0) p->biases = BIASES, p->n_biases = 2;
    return prefix + own;
}

/* A permutation of the rows; the same every time. */
static void shuffle(int order[ROWS], bool really)
{
    uint64_t dice = 99;

    for (int i = 0; i < ROWS; i++)
        order[i] = i;
    for (int i = ROWS - 1; i > 0 && really; i--) {
        int k, swap = order[i];

        dice = dice * 6364136223846793005u + 1442695040888963407u;
        k = (int)(dice >> 33) % (i + 1);
        order[i] = order[k];
        order[k] = swap;
    }
}

struct answers {
    struct outcome at[ROWS][MAX_N];
};

static void take(struct answers *a)
{
    struct outcome o;

    while (engine_take(rig.en, &o)) {
        struct outcome *slot = &a->at[(intptr_t)o.owner][o.index];

        ck_assert_ptr_null(slot->ids); /* E2 */
        *slot = o;
    }
}

static void run_way(const struct way *w, struct answers *a)
{
    int order[ROWS];
    struct engine_stats st;

    memset(a, 0, sizeof *a);
    shuffle(order, w->shuffled);
    rig_start(w->o);
    for (int i = 0; i < ROWS; i++) {
        struct sampling p;
        int32_t ids[100];
        const int n = row_of(order[i], ids, &p);

        rig_add(ids, n, &p, order[i]);
        if (w->burst && i % w->burst == 0) ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
    }
    rig_run();
    take(a);
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.kv_blocks_free, st.kv_blocks);
    if (w->must_put_back) ck_assert_int_gt(st.put_back, 0);
    ck_assert_int_ge(st.cached_tokens, w->must_find);
}

static void same(const struct outcome *x, const struct outcome *y, int row, int way)
{
    struct sampling p;
    int32_t ids[100];

    row_of(row, ids, &p);
    ck_assert_msg(!x->ids == !y->ids && x->n_ids == y->n_ids && x->finish == y->finish,
                  "way %d row %d: %d tokens, not %d", way, row, y->n_ids, x->n_ids);
    if (!x->ids) return;
    ck_assert_msg(!memcmp(x->ids, y->ids, (size_t)x->n_ids * sizeof *x->ids),
                  "way %d row %d: other tokens", way, row);
    ck_assert_uint_eq(x->text.len, y->text.len);
    ck_assert(!x->logprobs == !y->logprobs);
    if (!x->logprobs) return;
    ck_assert_msg(!memcmp(x->logprobs, y->logprobs,
                          (size_t)x->n_ids * (1 + (size_t)p.top_logprobs) * sizeof *x->logprobs),
                  "way %d row %d: other log-probabilities", way, row);
}

static void free_all(struct answers *a)
{
    for (int i = 0; i < ROWS; i++)
        rig_free(a->at[i], MAX_N);
}

START_TEST(a_row_is_the_same_in_all_ways_of_running_it)
{
    static struct answers plain, other;
    int n_tokens = 0;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16});
    run_way(&WAYS[0], &plain);
    for (int i = 0; i < ROWS; i++)
        n_tokens += plain.at[i][0].n_ids;
    ck_assert_int_gt(n_tokens, 3000);
    for (int w = 1; w < N_WAYS; w++) {
        run_way(&WAYS[w], &other);
        for (int i = 0; i < ROWS; i++)
            for (int k = 0; k < MAX_N; k++)
                same(&plain.at[i][k], &other.at[i][k], i, w);
        free_all(&other);
    }
    free_all(&plain);
    rig_close();
}
END_TEST

/* What is read back from a narrow KV block is the same for whoever reads it. */
START_TEST(a_row_is_the_same_with_narrow_kv_blocks_too)
{
    static struct answers plain, other;
    struct way ways[] = {WAYS[0], WAYS[8], WAYS[9]};

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16});
    for (int w = 0; w < 3; w++) {
        ways[w].o.kv_dtype = DTYPE_F16;
        ways[w].o.kv_bytes /= 2;
        run_way(&ways[w], w ? &other : &plain);
        for (int i = 0; i < ROWS && w; i++)
            for (int k = 0; k < MAX_N; k++)
                same(&plain.at[i][k], &other.at[i][k], i, w);
        if (w) free_all(&other);
    }
    free_all(&plain);
    rig_close();
}
END_TEST

START_TEST(the_answers_of_a_row_have_seeds_one_behind_the_other)
{
    struct sampling p = {.temperature = 1, .top_p = 1, .seed = 40, .n = 3, .max_tokens = 12};
    const int32_t ids[] = {3, 4, 5, 6};
    struct outcome all[3] = {0}, alone, o;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16});
    rig_start((struct engine_opts){0});
    p.ignore_eos = true;
    rig_add(ids, 4, &p, 0);
    rig_run();
    while (engine_take(rig.en, &o))
        all[o.index] = o;
    p.n = 1;
    for (int i = 0; i < 3; i++) {
        p.seed = 40 + (uint64_t)i;
        rig_add(ids, 4, &p, 0);
        rig_run();
        ck_assert(engine_take(rig.en, &alone));
        ck_assert_mem_eq(alone.ids, all[i].ids, 12 * sizeof *alone.ids);
        rig_free(&alone, 1);
    }
    ck_assert_mem_ne(all[0].ids, all[1].ids, 12 * sizeof(int32_t));
    rig_free(all, 3);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("determinism");
    TCase *t = tcase_create("tiny");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_row_is_the_same_in_all_ways_of_running_it);
    tcase_add_test(t, a_row_is_the_same_with_narrow_kv_blocks_too);
    tcase_add_test(t, the_answers_of_a_row_have_seeds_one_behind_the_other);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
