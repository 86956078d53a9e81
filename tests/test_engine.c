/* test_engine.c - worker/engine: golden tokens, and what must not change them. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/simd.h"
#include "model/tokenizer.h"
#include "tests/test.h"
#include "tests/tiny.h"
#include "worker/engine.h"

#define AMPLE       ((size_t)64 << 20)
#define BLOCK_BYTES (3 * 2 * 2 * 16 * 20 * 4) /* of the tiny model: layers, K and V, heads, ... */

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

static struct model model;
static struct engine *en;
static struct errmsg err;

static void close_all(void)
{
    engine_close(&en);
    tiny_close(&model);
}

static void open_tiny(void)
{
    tiny_open(&model, &(struct tiny){.dtype = DTYPE_BF16});
}

/* Restarts `en` on the open model. */
static void start(struct engine_opts o)
{
    engine_close(&en);
    o.model = &model;
    if (!o.ops) o.ops = ops_cpu();
    if (!o.threads) o.threads = 1;
    if (!o.kv_bytes) o.kv_bytes = AMPLE;
    if (!o.max_num_seqs) o.max_num_seqs = 64;
    if (!o.max_batched_tokens) o.max_batched_tokens = 512;
    ck_assert_msg(engine_open(&en, &o, &err) == ERR_OK, "%s", err.text);
}

static const struct sampling GREEDY = {.top_p = 1, .ignore_eos = true};

static void add(const int32_t *ids, int n, const struct sampling *p, int owner)
{
    ck_assert_msg(engine_add(en, ids, n, p, (void *)(intptr_t)owner, &err) == ERR_OK, "%s",
                  err.text);
}

static void run(void)
{
    int rc;

    while ((rc = engine_step(en, &err)) == ERR_OK)
        ;
    ck_assert_msg(rc == ERR_EMPTY, "%s", err.text);
}

/* Takes every outcome into out[owner]; each owner once (E2). */
static void take_all(struct outcome *out, int n)
{
    struct outcome o;

    memset(out, 0, (size_t)n * sizeof *out);
    for (int i = 0; i < n; i++) {
        ck_assert_msg(engine_take(en, &o), "%d of %d came out", i, n);
        ck_assert_int_lt((int)(intptr_t)o.owner, n);
        ck_assert_ptr_null(out[(intptr_t)o.owner].ids);
        out[(intptr_t)o.owner] = o;
    }
    ck_assert(!engine_take(en, &o));
}

static void free_all(struct outcome *out, int n)
{
    for (int i = 0; i < n; i++) {
        free(out[i].ids);
        buf_fini(&out[i].text);
    }
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
        add(ids, n, &p, i);
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
    start((struct engine_opts){0});
    add_rows(0, N);
    run();
    take_all(plain, N);
    start(o);
    add_rows(0, N);
    run();
    take_all(other, N);
    same_tokens(plain, other);
    free_all(plain, N), free_all(other, N);
}

START_TEST(a_batch_of_one_gives_the_tokens_of_a_batch_of_64)
{
    struct outcome many[N], alone[N];

    open_tiny();
    start((struct engine_opts){0});
    add_rows(0, N);
    run();
    take_all(many, N);
    for (int i = 0; i < N; i++) {
        add_rows(i, i + 1);
        run();
        ck_assert(engine_take(en, &alone[i]));
    }
    same_tokens(many, alone);
    free_all(many, N), free_all(alone, N);
    close_all();
}
END_TEST

START_TEST(prefill_chunks_do_not_change_the_tokens)
{
    static const int CHUNKS[] = {1, 7, 64};

    same_as_ample((struct engine_opts){.max_batched_tokens = CHUNKS[_i], .max_num_seqs = 5});
    close_all();
}
END_TEST

START_TEST(threads_do_not_change_the_tokens)
{
    same_as_ample((struct engine_opts){.threads = 3});
    close_all();
}
END_TEST

