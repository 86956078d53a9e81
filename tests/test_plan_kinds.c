/* test_plan_kinds.c - what a plan takes of devices, profiles and prices, and what it says of
 * others. */
#include <string.h>

#include "broker/plan.h"
#include "tests/test.h"

static struct plan_cluster c;
static struct plan_workload w;
static struct plan_model m;
static struct plan_answer a;
static struct errmsg e;

static void model_8b(void)
{
    m = (struct plan_model){.name = "none that was measured",
                            .shape = {.layers = 32,
                                      .hidden = 4096,
                                      .ffn = 14336,
                                      .q_heads = 32,
                                      .kv_heads = 8,
                                      .head_dim = 128,
                                      .vocab = 128256,
                                      .max_len = 32768},
                            .dtypes = {DTYPE_BF16},
                            .n_dtypes = 1,
                            .kv_dtypes = {DTYPE_BF16},
                            .n_kv_dtypes = 1,
                            .max_num_seqs = 128};
}

static void setup(void)
{
    memset(&c, 0, sizeof c);
    memset(&w, 0, sizeof w);
    model_8b();
    w.n_cells = 2;
    w.cells[0] = (struct plan_cell){500, 100, 900};
    w.cells[1] = (struct plan_cell){1500, 400, 100};
    w.rows = 1000;
}

static void teardown(void)
{
    plan_answer_fini(&a);
}

static struct plan_machine *machine(const char *name)
{
    struct plan_machine *p = &c.machines[c.n_machines++];

    snprintf(p->name, sizeof p->name, "%s", name);
    return p;
}

static void put(struct plan_machine *p, const char *card, int n)
{
    while (n-- > 0) {
        struct plan_device *d = &p->devices[p->n_devices++];

        d->card = card_find(card);
        ck_assert_msg(d->card != NULL, "%s", card);
        snprintf(d->name, sizeof d->name, "%s", d->card->name);
        d->bytes = d->card->bytes;
        d->speed = card_speed(d->card, N_DTYPES);
    }
}

static void put_cpu(struct plan_machine *p, double gib)
{
    struct plan_device *d = &p->devices[p->n_devices++];

    snprintf(d->name, sizeof d->name, "cpu");
    d->bytes = gib * 1073741824.0;
    d->speed = (struct device_speed){1e12, 1e11, 1, 1, 5e-6, 0, 0, false};
}

static int search(const struct plan_profile *profiles, int n)
{
    plan_answer_fini(&a);
    return plan_search(&a, &c, &w, &m, profiles, n, &e);
}

static void must_search(void)
{
    ck_assert_msg(search(NULL, 0) == ERR_OK, "%s", e.text);
}

/* --- devices ---------------------------------------------------------------------------------- */

START_TEST(a_card_without_bf16_takes_it_as_f16)
{
    put(machine("old"), "V100-SXM2-32GB", 1);
    must_search();
    ck_assert_int_eq(a.best.n_instances, 1);
    ck_assert_int_eq(a.best.instances[0].dtype, DTYPE_F16);
    ck_assert_int_eq(a.best.instances[0].kv_dtype, DTYPE_F16);
}
END_TEST

START_TEST(fp8_needs_a_card_that_multiplies_it)
{
    m.dtypes[m.n_dtypes++] = DTYPE_FP8;
    put(machine("mixed"), "A100-SXM-80GB", 1);
    put(&c.machines[0], "L40S", 1);
    must_search();
    for (int i = 0; i < a.best.n_instances; i++)
        ck_assert(a.best.instances[i].dtype ==
                  (a.best.instances[i].devices == 1 ? DTYPE_BF16 : DTYPE_FP8));
    ck_assert_int_eq(a.best.n_instances, 2);
}
END_TEST

START_TEST(unlike_cards_share_an_instance_that_neither_could_hold)
{
    put(machine("two"), "RTX-3090", 1);
    put(&c.machines[0], "A10-24GB", 1);
    m.shape.layers = 60; /* 26 GB of weights */
    must_search();
    ck_assert_int_eq(a.best.n_instances, 1);
    ck_assert_int_eq(a.best.instances[0].tp, 2);
    ck_assert_uint_eq(a.best.instances[0].devices, 3);
    ck_assert_int_eq(a.best.instances[0].source, SOURCE_ROOFLINE);
}
END_TEST

