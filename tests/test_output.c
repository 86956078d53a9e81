/* test_output.c - clients/output: the lines are OpenAI's, key by key. */
#include <jansson.h>
#include <string.h>

#include "base/utf8.h"
#include "clients/output.h"
#include "tests/test.h"

static struct buf out;

static struct output_row chat_row(void)
{
    return (struct output_row){
        .batch = "night",
        .custom_id = "r-1",
        .custom_id_len = 3,
        .job_id = 0x2a,
        .line = 7,
        .instance = "cpu-1",
        .endpoint = ENDPOINT_CHAT,
        .model = "m",
        .text = "Hello.",
        .text_len = 6,
        .finish_reason = "stop",
        .prompt_tokens = 22,
        .completion_tokens = 2,
        .cached_tokens = 16,
        .created_s = 1711652795,
        .system_fingerprint = "fp_1",
    };
}

static struct output_row error_row(const char *code, const char *message)
{
    struct output_row row = chat_row();

    row.text = NULL;
    row.finish_reason = NULL;
    row.instance = NULL;
    row.error_code = code;
    row.error_message = message;
    row.http_status = output_status(code);
    return row;
}

static void write_row(enum output_format format, const struct output_row *row)
{
    buf_clear(&out);
    ck_assert_int_eq(output_row(&out, format, row), ERR_OK);
    ck_assert_int_eq(out.data[out.len - 1], '\n');
}

/* The 24 hex digits that name the row, cut out of the line's id. */
static const char *name_of_row(void)
{
    static char name[32];
    const char *at = strstr(out.data, "batch_req_");

    ck_assert_ptr_nonnull(at);
    snprintf(name, sizeof name, "%.24s", at + 10);
    ck_assert_uint_eq(strspn(name, "0123456789abcdef"), 24);
    return name;
}

/* The line with @ where the row's name stands. */
static const char *shown(void)
{
    static char text[2048];
    const char *name = name_of_row(), *at, *from = out.data;
    size_t n = 0;

    while ((at = strstr(from, name))) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s@", (int)(at - from), from);
        from = at + 24;
    }
    snprintf(text + n, sizeof text - n, "%s", from);
    return text;
}

START_TEST(chat_answer_is_the_openai_line_in_openais_order)
{
    struct output_row row = chat_row();

    write_row(OUTPUT_OPENAI, &row);
    ck_assert_str_eq(
        shown(),
        "{\"id\":\"batch_req_@\",\"custom_id\":\"r-1\",\"response\":{\"status_code\":200,"
        "\"request_id\":\"req_@\",\"body\":{\"id\":\"chatcmpl-@\",\"object\":"
        "\"chat.completion\",\"created\":1711652795,\"model\":\"m\",\"choices\":[{\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"Hello.\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":22,"
        "\"completion_tokens\":2,\"total_tokens\":24,\"prompt_tokens_details\":"
        "{\"cached_tokens\":16}},\"system_fingerprint\":\"fp_1\"}},\"error\":null}\n");
}
END_TEST

START_TEST(completion_answer_is_a_text_completion)
{
    struct output_row row = chat_row();

    row.endpoint = ENDPOINT_COMPLETION;
    row.system_fingerprint = NULL;
    row.finish_reason = "length";
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_str_eq(
        shown(),
        "{\"id\":\"batch_req_@\",\"custom_id\":\"r-1\",\"response\":{\"status_code\":200,"
        "\"request_id\":\"req_@\",\"body\":{\"id\":\"cmpl-@\",\"object\":"
        "\"text_completion\",\"created\":1711652795,\"model\":\"m\",\"system_fingerprint\":"
        "null,\"choices\":[{\"text\":\"Hello.\",\"index\":0,\"logprobs\":null,"
        "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":22,\"completion_tokens\":"
        "2,\"total_tokens\":24,\"prompt_tokens_details\":{\"cached_tokens\":16}}}},\"error\":"
        "null}\n");
}
END_TEST

START_TEST(several_answers_and_their_logprobs_stand_as_they_were_stored)
{
    static const char CHOICES[] =
        "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\",\"refusal\":null},"
        "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.25,\"bytes\":[97],"
        "\"top_logprobs\":[]}],\"refusal\":null},\"finish_reason\":\"stop\"},{\"index\":1,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"b\",\"refusal\":null},\"logprobs\":null,"
        "\"finish_reason\":\"length\"}]";
    struct output_row row = chat_row();

    row.choices = CHOICES;
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_ptr_nonnull(strstr(out.data, CHOICES));
    ck_assert_ptr_null(strstr(out.data, "Hello."));
    row.choices = "[{"; /* a worker that went astray: the text is there still */
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_ptr_nonnull(strstr(out.data, "Hello."));
}
END_TEST