START_TEST(a_sequence_that_was_put_back_gives_the_same_tokens)
{
    struct engine_stats st;

    /* 8 blocks of 16 tokens: the longest row needs 7 */
    same_as_ample((struct engine_opts){.kv_bytes = 8 * BLOCK_BYTES});
    engine_stats(en, &st);
    ck_assert_int_eq(st.kv_blocks, 8);
    ck_assert_int_eq(st.kv_blocks_free, 8);
    ck_assert_int_gt(st.put_back, 0);
    close_all();
}
END_TEST

START_TEST(the_reference_ops_give_the_same_logits)
{
    float cpu[TINY_VOCAB], ref[TINY_VOCAB];
    int32_t ids[50];

    tiny_open(&model, &(struct tiny){.dtype = (enum dtype)_i, .tied = _i == 1});
    for (int i = 0; i < 50; i++)
        ids[i] = i * i % TINY_VOCAB;
    start((struct engine_opts){0});
    ck_assert_int_eq(engine_logits(en, ids, 50, cpu, &err), ERR_OK);
    start((struct engine_opts){.ops = ops_ref(), .max_batched_tokens = 13});
    ck_assert_int_eq(engine_logits(en, ids, 50, ref, &err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++)
        ck_assert_float_eq_tol(cpu[i], ref[i], 1e-4f);
    close_all();
}
END_TEST

START_TEST(narrower_vectors_stay_near_the_reference)
{
    static const enum simd_level LEVELS[] = {SIMD_BASE, SIMD_V3};
    float cpu[TINY_VOCAB], ref[TINY_VOCAB];
    const int32_t ids[] = {5, 9, 33, 2, 7, 60, 1};

    open_tiny();
    start((struct engine_opts){.ops = ops_ref()});
    ck_assert_int_eq(engine_logits(en, ids, 7, ref, &err), ERR_OK);
    start((struct engine_opts){0});
    simd_cap(LEVELS[_i]);
    ck_assert_int_eq(engine_logits(en, ids, 7, cpu, &err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++)
        ck_assert_float_eq_tol(cpu[i], ref[i], 1e-4f);
    close_all();
}
END_TEST

START_TEST(logits_leave_the_queue_as_it_was)
{
    struct outcome plain[N], other[N];
    float logits[TINY_VOCAB];
    struct engine_stats st;

    open_tiny();
    start((struct engine_opts){0});
    add_rows(0, N);
    run();
    take_all(plain, N);
    add_rows(0, N);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(engine_step(en, &err), ERR_OK);
        ck_assert_int_eq(engine_logits(en, (int32_t[]){3, 4, 5}, 3, logits, &err), ERR_OK);
    }
    run();
    take_all(other, N);
    same_tokens(plain, other);
    engine_stats(en, &st);
    ck_assert_int_eq(st.kv_blocks, st.kv_blocks_free);
    free_all(plain, N), free_all(other, N);
    close_all();
}
END_TEST

START_TEST(a_step_allocates_nothing)
{
    struct outcome out[N];
    int rc;

    open_tiny();
    start((struct engine_opts){.threads = 2});
    add_rows(0, N);
    counting = true;
    while ((rc = engine_step(en, &err)) == ERR_OK)
        ;
    counting = false;
    ck_assert_int_eq(rc, ERR_EMPTY);
    ck_assert_int_eq(n_allocs, 0);
    counting = true;
    rc = engine_add(en, (int32_t[]){1}, 1, &GREEDY, NULL, &err);
    counting = false;
    ck_assert_int_eq(rc, ERR_OK);
    if (CAN_COUNT) ck_assert_int_gt(n_allocs, 0); /* the counter does count */
    while (engine_take(en, &out[0]))
        free_all(out, 1);
    close_all();
}
END_TEST

START_TEST(a_prompt_without_room_is_refused_with_both_numbers)
{
    static int32_t ids[TINY_POSITIONS + 1];
    struct sampling p = GREEDY;

    for (int i = 0; i <= TINY_POSITIONS; i++)
        ids[i] = 5;
    open_tiny();
    start((struct engine_opts){.kv_bytes = 9 * BLOCK_BYTES});
    ck_assert_int_eq(engine_max_len(en), TINY_POSITIONS);
    ck_assert_int_eq(engine_kv_tokens(en), 9 * 16);
    p.max_tokens = 5;
    ck_assert_int_eq(engine_add(en, ids, TINY_POSITIONS, &p, NULL, &err), ERR_ARG);
    ck_assert_msg(strstr(err.text, "600 tokens") && strstr(err.text, "is 600"), "%s", err.text);
    ck_assert_int_eq(engine_add(en, ids, 200, &p, NULL, &err), ERR_FULL);
    ck_assert_msg(strstr(err.text, "200") && strstr(err.text, "144"), "%s", err.text);
    ck_assert_int_eq(engine_add(en, ids, 141, &p, NULL, &err), ERR_FULL);
    ck_assert_int_eq(engine_add(en, ids, 140, &p, NULL, &err),
                     ERR_OK); /* 5 more, the last not kept */
    run();

    start((struct engine_opts){.max_model_len = 50});
    p.max_tokens = 0;
    ck_assert_int_eq(engine_add(en, ids, 50, &p, NULL, &err), ERR_ARG);
    add(ids, 49, &p, 0);
    add(ids, 20, &p, 1);
    run();
    for (int i = 0; i < 2; i++) {
        struct outcome o;

        ck_assert(engine_take(en, &o));
        ck_assert_int_eq(o.n_prompt + o.n_ids, 50);
        ck_assert_int_eq(o.finish, FINISH_LENGTH);
        free_all(&o, 1);
    }
    close_all();
}
END_TEST

START_TEST(a_bad_prompt_is_refused_and_named)
{
    struct sampling p = GREEDY;

    open_tiny();
    start((struct engine_opts){0});
    ck_assert_int_eq(engine_add(en, NULL, 0, &p, NULL, &err), ERR_ARG);
    ck_assert_int_eq(engine_add(en, (int32_t[]){1, TINY_VOCAB}, 2, &p, NULL, &err), ERR_ARG);
    ck_assert_msg(strstr(err.text, "61") != NULL, "%s", err.text);
    ck_assert_int_eq(engine_add(en, (int32_t[]){-1}, 1, &p, NULL, &err), ERR_ARG);
    p.top_p = 0;
    ck_assert_int_eq(engine_add(en, (int32_t[]){1}, 1, &p, NULL, &err), ERR_ARG);
    ck_assert_int_eq(engine_step(en, &err), ERR_EMPTY);
    close_all();
}
END_TEST

START_TEST(an_abort_gives_exactly_one_outcome)
{
    struct sampling p = GREEDY;
    struct outcome out[4];
    struct engine_stats st;

    open_tiny();
    start((struct engine_opts){.max_num_seqs = 2});
    p.max_tokens = 10;
    for (int i = 0; i < 4; i++)
        add((int32_t[]){3, 4, 5}, 3, &p, i);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(engine_step(en, &err), ERR_OK);
    engine_abort(en, (void *)(intptr_t)1);  /* running */
    engine_abort(en, (void *)(intptr_t)3);  /* waiting */
    engine_abort(en, (void *)(intptr_t)3);  /* done */
    engine_abort(en, (void *)(intptr_t)77); /* unknown */
    run();
    take_all(out, 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(out[i].finish, i % 2 ? FINISH_ABORT : FINISH_LENGTH);
        ck_assert_int_eq(out[i].n_ids, i == 1 ? 3 : i == 3 ? 0 : 10);
    }
    ck_assert_mem_eq(out[1].ids, out[0].ids, 3 * sizeof(int32_t));
    ck_assert_str_eq(finish_name(FINISH_ABORT), "abort");
    engine_stats(en, &st);
    ck_assert_int_eq(st.kv_blocks, st.kv_blocks_free);
    free_all(out, 4);
    close_all();
}
END_TEST

START_TEST(close_frees_what_was_not_taken)
{
    open_tiny();
    start((struct engine_opts){.max_num_seqs = 2});
    add_rows(0, 20);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(engine_step(en, &err), ERR_OK);
    close_all(); /* AddressSanitizer looks */
}
END_TEST

START_TEST(the_end_token_ends_without_text)
{
    struct sampling p = {.temperature = 8, .top_p = 1}; /* every token is likely */
    struct outcome o, free_run;
    const int32_t ids[] = {3, 4, 5};
    int at = 0;

    open_tiny();
    start((struct engine_opts){0});
    p.max_tokens = 400;
    p.ignore_eos = true;
    add(ids, 3, &p, 0);
    run();
    ck_assert(engine_take(en, &free_run));
    ck_assert_int_eq(free_run.n_ids, 400);
    ck_assert_int_eq(free_run.finish, FINISH_LENGTH);
    while (at < 400 && free_run.ids[at] != 0)
        at++;
    ck_assert_int_lt(at, 399);

    p.ignore_eos = false;
    add(ids, 3, &p, 0);
    run();
    ck_assert(engine_take(en, &o));
    ck_assert_int_eq(o.finish, FINISH_STOP);
    ck_assert_int_eq(o.n_ids, at + 1);
    ck_assert_mem_eq(o.ids, free_run.ids, (size_t)o.n_ids * sizeof *o.ids);
    ck_assert_mem_eq(o.text.data, free_run.text.data, o.text.len);
    ck_assert_ptr_null(strstr(free_run.text.data, "<|end|>"));
    free_all(&o, 1);

    p.min_tokens = at + 20;
    add(ids, 3, &p, 0);
    run();
    ck_assert(engine_take(en, &o));
    ck_assert_int_ge(o.n_ids, at + 20);
    for (int i = 0; i < at + 20; i++)
        ck_assert_int_ne(o.ids[i], 0);
    free_all(&o, 1), free_all(&free_run, 1);
    close_all();
}
END_TEST

START_TEST(a_stop_string_cuts_the_text_and_keeps_the_ids)
{
    struct sampling p = GREEDY;
    struct outcome whole, o;
    const int32_t ids[] = {9, 8, 7};
    size_t len, at;
    char stop[8];

    open_tiny();
    start((struct engine_opts){0});
    p.temperature = 1;
    p.max_tokens = 60;
    add(ids, 3, &p, 0);
    run();
    ck_assert(engine_take(en, &whole));
    ck_assert_uint_gt(len = whole.text.len, 50);
    memcpy(stop, whole.text.data + 30, 7); /* five or more tokens */
    stop[7] = '\0';
    at = (size_t)(strstr(whole.text.data, stop) - whole.text.data);

    p.n_stops = 2;
    p.stops[0].text = "never said", p.stops[0].len = 10;
    p.stops[1].text = stop, p.stops[1].len = 7;
    add(ids, 3, &p, 0);
    run();
    ck_assert(engine_take(en, &o));
    ck_assert_int_eq(o.finish, FINISH_STOP);
    ck_assert_uint_eq(o.text.len, at);
    ck_assert_mem_eq(o.text.data, whole.text.data, at);
    ck_assert_mem_eq(o.ids, whole.ids, (size_t)o.n_ids * sizeof *o.ids);
    ck_assert_int_lt(o.n_ids, 60);
    free_all(&o, 1);

    p.min_tokens = 60; /* the string comes too early to count */
    add(ids, 3, &p, 0);
    run();
    ck_assert(engine_take(en, &o));
    ck_assert_int_eq(o.n_ids, 60);
    ck_assert_uint_eq(o.text.len, len);
    free_all(&o, 1), free_all(&whole, 1);
    close_all();
}
END_TEST

START_TEST(times_and_counts_are_kept)
{
    struct sampling p = GREEDY;
    struct engine_stats st;
    struct outcome o;

    open_tiny();
    start((struct engine_opts){.max_batched_tokens = 4});
    p.max_tokens = 6;
    add((int32_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 10, &p, 0);
    engine_stats(en, &st);
    ck_assert_int_eq(st.n_waiting, 1);
    ck_assert_int_eq(engine_step(en, &err), ERR_OK);
    engine_stats(en, &st);
    ck_assert_int_eq(st.n_running, 1);
    run();
    ck_assert(engine_take(en, &o));
    engine_stats(en, &st);
    ck_assert_int_eq(st.prefill_tokens, 10);
    ck_assert_int_eq(st.decode_tokens, 5);
    ck_assert_int_eq(st.steps, 3 + 5);
    ck_assert(o.added_ns <= o.started_ns && o.started_ns < o.first_ns && o.first_ns < o.done_ns);
    ck_assert_int_eq(o.n_prompt, 10);
    free_all(&o, 1);
    close_all();
}
END_TEST

static int try_open(const struct tiny *t)
{
    const struct engine_opts o = {.model = &model,
                                  .ops = ops_cpu(),
                                  .threads = 1,
                                  .kv_bytes = AMPLE,
                                  .max_num_seqs = 4,
                                  .max_batched_tokens = 16};
    int rc;

    tiny_open(&model, t);
    rc = engine_open(&en, &o, &err);
    close_all();
    return rc;
}

START_TEST(a_wrong_tensor_is_refused_by_name)
{
    ck_assert_int_eq(try_open(&(struct tiny){.without = "model.layers.1.mlp.up_proj.weight"}),
                     ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "'model.layers.1.mlp.up_proj.weight' [50, 36] is missing"), "%s",
                  err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.bent = "model.layers.2.self_attn.k_proj.weight"}),
                     ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "'model.layers.2.self_attn.k_proj.weight' is [40, 35]") &&
                      strstr(err.text, "[40, 36]"),
                  "%s", err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.bent = "model.norm.weight"}), ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "'model.norm.weight' is [35]"), "%s", err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.without = "lm_head.weight"}), ERR_FORMAT);
    ck_assert_msg(strstr(err.text, "lm_head.weight"), "%s", err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.extra = "model.layers.0.self_attn.q_proj.bias"}),
                     ERR_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "q_proj.bias"), "%s", err.text);
    ck_assert_int_eq(try_open(&(struct tiny){.extra = "model.layers.3.input_layernorm.weight"}),
                     ERR_UNSUPPORTED);
    ck_assert_int_eq(
        try_open(&(struct tiny){.extra = "model.layers.0.self_attn.rotary_emb.inv_freq"}), ERR_OK);
}
END_TEST

