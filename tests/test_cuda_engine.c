/* test_cuda_engine.c - worker/engine on the CUDA plug-in: logits, tokens, graphs, errors. */
#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "kernels/coll_nccl.h"
#include "tests/device_rig.h"
#include "tests/family.h"
#include "tests/rig.h"
#include "tests/test.h"

#define MAX_OWNERS 8

static const int32_t PROMPT[] = {5, 9, 33, 2, 7, 60, 1, 12, 3, 3, 40, 22, 8, 17, 50, 4, 9, 11, 2};
#define N_PROMPT (int)(sizeof PROMPT / sizeof PROMPT[0])

static struct engine_opts on_cuda(struct engine_opts o)
{
    o.device = plugin_open(&rig.err)->device;
    if (!o.max_batched_tokens) o.max_batched_tokens = 32;
    if (!o.max_num_seqs) o.max_num_seqs = 8;
    o.max_model_len = 64;
    o.kv_bytes = (size_t)2 << 20;
    return o;
}

static void logits_on(struct engine_opts o, float logits[TINY_VOCAB])
{
    rig_start(o);
    ck_assert_msg(!engine_logits(rig.en, PROMPT, N_PROMPT, logits, &rig.err), "%s", rig.err.text);
}

/* Largest |a - b| by the largest |b|. */
static double off(const float *a, const float *b)
{
    double far = 0, largest = 0;

    for (int i = 0; i < TINY_VOCAB; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);

        if (isnan(d)) return HUGE_VAL;
        far = fmax(far, d);
        largest = fmax(largest, fabs((double)b[i]));
    }
    return far / largest;
}

/* f32 is held to the reference's rounding errors; 16 bits to their own, 2^-9 and 2^-12 of each
 * result, some ten of them one behind the other. */
START_TEST(logits_are_those_of_the_host)
{
    static const double TOLERANCE[] = {1e-4, 0.01, 0.08};
    float host[TINY_VOCAB], there[TINY_VOCAB];

    if (!device_rig_multiplies(ACTS[_i])) return;
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32, .tied = _i % 2});
    logits_on((struct engine_opts){.device = device_ref()}, host);
    logits_on(on_cuda((struct engine_opts){
                  .act = ACTS[_i], .kv_dtype = ACTS[_i], .max_batched_tokens = _i ? 32 : 7}),
              there);
    ck_assert_msg(off(there, host) < TOLERANCE[ACTS[_i]], "%s: off by %g", dtype_name(ACTS[_i]),
                  off(there, host));
    rig_close();
}
END_TEST

/* Attention's matrix instructions take q, K and V of one dtype. */
START_TEST(kv_is_stored_in_what_is_computed_in)
{
    if (!device_rig_multiplies(ACTS[_i])) return;
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    rig_start(on_cuda((struct engine_opts){.act = ACTS[_i], .kv_dtype = N_DTYPES}));
    ck_assert_int_eq(engine_kv_dtype(rig.en), ACTS[_i]);
    rig_close();
}
END_TEST

START_TEST(weights_of_a_byte_and_kv_of_fp8_stay_near)
{
    static const struct engine_opts WAYS[] = {{.quantization = QUANTIZATION_FP8},
                                              {.quantization = QUANTIZATION_INT8},
                                              {.kv_dtype = DTYPE_FP8}};
    float host[TINY_VOCAB], there[TINY_VOCAB];

    if (WAYS[_i].quantization == QUANTIZATION_FP8 && !device_rig_multiplies(DTYPE_FP8)) return;
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    logits_on((struct engine_opts){.device = device_ref()}, host);
    logits_on(on_cuda(WAYS[_i]), there);
    ck_assert_msg(off(there, host) < 0.4, "off by %g", off(there, host));
    ck_assert_double_gt(off(there, host), 1e-4);
    rig_close();
}
END_TEST