START_TEST(refused_request_has_its_status_and_openais_error_object)
{
    struct output_row row = error_row("unsupported_parameter", "tools is not supported");

    row.error_param = "tools";
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_str_eq(
        shown(),
        "{\"id\":\"batch_req_@\",\"custom_id\":\"r-1\",\"response\":{\"status_code\":400,"
        "\"request_id\":\"req_@\",\"body\":{\"error\":{\"message\":"
        "\"tools is not supported\",\"type\":\"invalid_request_error\",\"param\":\"tools\","
        "\"code\":\"unsupported_parameter\"}}},\"error\":null}\n"); /* O2 */
}
END_TEST

START_TEST(row_that_was_not_executed_has_no_response)
{
    struct output_row row =
        error_row("batch_expired",
                  "This request could not be executed before the completion window expired.");

    write_row(OUTPUT_OPENAI, &row);
    ck_assert_str_eq(
        shown(),
        "{\"id\":\"batch_req_@\",\"custom_id\":\"r-1\",\"response\":null,\"error\":{\"code\":"
        "\"batch_expired\",\"message\":\"This request could not be executed before the "
        "completion window expired.\"}}\n"); /* O2 */
}
END_TEST

START_TEST(status_follows_from_the_code)
{
    ck_assert_int_eq(output_status("batch_cancelled"), 0);
    ck_assert_int_eq(output_status("batch_expired"), 0);
    ck_assert_int_eq(output_status("invalid_json_line"), 400);
    ck_assert_int_eq(output_status("context_length_exceeded"), 400);
    ck_assert_int_eq(output_status("no_chat_template"), 400);
    ck_assert_int_eq(output_status("url_mismatch"), 404);
    ck_assert_int_eq(output_status("line_too_long"), 413);
    ck_assert_int_eq(output_status("poison"), 500);
}
END_TEST

START_TEST(server_error_has_its_own_type)
{
    struct output_row row = error_row("poison", "ended two workers");

    write_row(OUTPUT_OPENAI, &row);
    ck_assert_ptr_nonnull(strstr(out.data, "\"status_code\":500"));
    ck_assert_ptr_nonnull(strstr(out.data, "\"type\":\"server_error\""));
}
END_TEST

START_TEST(same_row_has_the_same_ids_in_every_export_and_another_row_others)
{
    struct output_row row = chat_row();
    char first[32], second[32];

    write_row(OUTPUT_OPENAI, &row);
    snprintf(first, sizeof first, "%s", name_of_row());
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_str_eq(first, name_of_row());
    row.job_id++;
    write_row(OUTPUT_OPENAI, &row);
    snprintf(second, sizeof second, "%s", name_of_row());
    ck_assert_str_ne(first, second);
    row.batch = "other";
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_str_ne(second, name_of_row());
}
END_TEST

START_TEST(answer_that_is_not_utf8_gets_replacement_characters)
{
    struct output_row row = chat_row();

    row.text = "a\xFFz\0\xE2\x82";
    row.text_len = 6;
    write_row(OUTPUT_OPENAI, &row);
    ck_assert(utf8_is_valid(out.data, out.len));
    ck_assert_ptr_nonnull(strstr(out.data, "\"content\":\"a\xEF\xBF\xBDz\\u0000\xEF\xBF\xBD\""));
    write_row(OUTPUT_CSV, &row);
    ck_assert(utf8_is_valid(out.data, out.len));
}
END_TEST

START_TEST(answer_with_line_breaks_stays_one_line)
{
    struct output_row row = chat_row();
    json_t *root, *j;

    row.text = "a\r\nb\xE2\x80\xA8\"\\\t\x01";
    row.text_len = strlen(row.text);
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_ptr_eq(strchr(out.data, '\n'), out.data + out.len - 1); /* O1 */
    root = json_loadb(out.data, out.len, 0, NULL);
    ck_assert_ptr_nonnull(root);
    j = json_object_get(json_object_get(root, "response"), "body");
    j = json_object_get(json_array_get(json_object_get(j, "choices"), 0), "message");
    ck_assert_str_eq(json_string_value(json_object_get(j, "content")), row.text);
    json_decref(root);
}
END_TEST

START_TEST(unknown_model_and_missing_answer_are_null_and_empty)
{
    struct output_row row = chat_row();

    row.model = NULL;
    row.text = NULL;
    row.text_len = 0;
    write_row(OUTPUT_OPENAI, &row);
    ck_assert_ptr_nonnull(strstr(out.data, "\"model\":null"));
    ck_assert_ptr_nonnull(strstr(out.data, "\"content\":\"\""));
}
END_TEST