START_TEST(an_option_out_of_range_is_refused)
{
    const struct engine_opts good = {.model = &model,
                                     .ops = ops_cpu(),
                                     .threads = 1,
                                     .kv_bytes = AMPLE,
                                     .max_num_seqs = 4,
                                     .max_batched_tokens = 16};
    struct engine_opts o;

    open_tiny();
    o = good, o.threads = 0;
    ck_assert_int_eq(engine_open(&en, &o, &err), ERR_ARG);
    o = good, o.max_num_seqs = 0;
    ck_assert_int_eq(engine_open(&en, &o, &err), ERR_ARG);
    o = good, o.max_batched_tokens = 0;
    ck_assert_int_eq(engine_open(&en, &o, &err), ERR_ARG);
    o = good, o.kv_bytes = 1000;
    ck_assert_int_eq(engine_open(&en, &o, &err), ERR_ARG);
    ck_assert_msg(strstr(err.text, "1000"), "%s", err.text);
    o = good, o.max_model_len = TINY_POSITIONS + 1;
    ck_assert_int_eq(engine_open(&en, &o, &err), ERR_ARG);
    ck_assert_msg(strstr(err.text, "601") && strstr(err.text, "600"), "%s", err.text);
    o = good, o.kv_dtype = DTYPE_F16;
    ck_assert_int_eq(engine_open(&en, &o, &err), ERR_UNSUPPORTED);
    ck_assert_ptr_null(en);
    close_all();
}
END_TEST

