/* test_keyring.c - key files, the directory they lie in, and what a role may say. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "broker/keyring.h"
#include "schema/wire.h"
#include "tests/process.h"
#include "tests/test.h"

static struct errmsg e;

#define OK(call) ck_assert_msg(!(call), "%s", e.text)

static int64_t mode_of(const char *path)
{
    struct stat st;

    ck_assert_msg(!stat(path, &st), "%s: %s", path, strerror(errno));
    return st.st_mode & 0777;
}

/* --- a role */

START_TEST(what_each_role_may_say_is_this)
{
    static const char *const SAID[ROLE_N] = {
        [ROLE_NONE] = "",
        [ROLE_WORKER] = "hello want lease_ack results heartbeat bye ping profile crashed node ",
        [ROLE_CLIENT] = "batch rows ping ",
        [ROLE_ADMIN] = "hello welcome want lease lease_ack results results_ack heartbeat rehello "
                       "bye batch batch_ok rows rows_ok control control_ok ping pong refused "
                       "profile cancel crashed crashed_ok node node_plan plan plan_ok ",
    };

    for (int r = 0; r < ROLE_N; r++) {
        char said[512] = "";

        for (unsigned type = WIRE_HELLO; type < WIRE_NTYPES; type++)
            if (role_may((enum role)r, type)) {
                strcat(said, wire_type_name(type));
                strcat(said, " ");
            }
        ck_assert_str_eq(said, SAID[r]); /* R1 */
    }
    ck_assert(!role_may(ROLE_WORKER, WIRE_NTYPES));
    ck_assert(!role_may(ROLE_CLIENT, 0xFFFF));
}
END_TEST

START_TEST(a_role_reads_back_from_its_name)
{
    for (int r = ROLE_WORKER; r < ROLE_N; r++)
        ck_assert_int_eq(role_from_name(role_name((enum role)r)), r);
    ck_assert_int_eq(role_from_name("none"), ROLE_NONE);
    ck_assert_int_eq(role_from_name("Admin"), ROLE_NONE);
}
END_TEST

/* --- a file */

START_TEST(a_key_file_reads_back_and_is_its_owners_alone)
{
    const char *path = test_path("a.key");
    struct key k, back;

    umask(0);
    OK(key_make(&k, "a", ROLE_CLIENT, &e));
    memcpy(k.broker_key, k.public_key, sizeof k.broker_key);
    OK(key_write(&k, path, &e));
    ck_assert_int_eq(mode_of(path), 0600); /* K1 */
    OK(key_read(&back, path, &e));
    ck_assert(!memcmp(&k, &back, sizeof k));
    ck_assert_int_eq(key_write(&k, path, &e), ERR_EXISTS);
}
END_TEST

START_TEST(a_secret_that_others_may_read_is_refused)
{
    static const struct {
        mode_t mode;
        bool good;
    } MODES[] = {{0600, true}, {0400, true}, {0440, true}, {0604, false}, {0620, false}};
    const char *path = test_path("a.key");
    struct key k;

    OK(key_make(&k, "a", ROLE_CLIENT, &e));
    OK(key_write(&k, path, &e));
    for (size_t i = 0; i < sizeof MODES / sizeof MODES[0]; i++) {
        ck_assert_int_eq(chmod(path, MODES[i].mode), 0);
        ck_assert_int_eq(key_read(&k, path, &e), MODES[i].good ? ERR_OK : ERR_ARG); /* K2 */
    }
    ck_assert_ptr_nonnull(strstr(e.text, "chmod 600"));
}
END_TEST

START_TEST(a_file_that_is_no_key_is_refused_by_name)
{
    static const char *const BAD[] = {
        "",
        "\n\n",
        "name a\n",
        "name a\nrole worker\npublic short\n",
        "name ../a\nrole worker\npublic VbxQt1P/m%&Rg19ea1js7nIa2>j<%oNC87BGHXH1\n",
        "name a\nrole king\npublic VbxQt1P/m%&Rg19ea1js7nIa2>j<%oNC87BGHXH1\n",
        "name a\nrole worker\npublic VbxQt1P/m%&Rg19ea1js7nIa2>j<%oNC87BGHXH1\nbroker no\n"};
    struct key k;

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        const char *path = test_file("bad.key", BAD[i], strlen(BAD[i]));

        ck_assert_int_eq(chmod(path, 0600), 0);
        ck_assert_msg(key_read(&k, path, &e) == ERR_FORMAT, "%zu", i);
        ck_assert_ptr_nonnull(strstr(e.text, path));
    }
    ck_assert_int_eq(key_read(&k, test_path("none"), &e), ERR_IO);
    ck_assert_int_eq(key_read(&k, "/dev/zero", &e), ERR_FORMAT);
}
END_TEST

