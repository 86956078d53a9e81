/* load.c - a mixed load on a queue. */
#include "tests/load.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "broker/queue_db.h"
#include "broker/ready.h"
#include "tests/rows.h"
#include "tests/test.h"

#define BODY_MAX  30000
#define ROWS_MAX  400 /* then no more are added: the file stays small */
#define GROUP_MAX 6

uint64_t load_draw(struct load *l, uint64_t n)
{
    uint64_t key[1] = {l->random++};

    return hash64(key, sizeof key) % n;
}

/* --- the sum ---------------------------------------------------------------------------------- */

static const char *const ROWS_SQL[] = {
    "SELECT job_id, batch_id, state, generation, attempts, not_before_ms FROM job ORDER BY job_id",
    "SELECT job_id, custom_id, body FROM prompt ORDER BY job_id",
    "SELECT * FROM result ORDER BY job_id",
    "SELECT * FROM attempt ORDER BY job_id, n",
    "SELECT * FROM event ORDER BY event_id",
    "SELECT * FROM lease_hint ORDER BY job_id",
    "SELECT key, value FROM meta WHERE key NOT IN ('epoch','views') ORDER BY key",
};

static bool add_rows(sqlite3 *db, const char *sql, struct hash *h)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        if ((rc = sqlite3_step(st)) != SQLITE_ROW) break;
        for (int i = 0; i < sqlite3_column_count(st); i++) {
            const void *text = sqlite3_column_text(st, i);

            hash_part(h, text ? text : "", (size_t)sqlite3_column_bytes(st, i));
            hash_part(h, "|", 1);
        }
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE;
}

static uint64_t sum_of(sqlite3 *db)
{
    char hex[HASH_HEX];
    struct hash h;

    hash_init(&h);
    for (size_t i = 0; i < sizeof ROWS_SQL / sizeof ROWS_SQL[0]; i++)
        if (!add_rows(db, ROWS_SQL[i], &h)) return 0;
    hash_done(&h, hex);
    return hash64(hex, sizeof hex);
}

uint64_t load_sum(const char *path)
{
    struct errmsg e;
    uint64_t sum;
    sqlite3 *db;

    if (dbfile_open_read(&db, path, &e)) return 0;
    sum = sum_of(db);
    sqlite3_close(db);
    return sum;
}

/* --- a group ---------------------------------------------------------------------------------- */

static void take_note(struct load *l, uint64_t sum)
{
    l->acked = l->doubt = sum;
    l->history[l->n_acked++ % LOAD_HISTORY] = sum;
}

int load_open(struct load *l)
{
    struct dbfile_opts o = {0};
    int rc = queue_open(&l->queue, l->path, &o, ROWS_NOW, &l->err);
    uint64_t sum;

    if (rc) return rc;
    if (l->sync_off) sqlite3_exec(l->queue->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
    ck_assert_int_gt(queue_epoch(l->queue), l->epoch);
    l->epoch = queue_epoch(l->queue);
    if (!l->n_acked && (sum = sum_of(l->queue->db))) take_note(l, sum);
    return ERR_OK;
}

void load_close(struct load *l)
{
    queue_close(&l->queue);
}

static int put_rows(struct load *l, int64_t batch)
{
    static char body[BODY_MAX];
    int n = 1 + (int)load_draw(l, 12), rc = ERR_OK;

    memset(body, 'x', sizeof body);
    for (int i = 0; i < n && !rc; i++) {
        char id[32];
        struct row r = {.line = i + 1};
        enum put put;

        snprintf(id, sizeof id, "r%llu", (unsigned long long)load_draw(l, ROWS_MAX));
        r.custom_id = rows_text(id);
        r.body = (struct wire_text){body, 1 + load_draw(l, load_draw(l, 20) ? 2000 : BODY_MAX)};
        r.code = r.message = r.param = rows_text(load_draw(l, 10) ? "" : "bad");
        rc = queue_put_row(l->queue, batch, &r, !load_draw(l, 4), ROWS_NOW, &put, &l->err);
    }
    return rc;
}

/* A job that may be settled, or none. */
static int draw_job(struct load *l, struct job *j)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(l->queue->db, "SELECT max(job_id) FROM job", -1, &st, NULL);
    int64_t last = 0;

    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        last = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    if (rc != SQLITE_ROW) return ERR_DB; /* it may have rolled the group back */
    if (!last) return ERR_EMPTY;
    return queue_get_job(l->queue, 1 + (int64_t)load_draw(l, (uint64_t)last), j, &l->err);
}

