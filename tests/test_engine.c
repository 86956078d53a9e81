/* test_engine.c - worker/engine: what must not change a sequence's tokens, and how one ends. */
#include <math.h>
#include <string.h>

#include "kernels/simd.h"
#include "tests/rig.h"
#include "tests/test.h"

#define BLOCK_BYTES (3 * 2 * 2 * 16 * 20 * 4) /* of the tiny model: layers, K and V, heads, ... */

static void open_tiny(void)
{
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16});
}

/* A workload: N rows with prompts of 1 to 70 tokens, answers of 1 to 40, each its own seed. */
#define N 64
static void add_rows(int from, int to)
{
    for (int i = from; i < to; i++) {
        struct sampling p = {.temperature = 0.8f, .top_p = 0.95f, .top_k = i % 3 ? 0 : 20};
        int32_t ids[70];
        const int n = i * 37 % 70 + 1;

        for (int k = 0; k < n; k++)
            ids[k] = (i * 7 + k * k + 3) % (TINY_VOCAB - 1) + 1;
        p.seed = (uint64_t)i;
        p.max_tokens = i * 11 % 40 + 1;
        rig_add(ids, n, &p, i);
    }
}

static void same_tokens(const struct outcome *a, const struct outcome *b)
{
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(a[i].n_ids, b[i].n_ids);
        ck_assert_mem_eq(a[i].ids, b[i].ids, (size_t)a[i].n_ids * sizeof *a[i].ids);
        ck_assert_uint_eq(a[i].text.len, b[i].text.len);
        ck_assert_int_eq(a[i].finish, b[i].finish);
    }
}

/* The workload's tokens with ample room, then with o: the same (E1). */
static void same_as_ample(struct engine_opts o)
{
    struct outcome plain[N], other[N];

    open_tiny();
    rig_start((struct engine_opts){0});
    add_rows(0, N);
    rig_run();
    rig_take(plain, N);
    rig_start(o);
    add_rows(0, N);
    rig_run();
    rig_take(other, N);
    same_tokens(plain, other);
    rig_free(plain, N), rig_free(other, N);
}

START_TEST(a_batch_of_one_gives_the_tokens_of_a_batch_of_64)
{
    struct outcome many[N], alone[N];

    open_tiny();
    rig_start((struct engine_opts){0});
    add_rows(0, N);
    rig_run();
    rig_take(many, N);
    for (int i = 0; i < N; i++) {
        add_rows(i, i + 1);
        rig_run();
        ck_assert(engine_take(rig.en, &alone[i]));
    }
    same_tokens(many, alone);
    rig_free(many, N), rig_free(alone, N);
    rig_close();
}
END_TEST

/* Who was in the steps, as the watcher is told. */
struct watched {
    int begun, ended, most;
};

static void note(void *arg, void *const *owners, int n)
{
    struct watched *w = arg;

    w->begun += n > 0;
    w->ended += n == 0 && !owners;
    if (n > w->most) w->most = n;
    for (int i = 1; i < n; i++)
        ck_assert_ptr_ne(owners[i], owners[i - 1]);
}

START_TEST(a_watcher_is_told_of_each_step_and_beats_grow_with_each_layer)
{
    struct watched w = {0};
    struct engine_stats st;
    struct outcome out[N];

    open_tiny();
    rig_start((struct engine_opts){0});
    engine_watch(rig.en, note, &w);
    add_rows(0, N);
    rig_run();
    engine_stats(rig.en, &st);
    ck_assert_int_eq(w.begun, st.steps);
    ck_assert_int_eq(w.ended, st.steps);
    ck_assert_int_gt(w.most, 1);
    ck_assert_int_eq(engine_beats(rig.en), st.steps * rig.model.config.n_layers);
    rig_take(out, N);
    rig_free(out, N);
    rig_close();
}
END_TEST

START_TEST(prefill_chunks_do_not_change_the_tokens)
{
    static const int CHUNKS[] = {1, 7, 64};

    same_as_ample((struct engine_opts){.max_batched_tokens = CHUNKS[_i], .max_num_seqs = 5});
    rig_close();
}
END_TEST