/* stories260K: tokens and logits computed in float64 by an independent program. */

static json_t *goldens;

static void open_golden(void)
{
    json_error_t je;

    goldens = json_load_file(test_data("models/stories260K/goldens.json"), 0, &je);
    ck_assert_msg(goldens != NULL, "%s", je.text);
    tiny_open_dir(&model, test_data("models/stories260K/hf"));
}

static int ids_of(const json_t *a, int32_t *ids, int cap)
{
    const int n = (int)json_array_size(a);

    ck_assert_int_le(n, cap);
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(a, (size_t)i));
    return n;
}

static const struct ops *table(int i)
{
    return i ? ops_ref() : ops_cpu();
}

/* Largest |difference| of the next logits over all prompts, and the largest |logit|. */
static double logits_off(double *largest)
{
    const json_t *cases = json_object_get(goldens, "greedy"), *c;
    double off = 0;
    size_t k;

    *largest = 0;
    json_array_foreach(cases, k, c)
    {
        const json_t *want = json_object_get(c, "next_logits");
        float logits[512];
        int32_t ids[64];
        const int n = ids_of(json_object_get(c, "prompt_ids"), ids, 64);

        ck_assert_int_eq(engine_logits(en, ids, n, logits, &err), ERR_OK);
        for (size_t i = 0; i < 512; i++) {
            const double w = json_number_value(json_array_get(want, i));

            ck_assert(!isnan(logits[i]));
            off = fmax(off, fabs((double)logits[i] - w));
            *largest = fmax(*largest, fabs(w));
        }
    }
    return off;
}

