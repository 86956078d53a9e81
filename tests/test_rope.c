/* test_rope.c - model/rope: the table of frequencies, against numbers of another program.
 *
 * GOLDEN was printed by transformers 5.23 (ROPE_INIT_FUNCTIONS[rope_type] of a LlamaConfig with
 * heads of 16 and the numbers below), which computes in float: hence 1e-6 of each number.
 */
#include <math.h>
#include <string.h>

#include "model/rope.h"
#include "tests/test.h"

#define N_ROT 16

static const struct rope_config LONGROPE = {
    .kind = ROPE_LONGROPE,
    .theta = 10000,
    .original_positions = 4096,
    .n_factors = N_ROT / 2,
    .short_factor = {1, 1.1f, 1.25f, 1.5f, 2, 2.5f, 3, 4},
    .long_factor = {1, 1.5f, 3, 6, 12, 24, 32, 48},
};

static const struct golden {
    struct rope_config r;
    int max_positions;
    float f[N_ROT / 2], scale;
} GOLDEN[] = {
    {{.kind = ROPE_LINEAR, .theta = 10000, .factor = 4},
     4096,
     {0.25f, 0.079056941f, 0.0250000004f, 0.00790569466f, 0.00249999994f, 0.000790569466f,
      0.000250000012f, 7.90569466e-05f},
     1},
    {{.kind = ROPE_LLAMA3,
      .theta = 500000,
      .factor = 8,
      .low_freq_factor = 1,
      .high_freq_factor = 4,
      .original_positions = 8192},
     131072,
     {1.0f, 0.193922758f, 0.0376060307f, 0.00729266508f, 0.000524846022f, 3.42810235e-05f,
      6.64786967e-06f, 1.28917316e-06f},
     1},
    {{.kind = ROPE_YARN,
      .theta = 10000,
      .factor = 4,
      .beta_fast = 32,
      .beta_slow = 1,
      .original_positions = 1024},
     4096,
     {1.0f, 0.316227764f, 0.0812500045f, 0.0197642371f, 0.00437500002f, 0.000790569466f,
      0.000250000012f, 7.90569466e-05f},
     1.13862944f},
    {{.kind = ROPE_YARN,
      .theta = 1000000,
      .factor = 4,
      .beta_fast = 8,
      .beta_slow = 2,
      .attention_factor = 0.75f,
      .original_positions = 32768},
     131072,
     {1.0f, 0.177827939f, 0.0316227786f, 0.00562341325f, 0.000625000044f, 4.44569851e-05f,
      7.90569356e-06f, 1.40585337e-06f},
     0.75f},
};

static void check_table(const float *f, float scale, const float *want, float want_scale)
{
    for (int i = 0; i < N_ROT / 2; i++)
        ck_assert_msg(fabsf(f[i] / want[i] - 1) <= 1e-6f, "pair %d: %.9g, not %.9g", i,
                      (double)f[i], (double)want[i]);
    ck_assert_msg(fabsf(scale / want_scale - 1) <= 1e-6f, "scale %.9g, not %.9g", (double)scale,
                  (double)want_scale);
}

START_TEST(a_table_is_what_transformers_computes)
{
    const struct golden *g = &GOLDEN[_i];
    float f[N_ROT / 2], scale;
    struct errmsg e;

    ck_assert_msg(!rope_table(f, &scale, &g->r, N_ROT, g->max_positions, g->max_positions, &e),
                  "%s", e.text);
    check_table(f, scale, g->f, g->scale);
}
END_TEST