START_TEST(threads_do_not_change_the_tokens)
{
    same_as_ample((struct engine_opts){.threads = 3});
    rig_close();
}
END_TEST

START_TEST(a_sequence_that_was_put_back_gives_the_same_tokens)
{
    struct engine_stats st;

    /* 8 blocks of 16 tokens: the longest row needs 7 */
    same_as_ample((struct engine_opts){.kv_bytes = 8 * BLOCK_BYTES});
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.kv_blocks, 8);
    ck_assert_int_eq(st.kv_blocks_free, 8);
    ck_assert_int_gt(st.put_back, 0);
    rig_close();
}
END_TEST

/* With bf16 weights the inputs of a product are rounded to bf16: where two sums differ in their
 * last bit, one may round up and the other down, 2^-9 of an input apart. */
START_TEST(the_reference_ops_give_the_same_logits)
{
    const float tolerance = _i == DTYPE_BF16 ? 1e-2f : 1e-4f;
    float cpu[TINY_VOCAB], ref[TINY_VOCAB];
    int32_t ids[50];

    tiny_open(&rig.model, &(struct tiny){.dtype = (enum dtype)_i, .tied = _i == 1});
    for (int i = 0; i < 50; i++)
        ids[i] = i * i % TINY_VOCAB;
    rig_start((struct engine_opts){.device = device_cpu()});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, cpu, &rig.err), ERR_OK);
    rig_start((struct engine_opts){.device = device_ref(), .max_batched_tokens = 13});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, ref, &rig.err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++)
        ck_assert_float_eq_tol(cpu[i], ref[i], tolerance);
    rig_close();
}
END_TEST

/* E1, and half the memory for the same tokens of context. */
START_TEST(kv_of_16_bits_keeps_tokens_equal_in_any_batch)
{
    const enum dtype kv = _i ? DTYPE_BF16 : DTYPE_F16;
    struct outcome many[N], alone[N];
    struct engine_stats st;

    open_tiny();
    rig_start((struct engine_opts){.kv_dtype = kv, .kv_bytes = 8 * BLOCK_BYTES});
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.kv_blocks, 16);
    add_rows(0, N);
    rig_run();
    rig_take(many, N);
    rig_start((struct engine_opts){.kv_dtype = kv, .threads = 2, .max_batched_tokens = 7});
    add_rows(0, N);
    rig_run();
    rig_take(alone, N);
    same_tokens(many, alone);
    rig_free(many, N), rig_free(alone, N);
    rig_close();
}
END_TEST

START_TEST(kv_of_16_bits_stays_near_the_logits_of_32)
{
    const enum dtype kv = _i ? DTYPE_BF16 : DTYPE_F16;
    const float tolerance = _i ? 0.1f : 0.02f; /* roundings of 2^-9 or 2^-12, three layers deep */
    float wide[TINY_VOCAB], narrow[TINY_VOCAB], ref[TINY_VOCAB];
    int32_t ids[50];

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    for (int i = 0; i < 50; i++)
        ids[i] = i * i % TINY_VOCAB;
    rig_start((struct engine_opts){0});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, wide, &rig.err), ERR_OK);
    rig_start((struct engine_opts){.kv_dtype = kv});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, narrow, &rig.err), ERR_OK);
    rig_start((struct engine_opts){.kv_dtype = kv, .device = device_ref()});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, ref, &rig.err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++) {
        ck_assert_float_eq_tol(narrow[i], wide[i], tolerance);
        ck_assert_float_eq_tol(narrow[i], ref[i], tolerance / 10); /* some round the other way */
    }
    ck_assert_mem_ne(narrow, wide, sizeof wide);
    rig_close();
}
END_TEST

