/* test_cards.c - devices by name, what they can do, and the best model that is known of them. */
#include <math.h>
#include <string.h>

#include "broker/cards.h"
#include "tests/test.h"

static void is_close(double a, double b, double relative)
{
    ck_assert_msg(fabs(a - b) <= relative * fabs(b), "%.9g, not %.9g", a, b);
}

static const char *found(const char *name)
{
    const struct card *c = card_find(name);

    return c ? c->name : "none";
}

START_TEST(a_card_is_found_by_what_cuda_calls_it)
{
    static const char *const NAMES[][2] = {
        {"NVIDIA H200", "H200-SXM-141GB"},
        {"NVIDIA H100 80GB HBM3", "H100-SXM-80GB"},
        {"NVIDIA H100 PCIe", "H100-PCIe-80GB"},
        {"NVIDIA A100-SXM4-80GB", "A100-SXM-80GB"},
        {"NVIDIA A100-SXM4-40GB", "A100-SXM-40GB"},
        {"NVIDIA A100-PCIE-40GB", "A100-PCIe-40GB"},
        {"NVIDIA A100 80GB PCIe", "A100-PCIe-80GB"},
        {"Tesla T4", "T4-16GB"},
        {"Tesla V100-SXM2-32GB", "V100-SXM2-32GB"},
        {"NVIDIA L4", "L4-24GB"},
        {"NVIDIA L40S", "L40S-48GB"},
        {"NVIDIA L40", "L40-48GB"},
        {"NVIDIA A10", "A10-24GB"},
        {"NVIDIA A10G", "A10G-24GB"},
        {"NVIDIA A40", "A40-48GB"},
        {"NVIDIA RTX A6000", "RTX-A6000-48GB"},
        {"NVIDIA GeForce RTX 4090", "RTX-4090-24GB"},
        {"NVIDIA GeForce RTX 3090", "RTX-3090-24GB"},
        {"NVIDIA B200", "B200-SXM-180GB"},
        {"NVIDIA GB200", "GB200-186GB"},
        {"NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000-96GB"},
        {"AMD Instinct MI300X", "MI300X-192GB"},
    };

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        ck_assert_msg(!strcmp(found(NAMES[i][0]), NAMES[i][1]), "%s is %s, not %s", NAMES[i][0],
                      found(NAMES[i][0]), NAMES[i][1]);
}
END_TEST

START_TEST(a_card_is_found_by_a_part_that_only_it_has)
{
    ck_assert_str_eq(found("h200"), "H200-SXM-141GB");
    ck_assert_str_eq(found("4090"), "RTX-4090-24GB");
    ck_assert_str_eq(found("rtx4090"), "RTX-4090-24GB");
    ck_assert_str_eq(found("h100 sxm"), "H100-SXM-80GB");
    ck_assert_str_eq(found("A6000"), "RTX-A6000-48GB");
    ck_assert_str_eq(found("l4"), "L4-24GB"); /* not a part of L40 and L40S */
    for (size_t i = 0; card_at(i); i++)
        ck_assert_ptr_eq(card_find(card_at(i)->name), card_at(i));
}
END_TEST

