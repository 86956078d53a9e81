/* test_roofline.c - a model from shapes and peaks, by numbers that were worked out by hand. */
#include "schema/roofline.h"

#include <math.h>

#include "tests/test.h"

/* Llama-3.1-8B: 8,030,261,248 weights as published. */
static const struct model_shape LLAMA8 = {.layers = 32,
                                          .hidden = 4096,
                                          .ffn = 14336,
                                          .q_heads = 32,
                                          .kv_heads = 8,
                                          .head_dim = 128,
                                          .vocab = 128256,
                                          .max_len = 131072,
                                          .quant_block = 1,
                                          .weight_bits = 16,
                                          .kv_bits = 16};

/* 1 Tflop/s and 1 TB/s, so that a number of 1e9 is a millisecond. */
static const struct device_speed DEVICE = {.flops = 2e12,
                                           .bytes_per_s = 4e12,
                                           .flops_share = 0.5,
                                           .bytes_share = 0.25,
                                           .launch_s = 1e-5,
                                           .link_bytes_per_s = 1e11,
                                           .link_s = 2e-5};

static void is_close(double a, double b)
{
    ck_assert_msg(fabs(a - b) <= 1e-9 * fabs(b), "%.12g, not %.12g", a, b);
}

START_TEST(a_published_model_has_its_published_size)
{
    struct model_shape tied = LLAMA8;

    is_close(model_shape_weights(&LLAMA8), 8030261248.0);
    is_close(model_shape_weight_bytes(&LLAMA8), 2 * 8030261248.0);
    is_close(model_shape_kv_bytes(&LLAMA8), 131072);
    tied.tied = 1;
    is_close(model_shape_weights(&tied), 8030261248.0 - 4096.0 * 128256);
}
END_TEST

START_TEST(embeddings_shrink_only_where_a_file_stores_them_in_blocks)
{
    const double layers = 32.0 * (4096.0 * 48 * 128 + 4096.0 * 4096 + 3 * 4096.0 * 14336);
    const double rest = 8030261248.0 - layers;
    struct model_shape m = LLAMA8;

    m.weight_bits = 8; /* fp8: made at load, embeddings stay */
    is_close(model_shape_weight_bytes(&m), layers + 2 * rest);
    m.weight_bits = 4.5;
    m.quant_block = 256;
    is_close(model_shape_weight_bytes(&m), (layers + rest) * 4.5 / 8);
    m = LLAMA8;
    m.weight_bits = 32;
    is_close(model_shape_weight_bytes(&m), (layers + rest) * 4);
}
END_TEST

START_TEST(each_constant_is_its_formula)
{
    const double layers = 6979321856.0, output = 525336576.0; /* numbers */
    struct perf k;

    roofline(&k, &LLAMA8, &DEVICE, 1);
    is_close(k.k0, 0.32);
    is_close(k.kw, 2 * (layers + output) / 1e9);
    is_close(k.k1, 2 * layers / 1e9);
    is_close(k.k2, 4 * 32 * 32 * 128 / 1e9);
    is_close(k.k3, 2 * output / 1e9);
    is_close(k.k4, 131072 / 1e9);
}
END_TEST

START_TEST(ranks_share_the_work_and_pay_for_their_sums)
{
    struct perf one, two, many;

    roofline(&one, &LLAMA8, &DEVICE, 1);
    roofline(&two, &LLAMA8, &DEVICE, 2);
    is_close(two.kw, one.kw / 2);
    is_close(two.k2, one.k2 / 2);
    is_close(two.k3, one.k3 / 2);
    is_close(two.k4, one.k4 / 2);
    is_close(two.k0, 0.32 + 64 * 0.02); /* two all-reduces in each of 32 layers */
    is_close(two.k1, one.k1 / 2 + 64 * (2.0 * 1 / 2) * 4096 * 2 / 1e11 * 1000);
    roofline(&many, &LLAMA8, &DEVICE, 16);
    is_close(many.k4, one.k4 / 8); /* 8 KV heads are not split over 16 ranks */
}
END_TEST

START_TEST(ranks_that_go_through_the_host_share_its_bytes)
{
    const double rows = 64 * 4096 * 2.0 / 1e11 * 1000; /* a token's sums over the link, in ms */
    struct device_speed d = DEVICE;
    struct perf one, two, four;

    d.is_link_shared = true;
    roofline(&one, &LLAMA8, &d, 1);
    roofline(&two, &LLAMA8, &d, 2);
    roofline(&four, &LLAMA8, &d, 4);
    is_close(two.k1, one.k1 / 2 + 2 * 0.5 * rows);
    is_close(four.k1, one.k1 / 4 + 2 * 0.75 * rows * 3);
    d.link_bytes_per_s = 0;
    roofline(&four, &LLAMA8, &d, 4);
    is_close(four.k1, one.k1 / 4);
}
END_TEST

START_TEST(a_shape_of_zeros_takes_no_time)
{
    struct model_shape none = {0};
    struct perf k = {1, 1, 1, 1, 1, 1};

    roofline(&k, &none, &DEVICE, 2);
    ck_assert(perf_step_ms(&k, 10, 10, 10, 10) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("roofline");
    TCase *t = tcase_create("roofline");

    suite_add_tcase(s, t);
    tcase_add_test(t, a_published_model_has_its_published_size);
    tcase_add_test(t, embeddings_shrink_only_where_a_file_stores_them_in_blocks);
    tcase_add_test(t, each_constant_is_its_formula);
    tcase_add_test(t, ranks_share_the_work_and_pay_for_their_sums);
    tcase_add_test(t, ranks_that_go_through_the_host_share_its_bytes);
    tcase_add_test(t, a_shape_of_zeros_takes_no_time);
    return s;
}

TEST_MAIN(suite)