START_TEST(a_public_key_that_is_not_the_secrets_is_refused)
{
    const char *path = test_path("a.key");
    struct key k, other;

    OK(key_make(&k, "a", ROLE_CLIENT, &e));
    OK(key_make(&other, "b", ROLE_CLIENT, &e));
    memcpy(k.public_key, other.public_key, sizeof k.public_key);
    OK(key_write(&k, path, &e));
    ck_assert_int_eq(key_read(&k, path, &e), ERR_FORMAT); /* K3 */
}
END_TEST

START_TEST(only_tcp_needs_a_key_and_it_must_be_a_members)
{
    void *zmq = zmq_ctx_new(), *socket = zmq_socket(zmq, ZMQ_DEALER);
    char made[PATH_MAX], own[PATH_MAX + 16];

    ck_assert_int_eq(key_use("/none", "ipc:///x", socket, &e), ERR_OK);
    ck_assert_int_eq(key_use(NULL, "tcp://127.0.0.1:1", socket, &e), ERR_OK);
    ck_assert_int_eq(key_use("/none", "tcp://127.0.0.1:1", socket, &e), ERR_IO);
    OK(keyring_add(test_path("keys"), "a", ROLE_WORKER, made, &e));
    snprintf(own, sizeof own, "%s/broker.key", test_path("keys"));
    ck_assert_int_eq(key_use(own, "tcp://127.0.0.1:1", socket, &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "not a member's"));
    OK(key_use(made, "tcp://127.0.0.1:1", socket, &e));
    zmq_close(socket);
    zmq_ctx_term(zmq);
}
END_TEST

/* --- the directory */

static const char *dir_with(const char *name, struct key *member)
{
    const char *dir = test_path("keys");
    char made[PATH_MAX];

    OK(keyring_add(dir, name, ROLE_WORKER, made, &e));
    OK(key_read(member, made, &e));
    return dir;
}

START_TEST(the_first_key_makes_the_directory_and_the_brokers_pair)
{
    char path[PATH_MAX];
    struct keyring *k;
    struct key a, b;
    const char *dir;

    umask(0);
    dir = dir_with("a", &a);
    ck_assert_int_eq(mode_of(dir), 0700);
    snprintf(path, sizeof path, "%s/broker.key", dir);
    ck_assert_int_eq(mode_of(path), 0600);
    dir_with("b", &b);
    OK(keyring_open(&k, dir, 0, &e));
    ck_assert_str_eq(a.broker_key, keyring_own(k)->public_key);
    ck_assert_str_eq(b.broker_key, keyring_own(k)->public_key);
    ck_assert_str_ne(a.public_key, b.public_key);
    ck_assert_str_eq(keyring_find(k, b.public_key)->name, "b");
    ck_assert_int_eq(keyring_find(k, a.public_key)->role, ROLE_WORKER);
    ck_assert_str_eq(keyring_find(k, a.public_key)->secret_key, "");
    ck_assert_ptr_null(keyring_find(k, a.broker_key));
    ck_assert_ptr_nonnull(keyring_at(k, 1));
    ck_assert_ptr_null(keyring_at(k, 2));
    keyring_close(&k);
}
END_TEST

START_TEST(a_name_is_given_once_and_is_no_path)
{
    static const char *const BAD[] = {"", ".", "../x", "a/b", "-r", "broker", "a b", "\xc3\xa4"};
    char made[PATH_MAX], longest[64] = "";
    struct key a;
    const char *dir = dir_with("a", &a);

    ck_assert_int_eq(keyring_add(dir, "a", ROLE_ADMIN, made, &e), ERR_EXISTS);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_msg(keyring_add(dir, BAD[i], ROLE_ADMIN, made, &e) == ERR_ARG, "%s", BAD[i]);
        ck_assert_int_ne(keyring_revoke(dir, BAD[i], &e), ERR_OK);
    }
    memset(longest, 'n', KEY_NAME);
    ck_assert_int_eq(keyring_add(dir, longest, ROLE_ADMIN, made, &e), ERR_ARG);
    longest[KEY_NAME - 1] = '\0';
    OK(keyring_add(dir, longest, ROLE_ADMIN, made, &e));
}
END_TEST

START_TEST(a_key_that_is_made_or_revoked_is_known_at_the_next_look)
{
    struct timespec times[2];
    struct keyring *k;
    struct key a, b;
    struct stat st;
    const char *dir = dir_with("a", &a);
    int64_t now_ms;

    ck_assert_int_eq(stat(dir, &st), 0);
    now_ms = st.st_mtim.tv_sec * 1000;
    OK(keyring_open(&k, dir, now_ms, &e));
    dir_with("b", &b);
    keyring_refresh(k, now_ms);
    ck_assert_ptr_nonnull(keyring_find(k, b.public_key)); /* Y1 */
    /* A change within the same tick of the directory's clock leaves its time as it was. */
    ck_assert_int_eq(stat(dir, &st), 0);
    OK(keyring_revoke(dir, "a", &e));
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    ck_assert_int_eq(utimensat(AT_FDCWD, dir, times, 0), 0);
    keyring_refresh(k, now_ms + 1000000);
    ck_assert_ptr_null(keyring_find(k, a.public_key));
    ck_assert_ptr_nonnull(keyring_find(k, b.public_key));
    ck_assert_int_eq(keyring_revoke(dir, "a", &e), ERR_EMPTY);
    keyring_close(&k);
}
END_TEST

