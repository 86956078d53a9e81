/* e2e_golden.c - a published model's greedy texts, through file, queue, broker, worker and back.
 *
 * The expected texts come from an independent 64-bit computation (goldens.json of the shared test
 * data).
 */
#include <jansson.h>
#include <string.h>

#include "tests/process.h"
#include "tests/test.h"

#define TOKENS 96

START_TEST(all_prompts_give_the_published_greedy_text)
{
    const char *db = test_path("golden.db"), *out = test_path("golden.jsonl");
    json_t *goldens = json_load_file(test_data("models/stories260K/goldens.json"), 0, NULL), *line;
    const json_t *greedy = json_object_get(goldens, "greedy");
    struct buf rows = {0}, answers;
    struct process p;
    char *at;

    ck_assert_uint_ge(json_array_size(greedy), 14);
    for (size_t i = 0; i < json_array_size(greedy); i++) {
        json_t *row =
            json_pack("{s:s%, s:i, s:i}", "prompt",
                      json_string_value(json_object_get(json_array_get(greedy, i), "prompt")),
                      json_string_length(json_object_get(json_array_get(greedy, i), "prompt")),
                      "max_tokens", TOKENS, "temperature", 0);
        char *text = json_dumps(row, JSON_COMPACT);

        buf_printf(&rows, "%s\n", text);
        free(text);
        json_decref(row);
    }
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i",
                                 test_file("golden-in.jsonl", rows.data, rows.len), "-o", out,
                                 "--db", db, "-m", test_data("models/stories260K/hf"),
                                 "--output-format", "jsonl"),
                     0);
    answers = process_read(out);
    at = answers.data;
    for (size_t i = 0; i < json_array_size(greedy); i++) {
        size_t len = strcspn(at, "\n");

        line = json_loadb(at, len, 0, NULL);
        ck_assert_str_eq(
            json_string_value(json_object_get(line, "text")),
            json_string_value(json_object_get(json_array_get(greedy, i), "greedy_text")));
        json_decref(line);
        at += len + (at[len] == '\n');
    }
    buf_fini(&answers);
    buf_fini(&rows);
    json_decref(goldens);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("golden");
    TCase *t = tcase_create("golden");

    tcase_set_timeout(t, 120);
    if (test_has_data()) tcase_add_test(t, all_prompts_give_the_published_greedy_text);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
