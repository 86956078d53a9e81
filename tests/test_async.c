/* test_async.c - worker/engine on a device that works later, in memory of its own: what it gives is
 * what the host gives, graphs and ranks change nothing, and an error of the device ends a step. */
#include <math.h>
#include <string.h>

#include "tests/async_device.h"
#include "tests/rig.h"
#include "tests/test.h"
#include "worker/graphs.h"
#include "worker/mask.h"

#define BLOCK_BYTES (3 * 2 * 2 * 16 * 20 * 4) /* of the tiny model: layers, K and V, heads, ... */
#define ROWS        40
#define MAX_N       2

static const int32_t STOP_IDS[] = {9, 41};
static const struct bias BIASES[] = {{4, 3.5f}, {12, -100}, {4, -1}};
static const uint64_t ALLOWED[] = {0x0F0F0F0F0F0F0F0F};

static void open_tiny(bool tied)
{
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32, .tied = tied});
}

/* All that a row may ask for.  Where rows draw, the host and the device may come to other tokens:
 * these are greedy, so that both come to the same. */
static int row_of(int i, int32_t ids[100], struct sampling *p)
{
    const int prefix = i % 2 ? 32 : 0, own = i * 37 % 20 + 1;

    for (int k = 0; k < prefix; k++)
        ids[k] = (k * 5 + i % 3 * 17) % (TINY_VOCAB - 1) + 1;
    for (int k = 0; k < own; k++)
        ids[prefix + k] = (i * 7 + k * k + 3) % (TINY_VOCAB - 1) + 1;
    *p = (struct sampling){.top_p = 1,
                           .repetition_penalty = i % 3 ? 1 : 1.3f,
                           .presence_penalty = i % 4 ? 0 : 0.5f,
                           .frequency_penalty = i % 4 ? 0 : 0.25f,
                           .n = i % 10 == 1 ? MAX_N : 1,
                           .logprobs = i % 4 == 0,
                           .top_logprobs = i % 8 ? 0 : 3,
                           .min_tokens = i % 6 ? 0 : 5,
                           .ignore_eos = i % 5 == 0,
                           .keep_specials = i % 15 == 0,
                           .include_stop = i % 14 == 0,
                           .max_tokens = i * 11 % 27 + 5};
    if (i % 9 == 0) p->stop_ids = STOP_IDS, p->n_stop_ids = 2;
    if (i % 5 == 0) p->biases = BIASES, p->n_biases = 3;
    if (i % 13 == 0) p->allowed = ALLOWED;
    if (i % 7 < 3) {
        p->n_stops = 2;
        p->stops[0].text = i % 2 ? "e" : "ab", p->stops[0].len = i % 2 ? 1 : 2;
        p->stops[1].text = "k", p->stops[1].len = 1;
    }
    return prefix + own;
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

static void add_rows(void)
{
    for (int i = 0; i < ROWS; i++) {
        struct sampling p;
        int32_t ids[100];
        const int n = row_of(i, ids, &p);

        rig_add(ids, n, &p, i);
    }
}

static void run_rows(struct answers *a, struct engine_opts o)
{
    memset(a, 0, sizeof *a);
    rig_start(o);
    add_rows();
    rig_run();
    take(a);
}

static void free_all(struct answers *a)
{
    for (int i = 0; i < ROWS; i++)
        rig_free(a->at[i], MAX_N);
}

static void same_logprobs(const struct outcome *x, const struct outcome *y, int width)
{
    ck_assert(!x->logprobs == !y->logprobs);
    for (int i = 0; x->logprobs && i < x->n_ids * width; i++) {
        ck_assert_int_eq(x->logprobs[i].id, y->logprobs[i].id);
        ck_assert_float_eq_tol(x->logprobs[i].logprob, y->logprobs[i].logprob, 1e-4f);
    }
}

static void same(struct answers *a, struct answers *b)
{
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < MAX_N; k++) {
            const struct outcome *x = &a->at[i][k], *y = &b->at[i][k];
            struct sampling p;
            int32_t ids[100];

            row_of(i, ids, &p);
            ck_assert_msg(!x->ids == !y->ids && x->n_ids == y->n_ids && x->finish == y->finish,
                          "row %d: %d tokens and %s, not %d and %s", i, y->n_ids,
                          finish_name(y->finish), x->n_ids, finish_name(x->finish));
            if (!x->ids) continue;
            ck_assert_mem_eq(x->ids, y->ids, (size_t)x->n_ids * sizeof *x->ids);
            ck_assert_uint_eq(x->text.len, y->text.len);
            ck_assert_mem_eq(x->text.data, y->text.data, x->text.len);
            same_logprobs(x, y, 1 + p.top_logprobs);
        }
}

