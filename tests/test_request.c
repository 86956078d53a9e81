/* test_request.c - clients/request: what a line of input may be, and what bad input gets. */
#include <string.h>

#include "clients/field_counts.h"
#include "clients/request.h"
#include "clients/request_fields.h"
#include "tests/same_request.h"
#include "tests/test.h"

static struct request q;
static struct row_error err;
static struct field_counts ignored;

static int parse_bytes(const char *bytes, size_t len)
{
    struct request_format f = {.max_bytes = 1000};
    struct line l = {.bytes = bytes, .len = len, .number = 7};

    return same_request(&q, &l, &f, &ignored, &err);
}

static int parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void expect_body(const char *text, enum endpoint endpoint, const char *body)
{
    ck_assert_msg(parse(text) == ERR_OK, "%s: %s", text, err.message);
    ck_assert_int_eq(q.endpoint, endpoint);
    ck_assert_str_eq(q.body.data, body);
}

static void expect_error(const char *text, const char *code, const char *param)
{
    ck_assert_msg(parse(text) == ERR_FORMAT, "%s was accepted", text);
    ck_assert_msg(!strcmp(err.code, code), "%s: %s, not %s (%s)", text, err.code, code,
                  err.message);
    ck_assert_msg(!strcmp(err.param, param), "%s: param %s", text, err.param);
    ck_assert_int_eq(err.line, 7);
    ck_assert_msg(strstr(err.message, param), "%s: %s", text, err.message);
}

/* A chat with one more member in its body. */
static const char *with(const char *member)
{
    static char text[1024];

    snprintf(text, sizeof text, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],%s}",
             member);
    return text;
}

static void expect_good_member(const char *member)
{
    ck_assert_msg(parse(with(member)) == ERR_OK, "%s: %s", member, err.message);
}

START_TEST(openai_batch_line_gives_id_endpoint_model_and_body)
{
    expect_body("{\"custom_id\": \"r-1\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", "
                "\"body\": {\"model\": \"m 1\", \"messages\": [{\"role\": \"user\", \"content\": "
                "\"Hi,  you\"}], \"temperature\": 0.7}}",
                ENDPOINT_CHAT,
                "{\"model\":\"m 1\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi,  you\"}],"
                "\"temperature\":0.7}");
    ck_assert(q.has_custom_id);
    ck_assert_str_eq(q.custom_id.data, "r-1");
    ck_assert_str_eq(q.model.data, "m 1");
    expect_body("{\"custom_id\":\"r-2\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"p\"}}",
                ENDPOINT_COMPLETION, "{\"prompt\":\"p\"}");
    ck_assert_uint_eq(q.model.len, 0);
}
END_TEST