START_TEST(longrope_takes_the_set_of_the_longest_sequence)
{
    static const float SHORT[] = {1.0f,           0.287479758f,   0.0799999982f,  0.0210818499f,
                                  0.00499999989f, 0.00126491114f, 0.00033333333f, 7.90569466e-05f};
    static const float LONG[] = {1.0f,
                                 0.210818499f,
                                 0.0333333351f,
                                 0.00527046248f,
                                 0.000833333354f,
                                 0.000131761582f,
                                 3.12500015e-05f,
                                 6.58807858e-06f};
    float f[N_ROT / 2], scale;
    struct errmsg e;

    ck_assert_int_eq(rope_table(f, &scale, &LONGROPE, N_ROT, 4096, 131072, &e), ERR_OK);
    check_table(f, scale, SHORT, 1.19023807f);
    ck_assert_int_eq(rope_table(f, &scale, &LONGROPE, N_ROT, 4097, 131072, &e), ERR_OK);
    check_table(f, scale, LONG, 1.19023807f);
}
END_TEST

START_TEST(a_factor_that_is_not_given_is_the_ratio_of_the_positions)
{
    struct golden g = GOLDEN[2];
    float f[N_ROT / 2], scale;

    g.r.factor = 0;
    ck_assert_int_eq(rope_table(f, &scale, &g.r, N_ROT, 4096, 4096, NULL), ERR_OK);
    check_table(f, scale, g.f, g.scale);
}
END_TEST

START_TEST(without_scaling_a_frequency_is_a_power_of_theta)
{
    const struct rope_config r = {.kind = ROPE_DEFAULT, .theta = 16};
    float f[2], scale;

    ck_assert_int_eq(rope_table(f, &scale, &r, 4, 64, 64, NULL), ERR_OK);
    ck_assert_mem_eq(f, ((float[]){1, 0.25f}), sizeof f);
    ck_assert_mem_eq(&scale, &(float){1}, sizeof scale);
}
END_TEST

static void refused(struct rope_config r, int n_rot, int rc, const char *text)
{
    float f[CONFIG_MAX_HD], scale;
    struct errmsg e;

    ck_assert_int_eq(rope_table(f, &scale, &r, n_rot, 4096, 4096, &e), rc);
    ck_assert_str_eq(e.text, text);
}

START_TEST(a_number_that_makes_no_table_is_refused_by_name)
{
    struct rope_config r = GOLDEN[0].r;

    refused(r, 7, ERR_ARG, "rope: 7 numbers of a head turn, must be even and 2 to 512");
    r.factor = 0;
    refused(r, N_ROT, ERR_FORMAT, "rope: factor is 0, must be above 0");
    r.factor = INFINITY;
    refused(r, N_ROT, ERR_FORMAT, "rope: factor is inf, must be above 0");
    r = GOLDEN[1].r, r.low_freq_factor = 4;
    refused(r, N_ROT, ERR_FORMAT, "rope: low_freq_factor 4 is not below high_freq_factor 4");
    r = GOLDEN[2].r, r.beta_slow = 0;
    refused(r, N_ROT, ERR_FORMAT, "rope: beta_slow is 0, must be above 0");
    r = GOLDEN[2].r, r.theta = 1;
    refused(r, N_ROT, ERR_FORMAT, "rope: theta is 1, must be above 1");
    refused(LONGROPE, 12, ERR_FORMAT, "rope: short_factor and long_factor have 8 numbers, not 6");
    r = LONGROPE, r.long_factor[3] = -1;
    refused(r, N_ROT, ERR_FORMAT, "rope: long_factor[3] is -1, must be above 0");
    r = LONGROPE, r.original_positions = 1;
    refused(r, N_ROT, ERR_FORMAT,
            "rope: original_max_position_embeddings is 1, must be at least 2");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rope");
    TCase *t = tcase_create("rope");

    tcase_add_loop_test(t, a_table_is_what_transformers_computes, 0,
                        (int)(sizeof GOLDEN / sizeof GOLDEN[0]));
    tcase_add_test(t, longrope_takes_the_set_of_the_longest_sequence);
    tcase_add_test(t, a_factor_that_is_not_given_is_the_ratio_of_the_positions);
    tcase_add_test(t, without_scaling_a_frequency_is_a_power_of_theta);
    tcase_add_test(t, a_number_that_makes_no_table_is_refused_by_name);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
