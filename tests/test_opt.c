/* test_opt.c - options: the flag, its twin in the environment, the default. */
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/opt.h"
#include "tests/test.h"

struct config {
    const char *name;
    int64_t rows, bytes;
    bool strict, eager;
    double share;
};

#define AT(field) offsetof(struct config, field)

static const struct opt TABLE[] = {
    {"name", 'n', "NAME", "a name", OPT_STR, AT(name), 0, 0},
    {"max-rows", 0, "N", "rows", OPT_INT, AT(rows), -5, 1000},
    {"max-bytes", 'b', "SIZE", "bytes", OPT_BYTES, AT(bytes), 1, INT64_MAX},
    {"strict", 0, NULL, "strict", OPT_FLAG, AT(strict), 0, 0},
    {"eager", 0, NULL, "eager (default)", OPT_FLAG, AT(eager), 0, 0},
    {"no-eager", 0, NULL, "not eager", OPT_NOT, AT(eager), 0, 0},
    {"part", 0, "PART", "a part", OPT_SHARE, AT(share), 0, 0},
    {NULL, 0, NULL, NULL, OPT_STR, 0, 0, 0}};
static const struct opt_command COMMAND = {"try", "FILE [MORE]", "Tries.", TABLE, 1, 2};

static struct config c;
static const char *operands[2];
static struct errmsg e;

/* Parses the words, separated by blanks. */
static int parse(const char *words)
{
    static char copy[256];
    char *argv[16] = {(char *)"x"};
    int argc = 1;

    c = (struct config){"default", 7, 70, false, true, 0.5};
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    return opt_parse(&COMMAND, &c, operands, argc, argv, &e);
}

START_TEST(without_flags_the_default_stays)
{
    ck_assert_int_eq(parse("in"), ERR_OK);
    ck_assert_str_eq(c.name, "default");
    ck_assert_int_eq(c.rows, 7);
    ck_assert_int_eq(c.bytes, 70);
    ck_assert(!c.strict);
    ck_assert_str_eq(operands[0], "in");
    ck_assert_ptr_null(operands[1]);
}
END_TEST

START_TEST(a_share_is_over_0_and_at_most_1)
{
    ck_assert_int_eq(parse("in"), ERR_OK);
    ck_assert_double_eq(c.share, 0.5);
    ck_assert_int_eq(parse("--part 0.92 in"), ERR_OK);
    ck_assert_double_eq(c.share, 0.92);
    ck_assert_int_eq(parse("--part 1 in"), ERR_OK);
    ck_assert_int_eq(parse("--part 0 in"), ERR_ARG);
    ck_assert_str_eq(e.text, "--part is '0', not a share over 0 and at most 1");
    ck_assert_int_eq(parse("--part 1.01 in"), ERR_ARG);
    ck_assert_int_eq(parse("--part nan in"), ERR_ARG);
    ck_assert_int_eq(parse("--part 0.5x in"), ERR_ARG);
}
END_TEST

START_TEST(a_flag_that_is_on_is_taken_back_and_the_last_word_counts)
{
    ck_assert_int_eq(parse("in"), ERR_OK);
    ck_assert(c.eager);
    ck_assert_int_eq(parse("--no-eager in"), ERR_OK);
    ck_assert(!c.eager);
    ck_assert_int_eq(parse("--no-eager in --eager"), ERR_OK);
    ck_assert(c.eager);
    setenv("NIGHTMILL_EAGER", "0", 1);
    ck_assert_int_eq(parse("in"), ERR_OK);
    ck_assert(!c.eager);
    ck_assert_int_eq(parse("in --eager"), ERR_OK);
    ck_assert(c.eager);
    setenv("NIGHTMILL_EAGER", "1", 1);
    setenv("NIGHTMILL_NO_EAGER", "1", 1);
    ck_assert_int_eq(parse("in"), ERR_OK);
    ck_assert(!c.eager);
    unsetenv("NIGHTMILL_EAGER");
    unsetenv("NIGHTMILL_NO_EAGER");
}
END_TEST

START_TEST(environment_comes_before_the_default_and_the_flag_before_both)
{
    setenv("NIGHTMILL_MAX_ROWS", "8", 1);
    setenv("NIGHTMILL_NAME", "of the environment", 1);
    setenv("NIGHTMILL_STRICT", "1", 1);
    ck_assert_int_eq(parse("in --max-rows=9"), ERR_OK);
    ck_assert_int_eq(c.rows, 9);
    ck_assert_str_eq(c.name, "of the environment");
    ck_assert(c.strict);
    setenv("NIGHTMILL_STRICT", "0", 1);
    setenv("NIGHTMILL_NAME", "", 1); /* empty is unset */
    ck_assert_int_eq(parse("in"), ERR_OK);
    ck_assert_int_eq(c.rows, 8);
    ck_assert_str_eq(c.name, "default");
    ck_assert(!c.strict);
    ck_assert_int_eq(parse("--strict in"), ERR_OK);
    ck_assert(c.strict);
}
END_TEST