static struct engine_opts on_async(struct engine_opts o)
{
    o.device = async_device();
    o.coll = async_coll();
    return o;
}

/* E1, and every end that a row may have: by id, by string, by length. */
START_TEST(a_row_gives_what_it_gives_on_the_host)
{
    static const struct engine_opts WAYS[] = {
        {.threads = 1},
        {.threads = 3, .max_num_seqs = 7, .max_batched_tokens = 19},
        {.kv_bytes = 8 * BLOCK_BYTES},
        {.no_graphs = true, .no_prefix_caching = true},
        {.tp = 2},
        {.max_num_seqs = 1},
    };
    static struct answers host, other;
    int stopped = 0;

    open_tiny(_i % 2);
    run_rows(&host, (struct engine_opts){.device = device_ref()});
    for (int i = 0; i < ROWS; i++)
        stopped += host.at[i][0].finish == FINISH_STOP;
    ck_assert_int_gt(stopped, 5);
    run_rows(&other, on_async(WAYS[_i]));
    same(&host, &other);
    ck_assert_int_gt(async_counts.chosen, 300);
    ck_assert_int_gt(async_counts.fetched, 10); /* rows with a set of allowed ids */
    if (_i == 3)
        ck_assert_int_eq(async_counts.recorded, 0);
    else
        ck_assert_int_gt(async_counts.replayed, async_counts.recorded);
    free_all(&host), free_all(&other);
    rig_close();
}
END_TEST

START_TEST(steps_that_cannot_be_recorded_are_launched_op_by_op)
{
    struct sampling p = RIG_GREEDY;
    struct outcome graphs, plain;

    for (int refuses = 0; refuses < 2; refuses++) {
        open_tiny(false);
        async_counts.refuses = refuses;
        p.max_tokens = 12;
        rig_start(on_async((struct engine_opts){0}));
        rig_add((int32_t[]){5, 6, 7}, 3, &p, 0);
        rig_run();
        ck_assert_int_eq(async_counts.replayed > 0, !refuses);
        rig_take(refuses ? &plain : &graphs, 1);
        rig_close();
        async_counts.replayed = 0;
    }
    ck_assert_int_eq(plain.n_ids, 12);
    ck_assert_mem_eq(plain.ids, graphs.ids, 12 * sizeof *plain.ids);
    rig_free(&plain, 1), rig_free(&graphs, 1);
}
END_TEST

START_TEST(a_bucket_is_run_once_recorded_once_and_replayed)
{
    struct sampling p = RIG_GREEDY;
    struct engine_stats st;
    struct outcome o[3];

    open_tiny(false);
    p.max_tokens = 12;
    rig_start(on_async((struct engine_opts){0}));
    for (int i = 0; i < 3; i++)
        rig_add((int32_t[]){5 + i, 6, 7}, 3, &p, i);
    rig_run(); /* a prefill, then 11 steps of 3 sequences in the bucket of 4 */
    ck_assert_int_eq(async_counts.recorded, 1);
    ck_assert_int_eq(async_counts.replayed, 10);
    rig_take(o, 3);
    engine_stats(rig.en, &st);
    ck_assert_int_eq(st.decode_tokens, 33); /* rows that fill a bucket up count for nobody */
    ck_assert_int_eq(engine_beats(rig.en), st.steps * rig.model.config.n_layers);
    rig_free(o, 3);
    rig_close();
}
END_TEST