START_TEST(missing_method_and_url_are_filled_in_by_the_bodys_shape)
{
    expect_body("{\"custom_id\":\"a\",\"body\":{\"prompt\":\"p\"}}", ENDPOINT_COMPLETION,
                "{\"prompt\":\"p\"}");
    expect_body("{\"body\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}", ENDPOINT_CHAT,
                "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    ck_assert(!q.has_custom_id);
}
END_TEST

START_TEST(short_forms_keep_the_parameters_beside_them)
{
    expect_body("{\"custom_id\":\"a\", \"prompt\":\"p\", \"max_tokens\": 5}", ENDPOINT_COMPLETION,
                "{\"prompt\":\"p\",\"max_tokens\":5}");
    ck_assert_str_eq(q.custom_id.data, "a");
    expect_body("{\"top_k\":3,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                "\"custom_id\":\"b\",\"url\":\"/v1/chat/completions\"}",
                ENDPOINT_CHAT,
                "{\"top_k\":3,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    ck_assert_str_eq(q.custom_id.data, "b");
}
END_TEST

START_TEST(body_keeps_numbers_and_escapes_as_the_user_spelled_them)
{
    expect_body(
        "{\"prompt\" : \"a \\u00e4 \\\"}{\\\\\" , \"temperature\" : 0.70 , \"x\" : [ 1e2 ] }",
        ENDPOINT_COMPLETION,
        "{\"prompt\":\"a \\u00e4 \\\"}{\\\\\",\"temperature\":0.70,\"x\":[1e2]}");
}
END_TEST

START_TEST(escaped_and_repeated_keys_mean_what_json_says)
{
    expect_body("{\"b\\u006fdy\":{\"prompt\":\"last\"},\"custom\\u005fid\":\"a\"}",
                ENDPOINT_COMPLETION, "{\"prompt\":\"last\"}");
    ck_assert_str_eq(q.custom_id.data, "a");
    expect_body("{\"body\":{\"prompt\":\"first\"},\"bod\\u0079\":{\"prompt\":\"last\"}}",
                ENDPOINT_COMPLETION, "{\"prompt\":\"last\"}");
    expect_body("{\"custom\\u005fid\":\"a\",\"prompt\":\"p\",\"custom_id\":\"b\"}",
                ENDPOINT_COMPLETION, "{\"prompt\":\"p\"}");
    ck_assert_str_eq(q.custom_id.data, "b");
}
END_TEST

START_TEST(text_parts_are_joined_by_newlines)
{
    expect_body("{\"temperature\":0.1,\"messages\":[{\"role\":\"user\",\"content\":["
                "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"\\u00e4\"}]}]}",
                ENDPOINT_CHAT,
                "{\"temperature\":0.1,\"messages\":[{\"role\":\"user\",\"content\":"
                "\"a\\n\xC3\xA4\"}]}");
    expect_body("{\"custom_id\":\"a\",\"body\":{\"url\":1,\"messages\":[{\"role\":\"user\","
                "\"content\":[{\"type\":\"text\",\"text\":\"\"}]}]}}",
                ENDPOINT_CHAT, "{\"url\":1,\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}");
}
END_TEST

START_TEST(plain_text_line_is_a_chat_or_a_completion_as_the_caller_says)
{
    struct request_format f = {.text = true, .text_endpoint = ENDPOINT_CHAT};
    struct line l = {.bytes = " say \"hi\"\0", .len = 10, .number = 1};

    ck_assert_int_eq(request_parse(&q, &l, &f, NULL, &err), ERR_OK);
    ck_assert_str_eq(q.body.data, "{\"messages\":[{\"role\":\"user\",\"content\":"
                                  "\" say \\\"hi\\\"\\u0000\"}]}");
    f.text_endpoint = ENDPOINT_COMPLETION;
    ck_assert_int_eq(request_parse(&q, &l, &f, NULL, &err), ERR_OK);
    ck_assert_str_eq(q.body.data, "{\"prompt\":\" say \\\"hi\\\"\\u0000\"}");
    ck_assert_int_eq(q.endpoint, ENDPOINT_COMPLETION);
    ck_assert(!q.has_custom_id);
    l.bytes = "\xFF";
    l.len = 1;
    ck_assert_int_eq(request_parse(&q, &l, &f, NULL, &err), ERR_FORMAT);
    ck_assert_str_eq(err.code, "invalid_utf8");
}
END_TEST

START_TEST(line_that_is_no_json_is_an_error_row_with_line_and_column)
{
    expect_error("nope", "invalid_json_line", "");
    ck_assert_int_eq(err.column, 4);
    expect_error("{\"prompt\":\"\xC3\xA4\",}", "invalid_json_line", "");
    ck_assert_int_eq(err.column, 15); /* characters, not bytes */
    expect_error("{\"prompt\":\"a\"} {\"prompt\":\"b\"}", "invalid_json_line", "");
    expect_error("{\"prompt\":\"a", "invalid_json_line", "");
    expect_error("{\"prompt\":\"tab\there\"}", "invalid_json_line", "");
    expect_error("{\"prompt\":\"a\",\"seed\":99999999999999999999}", "invalid_json_line", "");
    ck_assert_ptr_nonnull(strstr(err.message, "too big integer"));
    expect_error("{\"prompt\":\"a\",\"temperature\":NaN}", "invalid_json_line", "");
}
END_TEST

START_TEST(json_that_nests_too_deep_is_an_error_row)
{
    char text[6000];

    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(parse(text), ERR_FORMAT);
    ck_assert_str_eq(err.code, "invalid_json_line");
}
END_TEST

START_TEST(json_that_is_no_object_is_an_invalid_request)
{
    expect_error("[1,2]", "invalid_request", "");
    expect_error("\"text\"", "invalid_request", "");
    expect_error("null", "invalid_request", "");
    expect_error("12", "invalid_request", "");
}
END_TEST

START_TEST(missing_prompt_is_an_error_row)
{
    expect_error("{}", "invalid_request", "messages");
    expect_error("{\"model\":\"m\"}", "invalid_request", "messages");
    expect_error("{\"prompt\":null}", "invalid_request", "messages");
    expect_error("{\"custom_id\":\"a\",\"method\":\"POST\"}", "invalid_request", "body");
    expect_error("{\"custom_id\":\"a\",\"body\":null}", "invalid_request", "body");
    expect_error("{\"custom_id\":\"a\",\"body\":[]}", "invalid_request", "body");
    expect_error("{\"url\":\"/v1/completions\",\"body\":{}}", "invalid_request", "prompt");
    expect_error("{\"url\":\"/v1/chat/completions\",\"body\":{}}", "invalid_request", "messages");
    expect_error("{\"prompt\":\"a\",\"messages\":[]}", "invalid_request", "prompt");
    expect_error("{\"url\":\"/v1/completions\",\"body\":{\"messages\":[1]}}", "invalid_request",
                 "messages");
}
END_TEST

START_TEST(wrong_types_in_messages_name_the_place)
{
    expect_error("{\"messages\":\"hi\"}", "invalid_request", "messages");
    expect_error("{\"messages\":[]}", "invalid_request", "messages");
    expect_error("{\"messages\":[\"hi\"]}", "invalid_request", "messages[0]");
    expect_error("{\"messages\":[{\"content\":\"x\"}]}", "invalid_request", "messages[0].role");
    expect_error("{\"messages\":[{\"role\":\"\",\"content\":\"x\"}]}", "invalid_request",
                 "messages[0].role");
    expect_error("{\"messages\":[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\"}]}",
                 "invalid_request", "messages[1].content");
    expect_error("{\"messages\":[{\"role\":\"user\",\"content\":1}]}", "invalid_request",
                 "messages[0].content");
    expect_error("{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "invalid_request",
                 "messages[0].content");
    expect_error("{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", "invalid_request",
                 "messages[0].content[0]");
    expect_error("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
                 "invalid_request", "messages[0].content[0]");
    expect_error("{\"prompt\":5}", "invalid_request", "prompt");
}
END_TEST

START_TEST(content_that_is_no_text_is_refused_by_its_type)
{
    expect_error(
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"image_url\",\"image_url\":{}}]}]}",
        "unsupported_parameter", "messages[0].content[1]");
    ck_assert_ptr_nonnull(strstr(err.message, "image_url"));
    expect_error("{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}",
                 "unsupported_parameter", "messages[0].tool_calls");
    expect_error("{\"prompt\":[\"a\",\"b\"]}", "unsupported_parameter", "prompt");
    expect_error("{\"prompt\":[1,2]}", "unsupported_parameter", "prompt");
}
END_TEST

START_TEST(stream_true_is_an_error_row_that_names_stream)
{
    expect_error(with("\"stream\":true"), "invalid_request", "stream");
    expect_good_member("\"stream\":false");
}
END_TEST

START_TEST(unknown_url_is_an_error_row_that_names_it)
{
    expect_error("{\"custom_id\":\"a\",\"url\":\"/v1/embeddings\",\"body\":{\"prompt\":\"x\"}}",
                 "url_mismatch", "url");
    ck_assert_ptr_nonnull(strstr(err.message, "/v1/embeddings"));
    expect_error("{\"url\":5,\"body\":{\"prompt\":\"x\"}}", "invalid_request", "url");
    expect_error("{\"method\":\"GET\",\"body\":{\"prompt\":\"x\"}}", "invalid_request", "method");
}
END_TEST

START_TEST(custom_id_is_a_string_of_1_to_512_bytes)
{
    char text[700], id[600];

    expect_error("{\"custom_id\":5,\"prompt\":\"x\"}", "invalid_request", "custom_id");
    expect_error("{\"custom_id\":\"\",\"prompt\":\"x\"}", "invalid_request", "custom_id");
    for (int n = 512; n <= 513; n++) {
        memset(id, 'i', sizeof id);
        id[n] = '\0';
        snprintf(text, sizeof text, "{\"custom_id\":\"%s\",\"prompt\":\"x\"}", id);
        ck_assert_int_eq(parse(text), n == 512 ? ERR_OK : ERR_FORMAT);
    }
    ck_assert_ptr_nonnull(strstr(err.message, "513 bytes"));
    ck_assert_int_eq(parse("{\"custom_id\":null,\"prompt\":\"x\"}"), ERR_OK);
    ck_assert(!q.has_custom_id);
}
END_TEST

START_TEST(error_row_keeps_the_lines_own_id)
{
    expect_error("{\"custom_id\":\"mine\",\"prompt\":\"x\",\"n\":0}", "invalid_request", "n");
    ck_assert(q.has_custom_id); /* R3 */
    ck_assert_str_eq(q.custom_id.data, "mine");
    expect_error("nope", "invalid_json_line", "");
    ck_assert(!q.has_custom_id);
}
END_TEST

START_TEST(numbers_out_of_range_are_refused_by_name_and_value)
{
    static const struct {
        const char *param, *bad[6], *good[5];
    } CASES[] = {
        {"max_tokens", {"0", "-1", "1.5", "\"5\"", "2147483648", "true"}, {"1", "2147483647"}},
        {"max_completion_tokens", {"0", "16.0"}, {"16", "null"}},
        {"temperature", {"-0.1", "2.1", "\"0\"", "[]"}, {"0", "2", "0.7", "2.0"}},
        {"top_p", {"0", "0.0", "1.01", "-1"}, {"1", "0.001", "1.0"}},
        {"top_k", {"-2", "1.5", "\"1\""}, {"-1", "0", "1", "50"}},
        {"min_p", {"-0.1", "1.1", "true"}, {"0", "1", "0.05"}},
        {"seed", {"1.5", "\"x\"", "true"}, {"0", "-1", "9223372036854775807"}},
        {"min_tokens", {"-1", "0.5"}, {"0", "5"}},
        {"ignore_eos", {"1", "\"true\""}, {"true", "false"}},
        {"model", {"\"\"", "5", "[]"}, {"\"m\"", "null"}},
        {"n", {"0", "\"1\"", "1.5", "129"}, {"1", "128", "null"}},
        {"best_of", {"0", "1.5", "129"}, {"1", "null"}},
        {"presence_penalty", {"-2.1", "2.1", "\"1\""}, {"-2", "0", "0.5", "2"}},
        {"frequency_penalty", {"-2.1", "3", "true"}, {"-2", "0.0", "-0.5", "2"}},
        {"repetition_penalty", {"0", "-1", "101", "\"1\""}, {"1", "1.1", "0.5", "100"}},
        {"skip_special_tokens", {"1", "\"true\""}, {"true", "false", "null"}},
        {"include_stop_str_in_output", {"1", "\"true\""}, {"true", "false", "null"}},
        {"stop_token_ids", {"1", "[-1]", "[1.5]", "[\"1\"]", "{}"}, {"[]", "[1]", "[0,5,128001]"}},
        {"allowed_token_ids", {"[]", "[-1]", "5", "[true]"}, {"[0]", "[7,8]", "null"}},
        {"logit_bias",
         {"[]", "{\"a\":1}", "{\"1\":101}", "{\"-1\":1}", "{\"1\":\"1\"}", "{\"\":1}"},
         {"{}", "{\"50256\":-100}", "{\"1\":0.5,\"2\":100}"}},
        {"chat_template_kwargs", {"[]", "\"x\"", "1"}, {"{}", "{\"enable_thinking\":false}"}},
        {"logprobs", {"5", "0", "\"true\""}, {"true", "false", "null"}},
        {"top_logprobs", {"-1", "21", "true", "3"}, {"0", "null"}},
    };
    char member[128];

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (size_t k = 0; k < 6 && CASES[i].bad[k]; k++) {
            snprintf(member, sizeof member, "\"%s\":%s", CASES[i].param, CASES[i].bad[k]);
            expect_error(with(member), "invalid_request", CASES[i].param);
        }
        for (size_t k = 0; k < 5 && CASES[i].good[k]; k++) {
            snprintf(member, sizeof member, "\"%s\":%s", CASES[i].param, CASES[i].good[k]);
            expect_good_member(member);
        }
    }
    expect_error(with("\"temperature\":3"), "invalid_request", "temperature");
    ck_assert_str_eq(err.message, "temperature must be a number from 0 to 2, not 3");
    expect_error(with("\"min_tokens\":9,\"max_tokens\":8"), "invalid_request", "min_tokens");
    expect_good_member("\"min_tokens\":9,\"max_tokens\":8,\"max_completion_tokens\":9");
}
END_TEST

START_TEST(stop_is_a_string_or_up_to_sixteen)
{
    expect_good_member("\"stop\":\"a\"");
    expect_good_member("\"stop\":[]");
    expect_good_member("\"stop\":[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
                       "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]");
    expect_error(with("\"stop\":[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
                      "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"]"),
                 "invalid_request", "stop");
    expect_error(with("\"stop\":\"\""), "invalid_request", "stop");
    expect_error(with("\"stop\":[\"a\",\"\"]"), "invalid_request", "stop");
    expect_error(with("\"stop\":[1]"), "invalid_request", "stop");
    expect_error(with("\"stop\":1"), "invalid_request", "stop");
}
END_TEST

START_TEST(logprobs_are_a_flag_in_a_chat_and_a_number_in_a_completion)
{
    expect_good_member("\"logprobs\":true,\"top_logprobs\":20");
    expect_error(with("\"logprobs\":false,\"top_logprobs\":3"), "invalid_request", "top_logprobs");
    ck_assert_str_eq(err.message, "top_logprobs needs logprobs to be true");
    ck_assert_int_eq(parse("{\"prompt\":\"x\",\"logprobs\":0}"), ERR_OK);
    ck_assert_int_eq(parse("{\"prompt\":\"x\",\"logprobs\":20}"), ERR_OK);
    ck_assert_int_eq(parse("{\"prompt\":\"x\",\"logprobs\":false}"), ERR_OK);
    expect_error("{\"prompt\":\"x\",\"logprobs\":21}", "invalid_request", "logprobs");
    ck_assert_str_eq(err.message, "logprobs must be an integer from 0 to 20, not 21");
    expect_error("{\"prompt\":\"x\",\"logprobs\":true}", "invalid_request", "logprobs");
    expect_error("{\"prompt\":\"x\",\"logprobs\":2,\"top_logprobs\":3}", "invalid_request",
                 "top_logprobs");
}
END_TEST

START_TEST(best_of_more_than_n_is_unsupported_and_names_both)
{
    expect_good_member("\"n\":3,\"best_of\":3");
    expect_error(with("\"n\":3,\"best_of\":5"), "unsupported_parameter", "best_of");
    ck_assert_ptr_nonnull(strstr(err.message, "best_of is 5 and n is 3"));
}
END_TEST

START_TEST(field_that_we_lack_and_that_changes_the_answer_is_refused_by_name)
{
    static const char *const BAD[] = {
        "tools:[{}]",
        "tool_choice:\"required\"",
        "functions:[{}]",
        "function_call:{\"name\":\"f\"}",
        "response_format:{\"type\":\"json_object\"}",
        "response_format:{\"type\":\"json_schema\",\"json_schema\":{}}",
        "echo:true",
        "suffix:\"s\"",
        "best_of:2",
        "guided_json:{}",
        "guided_choice:[\"a\"]",
        "structured_outputs:{\"json\":{}}",
        "audio:{}",
        "modalities:[\"text\",\"audio\"]",
        "prediction:{}",
        "reasoning_effort:\"low\"",
        "web_search_options:{}",
        "bad_words:[\"x\"]",
        "logits_processors:[\"x\"]",
        "prompt_logprobs:0",
        "truncate_prompt_tokens:-1",
        "add_generation_prompt:false",
        "add_special_tokens:true",
        "chat_template:\"\"",
        "lora_request:{}",
        "use_beam_search:true",
        "continue_final_message:true",
    };
    char member[128], name[64];

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        const char *colon = strchr(BAD[i], ':');

        snprintf(name, sizeof name, "%.*s", (int)(colon - BAD[i]), BAD[i]);
        snprintf(member, sizeof member, "\"%s\"%s", name, colon);
        expect_error(with(member), "unsupported_parameter", name);
        snprintf(member, sizeof member, "\"%s\":null", name);
        expect_good_member(member);
    }
    ck_assert_int_eq(ignored.n, 0);
}
END_TEST

