/* test_zap.c - who gets through the door: the handler alone, then the real broker with keys. */
#include <dirent.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "broker/dbfile.h"
#include "broker/keyring.h"
#include "broker/listener.h"
#include "schema/key.h"
#include "tests/process.h"
#include "tests/scene.h"
#include "tests/test.h"

#define LIMIT_MS 3000

static struct errmsg e;

#define OK(call) ck_assert_msg(!(call), "%s", e.text)

/* A new member's key file. */
static const char *key_of(const char *keys, const char *name, enum role role)
{
    static char made[8][PATH_MAX];
    static int next;
    char *path = made[next++ % 8];

    OK(keyring_add(keys, name, role, path, &e));
    return path;
}

/* A key that the broker of `keys` never saw, made for it. */
static const char *key_of_stranger(const char *keys)
{
    const char *path = test_path("stranger.key");
    struct key member, stranger;

    OK(key_read(&member, key_of(keys, "known", ROLE_ADMIN), &e));
    OK(key_make(&stranger, "known", ROLE_ADMIN, &e));
    memcpy(stranger.broker_key, member.broker_key, sizeof member.broker_key);
    OK(key_write(&stranger, path, &e));
    return path;
}

/* --- the handler */

struct door {
    struct listener l;
    int64_t failed; /* handshakes */
    struct errmsg why;
};

static void open_door(struct door *d)
{
    memset(d, 0, sizeof *d);
    OK(listener_open(&d->l, test_path("b.db"), "tcp://127.0.0.1:*", test_path("keys"), &e));
}

/* Answers handshakes until a message is there (true), or one more failed (false). */
static bool comes_through(struct door *d)
{
    zmq_pollitem_t items[3] = {{d->l.socket, 0, ZMQ_POLLIN, 0},
                               {zap_socket(d->l.zap), 0, ZMQ_POLLIN, 0},
                               {zap_monitor(d->l.zap), 0, ZMQ_POLLIN, 0}};
    int64_t before = d->failed;

    while (d->failed == before) {
        ck_assert_int_gt(zmq_poll(items, 3, LIMIT_MS), 0);
        if (items[0].revents) return true;
        d->failed += zap_answer(d->l.zap, clock_wall_ms(), &d->why);
    }
    return false;
}

START_TEST(a_strangers_message_never_reaches_the_socket)
{
    const char *keys = test_path("keys");
    struct peer stranger;
    struct door d;

    key_of(keys, "one", ROLE_CLIENT);
    open_door(&d);
    peer_open_key(&stranger, d.l.address, "x", key_of_stranger(keys));
    zmq_send(stranger.socket, "rubbish", 7, ZMQ_DONTWAIT);
    ck_assert(!comes_through(&d)); /* Z1, Z3 */
    ck_assert_ptr_nonnull(strstr(d.why.text, "not taken, from 127.0.0.1"));
    ck_assert_int_eq(d.failed, 1);
    ck_assert(!comes_through(&d)); /* it knocks again */
    peer_close(&stranger);
    listener_close(&d.l);
}
END_TEST

START_TEST(a_key_that_was_revoked_a_moment_ago_does_not_come_through)
{
    const char *key = key_of(test_path("keys"), "one", ROLE_CLIENT), *copy = test_path("copy.key");
    struct peer p;
    struct door d;

    open_door(&d);
    ck_assert_int_eq(rename(key, copy), 0);
    OK(keyring_revoke(test_path("keys"), "one", &e));
    peer_open_key(&p, d.l.address, "x", copy);
    ck_assert(!comes_through(&d)); /* Z1 */
    peer_close(&p);
    listener_close(&d.l);
}
END_TEST

START_TEST(a_key_that_is_taken_comes_with_each_message)
{
    struct peer p;
    struct wire_msg m;
    struct wire_out o;
    struct door d;
    struct key k;
    const char *key = key_of(test_path("keys"), "one", ROLE_CLIENT);

    OK(key_read(&k, key, &e));
    open_door(&d);
    peer_open_key(&p, d.l.address, "x", key);
    for (int i = 0; i < 2; i++) {
        wire_begin(&o, 0);
        peer_send(&p, WIRE_PING, &o);
        ck_assert(comes_through(&d));
        OK(wire_recv(d.l.socket, true, &m, &e));
        ck_assert_str_eq(m.user, k.public_key);
        ck_assert_int_eq(listener_role(&d.l, m.user), ROLE_CLIENT);
        wire_msg_fini(&m);
    }
    ck_assert_int_eq(d.failed, 0);
    peer_close(&p);
    listener_close(&d.l);
}
END_TEST