START_TEST(a_bucket_is_near_and_never_over_the_most)
{
    ck_assert_int_eq(graphs_bucket(1, 256), 1);
    ck_assert_int_eq(graphs_bucket(3, 256), 4);
    ck_assert_int_eq(graphs_bucket(65, 256), 96);
    ck_assert_int_eq(graphs_bucket(200, 250), 250);
    ck_assert_int_eq(graphs_bucket(5, 5), 5);
    ck_assert_int_eq(graphs_bucket(513, 4096), 640);
    ck_assert_int_eq(graphs_bucket(641, 4096), 768);
    ck_assert_int_eq(graphs_bucket(5000, 100000), 5120);
    ck_assert_int_eq(graphs_bucket(50000, 100000), 0);
}
END_TEST

/* What the host says at each moment it says here, one step later at most. */
START_TEST(an_abort_between_steps_gives_the_text_of_all_tokens)
{
    struct sampling p = RIG_GREEDY;
    struct outcome o[2];

    open_tiny(false);
    p.max_tokens = 40;
    for (int on = 0; on < 2; on++) {
        rig_start(on ? on_async((struct engine_opts){0})
                     : (struct engine_opts){.device = device_ref()});
        rig_add((int32_t[]){5, 6, 7}, 3, &p, 0);
        for (int i = 0; i < 10; i++)
            ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
        engine_abort(rig.en, (void *)0);
        ck_assert(engine_take(rig.en, &o[on]));
        ck_assert_int_eq(o[on].finish, FINISH_ABORT);
        ck_assert_int_eq(o[on].n_ids, 10);
        ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_EMPTY);
    }
    ck_assert_mem_eq(o[0].ids, o[1].ids, 10 * sizeof *o[0].ids);
    ck_assert_uint_eq(o[0].text.len, o[1].text.len);
    ck_assert_mem_eq(o[0].text.data, o[1].text.data, o[0].text.len);
    rig_free(o, 2);
    rig_close();
}
END_TEST

/* Wherever it comes; with two ranks none waits for the other. */
START_TEST(an_error_of_the_device_ends_the_step_and_names_the_op)
{
    struct sampling p = RIG_GREEDY;
    struct outcome o;
    int fell = 0;

    open_tiny(false);
    p.max_tokens = 6;
    for (int at = 1; at < 300; at += 19) {
        int rc, n = 0;

        rig_start(on_async((struct engine_opts){.tp = 1 + _i}));
        for (int i = 0; i < 3; i++)
            rig_add((int32_t[]){5 + i, 6, 7}, 3, &p, i);
        async_counts.fail_at = async_counts.ops + at;
        while ((rc = engine_step(rig.en, &rig.err)) == ERR_OK)
            ;
        async_counts.fail_at = 0;
        if (rc != ERR_EMPTY) { /* one that hits a collective is let pass */
            fell++;
            ck_assert_int_eq(rc, ERR_CUDA);
            ck_assert_msg(strstr(rig.err.text, "async: ") != NULL, "%s", rig.err.text);
        }
        for (int i = 0; i < 3; i++)
            engine_abort(rig.en, (void *)(intptr_t)i);
        for (; engine_take(rig.en, &o); n++)
            rig_free(&o, 1);
        ck_assert_int_eq(n, 3); /* E2 */
    }
    ck_assert_int_gt(fell, 10);
    rig_close();
}
END_TEST