static int settle(struct load *l, int64_t instance, bool good)
{
    static char text[4000];
    enum job_state to;
    int64_t not_before_ms;
    struct job j;
    int rc = draw_job(l, &j);

    if (rc) return rc;
    memset(text, 'y', sizeof text);
    if (good) {
        struct answer a = {.job_id = j.job_id, .generation = j.generation + j.batch_generation};

        a.instance_id = instance;
        a.prompt_tokens = 10;
        a.output_tokens = (int64_t)load_draw(l, 100);
        a.finish_reason = rows_text("stop");
        a.text = (struct wire_text){text, load_draw(l, sizeof text)};
        a.choices = rows_text("[]");
        return queue_finish(l->queue, &a, ROWS_NOW, &l->err);
    } else {
        struct failure f = {.job_id = j.job_id, .counts = true};

        f.generation = j.generation + j.batch_generation;
        f.instance_id = instance;
        f.final = !load_draw(l, 3);
        f.code = f.message = rows_text("broke");
        f.param = rows_text("");
        return queue_fail(l->queue, &f, ROWS_NOW, &to, &not_before_ms, &l->err);
    }
}

/* What a person does, to the batch or to one of its rows. */
static int control(struct load *l)
{
    static const enum verb VERBS[] = {VERB_PAUSE, VERB_RESUME, VERB_RETRY, VERB_CANCEL};
    struct control c = {.verb = VERBS[load_draw(l, 4)], .batch = "batch"};
    char id[32];
    int rc;

    snprintf(id, sizeof id, "r%llu", (unsigned long long)load_draw(l, ROWS_MAX));
    c.custom_id = rows_text(id);
    if (c.verb != VERB_CANCEL && load_draw(l, 2)) c.custom_id.len = 0;
    do
        rc = queue_control(l->queue, &c, ROWS_NOW, &l->err);
    while (!rc && c.more);
    return rc;
}

static int note(struct load *l, int64_t instance)
{
    struct metric_row m = {.instance_id = instance, .span_ms = 2000};
    const char *const uuids[] = {"u", "u"};
    const int64_t jobs[] = {1, (int64_t)load_draw(l, 100) + 2};
    int64_t now_ms = ROWS_NOW + (int64_t)load_draw(l, 1000);

    switch (load_draw(l, 3)) {
    case 0: return queue_put_metric(l->queue, &m, now_ms, &l->err);
    case 1: return queue_put_event(l->queue, "info", "test", "something", now_ms, &l->err);
    default: return queue_put_hint(l->queue, jobs, uuids, load_draw(l, 3), &l->err);
    }
}

static int one_op(struct load *l, int64_t batch, int64_t instance)
{
    int64_t n;

    switch (load_draw(l, 10)) {
    case 0:
    case 1:
    case 2: return put_rows(l, batch);
    case 3:
    case 4:
    case 5: return settle(l, instance, true);
    case 6:
    case 7: return settle(l, instance, false);
    case 8:
        if (load_draw(l, 3)) return control(l);
        return queue_due(l->queue, ROWS_NOW + 100000, &n, &l->err);
    default: return note(l, instance);
    }
}