START_TEST(short_and_long_flags_and_operands_mix)
{
    ck_assert_int_eq(parse("-n short one -b 5 two"), ERR_OK);
    ck_assert_str_eq(c.name, "short");
    ck_assert_int_eq(c.bytes, 5);
    ck_assert_str_eq(operands[0], "one");
    ck_assert_str_eq(operands[1], "two");
}
END_TEST

START_TEST(a_number_out_of_range_names_option_value_and_limits)
{
    ck_assert_int_eq(parse("in --max-rows=1001"), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "--max-rows is '1001'"));
    ck_assert_ptr_nonnull(strstr(e.text, "-5 to 1000"));
    ck_assert_int_eq(parse("in --max-rows=-6"), ERR_ARG);
    ck_assert_int_eq(parse("in --max-rows=-5"), ERR_OK);
    ck_assert_int_eq(c.rows, -5);
    setenv("NIGHTMILL_MAX_ROWS", "many", 1);
    ck_assert_int_eq(parse("in"), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "'many'"));
}
END_TEST

START_TEST(what_is_no_whole_number_is_refused)
{
    static const char *const BAD[] = {"1.5", "1K", "0x10", "9999999999999999999", "1 "};

    ck_assert_int_eq(parse("in --max-rows="), ERR_ARG);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char words[64];

        snprintf(words, sizeof words, "in --max-rows=%s", BAD[i]);
        if (BAD[i][1] != ' ') ck_assert_int_eq(parse(words), ERR_ARG);
    }
}
END_TEST

START_TEST(bytes_take_powers_of_1024)
{
    ck_assert_int_eq(parse("in -b 3k"), ERR_OK);
    ck_assert_int_eq(c.bytes, 3 << 10);
    ck_assert_int_eq(parse("in -b 3M"), ERR_OK);
    ck_assert_int_eq(c.bytes, 3 << 20);
    ck_assert_int_eq(parse("in -b 2T"), ERR_OK);
    ck_assert_int_eq(c.bytes, (int64_t)2 << 40);
    ck_assert_int_eq(parse("in -b 9999999T"), ERR_ARG); /* over 2^63 */
    ck_assert_int_eq(parse("in -b 3X"), ERR_ARG);
    ck_assert_int_eq(parse("in -b 3KB"), ERR_ARG);
    ck_assert_int_eq(parse("in -b K"), ERR_ARG);
    ck_assert_int_eq(parse("in -b -1K"), ERR_ARG);
}
END_TEST

START_TEST(a_flag_in_the_environment_is_1_or_0)
{
    setenv("NIGHTMILL_STRICT", "yes", 1);
    ck_assert_int_eq(parse("in"), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "'yes'"));
}
END_TEST

/* The exit status of a child that parses the words. */
static int status_of(const char *words)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        (void)!freopen("/dev/null", "w", stderr);
        (void)!freopen("/dev/null", "w", stdout);
        _exit(parse(words) ? 99 : 98);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(usage_errors_exit_with_2_and_help_with_0)
{
    ck_assert_int_eq(status_of("in --unknown"), 2);
    ck_assert_int_eq(status_of("in -z"), 2);
    ck_assert_int_eq(status_of(""), 2); /* no operand */
    ck_assert_int_eq(status_of("a b c"), 2);
    ck_assert_int_eq(status_of("in --max-rows"), 2); /* no value */
    ck_assert_int_eq(status_of("in --strict=1"), 2); /* one too many */
    ck_assert_int_eq(status_of("--help"), 0);
    ck_assert_int_eq(status_of("in"), 98);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("opt");
    TCase *t = tcase_create("opt");

    tcase_add_test(t, without_flags_the_default_stays);
    tcase_add_test(t, a_share_is_over_0_and_at_most_1);
    tcase_add_test(t, a_flag_that_is_on_is_taken_back_and_the_last_word_counts);
    tcase_add_test(t, environment_comes_before_the_default_and_the_flag_before_both);
    tcase_add_test(t, short_and_long_flags_and_operands_mix);
    tcase_add_test(t, a_number_out_of_range_names_option_value_and_limits);
    tcase_add_test(t, what_is_no_whole_number_is_refused);
    tcase_add_test(t, bytes_take_powers_of_1024);
    tcase_add_test(t, a_flag_in_the_environment_is_1_or_0);
    tcase_add_test(t, usage_errors_exit_with_2_and_help_with_0);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