START_TEST(narrower_vectors_stay_near_the_reference)
{
    static const enum simd_level LEVELS[] = {SIMD_BASE, SIMD_V3};
    float cpu[TINY_VOCAB], ref[TINY_VOCAB];
    const int32_t ids[] = {5, 9, 33, 2, 7, 60, 1};

    open_tiny();
    rig_start((struct engine_opts){.device = device_ref()});
    ck_assert_int_eq(engine_logits(rig.en, ids, 7, ref, &rig.err), ERR_OK);
    rig_start((struct engine_opts){.device = device_cpu()});
    simd_cap(LEVELS[_i]);
    ck_assert_int_eq(engine_logits(rig.en, ids, 7, cpu, &rig.err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++)
        ck_assert_float_eq_tol(cpu[i], ref[i], 1e-4f);
    rig_close();
}
END_TEST

/* What moves by a rounding of K and V may fall to the other side where products round their inputs
 * to bf16: 2^-8 a layer, of logits up to 4.5. */
START_TEST(narrow_kv_blocks_stay_near_wide_ones)
{
    static const enum dtype KV[] = {DTYPE_F16, DTYPE_BF16};
    float wide[TINY_VOCAB], narrow[TINY_VOCAB], moved = 0;
    int32_t ids[50];

    open_tiny();
    for (int i = 0; i < 50; i++)
        ids[i] = i * i % TINY_VOCAB;
    rig_start((struct engine_opts){0});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, wide, &rig.err), ERR_OK);
    rig_start((struct engine_opts){.kv_dtype = KV[_i], .max_batched_tokens = 7});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, narrow, &rig.err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++) {
        ck_assert_float_eq_tol(narrow[i], wide[i], 0.1f);
        moved = fmaxf(moved, fabsf(narrow[i] - wide[i]));
    }
    ck_assert_float_gt(moved, 0); /* it is stored otherwise */
    rig_close();
}
END_TEST

START_TEST(logits_leave_the_queue_as_it_was)
{
    struct outcome plain[N], other[N];
    float logits[TINY_VOCAB];
    struct engine_stats st;

    open_tiny();
    rig_start((struct engine_opts){0});
    add_rows(0, N);
    rig_run();
    rig_take(plain, N);
    add_rows(0, N);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
        ck_assert_int_eq(engine_logits(rig.en, (int32_t[]){3, 4, 5}, 3, logits, &rig.err), ERR_OK);
    }
    rig_run();
    rig_take(other, N);
    same_tokens(plain, other);
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.kv_blocks, st.kv_blocks_free);
    rig_free(plain, N), rig_free(other, N);
    rig_close();
}
END_TEST

START_TEST(a_prompt_without_room_is_refused_with_both_numbers)
{
    static int32_t ids[TINY_POSITIONS + 1];
    struct sampling p = RIG_GREEDY;

    for (int i = 0; i <= TINY_POSITIONS; i++)
        ids[i] = 5;
    open_tiny();
    rig_start((struct engine_opts){.kv_bytes = 9 * BLOCK_BYTES});
    ck_assert_int_eq(engine_max_len(rig.en), TINY_POSITIONS);
    ck_assert_int_eq(engine_kv_tokens(rig.en), 9 * 16);
    p.max_tokens = 5;
    ck_assert_int_eq(engine_add(rig.en, ids, TINY_POSITIONS, &p, NULL, &rig.err), ERR_ARG);
    ck_assert_msg(strstr(rig.err.text, "600 tokens") && strstr(rig.err.text, "is 600"), "%s",
                  rig.err.text);
    ck_assert_int_eq(engine_add(rig.en, ids, 200, &p, NULL, &rig.err), ERR_FULL);
    ck_assert_msg(strstr(rig.err.text, "200") && strstr(rig.err.text, "144"), "%s", rig.err.text);
    ck_assert_int_eq(engine_add(rig.en, ids, 141, &p, NULL, &rig.err), ERR_FULL);
    ck_assert_int_eq(engine_add(rig.en, ids, 140, &p, NULL, &rig.err),
                     ERR_OK); /* 5 more, the last not kept */
    rig_run();

    rig_start((struct engine_opts){.max_model_len = 50});
    p.max_tokens = 0;
    ck_assert_int_eq(engine_add(rig.en, ids, 50, &p, NULL, &rig.err), ERR_ARG);
    rig_add(ids, 49, &p, 0);
    rig_add(ids, 20, &p, 1);
    rig_run();
    for (int i = 0; i < 2; i++) {
        struct outcome o;

        ck_assert(engine_take(rig.en, &o));
        ck_assert_int_eq(o.n_prompt + o.n_ids, 50);
        ck_assert_int_eq(o.finish, FINISH_LENGTH);
        rig_free(&o, 1);
    }
    rig_close();
}
END_TEST

