/* test_request_scan.c - clients/request_scan: the short way says what the full one says. */
#include <string.h>

#include "clients/request_scan.h"
#include "tests/same_request.h"
#include "tests/test.h"

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

/* Lines of the common shape. */
static const char *const COMMON[] = {
    "{\"custom_id\": \"r-1\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\": "
    "{\"model\": \"m\", \"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, "
    "{\"role\": \"user\", \"content\": \"Say \\\"h\\u00e9\\\"\\n\"}], \"max_tokens\": 16, "
    "\"temperature\": 0.70, \"top_p\": 0.95, \"seed\": -7, \"stop\": [\"\\n\", \"END\"]}}",
    "{\"custom_id\":\"r-2\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"Once\","
    "\"max_completion_tokens\":5,\"n\":1,\"stream\":false,\"stop\":\".\",\"ignore_eos\":true}}",
    " { \"temperature\" : 0.0 , " MESSAGES " , \"custom_id\" : \"a\" , \"priority\" : -5 } ",
    "{\"prompt\":\"x\",\"min_p\":0.05,\"presence_penalty\":0,\"frequency_penalty\":0.0,\"user\":"
    "\"\",\"metadata\":{\"a\":\"b\", \"\":\"\"}}",
    "{\"prompt\":\"\",\"top_k\":40,\"top_p\":1.0}",
    "{\"priority\":1000000,\"method\":\"POST\",\"body\":{" MESSAGES ",\"temperature\":2}}",
    "{\"prompt\":\"gr\xC3\xBC\xC3\x9F dich, \xE4\xB8\x96\xE7\x95\x8C \xF0\x9F\x8C\x8D\","
    "\"stop\":[],\"seed\":0}",
};

/* Lines that only look so: each must be read in full. */
static const char *const OTHERS[] = {
    "{\"custom_id\":\"a\\u0062\",\"prompt\":\"x\"}",
    "{\"custom_id\":\"\",\"prompt\":\"x\"}",
    "{\"prompt\":\"x\",\"prompt\":\"y\"}",
    "{\"prompt\":\"x\",\"custom_id\":null}",
    "{\"body\":{\"prompt\":\"x\"},\"prompt\":\"y\"}",
    "{\"body\":{\"prompt\":\"x\",\"custom_id\":\"y\"}}",
    "{\"prompt\":\"x\",\"priority\":1000001}",
    "{\"prompt\":\"x\",\"max_tokens\":0}",
    "{\"prompt\":\"x\",\"max_tokens\":016}",
    "{\"prompt\":\"x\",\"max_tokens\":1.5}",
    "{\"prompt\":\"x\",\"temperature\":2.1}",
    "{\"prompt\":\"x\",\"temperature\":1e0}",
    "{\"prompt\":\"x\",\"temperature\":1.}",
    "{\"prompt\":\"x\",\"top_p\":0.0}",
    "{\"prompt\":\"x\",\"top_p\":1.01}",
    "{\"prompt\":\"x\",\"stop\":\"\"}",
    "{\"prompt\":\"\\ud800\"}",
    "{\"prompt\":\"\\ud83c\\udf0d\"}",
    "{\"prompt\":\"\\x\"}",
    "{\"prompt\":\"a\tb\"}",
    "{\"prompt\":\"x\"}}",
    "{\"prompt\":\"x\",}",
    "{\"prompt\":\"x\"",
    "{\"prompt\":\"x\",\"url\":\"/v1/chat/completions\"}",
    "{\"messages\":[]}",
    "{\"messages\":[{\"role\":\"user\"}]}",
    "{\"messages\":[{\"role\":\"\",\"content\":\"x\"}]}",
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]}",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"role\":\"system\"}]}",
    "{" MESSAGES ",\"user\":7}",
    "{" MESSAGES ",\"presence_penalty\":0.1}",
    "{" MESSAGES ",\"min_p\":1.5}",
    "{" MESSAGES ",\"metadata\":{\"a\":1}}",
    "{" MESSAGES ",\"metadata\":{\"\\u0000\":\"\"}}",
    "{" MESSAGES ",\"colour\":\"red\"}",
    "{\"body\":{}}",
    "{}",
    "[]",
    "7",
};

static struct request q;
static struct row_error err;

static int both(const char *text, size_t len)
{
    struct request_format f = {.max_bytes = 4096};
    struct line l = {.bytes = text, .len = len, .number = 1};
    struct field_counts ignored = {0};

    return same_request(&q, &l, &f, &ignored, &err);
}

static bool is_common(const char *text)
{
    struct request scanned = {0};
    bool yes = request_scan(&scanned, text, strlen(text));

    request_fini(&scanned);
    return yes;
}

