/* meter.c - what the machine tells of this process and its processors. */
#include "worker/meter.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CPUS_READ 16 /* clocks are alike: these stand for all */

/* The first number of a small file; -1 when there is none. */
static int64_t number_in(const struct meter *m, const char *name)
{
    char path[PATH_MAX];
    long long v = -1;
    FILE *f;

    snprintf(path, sizeof path, "%s%s", m->root, name);
    f = fopen(path, "re");
    if (!f) return -1;
    if (fscanf(f, "%lld", &v) != 1 || v < 0) v = -1;
    fclose(f);
    return v;
}

static int64_t energy_uj(const struct meter *m, int package)
{
    char name[64];

    snprintf(name, sizeof name, "/sys/class/powercap/intel-rapl:%d/energy_uj", package);
    return number_in(m, name);
}

static int64_t energy_range_uj(const struct meter *m, int package)
{
    char name[80];

    snprintf(name, sizeof name, "/sys/class/powercap/intel-rapl:%d/max_energy_range_uj", package);
    return number_in(m, name);
}

static int64_t resident_bytes(const struct meter *m)
{
    char path[PATH_MAX];
    long long pages = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/statm", m->root);
    f = fopen(path, "re");
    if (!f) return 0;
    if (fscanf(f, "%*d %lld", &pages) != 1 || pages < 0) pages = 0;
    fclose(f);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Of /proc/meminfo; 0: not told. */
static int64_t memory_available(const struct meter *m)
{
    char path[PATH_MAX], line[256];
    long long kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/meminfo", m->root);
    f = fopen(path, "re");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1) break;
    fclose(f);
    return kib > 0 ? (int64_t)kib * 1024 : 0;
}

/* The smallest limit of the groups from `group` up; 0: none. */
static int64_t group_limit(const struct meter *m, char *group)
{
    char name[PATH_MAX];
    int64_t least = 0;

    for (;;) {
        char *slash = strrchr(group, '/');
        int64_t limit;

        snprintf(name, sizeof name, "/sys/fs/cgroup%s/memory.max", group);
        limit = number_in(m, name); /* the word "max" is no number */
        if (limit > 0 && (!least || limit < least)) least = limit;
        if (!slash) return least;
        *slash = '\0';
    }
}

int64_t meter_available_bytes(const char *root)
{
    const struct meter m = {.root = root};
    char path[PATH_MAX], line[1024] = "";
    int64_t free_bytes = memory_available(&m), limit = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "0::/", 4)) {
            line[strcspn(line, "\n")] = '\0';
            limit = group_limit(&m, line + 3);
        }
    if (f) fclose(f);
    return limit && (!free_bytes || limit < free_bytes) ? limit : free_bytes;
}

/* Where the kernel does not steer the clock itself, as under a hypervisor. */
static int64_t clock_of_cpuinfo(const struct meter *m)
{
    char path[PATH_MAX], line[256];
    double mhz, sum = 0;
    int n = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/cpuinfo", m->root);
    f = fopen(path, "re");
    if (!f) return 0;
    while (n < CPUS_READ && fgets(line, sizeof line, f)) {
        if (sscanf(line, "cpu MHz : %lf", &mhz) != 1) continue;
        sum += mhz;
        n++;
    }
    fclose(f);
    return n ? (int64_t)(sum / n + 0.5) : 0;
}

