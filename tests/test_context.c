/* test_context.c - what is kept between starts: found whole or not at all, and never believed
 * blindly. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/model.h"
#include "model/tokenizer.h"
#include "tests/test.h"
#include "tests/tiny.h"
#include "worker/context.h"

#define NAME "tokenizer-00112233445566778899aabbccddeeff"

static struct context *ctx;
static struct cache cache;

static void open_at(const char *dir)
{
    struct errmsg e = {""};

    ck_assert_msg(context_open(&ctx, dir, &e) == ERR_OK, "%s", e.text);
    cache = context_cache(ctx, "engine 1");
}

static void start(void)
{
    open_at(test_path("contexts"));
}

static void stop(void)
{
    context_close(&ctx);
}

static const char *entry_path(const char *name)
{
    static char path[600];

    snprintf(path, sizeof path, "%s/%s", context_dir(ctx), name);
    return path;
}

/* What is found under the name, as text; "" when there is none. */
static const char *found(const char *name)
{
    static char text[256];
    struct cache_entry e;

    text[0] = '\0';
    if (cache_find(&cache, name, &e))
        snprintf(text, sizeof text, "%.*s", (int)e.len, (char *)(uintptr_t)e.bytes);
    cache_drop(&cache, &e);
    return text;
}

static int count_files(void)
{
    DIR *d = opendir(context_dir(ctx));
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void set_age(const char *path, int64_t age_s)
{
    const struct timespec t = {(time_t)(clock_wall_ms() / 1000 - age_s), 0};

    ck_assert_int_eq(utimensat(AT_FDCWD, path, (struct timespec[]){t, t}, 0), 0);
}

/* --- entries ---------------------------------------------------------------------------------- */

/* CX1 */
START_TEST(what_was_kept_is_found_by_the_next_process)
{
    struct cache_entry e;

    ck_assert_str_eq(found(NAME), "");
    cache_keep(&cache, NAME, "some bytes", 10);
    ck_assert_str_eq(found(NAME), "some bytes");
    context_close(&ctx);
    start();
    ck_assert(cache_find(&cache, NAME, &e));
    ck_assert_uint_eq((uintptr_t)e.bytes % 64, 0);
    cache_drop(&cache, &e);
    ck_assert_int_eq(count_files(), 1); /* nothing half written stays */
}
END_TEST

/* CX3 */
START_TEST(the_last_of_two_writers_wins_and_the_first_reader_keeps_its_bytes)
{
    struct cache_entry e;

    cache_keep(&cache, NAME, "one", 3);
    ck_assert(cache_find(&cache, NAME, &e));
    cache_keep(&cache, NAME, "another", 7);
    ck_assert_str_eq(found(NAME), "another");
    ck_assert_int_eq(memcmp(e.bytes, "one", 3), 0);
    cache_drop(&cache, &e);
}
END_TEST

/* CX2: each byte of the header that matters, and each length. */
START_TEST(a_damaged_entry_is_not_found_and_can_be_kept_again)
{
    char whole[256], bent[256];
    ssize_t n;
    int fd;

    cache_keep(&cache, NAME, "some bytes", 10);
    fd = open(entry_path(NAME), O_RDWR);
    n = read(fd, whole, sizeof whole);
    ck_assert_int_eq(n, 138);
    for (int at = 0; at < 72; at++) { /* magic, name, length */
        memcpy(bent, whole, (size_t)n);
        bent[at] = (char)(bent[at] ^ 1);
        ck_assert_int_eq(pwrite(fd, bent, (size_t)n, 0), n);
        if (at >= 16 + (int)strlen(NAME) + 1 && at < 64) continue; /* behind the name's end */
        ck_assert_msg(!*found(NAME), "byte %d is bent, and it is found", at);
    }
    ck_assert_int_eq(pwrite(fd, whole, (size_t)n, 0), n);
    for (off_t len = 0; len < n; len++) {
        ck_assert_int_eq(ftruncate(fd, len), 0);
        ck_assert_msg(!*found(NAME), "%d bytes of it are found", (int)len);
    }
    close(fd);
    cache_keep(&cache, NAME, "new", 3);
    ck_assert_str_eq(found(NAME), "new");
}
END_TEST

/* CX2 */
START_TEST(an_entry_under_another_name_is_not_found)
{
    char other[600];

    cache_keep(&cache, NAME, "some bytes", 10);
    snprintf(other, sizeof other, "%s", entry_path("hash-00"));
    ck_assert_int_eq(rename(entry_path(NAME), other), 0);
    ck_assert_str_eq(found("hash-00"), "");
}
END_TEST

START_TEST(what_is_no_file_is_not_found)
{
    ck_assert_int_eq(mkdir(entry_path(NAME), 0700), 0);
    ck_assert_str_eq(found(NAME), "");
    cache_keep(&cache, NAME, "x", 1); /* it cannot be replaced either: one warning */
    ck_assert_str_eq(found(NAME), "");
    ck_assert_int_eq(rmdir(entry_path(NAME)), 0);
    ck_assert_int_eq(mkfifo(entry_path(NAME), 0600), 0);
    ck_assert_str_eq(found(NAME), "");
}
END_TEST

START_TEST(what_nobody_used_for_long_goes)
{
    char other[600];

    cache_keep(&cache, "hash-01", "x", 1);
    cache_keep(&cache, "hash-02", "x", 1);
    snprintf(other, sizeof other, "%s", entry_path("notes"));
    fclose(fopen(other, "w"));
    set_age(entry_path("hash-01"), (CONTEXT_KEEP_DAYS + 1) * 24 * 3600);
    set_age(entry_path("hash-02"), (CONTEXT_KEEP_DAYS + 1) * 24 * 3600);
    set_age(other, (CONTEXT_KEEP_DAYS + 1) * 24 * 3600);
    ck_assert_str_eq(found("hash-02"), "x"); /* that counts as use */
    cache_keep(&cache, NAME, "x", 1);
    ck_assert_str_eq(found("hash-01"), "");
    ck_assert_str_eq(found("hash-02"), "x");
    ck_assert_int_eq(access(other, F_OK), 0);
}
END_TEST

/* --- directories ------------------------------------------------------------------------------ */

START_TEST(what_a_device_measured_is_found_by_its_name)
{
    const struct tuning t = context_tuning(ctx);
    char out[8] = "-------", longest[41];

    memset(longest, 'x', 40);
    longest[40] = '\0';
    ck_assert_uint_eq(t.find(t.self, "h200-580", out, sizeof out), 0);
    t.keep(t.self, "h200-580", "seven", 5);
    t.keep(t.self, longest, "40", 2);
    ck_assert_uint_eq(t.find(t.self, "h200-580", out, sizeof out), 5);
    ck_assert_mem_eq(out, "seven--", 7);
    ck_assert_uint_eq(t.find(t.self, longest, out, sizeof out), 2);
    ck_assert_uint_eq(t.find(t.self, "h200-580", out, 4), 0); /* it does not fit */
    ck_assert_uint_eq(t.find(t.self, "h100-580", out, sizeof out), 0);
    set_age(entry_path("tuned-h200-580"), 61 * 24 * 3600);
    t.keep(t.self, "other", "x", 1);
    ck_assert_uint_eq(t.find(t.self, "h200-580", out, sizeof out), 0); /* nobody used it */
}
END_TEST

START_TEST(the_directory_follows_from_the_environment)
{
    char want[600];

    context_close(&ctx);
    setenv("XDG_CACHE_HOME", test_path("xdg"), 1);
    setenv("HOME", test_path("home"), 1);
    open_at(NULL);
    snprintf(want, sizeof want, "%s/nightmill", test_path("xdg"));
    ck_assert_str_eq(context_dir(ctx), want);
    context_close(&ctx);
    setenv("XDG_CACHE_HOME", "not/absolute", 1);
    open_at("");
    snprintf(want, sizeof want, "%s/.cache/nightmill", test_path("home"));
    ck_assert_str_eq(context_dir(ctx), want);
    ck_assert_int_eq(access(want, W_OK), 0);
    context_close(&ctx);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    open_at(NULL);
    ck_assert_ptr_null(context_dir(ctx));
}
END_TEST

START_TEST(without_a_directory_nothing_is_kept_and_nothing_fails)
{
    context_close(&ctx);
    open_at("/proc/no/such/place");
    ck_assert_ptr_null(context_dir(ctx));
    cache_keep(&cache, NAME, "x", 1);
    ck_assert_str_eq(found(NAME), "");
}
END_TEST

START_TEST(a_path_that_is_too_long_is_refused_with_its_length)
{
    char path[5000];
    struct errmsg e;

    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    context_close(&ctx);
    ck_assert_int_eq(context_open(&ctx, path, &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "4999"));
    ck_assert_ptr_null(ctx);
}
END_TEST

/* --- hashes ----------------------------------------------------------------------------------- */

static void hash_of(const struct cache *c, const char *path, char out[HASH_HEX])
{
    struct errmsg e = {""};

    ck_assert_msg(cache_hash_file(c, path, out, &e) == ERR_OK, "%s", e.text);
}

/* CA1: who changes a file and puts everything back sees that the bytes were not read again. */
START_TEST(a_hash_is_read_from_the_cache_while_the_file_is_the_same)
{
    const char *path = test_file("weights", "aaaa", 4);
    char first[HASH_HEX], now[HASH_HEX];
    struct stat st;
    int fd;

    set_age(path, 100);
    hash_of(&cache, path, first);
    ck_assert_int_eq(stat(path, &st), 0);
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "bbbb", 4, 0), 4);
    ck_assert_int_eq(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
    close(fd);
    hash_of(&cache, path, now);
    ck_assert_str_eq(now, first);
    hash_of(NULL, path, now);
    ck_assert_str_ne(now, first);
    set_age(path, 99);
    hash_of(&cache, path, now);
    ck_assert_str_ne(now, first);
}
END_TEST

