/* bench_schedule.c - the scheduler in simulated clusters: bench_schedule [-n ROWS] [-r] [-s
 * SCENARIO]...
 *
 * What is simulated is in cluster.h; figures in seconds are seconds of the simulation. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/report.h"
#include "bench/schedule_figures.h"

static const struct {
    const char *name;
    void (*run)(int64_t rows);
} SCENARIOS[] = {
    {"pair", figures_pair},     {"mixed", figures_mixed}, {"unknown", figures_unknown},
    {"tail", figures_tail},     {"lease", figures_lease}, {"drain", figures_drain},
    {"prefix", figures_prefix}, {"cost", figures_cost},   {"course", figures_course},
};

#define N_SCENARIOS (sizeof SCENARIOS / sizeof *SCENARIOS)

static void run(const char *name, int64_t rows)
{
    bool found = false;

    for (size_t i = 0; i < N_SCENARIOS; i++) {
        if (name && strcmp(name, SCENARIOS[i].name) != 0) continue;
        SCENARIOS[i].run(rows);
        found = true;
    }
    if (!found) report_fail("no scenario '%s'", name);
}

int main(int argc, char **argv)
{
    const char *wanted[2 * N_SCENARIOS];
    bool is_real = false;
    int64_t rows = 0;
    size_t n = 0;
    int c;

    report_machine("simulation");
    while ((c = getopt(argc, argv, "n:rs:")) != -1) {
        if (c == '?' || n == 2 * N_SCENARIOS)
            report_fail("bench_schedule [-n ROWS] [-r] [-s SCENARIO]...");
        if (c == 'n') rows = atoll(optarg);
        if (c == 'r') is_real = true;
        if (c == 's') wanted[n++] = optarg;
    }
    for (size_t i = 0; i < n; i++)
        run(wanted[i], rows);
    if (is_real) figures_real(argv[0], rows);
    if (!n && !is_real) run(NULL, rows);
    return EXIT_SUCCESS;
}