static int64_t read_clock(const struct meter *m)
{
    int64_t sum_khz = 0, n = 0;

    for (int i = 0; i < CPUS_READ; i++) {
        char name[80];
        int64_t khz;

        snprintf(name, sizeof name, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", i);
        if ((khz = number_in(m, name)) < 0) break;
        sum_khz += khz;
        n++;
    }
    return n ? sum_khz / n / 1000 : clock_of_cpuinfo(m);
}

/* What went through the counters since the last reading; they begin again at their range. */
static int64_t power_mw(struct meter *m, int64_t now_ms)
{
    int64_t span_ms = now_ms - m->read_ms, sum_uj = 0;

    if (span_ms <= 0) return 0;
    for (int i = 0; i < METER_PACKAGES && m->energy_uj[i] >= 0; i++) {
        int64_t now_uj = energy_uj(m, i), used;

        if (now_uj < 0) return 0;
        used = now_uj - m->energy_uj[i];
        if (used < 0) used += energy_range_uj(m, i);
        sum_uj += used > 0 ? used : 0;
        m->energy_uj[i] = now_uj;
    }
    m->read_ms = now_ms;
    return sum_uj / span_ms; /* microjoules in a millisecond are milliwatts */
}

void meter_cpu_name(const char *root, char *out, size_t cap)
{
    char path[PATH_MAX], line[256], name[128] = "";
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
    f = fopen(path, "re");
    while (f && !name[0] && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %127[^\n]", name) != 1) name[0] = '\0';
    if (f) fclose(f);
    snprintf(out, cap, name[0] ? "%s x %ld" : "", name, sysconf(_SC_NPROCESSORS_ONLN));
}

/* Since the machine started. */
static bool read_ticks(const char *root, int64_t *busy, int64_t *all)
{
    long long user, nice, system, idle, iowait, irq, soft, steal;
    char path[PATH_MAX];
    bool known;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/stat", root);
    f = fopen(path, "re");
    if (!f) return false;
    known = fscanf(f, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system, &idle,
                   &iowait, &irq, &soft, &steal) == 8;
    fclose(f);
    if (!known) return false;
    *busy = user + nice + system + irq + soft + steal;
    *all = *busy + idle + iowait;
    return true;
}

static int64_t own_ticks(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u)) return 0;
    return (int64_t)(((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                      (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6) *
                     (double)sysconf(_SC_CLK_TCK));
}

void meter_load_begin(struct meter_load *l, const char *root)
{
    *l = (struct meter_load){.root = root, .own = own_ticks()};
    if (!read_ticks(root, &l->busy, &l->all)) l->all = -1;
}

double meter_load_others(const struct meter_load *l)
{
    int64_t busy, all;
    double others;

    if (l->all < 0 || !read_ticks(l->root, &busy, &all) || all <= l->all) return -1;
    others = (double)(busy - l->busy - (own_ticks() - l->own)) / (double)(all - l->all);
    return others > 0 ? others : 0;
}

void meter_init(struct meter *m, const char *root, const struct place *place)
{
    memset(m, 0, sizeof *m);
    m->root = root;
    m->place = place;
    m->read_ms = m->clock_ms = INT64_MIN;
}

/* What the devices tell; false: nothing. */
static bool read_devices(const struct place *p, struct meter_reading *out)
{
    struct device_reading r;
    int64_t clocks_mhz = 0;

    *out = (struct meter_reading){.others = -1};
    for (int i = 0; i < p->n_devices; i++) {
        if (p->device->read(p->devices[i], &r)) return false;
        out->memory_bytes += r.used_bytes;
        out->power_mw += r.power_mw;
        clocks_mhz += r.clock_mhz;
        if (r.others > out->others) out->others = r.others;
    }
    out->clock_mhz = p->n_devices ? clocks_mhz / p->n_devices : 0;
    return p->n_devices > 0;
}

void meter_read(struct meter *m, int64_t now_ms, struct meter_reading *out)
{
    if (m->place && m->place->device->read && read_devices(m->place, out)) return;
    if (m->clock_ms == INT64_MIN || now_ms - m->clock_ms >= METER_CLOCK_MS) {
        m->clock_ms = now_ms;
        m->clock_mhz = read_clock(m);
    }
    *out = (struct meter_reading){resident_bytes(m), 0, m->clock_mhz, -1};
    if (m->read_ms == INT64_MIN) { /* the first one: from here on */
        for (int i = 0; i < METER_PACKAGES; i++)
            m->energy_uj[i] = i && m->energy_uj[i - 1] < 0 ? -1 : energy_uj(m, i);
        m->read_ms = now_ms;
        return;
    }
    out->power_mw = power_mw(m, now_ms);
}