static int fill_group(struct load *l)
{
    struct batch_spec b = {.name = "batch", .max_attempts = 3};
    struct instance_row i = {.uuid = "u", .name = "n", .tp = 1, .threads = 1};
    int n = 1 + (int)load_draw(l, GROUP_MAX);
    int64_t batch, instance;
    bool existed;
    int rc = queue_put_batch(l->queue, &b, ROWS_NOW, &batch, &existed, &l->err);

    if (!rc) rc = queue_put_instance(l->queue, &i, ROWS_NOW, &instance, &l->err);
    while (!rc && n--) {
        rc = one_op(l, batch, instance);
        if (rc == ERR_STALE || rc == ERR_EMPTY) rc = ERR_OK;
    }
    return rc;
}

static void checkpoint(struct load *l)
{
    if (!l->queue->db || l->keep_log || load_draw(l, 4)) return;
    sqlite3_busy_timeout(l->queue->db, 0); /* a reader is not waited for */
    if (load_draw(l, 3))
        l->queue->wal_pages = 1 << 20; /* as if the log had grown */
    else
        sqlite3_wal_checkpoint_v2(l->queue->db, NULL, (int)load_draw(l, 4), NULL, NULL);
    sqlite3_busy_timeout(l->queue->db, 1000);
    queue_checkpoint(l->queue);
}

int load_group(struct load *l)
{
    int rc = queue_begin(l->queue, &l->err);

    if (!rc) rc = fill_group(l);
    if (!rc && !(l->doubt = sum_of(l->queue->db))) rc = ERR_DB;
    if (!rc) rc = queue_commit(l->queue, &l->err);
    if (rc) {
        queue_rollback(l->queue);
        return rc;
    }
    take_note(l, l->doubt);
    checkpoint(l);
    return ERR_OK;
}

static bool is_known(void *arg, int64_t job_id)
{
    (void)arg, (void)job_id;
    return false;
}

static int64_t none_held(void *arg, int64_t batch_id)
{
    (void)arg, (void)batch_id;
    return 0;
}

static int64_t roomy(void *arg, const char *model)
{
    (void)arg, (void)model;
    return INT64_MAX;
}

/* It may fail, it may not crash. */
static void read_ahead(const char *path)
{
    const struct ready_world w = {NULL, is_known, none_held, roomy};
    const struct ready_job *told;
    struct ready *r = NULL;
    struct errmsg e;
    bool changed, more;

    if (ready_open(&r, path, &w, &e)) return;
    if (!ready_refresh(r, ROWS_NOW, &changed, &e) && !ready_read(r, true, &more, &e) &&
        (told = ready_tell(r)))
        (void)ready_push(r, ready_take(r, told->job_id));
    ready_close(&r);
}

void load_live(struct load *l, int n)
{
    if (load_open(l)) ck_assert_msg(!load_open(l), "%d: %s", n, l->err.text);
    for (int i = 0; i < 12; i++) {
        if (load_group(l)) {
            l->doubt = l->acked; /* rolled back */
            ck_assert_msg(!load_group(l), "%d, group %d: %s", n, i, l->err.text);
        }
        if (i % 6 == 5) read_ahead(l->path);
    }
    load_close(l);
}

/* --- the check -------------------------------------------------------------------------------- */

static const char *look(struct load *l, sqlite3 *db)
{
    static char what[200];
    const char *wrong = rows_wrong(db);
    uint64_t sum;

    if (wrong) return wrong;
    sum = sum_of(db);
    if (!l->n_acked || sum == l->acked || sum == l->doubt) return NULL;
    snprintf(what, sizeof what, "an acked group is gone");
    for (int i = 1; i < LOAD_HISTORY && i < l->n_acked; i++)
        if (l->history[(l->n_acked - 1 - i) % LOAD_HISTORY] == sum)
            snprintf(what, sizeof what, "the last %d acked groups are gone", i);
    return what;
}

const char *load_check(struct load *l)
{
    const char *wrong;
    struct errmsg e;
    sqlite3 *db;

    if (dbfile_open_read(&db, l->path, &e)) return "the file cannot be opened";
    wrong = look(l, db);
    l->acked = l->doubt = sum_of(db);
    sqlite3_close(db);
    return wrong;
}
