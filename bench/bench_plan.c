/* bench_plan.c - the search for a plan on the largest clusters there may be: CPU seconds of one
 * core, and by how much a faster plan could exist (0: none does).
 *
 *   bench_plan [SHAPE...]     all of them
 *
 * The cluster of a shape follows from its name alone, so figures of two runs can be compared.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/report.h"
#include "broker/plan.h"

#define ROUNDS   3
#define TARGET_S 1.0
#define GRID     64 /* lengths of prompts, and of answers */

static struct plan_cluster c;
static struct plan_workload w;
static struct plan_model m;
static uint64_t dice;

static int roll(int n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int)((dice >> 33) % (uint64_t)n);
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- what is planned -------------------------------------------------------------------------- */

static void model_8b(void)
{
    m = (struct plan_model){.name = "Llama-3.1-8B",
                            .shape = {.layers = 32,
                                      .hidden = 4096,
                                      .ffn = 14336,
                                      .q_heads = 32,
                                      .kv_heads = 8,
                                      .head_dim = 128,
                                      .vocab = 128256,
                                      .max_len = 131072},
                            .dtypes = {DTYPE_BF16, DTYPE_INT8},
                            .n_dtypes = 2,
                            .kv_dtypes = {DTYPE_BF16, DTYPE_FP8},
                            .n_kv_dtypes = 2,
                            .max_num_seqs = 256};
}

static void model_70b(void)
{
    model_8b();
    m.name = "Llama-3.1-70B";
    m.shape.layers = 80, m.shape.hidden = 8192, m.shape.ffn = 28672, m.shape.q_heads = 64;
}

/* All that weights and KV may be stored in. */
static void model_dtypes(void)
{
    model_8b();
    m.n_dtypes = 8;
    for (int d = 0; d < 8; d++)
        m.dtypes[d] = (enum dtype)(DTYPE_F16 + d);
    m.n_kv_dtypes = 4;
    m.kv_dtypes[0] = DTYPE_F16, m.kv_dtypes[1] = DTYPE_BF16;
    m.kv_dtypes[2] = DTYPE_FP8, m.kv_dtypes[3] = DTYPE_F32;
}

static int length(int i, double from, double to)
{
    return (int)(from * pow(to / from, (double)i / (GRID - 1)));
}

/* Rows of all lengths up to these, fewer of the long ones; heavy: more of them, so that there must
 * be room for them. */
static void rows(double prompt, double output, bool is_heavy)
{
    memset(&w, 0, sizeof w);
    for (int i = 0; i < GRID; i++)
        for (int k = 0; k < GRID; k++) {
            struct plan_cell *cell = &w.cells[w.n_cells++];

            *cell = (struct plan_cell){length(i, 32, prompt), length(k, 4, output), 0};
            cell->rows = is_heavy ? cell->prompt + cell->output
                                  : 1 + 100000 / (cell->prompt + 10 * cell->output);
            w.rows += cell->rows;
        }
}

static size_t n_cards(void)
{
    size_t n = 0;

    while (card_at(n))
        n++;
    return n;
}

static void put_card(struct plan_machine *p, const struct card *card)
{
    struct plan_device *d = &p->devices[p->n_devices++];

    snprintf(d->name, sizeof d->name, "%s", card->name);
    d->card = card;
    d->bytes = card->bytes;
    d->speed = card_speed(card, N_DTYPES);
}

static struct plan_machine *put_machine(void)
{
    struct plan_machine *p = &c.machines[c.n_machines];

    snprintf(p->name, sizeof p->name, "m%d", c.n_machines++);
    return p;
}

static const struct card *any_card(void)
{
    return card_at((size_t)roll((int)n_cards()));
}

/* Each machine of one card; of `cards` sorts, or of any. */
static void machines_of_one_card(const char *const *cards, int n)
{
    while (c.n_machines < PLAN_MACHINES) {
        const struct card *card = cards ? card_find(cards[c.n_machines % n]) : any_card();
        struct plan_machine *p = put_machine();

        if (!card) report_fail("a card is not known");
        while (p->n_devices < PLAN_DEVICES)
            put_card(p, card);
    }
}

static void alike(void)
{
    machines_of_one_card((const char *const[]){"H100-SXM-80GB"}, 1);
}

static void mixed(void)
{
    machines_of_one_card((const char *const[]){"H100-SXM-80GB", "A100-SXM-40GB", "L4-24GB",
                                               "T4-16GB", "RTX-4090-24GB", "A40-48GB"},
                         6);
}

