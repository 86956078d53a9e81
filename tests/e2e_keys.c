/* e2e_keys.c - a broker on tcp://, and workers and clients that come with keys, as real processes.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/process.h"
#include "tests/test.h"

#define MODEL "examples/tidy"

static char db[512], keys[520], address[256];

static bool contains(const char *file, const char *text)
{
    struct buf b = {0};
    bool found;

    if (access(file, F_OK)) return false; /* its process has not begun */
    b = process_read(file);
    found = memmem(b.data, b.len, text, strlen(text)) != NULL;

    buf_fini(&b);
    return found;
}

static const char *key_file(const char *name)
{
    static char path[4][600];
    static int next;
    char *p = path[next++ % 4];

    snprintf(p, sizeof path[0], "%s/%s.key", keys, name);
    return p;
}

static void make_key(const char *name, const char *role)
{
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "make", name, "--role", role, "--db", db), 0);
    ck_assert(contains(p.out, key_file(name)));
}

/* The address behind "ready at". */
static void start_broker(struct process *p)
{
    static const char READY[] = "ready at ";
    int64_t until = clock_mono_ms() + 20000;

    PROCESS_START(p, NULL, "broker", "--db", db, "--bind", "tcp://127.0.0.1:*");
    while (!contains(p->err, READY)) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(5);
    }
    for (address[0] = '\0'; !address[0];) {
        struct buf b = process_read(p->err);
        const char *at = memmem(b.data, b.len, READY, strlen(READY));
        const char *end = at ? memchr(at, '\n', b.len - (size_t)(at - b.data)) : NULL;

        if (end)
            snprintf(address, sizeof address, "%.*s", (int)(end - at - (int)strlen(READY)),
                     at + strlen(READY));
        buf_fini(&b);
    }
}

static void prepare(void)
{
    snprintf(db, sizeof db, "%s", test_path("k.db"));
    snprintf(keys, sizeof keys, "%s.keys", db);
}

static int submit(struct process *p, const char *batch, const char *key)
{
    const char *in = test_file("in.txt", "one\ntwo\n", 8);

    return PROCESS_RUN(p, 60, "submit", in, "--format", "text", "--batch", batch, "--broker",
                       address, "--key", key);
}

START_TEST(rows_and_answers_go_over_tcp_with_keys)
{
    int64_t until = clock_mono_ms() + 60000;
    struct process broker, worker, p;

    prepare();
    make_key("alice", "client");
    start_broker(&broker);
    make_key("gpu1", "worker"); /* while it runs */
    PROCESS_START(&worker, NULL, "worker", "--broker", address, "--key", key_file("gpu1"), "-m",
                  MODEL, "--threads", "1", "--name", "gpu1");
    ck_assert_int_eq(submit(&p, "b", key_file("alice")), 0);
    while (process_sql(db, "SELECT count(*) FROM results WHERE text IS NOT NULL") != 2) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(10);
    }
    /* The owner needs none, beside the file. */
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "doctor", "--db", db), 0);
    ck_assert(contains(p.out, "1 workers"));
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "revoke", "gpu1", "--db", db), 0);
    while (process_sql(db, "SELECT count(*) FROM event WHERE text LIKE 'key revoked name=gpu1%'") !=
           1) {
        ck_assert_int_lt(clock_mono_ms(), until);
        process_sleep_ms(10);
    }
    process_kill(&worker, SIGTERM);
    process_kill(&broker, SIGTERM);
}
END_TEST

START_TEST(the_wrong_key_ends_a_command_with_its_reason)
{
    struct process broker, p;

    prepare();
    make_key("alice", "client");
    make_key("gpu1", "worker");
    start_broker(&broker);
    ck_assert_int_eq(submit(&p, "b", key_file("gpu1")), 2);
    ck_assert(contains(p.err, "role worker may not say batch"));
    ck_assert_int_eq(submit(&p, "b", test_path("none")), 3);
    ck_assert(contains(p.err, "No such file"));
    ck_assert_int_eq(submit(&p, "b", key_file("broker")), 2);
    ck_assert(contains(p.err, "not a member's key"));
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM batch"), 0);
    /* Before the model is looked at. */
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "worker", "--broker", address, "--key", test_path("none"),
                                 "-m", test_path("no_model")),
                     3);
    ck_assert(contains(p.err, "none: No such file"));
    process_kill(&broker, SIGTERM);
}
END_TEST

START_TEST(keys_are_made_listed_and_revoked)
{
    struct process p;

    prepare();
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "list", "--db", db), 3);
    ck_assert(contains(p.err, "nightmill keys make"));
    make_key("gpu1", "worker");
    make_key("alice", "client");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "make", "gpu1", "--role", "admin", "--keys", keys),
                     3);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "make", "x", "--role", "king", "--keys", keys), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "make", "x", "--keys", keys), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "burn", "x", "--keys", keys), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "list", "--keys", keys), 0);
    ck_assert(contains(p.out, "gpu1") && contains(p.out, "alice") && contains(p.out, "broker"));
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "revoke", "gpu1", "--keys", keys), 0);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "list", "--keys", keys), 0);
    ck_assert(!contains(p.out, "gpu1"));
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "keys", "revoke", "gpu1", "--keys", keys), 3);
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("keys");
    TCase *t = tcase_create("keys");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, rows_and_answers_go_over_tcp_with_keys);
    tcase_add_test(t, the_wrong_key_ends_a_command_with_its_reason);
    tcase_add_test(t, keys_are_made_listed_and_revoked);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