START_TEST(lacking_field_with_the_value_that_changes_nothing_is_accepted)
{
    static const char *const GOOD[] = {
        "\"tools\":[]",
        "\"tool_choice\":\"none\"",
        "\"tool_choice\":\"auto\"",
        "\"response_format\":{\"type\":\"text\"}",
        "\"logit_bias\":{}",
        "\"logprobs\":false",
        "\"top_logprobs\":0",
        "\"echo\":false",
        "\"suffix\":\"\"",
        "\"best_of\":1",
        "\"modalities\":[\"text\"]",
        "\"presence_penalty\":0",
        "\"frequency_penalty\":0.0",
        "\"repetition_penalty\":1.0",
        "\"repetition_penalty\":1",
        "\"bad_words\":[]",
        "\"add_generation_prompt\":true",
        "\"add_special_tokens\":false",
        "\"skip_special_tokens\":true",
        "\"user\":\"u\",\"metadata\":{\"k\":\"v\"},\"store\":true,\"service_tier\":\"auto\"",
    };

    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        expect_good_member(GOOD[i]);
    ck_assert_int_eq(ignored.n, 0);
    ck_assert_int_eq(parse("{\"prompt\":\"x\",\"add_special_tokens\":true}"), ERR_OK);
    expect_error("{\"prompt\":\"x\",\"add_special_tokens\":false}", "unsupported_parameter",
                 "add_special_tokens");
}
END_TEST