START_TEST(a_card_and_the_processors_share_none)
{
    put(machine("two"), "RTX-3090", 1);
    put_cpu(&c.machines[0], 24);
    m.shape.layers = 60;
    ck_assert_int_eq(search(NULL, 0), ERR_EMPTY);
    put_cpu(machine("large"), 64);
    must_search();
    ck_assert_int_eq(a.best.n_instances, 1);
    ck_assert_int_eq(a.best.instances[0].machine, 1);
}
END_TEST

START_TEST(heads_that_a_degree_does_not_divide_are_not_split)
{
    m.shape.q_heads = 28, m.shape.kv_heads = 4; /* 8 does not divide 28, 4 does */
    put(machine("eight"), "A100-SXM-80GB", 8);
    m.shape.layers = 300; /* 130 GB */
    must_search();
    for (int i = 0; i < a.best.n_instances; i++)
        ck_assert_int_eq(a.best.instances[i].tp, 4);
    ck_assert_int_eq(a.best.n_instances, 2);
    m.shape.kv_heads = 3; /* neither divides the other */
    ck_assert_int_eq(search(NULL, 0), ERR_EMPTY);
}
END_TEST

START_TEST(blocks_of_a_quantised_dtype_stay_whole)
{
    m.dtypes[0] = DTYPE_Q4_K; /* blocks of 256 */
    m.shape.ffn = 256 * 6;    /* 2 ranks have 3 blocks each, 4 ranks 1.5 */
    put(machine("four"), "T4", 4);
    must_search();
    for (int i = 0; i < a.n_others; i++)
        for (int k = 0; k < a.others[i].n_instances; k++)
            ck_assert_int_le(a.others[i].instances[k].tp, 2);
    for (int k = 0; k < a.best.n_instances; k++)
        ck_assert_int_le(a.best.instances[k].tp, 2);
}
END_TEST

/* --- what is known of them -------------------------------------------------------------------- */

START_TEST(a_profile_stands_in_place_of_what_cards_say)
{
    struct plan_profile p = {.device = "NVIDIA L4",
                             .tp = 1,
                             .dtype = DTYPE_BF16,
                             .kv_dtype = DTYPE_BF16,
                             .perf = {.k0 = 1, .kw = 80, .k1 = 0.3, .k4 = 0.001},
                             .mape = 4.5};
    double before;

    put(machine("edge"), "L4", 1);
    must_search();
    before = a.best.seconds;
    ck_assert_int_eq(search(&p, 1), ERR_OK);
    ck_assert_double_eq(a.best.instances[0].perf.kw, 80);
    ck_assert_double_eq(a.best.instances[0].mape, 4.5);
    ck_assert_int_eq(a.best.instances[0].source, SOURCE_MEASURED);
    ck_assert(a.best.seconds != before);
    p.tp = 2; /* of another degree, dtype, device: not of this one */
    ck_assert_int_eq(search(&p, 1), ERR_OK);
    ck_assert_double_eq(a.best.seconds, before);
    p.tp = 1, p.kv_dtype = DTYPE_FP8;
    ck_assert_int_eq(search(&p, 1), ERR_OK);
    ck_assert_double_eq(a.best.seconds, before);
    p.kv_dtype = DTYPE_BF16, p.device = "NVIDIA L40S";
    ck_assert_int_eq(search(&p, 1), ERR_OK);
    ck_assert_double_eq(a.best.seconds, before);
}
END_TEST

START_TEST(a_slow_link_makes_ranks_slower)
{
    double fast;

    put(machine("four"), "A100-SXM-80GB", 4);
    m.shape.layers = 200;
    must_search();
    fast = a.best.seconds;
    c.machines[0].link_bytes_per_s = 1e9;
    must_search();
    ck_assert_double_gt(a.best.seconds, fast * 1.2);
}
END_TEST

START_TEST(machines_that_are_alike_in_another_order_count_as_alike)
{
    struct plan_machine *p = machine("a");

    put(p, "L4", 1);
    put(p, "T4", 2);
    p = machine("b");
    put(p, "T4", 1);
    put(p, "L4", 1);
    put(p, "T4", 1);
    m.dtypes[0] = DTYPE_INT8;
    m.max_num_seqs = 4;
    must_search();
    ck_assert_int_eq(a.best.n_instances, 6);
    for (int i = 0; i < a.best.n_instances; i++) {
        const struct plan_instance *in = &a.best.instances[i];
        bool is_l4 = in->devices == (in->machine ? 2u : 1u);

        ck_assert(is_l4 == (in->kv_tokens > 60000));
    }
    for (int i = 0; i < a.n_others; i++)
        ck_assert_ptr_null(strstr(a.others[i].why, "without"));
}
END_TEST

