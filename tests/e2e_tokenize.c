/* e2e_tokenize.c - nightmill tokenize as a real process. */
#include <string.h>

#include "tests/process.h"
#include "tests/test.h"

#define MODEL "examples/tidy"

static void expect(const char *file, const char *want)
{
    struct buf b = process_read(file);

    ck_assert_str_eq(b.data ? b.data : "", want);
    buf_fini(&b);
}

static const char *put(const char *name, const char *text)
{
    return test_file(name, text, strlen(text));
}

START_TEST(a_line_of_text_is_a_line_of_ids_and_back)
{
    const char *in = put("in", "\"3 May\"\n\n\"na\xC3\xAFve\\n\"\r\n\"\"");
    struct process p;
    struct buf ids;

    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, in), 0);
    expect(p.out, "[55,406,423]\n[114,101,199,179,364,14]\n[]\n");
    expect(p.err, "");
    ids = process_read(p.out);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, "--decode", put("ids", ids.data)),
                     0);
    expect(p.out, "\"3 May\"\n\"na\xC3\xAFve\\n\"\n\"\"\n");
    buf_fini(&ids);
}
END_TEST

START_TEST(a_bad_line_is_told_and_the_others_come)
{
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, put("in", "3\n\"3\"\n\"x\n")), 1);
    expect(p.out, "null\n[55]\nnull\n");
    expect(p.err, "nightmill tokenize: line 1: not a JSON string\n"
                  "nightmill tokenize: line 3: no JSON: premature end of input near '\"x'\n");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, "--decode",
                                 put("in", "[55,512]\n[-1]\n[\"a\"]\n[55]\n\"x\"\n")),
                     1);
    expect(p.out, "null\nnull\nnull\n\"3\"\nnull\n");
    expect(p.err, "nightmill tokenize: line 1: entry 1: id 512 is not in [0, 511]\n"
                  "nightmill tokenize: line 2: entry 0: id -1 is not in [0, 511]\n"
                  "nightmill tokenize: line 3: entry 0 is not an id\n"
                  "nightmill tokenize: line 5: not a JSON array of ids\n");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", put("in", "\"a\"\n")), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", test_path("none"), put("in", "1")), 3);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, test_path("none")), 3);
}
END_TEST

START_TEST(special_tokens_are_read_and_written_when_asked_for)
{
    struct process p;

    ck_assert_int_eq(
        PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, "--parse-special", put("in", "\"<|user|>3\"")),
        0);
    expect(p.out, "[2,55]\n");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, put("in", "\"<|user|>\"")), 0);
    ck_assert(!memmem(process_read(p.out).data, 3, "[2,", 3));
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, "--decode", put("in", "[2,55]")),
                     0);
    expect(p.out, "\"3\"\n");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "tokenize", "-m", MODEL, "--decode",
                                 "--no-skip-special-tokens", put("in", "[2,55]")),
                     0);
    expect(p.out, "\"<|user|>3\"\n");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tokenize");
    TCase *t = tcase_create("process");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_line_of_text_is_a_line_of_ids_and_back);
    tcase_add_test(t, a_bad_line_is_told_and_the_others_come);
    tcase_add_test(t, special_tokens_are_read_and_written_when_asked_for);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