START_TEST(a_bad_prompt_is_refused_and_named)
{
    struct sampling p = RIG_GREEDY;

    open_tiny();
    rig_start((struct engine_opts){0});
    ck_assert_int_eq(engine_add(rig.en, NULL, 0, &p, NULL, &rig.err), ERR_ARG);
    ck_assert_int_eq(engine_add(rig.en, (int32_t[]){1, TINY_VOCAB}, 2, &p, NULL, &rig.err),
                     ERR_ARG);
    ck_assert_msg(strstr(rig.err.text, "61") != NULL, "%s", rig.err.text);
    ck_assert_int_eq(engine_add(rig.en, (int32_t[]){-1}, 1, &p, NULL, &rig.err), ERR_ARG);
    p.top_p = 0;
    ck_assert_int_eq(engine_add(rig.en, (int32_t[]){1}, 1, &p, NULL, &rig.err), ERR_ARG);
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_EMPTY);
    rig_close();
}
END_TEST

START_TEST(an_abort_gives_exactly_one_outcome)
{
    struct sampling p = RIG_GREEDY;
    struct outcome out[4];
    struct engine_stats st;

    open_tiny();
    rig_start((struct engine_opts){.max_num_seqs = 2});
    p.max_tokens = 10;
    for (int i = 0; i < 4; i++)
        rig_add((int32_t[]){3, 4, 5}, 3, &p, i);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
    engine_abort(rig.en, (void *)(intptr_t)1);  /* running */
    engine_abort(rig.en, (void *)(intptr_t)3);  /* waiting */
    engine_abort(rig.en, (void *)(intptr_t)3);  /* done */
    engine_abort(rig.en, (void *)(intptr_t)77); /* unknown */
    rig_run();
    rig_take(out, 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(out[i].finish, i % 2 ? FINISH_ABORT : FINISH_LENGTH);
        ck_assert_int_eq(out[i].n_ids, i == 1 ? 3 : i == 3 ? 0 : 10);
    }
    ck_assert_mem_eq(out[1].ids, out[0].ids, 3 * sizeof(int32_t));
    ck_assert_str_eq(finish_name(FINISH_ABORT), "abort");
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.kv_blocks, st.kv_blocks_free);
    rig_free(out, 4);
    rig_close();
}
END_TEST

START_TEST(close_frees_what_was_not_taken)
{
    open_tiny();
    rig_start((struct engine_opts){.max_num_seqs = 2});
    add_rows(0, 20);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
    rig_close(); /* AddressSanitizer looks */
}
END_TEST

START_TEST(the_end_token_ends_without_text)
{
    struct sampling p = {.temperature = 8, .top_p = 1}; /* every token is likely */
    struct outcome o, free_run;
    const int32_t ids[] = {3, 4, 5};
    int at = 0;

    open_tiny();
    rig_start((struct engine_opts){0});
    p.max_tokens = 400;
    p.ignore_eos = true;
    rig_add(ids, 3, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &free_run));
    ck_assert_int_eq(free_run.n_ids, 400);
    ck_assert_int_eq(free_run.finish, FINISH_LENGTH);
    while (at < 400 && free_run.ids[at] != 0)
        at++;
    ck_assert_int_lt(at, 399);

    p.ignore_eos = false;
    rig_add(ids, 3, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &o));
    ck_assert_int_eq(o.finish, FINISH_STOP);
    ck_assert_int_eq(o.n_ids, at + 1);
    ck_assert_mem_eq(o.ids, free_run.ids, (size_t)o.n_ids * sizeof *o.ids);
    ck_assert_mem_eq(o.text.data, free_run.text.data, o.text.len);
    ck_assert_ptr_null(strstr(free_run.text.data, "<|end|>"));
    rig_free(&o, 1);

    p.min_tokens = at + 20;
    rig_add(ids, 3, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &o));
    ck_assert_int_ge(o.n_ids, at + 20);
    for (int i = 0; i < at + 20; i++)
        ck_assert_int_ne(o.ids[i], 0);
    rig_free(&o, 1), rig_free(&free_run, 1);
    rig_close();
}
END_TEST