START_TEST(golden_logits_agree_within_1e4)
{
    double largest, off;

    open_golden();
    start((struct engine_opts){.ops = table(_i)});
    off = logits_off(&largest);
    ck_assert_double_le(off, 1e-4 * largest);
    json_decref(goldens);
    close_all();
}
END_TEST

START_TEST(the_published_story_comes_out_byte_for_byte)
{
    struct sampling p = GREEDY;
    int32_t ids[200];
    struct outcome o;
    const char *text;

    open_golden();
    start((struct engine_opts){.ops = table(_i)});
    text = json_string_value(json_object_get(goldens, "expected_200_steps_from_bos"));
    p.max_tokens = ids_of(json_object_get(goldens, "expected_200_ids"), ids, 200);
    add((int32_t[]){1}, 1, &p, 0);
    run();
    ck_assert(engine_take(en, &o));
    ck_assert_int_eq(o.n_ids, 200);
    ck_assert_mem_eq(o.ids, ids, sizeof ids);
    ck_assert_str_eq(o.text.data, text);
    free_all(&o, 1);
    json_decref(goldens);
    close_all();
}
END_TEST

#define MAX_PROMPTS 32

/* All prompts in one batch; returns how many. */
static int run_prompts(struct outcome out[MAX_PROMPTS])
{
    const json_t *cases = json_object_get(goldens, "greedy"), *c;
    struct sampling p = GREEDY;
    int32_t ids[96];
    size_t k;

    ck_assert_uint_le(json_array_size(cases), MAX_PROMPTS);
    p.max_tokens = 96;
    json_array_foreach(cases, k, c)
        add(ids, ids_of(json_object_get(c, "prompt_ids"), ids, 96), &p, (int)k);
    run();
    take_all(out, (int)json_array_size(cases));
    return (int)json_array_size(cases);
}

