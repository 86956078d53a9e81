/* test_families.c - worker/forward, worker/layers and model/config against an independent
 * implementation, for each family: tests/golden/make_golden.py computed the logits.
 *
 * The tolerance is 1e-4 of the largest logit: float32 through three layers stays under a tenth of
 * it, and leaving out any one of a family's parts is a hundred times more.
 */
#include <math.h>
#include <string.h>

#include "tests/family.h"
#include "tests/test.h"

#define TOLERANCE 1e-4

/* Each test runs for every case on every table. */
static const struct ops *of_loop(int i, const struct family_case **c)
{
    *c = &FAMILY_CASES[i / FAMILY_TABLES];
    return family_table(i % FAMILY_TABLES);
}

static void open_case(struct family_run *f, const struct family_case *c, const struct ops *ops)
{
    family_load(f, c);
    ck_assert_msg(!family_forward(f, c, ops, 1), "%s: %s", c->name, f->e.text);
}

START_TEST(a_whole_prompt_has_the_golden_logits)
{
    static float logits[FAMILY_MAX_IDS * 128];
    const struct family_case *c;
    const struct ops *ops = of_loop(_i, &c);
    struct family_run f;
    double off;

    if (!ops) return;
    open_case(&f, c, ops);
    family_prompt(&f, FAMILY_MAX_IDS, logits);
    off = family_off(&f, logits);
    ck_assert_msg(off <= TOLERANCE, "%s on %s: off by %.2g", c->name, ops->name, off);
    family_close(&f);
}
END_TEST

START_TEST(chunks_of_a_prompt_have_the_same_bits) /* O1 */
{
    static float whole[FAMILY_MAX_IDS * 128], logits[FAMILY_MAX_IDS * 128];
    const struct family_case *c;
    const struct ops *ops = of_loop(_i, &c);
    struct family_run f;

    if (!ops) return;
    open_case(&f, c, ops);
    family_prompt(&f, FAMILY_MAX_IDS, whole);
    for (int chunk = 0; chunk <= 7; chunk++) {
        family_prompt(&f, chunk, logits);
        ck_assert_msg(!memcmp(logits, whole, (size_t)f.n_ids * (size_t)f.V * sizeof *whole),
                      "%s on %s, chunks of %d: the logits differ from those of the whole prompt",
                      c->name, ops->name, chunk);
    }
    family_close(&f);
}
END_TEST

START_TEST(another_sequence_in_the_step_changes_no_bit) /* O1 */
{
    static const int STEPS[][2] = {{3, 0}, {5, 9}, {1, 1}, {2, 1}, {1, 12}, {4, 0}, {24, 5}};
    static float whole[FAMILY_MAX_IDS * 128], logits[FAMILY_MAX_IDS * 128];
    const struct family_case *c;
    const struct ops *ops = of_loop(_i, &c);
    struct family_run f;

    if (!ops) return;
    open_case(&f, c, ops);
    family_prompt(&f, FAMILY_MAX_IDS, whole);
    f.n_kv = 0;
    for (size_t i = 0; f.n_kv < f.n_ids && i < sizeof STEPS / sizeof STEPS[0]; i++) {
        const int left = f.n_ids - f.n_kv, n = STEPS[i][0] < left ? STEPS[i][0] : left;
        const int other = f.n_other_kv + STEPS[i][1] <= f.n_ids ? STEPS[i][1] : 0;
        float *at = logits + (size_t)f.n_kv * (size_t)f.V;

        ck_assert_msg(!family_step_beside(&f, n, other, at), "%s", f.e.text);
    }
    ck_assert_int_eq(f.n_kv, f.n_ids);
    ck_assert_msg(!memcmp(logits, whole, (size_t)f.n_ids * (size_t)f.V * sizeof *whole),
                  "%s on %s: the logits differ from those of the sequence alone", c->name,
                  ops->name);
    family_close(&f);
}
END_TEST

static int32_t best_of(const float *row, int V)
{
    int best = 0;

    for (int i = 1; i < V; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

START_TEST(the_greedy_ids_follow)
{
    static float logits[FAMILY_MAX_IDS * 128];
    const struct family_case *c;
    const struct ops *ops = of_loop(_i, &c);
    struct family_run f;
    const float *row;

    if (!ops) return;
    open_case(&f, c, ops);
    family_prompt(&f, FAMILY_MAX_IDS, logits);
    row = logits + (size_t)(f.n_ids - 1) * (size_t)f.V;
    ck_assert_int_ge(f.n_greedy, 4);
    for (int i = 0; i < f.n_greedy; i++) {
        ck_assert_msg(best_of(row, f.V) == f.ids[f.n_ids + i], "%s on %s: token %d", c->name,
                      ops->name, i);
        ck_assert_msg(!family_step(&f, 1, logits), "%s", f.e.text);
        row = logits;
    }
    family_close(&f);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("families");
    TCase *t = tcase_create("families");
    const int n = N_FAMILY_CASES * FAMILY_TABLES;

    tcase_add_loop_test(t, a_whole_prompt_has_the_golden_logits, 0, n);
    tcase_add_loop_test(t, chunks_of_a_prompt_have_the_same_bits, 0, n);
    tcase_add_loop_test(t, another_sequence_in_the_step_changes_no_bit, 0, n);
    tcase_add_loop_test(t, the_greedy_ids_follow, 0, n);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
