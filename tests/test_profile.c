/* test_profile.c - an instance measured: the steps that are asked for, what they are told to hold,
 * the fit to them, and what is kept for the next start. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mix.h"
#include "tests/rig.h"
#include "tests/test.h"
#include "worker/profile.h"
#include "worker/profile_kept.h"

#define LONG  200
#define SHORT 40

static int32_t ids[TINY_POSITIONS];
static struct engine_stats stats;

static void open_rig(struct engine_opts o)
{
    tiny_open(&rig.model, &(struct tiny){0});
    rig_start(o);
    for (int i = 0; i < TINY_POSITIONS; i++)
        ids[i] = 2 + i % (TINY_VOCAB - 2);
}

/* --- what a step held ------------------------------------------------------------------------- */

static void step(double p, double n, double x, double m)
{
    ck_assert_msg(engine_step(rig.en, &rig.err) == ERR_OK, "%s", rig.err.text);
    engine_stats(rig.en, &stats);
    ck_assert_double_eq(stats.last.p, p);
    ck_assert_double_eq(stats.last.n, n);
    ck_assert_double_eq(stats.last.x, x);
    ck_assert_double_eq(stats.last.m, m);
    ck_assert_double_gt(stats.last.ms, 0);
}

START_TEST(a_step_tells_its_tokens_and_their_context)
{
    struct sampling p = RIG_GREEDY;

    open_rig((struct engine_opts){.max_batched_tokens = 48});
    engine_stats(rig.en, &stats);
    ck_assert_double_eq(stats.last.ms, 0);
    p.max_tokens = 3;
    rig_add(ids, 10, &p, 1);
    step(10, 0, 55, 0);
    step(0, 1, 0, 11);
    rig_add(ids, 60, &p, 2);
    step(47, 1, 47 * 48 / 2, 12);
    step(13, 0, 13 * 47 + 13 * 14 / 2, 0);
    step(0, 1, 0, 61);
    rig_close();
}
END_TEST

static int place(int n, int n_kv, int answer)
{
    struct sampling p = RIG_GREEDY;

    p.max_tokens = answer;
    return engine_place(rig.en, ids, n, n_kv, &p, &rig, &rig.err);
}

START_TEST(a_placed_sequence_stands_deep_in_a_context_that_nobody_computed)
{
    open_rig((struct engine_opts){0});
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(place(SHORT + 1, SHORT, 3), ERR_OK);
    step(3, 0, 3 * (SHORT + 1), 0);
    ck_assert_int_eq(place(LONG, LONG - 50, 1), ERR_OK);
    step(50, 3, 50 * (LONG - 50) + 50 * 51 / 2, 3 * (SHORT + 2));
    step(0, 3, 0, 3 * (SHORT + 3));
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_EMPTY);
    rig_close();
}
END_TEST

/* Its KV is made up: whoever shared it would answer from zeros. */
START_TEST(nobody_shares_the_blocks_of_a_placed_sequence)
{
    struct sampling p = RIG_GREEDY;
    struct outcome o[1];

    open_rig((struct engine_opts){0});
    ck_assert_int_eq(place(LONG, LONG - 1, 30), ERR_OK);
    rig_run();
    engine_abort(rig.en, &rig);
    ck_assert(engine_take(rig.en, &o[0]));
    rig_free(o, 1);
    p.max_tokens = 1;
    rig_add(ids, LONG, &p, 0);
    rig_run();
    rig_take(o, 1);
    ck_assert_int_eq(o[0].n_cached, 0);
    rig_free(o, 1);
    rig_close();
}
END_TEST

START_TEST(what_cannot_be_placed_is_refused_and_leaves_nothing)
{
    open_rig((struct engine_opts){.max_num_seqs = 2});
    ck_assert_int_eq(place(10, 10, 1), ERR_ARG);
    ck_assert_int_eq(place(10, -1, 1), ERR_ARG);
    ck_assert_int_eq(place(TINY_POSITIONS, 0, 1), ERR_ARG);
    ck_assert_int_eq(place(10, 5, 9), ERR_OK);
    ck_assert_int_eq(place(10, 5, 9), ERR_OK);
    ck_assert_int_eq(place(10, 5, 9), ERR_FULL);
    rig_start((struct engine_opts){.kv_bytes = (size_t)256 << 10});
    ck_assert_int_lt(engine_kv_tokens(rig.en), 2 * LONG);
    ck_assert_int_eq(place(LONG / 2, 0, 9), ERR_OK);
    while (!place(LONG / 2, 0, 9)) {
    }
    ck_assert_ptr_nonnull(strstr(rig.err.text, "KV blocks"));
    engine_abort(rig.en, &rig);
    engine_stats(rig.en, &stats);
    ck_assert_int_eq(stats.kv_blocks_free, stats.kv_blocks);
    rig_close();
}
END_TEST