/* Pieces of a few rows, several kinds of weights: the same logits as where they lie. */
START_TEST(weights_come_to_the_device_whole)
{
    static const enum dtype STORED[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    /* The reference rounds x to bf16 for weights of bf16: 2^-9 of it, three layers deep. */
    const float tolerance = STORED[_i / 2] == DTYPE_BF16 ? 0.2f : 1e-4f;
    float host[TINY_VOCAB], there[TINY_VOCAB];
    const int32_t ids[] = {5, 9, 33, 2, 7, 60, 1};

    tiny_open(&rig.model, &(struct tiny){.dtype = STORED[_i / 2], .tied = _i % 2});
    rig_start((struct engine_opts){.device = device_ref()});
    ck_assert_int_eq(engine_logits(rig.en, ids, 7, host, &rig.err), ERR_OK);
    for (int tp = 1; tp <= 2; tp++) {
        rig_start(on_async((struct engine_opts){.tp = tp, .max_batched_tokens = 1}));
        ck_assert_int_eq(engine_logits(rig.en, ids, 7, there, &rig.err), ERR_OK);
        for (int i = 0; i < TINY_VOCAB; i++)
            ck_assert_float_eq_tol(there[i], host[i], tolerance);
    }
    rig_close();
}
END_TEST

/* fp8 has 3 bits of fraction, int8 is 1/254 of the row's largest: the logits move, and not far. */
START_TEST(quantised_weights_stay_near_the_logits)
{
    const bool fp8 = _i == QUANTIZATION_FP8;
    float plain[TINY_VOCAB], there[TINY_VOCAB];
    const int32_t ids[] = {5, 9, 33, 2, 7, 60, 1};
    struct engine_stats st, small;
    float far = 0, largest = 0;

    open_tiny(false);
    rig_start(on_async((struct engine_opts){0}));
    engine_stats(rig.en, &st);
    ck_assert_int_eq(engine_logits(rig.en, ids, 7, plain, &rig.err), ERR_OK);
    rig_start(on_async((struct engine_opts){.quantization = (enum quantization)_i}));
    engine_stats(rig.en, &small);
    ck_assert_int_eq(engine_logits(rig.en, ids, 7, there, &rig.err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++)
        far = fmaxf(far, fabsf(there[i] - plain[i])), largest = fmaxf(largest, fabsf(plain[i]));
    ck_assert_float_gt(far, 0);
    ck_assert_float_lt(far, largest / (fp8 ? 3 : 10));
    ck_assert_uint_lt(small.weight_bytes, st.weight_bytes / 2);
    rig_close();
}
END_TEST

START_TEST(kv_of_fp8_stays_near_the_logits)
{
    float wide[TINY_VOCAB], narrow[TINY_VOCAB];
    int32_t ids[50];

    open_tiny(false);
    for (int i = 0; i < 50; i++)
        ids[i] = i * i % TINY_VOCAB;
    rig_start(on_async((struct engine_opts){0}));
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, wide, &rig.err), ERR_OK);
    rig_start(on_async((struct engine_opts){.kv_dtype = DTYPE_FP8}));
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, narrow, &rig.err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++)
        ck_assert_float_eq_tol(narrow[i], wide[i], 0.5f);
    ck_assert_mem_ne(narrow, wide, sizeof wide);
    rig_start((struct engine_opts){.kv_dtype = DTYPE_FP8, .device = device_ref()});
    ck_assert_int_eq(engine_logits(rig.en, ids, 50, wide, &rig.err), ERR_OK);
    for (int i = 0; i < TINY_VOCAB; i++)
        ck_assert_float_eq_tol(narrow[i], wide[i], 1e-3f);
    rig_close();
}
END_TEST

START_TEST(products_of_each_kind_are_chosen_once)
{
    open_tiny(false);
    rig_start(on_async((struct engine_opts){0}));
    ck_assert_int_eq(async_counts.tuned, 5); /* qkv, o, gate and up, down; the head */
    rig_close();
}
END_TEST

static int try_open(struct engine_opts o)
{
    int rc;

    engine_close(&rig.en);
    o = on_async(o);
    o.model = &rig.model;
    o.threads = 1;
    o.max_num_seqs = 600; /* which could use more KV than the device has */
    o.max_batched_tokens = 600;
    rc = engine_open(&rig.en, &o, &rig.err);
    return rc;
}

