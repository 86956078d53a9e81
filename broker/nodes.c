/* nodes.c - the nodes that are there, and the active plan. */
#include "broker/nodes.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/dbfile.h"

void nodes_fini(struct nodes *t)
{
    free(t->at);
    free(t->instances);
    memset(t, 0, sizeof *t);
}

static struct node *find(const struct nodes *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->at[i].name, name)) return &t->at[i];
    return NULL;
}

int nodes_hear(struct nodes *t, const char *name, const char *uuid, int64_t now_ms, int64_t lost_ms,
               bool *joined)
{
    struct node *n = find(t, name), *more;

    *joined = !n;
    if (n && strcmp(n->uuid, uuid)) {
        if (now_ms - n->heard_ms <= lost_ms) return ERR_EXISTS; /* ND1 */
        *joined = true;
    }
    if (!n) {
        if (t->n == NODES_MOST) return ERR_FULL;
        if (!(more = realloc(t->at, (t->n + 1) * sizeof *more))) return ERR_NOMEM;
        t->at = more;
        n = &more[t->n++];
    }
    snprintf(n->name, sizeof n->name, "%s", name);
    snprintf(n->uuid, sizeof n->uuid, "%s", uuid);
    n->heard_ms = now_ms;
    return ERR_OK;
}

bool nodes_leave(struct nodes *t, const char *name, const char *uuid)
{
    struct node *n = find(t, name);

    if (!n || strcmp(n->uuid, uuid)) return false;
    *n = t->at[--t->n];
    return true;
}

bool nodes_lost(struct nodes *t, int64_t now_ms, int64_t lost_ms, struct node *out)
{
    for (size_t i = 0; i < t->n; i++) {
        if (now_ms - t->at[i].heard_ms <= lost_ms) continue;
        *out = t->at[i];
        t->at[i] = t->at[--t->n];
        return true;
    }
    return false;
}

void nodes_shift(struct nodes *t, int64_t ms)
{
    for (size_t i = 0; i < t->n; i++)
        t->at[i].heard_ms += ms;
}

/* --- the plan --------------------------------------------------------------------------------- */

static void copy_at(sqlite3_stmt *st, int column, char *out, size_t cap)
{
    const char *text = (const char *)sqlite3_column_text(st, column);

    snprintf(out, cap, "%s", text ? text : "");
}

static void read_row(sqlite3_stmt *st, struct nodes *t)
{
    struct node_instance *i = &t->instances[t->n_instances++];

    t->plan_id = sqlite3_column_int64(st, 0);
    copy_at(st, 1, t->model, sizeof t->model);
    i->n = sqlite3_column_int64(st, 2);
    copy_at(st, 3, i->node, sizeof i->node);
    copy_at(st, 4, i->devices, sizeof i->devices);
    i->tp = sqlite3_column_int64(st, 5);
    copy_at(st, 6, i->dtype, sizeof i->dtype);
    copy_at(st, 7, i->kv_dtype, sizeof i->kv_dtype);
}

int nodes_read_plan(struct nodes *t, const char *path, struct errmsg *e)
{
    static const char SQL[] = "SELECT plan_id, model, n, node, devices, tp, dtype, kv_dtype"
                              " FROM plans ORDER BY n";
    sqlite3_stmt *st = NULL;
    sqlite3 *db = NULL;
    int step = SQLITE_DONE, rc = dbfile_open_read(&db, path, e);

    if (!rc && !t->instances && !(t->instances = calloc(NODES_INSTANCES, sizeof *t->instances)))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (!rc && sqlite3_prepare_v2(db, SQL, -1, &st, NULL) != SQLITE_OK)
        rc = dbfile_error(db, e, "plan");
    if (!rc) {
        t->plan_id = 0;
        t->model[0] = '\0';
        t->n_instances = 0;
    }
    while (!rc && t->n_instances < NODES_INSTANCES && (step = sqlite3_step(st)) == SQLITE_ROW)
        read_row(st, t);
    if (!rc && step != SQLITE_DONE && step != SQLITE_ROW) rc = dbfile_error(db, e, "plan");
    sqlite3_finalize(st);
    sqlite3_close(db);
    return rc;
}
