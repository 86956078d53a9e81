/* bench_engine.c - the engine beside llama.cpp: tokens/s, megabytes, milliseconds.
 *
 *   bench_engine [-t THREADS] [-n ROUNDS] [-s SEQUENCES] [-a] [GROUP...]
 *
 * Without words all groups run, in the order of the table below.  A rate is the median of ROUNDS,
 * both engines in turns.  -s: not more sequences than this.  -a: alone, without llama.cpp.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine_figures.h"
#include "bench/engine_peer.h"
#include "bench/report.h"
#include "bench/words.h"

static const struct {
    const char *name;
    void (*print)(struct engine_figures *f);
} GROUPS[] = {
    {"start", engine_figures_start},   {"memory", engine_figures_memory},
    {"prefix", engine_figures_prefix}, {"stories", engine_figures_stories},
    {"bf16", engine_figures_bf16},     {"q8", engine_figures_q8},
};
#define N_GROUPS (sizeof GROUPS / sizeof GROUPS[0])

/* Of snprintf: was it cut? */
static void cut(int n)
{
    if (n < 0 || n >= PATH_MAX) report_fail("a path is longer than %d bytes", PATH_MAX);
}

static void read_options(struct engine_figures *f, int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "t:n:s:a")) != -1) {
        if (c == 't')
            f->threads = (int)words_number(optarg, 1024);
        else if (c == 'n')
            f->rounds = (int)words_number(optarg, ENGINE_MAX_ROUNDS);
        else if (c == 's')
            f->sequences = (int)words_number(optarg, 32);
        else if (c == 'a')
            f->alone = true;
        else
            report_fail("bench_engine [-t THREADS] [-n ROUNDS] [-s SEQUENCES] [-a] [GROUP...]");
    }
}

int main(int argc, char **argv)
{
    struct engine_figures f = {
        .rounds = 3, .sequences = 32, .threads = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    int n = 0;

    read_options(&f, argc, argv);
    bed_open(&f.bed, argv[0]);
    cut(snprintf(f.folder, PATH_MAX, "%.*s.models", (int)strlen(f.bed.dir) - 6, f.bed.dir));
    cut(snprintf(f.peer, PATH_MAX, "%.*s.llama", (int)strlen(f.bed.dir) - 6, f.bed.dir));
    if (!f.alone) f.alone = !engine_peer_install(f.peer);
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!words_ask_for(argv + optind, GROUPS[i].name)) continue;
        GROUPS[i].print(&f);
        n++;
    }
    bed_close(&f.bed);
    if (!n) report_fail("no such group: %s", argv[optind]);
    return EXIT_SUCCESS;
}
