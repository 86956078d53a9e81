/* curves.c - measured points by name, in order of x. */
#include "bench/curves.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

#define SLOTS 8192 /* at least twice the names of the largest table */
#define NAME  96

struct point {
    double x, y;
};

struct curve {
    char name[NAME];
    struct point *p;
    int n, room;
};

struct curves {
    struct curve of[SLOTS];
    int n;
};

struct curves *curves_open(void)
{
    struct curves *c = calloc(1, sizeof *c);

    if (!c) report_fail("no memory for curves");
    return c;
}

void curves_close(struct curves **c)
{
    for (int i = 0; *c && i < SLOTS; i++)
        free((*c)->of[i].p);
    free(*c);
    *c = NULL;
}

/* The curve of that name, or the slot for it. */
static size_t slot_of(const struct curves *c, const char *name)
{
    uint32_t h = 2166136261u;

    for (const char *at = name; *at; at++)
        h = (h ^ (unsigned char)*at) * 16777619u;
    while (*c->of[h % SLOTS].name && strcmp(c->of[h % SLOTS].name, name) != 0)
        h++;
    return h % SLOTS;
}

static void insert(struct curve *k, double x, double y)
{
    int at = k->n;

    while (at > 0 && k->p[at - 1].x >= x)
        at--;
    if (at < k->n && k->p[at].x == x) {
        k->p[at].y = y;
        return;
    }
    if (k->n == k->room) {
        k->room = k->room ? 2 * k->room : 32;
        k->p = realloc(k->p, (size_t)k->room * sizeof *k->p);
        if (!k->p) report_fail("no memory for the points of %s", k->name);
    }
    memmove(&k->p[at + 1], &k->p[at], (size_t)(k->n - at) * sizeof *k->p);
    k->p[at] = (struct point){x, y};
    k->n++;
}

void curves_add(struct curves *c, double x, double y, const char *fmt, ...)
{
    char name[NAME];
    struct curve *k;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    k = &c->of[slot_of(c, name)];
    if (!*k->name && ++c->n > SLOTS / 2) report_fail("more than %d curves", SLOTS / 2);
    snprintf(k->name, sizeof k->name, "%s", name);
    insert(k, x, y);
}

double curves_at(struct curves *c, double x, const char *fmt, ...)
{
    const struct curve *k;
    char name[NAME];
    va_list ap;
    int i = 1;

    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    k = &c->of[slot_of(c, name)];
    if (k->n == 0) report_fail("nothing was measured of %s", name);
    if (k->n == 1 || x <= k->p[0].x) return k->p[0].y;
    while (i + 1 < k->n && k->p[i].x < x)
        i++;
    return k->p[i].y + (k->p[i].y - k->p[i - 1].y) * (x - k->p[i].x) / (k->p[i].x - k->p[i - 1].x);
}

bool curves_has(const struct curves *c, const char *fmt, ...)
{
    char name[NAME];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    return c->of[slot_of(c, name)].n > 0;
}