START_TEST(unknown_fields_are_ignored_and_counted_by_name)
{
    expect_good_member("\"colour\":\"red\",\"absent\":null");
    expect_good_member("\"colour\":\"red\"");
    expect_body("{\"custom_id\":\"a\",\"note\":1,\"body\":{\"prompt\":\"x\",\"shape\":2}}",
                ENDPOINT_COMPLETION, "{\"prompt\":\"x\",\"shape\":2}");
    ck_assert_int_eq(ignored.n, 3);
    ck_assert_str_eq(ignored.at[0].name, "colour");
    ck_assert_int_eq(ignored.at[0].count, 2);
    ck_assert_str_eq(ignored.at[1].name, "shape");
    ck_assert_str_eq(ignored.at[2].name, "note");
}
END_TEST

START_TEST(counts_of_ignored_fields_are_bounded)
{
    char name[100];

    for (int i = 0; i < 100; i++) {
        memset(name, 'n', sizeof name);
        name[0] = (char)('0' + i / 10);
        name[1] = (char)('0' + i % 10);
        field_counts_add(&ignored, name, sizeof name);
    }
    ck_assert_int_eq(ignored.n, FIELD_COUNTS_NAMES);
    ck_assert_int_eq(ignored.others, 100 - FIELD_COUNTS_NAMES);
    ck_assert_uint_eq(strlen(ignored.at[0].name), 63);
}
END_TEST