START_TEST(a_name_of_several_cards_or_of_none_finds_none)
{
    static const char *const NAMES[] = {"A100",
                                        "h100",
                                        "v100",
                                        "a100 80gb",
                                        "GTX 1080",
                                        "",
                                        "NVIDIA",
                                        "-",
                                        "NVIDIA GeForce RTX 3090 Ti",
                                        "NVIDIA GeForce RTX 4090 Laptop GPU",
                                        "Tesla V100-SXM2-16GB"};
    char endless[500];

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        ck_assert_msg(!card_find(NAMES[i]), "%s is %s", NAMES[i], found(NAMES[i]));
    memset(endless, 'h', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    ck_assert_ptr_null(card_find(endless));
}
END_TEST

/* Up to 12 cells of a line; the ones behind may have commas of their own. */
static int cells(char *line, char **out)
{
    int n = 0;

    for (char *at = line; at && n < 12; n++) {
        out[n] = at;
        at = strchr(at, ',');
        if (at) *at++ = '\0';
    }
    return n;
}

static double number(const char *cell)
{
    return *cell ? atof(cell) : 0;
}

START_TEST(the_table_says_what_its_sources_say)
{
    FILE *f = fopen(test_data("gpus.csv"), "r");
    char line[2000], *c[12];
    int n = 0;

    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    while (fgets(line, sizeof line, f)) {
        const struct card *is;

        ck_assert_int_eq(cells(line, c), 12);
        if (!*c[6]) continue; /* its sources do not agree on how fast its memory is */
        is = card_find(c[0]);
        ck_assert_msg(is && !strcmp(is->name, c[0]), "%s is not there", c[0]);
        is_close(is->bytes, number(c[3]) * 1e9, 1e-12);
        is_close(is->flops_bf16, number(c[4]) * 1e12, 1e-12);
        is_close(is->flops_f16, number(c[5]) * 1e12, 1e-12);
        is_close(is->bytes_per_s, number(c[6]) * 1e9, 1e-12);
        is_close(is->link_bytes_per_s, number(c[8]) * 1e9, 1e-12);
        is_close(is->pcie_bytes_per_s, number(c[10]) * 1e9, 1e-12);
        n++;
    }
    fclose(f);
    ck_assert_int_eq(n, 34);
    ck_assert_ptr_null(card_at(34));
}
END_TEST

START_TEST(a_dtype_without_tensor_cores_is_slow)
{
    const struct card *v100 = card_find("V100-SXM2-32GB"), *h100 = card_find("H100-SXM-80GB");

    is_close(card_speed(v100, DTYPE_F16).flops, 125e12, 1e-12);
    is_close(card_speed(v100, N_DTYPES).flops, 125e12, 1e-12);
    ck_assert(card_speed(v100, DTYPE_BF16).flops < 20e12);
    is_close(card_speed(v100, DTYPE_FP8).flops, 125e12, 1e-12); /* stored so, computed in f16 */
    is_close(card_speed(h100, DTYPE_FP8).flops, 2 * 989e12, 1e-12);
    is_close(card_speed(h100, DTYPE_INT8).flops, 2 * 989e12, 1e-12);
    is_close(card_speed(h100, DTYPE_Q4_K).flops, 989e12, 1e-12);
    ck_assert(card_speed(h100, DTYPE_F32).flops < 0.2 * 989e12);
}
END_TEST

START_TEST(ranks_without_a_link_share_the_host)
{
    struct device_speed linked = card_speed(card_find("A100-SXM-80GB"), N_DTYPES);
    struct device_speed not_linked = card_speed(card_find("L40S"), N_DTYPES);

    ck_assert(!linked.is_link_shared);
    is_close(linked.link_bytes_per_s, 300e9, 1e-12);
    ck_assert(not_linked.is_link_shared);
    ck_assert(not_linked.link_bytes_per_s < 32e9 && not_linked.link_bytes_per_s > 0);
    ck_assert(not_linked.link_s > linked.link_s);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* What the card's models of one rank reach of its peaks; how many there are. */
static int shares(const struct card *c, double *of_flops, double *of_bytes)
{
    double flops[32], bytes[32];
    const struct measured *m;
    int n = 0;

    for (size_t i = 0; (m = measured_at(i)); i++) {
        struct device_speed d = card_speed(c, N_DTYPES);
        const struct model_shape *s = measured_shape(m->model);
        double launch_ms = d.launch_s * 1000 * s->layers;
        struct perf k;

        if (m->tp > 1 || strcmp(m->card, c->name) != 0) continue;
        ck_assert_int_lt(n, 32);
        d.flops_share = d.bytes_share = 1;
        roofline(&k, s, &d, 1);
        flops[n] = k.k1 / m->perf.k1;
        bytes[n++] = k.kw / (m->perf.k0 + m->perf.kw + m->perf.k3 - launch_ms);
    }
    if (n == 0) return 0;
    *of_flops = fmin(median(flops, n), 1);
    *of_bytes = fmin(median(bytes, n), 1);
    return n;
}

START_TEST(the_shares_are_those_of_the_measured_models)
{
    double flops[64], bytes[64];
    const struct card *c;
    int n = 0;

    for (size_t i = 0; (c = card_at(i)); i++) {
        bool is_measured = shares(c, &flops[n], &bytes[n]) > 0;

        ck_assert_int_eq(c->is_measured, is_measured);
        if (!is_measured) continue;
        ck_assert_msg(fabs(c->flops_share - flops[n]) < 0.011, "%s: %g, not %g", c->name,
                      c->flops_share, flops[n]);
        ck_assert_msg(fabs(c->bytes_share - bytes[n]) < 0.011, "%s: %g, not %g", c->name,
                      c->bytes_share, bytes[n]);
        n++;
    }
    ck_assert_int_ge(n, 14);
    c = card_find("A30");
    ck_assert(!c->is_measured);
    ck_assert(fabs(c->flops_share - median(flops, n)) < 0.02);
    ck_assert(fabs(c->bytes_share - median(bytes, n)) < 0.02);
}
END_TEST

START_TEST(names_of_one_model_are_one)
{
    ck_assert(measured_is_model("llama2_70b", "meta-llama/Llama-2-70b-chat-hf"));
    ck_assert(measured_is_model("/models/Meta-Llama-3-8B-Instruct", "Llama-3-8B"));
    ck_assert(!measured_is_model("Llama-3-8B", "Llama-3.1-8B"));
    ck_assert(!measured_is_model("Llama-2-7b", "Llama-2-70b"));
    ck_assert(!measured_is_model("", "hf"));
    ck_assert_int_eq(measured_shape("Llama-3.1-8B-Instruct")->ffn, 14336);
    ck_assert_ptr_null(measured_shape("Llama-4"));
}
END_TEST

START_TEST(shapes_have_the_sizes_that_were_published)
{
    static const struct {
        const char *model;
        double weights;
    } SIZES[] = {{"Llama-3.1-8B", 8.03e9}, {"Llama-3.1-70B", 70.6e9}, {"Llama-2-7b", 6.74e9},
                 {"Llama-2-70b", 69.0e9},  {"llama1_30b", 32.5e9},    {"CodeLlama-34b", 33.7e9},
                 {"Qwen-72B", 72.3e9},     {"Qwen3-32B", 32.8e9},     {"bloom-176b", 176.2e9}};

    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++)
        is_close(model_shape_weights(measured_shape(SIZES[i].model)), SIZES[i].weights, 0.005);
}
END_TEST

START_TEST(the_best_that_is_known_is_taken_and_marked)
{
    const struct model_shape *llama = measured_shape("Llama-3.1-8B");
    const struct card *h200 = card_find("h200"), *a100 = card_find("A100 SXM 80GB"),
                      *a30 = card_find("A30");
    struct model_shape other = *llama;
    struct device_speed speed = card_speed(a30, DTYPE_BF16);
    struct perf k, r;
    double mape;

    ck_assert_int_eq(card_model(&k, &mape, h200, "Llama-3.1-8B-Instruct", llama, DTYPE_BF16, 2),
                     SOURCE_MEASURED);
    ck_assert(mape > 0 && mape <= 10);
    ck_assert_double_eq(k.k1, measured_find(h200->name, "Llama-3.1-8B", 2)->perf.k1);
    ck_assert_int_eq(card_model(&k, &mape, a100, "Meta-Llama-3-8B", llama, DTYPE_BF16, 1),
                     SOURCE_MIXED);
    ck_assert(mape > 0);
    ck_assert_int_eq(card_model(&k, &mape, a30, "Llama-3.1-8B", llama, DTYPE_BF16, 1),
                     SOURCE_ROOFLINE);
    ck_assert(mape < 0);
    roofline(&r, llama, &speed, 1);
    ck_assert_double_eq(k.kw, r.kw);
    ck_assert_int_eq(card_model(&k, &mape, h200, "Llama-3.1-8B", llama, DTYPE_BF16, 3),
                     SOURCE_ROOFLINE); /* three ranks: nobody measured them */
    other.weight_bits = 8;
    ck_assert_int_eq(card_model(&k, &mape, h200, "Llama-3.1-8B", &other, DTYPE_FP8, 1),
                     SOURCE_ROOFLINE);
    other = *llama;
    other.layers = 16; /* another model under this name */
    ck_assert_int_eq(card_model(&k, &mape, h200, "Llama-3.1-8B", &other, DTYPE_BF16, 1),
                     SOURCE_ROOFLINE);
    ck_assert_str_eq(SOURCE_NAMES[SOURCE_MIXED], "mixed");
}
END_TEST

START_TEST(the_roofline_is_near_what_was_measured_of_whole_steps)
{
    const struct model_shape *s = measured_shape("Llama-3.1-70B");
    static const char *const CARDS[] = {"A100-SXM-80GB", "H100-SXM-80GB", "H200", "B200-SXM-180GB"};

    for (size_t i = 0; i < 4; i++) {
        const struct card *c = card_find(CARDS[i]);
        const struct measured *m = measured_find(c->name, "Llama-3.1-70B", 4);
        struct device_speed d = card_speed(c, N_DTYPES);
        struct perf k;

        ck_assert_ptr_nonnull(m);
        roofline(&k, s, &d, 4);
        is_close(perf_step_ms(&k, 0, 16, 0, 16 * 800), perf_step_ms(&m->perf, 0, 16, 0, 16 * 800),
                 0.2);
        is_close(perf_step_ms(&k, 2048, 0, 2.1e6, 0), perf_step_ms(&m->perf, 2048, 0, 2.1e6, 0),
                 0.2);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cards");
    TCase *t = tcase_create("cards");

    suite_add_tcase(s, t);
    tcase_add_test(t, a_card_is_found_by_what_cuda_calls_it);
    tcase_add_test(t, a_card_is_found_by_a_part_that_only_it_has);
    tcase_add_test(t, a_name_of_several_cards_or_of_none_finds_none);
    if (test_has_data()) tcase_add_test(t, the_table_says_what_its_sources_say);
    tcase_add_test(t, a_dtype_without_tensor_cores_is_slow);
    tcase_add_test(t, ranks_without_a_link_share_the_host);
    tcase_add_test(t, the_shares_are_those_of_the_measured_models);
    tcase_add_test(t, names_of_one_model_are_one);
    tcase_add_test(t, shapes_have_the_sizes_that_were_published);
    tcase_add_test(t, the_best_that_is_known_is_taken_and_marked);
    tcase_add_test(t, the_roofline_is_near_what_was_measured_of_whole_steps);
    return s;
}

TEST_MAIN(suite)