static void any(void)
{
    machines_of_one_card(NULL, 0);
}

static void halves(void)
{
    while (c.n_machines < PLAN_MACHINES) {
        const struct card *a = any_card(), *b = any_card();
        struct plan_machine *p = put_machine();

        while (p->n_devices < PLAN_DEVICES)
            put_card(p, p->n_devices % 2 ? a : b);
    }
}

/* No two devices of a machine, and no two machines, alike. */
static void unlike(void)
{
    while (c.n_machines < PLAN_MACHINES) {
        struct plan_machine *p = put_machine();

        p->utilisation = 0.80 + 0.002 * c.n_machines;
        p->link_bytes_per_s = 1e10 * (1 + roll(50));
        while (p->n_devices < PLAN_DEVICES) {
            const struct card *card = any_card();
            bool is_there = false;

            for (int i = 0; i < p->n_devices; i++)
                is_there |= p->devices[i].card == card;
            if (!is_there) put_card(p, card);
        }
    }
}

/* Devices that no maker makes: memory and speed at random, much of it just too little. */
static void random_devices(void)
{
    while (c.n_machines < PLAN_MACHINES) {
        struct plan_machine *p = put_machine();

        while (p->n_devices < PLAN_DEVICES) {
            struct plan_device *d = &p->devices[p->n_devices];

            put_card(p, any_card());
            d->bytes = 1e9 * (9 + roll(40) + 0.001 * roll(1000));
        }
    }
}

static const struct shape {
    const char *name;
    void (*cluster)(void);
    void (*model)(void);
    double prompt, output;
    bool is_heavy;
} SHAPES[] = {
    {"alike", alike, model_8b, 4000, 1000, false},
    {"alike-70b", alike, model_70b, 4000, 1000, false},
    {"alike-long", alike, model_70b, 100000, 8000, false},
    {"mixed", mixed, model_8b, 4000, 1000, false},
    {"mixed-long", mixed, model_8b, 100000, 8000, false},
    {"any", any, model_8b, 4000, 1000, false},
    {"any-long", any, model_8b, 100000, 8000, false},
    {"any-70b-long", any, model_70b, 100000, 8000, false},
    {"halves-long", halves, model_8b, 100000, 8000, false},
    {"unlike", unlike, model_8b, 4000, 1000, false},
    {"unlike-long", unlike, model_8b, 100000, 8000, false},
    {"unlike-70b-long", unlike, model_70b, 100000, 8000, false},
    {"random", random_devices, model_8b, 4000, 1000, false},
    {"random-long", random_devices, model_8b, 100000, 8000, false},
    {"mixed-heavy", mixed, model_8b, 100000, 8000, true},
    {"unlike-heavy", unlike, model_70b, 100000, 8000, true},
    {"random-heavy", random_devices, model_8b, 100000, 8000, true},
    {"unlike-dtypes", unlike, model_dtypes, 100000, 8000, true},
    {"random-dtypes", random_devices, model_dtypes, 100000, 8000, true},
};
#define N_SHAPES (sizeof SHAPES / sizeof SHAPES[0])

static void figure(const struct shape *s, const char *what, double value, const char *unit,
                   double target)
{
    char name[64];
    struct figure f = {
        .bench = "plan", .figure = name, .unit = unit, .value = value, .target = target};

    snprintf(name, sizeof name, "%s.%s", s->name, what);
    report_figure(&f);
}

static void measure(const struct shape *s)
{
    struct plan_answer a;
    struct errmsg e;
    double seconds[ROUNDS];

    memset(&c, 0, sizeof c);
    dice = 20;
    s->cluster();
    s->model();
    rows(s->prompt, s->output, s->is_heavy);
    for (int i = 0; i < ROUNDS; i++) {
        double begin = cpu_seconds();

        if (plan_search(&a, &c, &w, &m, NULL, 0, &e)) report_fail("%s: %s", s->name, e.text);
        seconds[i] = cpu_seconds() - begin;
        if (i + 1 < ROUNDS) plan_answer_fini(&a);
    }
    figure(s, "search", report_median(seconds, ROUNDS), "s", TARGET_S);
    figure(s, "gap", a.gap, "of T", 0);
    for (int i = 0; i < a.n_others; i++)
        fprintf(stderr, "%s: %s\n", s->name, a.others[i].why);
    plan_answer_fini(&a);
}

static bool is_asked(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name)) return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        if (is_asked(argc, argv, SHAPES[i].name)) measure(&SHAPES[i]);
    return 0;
}