START_TEST(field_table_is_in_order_and_every_name_is_found)
{
    const char *last = "", *name;

    for (size_t i = 0; (name = request_field_name(i)); i++) {
        ck_assert_msg(strcmp(last, name) < 0, "%s comes after %s", name, last);
        ck_assert_int_ne(request_field_kind(name), FIELD_UNKNOWN);
        last = name;
    }
    ck_assert_int_eq(request_field_kind("colour"), FIELD_UNKNOWN);
}
END_TEST

START_TEST(invalid_utf8_is_an_error_row_that_names_the_byte)
{
    static const char TEXT[] = "{\"prompt\":\"\xC3\xA4\xFF\"}";

    expect_error(TEXT, "invalid_utf8", "");
    ck_assert_int_eq(err.column, 13);
    ck_assert_ptr_nonnull(strstr(err.message, "byte 14"));
    ck_assert_ptr_nonnull(strstr(err.message, "0xFF"));
    expect_error("{\"prompt\":\"\xED\xA0\x80\"}", "invalid_utf8", ""); /* a surrogate's bytes */
    expect_error("\xFF\xFE{", "invalid_utf8", "");                     /* UTF-16 */
}
END_TEST

START_TEST(lone_surrogate_is_an_error_row)
{
    expect_error("{\"prompt\":\"\\ud800\"}", "invalid_json_line", "");
    ck_assert_ptr_nonnull(strstr(err.message, "lone surrogate"));
    expect_error("{\"prompt\":\"\\udc00 x\"}", "invalid_json_line", "");
    expect_body("{\"prompt\":\"\\ud83d\\ude00\"}", ENDPOINT_COMPLETION,
                "{\"prompt\":\"\\ud83d\\ude00\"}");
}
END_TEST