START_TEST(a_stop_string_cuts_the_text_and_keeps_the_ids)
{
    struct sampling p = RIG_GREEDY;
    struct outcome whole, o;
    const int32_t ids[] = {9, 8, 7};
    size_t len, at;
    char stop[8];

    open_tiny();
    rig_start((struct engine_opts){0});
    p.temperature = 1;
    p.max_tokens = 60;
    rig_add(ids, 3, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &whole));
    ck_assert_uint_gt(len = whole.text.len, 50);
    memcpy(stop, whole.text.data + 30, 7); /* five or more tokens */
    stop[7] = '\0';
    at = (size_t)(strstr(whole.text.data, stop) - whole.text.data);

    p.n_stops = 2;
    p.stops[0].text = "never said", p.stops[0].len = 10;
    p.stops[1].text = stop, p.stops[1].len = 7;
    rig_add(ids, 3, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &o));
    ck_assert_int_eq(o.finish, FINISH_STOP);
    ck_assert_uint_eq(o.text.len, at);
    ck_assert_mem_eq(o.text.data, whole.text.data, at);
    ck_assert_mem_eq(o.ids, whole.ids, (size_t)o.n_ids * sizeof *o.ids);
    ck_assert_int_lt(o.n_ids, 60);
    rig_free(&o, 1);

    p.min_tokens = 60; /* the string comes too early to count */
    rig_add(ids, 3, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &o));
    ck_assert_int_eq(o.n_ids, 60);
    ck_assert_uint_eq(o.text.len, len);
    rig_free(&o, 1), rig_free(&whole, 1);
    rig_close();
}
END_TEST

START_TEST(times_and_counts_are_kept)
{
    struct sampling p = RIG_GREEDY;
    struct engine_stats st;
    struct outcome o;

    open_tiny();
    rig_start((struct engine_opts){.max_batched_tokens = 4});
    p.max_tokens = 6;
    rig_add((int32_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 10, &p, 0);
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.n_waiting, 1);
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.n_running, 1);
    rig_run();
    ck_assert(engine_take(rig.en, &o));
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.prefill_tokens, 10);
    ck_assert_int_eq(st.decode_tokens, 5);
    ck_assert_int_eq(st.steps, 3 + 5);
    ck_assert(o.added_ns <= o.started_ns && o.started_ns < o.first_ns && o.first_ns < o.done_ns);
    ck_assert_int_eq(o.n_prompt, 10);
    rig_free(&o, 1);
    rig_close();
}
END_TEST

static int try_open(const struct tiny *t)
{
    const struct engine_opts o = {.model = &rig.model,
                                  .device = device_cpu(),
                                  .threads = 1,
                                  .kv_bytes = RIG_AMPLE,
                                  .max_num_seqs = 4,
                                  .max_batched_tokens = 16};
    int rc;

    tiny_open(&rig.model, t);
    rc = engine_open(&rig.en, &o, &rig.err);
    rig_close();
    return rc;
}

