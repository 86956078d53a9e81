/* bench_fit.c - instance models of published measurements: how far they are off on held-out rows.
 *
 *   bench_fit [-t] [-w]     -t  a line for each table alone, not for each case
 *                           -w  the rows of broker/measured.c instead
 *
 * A line for each card, model and TP degree of each table, then one for the table: the mean over
 * its held-out rows.  Target: 10 percent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/fit.h"
#include "bench/report.h"

#define TARGET 10.0 /* percent */

/* Those of whole instances first, then the fuller ones: the first of a card, model and TP degree is
 * what a plan takes. */
static void (*const TABLES[])(struct fit_set *) = {fit_splitwise,  fit_serving, fit_kernels,
                                                   fit_serving_v0, fit_vidur,   fit_helix};

struct options {
    bool tables_only, is_writing;
};

static void print_line(const char *table, const char *what, double mape)
{
    const char *name = strrchr(table, '/') + 1;
    char figure[256];

    snprintf(figure, sizeof figure, "%.*s%s%s", (int)strcspn(name, "."), name, *what ? ", " : "",
             what);
    report_figure(&(struct figure){
        .bench = "fit", .figure = figure, .value = mape, .unit = "% MAPE", .target = TARGET});
}

static void print_case(const struct fit_case *c, const struct fit_result *r)
{
    char what[200];

    snprintf(what, sizeof what, "%s, %s, tp %d, %s, %d of %d rows held out", c->card->name,
             c->model, c->tp, SOURCE_NAMES[r->source], r->n_held, r->n_held + r->n_fitted);
    print_line(c->table, what, r->mape);
}

static void write_case(const struct fit_case *c, const struct fit_result *r)
{
    static const char *const SOURCES[SOURCE_N] = {"SOURCE_MEASURED", "SOURCE_MIXED",
                                                  "SOURCE_ROOFLINE"};
    const struct perf *k = &r->perf;

    printf("    {\"%s\", \"%s\",\n     \"%s\", %d, %s,\n", c->card->name, c->model, c->table, c->tp,
           SOURCES[r->source]);
    printf("     {%.5g, %.5g, %.5g, %.5g, %.5g, %.5g}, %.2f},\n", k->k0, k->kw, k->k1, k->k2, k->k3,
           k->k4, r->mape);
}

static void run_table(void (*read)(struct fit_set *), const struct options *o)
{
    struct fit_set s = {0};
    double sum = 0;
    int n = 0;

    read(&s);
    for (int i = 0; i < s.n; i++) {
        struct fit_result r;

        if (s.of[i].n == 0) continue; /* nothing of it fits the card */
        r = fit_case_result(&s.of[i]);
        if (o->is_writing)
            write_case(&s.of[i], &r);
        else if (!o->tables_only)
            print_case(&s.of[i], &r);
        sum += r.mape * r.n_held;
        n += r.n_held;
    }
    if (n == 0) report_fail("a table without rows");
    if (!o->is_writing) print_line(s.of[0].table, "", sum / n);
    fit_set_close(&s);
}

int main(int argc, char **argv)
{
    struct options o = {0};

    for (int c; (c = getopt(argc, argv, "tw")) != -1;) {
        if (c == '?') report_fail("usage: bench_fit [-t] [-w]");
        *(c == 't' ? &o.tables_only : &o.is_writing) = true;
    }
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++)
        run_table(TABLES[i], &o);
    return 0;
}