/* Nothing but a failed handshake comes of a peer with this key file (NULL: none). */
static void expect_shut_out(struct door *d, const char *key)
{
    struct wire_out o;
    struct peer p;

    peer_open_key(&p, d->l.address, "x", key);
    wire_begin(&o, 0);
    peer_send(&p, WIRE_PING, &o);
    ck_assert(!comes_through(d));
    ck_assert_msg(strstr(d->why.text, "without a key") != NULL, "%s", d->why.text);
    peer_close(&p);
}

START_TEST(without_a_key_or_with_another_brokers_nobody_comes_through)
{
    struct door d;

    key_of(test_path("keys"), "one", ROLE_CLIENT);
    open_door(&d);
    expect_shut_out(&d, NULL); /* Z3 */
    expect_shut_out(&d, key_of(test_path("other"), "one", ROLE_CLIENT));
    listener_close(&d.l);
}
END_TEST

START_TEST(without_keys_only_the_loopback_is_bound)
{
    static const char *const REFUSED[] = {
        "tcp://*:0",           "tcp://0.0.0.0:0",       "tcp://[::]:0",      "tcp://eth0:0",
        "tcp://10.1.2.3:0",    "tcp://127.evil.test:0", "tcp://:0",          "tcp://0x7f000001:0",
        "tcp://localhost.x:0", "tcp://127.0.0.1.x:0",   "tcp://[::ffff:1]:0"};
    static const char *const UNKNOWN[] = {"udp://127.0.0.1:1", "inproc://x", "127.0.0.1:1", ""};
    struct listener l = {0};

    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        ck_assert_int_eq(listener_open(&l, test_path("b.db"), REFUSED[i], NULL, &e), ERR_ARG);
        ck_assert_msg(strstr(e.text, "without keys") != NULL, "%s", e.text); /* H1 */
        listener_close(&l);
    }
    for (size_t i = 0; i < sizeof UNKNOWN / sizeof UNKNOWN[0]; i++) {
        ck_assert_int_eq(listener_open(&l, test_path("b.db"), UNKNOWN[i], NULL, &e), ERR_ARG);
        listener_close(&l);
    }
    OK(listener_open(&l, test_path("b.db"), "tcp://127.0.0.1:*", NULL, &e));
    ck_assert_ptr_null(l.zap);
    listener_close(&l);
    key_of(test_path("b.db.keys"), "one", ROLE_CLIENT);
    OK(listener_open(&l, test_path("b.db"), "tcp://0.0.0.0:*", NULL, &e));
    ck_assert_ptr_nonnull(l.zap); /* the keys beside the file */
    listener_close(&l);
    ck_assert_int_eq(listener_open(&l, test_path("b.db"), "tcp://0.0.0.0:*", test_path("no"), &e),
                     ERR_EMPTY);
    listener_close(&l);
}
END_TEST

/* --- the broker */

static struct scene s;

/* A broker on tcp:// with keys; s.client is the owner's, beside the file. */
static void open_scene(void)
{
    char local[256];

    key_of(test_path("b.db.keys"), "first", ROLE_CLIENT);
    scene_prepare(&s, 60000, 60000);
    s.o.bind = "tcp://127.0.0.1:*";
    scene_start(&s);
    OK(dbfile_address(s.db, local, sizeof local, &e));
    peer_open(&s.client, local, "owner");
}

static void close_scene(void)
{
    peer_close(&s.client);
    scene_stop(&s);
}

static void join_with(struct peer *p, const char *name, enum role role)
{
    peer_open_key(p, s.address, name, key_of(test_path("b.db.keys"), name, role));
}

static void say(struct peer *p, enum wire_type type)
{
    struct wire_out o;

    wire_begin(&o, 0);
    peer_send(p, type, &o);
}

/* The broker refuses a message of this type from p, with this word in the reason. */
static void expect_refused(struct peer *p, enum wire_type type, const char *why)
{
    struct wire_text text;

    say(p, type);
    text = wire_str(peer_hear(p, WIRE_REFUSED), "message");
    ck_assert_msg(memmem(text.at, text.len, why, strlen(why)) != NULL, "%.*s", (int)text.len,
                  text.at);
}

START_TEST(a_workers_key_cannot_submit_or_cancel)
{
    struct peer p;

    open_scene();
    join_with(&p, "w", ROLE_WORKER);
    peer_join(&p, NULL, 0);
    expect_refused(&p, WIRE_BATCH, "role worker may not say batch"); /* B4 */
    expect_refused(&p, WIRE_ROWS, "may not");
    expect_refused(&p, WIRE_CONTROL, "may not");
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM batch"), 0);
    ck_assert_int_eq(peer_ping(&p, "refused"), 3);
    peer_close(&p);
    close_scene();
}
END_TEST