START_TEST(another_size_or_another_inode_is_another_file)
{
    const char *path = test_file("weights", "aaaa", 4), *other;
    char first[HASH_HEX], now[HASH_HEX];

    set_age(path, 100);
    hash_of(&cache, path, first);
    other = test_file("other", "bbbb", 4);
    set_age(other, 100);
    ck_assert_int_eq(rename(other, path), 0);
    hash_of(&cache, path, now);
    ck_assert_str_ne(now, first);
    ck_assert_int_eq(truncate(path, 3), 0);
    set_age(path, 100);
    hash_of(&cache, path, first);
    ck_assert_str_ne(now, first);
}
END_TEST

/* CA1 */
START_TEST(the_hash_of_a_file_that_just_changed_is_not_kept)
{
    char hash[HASH_HEX];
    const char *path = test_file("weights", "aaaa", 4);

    set_age(path, 0);
    hash_of(&cache, path, hash);
    ck_assert_int_eq(count_files(), 0);
    set_age(path, 10);
    hash_of(&cache, path, hash);
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(a_kept_hash_that_was_bent_is_computed_again)
{
    const char *path = test_file("weights", "aaaa", 4);
    char first[HASH_HEX], now[HASH_HEX], name[300], byte;
    struct dirent *d;
    DIR *dir;
    int fd;

    set_age(path, 100);
    hash_of(&cache, path, first);
    dir = opendir(context_dir(ctx));
    while ((d = readdir(dir)))
        if (d->d_name[0] == 'h') snprintf(name, sizeof name, "%s", d->d_name);
    closedir(dir);
    for (int at = 0; at < 2 * HASH_HEX; at++) { /* one digit becomes another one */
        fd = open(entry_path(name), O_RDWR);
        ck_assert_int_eq(pread(fd, &byte, 1, 128 + at), 1);
        byte ^= 1;
        ck_assert_int_eq(pwrite(fd, &byte, 1, 128 + at), 1);
        close(fd);
        hash_of(&cache, path, now);
        ck_assert_str_eq(now, first);
    }
}
END_TEST

START_TEST(a_file_that_is_not_there_is_an_error_with_its_path)
{
    char hash[HASH_HEX];
    struct errmsg e;

    ck_assert_int_eq(cache_hash_file(&cache, test_path("none"), hash, &e), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.text, "none: No such file"));
}
END_TEST