/* Rows that end by length, by a stop string, with penalties and log-probabilities; all greedy. */
static void add_rows(void)
{
    for (int i = 0; i < 5; i++) {
        struct sampling p = RIG_GREEDY;

        p.max_tokens = 6 + i;
        p.repetition_penalty = i == 1 ? 1.3f : 1;
        p.logprobs = i == 2;
        p.top_logprobs = 2;
        if (i == 3) p.n_stops = 1, p.stops[0].text = "e", p.stops[0].len = 1;
        rig_add(PROMPT + i, N_PROMPT - 2 * i, &p, i);
    }
}

static void run_rows(struct outcome out[MAX_OWNERS], struct engine_opts o)
{
    rig_start(o);
    add_rows();
    rig_run();
    rig_take(out, 5);
}

static void same(const struct outcome *a, const struct outcome *b)
{
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(a[i].n_ids, b[i].n_ids);
        ck_assert_mem_eq(a[i].ids, b[i].ids, (size_t)a[i].n_ids * sizeof *a[i].ids);
        ck_assert_uint_eq(a[i].text.len, b[i].text.len);
        ck_assert_int_eq(a[i].finish, b[i].finish);
    }
}

START_TEST(graphs_give_the_tokens_that_the_host_gives)
{
    struct outcome host[MAX_OWNERS], plain[MAX_OWNERS], graphs[MAX_OWNERS];

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    run_rows(host, (struct engine_opts){.device = device_ref()});
    run_rows(plain, on_cuda((struct engine_opts){.no_graphs = true}));
    same(host, plain);
    run_rows(graphs, on_cuda((struct engine_opts){0}));
    same(host, graphs);
    rig_free(host, 5), rig_free(plain, 5), rig_free(graphs, 5);
    rig_close();
}
END_TEST

/* E1, where all sums keep their order. */
START_TEST(a_row_is_the_same_in_any_batch_when_that_is_asked_for)
{
    const enum dtype act = device_rig_multiplies(DTYPE_BF16) ? DTYPE_BF16 : DTYPE_F16;
    struct outcome many[MAX_OWNERS], alone[MAX_OWNERS];

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    run_rows(many, on_cuda((struct engine_opts){.batch_invariant = true, .act = act}));
    run_rows(alone,
             on_cuda((struct engine_opts){
                 .batch_invariant = true, .act = act, .max_num_seqs = 1, .max_batched_tokens = 5}));
    same(many, alone);
    rig_free(many, 5), rig_free(alone, 5);
    rig_close();
}
END_TEST

START_TEST(a_launch_that_fails_ends_the_step_and_names_the_op)
{
    struct sampling p = RIG_GREEDY;
    struct outcome o;
    int rc;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    p.max_tokens = 6;
    rig_start(on_cuda((struct engine_opts){0}));
    rig_add(PROMPT, N_PROMPT, &p, 0);
    setenv("NIGHTMILL_FAULT", "cuda:40:fail", 1);
    ck_assert_ptr_nonnull(plugin_open(&rig.err)); /* which reads it */
    while ((rc = engine_step(rig.en, &rig.err)) == ERR_OK)
        ;
    ck_assert_int_eq(rc, ERR_CUDA);
    ck_assert_msg(strstr(rig.err.text, "CUDA: a fault was set, in ") != NULL, "%s", rig.err.text);
    engine_abort(rig.en, (void *)0);
    ck_assert(engine_take(rig.en, &o));
    rig_free(&o, 1);
    rig_close();
}
END_TEST

START_TEST(nothing_is_replayed_where_each_launch_is_waited_for)
{
    struct outcome host[MAX_OWNERS], waited[MAX_OWNERS];

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    run_rows(host, (struct engine_opts){.device = device_ref()});
    setenv("CUDA_SYNC", "1", 1);
    setenv("NIGHTMILL_FAULT", "replay:1:fail", 1);
    ck_assert_ptr_nonnull(plugin_open(&rig.err)); /* which reads it */
    run_rows(waited, on_cuda((struct engine_opts){0}));
    same(host, waited);
    rig_free(host, 5), rig_free(waited, 5);
    rig_close();
    unsetenv("CUDA_SYNC");
    unsetenv("NIGHTMILL_FAULT");
    ck_assert_ptr_nonnull(plugin_open(&rig.err));
}
END_TEST

