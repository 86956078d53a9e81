/* results.c - nightmill results: the finished rows of a batch. */
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "clients/command.h"
#include "clients/export.h"

struct config {
    const char *db, *output, *errors, *format;
    bool unordered;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file (default nightmill.db)", OPT_STR, AT(db), 0, 0},
    {"output", 'o', "FILE", "write here instead of to standard output", OPT_STR, AT(output), 0, 0},
    {"errors", 0, "FILE", "failed rows go here; without it they are among the others", OPT_STR,
     AT(errors), 0, 0},
    {"format", 'f', "openai|jsonl|csv", "OpenAI's batch lines (default), short JSON lines, or CSV",
     OPT_STR, AT(format), 0, 0},
    {"unordered", 0, NULL, "in the order in which rows finished", OPT_FLAG, AT(unordered), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "results",
    "BATCH",
    "Writes the finished rows of a batch, also while work is under way. Needs no broker: it reads "
    "the queue file.",
    OPTS,
    1,
    1};

int command_results(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db", .format = "openai"};
    struct export_opts o = {0};
    struct export_counts n;
    struct errmsg e = {{0}};
    int rc = opt_parse(&COMMAND, &c, &o.batch, argc, argv, &e);

    if (!rc && output_format_parse(&o.format, c.format))
        rc = err_set(&e, ERR_ARG, "--format is '%s', not openai, jsonl or csv", c.format);
    if (rc) return command_fail("results", rc, &e);
    o.db = c.db;
    o.file = c.output;
    o.errors = c.errors;
    o.unordered = c.unordered;
    if ((rc = export_batch(&o, &n, &e))) return command_fail("results", rc, &e);
    if (n.left)
        fprintf(stderr, "nightmill results: %lld rows are not finished yet\n", (long long)n.left);
    return n.left || n.failed ? EXIT_SOME_FAILED : EXIT_ALL_DONE;
}