START_TEST(another_engine_has_other_names)
{
    char one[CACHE_NAME_BYTES], two[CACHE_NAME_BYTES];
    struct cache other = cache;

    cache_name(&cache, "tokenizer", "00", one);
    cache_name(&other, "tokenizer", "00", two);
    ck_assert_str_eq(one, two);
    other.engine = "engine 2";
    cache_name(&other, "tokenizer", "00", two);
    ck_assert_str_ne(one, two);
}
END_TEST

/* --- a model ---------------------------------------------------------------------------------- */

static void age_model(void)
{
    static const char *const FILES[] = {"config.json", "tokenizer.json", "model.safetensors"};

    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        set_age(test_path(FILES[i]), 100);
}

static struct model *model_at(const struct cache *c)
{
    struct model *m;
    struct errmsg e = {""};

    ck_assert_msg(model_open_cached(&m, test_dir(), c, &e) == ERR_OK, "%s", e.text);
    return m;
}

START_TEST(a_model_has_one_hash_with_and_without_a_cache)
{
    struct model made, *m[3];

    tiny_open(&made, &(struct tiny){.dtype = DTYPE_F32});
    tiny_close(&made);
    age_model();
    m[0] = model_at(NULL);
    m[1] = model_at(&cache);
    m[2] = model_at(&cache);
    ck_assert_int_ge(count_files(), 3);
    ck_assert_str_eq(m[1]->hash, m[0]->hash);
    ck_assert_str_eq(m[2]->hash, m[0]->hash);
    for (int i = 0; i < 3; i++)
        model_close(&m[i]);
}
END_TEST

