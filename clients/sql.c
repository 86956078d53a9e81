/* sql.c - nightmill sql: ask the queue file a question, also while work is under way. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/opt.h"
#include "broker/dbfile.h"
#include "clients/command.h"
#include "clients/jsonrow.h"
#include "clients/table.h"
#include "clients/terminal.h"

struct config {
    const char *db;
    bool json;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"db", 'd', "FILE", "the queue file (default nightmill.db)", OPT_STR, AT(db), 0, 0},
    {"json", 0, NULL, "one JSON object a line instead of a table", OPT_FLAG, AT(json), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "sql",
    "QUERY",
    "Runs a query over the queue file, read-only, also while work is under way. "
    "The views are results, progress, throughput, instances, errors, attempts, "
    "slowest.",
    OPTS,
    1,
    1};

static int print_json(sqlite3 *db, sqlite3_stmt *st, struct errmsg *e)
{
    int step;

    while ((step = sqlite3_step(st)) == SQLITE_ROW)
        if (jsonrow_print(st, stdout)) return err_set(e, ERR_NOMEM, "out of memory");
    return step == SQLITE_DONE ? ERR_OK : dbfile_error(db, e, "query");
}

/* A cell's text; fractions are cut to what a person reads. */
static const char *cell_text(sqlite3_stmt *st, int i, char buf[64])
{
    if (sqlite3_column_type(st, i) != SQLITE_FLOAT) return (const char *)sqlite3_column_text(st, i);
    snprintf(buf, 64, "%.6g", sqlite3_column_double(st, i));
    return buf;
}

static int print_table(sqlite3 *db, sqlite3_stmt *st, struct errmsg *e)
{
    int n = sqlite3_column_count(st), step = sqlite3_step(st), rc = ERR_NOMEM;
    struct table_column *columns = calloc((size_t)n + 1, sizeof *columns);
    const char **cells = calloc((size_t)n + 1, sizeof *cells);
    char(*text)[64] = calloc((size_t)n + 1, sizeof *text);
    struct table *t = NULL;
    struct buf out = {0};

    if (!columns || !cells || !text) goto out;
    for (int i = 0; i < n; i++) {
        int type = step == SQLITE_ROW ? sqlite3_column_type(st, i) : SQLITE_TEXT;

        columns[i].head = sqlite3_column_name(st, i);
        columns[i].right = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
    }
    if (n && (rc = table_open(&t, columns, n))) goto out;
    for (; step == SQLITE_ROW; step = sqlite3_step(st)) {
        for (int i = 0; i < n; i++)
            cells[i] = cell_text(st, i, text[i]);
        if ((rc = table_row(t, cells))) goto out;
    }
    rc = step == SQLITE_DONE ? ERR_OK : dbfile_error(db, e, "query");
    if (!rc && n) rc = table_print(t, terminal_width(STDOUT_FILENO), &out);
    if (!rc) fwrite(out.data ? out.data : "", 1, out.len, stdout);
out:
    if (rc == ERR_NOMEM) err_set(e, rc, "out of memory");
    table_close(&t);
    buf_fini(&out);
    free(columns);
    free(cells);
    free(text);
    return rc;
}

/* id_hash('row-17'): the key by which the table job finds a custom_id, so that one row of ten
 * million is found without reading the others. */
static void id_hash(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    const void *text = sqlite3_value_text(v[0]);

    (void)n;
    if (text) sqlite3_result_int64(ctx, (int64_t)hash64(text, (size_t)sqlite3_value_bytes(v[0])));
}

static int open_db(sqlite3 **db, const char *path, struct errmsg *e)
{
    int rc = dbfile_open_read(db, path, e);

    if (rc) return rc;
    rc = sqlite3_create_function(*db, "id_hash", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                 id_hash, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : dbfile_error(*db, e, "id_hash");
}

int command_sql(int argc, char **argv)
{
    struct config c = {.db = "nightmill.db"};
    struct errmsg e = {{0}};
    const char *query = NULL;
    sqlite3_stmt *st = NULL;
    sqlite3 *db = NULL;
    int rc = opt_parse(&COMMAND, &c, &query, argc, argv, &e);

    if (rc) return command_fail("sql", rc, &e);
    if ((rc = open_db(&db, c.db, &e))) goto out;
    while (!rc && query && query[strspn(query, " \t\r\n;")]) {
        if (sqlite3_prepare_v2(db, query, -1, &st, &query) != SQLITE_OK) {
            dbfile_error(db, &e, "query");
            rc = ERR_ARG;
        } else if (st && !sqlite3_stmt_readonly(st)) {
            rc = err_set(&e, ERR_ARG, "this would write; the queue file is only read here");
        } else if (st) {
            rc = c.json ? print_json(db, st, &e) : print_table(db, st, &e);
        }
        sqlite3_finalize(st);
        st = NULL;
    }
out:
    sqlite3_close(db);
    return rc ? command_fail("sql", rc, &e) : EXIT_ALL_DONE;
}
