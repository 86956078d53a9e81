/* test_nomem.c - memory runs out at every allocation in turn: SQLite's, and the broker's own.
 *
 * Linked with --wrap for malloc, calloc, realloc and strdup, so that the program's calls come here
 * first; libraries keep theirs.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/server.h"
#include "tests/load.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

/* --- the allocators --------------------------------------------------------------------------- */

static atomic_long left, sqlite_left; /* allocations until the one that fails; 0: none does */
static _Thread_local bool counts;     /* this thread's, that is the broker's */

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
    return counts && runs_out(&left) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return counts && runs_out(&left) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return counts && runs_out(&left) ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return counts && runs_out(&left) ? NULL : __real_strdup(s);
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

static struct scene {
    char db[512], address[256];
    struct broker_opts o;
    int stop[2];
    pthread_t thread;
    sem_t ready;
    int rc;
    struct errmsg e;
} s;

static void on_ready(void *arg, const char *address)
{
    (void)arg;
    snprintf(s.address, sizeof s.address, "%s", address);
    sem_post(&s.ready);
}

static void *run(void *arg)
{
    (void)arg;
    counts = true;
    s.rc = broker_run(&s.o, &s.e);
    if (s.rc) sem_post(&s.ready); /* it never got so far */
    return NULL;
}

static void start(void)
{
    s.rc = 0;
    snprintf(s.db, sizeof s.db, "%s", test_path("b.db"));
    s.o = (struct broker_opts){.db = s.db, .lease_ms = 60000, .lost_ms = 60000};
    s.o.heartbeat_ms = 100;
    s.o.on_ready = on_ready;
    ck_assert_int_eq(pipe(s.stop), 0);
    s.o.stop_fd = s.stop[0];
    sem_init(&s.ready, 0, 0);
    ck_assert_int_eq(pthread_create(&s.thread, NULL, run, NULL), 0);
    while (sem_wait(&s.ready))
        ;
}

static void stop(void)
{
    ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
    pthread_join(s.thread, NULL);
    close(s.stop[0]);
    close(s.stop[1]);
    sem_destroy(&s.ready);
}

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
static void converse(struct peer *client, struct peer *worker)
{
    int64_t batch = peer_batch(client, "second", "", 3);

    peer_rows(client, batch, "row", 3, 8);
    peer_join(worker, NULL, 0);
    while (process_sql(s.db, "SELECT n_done FROM batch WHERE name='second'") < 3) {
        ck_assert_int_gt(peer_lease(worker, 8), 0);
        for (int i = 0; i < worker->n_jobs; i++) {
            peer_answer(worker, worker->job[i], worker->generation[i], "answer");
            peer_acked(worker, worker->job[i]);
        }
    }
}

START_TEST(an_allocation_of_the_broker_that_fails_is_survived)
{
    int stride = test_rounds(5, 1), n;

    for (n = 1;; n += stride) {
        struct peer client, worker, other;
        long unused;

        atomic_store(&left, n);
        start();
        if (s.rc) { /* refused at its start, in words */
            ck_assert_int_eq(s.rc, ERR_NOMEM);
            ck_assert(s.e.text[0]);
            stop();
            start();
            ck_assert_int_eq(s.rc, ERR_OK);
        }
        peer_open(&client, s.address, "client");
        peer_open(&worker, s.address, "worker");
        peer_open(&other, s.address, "other");
        converse_until_refused(&client, &worker);
        unused = atomic_exchange(&left, 0);
        peer_bye(&worker);
        converse(&client, &other);
        stop();
        ck_assert_msg(!s.rc, "allocation %d: %s", n, s.e.text);
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
