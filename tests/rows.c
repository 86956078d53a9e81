/* rows.c - a queue file for the suites. */
#include "tests/rows.h"

#include <string.h>

#include "tests/process.h"
#include "tests/test.h"

static char opened[512]; /* by the last rows_open */

struct wire_text rows_text(const char *s)
{
    return (struct wire_text){s, strlen(s)};
}

struct queue *rows_open(const char *path)
{
    struct dbfile_opts o = {.sync_normal = true};
    struct queue *q;
    struct errmsg e;

    snprintf(opened, sizeof opened, "%s", path);
    ck_assert_msg(!queue_open(&q, path, &o, ROWS_NOW, &e), "%s", e.text);
    return q;
}

int64_t rows_batch(struct queue *q, const char *name, const char *model, int64_t priority)
{
    struct batch_spec b = {.priority = priority, .max_attempts = 3};
    struct errmsg e;
    int64_t id;
    bool existed;

    snprintf(b.name, sizeof b.name, "%s", name);
    snprintf(b.model, sizeof b.model, "%s", model);
    ck_assert_msg(!queue_begin(q, &e), "%s", e.text);
    ck_assert_msg(!queue_put_batch(q, &b, ROWS_NOW, &id, &existed, &e), "%s", e.text);
    ck_assert_msg(!queue_commit(q, &e), "%s", e.text);
    return id;
}

int64_t rows_instance(struct queue *q, const char *uuid)
{
    struct instance_row i = {.tp = 1, .threads = 1, .kv_tokens = 4096, .max_model_len = 2048};
    struct errmsg e;
    int64_t id;

    i.max_num_seqs = 8;
    snprintf(i.uuid, sizeof i.uuid, "%s", uuid);
    snprintf(i.name, sizeof i.name, "n-%s", uuid);
    ck_assert_msg(!queue_begin(q, &e), "%s", e.text);
    ck_assert_msg(!queue_put_instance(q, &i, ROWS_NOW, &id, &e), "%s", e.text);
    ck_assert_msg(!queue_commit(q, &e), "%s", e.text);
    return id;
}

int64_t rows_add(struct queue *q, int64_t batch_id, const char *prefix, int n)
{
    int64_t first = process_sql(opened, "SELECT ifnull(max(job_id),0) + 1 FROM job");
    struct errmsg e;
    enum put put;

    ck_assert_msg(!queue_begin(q, &e), "%s", e.text);
    for (int i = 0; i < n; i++) {
        char id[64];
        struct row r;

        snprintf(id, sizeof id, "%s%d", prefix, i);
        r = (struct row){.custom_id = rows_text(id), .body = rows_text(id), .line = i + 1};
        r.code = r.message = r.param = rows_text("");
        ck_assert_msg(!queue_put_row(q, batch_id, &r, false, ROWS_NOW, &put, &e), "%s", e.text);
        ck_assert_int_eq(put, PUT_ADDED);
    }
    ck_assert_msg(!queue_commit(q, &e), "%s", e.text);
    return first;
}

void rows_file(const char *path, const char *batch, int n)
{
    struct queue *q = rows_open(path);

    rows_add(q, rows_batch(q, batch, "", 0), "row", n);
    queue_close(&q);
}

#define JOBS(s) "(SELECT count(*) FROM job j WHERE j.batch_id=b.batch_id AND j.state=" #s ")"
#define TOKENS(c)                                                                                  \
    "(SELECT ifnull(sum(r." #c "),0) FROM result r JOIN job j USING (job_id)"                      \
    " WHERE j.batch_id=b.batch_id AND r.reused_from IS NULL)"

static const struct {
    const char *what, *sql, *want; /* want NULL: no row */
} RULES[] = {
    {"integrity_check", "PRAGMA integrity_check", "ok"},
    {"foreign_key_check", "PRAGMA foreign_key_check", NULL},
    {"a batch's counters",
     "SELECT 1 FROM batch b WHERE n_ready<>" JOBS(0) " OR n_done<>" JOBS(1) //
     " OR n_failed<>" JOBS(2) " OR n_paused<>" JOBS(3) " OR n_cancelled<>" JOBS(4),
     NULL},
    {"a batch's tokens",
     "SELECT 1 FROM batch b WHERE prompt_tokens<>" TOKENS(prompt_tokens) //
     " OR cached_tokens<>" TOKENS(cached_tokens) " OR output_tokens<>" TOKENS(output_tokens),
     NULL},
    {"a done job has a result, and no other has",
     "SELECT 1 FROM job j WHERE (j.state=1)<>EXISTS(SELECT 1 FROM result r"
     " WHERE r.job_id=j.job_id)",
     NULL},
    {"a job has a prompt",
     "SELECT 1 FROM job WHERE job_id NOT IN (SELECT job_id FROM prompt)"
     " UNION ALL SELECT 1 FROM prompt WHERE job_id NOT IN (SELECT job_id FROM job)",
     NULL},
};

static bool holds(sqlite3 *db, const char *sql, const char *want)
{
    sqlite3_stmt *st = NULL;
    bool yes = sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK;

    switch (yes ? sqlite3_step(st) : SQLITE_ERROR) {
    case SQLITE_ROW: yes = want && !strcmp((const char *)sqlite3_column_text(st, 0), want); break;
    case SQLITE_DONE: yes = !want; break;
    default: yes = false;
    }
    sqlite3_finalize(st);
    return yes;
}

const char *rows_wrong(sqlite3 *db)
{
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++)
        if (!holds(db, RULES[i].sql, RULES[i].want)) return RULES[i].what;
    return NULL;
}

void rows_recount(const char *path)
{
    const char *wrong;
    struct errmsg e;
    sqlite3 *db;

    ck_assert_msg(!dbfile_open_read(&db, path, &e), "%s", e.text);
    wrong = rows_wrong(db);
    sqlite3_close(db);
    ck_assert_msg(!wrong, "%s: %s", path, wrong);
}
