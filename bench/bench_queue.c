/* bench_queue.c - the queue and the broker: rows/s, milliseconds and megabytes.
 *
 *   bench_queue [-r ROWS] [-n ROUNDS] [-b BIG] [GROUP...]
 *
 * Without words all groups run, in the order of the table below; rivals go first, because others
 * are held to them.  A rate is the median of ROUNDS, the rivals of a figure in turns; only what is
 * done with BIG rows is done once.  What the file then holds is counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/figures.h"

static const struct {
    const char *name;
    void (*print)(struct figures *f);
} GROUPS[] = {
    {"rivals", figures_rivals}, {"store", figures_store},   {"submit", figures_submit},
    {"life", figures_life},     {"single", figures_single}, {"export", figures_export},
    {"big", figures_big},
};
#define N_GROUPS (sizeof GROUPS / sizeof GROUPS[0])

static long number(const char *s, long most)
{
    char *end;
    const long v = strtol(s, &end, 10);

    if (*end || v < 1 || v > most) report_fail("%s is not a number from 1 to %ld", s, most);
    return v;
}

static void read_options(struct figures *f, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "r:n:b:")) != -1) {
        if (c == 'r')
            f->rows = (int)number(optarg, 100000000);
        else if (c == 'n')
            f->rounds = (int)number(optarg, FIGURES_MAX_ROUNDS);
        else if (c == 'b')
            f->big = number(optarg, 1000000000);
        else
            report_fail("bench_queue [-r ROWS] [-n ROUNDS] [-b BIG] [GROUP...]");
    }
}

static bool is_asked_for(const char *name, char **words)
{
    if (!*words) return true;
    for (; *words; words++)
        if (!strcmp(name, *words)) return true;
    return false;
}

int main(int argc, char **argv)
{
    struct figures f = {.rows = 1000000, .rounds = 3, .big = 10000000};
    int n = 0;

    read_options(&f, argc, argv);
    bed_open(&f.bed, argv[0]);
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!is_asked_for(GROUPS[i].name, argv + optind)) continue;
        GROUPS[i].print(&f);
        n++;
    }
    bed_close(&f.bed);
    if (!n) report_fail("no such group: %s", argv[optind]);
    return EXIT_SUCCESS;
}
