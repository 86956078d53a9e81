/* test_plan_join.c - the parts of the search: games, partitions of a machine, machines together. */
#include <math.h>
#include <string.h>

#include "broker/plan_game.h"
#include "broker/plan_others.h"
#include "tests/test.h"

static struct plan_cluster c;
static struct plan_workload w;
static struct plan_model m;
static struct space *s;
static struct errmsg e;
static uint64_t dice;

static int roll(int n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int)((dice >> 33) % (uint64_t)n);
}

/* --- games ------------------------------------------------------------------------------------ */

static struct game g;

START_TEST(a_game_of_two_has_the_weights_that_make_both_worth_the_same)
{
    double weights[GAME_COLS];

    g.n = 2, g.width = 2;
    g.rows[0][0] = 3, g.rows[0][1] = 0;
    g.rows[1][0] = 0, g.rows[1][1] = 1;
    ck_assert_double_eq_tol(game_value(&g, weights), 0.75, 1e-12);
    ck_assert_double_eq_tol(weights[0], 0.25, 1e-12);
    ck_assert_double_eq_tol(weights[1], 0.75, 1e-12);
}
END_TEST

START_TEST(a_component_that_no_vector_has_makes_the_value_0)
{
    double weights[GAME_COLS];

    g.n = 2, g.width = 3;
    g.rows[0][0] = 3, g.rows[1][2] = 5;
    ck_assert_double_eq(game_value(&g, weights), 0);
    ck_assert_double_eq(weights[1], 1);
}
END_TEST

/* Three components: all weights on a grid are no better, and those of the answer are as good. */
START_TEST(no_weights_make_a_game_worth_less)
{
    for (int turn = 0; turn < 200; turn++) {
        double weights[GAME_COLS], value, worst = 0;

        g.n = 1 + roll(12), g.width = 3;
        for (int i = 0; i < g.n; i++)
            for (int j = 0; j < 3; j++)
                g.rows[i][j] = roll(1000) + 1;
        value = game_value(&g, weights);
        ck_assert_double_eq_tol(weights[0] + weights[1] + weights[2], 1, 1e-9);
        for (int i = 0; i < g.n; i++)
            worst = fmax(worst, g.rows[i][0] * weights[0] + g.rows[i][1] * weights[1] +
                                    g.rows[i][2] * weights[2]);
        ck_assert_double_eq_tol(worst, value, 1e-6);
        for (int a = 0; a <= 20; a++)
            for (int b = 0; a + b <= 20; b++) {
                double at = 0;

                for (int i = 0; i < g.n; i++)
                    at = fmax(at,
                              (g.rows[i][0] * a + g.rows[i][1] * b + g.rows[i][2] * (20 - a - b)) /
                                  20);
                ck_assert_double_ge(at, value - 1e-6);
            }
    }
}
END_TEST

/* --- a space in which several limits bind -------------------------------------------------------
 */

static void put_devices(struct plan_machine *p, int n)
{
    static const double MB[] = {4, 6, 8, 10, 12, 16};

    for (; p->n_devices < n; p->n_devices++) {
        struct plan_device *d = &p->devices[p->n_devices];

        snprintf(d->name, sizeof d->name, "cpu");
        d->bytes = MB[roll(6)] * 1e6;
        d->speed = (struct device_speed){
            1e11 * (1 + roll(9)), 1e10 * (1 + roll(9)), 1, 1, 1e-5, 1e9, 1e-5, false};
    }
}

static void open_space(int machines, int devices)
{
    memset(&c, 0, sizeof c);
    memset(&w, 0, sizeof w);
    m = (struct plan_model){.name = "small",
                            .shape = {.layers = 4,
                                      .hidden = 256,
                                      .ffn = 768,
                                      .q_heads = 8,
                                      .kv_heads = 4,
                                      .head_dim = 32,
                                      .vocab = 1000,
                                      .max_len = 4096},
                            .dtypes = {DTYPE_F16, DTYPE_Q8_0},
                            .n_dtypes = 2,
                            .kv_dtypes = {DTYPE_F16, DTYPE_F32},
                            .n_kv_dtypes = 2,
                            .max_num_seqs = 32,
                            .work_bytes = 1e5};
    for (c.n_machines = 0; c.n_machines < machines; c.n_machines++) {
        snprintf(c.machines[c.n_machines].name, sizeof c.machines[0].name, "m%d", c.n_machines);
        put_devices(&c.machines[c.n_machines], devices);
    }
    for (w.n_cells = 0; w.n_cells < 60; w.n_cells++) {
        w.cells[w.n_cells] = (struct plan_cell){20 + 60 * w.n_cells, 30, 1 + w.n_cells};
        w.rows += w.cells[w.n_cells].rows;
    }
    ck_assert_msg(!space_open(&s, &c, &w, &m, NULL, 0, &e), "%s", e.text);
}

