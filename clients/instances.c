/* instances.c - nightmill instances: who works on this queue, and how fast. */
#include <stdio.h>
#include <unistd.h>

#include "base/opt.h"
#include "broker/dbfile.h"
#include "clients/command.h"
#include "clients/jsonrow.h"
#include "clients/overview.h"
#include "clients/terminal.h"

struct config {
    const char *db;
    bool json, all;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file (default nightmill.db)", OPT_STR, AT(db), 0, 0},
    {"json", 0, NULL, "one JSON object a line instead of a table", OPT_FLAG, AT(json), 0, 0},
    {"all", 'a', NULL, "those that are gone, too", OPT_FLAG, AT(all), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "instances",
    "",
    "Shows who works on this queue and how fast. Needs no broker: it reads the queue file.",
    OPTS,
    0,
    0};

static int print_json(sqlite3 *db, bool all, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE, rc = ERR_OK;

    if (sqlite3_prepare_v2(db,
                           "SELECT * FROM instances WHERE state='here' OR ?1 ORDER BY instance_id",
                           -1, &st, NULL) != SQLITE_OK)
        return dbfile_error(db, e, "instances");
    sqlite3_bind_int(st, 1, all);
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW)
        rc = jsonrow_print(st, stdout);
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "instances");
    sqlite3_finalize(st);
    return rc;
}

static int print_table(sqlite3 *db, bool all, struct errmsg *e)
{
    struct buf out = {0};
    int n, rc = overview_instances(db, all, terminal_width(STDOUT_FILENO), &out, &n, e);

    if (!rc && !n) puts(all ? "no instance has joined yet" : "no instance is here");
    if (!rc && out.len) fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    return rc;
}

int command_instances(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db"};
    struct errmsg e = {{0}};
    sqlite3 *db = NULL;
    int rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);

    if (!rc) rc = dbfile_open_read(&db, c.db, &e);
    if (!rc) rc = c.json ? print_json(db, c.all, &e) : print_table(db, c.all, &e);
    sqlite3_close(db);
    return rc ? command_fail("instances", rc, &e) : EXIT_ALL_DONE;
}