START_TEST(golden_prompts_give_their_greedy_tokens)
{
    struct outcome out[MAX_PROMPTS];
    int32_t ids[96];
    int n;

    open_golden();
    start((struct engine_opts){.ops = table(_i), .max_batched_tokens = 100});
    n = run_prompts(out);
    ck_assert_int_eq(n, 14);
    for (int k = 0; k < n; k++) {
        const json_t *c = json_array_get(json_object_get(goldens, "greedy"), (size_t)k);

        ck_assert_int_eq(out[k].n_ids, ids_of(json_object_get(c, "greedy_ids"), ids, 96));
        ck_assert_msg(!memcmp(out[k].ids, ids, sizeof ids), "prompt %d: %s", k, out[k].text.data);
        ck_assert_str_eq(out[k].text.data, json_string_value(json_object_get(c, "greedy_text")));
    }
    free_all(out, n);
    json_decref(goldens);
    close_all();
}
END_TEST

/* The same model rounded to bf16. */
static void open_golden_bf16(void)
{
    static const char *const NAMES[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "tokenizer_config.json"};
    char *from, to[512];

    open_golden();
    tiny_close(&model);
    for (size_t i = 0; i < 5; i++) {
        char name[96];

        snprintf(name, sizeof name, "models/stories260K/%s%s", i < 4 ? "hf/" : "",
                 i < 4 ? NAMES[i] : "model-bf16.safetensors");
        from = realpath(test_data(name), NULL);
        ck_assert_ptr_nonnull(from);
        snprintf(to, sizeof to, "%s/%s", test_dir(), i < 4 ? NAMES[i] : "model.safetensors");
        ck_assert_int_eq(symlink(from, to), 0);
        free(from);
    }
    tiny_open_dir(&model, test_dir());
}

