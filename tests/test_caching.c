/* test_caching.c - worker/engine: what the prefix cache saves, and that it saves it for everybody.
 */
#include <string.h>

#include "tests/rig.h"
#include "tests/test.h"

#define BLOCK_BYTES (3 * 2 * 2 * 16 * 20 * 4) /* of the tiny model: layers, K and V, heads, ... */
#define PREFIX      480
#define ROWS        200

static void open_tiny(void)
{
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16});
}

/* One prefix, and five tokens of the row's own. */
static void add_row(int i, int prefix)
{
    struct sampling p = {.temperature = 0.7f, .top_p = 1, .seed = (uint64_t)i, .max_tokens = 6};
    int32_t ids[PREFIX + 5];

    p.ignore_eos = true;
    for (int k = 0; k < prefix; k++)
        ids[k] = (k * k + 3) % (TINY_VOCAB - 1) + 1;
    for (int k = 0; k < 5; k++)
        ids[prefix + k] = (i * 7 + k * i) % (TINY_VOCAB - 1) + 1;
    rig_add(ids, prefix + 5, &p, i);
}

static int64_t cached_of(struct outcome *out, int n)
{
    int64_t sum = 0;

    rig_take(out, n);
    for (int i = 0; i < n; i++) {
        ck_assert_int_lt(out[i].n_cached, out[i].n_prompt);
        sum += out[i].n_cached;
    }
    rig_free(out, n);
    return sum;
}

/* _i: the budget of a step, from under a block to several prompts. */
START_TEST(rows_with_one_prefix_that_arrive_together_compute_it_once)
{
    static const int BUDGET[] = {13, 100, 512, 4096};
    struct outcome out[ROWS];
    struct engine_stats st;
    int64_t cached;

    open_tiny();
    rig_start((struct engine_opts){.max_batched_tokens = BUDGET[_i]});
    for (int i = 0; i < ROWS; i++)
        add_row(i, PREFIX);
    rig_run();
    engine_stats(rig.en, &st);
    cached = cached_of(out, ROWS);
    ck_assert_int_eq(cached, (ROWS - 1) * PREFIX); /* of 200 rows 99.5 % */
    ck_assert_int_eq(st.prefill_tokens, PREFIX + ROWS * 5);
    ck_assert_int_eq(st.cached_tokens, cached);
    ck_assert_int_eq(st.kv_blocks_free, st.kv_blocks);
    rig_close();
}
END_TEST

START_TEST(without_the_cache_each_row_computes_its_prompt)
{
    struct outcome out[8];
    struct engine_stats st;

    open_tiny();
    rig_start((struct engine_opts){.no_prefix_caching = true});
    for (int i = 0; i < 8; i++)
        add_row(i, PREFIX);
    rig_run();
    engine_stats(rig.en, &st);
    ck_assert_int_eq(cached_of(out, 8), 0);
    ck_assert_int_eq(st.prefill_tokens, 8 * (PREFIX + 5));
    rig_close();
}
END_TEST

START_TEST(one_token_is_always_computed)
{
    const int32_t ids[32] = {5, 6, 7, 8};
    struct sampling p = RIG_GREEDY;
    struct outcome out[3];

    open_tiny();
    rig_start((struct engine_opts){0});
    p.max_tokens = 3;
    for (int i = 0; i < 3; i++) { /* the last one when the others are gone */
        rig_add(ids, 32, &p, i);
        if (i) rig_run();
    }
    rig_take(out, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(out[i].n_cached, i ? 16 : 0);
        ck_assert_mem_eq(out[i].ids, out[0].ids, 3 * sizeof(int32_t));
    }
    rig_free(out, 3);
    rig_close();
}
END_TEST

START_TEST(an_answer_is_found_again_as_the_beginning_of_a_prompt)
{
    struct sampling p = RIG_GREEDY;
    struct outcome first, second;
    int32_t ids[20 + 40 + 1] = {3, 4, 5};

    open_tiny();
    rig_start((struct engine_opts){0});
    p.max_tokens = 40;
    rig_add(ids, 20, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &first));
    memcpy(ids + 20, first.ids, 40 * sizeof *ids);
    ids[60] = 9;
    rig_add(ids, 61, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &second));
    ck_assert_int_eq(second.n_cached, 48); /* of 60 tokens, the last of which was never computed */
    rig_free(&first, 1), rig_free(&second, 1);
    rig_close();
}
END_TEST

