/* e2e_golden.c - a published model's greedy texts, through file, queue, broker, worker and back;
 * and how fast it is, measured by one program and found by the next.
 *
 * The expected texts come from an independent 64-bit computation (goldens.json of the shared test
 * data).
 */
#include <jansson.h>
#include <math.h>
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

#define ROW     "{\"prompt\":\"Once\",\"max_tokens\":4}\n"
#define NANO(k) "SELECT CAST(round(" k "*1e9) AS INTEGER) FROM instances"

static double number(const json_t *o, const char *key)
{
    ck_assert_msg(json_is_number(json_object_get(o, key)), "no %s", key);
    return json_number_value(json_object_get(o, key));
}

/* A row answered by a worker of its own, which measures for so many seconds. */
static void run_worker(const char *db, const char *seconds)
{
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", test_file("row.jsonl", ROW, strlen(ROW)),
                                 "--db", db, "-m", test_data("models/stories260K/hf"),
                                 "--profile-seconds", seconds),
                     0);
}

START_TEST(what_profile_measured_the_next_worker_finds)
{
    const char *first = test_path("first.db"), *db = test_path("second.db");
    struct process p;
    struct buf out;
    json_t *told;

    run_worker(first, "0"); /* none is known */
    ck_assert_int_eq(process_sql(first, "SELECT profile='roofline' AND k1>0 FROM instances"), 1);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "profile", "-m", test_data("models/stories260K/hf"),
                                 "--json", "--profile-seconds", "5"),
                     0);
    out = process_read(p.out);
    told = json_loadb(out.data, out.len, 0, NULL);
    ck_assert_double_ge(number(told, "k0"), 0);
    ck_assert_double_gt(number(told, "k0") + number(told, "k1"), 0);
    ck_assert_double_lt(number(told, "held_out_mape"), 100);
    ck_assert_uint_ge(json_array_size(json_object_get(told, "points")), 20);
    run_worker(db, "0"); /* it could not measure, so it has found it */
    ck_assert_int_eq(process_sql(db, "SELECT profile='measured' AND NOT drifted FROM instances"),
                     1);
    ck_assert_int_le(llabs(process_sql(db, NANO("k1")) - llround(number(told, "k1") * 1e9)), 1);
    ck_assert_int_le(llabs(process_sql(db, NANO("k0")) - llround(number(told, "k0") * 1e9)), 1);
    ck_assert_int_eq(process_sql(db, "SELECT samples FROM instances"),
                     (int64_t)number(told, "samples"));
    json_decref(told);
    buf_fini(&out);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("golden");
    TCase *t = tcase_create("golden");

    tcase_set_timeout(t, 120);
    if (test_has_data()) {
        tcase_add_test(t, all_prompts_give_the_published_greedy_text);
        tcase_add_test(t, what_profile_measured_the_next_worker_finds);
    }
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
