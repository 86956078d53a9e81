/* status.c - nightmill status: how far the batches are. */
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opt.h"
#include "broker/dbfile.h"
#include "clients/client.h"
#include "clients/command.h"
#include "clients/jsonrow.h"
#include "clients/progress.h"
#include "clients/table.h"
#include "clients/watch.h"

#define PING_MS 1000

struct config {
    const char *db;
    bool json, watch;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file (default nightmill.db)", OPT_STR, AT(db), 0, 0},
    {"json", 0, NULL, "one JSON object a batch", OPT_FLAG, AT(json), 0, 0},
    {"watch", 'w', NULL, "stay until the batch is finished; needs BATCH", OPT_FLAG, AT(watch), 0,
     0},
    {0}};
static const struct opt_command COMMAND = {
    "status", "[BATCH]", "Shows how far the batches are. Needs no broker: it reads the queue file.",
    OPTS,     0,         1};

static const char SQL[] =
    "SELECT batch, state, jobs, ready, done, failed, paused, cancelled, prompt_tokens, "
    "output_tokens,"
    " tokens_per_s, eta_s, model FROM progress WHERE ?1 IS NULL OR batch=?1 ORDER BY batch_id";
static const char JSON_SQL[] =
    "SELECT * FROM progress WHERE ?1 IS NULL OR batch=?1 ORDER BY batch_id";
/* A batch that waits for a model that nobody holds. */
static const char LACKING_SQL[] =
    "SELECT batch, model FROM progress p WHERE ready>0 AND model<>'' AND (?1 IS NULL OR batch=?1)"
    " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.state='here' AND i.model=p.model)";

static int add_line(struct table *t, sqlite3_stmt *st)
{
    char rate[PROGRESS_TEXT], eta[PROGRESS_TEXT];
    bool running = !strcmp((const char *)sqlite3_column_text(st, 1), "running");
    const char *cells[8];

    for (int i = 0; i < 6; i++)
        cells[i] = (const char *)sqlite3_column_text(st, i);
    cells[6] = running ? progress_count(rate, sqlite3_column_double(st, 10)) : "";
    cells[7] = running && sqlite3_column_type(st, 11) != SQLITE_NULL
                   ? progress_duration(eta, sqlite3_column_double(st, 11))
                   : "";
    return table_row(t, cells);
}

static int print_batches(sqlite3 *db, const char *batch, bool json, int *n, struct errmsg *e)
{
    static const struct table_column COLUMNS[] = {
        {"batch", false, 40}, {"state", false, 0}, {"rows", true, 0},     {"ready", true, 0},
        {"done", true, 0},    {"failed", true, 0}, {"tokens/s", true, 0}, {"eta", true, 0}};
    struct table *t = NULL;
    struct buf out = {0};
    sqlite3_stmt *st = NULL;
    int step = SQLITE_DONE, rc = table_open(&t, COLUMNS, 8);

    *n = 0;
    if (!rc && sqlite3_prepare_v2(db, json ? JSON_SQL : SQL, -1, &st, NULL) != SQLITE_OK)
        rc = dbfile_error(db, e, "status");
    if (!rc && batch) sqlite3_bind_text(st, 1, batch, -1, SQLITE_STATIC);
    while (!rc && (step = sqlite3_step(st)) == SQLITE_ROW) {
        (*n)++;
        if (json)
            rc = jsonrow_print(st, stdout);
        else
            rc = add_line(t, st);
    }
    if (!rc && step != SQLITE_DONE) rc = dbfile_error(db, e, "status");
    if (!rc && !json && *n) rc = table_print(t, 0, &out);
    if (!rc && out.len) fwrite(out.data, 1, out.len, stdout);
    sqlite3_finalize(st);
    table_close(&t);
    buf_fini(&out);
    return rc;
}

static int tell_lacking(sqlite3 *db, const char *batch, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    int rc = ERR_OK;

    if (sqlite3_prepare_v2(db, LACKING_SQL, -1, &st, NULL) != SQLITE_OK)
        return dbfile_error(db, e, "status");
    if (batch) sqlite3_bind_text(st, 1, batch, -1, SQLITE_STATIC);
    while (sqlite3_step(st) == SQLITE_ROW)
        fprintf(stderr,
                "batch %s waits for model '%s', which no instance holds; start one: nightmill "
                "worker --model "
                ".../%s\n",
                (const char *)sqlite3_column_text(st, 0), (const char *)sqlite3_column_text(st, 1),
                (const char *)sqlite3_column_text(st, 1));
    sqlite3_finalize(st);
    return rc;
}

/* Asks the broker, when one runs, whether it can write. */
static void tell_trouble(const char *path)
{
    struct client *client = NULL;
    struct wire_msg pong = {0};
    char address[256], text[400];
    struct errmsg e;

    if (dbfile_address(path, address, sizeof address, &e)) return;
    if (access(address + strlen("ipc://"), F_OK)) return;
    if (!client_open(&client, address, NULL, &e) && !client_ping(client, &pong, PING_MS, &e)) {
        wire_copy(&pong.map, "trouble", text, sizeof text);
        if (text[0]) fprintf(stderr, "the broker cannot write: %s; it goes on when it can\n", text);
        wire_msg_fini(&pong);
    }
    client_close(&client);
}

static int watch(const struct config *c, const char *batch, struct errmsg *e)
{
    struct watch_counts w;
    int rc, signals;

    if (!batch)
        return command_fail("status", err_set(e, ERR_ARG, "--watch needs the name of a batch"), e);
    if ((signals = command_signals(e)) < 0) return command_fail("status", ERR_IO, e);
    rc = watch_batch(c->db, batch, signals, NULL, NULL, &w, e);
    close(signals);
    return rc ? command_fail("status", rc, e) : watch_exit(&w);
}

int command_status(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db"};
    struct errmsg e = {{0}};
    const char *batch = NULL;
    sqlite3 *db = NULL;
    int rc = opt_parse(&COMMAND, &c, &batch, argc, argv, &e), n = 0;

    if (rc) return command_fail("status", rc, &e);
    if (c.watch) return watch(&c, batch, &e);
    if ((rc = dbfile_open_read(&db, c.db, &e))) return command_fail("status", rc, &e);
    rc = print_batches(db, batch, c.json, &n, &e);
    if (!rc && batch && !n) rc = err_set(&e, ERR_EMPTY, "there is no batch '%s'", batch);
    if (!rc && !n && !c.json) puts("no batches yet");
    if (!rc) rc = tell_lacking(db, batch, &e);
    sqlite3_close(db);
    if (!rc) tell_trouble(c.db);
    return rc ? command_fail("status", rc, &e) : EXIT_ALL_DONE;
}