/* --- which one of equals ---------------------------------------------------------------------- */

START_TEST(a_machine_with_a_price_that_is_not_needed_is_left_out)
{
    double seconds;

    put(machine("large"), "H200", 1);
    put(machine("small"), "T4", 1);
    m.dtypes[0] = DTYPE_INT8;
    m.shape.max_len = 131072;
    w.cells[0] = (struct plan_cell){100, 1, 1};
    w.cells[1] = (struct plan_cell){100000, 1000, 500}; /* the T4 holds none of these */
    w.rows = 501;
    must_search();
    seconds = a.best.seconds;
    ck_assert_int_eq(a.best.n_instances, 2);
    ck_assert_double_eq(a.best.usd, 0);
    c.machines[0].usd_per_hour = 4;
    c.machines[1].usd_per_hour = 0.5;
    must_search();
    ck_assert_int_eq(a.best.n_instances, 1);
    ck_assert_double_eq(a.best.seconds, seconds);
    ck_assert_double_eq_tol(a.best.usd, 4 * seconds / 3600, 1e-9);
}
END_TEST

START_TEST(pl3_the_same_input_gives_the_same_plan)
{
    struct plan_answer first;

    put(machine("a"), "RTX-4090", 2);
    put(&c.machines[0], "RTX-3090", 2);
    put(machine("b"), "L40S", 4);
    must_search();
    first = a;
    memset(&a, 0, sizeof a);
    must_search();
    ck_assert_int_eq(first.best.n_instances, a.best.n_instances);
    ck_assert_int_eq(memcmp(first.best.instances, a.best.instances,
                            (size_t)a.best.n_instances * sizeof *a.best.instances),
                     0);
    ck_assert_int_eq(first.looked_at, a.looked_at);
    for (int i = 0; i < a.n_others; i++)
        ck_assert_str_eq(first.others[i].why, a.others[i].why);
    plan_answer_fini(&first);
}
END_TEST

/* --- the others ------------------------------------------------------------------------------- */

static const struct plan *other(const char *says)
{
    for (int i = 0; i < a.n_others; i++)
        if (strstr(a.others[i].why, says)) return &a.others[i];
    ck_abort_msg("none says \"%s\"; the first: %s", says, a.n_others ? a.others[0].why : "");
}

START_TEST(others_are_in_order_and_say_why_they_lose)
{
    m.dtypes[m.n_dtypes++] = DTYPE_FP8;
    m.kv_dtypes[m.n_kv_dtypes++] = DTYPE_FP8;
    put(machine("lab"), "H100-SXM", 4);
    must_search();
    ck_assert_int_eq(a.best.n_instances, 4);
    ck_assert_int_eq(a.n_others, 4);
    for (int i = 1; i < a.n_others; i++)
        ck_assert_double_ge(a.others[i].seconds, a.others[i - 1].seconds);
    ck_assert_int_eq(other("TP 2 everywhere: 2 instances instead of 4")->n_instances, 2);
    ck_assert_int_eq(other("weights in bf16")->instances[0].dtype, DTYPE_BF16);
    ck_assert_int_eq(other("KV in bf16")->instances[0].kv_dtype, DTYPE_BF16);
    ck_assert_int_eq(other("TP 4 everywhere: 1 instance instead of 4, ")->n_instances, 1);
}
END_TEST

START_TEST(a_plan_without_a_machine_tells_what_it_saves)
{
    put(machine("lab"), "H100-SXM", 4);
    put(machine("old"), "V100-SXM2-32GB", 4);
    c.machines[0].usd_per_hour = 10;
    c.machines[1].usd_per_hour = 9;
    must_search();
    ck_assert_int_eq(a.best.n_instances, 8);
    ck_assert_ptr_nonnull(strstr(other("without old")->why, "slower, $"));
    ck_assert_int_eq(other("without lab")->n_instances, 4);
}
END_TEST

