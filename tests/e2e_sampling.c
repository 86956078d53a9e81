/* e2e_sampling.c - several answers, log-probabilities and shared prefixes through real processes.
 */
#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "tests/process.h"
#include "tests/test.h"

#define MODEL "examples/tidy"
#define CELL                                                                                       \
    "\"messages\":[{\"role\":\"user\",\"content\":\"Clean the date. Locale: fr. Cell: 12 mars "    \
    "1999\"}],\"max_tokens\":16"

/* The body of the output's line with this id. */
static json_t *body_of(const char *path, const char *id, json_t **line)
{
    FILE *f = fopen(path, "r");
    json_error_t e;

    ck_assert_ptr_nonnull(f);
    while ((*line = json_loadf(f, JSON_DISABLE_EOF_CHECK, &e))) {
        if (!strcmp(json_string_value(json_object_get(*line, "custom_id")), id)) break;
        json_decref(*line);
    }
    fclose(f);
    ck_assert_msg(*line != NULL, "no line of %s", id);
    return json_object_get(json_object_get(*line, "response"), "body");
}

START_TEST(n_answers_and_their_logprobs_reach_the_output)
{
    static const char ROWS[] =
        "{\"custom_id\":\"three\"," CELL ",\"n\":3,\"temperature\":1.5,\"seed\":3,"
        "\"logprobs\":true,\"top_logprobs\":2,\"ignore_eos\":true}\n"
        "{\"custom_id\":\"second\"," CELL ",\"temperature\":1.5,\"seed\":4,\"ignore_eos\":true}\n"
        "{\"custom_id\":\"text\",\"prompt\":\"Clean\",\"max_tokens\":4,\"logprobs\":1,"
        "\"temperature\":0,\"ignore_eos\":true}\n"
        "{\"custom_id\":\"far\"," CELL ",\"stop_token_ids\":[512]}\n";
    const char *out = test_path("n.out");
    json_t *line, *body, *choices, *other, *second, *usage;
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", test_file("n.jsonl", ROWS, sizeof ROWS - 1),
                                 "-o", out, "-m", MODEL),
                     1);
    body = body_of(out, "three", &line);
    choices = json_object_get(body, "choices");
    usage = json_object_get(body, "usage");
    ck_assert_uint_eq(json_array_size(choices), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(usage, "completion_tokens")), 3 * 16);
    for (size_t i = 0; i < 3; i++) {
        json_t *c = json_array_get(choices, i), *content;

        ck_assert_int_eq(json_integer_value(json_object_get(c, "index")), (json_int_t)i);
        content = json_object_get(json_object_get(c, "logprobs"), "content");
        ck_assert_uint_eq(json_array_size(content), 16);
        ck_assert_uint_eq(
            json_array_size(json_object_get(json_array_get(content, 0), "top_logprobs")), 2);
    }
    /* The second answer is the one of the next seed. */
    body = body_of(out, "second", &other);
    second = json_object_get(json_array_get(choices, 1), "message");
    ck_assert(json_equal(
        second, json_object_get(json_array_get(json_object_get(body, "choices"), 0), "message")));
    json_decref(other);
    json_decref(line);
    body = body_of(out, "text", &line);
    choices = json_array_get(json_object_get(body, "choices"), 0);
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_object_get(choices, "logprobs"), "tokens")), 4);
    json_decref(line);
    body = body_of(out, "far", &line); /* what only the model's vocabulary can tell */
    body = json_object_get(body, "error");
    ck_assert_str_eq(json_string_value(json_object_get(body, "param")), "stop_token_ids");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(body, "message")), "512"));
    json_decref(line);
}
END_TEST

/* _i: with and without the cache; the answers are the same. */
START_TEST(rows_with_one_system_prompt_read_it_from_the_cache)
{
    const char *db = test_path("prefix.db"), *off = "--no-enable-prefix-caching";
    struct buf rows = {0};
    struct process p;
    int64_t cached, prompt;

    for (int i = 0; i < 200; i++) {
        buf_printf(&rows, "{\"messages\":[{\"role\":\"system\",\"content\":\"");
        for (int k = 0; k < 40; k++)
            buf_printf(&rows, "Rule %d is a date. ", k);
        buf_printf(&rows, "\"},{\"role\":\"user\",\"content\":\"%d\"}],\"max_tokens\":2}\n", i);
    }
    ck_assert_int_eq(PROCESS_RUN(&p, 120, "run", "-i", test_file("p.jsonl", rows.data, rows.len),
                                 "--db", db, "-m", MODEL, _i ? off : "--enable-prefix-caching"),
                     0);
    cached = process_sql(db, "SELECT sum(cached_tokens) FROM results");
    prompt = process_sql(db, "SELECT sum(prompt_tokens) FROM results");
    if (_i)
        ck_assert_int_eq(cached, 0);
    else
        ck_assert_msg(cached > prompt * 9 / 10, "%lld of %lld tokens", (long long)cached,
                      (long long)prompt);
    ck_assert_int_eq(process_sql(db, "SELECT cached_tokens = (SELECT sum(cached_tokens) FROM"
                                     " results) FROM progress"),
                     1);
    buf_fini(&rows);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sampling");
    TCase *t = tcase_create("sampling");

    tcase_set_timeout(t, 200);
    tcase_add_test(t, n_answers_and_their_logprobs_reach_the_output);
    tcase_add_loop_test(t, rows_with_one_system_prompt_read_it_from_the_cache, 0, 2);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