/* So many thresholds, from the first to the last. */
static struct thresholds some(int n, int longest)
{
    struct thresholds t = {0};
    int last = s->n_thresholds;

    while (last > 0 && s->thresholds[last - 1] >= longest)
        last--;
    for (int i = 0; i < n && i < last; i++) {
        int at = s->thresholds[i * (last - 1) / (n > 1 ? n - 1 : 1)];

        t.slot[t.n] = space_activate(s, at, ~0u);
        ck_assert_int_ge(t.slot[t.n], 0);
        t.worth_of[t.n++] = 1 / space_rows(s, at, longest);
    }
    return t;
}

static double worth(const struct partition *p, const double *weights, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += p->worth[i] * weights[i];
    return sum;
}

START_TEST(pm1_and_pm2_a_machine_gives_its_best_and_all_that_is_near)
{
    for (int turn = 0; turn < 40; turn++) {
        struct machine *one;
        struct partition best, *near, *all;
        struct thresholds t;
        double weights[SPACE_ACTIVE] = {0.2, 0.5, 0.3}, value, slack;
        int64_t work = 1 << 30;
        bool is_whole = true;
        int n, n_all, kept = 0;

        open_space(1, 4);
        ck_assert_int_eq(machine_open(&one, s, 0, &PLAN_ANY, &e), ERR_OK);
        t = some(3, machine_longest(one));
        machine_weed(one, &t);
        value = machine_best(one, weights, &best);
        ck_assert_double_eq_tol(worth(&best, weights, t.n) / value, 1, 1e-12);
        ck_assert_int_eq(machine_near(one, INFINITY, &work, &all, &n_all, &is_whole, &e), ERR_OK);
        slack = 0.1 * value;
        ck_assert_int_eq(machine_near(one, slack, &work, &near, &n, &is_whole, &e), ERR_OK);
        ck_assert(is_whole);
        ck_assert_double_eq_tol(near[0].lost / value, 0, 1e-12);
        for (int i = 0; i < n_all; i++) {
            double lost = value - worth(&all[i], weights, t.n);

            ck_assert_double_ge(lost, -1e-12 * value); /* PM1 */
            ck_assert_double_eq_tol(lost / value, all[i].lost / value, 1e-9);
            kept += lost < slack * (1 - 1e-9);
        }
        ck_assert_int_ge(n, kept); /* PM2 */
        work = 3;
        free(near);
        ck_assert_int_eq(machine_near(one, INFINITY, &work, &near, &n, &is_whole, &e), ERR_OK);
        ck_assert(!is_whole);
        free(near);
        free(all);
        machine_close(&one);
        space_close(&s);
    }
}
END_TEST

START_TEST(pj1_work_that_is_cut_off_leaves_a_bound_above)
{
    int cut = 0;

    for (int turn = 0; turn < 25; turn++) {
        struct machine *machines[PLAN_MACHINES];
        struct join whole, short_of;
        struct thresholds t;
        int longest = 0;

        open_space(5, 3);
        for (int k = 0; k < s->n_kinds; k++) {
            ck_assert_int_eq(machine_open(&machines[k], s, k, &PLAN_ANY, &e), ERR_OK);
            if (machine_longest(machines[k]) > longest) longest = machine_longest(machines[k]);
        }
        t = some(5, longest);
        ck_assert_int_eq(join_machines(&whole, s, machines, &t, true, &(int64_t){1 << 30}, &e),
                         ERR_OK);
        ck_assert_double_eq_tol(whole.value / whole.bound, 1, 1e-9);
        for (int64_t work = 1; work < 1 << 20; work *= 4) {
            int64_t left = work;

            ck_assert_int_eq(join_machines(&short_of, s, machines, &t, true, &left, &e), ERR_OK);
            ck_assert_double_le(short_of.value, whole.value * (1 + 1e-9));
            ck_assert_double_ge(short_of.bound, whole.value * (1 - 1e-9));
            cut += short_of.value < short_of.bound * (1 - 1e-9);
        }
        for (int k = 0; k < s->n_kinds; k++)
            machine_close(&machines[k]);
        space_close(&s);
    }
    ck_assert_int_gt(cut, 25);
}
END_TEST

static void begin(void)
{
    memset(&g, 0, sizeof g);
    dice = 42;
}

static Suite *suite(void)
{
    Suite *su = suite_create("plan_join");
    TCase *t = tcase_create("parts");

    tcase_add_checked_fixture(t, begin, NULL);
    tcase_add_test(t, a_game_of_two_has_the_weights_that_make_both_worth_the_same);
    tcase_add_test(t, a_component_that_no_vector_has_makes_the_value_0);
    tcase_add_test(t, no_weights_make_a_game_worth_less);
    tcase_add_test(t, pm1_and_pm2_a_machine_gives_its_best_and_all_that_is_near);
    tcase_add_test(t, pj1_work_that_is_cut_off_leaves_a_bound_above);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
