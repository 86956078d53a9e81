/* e2e_full.c - a real broker on a disk of a few megabytes that runs full, and gets room again. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/dbfile.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define DISK_BYTES "6m"
#define FILLER     (2 << 20)
#define ROWS       20

static struct errmsg e;
static char db[512];

/* A disk that only this process and its children see; gone when they end. */
static bool mount_small_disk(void)
{
    const char *at = test_path("small");

    ck_assert_int_eq(mkdir(at, 0700), 0);
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", at, "tmpfs", 0, "size=" DISK_BYTES)) {
        printf("SKIPPED: a disk that runs full; no tmpfs can be mounted here: %s\n",
               strerror(errno));
        return false;
    }
    snprintf(db, sizeof db, "%s/q.db", at);
    return true;
}

static const char *put_filler(void)
{
    static char zeros[FILLER];

    return test_file("small/filler", zeros, sizeof zeros);
}

static void send_rows(struct peer *client, int64_t batch, int round)
{
    static char body[10000];
    struct wire_out o;

    memset(body, 'b', sizeof body);
    wire_begin(&o, 2);
    wire_put_int(&o, "batch", batch);
    wire_put_array(&o, "rows", ROWS);
    for (int i = 0; i < ROWS; i++) {
        char id[32];

        snprintf(id, sizeof id, "row%d-%d", round, i);
        wire_add_array(&o, 7);
        wire_add_str(&o, id, strlen(id));
        wire_add_int(&o, i + 1);
        wire_add_int(&o, 0);
        wire_add_bin(&o, body, sizeof body);
        for (int k = 0; k < 3; k++)
            wire_add_str(&o, "", 0);
    }
    peer_send(client, WIRE_ROWS, &o);
}

static void expect_text(const char *path, const char *want)
{
    struct buf b = process_read(path);

    ck_assert_msg(b.data && strstr(b.data, want), "%s is not in: %s", want, b.data);
    buf_fini(&b);
}

static void start_broker(struct process *broker, char *address, size_t cap)
{
    int64_t until = clock_mono_ms() + 10000;

    PROCESS_START(broker, NULL, "broker", "--db", db);
    ck_assert_msg(!dbfile_address(db, address, cap, &e), "%s", e.text);
    while (access(address + strlen("ipc://"), F_OK)) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(5);
    }
}

START_TEST(a_full_disk_is_said_and_survived_and_work_goes_on_when_there_is_room)
{
    struct process broker, status;
    struct peer client, other;
    char address[256], filler[512];
    int64_t batch;
    int acked = 0;

    if (!mount_small_disk()) return;
    snprintf(filler, sizeof filler, "%s", put_filler());
    start_broker(&broker, address, sizeof address);
    peer_open(&client, address, "client");
    peer_open(&other, address, "other");
    batch = peer_batch(&client, "batch", "", 3);
    do
        send_rows(&client, batch, acked);
    while (peer_hears(&client, WIRE_ROWS_OK, 3000) && ++acked < 100);
    ck_assert_int_gt(acked, 2);
    ck_assert_int_lt(acked, 100);
    expect_text(broker.err, "full");
    ck_assert_int_ge(peer_ping(&other, "workers"), 0); /* it answers */
    ck_assert_int_eq(PROCESS_RUN(&status, 30, "status", "--db", db), 0);
    expect_text(status.err, "the broker cannot write");
    expect_text(status.err, "full");
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job"),
                     acked * ROWS); /* no more, no less */

    ck_assert_int_eq(unlink(filler), 0);
    ck_assert(peer_hears(&client, WIRE_ROWS_OK, 20000));
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job"), (acked + 1) * ROWS);
    for (int64_t until = clock_mono_ms() + 10000;
         process_sql(db, "SELECT count(*) FROM event WHERE text LIKE '%full%'") < 1;) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(20);
    }
    process_kill(&broker, SIGTERM);
    rows_recount(db);
    peer_close(&client);
    peer_close(&other);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("full");
    TCase *t = tcase_create("full");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_full_disk_is_said_and_survived_and_work_goes_on_when_there_is_room);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