START_TEST(a_revoked_keys_own_file_goes_too_and_its_name_is_free)
{
    char made[PATH_MAX];
    struct key a, again;
    const char *dir = dir_with("a", &a);

    OK(keyring_revoke(dir, "a", &e));
    OK(keyring_add(dir, "a", ROLE_CLIENT, made, &e));
    OK(key_read(&again, made, &e));
    ck_assert_str_ne(a.public_key, again.public_key);
    ck_assert_str_eq(a.broker_key, again.broker_key);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_takes_nobody_in_and_the_others_stay)
{
    const char *dir, *text = "rubbish";
    struct keyring *k;
    struct key a, b;
    char pub[PATH_MAX], other[PATH_MAX];

    dir = dir_with("a", &a);
    dir_with("b", &b);
    snprintf(pub, sizeof pub, "%s/b.pub", dir);
    snprintf(other, sizeof other, "%s/c.pub", dir);
    ck_assert_int_eq(rename(pub, other), 0); /* it names another */
    OK(key_make(&b, "d", ROLE_NONE, &e));
    memset(b.secret_key, 0, sizeof b.secret_key);
    snprintf(other, sizeof other, "%s/d.pub", dir);
    OK(key_write(&b, other, &e)); /* it has no role */
    test_file("keys/x.pub", text, strlen(text));
    OK(keyring_open(&k, dir, 0, &e));
    ck_assert_str_eq(keyring_at(k, 0)->name, "a"); /* Y2 */
    ck_assert_ptr_null(keyring_at(k, 1));
    keyring_close(&k);
}
END_TEST

START_TEST(a_directory_that_is_gone_takes_nobody_in)
{
    struct keyring *k;
    struct key a;
    const char *dir = dir_with("a", &a);

    OK(keyring_open(&k, dir, 0, &e));
    ck_assert_int_eq(rename(dir, test_path("elsewhere")), 0);
    keyring_refresh(k, 0);
    ck_assert_ptr_null(keyring_find(k, a.public_key)); /* Y3 */
    ck_assert_int_eq(rename(test_path("elsewhere"), dir), 0);
    keyring_refresh(k, 0);
    ck_assert_ptr_nonnull(keyring_find(k, a.public_key));
    keyring_close(&k);
}
END_TEST

START_TEST(a_directory_that_is_missing_or_open_to_others_is_refused)
{
    struct keyring *k;
    struct key a;
    const char *dir;

    ck_assert_int_eq(keyring_open(&k, test_path("none"), 0, &e), ERR_EMPTY);
    ck_assert_ptr_nonnull(strstr(e.text, "nightmill keys make"));
    dir = dir_with("a", &a);
    ck_assert_int_eq(chmod(dir, 0750), 0);
    ck_assert_int_eq(keyring_open(&k, dir, 0, &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "chmod 700"));
    ck_assert_ptr_null(k);
}
END_TEST

static Suite *suite(void)
{
    Suite *su = suite_create("keyring");
    TCase *t = tcase_create("keyring");

    tcase_add_test(t, what_each_role_may_say_is_this);
    tcase_add_test(t, a_role_reads_back_from_its_name);
    tcase_add_test(t, a_key_file_reads_back_and_is_its_owners_alone);
    tcase_add_test(t, a_secret_that_others_may_read_is_refused);
    tcase_add_test(t, a_file_that_is_no_key_is_refused_by_name);
    tcase_add_test(t, a_public_key_that_is_not_the_secrets_is_refused);
    tcase_add_test(t, only_tcp_needs_a_key_and_it_must_be_a_members);
    tcase_add_test(t, the_first_key_makes_the_directory_and_the_brokers_pair);
    tcase_add_test(t, a_name_is_given_once_and_is_no_path);
    tcase_add_test(t, a_key_that_is_made_or_revoked_is_known_at_the_next_look);
    tcase_add_test(t, a_revoked_keys_own_file_goes_too_and_its_name_is_free);
    tcase_add_test(t, a_file_that_cannot_be_read_takes_nobody_in_and_the_others_stay);
    tcase_add_test(t, a_directory_that_is_gone_takes_nobody_in);
    tcase_add_test(t, a_directory_that_is_missing_or_open_to_others_is_refused);
    suite_add_tcase(su, t);
    return su;
}

TEST_MAIN(suite)
