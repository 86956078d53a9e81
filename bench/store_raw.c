/* store_raw.c - a job's rows by bare inserts and updates. */
#include "bench/store.h"

#include "base/clock.h"
#include "bench/report.h"
#include "broker/dbfile.h"

#define CHECKPOINT_PAGES 1000 /* as in the queue */

enum statement { ST_BEGIN, ST_COMMIT, ST_JOB, ST_PROMPT, ST_MOVE, ST_RESULT, ST_COUNT };

static const char *const SQL[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_JOB] = "INSERT INTO job(batch_id,state,endpoint,line,id_hash,body_hash,created_ms)"
               " VALUES(1,0,0,?1,?2,?3,?4)",
    [ST_PROMPT] = "INSERT INTO prompt(job_id,custom_id,body) VALUES(?1,?2,?3)",
    [ST_MOVE] = "UPDATE job SET state=1 WHERE job_id=?1",
    [ST_RESULT] =
        "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,cached_tokens,"
        "output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,batch_invariant,text,choices)"
        " VALUES(?1,1,1,?2,100,0,50,0,0,0,?3,0,0,?4,?5)",
};

static sqlite3 *db;
static sqlite3_stmt *st[ST_COUNT];
static int64_t now_ms;
static int wal_pages;

static void must(int ok)
{
    if (!ok) report_fail("sqlite: %s", sqlite3_errmsg(db));
}

static void run(enum statement which)
{
    must(sqlite3_step(st[which]) == SQLITE_DONE);
    sqlite3_reset(st[which]);
}

static void bind_text(enum statement which, int i, struct wire_text t)
{
    sqlite3_bind_text64(st[which], i, t.at, t.len, SQLITE_STATIC, SQLITE_UTF8);
}

static int on_commit(void *arg, sqlite3 *of, const char *name, int pages)
{
    (void)arg, (void)of, (void)name;
    wal_pages = pages;
    return SQLITE_OK;
}

static void open_file(const char *path)
{
    struct errmsg e;

    now_ms = clock_wall_ms();
    wal_pages = 0;
    if (dbfile_open_write(&db, path, &(struct dbfile_opts){0}, &e)) report_fail("%s", e.text);
    must(sqlite3_exec(db,
                      "PRAGMA foreign_keys=OFF;"
                      "INSERT INTO batch(name,created_ms) VALUES('bench',0)",
                      NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_wal_hook(db, on_commit, NULL);
    for (int i = 0; i < ST_COUNT; i++)
        must(sqlite3_prepare_v3(db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &st[i], NULL) ==
             SQLITE_OK);
}

static void begin(void)
{
    run(ST_BEGIN);
}

static void commit(void)
{
    run(ST_COMMIT);
}

static void checkpoint(void)
{
    if (wal_pages < CHECKPOINT_PAGES) return;
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    wal_pages = 0;
}

static void put(const struct store_row *r)
{
    sqlite3_bind_int64(st[ST_JOB], 1, r->n + 1);
    sqlite3_bind_int64(st[ST_JOB], 2, r->id_hash);
    sqlite3_bind_int64(st[ST_JOB], 3, r->body_hash);
    sqlite3_bind_int64(st[ST_JOB], 4, now_ms);
    run(ST_JOB);
    sqlite3_bind_int64(st[ST_PROMPT], 1, sqlite3_last_insert_rowid(db));
    bind_text(ST_PROMPT, 2, r->id);
    bind_text(ST_PROMPT, 3, r->body);
    run(ST_PROMPT);
}

static void finish(const struct store_answer *a)
{
    sqlite3_bind_int64(st[ST_MOVE], 1, a->n + 1);
    run(ST_MOVE);
    sqlite3_bind_int64(st[ST_RESULT], 1, a->n + 1);
    bind_text(ST_RESULT, 2, a->finish_reason);
    sqlite3_bind_int64(st[ST_RESULT], 3, now_ms);
    bind_text(ST_RESULT, 4, a->text);
    bind_text(ST_RESULT, 5, a->choices);
    run(ST_RESULT);
}

static void close_file(void)
{
    for (int i = 0; i < ST_COUNT; i++)
        sqlite3_finalize(st[i]);
    sqlite3_close(db);
    db = NULL;
}

const struct store STORE_RAW = {"raw SQLite", open_file, begin,  commit,
                                checkpoint,   put,       finish, close_file};