START_TEST(choices_that_find_no_room_are_made_after_a_wait)
{
    struct outcome host[MAX_OWNERS], waited[MAX_OWNERS];

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    run_rows(host, (struct engine_opts){.device = device_ref()});
    setenv("NIGHTMILL_FAULT", "choose:3:fail", 1);
    ck_assert_ptr_nonnull(plugin_open(&rig.err)); /* which reads it */
    run_rows(waited, on_cuda((struct engine_opts){0}));
    same(host, waited);
    rig_free(host, 5), rig_free(waited, 5);
    rig_close();
    unsetenv("NIGHTMILL_FAULT");
    ck_assert_ptr_nonnull(plugin_open(&rig.err));
}
END_TEST

/* A card of before sm_80, which has no bf16. */
START_TEST(an_old_card_computes_bf16_weights_in_f16_if_it_holds_them_else_in_f32)
{
    static const double LEAST[] = {2e-5, 0}, MOST[] = {0.01, 1e-5}; /* f16's rounding, f32's */
    float whole[TINY_VOCAB], chosen[TINY_VOCAB];
    double far;

    setenv("EMU_ARCH", "75", 1);
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16, .steep = _i});
    logits_on(on_cuda((struct engine_opts){.act = DTYPE_F32}), whole);
    logits_on(on_cuda((struct engine_opts){.act = N_DTYPES, .kv_dtype = N_DTYPES}), chosen);
    ck_assert_int_eq(engine_kv_dtype(rig.en), _i ? DTYPE_F32 : DTYPE_F16);
    far = off(chosen, whole);
    ck_assert_msg(far >= LEAST[_i] && far <= MOST[_i], "off by %g", far);
    rig_close();
}
END_TEST

START_TEST(an_act_that_card_or_weights_do_not_have_is_refused_with_the_numbers)
{
    struct engine_opts o = on_cuda((struct engine_opts){.act = DTYPE_F16, .threads = 1});
    struct engine *en;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_BF16, .steep = true});
    o.model = &rig.model;
    ck_assert_int_eq(engine_open(&en, &o, &rig.err), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(rig.err.text, TINY_STEEP " has ") && strstr(rig.err.text, " over 65504"),
                  "%s", rig.err.text);
    o.quantization = QUANTIZATION_INT8; /* which has scales */
    ck_assert_msg(!engine_open(&en, &o, &rig.err), "%s", rig.err.text);
    engine_close(&en);
    setenv("EMU_ARCH", "75", 1);
    o.act = DTYPE_BF16;
    ck_assert_int_eq(engine_open(&en, &o, &rig.err), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(rig.err.text, "cuda:0 is of before sm_80"), "%s", rig.err.text);
    o.act = DTYPE_F32;
    o.quantization = QUANTIZATION_FP8;
    ck_assert_int_eq(engine_open(&en, &o, &rig.err), ERR_UNSUPPORTED);
    ck_assert_str_eq(rig.err.text,
                     "cuda:0 is of before sm_89 and does not multiply in fp8: int8 it has");
    rig_close();
}
END_TEST

START_TEST(a_card_that_is_too_small_is_told_with_the_numbers)
{
    struct engine_opts o = on_cuda((struct engine_opts){.threads = 1});
    struct engine *en;

    setenv("EMU_MEMORY", "1000000", 1);
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    o.model = &rig.model;
    ck_assert_int_eq(engine_open(&en, &o, &rig.err), ERR_FULL);
    ck_assert_msg(strstr(rig.err.text, "cuda:0 ") && strstr(rig.err.text, " of 1000000 are free"),
                  "%s", rig.err.text);
    rig_close();
}
END_TEST

/* Norms, biases, windows, soft caps, scalings, layouts: the last position's logits, as another
 * program computed them. */
