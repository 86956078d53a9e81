/* test_nomem.c - memory runs out at every allocation in turn: SQLite's, and the broker's own.
 *
 * Linked with --wrap for malloc, calloc, realloc and strdup, so that the program's calls come here
 * first; libraries keep theirs.
 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/load.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/scene.h"
#include "tests/test.h"

/* --- the allocators --------------------------------------------------------------------------- */

static atomic_long left, sqlite_left; /* allocations until the one that fails; 0: none does */
static _Thread_local bool is_test;    /* this thread is not the broker's */

static bool runs_out(atomic_long *of)
{
    return atomic_load(of) > 0 && atomic_fetch_sub(of, 1) == 1;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return !is_test && runs_out(&left) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return !is_test && runs_out(&left) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return !is_test && runs_out(&left) ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return !is_test && runs_out(&left) ? NULL : __real_strdup(s);
}

static sqlite3_mem_methods memory;

static void *sqlite_malloc(int n)
{
    return runs_out(&sqlite_left) ? NULL : memory.xMalloc(n);
}

static void *sqlite_realloc(void *p, int n)
{
    return runs_out(&sqlite_left) ? NULL : memory.xRealloc(p, n);
}

/* Before SQLite's first use in this process. */
static void take_sqlites_memory(void)
{
    sqlite3_mem_methods own;

    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory), SQLITE_OK);
    own = memory;
    own.xMalloc = sqlite_malloc;
    own.xRealloc = sqlite_realloc;
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &own), SQLITE_OK);
}

/* --- the queue -------------------------------------------------------------------------------- */

START_TEST(an_allocation_of_sqlite_that_fails_loses_nothing_and_the_queue_goes_on)
{
    int stride = test_rounds(997, 31);
    long n;

    take_sqlites_memory();
    rows_file(test_path("first.db"), "batch", 1);
    for (n = 1;; n += stride) {
        struct load load = {.random = 1 << 20};
        const char *wrong;

        snprintf(load.path, sizeof load.path, "%s", test_path("q.db"));
        atomic_store(&sqlite_left, n);
        load_live(&load, (int)n);
        if (atomic_exchange(&sqlite_left, 0) > 0) break;
        wrong = load_check(&load);
        ck_assert_msg(!wrong, "allocation %ld: %s", n, wrong);
        unlink(load.path);
    }
    printf("nomem: %ld allocations of SQLite, every %d failed in turn\n", n, stride);
    ck_assert_int_gt(n, 30000);
}
END_TEST

/* --- the broker ------------------------------------------------------------------------------- */

/* Everything a client and a worker say, as far as they are answered. */
static void converse_until_refused(struct peer *client, struct peer *worker)
{
    struct wire_out o;

    wire_begin(&o, 2);
    wire_put_str(&o, "name", "first");
    wire_put_int(&o, "max_attempts", 3);
    peer_send(client, WIRE_BATCH, &o);
    if (!peer_hears(client, WIRE_BATCH_OK, 100)) return;
    wire_begin(&o, 2);
    wire_put_int(&o, "batch", wire_int(&client->m.map, "batch", 0));
    wire_put_array(&o, "rows", 1);
    wire_add_array(&o, 7);
    wire_add_str(&o, "id", 2);
    wire_add_int(&o, 1);
    wire_add_int(&o, 0);
    for (int i = 0; i < 4; i++)
        wire_add_str(&o, "", 0);
    peer_send(client, WIRE_ROWS, &o);
    if (!peer_hears(client, WIRE_ROWS_OK, 100)) return;
    peer_hello(worker, NULL, 0);
    if (!peer_hears(worker, WIRE_WELCOME, 100)) return;
    peer_welcomed(worker);
    peer_want(worker, 1, 4096);
    if (!peer_hears(worker, WIRE_LEASE, 100)) return;
    peer_answer(worker, 1, 0, "an answer");
    (void)peer_hears(worker, WIRE_RESULTS_ACK, 100);
}

/* The same, with everything answered as it should be. */
static void converse(const char *db, struct peer *client, struct peer *worker)
{
    int64_t batch = peer_batch(client, "second", "", 3);

    peer_rows(client, batch, "row", 3, 8);
    peer_join(worker, NULL, 0);
    while (process_sql(db, "SELECT n_done FROM batch WHERE name='second'") < 3) {
        ck_assert_int_gt(peer_lease(worker, 8), 0);
        for (int i = 0; i < worker->n_jobs; i++) {
            peer_answer(worker, worker->job[i], worker->generation[i], "answer");
            peer_acked(worker, worker->job[i]);
        }
    }
}

/* Whether it serves or was refused, in words. */
static bool starts(struct scene *s)
{
    scene_prepare(s, 60000, 60000);
    s->rc = 0;
    scene_start(s);
    if (!s->rc) return true;
    ck_assert_int_eq(s->rc, ERR_NOMEM);
    ck_assert(s->e.text[0]);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->stop[1]);
    sem_destroy(&s->ready);
    return false;
}

START_TEST(an_allocation_of_the_broker_that_fails_is_survived)
{
    int stride = test_rounds(5, 1), n;

    is_test = true;
    for (n = 1;; n += stride) {
        struct peer client, worker, other;
        struct scene s = {0};
        long unused;

        atomic_store(&left, n);
        if (!starts(&s)) ck_assert(starts(&s));
        peer_open(&client, s.address, "client");
        peer_open(&worker, s.address, "worker");
        peer_open(&other, s.address, "other");
        converse_until_refused(&client, &worker);
        unused = atomic_exchange(&left, 0);
        peer_bye(&worker);
        converse(s.db, &client, &other);
        scene_stop(&s);
        rows_recount(s.db);
        ck_assert_int_ge(process_sql(s.db, "SELECT count(*) FROM result"), 3);
        peer_close(&client);
        peer_close(&worker);
        peer_close(&other);
        unlink(s.db);
        if (unused > 0) break;
    }
    printf("nomem: %d allocations of the broker, every %d failed in turn\n", n, stride);
    ck_assert_int_gt(n, 20);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("nomem");
    TCase *t = tcase_create("nomem");

    tcase_set_timeout(t, 600);
    tcase_add_test(t, an_allocation_of_sqlite_that_fails_loses_nothing_and_the_queue_goes_on);
    tcase_add_test(t, an_allocation_of_the_broker_that_fails_is_survived);
    suite_add_tcase(all, t);
    return all;
}

TEST_MAIN(suite)