START_TEST(kv_takes_what_the_share_of_the_memory_leaves)
{
    struct engine *second;
    struct engine_stats st;
    size_t all;

    open_tiny(false);
    ck_assert_int_eq(try_open((struct engine_opts){.memory_utilization = 0.5}), ERR_OK);
    engine_stats(rig.en, &st);
    all = st.weight_bytes + st.work_bytes + st.kv_bytes;
    ck_assert_uint_gt(st.kv_bytes, (size_t)ASYNC_MEMORY * 4 / 10);
    ck_assert_uint_lt(st.kv_bytes, (size_t)ASYNC_MEMORY / 2);
    ck_assert_uint_gt(all, (size_t)ASYNC_MEMORY * 4 / 10);
    /* Two ranks have half of the KV each, on devices of their own. */
    ck_assert_int_eq(try_open((struct engine_opts){
                         .memory_utilization = 0.25, .tp = 2, .devices = {0, 1}, .n_devices = 2}),
                     ERR_OK);
    engine_stats(rig.en, &st);
    ck_assert_uint_gt(st.kv_bytes, (size_t)ASYNC_MEMORY * 4 / 10);
    ck_assert_uint_lt(st.kv_bytes, (size_t)ASYNC_MEMORY / 2);
    /* Two instances on one device, each with its share. */
    second = rig.en, rig.en = NULL;
    ck_assert_int_eq(try_open((struct engine_opts){.memory_utilization = 0.45}), ERR_OK);
    engine_stats(rig.en, &st);
    ck_assert_uint_gt(st.kv_bytes, (size_t)ASYNC_MEMORY * 4 / 10);
    engine_close(&second);
    ck_assert_int_eq(try_open((struct engine_opts){.memory_utilization = 0.001}), ERR_FULL);
    ck_assert_msg(strstr(rig.err.text, "gpu-memory-utilization 0.001") != NULL, "%s", rig.err.text);
    ck_assert_int_eq(try_open((struct engine_opts){.memory_utilization = 1.5}), ERR_ARG);
    ck_assert_ptr_null(rig.en);
    rig_close();
}
END_TEST

START_TEST(what_the_device_does_not_have_is_refused_by_name)
{
    struct engine_opts o = {.model = &rig.model,
                            .device = device_cpu(),
                            .threads = 1,
                            .kv_bytes = RIG_AMPLE,
                            .max_num_seqs = 4,
                            .max_batched_tokens = 16};

    open_tiny(false);
    ck_assert_int_eq(try_open((struct engine_opts){.act = DTYPE_BF16}), ERR_UNSUPPORTED);
    ck_assert_str_eq(rig.err.text, "async does not compute in bf16");
    ck_assert_int_eq(try_open((struct engine_opts){.devices = {ASYNC_DEVICES}, .n_devices = 1}),
                     ERR_ARG);
    o.quantization = QUANTIZATION_FP8;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(rig.err.text, "cpu") && strstr(rig.err.text, "fp8"), "%s", rig.err.text);
    o.quantization = QUANTIZATION_NONE, o.kv_dtype = DTYPE_FP8;
    ck_assert_int_eq(engine_open(&rig.en, &o, &rig.err), ERR_UNSUPPORTED);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("async");
    TCase *t = tcase_create("async");

    tcase_set_timeout(t, 20);
    tcase_add_loop_test(t, a_row_gives_what_it_gives_on_the_host, 0, 6);
    tcase_add_test(t, steps_that_cannot_be_recorded_are_launched_op_by_op);
    tcase_add_test(t, a_bucket_is_run_once_recorded_once_and_replayed);
    tcase_add_test(t, a_bucket_is_near_and_never_over_the_most);
    tcase_add_test(t, an_abort_between_steps_gives_the_text_of_all_tokens);
    tcase_add_loop_test(t, an_error_of_the_device_ends_the_step_and_names_the_op, 0, 2);
    tcase_add_loop_test(t, weights_come_to_the_device_whole, 0, 6);
    tcase_add_loop_test(t, quantised_weights_stay_near_the_logits, QUANTIZATION_FP8,
                        QUANTIZATION_INT8 + 1);
    tcase_add_test(t, kv_of_fp8_stays_near_the_logits);
    tcase_add_test(t, products_of_each_kind_are_chosen_once);
    tcase_add_test(t, kv_takes_what_the_share_of_the_memory_leaves);
    tcase_add_test(t, what_the_device_does_not_have_is_refused_by_name);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