START_TEST(each_family_has_its_logits)
{
    const struct family_case *c = &FAMILY_CASES[_i];
    struct engine_opts o = on_cuda((struct engine_opts){.threads = 1});
    struct family_run f;
    struct engine *en = NULL;
    double far = 0, largest = 0;
    float *got;

    family_load(&f, c);
    got = malloc((size_t)f.V * sizeof *got);
    o.model = &f.model;
    o.max_model_len = c->max_model_len;
    ck_assert_msg(!engine_open(&en, &o, &f.e), "%s: %s", c->name, f.e.text);
    ck_assert_msg(!engine_logits(en, f.ids, f.n_ids, got, &f.e), "%s: %s", c->name, f.e.text);
    for (int i = 0; i < f.V; i++) {
        const double want = (double)f.want[(size_t)(f.n_ids - 1) * (size_t)f.V + (size_t)i];

        far = fmax(far, isnan(got[i]) ? HUGE_VAL : fabs((double)got[i] - want));
        largest = fmax(largest, fabs(want));
    }
    ck_assert_msg(far < 1e-4 * largest, "%s: off by %g of %g", c->name, far, largest);
    engine_close(&en);
    free(got);
    family_close(&f);
}
END_TEST

/* This program is BUILD/tests/test_cuda_engine, NCCL's stand-in BUILD/tests/fake/nccl.so. */
static void name_nccl(void)
{
    char path[PATH_MAX + 16];
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    strcpy(strrchr(path, '/'), "/fake/nccl.so");
    setenv(NCCL_ENV, path, 1);
}

/* On the emulation, as a machine with a device has one.  Without graphs: the stand-in adds up when
 * it is called, and not again when a graph is replayed; test_async.c has both. */
START_TEST(two_ranks_give_the_tokens_of_the_host)
{
    struct outcome host[MAX_OWNERS], ranks[MAX_OWNERS];
    const struct plugin *p = plugin_open(&rig.err);
    struct engine_opts o = on_cuda((struct engine_opts){
        .tp = 2, .devices = {0, 1}, .n_devices = 2, .threads = 2, .no_graphs = true});

    name_nccl();
    o.coll = p->nccl(&rig.err);
    ck_assert_msg(o.coll != NULL, "%s", rig.err.text);
    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    run_rows(host, (struct engine_opts){.device = device_ref()});
    run_rows(ranks, o);
    same(host, ranks);
    rig_free(host, 5), rig_free(ranks, 5);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_engine");
    TCase *t = tcase_create("cuda_engine");

    tcase_set_timeout(t, 30);
    suite_add_tcase(s, t);
    setenv("EMU_DEVICES", "2", 0);
    if (!device_rig_found()) return s;
    if (dev.plugin->emulated) {
        tcase_add_test(t, two_ranks_give_the_tokens_of_the_host);
        tcase_add_loop_test(
            t, an_old_card_computes_bf16_weights_in_f16_if_it_holds_them_else_in_f32, 0, 2);
        tcase_add_test(t, an_act_that_card_or_weights_do_not_have_is_refused_with_the_numbers);
        tcase_add_test(t, a_card_that_is_too_small_is_told_with_the_numbers);
    }
    tcase_add_loop_test(t, logits_are_those_of_the_host, 0, N_ACTS);
    tcase_add_loop_test(t, kv_is_stored_in_what_is_computed_in, 0, N_ACTS);
    tcase_add_loop_test(t, weights_of_a_byte_and_kv_of_fp8_stay_near, 0, 3);
    tcase_add_loop_test(t, each_family_has_its_logits, 0, N_FAMILY_CASES);
    tcase_add_test(t, graphs_give_the_tokens_that_the_host_gives);
    tcase_add_test(t, a_row_is_the_same_in_any_batch_when_that_is_asked_for);
    tcase_add_test(t, a_launch_that_fails_ends_the_step_and_names_the_op);
    tcase_add_test(t, nothing_is_replayed_where_each_launch_is_waited_for);
    tcase_add_test(t, choices_that_find_no_room_are_made_after_a_wait);
    return s;
}
TEST_MAIN(suite)
