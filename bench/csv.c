/* csv.c - rows of a table of the shared data. */
#include "bench/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

#define COLUMNS 32
#define LINE    4096

struct csv {
    FILE *f;
    char name[256], head[LINE], line[LINE];
    char *columns[COLUMNS], *cells[COLUMNS];
    int n_columns;
};

static int split(char *line, char **cells)
{
    int n = 0;

    line[strcspn(line, "\r\n")] = '\0';
    for (char *at = line; at && n < COLUMNS; n++) {
        cells[n] = at;
        at = strchr(at, ',');
        if (at) *at++ = '\0';
    }
    return n;
}

struct csv *csv_open(const char *name)
{
    const char *root = getenv("NIGHTMILL_TEST_DATA");
    struct csv *c = calloc(1, sizeof *c);
    char command[1024];

    if (!c) report_fail("no memory to read %s", name);
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(command, sizeof command, "%s '%s/%s'",
             strlen(name) > 3 && !strcmp(name + strlen(name) - 3, ".gz") ? "gzip -dc" : "cat",
             root && *root ? root : "../shared/data", name);
    c->f = popen(command, "r");
    if (!c->f || !fgets(c->head, LINE, c->f)) report_fail("%s cannot be read", name);
    c->n_columns = split(c->head, c->columns);
    return c;
}

bool csv_next(struct csv *c)
{
    if (!fgets(c->line, LINE, c->f)) return false;
    if (split(c->line, c->cells) < c->n_columns)
        report_fail("%s: a row has fewer than %d cells", c->name, c->n_columns);
    return true;
}

void csv_close(struct csv **c)
{
    if (*c && pclose((*c)->f)) report_fail("%s was not read to its end", (*c)->name);
    free(*c);
    *c = NULL;
}

const char *csv_text(const struct csv *c, const char *column)
{
    for (int i = 0; i < c->n_columns; i++)
        if (!strcmp(c->columns[i], column)) return c->cells[i];
    report_fail("%s has no column %s", c->name, column);
}

double csv_number(const struct csv *c, const char *column)
{
    const char *text = csv_text(c, column);
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end) report_fail("%s: %s is no number in column %s", c->name, text, column);
    return v;
}

int csv_int(const struct csv *c, const char *column)
{
    return (int)csv_number(c, column);
}

bool csv_is(const struct csv *c, const char *column, const char *text)
{
    return !strcmp(csv_text(c, column), text);
}
