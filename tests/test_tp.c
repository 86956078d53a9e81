/* test_tp.c - worker/forward on several TP ranks: every family of tests/golden on 1, 2 and 4, what
 * cannot be split, and a rank that fails.
 *
 * The tolerance is that of test_families.c: a sum over ranks is a sum in another order.
 */
#include <stdatomic.h>
#include <string.h>

#include "tests/family.h"
#include "tests/rig.h"
#include "tests/test.h"
#include "worker/layers.h"

#define TOLERANCE 1e-4
#define N_LOGITS  ((size_t)FAMILY_MAX_IDS * 128)

static void open_case(struct family_run *f, const struct family_case *c, const struct ops *ops,
                      int tp)
{
    family_load(f, c);
    ck_assert_msg(!family_forward(f, c, ops, tp), "%s: %s", c->name, f->e.text);
}

START_TEST(each_family_has_its_logits_on_1_2_and_4_ranks)
{
    static float logits[N_LOGITS], again[N_LOGITS];
    const struct family_case *c = &FAMILY_CASES[_i / 2];
    const struct ops *ops = _i % 2 ? ops_cpu() : ops_ref();
    struct family_run f;

    for (int tp = 1; tp <= 4; tp *= 2) {
        open_case(&f, c, ops, tp);
        for (int chunk = 0; chunk < 2; chunk++) {
            family_prompt(&f, chunk * FAMILY_MAX_IDS, logits);
            ck_assert_msg(family_off(&f, logits) <= TOLERANCE, "%s on %d ranks: off by %.2g",
                          c->name, tp, family_off(&f, logits));
        }
        family_prompt(&f, FAMILY_MAX_IDS, again); /* CO1: the same bits every time */
        ck_assert_mem_eq(again, logits, (size_t)f.n_ids * (size_t)f.V * sizeof *logits);
        family_close(&f);
    }
}
END_TEST

static void refuse(const struct family_case *c, int tp, const char *text)
{
    struct family_run f;

    family_load(&f, c);
    ck_assert_int_eq(family_forward(&f, c, ops_cpu(), tp), ERR_ARG);
    ck_assert_msg(strstr(f.e.text, text) != NULL, "'%s' lacks '%s'", f.e.text, text);
    family_close(&f);
}

START_TEST(what_cannot_be_split_is_refused_with_the_numbers)
{
    refuse(&FAMILY_CASES[0], 3, "tensor-parallel-size 3 does not divide 4 attention heads");
    refuse(&FAMILY_CASES[0], 8, "tensor-parallel-size 8 does not divide 4 attention heads");
    refuse(&FAMILY_CASES[0], -1, "tensor-parallel-size is -1");
    refuse(&FAMILY_CASES[0], 65, "tensor-parallel-size is 65");
}
END_TEST

static int share(struct layers *whole, int tp, struct errmsg *e)
{
    struct layers part;
    int rc = layers_share(&part, whole, tp - 1, tp, e);

    if (!rc) layers_fini(&part);
    return rc;
}

START_TEST(a_rank_has_whole_blocks_of_quantised_columns)
{
    static const char data[1 << 16];
    struct layer one = {.q = {data, DTYPE_Q8_0, 128, 64, 0},
                        .k = {data, DTYPE_Q8_0, 64, 64, 0},
                        .v = {data, DTYPE_Q8_0, 64, 64, 0},
                        .o = {data, DTYPE_Q8_0, 64, 128, 0},
                        .gate = {data, DTYPE_Q8_0, 192, 64, 0},
                        .up = {data, DTYPE_Q8_0, 192, 64, 0},
                        .down = {data, DTYPE_Q8_0, 64, 192, 0}};
    struct layers whole =
                      {.n = 1, .D = 64, .H = 8, .HK = 4, .HD = 16, .F = 192, .V = 97, .at = &one},
                  part;
    struct errmsg e;

    whole.head = whole.embed = (struct weight){data, DTYPE_Q8_0, 97, 64, 0, NULL};
    ck_assert_msg(!layers_share(&part, &whole, 1, 2, &e), "%s", e.text);
    ck_assert_int_eq(part.H, 4);
    ck_assert_int_eq(part.HK, 2);
    ck_assert_int_eq(part.V, 49);
    ck_assert_int_eq(part.at[0].down.K, 96);
    ck_assert_ptr_eq(part.at[0].down.data, data + 3 * 34); /* 96 columns: three blocks */
    ck_assert_uint_eq(part.at[0].down.row_bytes, 6 * 34);
    ck_assert_ptr_eq(part.at[0].k.data, data + (size_t)32 * 2 * 34);
    ck_assert_ptr_eq(part.head.data, data + (size_t)48 * 2 * 34);
    layers_fini(&part);
    ck_assert_int_eq(share(&whole, 4, &e), ERR_ARG); /* 48 columns */
    ck_assert_ptr_nonnull(strstr(e.text, "48 feed-forward columns, no whole blocks of 32 (q8_0)"));
    ck_assert_int_eq(share(&whole, 8, &e), ERR_ARG); /* 16 columns of a head */
    ck_assert_ptr_nonnull(strstr(e.text, "16 columns of heads"));
    whole.F = 191;
    ck_assert_int_eq(share(&whole, 2, &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "191 feed-forward columns"));
    whole.F = 192, whole.HK = 3, whole.H = 6;
    ck_assert_int_eq(share(&whole, 2, &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "3 KV heads"));
}
END_TEST

