/* bench_gpu.c - the engine on a device, beside what the device does at most.
 *
 *   bench_gpu [-t] [-s SECONDS] [-m FOLDER] [GROUP...]      bench_gpu device
 *
 * Without words all groups run, in the order of the table below.  -t: tiny, for the emulation; -s:
 * not longer than this, groups for which no time is left are told; -m: the random model is made
 * there, if it is not there yet, and stays (bench/generate_batch.py wants it).  `device` prints the
 * device's name and whether it is emulated, and fails where there is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/gpu.h"
#include "bench/report.h"
#include "bench/words.h"

#define SECONDS 3600

static const struct {
    const char *name;
    int seconds; /* that it takes, about */
    void (*print)(struct gpu *g);
} GROUPS[] = {
    {"rates", 10, gpu_figures_rates},
    {"attention", 10, gpu_figures_attention},
    {"steps", 90, gpu_figures_steps},
    {"rows", 120, gpu_figures_rows},
};
#define N_GROUPS (sizeof GROUPS / sizeof GROUPS[0])

static int print_device(void)
{
    const struct plugin *p;
    struct device_facts f;
    struct errmsg e;

    p = plugin_open(&e);
    if (!p || p->device->count(&e) < 1 || p->device->facts(0, &f, &e)) report_fail("%s", e.text);
    printf("%s\n%s", f.name, p->emulated ? "emulated\n" : "");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *folder = NULL;
    int seconds = SECONDS, n = 0, c;
    bool tiny = false;
    struct gpu g;

    while ((c = getopt(argc, argv, "ts:m:")) != -1) {
        if (c == 't')
            tiny = true;
        else if (c == 's')
            seconds = (int)words_number(optarg, SECONDS);
        else if (c == 'm')
            folder = optarg;
        else
            report_fail("bench_gpu [-t] [-s SECONDS] [-m FOLDER] [GROUP...]");
    }
    if (optind < argc && !strcmp(argv[optind], "device")) return print_device();
    gpu_open(&g, argv[0], folder, tiny, seconds);
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (!words_ask_for(argv + optind, GROUPS[i].name)) continue;
        n++;
        if (gpu_has_time(&g, GROUPS[i].name, GROUPS[i].seconds)) GROUPS[i].print(&g);
    }
    gpu_close(&g);
    if (!n) report_fail("no such group: %s", argv[optind]);
    return EXIT_SUCCESS;
}