START_TEST(a_clients_key_submits_and_cannot_say_hello_or_cancel)
{
    struct peer p;

    open_scene();
    join_with(&p, "c", ROLE_CLIENT);
    peer_rows(&p, peer_batch(&p, "batch", "", 3), "row", 2, 8);
    expect_refused(&p, WIRE_HELLO, "role client may not say hello"); /* B4 */
    expect_refused(&p, WIRE_WANT, "may not");
    expect_refused(&p, WIRE_CONTROL, "may not");
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM instance"), 0);
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM job"), 2);
    peer_close(&p);
    close_scene();
}
END_TEST

START_TEST(an_admins_key_and_the_file_owner_may_do_everything)
{
    struct peer p;

    open_scene();
    join_with(&p, "boss", ROLE_ADMIN);
    peer_batch(&p, "batch", "", 3);
    peer_join(&p, NULL, 0);
    expect_refused(&p, WIRE_CONTROL, ""); /* by what it lacks, not by who says it */
    ck_assert_uint_eq(wire_str(&p.m.map, "code").len == strlen("not_allowed"), 0);
    peer_batch(&s.client, "other", "", 3);
    peer_join(&s.client, NULL, 0);
    ck_assert_int_eq(peer_ping(&s.client, "refused"), 0);
    peer_close(&p);
    close_scene();
}
END_TEST

START_TEST(who_knocks_before_its_key_is_taken_comes_in_when_it_is)
{
    int64_t until = clock_mono_ms() + LIMIT_MS;
    const char *pub, *away = test_path("away.pub"), *key;
    struct peer p;

    open_scene();
    key = key_of(test_path("b.db.keys"), "late", ROLE_CLIENT);
    pub = test_path("b.db.keys/late.pub");
    ck_assert_int_eq(rename(pub, away), 0);
    peer_open_key(&p, s.address, "late", key);
    say(&p, WIRE_PING);
    while (!peer_ping(&s.client, "refused"))
        ck_assert_int_lt(clock_mono_ms(), until);
    ck_assert_int_eq(rename(away, pub), 0);
    peer_hear(&p, WIRE_PONG);
    peer_close(&p);
    close_scene();
}
END_TEST

START_TEST(a_revoked_keys_live_link_stops_working)
{
    int64_t until;
    struct peer p;

    open_scene();
    join_with(&p, "c", ROLE_CLIENT);
    ck_assert_int_eq(peer_ping(&p, "refused"), 0);
    OK(keyring_revoke(test_path("b.db.keys"), "c", &e));
    until = clock_mono_ms() + LIMIT_MS;
    do {
        ck_assert_int_lt(clock_mono_ms(), until);
        say(&p, WIRE_PING);
    } while (!peer_hears(&p, WIRE_REFUSED, 20));
    expect_refused(&p, WIRE_BATCH, "revoked"); /* B4 */
    ck_assert_int_eq(process_sql(s.db, "SELECT count(*) FROM batch"), 0);
    ck_assert_int_ge(peer_ping(&s.client, "refused"), 2); /* others are not disturbed */
    peer_close(&p);
    close_scene();
}
END_TEST

START_TEST(a_revoked_workers_jobs_are_ready_again_and_its_results_refused)
{
    struct peer a, b;

    open_scene();
    peer_rows(&s.client, peer_batch(&s.client, "batch", "", 3), "row", 1, 8);
    join_with(&a, "a", ROLE_WORKER);
    join_with(&b, "b", ROLE_WORKER);
    peer_join(&a, NULL, 0);
    ck_assert_int_eq(peer_lease(&a, 1), 1);
    peer_join(&b, NULL, 0);
    OK(keyring_revoke(test_path("b.db.keys"), "a", &e));
    ck_assert_int_eq(peer_lease(&b, 1), 1); /* B4: long before the lease would run out */
    peer_answer(&a, a.job[0], a.generation[0], "false");
    peer_hear(&a, WIRE_REFUSED);
    peer_answer(&b, b.job[0], b.generation[0], "true");
    peer_acked(&b, b.job[0]);
    ck_assert_int_eq(process_sql(s.db, "SELECT text='true' FROM result"), 1);
    peer_close(&a);
    peer_close(&b);
    close_scene();
}
END_TEST

/* Comes again, under this routing id. */
static void call_itself(struct peer *p, const char *id)
{
    ck_assert_int_eq(zmq_disconnect(p->socket, s.address), 0);
    ck_assert_int_eq(zmq_setsockopt(p->socket, ZMQ_ROUTING_ID, id, strlen(id)), 0);
    ck_assert_int_eq(zmq_connect(p->socket, s.address), 0);
}