/* --- the grid --------------------------------------------------------------------------------- */

/* GR1 */
static void check_points(const struct grid_limits *l)
{
    struct grid_point g[GRID_MAX];
    const int n = grid_fill(g, l);

    ck_assert_int_le(n, GRID_MAX);
    for (int i = 0; i < n; i++) {
        const int blocks = (g[i].context + 1 + GRID_ANSWER + 15) / 16;

        ck_assert_int_ge(g[i].n + g[i].p, 1);
        ck_assert_int_le(g[i].n + g[i].p, l->max_tokens);
        ck_assert_int_le(g[i].n + (g[i].p > 0), l->max_seqs);
        ck_assert_int_lt(g[i].behind + g[i].p, l->max_len);
        ck_assert_int_ge(g[i].behind, 0);
        if (g[i].n) ck_assert_int_gt(g[i].context, 0);
        if (g[i].n) ck_assert_int_le(g[i].context + 1 + GRID_ANSWER, l->max_len);
        ck_assert_int_le(g[i].n * blocks * 16 + g[i].behind + g[i].p, l->kv_tokens);
    }
}

START_TEST(gr1_every_point_fits_whatever_the_limits_are)
{
    const int most[] = {1, 2, 3, 7, 16, 17, 64, 300, 4096, 100000};

    for (int a = 0; a < 8; a++)
        for (int b = 0; b < 9; b++)
            for (int c = 1; c < 10; c++)
                for (int d = 2; d < 10; d++)
                    check_points(&(struct grid_limits){most[a], most[b], most[c], 16 * most[d],
                                                       16 * most[d]});
}
END_TEST

START_TEST(the_grid_has_both_kinds_shallow_and_deep_and_whole_values_held_out)
{
    const struct grid_limits l = {64, 512, 4096, 100000, 60000};
    struct grid_point g[GRID_MAX];
    const int n = grid_fill(g, &l);
    int deep = 0, chunk = 0, mixed = 0, held = 0;

    ck_assert_int_ge(n, 24);
    for (int i = 0; i < n; i++) {
        deep += g[i].n && g[i].context > 500;
        chunk += g[i].p && !g[i].n;
        mixed += g[i].p && g[i].n;
        held += g[i].held_out;
        for (int k = 0; k < i; k++) /* another depth of a value is on the same side */
            if (g[k].n == g[i].n && g[k].p == g[i].p && (!g[i].n || !g[i].p))
                ck_assert_int_eq(g[k].held_out, g[i].held_out);
    }
    ck_assert_int_ge(deep, 5);
    ck_assert_int_ge(chunk, 8);
    ck_assert_int_ge(mixed, 3);
    ck_assert_int_ge(held, n / 5);
    ck_assert_int_le(held, n / 2);
}
END_TEST

/* --- the profile ------------------------------------------------------------------------------ */

static struct engine_opts opts;
static struct profile got;

static void open_measured(void)
{
    opts = (struct engine_opts){.device = rig_device(),
                                .threads = 1,
                                .kv_bytes = RIG_AMPLE,
                                .max_num_seqs = 16,
                                .max_batched_tokens = 128};
    open_rig(opts);
    opts.model = &rig.model;
}

static int measure(double seconds, int stop_fd)
{
    const struct profile_opts o = {&opts, seconds, stop_fd};

    return profile_measure(&got, rig.en, &o, &rig.err);
}

/* PR1 */
static void check_empty(void)
{
    struct outcome o;

    engine_stats(rig.en, &stats);
    ck_assert_int_eq(stats.n_waiting + stats.n_running, 0);
    ck_assert_int_eq(stats.kv_blocks_free, stats.kv_blocks);
    ck_assert(!engine_take(rig.en, &o));
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_EMPTY);
}

START_TEST(a_profile_has_constants_errors_and_the_points_behind_them)
{
    const struct perf *k = &got.perf;

    open_measured();
    ck_assert_msg(measure(20, -1) == ERR_OK, "%s", rig.err.text);
    ck_assert(k->k0 >= 0 && k->kw >= 0 && k->k1 >= 0 && k->k2 >= 0 && k->k3 >= 0 && k->k4 >= 0);
    ck_assert_double_gt(perf_step_ms(k, 0, 1, 0, 100), 0);
    ck_assert(isfinite(got.mape) && got.mape < 100);
    ck_assert(got.held_out_mape >= 0 && got.held_out_mape < 200);
    ck_assert_int_ge(got.samples, 16);
    ck_assert_int_ge(got.held_out, 4);
    ck_assert_double_eq_tol(perf_mape(k, got.points, got.samples), got.mape, 1e-9);
    for (int i = 0; i < got.samples; i++)
        ck_assert(got.points[i].ms > 0 && got.points[i].p + got.points[i].n > 0);
    ck_assert_double_eq(profile_knee(&(struct perf){.kw = 6, .k1 = 2}), 3);
    check_empty();
    rig_close();
}
END_TEST

