/* test_plan.c - the search for a plan against plain enumeration, on clusters small enough for it.
 */
#include <math.h>
#include <string.h>

#include "broker/plan.h"
#include "tests/test.h"

#define MAX_LISTED 20000
#define MAX_ENDS   64

static struct plan_cluster c;
static struct plan_workload w;
static struct plan_model m;
static struct errmsg e;

/* --- plain enumeration ------------------------------------------------------------------------ */

/* Instances of the devices of a mask, or sets of such: rows a second from each threshold on. */
struct listed {
    double speed[MAX_ENDS];
    int end; /* tokens that it holds; of a set the most */
};
static struct listed parts[3][8][16], sets[3][MAX_LISTED];
static int n_parts[3][8], n_sets[3], ends[MAX_ENDS], n_ends;

static struct model_shape shape_in(enum dtype d, enum dtype kv)
{
    struct model_shape s = m.shape;

    s.weight_bits = d == DTYPE_Q8_0 ? 8.5 : d == DTYPE_Q4_0 ? 4.5 : 16;
    s.quant_block = d == DTYPE_Q8_0 || d == DTYPE_Q4_0 ? 32 : 1;
    s.kv_bits = kv == DTYPE_F32 ? 32 : 16;
    return s;
}

static void slower(struct perf *a, const struct perf *b)
{
    a->k0 = fmax(a->k0, b->k0), a->kw = fmax(a->kw, b->kw), a->k1 = fmax(a->k1, b->k1);
    a->k2 = fmax(a->k2, b->k2), a->k3 = fmax(a->k3, b->k3), a->k4 = fmax(a->k4, b->k4);
}

/* The instance on these devices: its model and its tokens; false: there is none. */
static bool instance(const struct plan_machine *p, unsigned mask, enum dtype d, enum dtype kv,
                     struct perf *k, int64_t *tokens)
{
    struct model_shape s = shape_in(d, kv);
    struct perf_rank ranks[3];
    int tp = __builtin_popcount(mask), n = 0;

    if (s.q_heads % tp || s.ffn % (tp * s.quant_block) ||
        s.q_heads * s.head_dim / tp % s.quant_block)
        return false;
    if (s.kv_heads % tp && tp % s.kv_heads) return false;
    memset(k, 0, sizeof *k);
    for (int i = 0; i < p->n_devices; i++) {
        struct perf one;
        double mape;

        if (!(mask >> i & 1)) continue;
        ranks[n++] = (struct perf_rank){p->devices[i].bytes, model_shape_weight_bytes(&s) / tp,
                                        m.work_bytes};
        if (p->devices[i].card)
            card_model(&one, &mape, p->devices[i].card, m.name, &s,
                       d == DTYPE_F16 ? DTYPE_F16 : N_DTYPES, tp);
        else
            roofline(&one, &s, &p->devices[i].speed, tp);
        slower(k, &one);
    }
    *tokens = perf_kv_tokens(ranks, tp, p->utilisation, model_shape_kv_bytes(&s), s.kv_heads);
    return true;
}

static int end_of(int64_t tokens)
{
    return (int)(tokens < m.shape.max_len ? tokens : m.shape.max_len);
}

static int longest_row(int end)
{
    int most = 0;

    for (int i = 0; i < w.n_cells; i++) {
        int tokens = w.cells[i].prompt + w.cells[i].output;

        if (tokens <= end && tokens > most) most = tokens;
    }
    return most;
}

typedef void seen(int machine, unsigned mask, const struct perf *k, int64_t tokens);

static void each_instance(seen *f)
{
    for (int i = 0; i < c.n_machines; i++)
        for (unsigned mask = 1; mask < 1u << c.machines[i].n_devices; mask++)
            for (int d = 0; d < m.n_dtypes; d++)
                for (int v = 0; v < m.n_kv_dtypes; v++) {
                    struct perf k;
                    int64_t tokens;

                    if (instance(&c.machines[i], mask, m.dtypes[d], m.kv_dtypes[v], &k, &tokens))
                        f(i, mask, &k, tokens);
                }
}

static void note_end(int machine, unsigned mask, const struct perf *k, int64_t tokens)
{
    int end = longest_row(end_of(tokens));

    (void)machine, (void)mask, (void)k;
    if (!end) return;
    for (int i = 0; i < n_ends; i++)
        if (ends[i] == end) return;
    ck_assert_int_lt(n_ends, MAX_ENDS);
    ends[n_ends++] = end;
}

static void note_part(int machine, unsigned mask, const struct perf *k, int64_t tokens)
{
    struct listed *l = &parts[machine][mask][n_parts[machine][mask]];
    int end = longest_row(end_of(tokens));

    if (!end) return;
    n_parts[machine][mask]++;
    l->end = end;
    for (int i = 0; i < n_ends; i++) /* from the shortest on, then from behind each end */
        l->speed[i] = plan_speed(&(struct plan_batcher){k, tokens, m.max_num_seqs,
                                                        m.max_batched_tokens, w.shared_prompt},
                                 &w, i ? ends[i - 1] + 1 : 0, end, NULL);
}

