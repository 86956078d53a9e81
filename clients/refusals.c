/* refusals.c - the bad lines of one file. */
#include "clients/refusals.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

int refusals_open(struct refusals *r, const char *file, struct errmsg *e)
{
    int rc;

    memset(r, 0, sizeof *r);
    if ((rc = sink_open(&r->file, file, false, e))) return rc;
    if (r->file.f) fputs("{\"object\":\"list\",\"data\":[", r->file.f);
    return ERR_OK;
}

static void tell(const struct row_error *bad)
{
    if (bad->line) fprintf(stderr, "line %lld", (long long)bad->line);
    if (bad->column) fprintf(stderr, ", column %d", bad->column);
    fprintf(stderr, "%s%s: %s\n", bad->line ? ": " : "", bad->code, bad->message);
}

static int write_error(struct refusals *r, const struct row_error *bad, struct errmsg *e)
{
    json_t *j = json_pack("{s:s, s:s, s:s?, s:o}", "code", bad->code, "message", bad->message,
                          "param", bad->param[0] ? bad->param : NULL, "line",
                          bad->line ? json_integer(bad->line) : json_null());
    int rc = ERR_NOMEM;

    if (r->n > 1) fputs(",\n", r->file.f);
    if (j && !json_dumpf(j, r->file.f, JSON_COMPACT)) rc = ERR_OK;
    json_decref(j);
    return rc ? err_set(e, rc, "%s: cannot be written", r->file.name) : rc;
}

int refusals_add(struct refusals *r, const struct row_error *bad, struct errmsg *e)
{
    r->n++;
    if (r->n <= REFUSALS_TOLD) tell(bad);
    return r->file.f ? write_error(r, bad, e) : ERR_OK;
}

int refusals_close(struct refusals *r, bool keep, struct errmsg *e)
{
    if (r->n > REFUSALS_TOLD)
        fprintf(stderr, "and %lld more bad lines\n", (long long)(r->n - REFUSALS_TOLD));
    r->n = 0; /* told */
    if (r->file.f) fputs("]}\n", r->file.f);
    return sink_close(&r->file, keep, e);
}
