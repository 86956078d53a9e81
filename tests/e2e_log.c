/* e2e_log.c - the log under many readers: nobody is refused, and it does not grow without end (Q5).
 *
 * Sixteen processes read the views as fast as they can, half of them with no patience at all, while
 * a real broker takes rows, leases them and stores their answers.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/dbfile.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define READERS  16
#define ROWS     100
#define LOG_MOST (64 << 20) /* Q5 */

static const char *const QUERIES[] = {
    "SELECT * FROM progress",         "SELECT * FROM results WHERE job_id > 90",
    "SELECT * FROM instances",        "SELECT * FROM throughput",
    "SELECT * FROM errors",           "SELECT * FROM attempts",
    "SELECT * FROM slowest LIMIT 10",
};

struct tally {
    long reads, refused;
    char text[512]; /* of the first refusal */
};

static struct errmsg e;
static char db[512];

/* --- a reader --- */

static void note(struct tally *t, const char *text)
{
    if (!t->refused++) snprintf(t->text, sizeof t->text, "%s", text);
}

static void read_all(sqlite3 *c, struct tally *t)
{
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        if (sqlite3_exec(c, QUERIES[i], NULL, NULL, NULL) != SQLITE_OK) note(t, sqlite3_errmsg(c));
        t->reads++;
    }
}

/* With patience: as our commands open it.  Without: as a shell does that sets no timeout. */
static void hammer(struct tally *t, bool patience)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        sqlite3 *c = NULL;

        if (patience && dbfile_open_read(&c, db, &e)) note(t, e.text);
        if (!patience && sqlite3_open_v2(db, &c, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
            note(t, sqlite3_errmsg(c));
        for (int i = 0; c && i < 10; i++)
            read_all(c, t);
        sqlite3_close(c);
    }
}

/* --- the work --- */

/* The same rows with other bodies: the file stays small, and all is written anew. */
static void submit(struct peer *client, int64_t batch, int round)
{
    static char body[40000];
    struct wire_out o;

    memset(body, 'a' + round % 26, sizeof body);
    wire_begin(&o, 3);
    wire_put_int(&o, "batch", batch);
    wire_put_int(&o, "replace", 1);
    wire_put_array(&o, "rows", ROWS);
    for (int i = 0; i < ROWS; i++) {
        char id[16];

        snprintf(id, sizeof id, "row%d", i);
        wire_add_array(&o, 7);
        wire_add_str(&o, id, strlen(id));
        wire_add_int(&o, i + 1);
        wire_add_int(&o, 0);
        wire_add_bin(&o, body, sizeof body / 2 + (size_t)(round % 100));
        for (int k = 0; k < 3; k++)
            wire_add_str(&o, "", 0);
    }
    peer_send(client, WIRE_ROWS, &o);
    peer_hear(client, WIRE_ROWS_OK);
}

static void answer_some(struct peer *worker)
{
    int n = peer_lease(worker, 20);

    for (int i = 0; i < n; i++) {
        if (i % 4)
            peer_answer(worker, worker->job[i], worker->generation[i], "an answer");
        else
            peer_error(worker, worker->job[i], worker->generation[i], true);
        peer_acked(worker, worker->job[i]);
    }
}

static int64_t log_bytes(void)
{
    char name[520];
    struct stat st;

    snprintf(name, sizeof name, "%s-wal", db);
    return stat(name, &st) ? 0 : st.st_size;
}

static void start_broker(struct process *broker, char *address, size_t cap)
{
    int64_t until = clock_mono_ms() + 10000;

    snprintf(db, sizeof db, "%s", test_path("q.db"));
    PROCESS_START(broker, NULL, "broker", "--db", db);
    ck_assert_msg(!dbfile_address(db, address, cap, &e), "%s", e.text);
    while (access(address + strlen("ipc://"), F_OK)) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(5);
    }
}

START_TEST(readers_are_never_refused_and_the_log_stays_small)
{
    struct tally *t =
        mmap(NULL, sizeof *t * READERS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int64_t end, batch, began, longest = 0, most = 0;
    struct process broker, status;
    struct peer client, worker;
    char address[256];
    pid_t pid[READERS];
    int round = 0;

    ck_assert_ptr_ne(t, MAP_FAILED);
    start_broker(&broker, address, sizeof address);
    for (int i = 0; i < READERS; i++)
        if (!(pid[i] = fork())) hammer(&t[i], i % 2);
    end = clock_mono_ms() + 1000 * test_rounds(3, 600);
    peer_open(&client, address, "client");
    peer_open(&worker, address, "worker");
    peer_join(&worker, NULL, 0);
    batch = peer_batch(&client, "batch", "", 3);
    while (clock_mono_ms() < end) {
        began = clock_mono_ms();
        submit(&client, batch, round);
        if (clock_mono_ms() - began > longest) longest = clock_mono_ms() - began;
        answer_some(&worker);
        if (log_bytes() > most) most = log_bytes();
        if (round++ % 50 == 0)
            ck_assert_int_eq(PROCESS_RUN(&status, 30, "status", "--db", db, "--json"), 0);
    }
    for (int i = 0; i < READERS; i++) {
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
        ck_assert_int_gt(t[i].reads, 0);
        ck_assert_msg(!t[i].refused, "reader %d: %ld of %ld: %s", i, t[i].refused, t[i].reads,
                      t[i].text);
    }
    printf("log: %d rounds, at most %lld MB, an ack after at most %lld ms\n", round,
           (long long)(most >> 20), (long long)longest);
    ck_assert_int_gt(most, 1 << 20);
    ck_assert_int_lt(most, LOG_MOST);
    process_kill(&broker, SIGTERM);
    rows_recount(db);
    peer_close(&client);
    peer_close(&worker);
    munmap(t, sizeof *t * READERS);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");

    tcase_set_timeout(t, 900);
    tcase_add_test(t, readers_are_never_refused_and_the_log_stays_small);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
