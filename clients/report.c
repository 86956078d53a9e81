/* report.c - nightmill report: what a night came to, as a page or as text. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/opt.h"
#include "broker/dbfile.h"
#include "clients/command.h"
#include "clients/report_page.h"

struct config {
    const char *db, *output, *format;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file (default nightmill.db)", OPT_STR, AT(db), 0, 0},
    {"output", 'o', "FILE", "write here instead of to standard output", OPT_STR, AT(output), 0, 0},
    {"format", 'f', "html|text", "default: html for a FILE.html, text otherwise", OPT_STR,
     AT(format), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "report",
    "[BATCH]",
    "Tells what a batch, or all of them, came to: totals, throughput over time, who answered, what "
    "failed, the slowest rows. Needs no broker: it reads the queue file.",
    OPTS,
    0,
    1};

static bool ends_in_html(const char *name)
{
    size_t n = name ? strlen(name) : 0;

    return (n >= 5 && !strcmp(name + n - 5, ".html")) || (n >= 4 && !strcmp(name + n - 4, ".htm"));
}

static int find_format(const struct config *c, bool *html, struct errmsg *e)
{
    *html = c->format ? !strcmp(c->format, "html") : ends_in_html(c->output);
    if (!c->format || *html || !strcmp(c->format, "text")) return ERR_OK;
    return err_set(e, ERR_ARG, "--format is '%s', not html or text", c->format);
}

static int write_out(const struct config *c, const struct buf *page, struct errmsg *e)
{
    FILE *f = c->output ? fopen(c->output, "wbe") : stdout;
    int bad;

    if (!f) return err_set(e, ERR_IO, "%s: %s", c->output, strerror(errno));
    bad = fwrite(page->data, 1, page->len, f) != page->len;
    bad |= c->output ? fclose(f) : fflush(f);
    return bad ? err_set(e, ERR_IO, "%s: %s", c->output ? c->output : "standard output",
                         strerror(errno))
               : ERR_OK;
}

int command_report(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db"};
    struct report_opts o = {.now_ms = clock_wall_ms()};
    struct errmsg e = {{0}};
    struct buf page = {0};
    sqlite3 *db = NULL;
    int rc = opt_parse(&COMMAND, &c, &o.batch, argc, argv, &e);

    if (!rc) rc = find_format(&c, &o.html, &e);
    if (!rc && c.output && !strcmp(c.output, c.db))
        rc = err_set(&e, ERR_ARG, "%s: the report would take the queue file's place", c.db);
    o.file = c.db;
    if (!rc) rc = dbfile_open_read(&db, c.db, &e);
    if (!rc) rc = report_page(db, &o, &page, &e);
    sqlite3_close(db);
    if (!rc) rc = write_out(&c, &page, &e);
    buf_fini(&page);
    return rc ? command_fail("report", rc, &e) : EXIT_ALL_DONE;
}
