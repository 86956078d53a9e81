/* report.c - a benchmark's figures, one JSON line each on stdout. */
#include "bench/report.h"

#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define DIGITS 5

static void read_model_name(char *out, size_t cap)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(out, cap, "unknown processor");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        snprintf(out, cap, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f) fclose(f);
}

static char machine_name[300];

void report_machine(const char *name)
{
    snprintf(machine_name, sizeof machine_name, "%s", name);
}

static const char *machine(void)
{
    char model[256];

    if (!*machine_name) {
        read_model_name(model, sizeof model);
        snprintf(machine_name, sizeof machine_name, "%s, %ld cores", model,
                 sysconf(_SC_NPROCESSORS_ONLN));
    }
    return machine_name;
}

static json_t *number_or_null(double v)
{
    return v != 0 ? json_real(v) : json_null();
}

/* The end of every line. */
static void print_line(json_t *line, const char *bench, const char *what)
{
    const time_t now = (time_t)(clock_wall_ms() / 1000);
    char date[16];
    struct tm tm;

    strftime(date, sizeof date, "%Y-%m-%d", gmtime_r(&now, &tm));
    if (!line || json_object_set_new(line, "machine", json_string(machine())) ||
        json_object_set_new(line, "commit", json_string(NIGHTMILL_COMMIT)) ||
        json_object_set_new(line, "date", json_string(date)))
        report_fail("no line for %s %s", bench, what);
    json_dumpf(line, stdout, JSON_REAL_PRECISION(DIGITS));
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

void report_figure(const struct figure *f)
{
    json_t *line = json_pack("{ss ss sf ss ss? so so so}", "bench", f->bench, "figure", f->figure,
                             "value", f->value, "unit", f->unit, "against", f->against, "ratio",
                             number_or_null(f->ratio), "target", number_or_null(f->target), "limit",
                             number_or_null(f->limit));

    print_line(line, f->bench, f->figure);
}

void report_course(const struct course *c)
{
    json_t *values = json_array();

    for (int i = 0; i < c->n; i++)
        if (json_array_append_new(values, json_real(c->values[i])))
            report_fail("no line for %s %s", c->bench, c->course);
    print_line(json_pack("{ss ss ss sf so}", "bench", c->bench, "course", c->course, "unit",
                         c->unit, "step_s", c->step_s, "values", values),
               c->bench, c->course);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double report_median(double *v, size_t n)
{
    assert(n > 0);
    qsort(v, n, sizeof *v, by_size);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

void report_fail(const char *fmt, ...)
{
    va_list args;

    fflush(stdout);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}