/* The memory model, to a block; TINY: 3 layers, 2 KV heads of 20. */
START_TEST(the_memory_model_says_what_was_taken)
{
    open_measured();
    opts.kv_bytes = (size_t)1 << 20;
    rig_start(opts);
    ck_assert_msg(measure(20, -1) == ERR_OK, "%s", rig.err.text);
    ck_assert_double_eq(got.memory.kv_token_bytes, 2 * 3 * 2 * 20 * 4);
    ck_assert_double_eq(got.memory.kv_token_bytes, got.memory.real_kv_token_bytes);
    ck_assert_int_eq(got.memory.real_kv_tokens, engine_kv_tokens(rig.en));
    ck_assert_int_le(labs((long)(got.memory.kv_tokens - got.memory.real_kv_tokens)), 32);
    ck_assert_double_eq_tol(got.memory.weight_bytes / got.memory.real_weight_bytes, 1, 0.02);
    rig_close();
}
END_TEST

static struct outcome answer(void)
{
    struct sampling p = RIG_GREEDY;
    struct outcome o[1];

    p.max_tokens = 8;
    rig_add(ids, LONG, &p, 0);
    rig_run();
    rig_take(o, 1);
    return o[0];
}

/* PR1, E1 */
START_TEST(pr1_an_engine_answers_as_before_and_has_the_same_prefixes)
{
    struct outcome before, after, own[1];
    struct sampling p = RIG_GREEDY;
    int32_t made_up[64];

    open_measured();
    before = answer();
    ck_assert_msg(measure(20, -1) == ERR_OK, "%s", rig.err.text);
    after = answer();
    ck_assert_int_eq(before.n_ids, after.n_ids);
    ck_assert_mem_eq(before.ids, after.ids, (size_t)before.n_ids * sizeof *before.ids);
    ck_assert_int_eq(after.n_cached, LONG / 16 * 16);
    for (int i = 0; i < 64; i++) /* as the profile makes them up */
        made_up[i] = (int32_t)(mix64((uint64_t)i + 1) % TINY_VOCAB);
    p.max_tokens = 1;
    rig_add(made_up, 64, &p, 0);
    rig_run();
    rig_take(own, 1);
    ck_assert_int_eq(own[0].n_cached, 0);
    rig_free(&before, 1);
    rig_free(&after, 1);
    rig_free(own, 1);
    rig_close();
}
END_TEST

START_TEST(an_engine_of_one_sequence_and_little_memory_is_measured_too)
{
    open_measured();
    opts.max_num_seqs = 1;
    opts.max_batched_tokens = 64;
    opts.kv_bytes = (size_t)32 * 1024 * 10;
    rig_start(opts);
    ck_assert_msg(measure(20, -1) == ERR_OK, "%s", rig.err.text);
    check_empty();
    rig_close();
}
END_TEST

START_TEST(one_that_has_no_time_or_is_told_to_stop_leaves_an_empty_engine)
{
    const uint64_t one = 1;
    const int fd = eventfd(0, 0);

    open_measured();
    ck_assert_int_eq(measure(1e-9, -1), ERR_TIMEOUT);
    check_empty();
    ck_assert_int_eq(measure(20, fd), ERR_OK);
    ck_assert_int_eq(write(fd, &one, sizeof one), sizeof one);
    ck_assert_int_eq(measure(20, fd), ERR_INTERRUPTED);
    check_empty();
    close(fd);
    rig_close();
}
END_TEST

/* --- kept ------------------------------------------------------------------------------------- */

static struct {
    char name[64], bytes[2048];
    size_t len;
} entry;

static size_t find(void *self, const char *name, void *out, size_t cap)
{
    (void)self;
    if (strcmp(name, entry.name) || entry.len > cap) return 0;
    memcpy(out, entry.bytes, entry.len);
    return entry.len;
}

static void keep(void *self, const char *name, const void *bytes, size_t len)
{
    (void)self;
    ck_assert_uint_le(strlen(name), 40); /* kernels/device.h */
    ck_assert_uint_le(len, sizeof entry.bytes);
    snprintf(entry.name, sizeof entry.name, "%s", name);
    memcpy(entry.bytes, bytes, len);
    entry.len = len;
}