/* How far rounding to bf16 may move the difference of two logits.  A weight moves by up to 2^-9 of
 * itself; a logit near 20 that is made of such weights in every layer moves by up to 0.16 here, and
 * the difference of the two largest, seen at all 1344 golden positions, by up to 0.102. */
#define BF16_TIE 0.11

/* The float32 logit of the golden token less that of the one which was chosen instead. */
static double margin(const json_t *c, const int32_t *golden, const int32_t *chosen, int at)
{
    float logits[512];
    int32_t ids[256];
    int n = ids_of(json_object_get(c, "prompt_ids"), ids, 64);

    memcpy(ids + n, golden, (size_t)at * sizeof *ids);
    ck_assert_int_eq(engine_logits(en, ids, n + at, logits, &err), ERR_OK);
    return (double)logits[golden[at]] - (double)logits[chosen[at]];
}

START_TEST(golden_prompts_agree_in_bf16_up_to_a_near_tie)
{
    struct outcome out[MAX_PROMPTS];
    int32_t ids[96];
    int n, whole = 0;

    open_golden_bf16();
    start((struct engine_opts){.ops = table(_i)});
    n = run_prompts(out);
    engine_close(&en);
    tiny_close(&model);
    json_decref(goldens);
    open_golden();
    start((struct engine_opts){0});
    for (int k = 0; k < n; k++) {
        const json_t *c = json_array_get(json_object_get(goldens, "greedy"), (size_t)k);
        const int len = ids_of(json_object_get(c, "greedy_ids"), ids, 96);
        int at = 0;

        while (at < len && out[k].ids[at] == ids[at])
            at++;
        whole += at == len;
        if (at < len) ck_assert_double_le(margin(c, ids, out[k].ids, at), BF16_TIE);
        if (json_number_value(json_object_get(c, "min_margin")) > BF16_TIE)
            ck_assert_int_eq(at, len);
    }
    ck_assert_int_ge(whole, 7); /* of 14: it is the same model after all */
    free_all(out, n);
    json_decref(goldens);
    close_all();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("engine");
    TCase *t = tcase_create("tiny"), *g = tcase_create("golden");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_batch_of_one_gives_the_tokens_of_a_batch_of_64);
    tcase_add_loop_test(t, prefill_chunks_do_not_change_the_tokens, 0, 3);
    tcase_add_test(t, threads_do_not_change_the_tokens);
    tcase_add_test(t, a_sequence_that_was_put_back_gives_the_same_tokens);
    tcase_add_loop_test(t, the_reference_ops_give_the_same_logits, 0, 3);
    tcase_add_loop_test(t, narrower_vectors_stay_near_the_reference, 0, 2);
    tcase_add_test(t, logits_leave_the_queue_as_it_was);
    tcase_add_test(t, a_step_allocates_nothing);
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
    if (!test_has_data()) return s;
    tcase_set_timeout(g, 120);
    tcase_add_loop_test(g, golden_logits_agree_within_1e4, 0, 2);
    tcase_add_loop_test(g, the_published_story_comes_out_byte_for_byte, 0, 2);
    tcase_add_loop_test(g, golden_prompts_give_their_greedy_tokens, 0, 2);
    tcase_add_loop_test(g, golden_prompts_agree_in_bf16_up_to_a_near_tie, 0, 2);
    suite_add_tcase(s, g);
    return s;
}

TEST_MAIN(suite)
