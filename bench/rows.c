/* rows.c - the rows that every store, broker and rival is given. */
#include "bench/rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/report.h"
#include "broker/dbfile.h"

#define FILL_GROUP 1000000 /* rows of one transaction */

uint64_t rows_mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

struct wire_text rows_id(char room[ROWS_ID_BYTES], int64_t n, bool uuid)
{
    const uint64_t a = rows_mix((uint64_t)n + 1), b = rows_mix(a);
    int len;

    if (uuid)
        len =
            snprintf(room, ROWS_ID_BYTES, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
                     (unsigned)(a >> 16 & 0xFFFF), (unsigned)(a & 0xFFF),
                     (unsigned)(b >> 62 << 12 | 0x8000), (unsigned long long)(b & 0xFFFFFFFFFFFF));
    else
        len = snprintf(room, ROWS_ID_BYTES, "row-%08lld", (long long)n + 1);
    return (struct wire_text){room, (size_t)len};
}

/* A chat request of ROWS_BODY_BYTES bytes. */
struct wire_text rows_body(char room[ROWS_BODY_BYTES + 1], int64_t n)
{
    static const char TAIL[] = "\"}],\"max_tokens\":64,\"temperature\":0}";
    const int len =
        snprintf(room, ROWS_BODY_BYTES,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Row %lld: ", (long long)n);
    const size_t tail = sizeof TAIL - 1;

    for (size_t i = (size_t)len; i < ROWS_BODY_BYTES - tail; i++)
        room[i] = "the quick brown fox jumps over it "[i % 34];
    memcpy(room + ROWS_BODY_BYTES - tail, TAIL, sizeof TAIL);
    return (struct wire_text){room, ROWS_BODY_BYTES};
}

void rows_write(const char *path, int64_t n, bool uuids)
{
    FILE *f = fopen(path, "we");
    char id[ROWS_ID_BYTES], body[ROWS_BODY_BYTES + 1];

    if (!f) report_fail("%s: %s", path, strerror(errno));
    for (int64_t i = 0; i < n; i++)
        fprintf(f,
                "{\"custom_id\":\"%s\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
                "\"body\":%s}\n",
                rows_id(id, i, uuids).at, rows_body(body, i).at);
    if (fclose(f)) report_fail("%s: %s", path, strerror(errno));
}

/* --- into the file ---------------------------------------------------------------------------- */

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        report_fail("fill: %s", sqlite3_errmsg(db));
}

/* Takes the indexes of the wide tables away; what makes them again goes into `again`. */
static void drop_indexes(sqlite3 *db, char *again, size_t cap)
{
    char drop[4096] = "";
    sqlite3_stmt *st;

    again[0] = '\0';
    if (sqlite3_prepare_v2(db,
                           "SELECT name, sql FROM sqlite_master WHERE type='index' AND sql NOT NULL"
                           " AND tbl_name IN ('job','prompt','result')",
                           -1, &st, NULL) != SQLITE_OK)
        report_fail("fill: %s", sqlite3_errmsg(db));
    while (sqlite3_step(st) == SQLITE_ROW) {
        const size_t at = strlen(again), from = strlen(drop);

        snprintf(again + at, cap - at, "%s;", (const char *)sqlite3_column_text(st, 1));
        snprintf(drop + from, sizeof drop - from, "DROP INDEX %s;",
                 (const char *)sqlite3_column_text(st, 0));
    }
    sqlite3_finalize(st);
    run(db, drop);
}

static void fill_group(sqlite3 *db, int64_t from, int64_t to, bool done)
{
    char counter[128], body[ROWS_BODY_BYTES + 1];
    char *sql;

    snprintf(counter, sizeof counter,
             "WITH RECURSIVE c(n) AS (SELECT %lld UNION ALL SELECT n+1 FROM c WHERE n<%lld)",
             (long long)from + 1, (long long)to);
    sql = sqlite3_mprintf(
        "BEGIN;"
        "%s INSERT INTO job(job_id,batch_id,state,endpoint,line,id_hash,body_hash,created_ms)"
        " SELECT n,1,%d,0,n,random(),n,0 FROM c;"
        "%s INSERT INTO prompt(job_id,custom_id,body) SELECT n,printf('row-%%08d',n),%Q FROM c;",
        counter, done, counter, rows_body(body, from).at);
    run(db, sql);
    sqlite3_free(sql);
    if (done) {
        sql = sqlite3_mprintf(
            "%s INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,"
            "cached_tokens,output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,"
            "batch_invariant,text,choices) SELECT n,1,1,'stop',100,0,50,0,1,1,1700000000000+n,0,0,"
            "substr(%Q,60,200),'[]' FROM c;",
            counter, rows_body(body, from).at);
        run(db, sql);
        sqlite3_free(sql);
    }
    sql = sqlite3_mprintf("UPDATE batch SET n_%s=n_%s+%lld; COMMIT", done ? "done" : "ready",
                          done ? "done" : "ready", (long long)(to - from));
    run(db, sql);
    sqlite3_free(sql);
}

void rows_fill(const char *path, int64_t from, int64_t n, bool done)
{
    char indexes[4096];
    struct errmsg e;
    sqlite3 *db;
    int lock;

    if (dbfile_lock(&lock, path, &e) || dbfile_open_write(&db, path, &(struct dbfile_opts){0}, &e))
        report_fail("%s", e.text);
    run(db, "PRAGMA foreign_keys=OFF; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "PRAGMA cache_size=-262144");
    if (!from)
        run(db, "INSERT INTO batch(name,created_ms) VALUES('bench',0);"
                "INSERT INTO instance(uuid,name,host,device,model,model_hash,dtype,kv_dtype,tp,"
                "threads,kv_tokens,max_model_len,max_num_seqs,engine,state,joined_ms,seen_ms)"
                " VALUES('fill','fill','','none','none','','','',1,1,1,1,1,'none','gone',0,0)");
    drop_indexes(db, indexes, sizeof indexes);
    for (int64_t at = from; at < from + n; at += FILL_GROUP)
        fill_group(db, at, at + FILL_GROUP < from + n ? at + FILL_GROUP : from + n, done);
    run(db, indexes);
    run(db, "PRAGMA journal_mode=WAL");
    sqlite3_close(db);
    close(lock);
}