static int by_int(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void list_sets(int machine, unsigned left, const struct listed *so_far)
{
    unsigned lowest = left & -left;

    if (!left) {
        ck_assert_int_lt(n_sets[machine], MAX_LISTED);
        sets[machine][n_sets[machine]++] = *so_far;
        return;
    }
    list_sets(machine, left & ~lowest, so_far);
    for (unsigned mask = left; mask; mask = (mask - 1) & left) {
        if (!(mask & lowest)) continue;
        for (int p = 0; p < n_parts[machine][mask]; p++) {
            struct listed l = *so_far;

            for (int i = 0; i < n_ends; i++)
                l.speed[i] += parts[machine][mask][p].speed[i];
            list_sets(machine, left & ~mask, &l);
        }
    }
}

static double rows_from(int from, int to)
{
    double rows = 0;

    for (int i = 0; i < w.n_cells; i++) {
        int tokens = w.cells[i].prompt + w.cells[i].output;

        if (tokens >= from && tokens <= to) rows += (double)w.cells[i].rows;
    }
    return rows;
}

/* The least T of all; negative: nothing fits anywhere. */
static double enumerate(void)
{
    static const struct listed NONE;
    double rows[MAX_ENDS], best = 0;
    int n[3] = {1, 1, 1};

    n_ends = 0;
    memset(n_parts, 0, sizeof n_parts);
    memset(n_sets, 0, sizeof n_sets);
    memset(sets, 0, 3 * sizeof sets[0][0]);
    each_instance(note_end);
    if (!n_ends) return -1;
    qsort(ends, (size_t)n_ends, sizeof ends[0], by_int);
    for (int i = 0; i < n_ends; i++)
        rows[i] = rows_from(i ? ends[i - 1] + 1 : 0, ends[n_ends - 1]);
    each_instance(note_part);
    for (int i = 0; i < 3; i++) {
        if (i < c.n_machines)
            list_sets(i, (1u << c.machines[i].n_devices) - 1, &NONE);
        else
            sets[i][0] = NONE;
        if (i < c.n_machines) n[i] = n_sets[i];
    }
    for (int x = 0; x < n[0]; x++)
        for (int y = 0; y < n[1]; y++)
            for (int z = 0; z < n[2]; z++) {
                double least = INFINITY;

                for (int i = 0; i < n_ends; i++)
                    least = fmin(least,
                                 (sets[0][x].speed[i] + sets[1][y].speed[i] + sets[2][z].speed[i]) /
                                     rows[i]);
                if (least > best) best = least;
            }
    return 1 / best;
}

/* --- what the search says --------------------------------------------------------------------- */

/* PL2, and the plan's T by its own instances. */
static void check_plan(const struct plan *p)
{
    unsigned taken[PLAN_MACHINES] = {0};
    double worst = 0;

    for (int i = 0; i < p->n_instances; i++) {
        const struct plan_instance *in = &p->instances[i];
        struct perf k;
        int64_t tokens;

        ck_assert(!(taken[in->machine] & in->devices));
        taken[in->machine] |= in->devices;
        ck_assert_int_eq(__builtin_popcount(in->devices), in->tp);
        ck_assert(
            instance(&c.machines[in->machine], in->devices, in->dtype, in->kv_dtype, &k, &tokens));
        ck_assert_int_eq(tokens, in->kv_tokens);
        ck_assert_int_gt(tokens, 0);
        ck_assert_int_eq(memcmp(&k, &in->perf, sizeof k), 0);
    }
    for (int t = 0; t < n_ends; t++) {
        int from = t ? ends[t - 1] + 1 : 0;
        double sum = 0;

        for (int i = 0; i < p->n_instances; i++)
            sum += plan_speed(&(struct plan_batcher){&p->instances[i].perf,
                                                     p->instances[i].kv_tokens, m.max_num_seqs,
                                                     m.max_batched_tokens, w.shared_prompt},
                              &w, from, end_of(p->instances[i].kv_tokens), NULL);
        worst = fmax(worst, rows_from(from, ends[n_ends - 1]) / sum);
    }
    if (p->rows_nowhere == w.rows - (int64_t)rows_from(0, ends[n_ends - 1]))
        ck_assert_double_eq_tol(worst / p->seconds, 1, 1e-9);
}

/* PL1; was there a plan? */
static bool agrees(void)
{
    struct plan_answer a;
    double want = enumerate();
    int rc = plan_search(&a, &c, &w, &m, NULL, 0, &e);

    if (want < 0) {
        ck_assert_int_eq(rc, ERR_EMPTY);
        return false;
    }
    ck_assert_msg(rc == ERR_OK, "%s", e.text);
    ck_assert_msg(fabs(a.best.seconds / want - 1) < 1e-9,
                  "T is %.12g, by enumeration %.12g (%d machines)", a.best.seconds, want,
                  c.n_machines);
    ck_assert_double_eq(a.gap, 0);
    check_plan(&a.best);
    for (int i = 0; i < a.n_others; i++) {
        check_plan(&a.others[i]);
        ck_assert(a.others[i].rows_nowhere > a.best.rows_nowhere ||
                  a.others[i].seconds >= a.best.seconds * (1 - 1e-9));
        ck_assert(a.others[i].why[0]);
    }
    plan_answer_fini(&a);
    return true;
}

/* --- cases ------------------------------------------------------------------------------------ */

static uint64_t dice;

static int roll(int n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int)((dice >> 33) % (uint64_t)n);
}