START_TEST(rows_that_fit_nowhere_are_told_and_a_plan_that_holds_more_is_better)
{
    put(machine("pair"), "RTX-4090", 2);
    c.machines[0].utilisation = 0.85;
    w.cells[0] = (struct plan_cell){100, 20, 10000};
    w.cells[1] = (struct plan_cell){32000, 500, 3}; /* one card holds less */
    w.cells[2] = (struct plan_cell){40000, 500, 7}; /* more than the model's positions */
    w.n_cells = 3, w.rows = 10010;
    must_search();
    ck_assert_int_eq(a.best.rows_nowhere, 7);
    ck_assert_int_eq(a.best.instances[0].tp, 2);
    ck_assert_int_eq(
        other("TP 1 everywhere: 2 instances instead of 1, 3 rows fit nowhere")->rows_nowhere, 10);
}
END_TEST

/* --- what is refused -------------------------------------------------------------------------- */

static void refuses(int rc, const char *says)
{
    ck_assert_int_eq(search(NULL, 0), rc);
    ck_assert_msg(strstr(e.text, says) != NULL, "\"%s\" lacks \"%s\"", e.text, says);
    ck_assert_int_eq(a.best.n_instances, 0);
}

START_TEST(a_model_that_fits_nowhere_is_told_with_bytes)
{
    put(machine("edge"), "T4", 1);
    m.shape.layers = 60;
    refuses(ERR_EMPTY, "in f16 on 1 device it needs at least 29.09 GB");
    ck_assert_ptr_nonnull(strstr(e.text, "edge has 14.72 GB"));
    put(&c.machines[0], "T4", 1); /* the nearest is told: both together */
    m.shape.layers = 80;
    refuses(ERR_EMPTY, "on 2 devices");
}
END_TEST

START_TEST(what_is_out_of_range_is_refused_by_name)
{
    put(machine("lab"), "L4", 1);
    w.cells[1].rows = -1;
    refuses(ERR_ARG, "cell 1");
    w.cells[1].rows = 1, w.shared_prompt = 1.5;
    refuses(ERR_ARG, "1.5");
    w.shared_prompt = 0, w.n_cells = 0;
    refuses(ERR_ARG, "0 cells");
    setup();
    refuses(ERR_ARG, "0");
    machine("empty");
    refuses(ERR_ARG, "empty: a machine has 1 to 8 devices, not 0");
    put(&c.machines[0], "L4", 1);
    m.kv_dtypes[0] = DTYPE_Q8_0;
    refuses(ERR_ARG, "q8_0");
    m.kv_dtypes[0] = DTYPE_F16, m.max_num_seqs = 0;
    refuses(ERR_ARG, "max-num-seqs is 0");
    m.max_num_seqs = 1, m.shape.vocab = 0;
    refuses(ERR_ARG, "shape");
    model_8b();
    w.cells[0].rows = w.cells[1].rows = 0;
    refuses(ERR_EMPTY, "no rows");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan_kinds");
    TCase *t = tcase_create("devices");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_card_without_bf16_takes_it_as_f16);
    tcase_add_test(t, fp8_needs_a_card_that_multiplies_it);
    tcase_add_test(t, unlike_cards_share_an_instance_that_neither_could_hold);
    tcase_add_test(t, a_card_and_the_processors_share_none);
    tcase_add_test(t, heads_that_a_degree_does_not_divide_are_not_split);
    tcase_add_test(t, blocks_of_a_quantised_dtype_stay_whole);
    tcase_add_test(t, a_profile_stands_in_place_of_what_cards_say);
    tcase_add_test(t, a_slow_link_makes_ranks_slower);
    tcase_add_test(t, machines_that_are_alike_in_another_order_count_as_alike);
    suite_add_tcase(s, t);
    t = tcase_create("plans");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_machine_with_a_price_that_is_not_needed_is_left_out);
    tcase_add_test(t, pl3_the_same_input_gives_the_same_plan);
    tcase_add_test(t, others_are_in_order_and_say_why_they_lose);
    tcase_add_test(t, a_plan_without_a_machine_tells_what_it_saves);
    tcase_add_test(t, rows_that_fit_nowhere_are_told_and_a_plan_that_holds_more_is_better);
    tcase_add_test(t, a_model_that_fits_nowhere_is_told_with_bytes);
    tcase_add_test(t, what_is_out_of_range_is_refused_by_name);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