/* The CPU's ops, of which one call fails: on rank 0 or on any other, as its stream says. */
static struct {
    const struct stream *first; /* rank 0's */
    bool on_first;
    atomic_int left; /* calls before it */
} trap;

static int fall(const struct stream *s)
{
    if ((s == trap.first) != trap.on_first) return ERR_OK;
    return atomic_fetch_sub(&trap.left, 1) == 0 ? ERR_NOMEM : ERR_OK;
}

static int trap_embed(void *x, const struct weight *w, float scale, const struct ragged *r,
                      struct stream *s)
{
    const int rc = fall(s);

    return rc ? rc : ops_cpu()->embed(x, w, scale, r, s);
}

static int trap_rmsnorm(void *y, const void *x, const float *w, int T, int D, float eps,
                        struct stream *s)
{
    const int rc = fall(s);

    return rc ? rc : ops_cpu()->rmsnorm(y, x, w, T, D, eps, s);
}

static int trap_linear(const struct product *p, int n, const void *x, int T, struct stream *s)
{
    const int rc = fall(s);

    return rc ? rc : ops_cpu()->linear(p, n, x, T, s);
}

static int trap_add(void *x, const void *y, int T, int D, struct stream *s)
{
    const int rc = fall(s);

    return rc ? rc : ops_cpu()->add(x, y, T, D, s);
}

static int trap_add_rmsnorm(void *y, void *x, const void *a, const float *w, int T, int D,
                            float eps, struct stream *s)
{
    const int rc = fall(s);

    return rc ? rc : ops_cpu()->add_rmsnorm(y, x, a, w, T, D, eps, s);
}

START_TEST(a_rank_that_fails_ends_the_step_in_order) /* CO2 */
{
    static float logits[N_LOGITS], want[N_LOGITS];
    const struct family_case *c = &FAMILY_CASES[N_FAMILY_CASES - 1]; /* gemma3: most ops */
    struct ops ops = *ops_cpu();
    const char *who = _i ? "on rank 0 of 2" : "on rank 1 of 2";
    struct family_run f;
    int n = 0, rc;

    ops.embed = trap_embed;
    ops.rmsnorm = trap_rmsnorm;
    ops.linear = trap_linear;
    ops.add = trap_add;
    ops.add_rmsnorm = trap_add_rmsnorm;
    trap.left = -1;
    open_case(&f, c, &ops, 2);
    trap.first = forward_streams(f.forward)[0];
    trap.on_first = _i;
    family_prompt(&f, FAMILY_MAX_IDS, want);
    do {
        f.n_kv = 0;
        trap.left = n++;
        rc = family_step(&f, f.n_ids, logits);
        if (!rc) break;
        ck_assert_int_eq(rc, ERR_NOMEM);
        ck_assert_msg(strstr(f.e.text, who) != NULL, "call %d: %s", n, f.e.text);
        trap.left = -1; /* the group goes on */
        family_prompt(&f, FAMILY_MAX_IDS, logits);
        ck_assert_mem_eq(logits, want, (size_t)f.n_ids * (size_t)f.V * sizeof *logits);
    } while (true);
    ck_assert_int_gt(n, 30);
    family_close(&f);
}
END_TEST

START_TEST(an_engine_on_several_ranks_gives_the_same_tokens)
{
    struct sampling p = RIG_GREEDY;
    struct outcome one[8], many[8];

    p.max_tokens = 12;
    tiny_open(&rig.model, &(struct tiny){.dtype = (enum dtype)_i});
    for (int tp = 1; tp <= 2; tp++) {
        rig_start((struct engine_opts){.threads = 3, .tp = tp, .max_batched_tokens = 9});
        for (int i = 0; i < 8; i++)
            rig_add((int32_t[]){2 + i, 5, 9, 30 + i, 7}, 5, &p, i);
        rig_run();
        rig_take(tp == 1 ? one : many, 8);
    }
    for (int i = 0; i < 8; i++)
        ck_assert_mem_eq(one[i].ids, many[i].ids, 12 * sizeof *one[i].ids);
    rig_free(one, 8);
    rig_free(many, 8);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tp");
    TCase *t = tcase_create("tp");

    tcase_add_loop_test(t, each_family_has_its_logits_on_1_2_and_4_ranks, 0, 2 * N_FAMILY_CASES);
    tcase_add_test(t, what_cannot_be_split_is_refused_with_the_numbers);
    tcase_add_test(t, a_rank_has_whole_blocks_of_quantised_columns);
    tcase_add_loop_test(t, a_rank_that_fails_ends_the_step_in_order, 0, 2);
    tcase_add_loop_test(t, an_engine_on_several_ranks_gives_the_same_tokens, DTYPE_F32,
                        DTYPE_BF16 + 1);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