static const struct tuning TUNING = {NULL, find, keep};
static const struct profile MADE = {.perf = {1, 2, 3, 4, 5, 6},
                                    .mape = 7,
                                    .held_out_mape = 8,
                                    .samples = 20,
                                    .held_out = 6,
                                    .steps = 99,
                                    .shared = true,
                                    .seconds = 1.5};

static void open_kept(void)
{
    open_measured();
    opts.tuning = &TUNING;
    profile_keep(&MADE, rig.en, &opts, "engine 1");
}

static bool found(void)
{
    return profile_find(&got, rig.en, &opts, "engine 1");
}

START_TEST(a_large_error_is_doubtful_where_others_computed_too)
{
    ck_assert(!profile_is_doubtful(&(struct profile){.shared = true, .held_out_mape = 14}));
    ck_assert(profile_is_doubtful(&(struct profile){.shared = true, .held_out_mape = 16}));
    ck_assert(!profile_is_doubtful(&(struct profile){.held_out_mape = 16}));
}
END_TEST

START_TEST(a_profile_is_found_again)
{
    open_kept();
    ck_assert(found());
    ck_assert_mem_eq(&got.perf, &MADE.perf, sizeof got.perf);
    ck_assert_double_eq(got.mape, 7);
    ck_assert_double_eq(got.held_out_mape, 8);
    ck_assert_int_eq(got.samples, 20);
    ck_assert_int_eq(got.held_out, 6);
    ck_assert(got.shared);
    rig_close();
}
END_TEST

/* PK1 */
START_TEST(pk1_of_another_instance_none_is_found)
{
    open_kept();
    ck_assert(!profile_find(&got, rig.en, &opts, "engine 2"));
    opts.threads = 2;
    ck_assert(!found());
    opts.threads = 1;
    opts.max_num_seqs = 32;
    ck_assert(!found());
    opts.max_num_seqs = 16;
    snprintf(rig.model.hash, sizeof rig.model.hash, "00ff");
    ck_assert(!found());
    rig_close();
}
END_TEST

static void lie(size_t at, double v)
{
    double was;

    memcpy(&was, entry.bytes + at, sizeof was);
    memcpy(entry.bytes + at, &v, sizeof v);
    ck_assert_msg(!found(), "%g at %zu is believed", v, at);
    memcpy(entry.bytes + at, &was, sizeof was);
    ck_assert(found());
}

/* PK1: the constants are behind the key; a name is no proof. */
START_TEST(pk1_an_entry_that_lies_is_refused)
{
    const double zeros[6] = {0};
    size_t perf = 0;

    open_kept();
    while (memcmp(entry.bytes + perf, &MADE.perf, sizeof MADE.perf))
        perf++;
    for (size_t k = 0; k < 6; k++) {
        lie(perf + 8 * k, -1);
        lie(perf + 8 * k, (double)NAN);
        lie(perf + 8 * k, (double)INFINITY);
    }
    lie(perf + 48, (double)NAN); /* mape */
    lie(perf + 72, 1e9);         /* as an integer: samples without bounds */
    entry.bytes[20] ^= 1;        /* the key */
    ck_assert(!found());
    entry.bytes[20] ^= 1;
    entry.bytes[0] ^= 1; /* the magic */
    ck_assert(!found());
    entry.bytes[0] ^= 1;
    entry.len--;
    ck_assert(!found());
    entry.len++;
    memcpy(entry.bytes + perf, zeros, sizeof zeros);
    ck_assert(!found());
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("profile");
    TCase *t = tcase_create("profile");

    tcase_add_test(t, a_step_tells_its_tokens_and_their_context);
    tcase_add_test(t, a_placed_sequence_stands_deep_in_a_context_that_nobody_computed);
    tcase_add_test(t, nobody_shares_the_blocks_of_a_placed_sequence);
    tcase_add_test(t, what_cannot_be_placed_is_refused_and_leaves_nothing);
    tcase_add_test(t, gr1_every_point_fits_whatever_the_limits_are);
    tcase_add_test(t, the_grid_has_both_kinds_shallow_and_deep_and_whole_values_held_out);
    tcase_add_test(t, a_profile_has_constants_errors_and_the_points_behind_them);
    tcase_add_test(t, the_memory_model_says_what_was_taken);
    tcase_add_test(t, pr1_an_engine_answers_as_before_and_has_the_same_prefixes);
    tcase_add_test(t, an_engine_of_one_sequence_and_little_memory_is_measured_too);
    tcase_add_test(t, one_that_has_no_time_or_is_told_to_stop_leaves_an_empty_engine);
    tcase_add_test(t, a_large_error_is_doubtful_where_others_computed_too);
    tcase_add_test(t, a_profile_is_found_again);
    tcase_add_test(t, pk1_of_another_instance_none_is_found);
    tcase_add_test(t, pk1_an_entry_that_lies_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