START_TEST(a_wrong_tensor_is_refused_by_name)
{
    ck_assert_int_eq(try_open(&(struct tiny){.without = "model.layers.1.mlp.up_proj.weight"}),
                     ERR_FORMAT);
    ck_assert_msg(strstr(rig.err.text, "'model.layers.1.mlp.up_proj.weight' [50, 36] is missing"),
                  "%s", rig.err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.bent = "model.layers.2.self_attn.k_proj.weight"}),
                     ERR_FORMAT);
    ck_assert_msg(strstr(rig.err.text, "'model.layers.2.self_attn.k_proj.weight' is [40, 35]") &&
                      strstr(rig.err.text, "[40, 36]"),
                  "%s", rig.err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.bent = "model.norm.weight"}), ERR_FORMAT);
    ck_assert_msg(strstr(rig.err.text, "'model.norm.weight' is [35]"), "%s", rig.err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.without = "lm_head.weight"}), ERR_FORMAT);
    ck_assert_msg(strstr(rig.err.text, "lm_head.weight"), "%s", rig.err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.extra = "model.layers.0.self_attn.q_proj.bias"}),
                     ERR_UNSUPPORTED);
    ck_assert_msg(strstr(rig.err.text, "q_proj.bias"), "%s", rig.err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.extra = "model.layers.3.input_layernorm.weight"}),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(
        try_open(&(struct tiny){.extra = "model.layers.0.self_attn.rotary_emb.inv_freq"}), ERR_OK);
}
END_TEST

START_TEST(an_option_out_of_range_is_refused)
{
    const struct engine_opts good = {.model = &rig.model,
                                     .device = device_cpu(),
                                     .threads = 1,
                                     .kv_bytes = RIG_AMPLE,
                                     .max_num_seqs = 4,
                                     .max_batched_tokens = 16};
    struct engine_opts o;

    open_tiny();
    o = good, o.threads = 0;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_ARG);
    o = good, o.max_num_seqs = 0;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_ARG);
    o = good, o.max_batched_tokens = 0;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_ARG);
    o = good, o.kv_bytes = 1000;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_ARG);
    ck_assert_msg(strstr(rig.err.text, "1000"), "%s", rig.err.text);
    o = good, o.max_model_len = TINY_POSITIONS + 1;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_ARG);
    ck_assert_msg(strstr(rig.err.text, "601") && strstr(rig.err.text, "600"), "%s", rig.err.text);
    o = good, o.kv_dtype = DTYPE_Q8_0;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_UNSUPPORTED);
    ck_assert_ptr_null(rig.en);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("engine");
    TCase *t = tcase_create("tiny");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_batch_of_one_gives_the_tokens_of_a_batch_of_64);
    tcase_add_test(t, a_watcher_is_told_of_each_step_and_beats_grow_with_each_layer);
    tcase_add_loop_test(t, prefill_chunks_do_not_change_the_tokens, 0, 3);
    tcase_add_test(t, threads_do_not_change_the_tokens);
    tcase_add_test(t, a_sequence_that_was_put_back_gives_the_same_tokens);
    tcase_add_loop_test(t, the_reference_ops_give_the_same_logits, 0, 3);
    tcase_add_loop_test(t, kv_of_16_bits_keeps_tokens_equal_in_any_batch, 0, 2);
    tcase_add_loop_test(t, kv_of_16_bits_stays_near_the_logits_of_32, 0, 2);
    tcase_add_loop_test(t, narrower_vectors_stay_near_the_reference, 0, 2);
    tcase_add_loop_test(t, narrow_kv_blocks_stay_near_wide_ones, 0, 2);
    tcase_add_test(t, logits_leave_the_queue_as_it_was);
    tcase_add_test(t, a_prompt_without_room_is_refused_with_both_numbers);
    tcase_add_test(t, a_bad_prompt_is_refused_and_named);
    tcase_add_test(t, an_abort_gives_exactly_one_outcome);
    tcase_add_test(t, close_frees_what_was_not_taken);
    tcase_add_test(t, the_end_token_ends_without_text);
    tcase_add_test(t, a_stop_string_cuts_the_text_and_keeps_the_ids);
    tcase_add_test(t, times_and_counts_are_kept);
    tcase_add_test(t, a_wrong_tensor_is_refused_by_name);
    tcase_add_test(t, an_option_out_of_range_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