START_TEST(nul_character_is_allowed)
{
    expect_body("{\"custom_id\":\"a\\u0000b\",\"prompt\":\"x\\u0000y\"}", ENDPOINT_COMPLETION,
                "{\"prompt\":\"x\\u0000y\"}");
    ck_assert_uint_eq(q.custom_id.len, 3);
    ck_assert_mem_eq(q.custom_id.data, "a\0b", 3);
    ck_assert_int_eq(parse_bytes("{\"prompt\":\"a\0b\"}", 16), ERR_FORMAT); /* a raw one is not */
}
END_TEST

START_TEST(line_over_the_limit_is_an_error_row_with_both_numbers)
{
    struct request_format f = {.max_bytes = 1000};
    struct line l = {.len = 1234567, .number = 3, .too_long = true};

    ck_assert_int_eq(request_parse(&q, &l, &f, NULL, &err), ERR_FORMAT);
    ck_assert_str_eq(err.code, "line_too_long");
    ck_assert_str_eq(err.message, "the line has 1234567 bytes, the limit is 1000");
    ck_assert_int_eq(err.line, 3);
}
END_TEST

START_TEST(message_quotes_what_it_names_without_control_characters)
{
    char out[16];

    row_error_quote(out, sizeof out, "a\x1b[2J\n\xC2\x9B", 8);
    ck_assert_str_eq(out, "a?[2J??");
    row_error_quote(out, sizeof out, "0123456789abcde", 15);
    ck_assert_str_eq(out, "0123456789abcde");
    row_error_quote(out, sizeof out, "0123456789abcdef", 16);
    ck_assert_str_eq(out, "0123456789ab...");
    row_error_quote(out, sizeof out, "0123456789a\xC3\xA4_____", 18);
    ck_assert_str_eq(out, "0123456789a...");
}
END_TEST

