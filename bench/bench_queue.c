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
#include "bench/words.h"

static const struct {
    const char *name;
    void (*print)(struct figures *f);
} GROUPS[] = {
    {"rivals", figures_rivals}, {"store", figures_store},   {"submit", figures_submit},
    {"life", figures_life},     {"single", figures_single}, {"export", figures_export},
    {"big", figures_big},
};
#define N_GROUPS (sizeof GROUPS / sizeof GROUPS[0])

static void read_options(struct figures *f, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "r:n:b:")) != -1) {
        if (c == 'r')
            f->rows = (int)words_number(optarg, 100000000);
        else if (c == 'n')
            f->rounds = (int)words_number(optarg, FIGURES_MAX_ROUNDS);
        else if (c == 'b')
            f->big = words_number(optarg, 1000000000);
        else
            report_fail("bench_queue [-r ROWS] [-n ROUNDS] [-b BIG] [GROUP...]");
    }
}

int main(int argc, char **argv)
{
    struct figures f = {.rows = 1000000, .rounds = 3, .big = 10000000};
    int n = 0;

    read_options(&f, argc, argv);
    bed_open(&f.bed, argv[0]);
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!words_ask_for(argv + optind, GROUPS[i].name)) continue;
        GROUPS[i].print(&f);
        n++;
    }
    bed_close(&f.bed);
    if (!n) report_fail("no such group: %s", argv[optind]);
    return EXIT_SUCCESS;
}