START_TEST(common_lines_are_taken_in_one_pass)
{
    for (size_t i = 0; i < sizeof COMMON / sizeof COMMON[0]; i++) {
        ck_assert_msg(is_common(COMMON[i]), "%s", COMMON[i]);
        ck_assert_msg(!both(COMMON[i], strlen(COMMON[i])), "%s: %s", COMMON[i], err.message);
    }
}
END_TEST

START_TEST(what_is_unusual_or_wrong_is_left_to_the_full_reading)
{
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        ck_assert_msg(!is_common(OTHERS[i]), "%s", OTHERS[i]);
        (void)both(OTHERS[i], strlen(OTHERS[i]));
    }
}
END_TEST

/* S1, for every line one byte away from a common one. */
START_TEST(a_changed_byte_gets_the_same_verdict_both_ways)
{
    static const char BYTES[] = "{}[]\",:\\ 0129.-eudtn\t\x01\xC3\x80";
    size_t i = (size_t)_i, len = strlen(COMMON[i]);
    char text[1024];

    for (size_t at = 0; at < len; at++) {
        memcpy(text, COMMON[i], len);
        for (size_t k = 0; k < sizeof BYTES; k++) { /* NUL too */
            text[at] = BYTES[k];
            (void)both(text, len);
        }
    }
}
END_TEST

START_TEST(a_byte_more_or_less_gets_the_same_verdict_both_ways)
{
    size_t i = (size_t)_i, len = strlen(COMMON[i]);
    char text[1024];

    for (size_t at = 0; at < len; at++) {
        memcpy(text, COMMON[i], at);
        memcpy(text + at, COMMON[i] + at + 1, len - at - 1);
        (void)both(text, len - 1);
        (void)both(text, at);
        memcpy(text + at + 1, COMMON[i] + at, len - at);
        text[at] = COMMON[i][at]; /* twice */
        (void)both(text, len + 1);
    }
}
END_TEST

START_TEST(temperature_0_or_a_seed_is_fixed)
{
    static const struct {
        const char *member;
        bool fixed;
    } CASES[] = {{"\"temperature\":0", true},     {"\"temperature\":0.00", true},
                 {"\"temperature\":-0.0", true},  {"\"temperature\":0e9", true},
                 {"\"temperature\":0.01", false}, {"\"temperature\":1e-9", false},
                 {"\"temperature\":null", false}, {"\"seed\":5", true},
                 {"\"seed\":null", false},        {"\"n\":1", false}};
    char text[128];

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        snprintf(text, sizeof text, "{\"prompt\":\"x\",%s}", CASES[i].member);
        ck_assert_int_eq(both(text, strlen(text)), 0);
        ck_assert_msg(q.is_fixed == CASES[i].fixed, "%s", text);
    }
}
END_TEST

START_TEST(a_row_may_have_a_priority_of_its_own)
{
    static const char *const BAD[] = {"\"1\"", "1.0", "1000001", "-1000001", "true"};
    char text[128];

    ck_assert_int_eq(both("{\"prompt\":\"x\",\"priority\":-3}", 28), 0);
    ck_assert(q.has_priority);
    ck_assert_int_eq(q.priority, -3);
    ck_assert_str_eq(q.body.data, "{\"prompt\":\"x\"}"); /* it is about the row */
    ck_assert_int_eq(both("{\"prompt\":\"x\",\"priority\":null}", 30), 0);
    ck_assert(!q.has_priority);
    ck_assert_int_eq(both("{\"body\":{\"prompt\":\"x\",\"priority\":-3}}", 37), 0);
    ck_assert(!q.has_priority);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        snprintf(text, sizeof text, "{\"body\":{\"prompt\":\"x\"},\"priority\":%s}", BAD[i]);
        ck_assert_int_eq(both(text, strlen(text)), ERR_FORMAT);
        ck_assert_str_eq(err.param, "priority");
    }
}
END_TEST

static void tear_down(void)
{
    request_fini(&q);
}

static Suite *suite(void)
{
    Suite *s = suite_create("request_scan");
    TCase *t = tcase_create("request_scan");
    int n = sizeof COMMON / sizeof COMMON[0];

    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, common_lines_are_taken_in_one_pass);
    tcase_add_test(t, what_is_unusual_or_wrong_is_left_to_the_full_reading);
    tcase_add_loop_test(t, a_changed_byte_gets_the_same_verdict_both_ways, 0, n);
    tcase_add_loop_test(t, a_byte_more_or_less_gets_the_same_verdict_both_ways, 0, n);
    tcase_add_test(t, temperature_0_or_a_seed_is_fixed);
    tcase_add_test(t, a_row_may_have_a_priority_of_its_own);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