static void encode(const struct model *m, int32_t out[3])
{
    struct ids ids = {0};
    struct errmsg e;

    ck_assert_int_eq(tokenizer_encode(m->tokenizer, "b a", 3, 0, &ids, &e), ERR_OK);
    ck_assert_uint_eq(ids.n, 3);
    memcpy(out, ids.at, 3 * sizeof *out);
    ids_fini(&ids);
}

static void find_image(char name[300])
{
    DIR *dir = opendir(context_dir(ctx));
    struct dirent *d;

    name[0] = '\0';
    while ((d = readdir(dir)))
        if (!strncmp(d->d_name, "tokenizer-", 10)) snprintf(name, 300, "%s", d->d_name);
    closedir(dir);
}

START_TEST(a_tokenizer_is_opened_from_its_image_and_made_again_when_that_is_damaged)
{
    struct model made, *m;
    int32_t first[3], now[3];
    char name[300];
    int fd;

    tiny_open(&made, &(struct tiny){.dtype = DTYPE_F32});
    tiny_close(&made);
    m = model_at(&cache);
    ck_assert_ptr_null(m->image.bytes);
    encode(m, first);
    model_close(&m);

    m = model_at(&cache);
    ck_assert_ptr_nonnull(m->image.bytes);
    encode(m, now);
    ck_assert_mem_eq(now, first, sizeof first);
    model_close(&m);

    find_image(name);
    fd = open(entry_path(name), O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "damage", 6, 300), 6);
    close(fd);
    m = model_at(&cache);
    ck_assert_ptr_null(m->image.bytes);
    encode(m, now);
    ck_assert_mem_eq(now, first, sizeof first);
    model_close(&m);
    m = model_at(&cache);
    ck_assert_ptr_nonnull(m->image.bytes);
    model_close(&m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("context");
    TCase *t = tcase_create("context");

    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, what_was_kept_is_found_by_the_next_process);
    tcase_add_test(t, the_last_of_two_writers_wins_and_the_first_reader_keeps_its_bytes);
    tcase_add_test(t, a_damaged_entry_is_not_found_and_can_be_kept_again);
    tcase_add_test(t, an_entry_under_another_name_is_not_found);
    tcase_add_test(t, what_is_no_file_is_not_found);
    tcase_add_test(t, what_nobody_used_for_long_goes);
    tcase_add_test(t, what_a_device_measured_is_found_by_its_name);
    tcase_add_test(t, the_directory_follows_from_the_environment);
    tcase_add_test(t, without_a_directory_nothing_is_kept_and_nothing_fails);
    tcase_add_test(t, a_path_that_is_too_long_is_refused_with_its_length);
    tcase_add_test(t, a_hash_is_read_from_the_cache_while_the_file_is_the_same);
    tcase_add_test(t, another_size_or_another_inode_is_another_file);
    tcase_add_test(t, the_hash_of_a_file_that_just_changed_is_not_kept);
    tcase_add_test(t, a_kept_hash_that_was_bent_is_computed_again);
    tcase_add_test(t, a_file_that_is_not_there_is_an_error_with_its_path);
    tcase_add_test(t, another_engine_has_other_names);
    tcase_add_test(t, a_model_has_one_hash_with_and_without_a_cache);
    tcase_add_test(t, a_tokenizer_is_opened_from_its_image_and_made_again_when_that_is_damaged);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