static void set_up(void)
{
    request_init(&q);
    memset(&ignored, 0, sizeof ignored);
}

static void tear_down(void)
{
    request_fini(&q);
}

static void add_forms(TCase *t)
{
    tcase_add_test(t, openai_batch_line_gives_id_endpoint_model_and_body);
    tcase_add_test(t, missing_method_and_url_are_filled_in_by_the_bodys_shape);
    tcase_add_test(t, short_forms_keep_the_parameters_beside_them);
    tcase_add_test(t, body_keeps_numbers_and_escapes_as_the_user_spelled_them);
    tcase_add_test(t, escaped_and_repeated_keys_mean_what_json_says);
    tcase_add_test(t, text_parts_are_joined_by_newlines);
    tcase_add_test(t, plain_text_line_is_a_chat_or_a_completion_as_the_caller_says);
}

static void add_bad_input(TCase *t)
{
    tcase_add_test(t, line_that_is_no_json_is_an_error_row_with_line_and_column);
    tcase_add_test(t, json_that_nests_too_deep_is_an_error_row);
    tcase_add_test(t, json_that_is_no_object_is_an_invalid_request);
    tcase_add_test(t, missing_prompt_is_an_error_row);
    tcase_add_test(t, wrong_types_in_messages_name_the_place);
    tcase_add_test(t, content_that_is_no_text_is_refused_by_its_type);
    tcase_add_test(t, stream_true_is_an_error_row_that_names_stream);
    tcase_add_test(t, unknown_url_is_an_error_row_that_names_it);
    tcase_add_test(t, custom_id_is_a_string_of_1_to_512_bytes);
    tcase_add_test(t, error_row_keeps_the_lines_own_id);
    tcase_add_test(t, numbers_out_of_range_are_refused_by_name_and_value);
    tcase_add_test(t, stop_is_a_string_or_up_to_sixteen);
    tcase_add_test(t, logprobs_are_a_flag_in_a_chat_and_a_number_in_a_completion);
    tcase_add_test(t, best_of_more_than_n_is_unsupported_and_names_both);
    tcase_add_test(t, field_that_we_lack_and_that_changes_the_answer_is_refused_by_name);
    tcase_add_test(t, lacking_field_with_the_value_that_changes_nothing_is_accepted);
    tcase_add_test(t, unknown_fields_are_ignored_and_counted_by_name);
    tcase_add_test(t, counts_of_ignored_fields_are_bounded);
    tcase_add_test(t, field_table_is_in_order_and_every_name_is_found);
    tcase_add_test(t, invalid_utf8_is_an_error_row_that_names_the_byte);
    tcase_add_test(t, lone_surrogate_is_an_error_row);
    tcase_add_test(t, nul_character_is_allowed);
    tcase_add_test(t, line_over_the_limit_is_an_error_row_with_both_numbers);
    tcase_add_test(t, message_quotes_what_it_names_without_control_characters);
}

static Suite *suite(void)
{
    Suite *s = suite_create("request");
    TCase *forms = tcase_create("forms"), *bad = tcase_create("bad input");

    tcase_add_checked_fixture(forms, set_up, tear_down);
    tcase_add_checked_fixture(bad, set_up, tear_down);
    add_forms(forms);
    add_bad_input(bad);
    suite_add_tcase(s, forms);
    suite_add_tcase(s, bad);
    return s;
}

TEST_MAIN(suite)