START_TEST(a_member_that_claims_anothers_routing_id_does_not_get_its_leases)
{
    struct peer a, thief;

    open_scene();
    join_with(&a, "a", ROLE_WORKER);
    call_itself(&a, "same");
    peer_join(&a, NULL, 0);
    join_with(&thief, "thief", ROLE_CLIENT);
    call_itself(&thief, "same");
    say(&thief, WIRE_PING);
    ck_assert(!peer_hears(&thief, WIRE_PONG, 100)); /* H4 */
    peer_rows(&s.client, peer_batch(&s.client, "batch", "", 3), "row", 1, 8);
    ck_assert_int_eq(peer_lease(&a, 1), 1);
    peer_close(&a);
    peer_close(&thief);
    close_scene();
}
END_TEST

START_TEST(a_peer_without_a_key_is_counted_and_disturbs_nobody)
{
    int64_t until = clock_mono_ms() + LIMIT_MS;
    struct peer p;

    open_scene();
    peer_open(&p, s.address, "x");
    say(&p, WIRE_PING);
    while (!peer_ping(&s.client, "refused"))
        ck_assert_int_lt(clock_mono_ms(), until);
    ck_assert(!peer_hears(&p, WIRE_PONG, 1));
    while (process_sql(s.db, "SELECT count(*) FROM event WHERE text LIKE '%without a key%'") != 1)
        ck_assert_int_lt(clock_mono_ms(), until);
    peer_close(&p);
    close_scene();
}
END_TEST

/* --- files */

static void expect_all_private(const char *dir)
{
    struct dirent *f;
    DIR *d = opendir(dir);
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while ((f = readdir(d))) {
        char path[1024];
        struct stat st;

        if (!strcmp(f->d_name, ".") || !strcmp(f->d_name, "..")) continue;
        snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert_msg(!(st.st_mode & 077), "%s has mode %o", path, st.st_mode & 0777u);
        if (S_ISDIR(st.st_mode)) expect_all_private(path);
        n++;
    }
    ck_assert_int_ge(n, 3);
    closedir(d);
}

START_TEST(no_file_is_open_to_others_whatever_the_umask)
{
    umask(0);
    open_scene();
    peer_rows(&s.client, peer_batch(&s.client, "batch", "", 3), "row", 9, 8);
    ck_assert_int_eq(access(test_path("b.db-wal"), F_OK), 0);
    ck_assert_int_eq(access(test_path("b.db-shm"), F_OK), 0);
    ck_assert_int_eq(access(test_path("b.db.sock"), F_OK), 0);
    expect_all_private(test_dir());
    ck_assert_int_eq(umask(0), 0); /* it is as the caller left it */
    close_scene();
    expect_all_private(test_path(""));
}
END_TEST

START_TEST(the_sockets_mode_is_right_from_the_first_moment)
{
    _Alignas(struct inotify_event) char events[8192];
    int watch = inotify_init1(IN_NONBLOCK);
    struct listener l = {0};
    struct stat st;

    umask(0);
    ck_assert_int_ge(inotify_add_watch(watch, test_dir(), IN_ATTRIB), 0);
    OK(listener_open(&l, test_path("b.db"), NULL, NULL, &e));
    ck_assert_int_eq(stat(test_path("b.db.sock"), &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_lt(read(watch, events, sizeof events), 0); /* H2: nobody changed it afterwards */
    listener_close(&l);
    close(watch);
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("zap");
    TCase *t = tcase_create("zap");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_strangers_message_never_reaches_the_socket);
    tcase_add_test(t, a_key_that_was_revoked_a_moment_ago_does_not_come_through);
    tcase_add_test(t, a_key_that_is_taken_comes_with_each_message);
    tcase_add_test(t, without_a_key_or_with_another_brokers_nobody_comes_through);
    tcase_add_test(t, without_keys_only_the_loopback_is_bound);
    tcase_add_test(t, a_workers_key_cannot_submit_or_cancel);
    tcase_add_test(t, a_clients_key_submits_and_cannot_say_hello_or_cancel);
    tcase_add_test(t, an_admins_key_and_the_file_owner_may_do_everything);
    tcase_add_test(t, who_knocks_before_its_key_is_taken_comes_in_when_it_is);
    tcase_add_test(t, a_revoked_keys_live_link_stops_working);
    tcase_add_test(t, a_revoked_workers_jobs_are_ready_again_and_its_results_refused);
    tcase_add_test(t, a_member_that_claims_anothers_routing_id_does_not_get_its_leases);
    tcase_add_test(t, a_peer_without_a_key_is_counted_and_disturbs_nobody);
    tcase_add_test(t, no_file_is_open_to_others_whatever_the_umask);
    tcase_add_test(t, the_sockets_mode_is_right_from_the_first_moment);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