START_TEST(short_json_line_has_six_members)
{
    struct output_row row = chat_row();

    write_row(OUTPUT_JSONL, &row);
    ck_assert_str_eq(out.data,
                     "{\"custom_id\":\"r-1\",\"text\":\"Hello.\",\"finish_reason\":\"stop\","
                     "\"prompt_tokens\":22,\"output_tokens\":2,\"error\":null}\n");
    row = error_row("batch_cancelled", "was cancelled");
    row.prompt_tokens = row.completion_tokens = 0;
    write_row(OUTPUT_JSONL, &row);
    ck_assert_str_eq(out.data, "{\"custom_id\":\"r-1\",\"text\":null,\"finish_reason\":null,"
                               "\"prompt_tokens\":0,\"output_tokens\":0,\"error\":{\"code\":"
                               "\"batch_cancelled\",\"message\":\"was cancelled\"}}\n");
}
END_TEST

START_TEST(short_json_line_says_when_the_answer_was_reused)
{
    struct output_row row = chat_row();

    row.is_reused = true;
    write_row(OUTPUT_JSONL, &row);
    ck_assert_str_eq(out.data,
                     "{\"custom_id\":\"r-1\",\"text\":\"Hello.\",\"finish_reason\":\"stop\","
                     "\"prompt_tokens\":22,\"output_tokens\":2,\"reused\":true,\"error\":null}\n");
}
END_TEST

START_TEST(csv_quotes_what_rfc_4180_wants_quoted)
{
    struct output_row row = chat_row();

    ck_assert_int_eq(output_head(&out, OUTPUT_CSV), ERR_OK);
    ck_assert_str_eq(out.data, "custom_id,line,text,finish_reason,prompt_tokens,output_tokens,"
                               "instance,error_code,error_message\r\n");
    write_row(OUTPUT_CSV, &row);
    ck_assert_str_eq(out.data, "r-1,7,Hello.,stop,22,2,cpu-1,,\r\n");
    row.text = "a, \"b\"\nc";
    row.text_len = strlen(row.text);
    write_row(OUTPUT_CSV, &row);
    ck_assert_str_eq(out.data, "r-1,7,\"a, \"\"b\"\"\nc\",stop,22,2,cpu-1,,\r\n");
    row.text = "nul\0,";
    row.text_len = 5;
    write_row(OUTPUT_CSV, &row);
    ck_assert_mem_eq(out.data, "r-1,7,\"nul\0,\",stop", 18);
    row = error_row("url_mismatch", "url \"x\" is none");
    write_row(OUTPUT_CSV, &row);
    ck_assert_str_eq(out.data, "r-1,7,,,22,2,,url_mismatch,\"url \"\"x\"\" is none\"\r\n");
}
END_TEST

START_TEST(only_csv_has_a_head)
{
    ck_assert_int_eq(output_head(&out, OUTPUT_OPENAI), ERR_OK);
    ck_assert_int_eq(output_head(&out, OUTPUT_JSONL), ERR_OK);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(format_names_are_read)
{
    enum output_format f;

    ck_assert_int_eq(output_format_parse(&f, "openai"), ERR_OK);
    ck_assert_int_eq(f, OUTPUT_OPENAI);
    ck_assert_int_eq(output_format_parse(&f, "csv"), ERR_OK);
    ck_assert_int_eq(f, OUTPUT_CSV);
    ck_assert_int_eq(output_format_parse(&f, "jsonl"), ERR_OK);
    ck_assert_int_eq(f, OUTPUT_JSONL);
    ck_assert_int_eq(output_format_parse(&f, "xml"), ERR_ARG);
}
END_TEST

static void set_up(void)
{
    buf_init(&out);
}

static void tear_down(void)
{
    buf_fini(&out);
}

static Suite *suite(void)
{
    Suite *s = suite_create("output");
    TCase *t = tcase_create("output");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, chat_answer_is_the_openai_line_in_openais_order);
    tcase_add_test(t, completion_answer_is_a_text_completion);
    tcase_add_test(t, several_answers_and_their_logprobs_stand_as_they_were_stored);
    tcase_add_test(t, refused_request_has_its_status_and_openais_error_object);
    tcase_add_test(t, row_that_was_not_executed_has_no_response);
    tcase_add_test(t, status_follows_from_the_code);
    tcase_add_test(t, server_error_has_its_own_type);
    tcase_add_test(t, same_row_has_the_same_ids_in_every_export_and_another_row_others);
    tcase_add_test(t, answer_that_is_not_utf8_gets_replacement_characters);
    tcase_add_test(t, answer_with_line_breaks_stays_one_line);
    tcase_add_test(t, unknown_model_and_missing_answer_are_null_and_empty);
    tcase_add_test(t, short_json_line_has_six_members);
    tcase_add_test(t, short_json_line_says_when_the_answer_was_reused);
    tcase_add_test(t, csv_quotes_what_rfc_4180_wants_quoted);
    tcase_add_test(t, only_csv_has_a_head);
    tcase_add_test(t, format_names_are_read);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
