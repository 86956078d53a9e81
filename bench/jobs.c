/* jobs.c - the rows of a simulated batch. */
#include "bench/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mix.h"

#define MAX_TRACE_ROWS 10000000

struct lengths {
    int32_t prompt, answer;
};

struct jobs {
    struct jobs_opts o;
    struct lengths *trace;
    int64_t n_trace;
};

const char *jobs_data(void)
{
    const char *at = getenv("NIGHTMILL_TEST_DATA");

    return at && *at ? at : "../shared/data";
}

static int add_row(struct jobs *j, int64_t *cap, const struct lengths *l)
{
    if (j->n_trace == *cap) {
        int64_t n = *cap ? 2 * *cap : 4096;
        struct lengths *t = n > MAX_TRACE_ROWS ? NULL : realloc(j->trace, (size_t)n * sizeof *t);

        if (!t) return ERR_NOMEM;
        j->trace = t;
        *cap = n;
    }
    j->trace[j->n_trace++] = *l;
    return ERR_OK;
}

/* TIMESTAMP,ContextTokens,GeneratedTokens */
static int read_lines(struct jobs *j, FILE *f, const char *path, struct errmsg *e)
{
    char line[256];
    int64_t cap = 0, n = 0;
    struct lengths l;

    while (fgets(line, sizeof line, f)) {
        if (!n++) continue; /* the names of the columns */
        if (line[strspn(line, "\r\n")] == 0) continue;
        if (sscanf(line, "%*[^,],%d,%d", &l.prompt, &l.answer) != 2 || l.prompt < 1 || l.answer < 1)
            return err_set(e, ERR_FORMAT, "%s:%lld: not a time and two lengths", path,
                           (long long)n);
        if (add_row(j, &cap, &l)) return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    }
    if (!j->n_trace) return err_set(e, ERR_IO, "%s: no rows", path);
    return ERR_OK;
}

static int read_trace(struct jobs *j, struct errmsg *e)
{
    char path[1024], command[1200];
    FILE *f;
    int rc;

    if (strchr(j->o.trace, '\'') || strchr(jobs_data(), '\''))
        return err_set(e, ERR_ARG, "%s: a quote in its name", j->o.trace);
    snprintf(path, sizeof path, "%s/traces/%s", jobs_data(), j->o.trace);
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    f = popen(command, "r");
    if (!f) return err_set(e, ERR_IO, "%s: %s", command, strerror(errno));
    rc = read_lines(j, f, path, e);
    if (pclose(f) && !rc) rc = err_set(e, ERR_IO, "%s: cannot be read", path);
    return rc;
}

int jobs_open(struct jobs **out, const struct jobs_opts *o, struct errmsg *e)
{
    struct jobs *j = calloc(1, sizeof *j);
    int rc = ERR_OK;

    *out = NULL;
    if (!j) return err_set(e, ERR_NOMEM, "out of memory");
    j->o = *o;
    if (o->trace) rc = read_trace(j, e);
    if (!rc && o->chains) j->o.n = chains_count(o->chains);
    if (!rc && !j->o.n) j->o.n = j->n_trace;
    if (!rc && !o->trace && !o->chains &&
        (o->prompt.least < 1 || o->prompt.most < o->prompt.least || o->answer.least < 1 ||
         o->answer.most < o->answer.least))
        rc = err_set(e, ERR_ARG, "lengths are at least 1, and the range not empty");
    if (rc)
        jobs_close(&j);
    else
        *out = j;
    return rc;
}

void jobs_close(struct jobs **j)
{
    if (!*j) return;
    free((*j)->trace);
    free(*j);
    *j = NULL;
}

const struct chains *jobs_chains(const struct jobs *j)
{
    return j->o.chains;
}

int64_t jobs_count(const struct jobs *j)
{
    return j->o.n;
}

static uint64_t draw(const struct jobs *j, int64_t i, uint64_t what)
{
    return mix64(mix64(j->o.seed + what) ^ (uint64_t)i * 0x9E3779B97F4A7C15u);
}

static int32_t within(const struct length_range *r, uint64_t dice)
{
    return r->least + (int32_t)(dice % (uint64_t)(r->most - r->least + 1));
}

static struct lengths lengths_of(const struct jobs *j, int64_t i)
{
    if (j->trace && j->o.in_order) return j->trace[i % j->n_trace];
    if (j->trace) return j->trace[draw(j, i, 1) % (uint64_t)j->n_trace];
    return (struct lengths){within(&j->o.prompt, draw(j, i, 2)),
                            within(&j->o.answer, draw(j, i, 3))};
}

int32_t jobs_at(const struct jobs *j, int64_t i, struct schedule_job *out)
{
    struct chain_row r = {0};
    struct lengths l;

    if (j->o.chains) chains_at(j->o.chains, i, &r);
    l = j->o.chains ? (struct lengths){r.prompt, r.answer} : lengths_of(j, i);
    if (j->o.max_tokens && l.answer > j->o.max_tokens) l.answer = j->o.max_tokens;
    *out = (struct schedule_job){.id = i + 1,
                                 .batch = 1,
                                 .group = j->o.groups ? 1 + i % j->o.groups : r.group,
                                 .prompt_tokens = l.prompt,
                                 .max_tokens = j->o.states_answer ? l.answer : j->o.max_tokens,
                                 .output_tokens = j->o.oracle ? l.answer : -1};
    return l.answer;
}