/* B1, B4: with room for little more than one sequence all rows end, and most share what is there.
 */
START_TEST(a_small_cache_still_serves_everybody)
{
    struct outcome out[ROWS];
    struct engine_stats st;

    open_tiny();
    rig_start((struct engine_opts){.kv_bytes = 8 * BLOCK_BYTES, .max_batched_tokens = 20});
    for (int i = 0; i < ROWS; i++)
        add_row(i, 96);
    rig_run();
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.kv_blocks, 8);
    ck_assert_int_gt(cached_of(out, ROWS), ROWS * 96 * 9 / 10);
    rig_close();
}
END_TEST

/* A put-back sequence is let in again with what is left of its blocks. */
START_TEST(a_sequence_that_was_put_back_finds_its_blocks_again)
{
    struct sampling p = RIG_GREEDY;
    struct outcome out[4];
    struct engine_stats st;
    int32_t ids[64];

    open_tiny();
    rig_start((struct engine_opts){.kv_bytes = 18 * BLOCK_BYTES});
    p.max_tokens = 100;
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 64; k++)
            ids[k] = (k * 7 + i * 11) % (TINY_VOCAB - 1) + 1;
        rig_add(ids, 64, &p, i);
    }
    rig_run();
    engine_stats(rig.en, &st);
    ck_assert_int_gt(st.put_back, 0);
    ck_assert_int_gt(st.cached_tokens, 0);
    ck_assert_int_eq(cached_of(out, 4), 0); /* no prompt was another's */
    rig_close();
}
END_TEST

/* Neither the long prompt nor those that decode wait for each other: while it is prefilled in
 * chunks, each of them gets a token in every step, and what they leave of the budget is the
 * prompt's. */
START_TEST(a_long_prompt_and_short_answers_go_on_side_by_side)
{
    enum {
        DECODING = 10,
        BUDGET = 50,
        LONG = 400,
        STEPS = (LONG + BUDGET - DECODING - 1) / (BUDGET - DECODING)
    };
    struct sampling p = RIG_GREEDY;
    struct engine_stats before, after;
    struct outcome out[DECODING + 1];
    int32_t ids[LONG];

    open_tiny();
    rig_start((struct engine_opts){.max_batched_tokens = BUDGET});
    p.max_tokens = 60;
    for (int i = 0; i < DECODING; i++)
        rig_add((int32_t[]){i + 2, 5, 9}, 3, &p, i);
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
    for (int k = 0; k < LONG; k++)
        ids[k] = (k * k + 7) % (TINY_VOCAB - 1) + 1;
    rig_add(ids, LONG, &p, DECODING);
    for (int i = 0; i < STEPS; i++) {
        engine_stats(rig.en, &before);
        ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
        engine_stats(rig.en, &after);
        ck_assert_int_eq(after.decode_tokens - before.decode_tokens, DECODING);
        if (i < STEPS - 1)
            ck_assert_int_eq(after.prefill_tokens - before.prefill_tokens, BUDGET - DECODING);
    }
    engine_stats(rig.en, &before);
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
    engine_stats(rig.en, &after);
    ck_assert_int_eq(after.decode_tokens - before.decode_tokens, DECODING + 1);
    rig_run();
    rig_take(out, DECODING + 1);
    rig_free(out, DECODING + 1);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("caching");
    TCase *t = tcase_create("tiny");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, rows_with_one_prefix_that_arrive_together_compute_it_once, 0, 4);
    tcase_add_test(t, without_the_cache_each_row_computes_its_prompt);
    tcase_add_test(t, one_token_is_always_computed);
    tcase_add_test(t, an_answer_is_found_again_as_the_beginning_of_a_prompt);
    tcase_add_test(t, a_small_cache_still_serves_everybody);
    tcase_add_test(t, a_sequence_that_was_put_back_finds_its_blocks_again);
    tcase_add_test(t, a_long_prompt_and_short_answers_go_on_side_by_side);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