static void small_model(void)
{
    m = (struct plan_model){.name = "small",
                            .shape = {.layers = 4,
                                      .hidden = 256,
                                      .ffn = 768,
                                      .q_heads = 12,
                                      .kv_heads = 6,
                                      .head_dim = 32,
                                      .vocab = 1000,
                                      .max_len = 4096,
                                      .weight_bits = 16,
                                      .kv_bits = 16,
                                      .quant_block = 1},
                            .dtypes = {DTYPE_F16, DTYPE_Q8_0},
                            .n_dtypes = 1,
                            .kv_dtypes = {DTYPE_F16, DTYPE_F32},
                            .n_kv_dtypes = 1,
                            .max_num_seqs = 32,
                            .work_bytes = 1e5};
}

/* A processor of sorts: so much faster, so many bytes beside the weights of a whole copy. */
static struct plan_device device(double speed, double bytes)
{
    struct plan_device d = {.bytes = bytes};

    d.speed = (struct device_speed){2e11 * speed, 2e10 * speed, 1, 1, 1e-5, 1e9, 1e-5, false};
    snprintf(d.name, sizeof d.name, "cpu");
    return d;
}

static void random_cluster(int machines, int devices)
{
    static const double SPEEDS[] = {1, 1.3, 2, 4.5}, MB[] = {3, 6, 9, 10, 12, 16, 40};

    memset(&c, 0, sizeof c);
    c.n_machines = machines;
    for (int i = 0; i < machines; i++) {
        struct plan_machine *p = &c.machines[i];

        snprintf(p->name, sizeof p->name, "m%d", i);
        p->n_devices = devices;
        p->utilisation = 0.9;
        for (int d = 0; d < devices; d++) {
            if (d && roll(2))
                p->devices[d] = p->devices[d - 1];
            else
                p->devices[d] = device(SPEEDS[roll(4)], MB[roll(7)] * 1e6);
        }
        if (i && roll(3) == 0) {
            *p = c.machines[i - 1];
            snprintf(p->name, sizeof p->name, "m%d", i);
        }
    }
}

static void random_rows(void)
{
    memset(&w, 0, sizeof w);
    w.n_cells = 1 + roll(8);
    for (int i = 0; i < w.n_cells; i++) {
        int prompt = 10 + roll(roll(2) ? 200 : 3000);

        w.cells[i] = (struct plan_cell){prompt, 1 + roll(400), 1 + roll(200) / (1 + prompt / 500)};
        w.rows += w.cells[i].rows;
    }
}

static void many(int machines, int devices, int cases, int dtypes, int kv_dtypes)
{
    int plans = 0;

    small_model();
    m.n_dtypes = dtypes, m.n_kv_dtypes = kv_dtypes;
    dice = (uint64_t)(machines * 10 + devices);
    for (int i = 0; i < cases; i++) {
        random_cluster(machines, devices);
        random_rows();
        plans += agrees();
    }
    ck_assert_int_gt(plans, cases / 2);
}

START_TEST(pl1_one_machine_is_as_good_as_by_enumeration)
{
    many(1, 1, 300, 2, 2);
    many(1, 2, 600, 2, 2);
    many(1, 3, 600, 2, 2);
}
END_TEST

START_TEST(pl1_two_machines_are_as_good_as_by_enumeration)
{
    many(2, 1, 300, 2, 2);
    many(2, 2, 500, 2, 2);
    many(2, 3, 400, 1, 2);
}
END_TEST

START_TEST(pl1_three_machines_are_as_good_as_by_enumeration)
{
    many(3, 1, 400, 2, 2);
    many(3, 2, 400, 1, 2);
    many(3, 3, 300, 1, 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("enumeration");

    tcase_add_test(t, pl1_one_machine_is_as_good_as_by_enumeration);
    tcase_add_test(t, pl1_two_machines_are_as_good_as_by_enumeration);
    tcase_add_test(t, pl1_three_machines_are_as_good_as_by_enumeration);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
