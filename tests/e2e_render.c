/* e2e_render.c - the command render: what a model's template makes of a file of chats. */
#include <string.h>

#include "tests/process.h"
#include "tests/test.h"

#define CONFIG                                                                                     \
    "{\"bos_token\":\"<s>\",\"chat_template\":\"{{ bos_token }}{% for m in messages %}[{{ m.role " \
    "}}]{{ m.content }}\\n{% endfor %}{% if add_generation_prompt %}>{% endif %}{{ mood }}\"}"

/* Runs render on these lines; the exit code, and what it wrote is `out` and somewhere has `said`.
 */
static int run(const char *lines, const char *out, const char *said, const char *option)
{
    struct process p;
    struct buf text;
    const char *file = test_file("in.jsonl", lines, strlen(lines));
    int code = PROCESS_RUN(&p, 20, "render", "-m", test_dir(), file, option);

    text = process_read(p.out);
    ck_assert_str_eq(text.data ? text.data : "", out);
    buf_fini(&text);
    text = process_read(p.err);
    ck_assert_msg(strstr(text.data ? text.data : "", said) != NULL, "%s", text.data);
    buf_fini(&text);
    return code;
}

START_TEST(a_chat_a_line_becomes_a_string_a_line_and_a_bad_one_is_named)
{
    test_file("tokenizer_config.json", CONFIG, strlen(CONFIG));
    ck_assert_int_eq(run("[{\"role\":\"user\",\"content\":\"a \\\"b\\\"\\u0000\"}]\n\n"
                         "{\"body\":{\"messages\":[{\"role\":\"u\",\"content\":\"c\"}],"
                         "\"chat_template_kwargs\":{\"mood\":\"!\"}}}",
                         "\"<s>[user]a \\\"b\\\"\\u0000\\n>\"\n\"<s>[u]c\\n>!\"\n", "", NULL),
                     0);
    ck_assert_int_eq(run("[]\nrubbish\n[]", "\"<s>>\"\nnull\n\"<s>>\"\n", "line 2: column", NULL),
                     1);
    ck_assert_int_eq(run("[]", "\"<s>\"\n", "", "--no-generation-prompt"), 0);
}
END_TEST

START_TEST(raw_is_the_plain_text_of_one_prompt)
{
    test_file("tokenizer_config.json", CONFIG, strlen(CONFIG));
    ck_assert_int_eq(run("[{\"role\":\"u\",\"content\":\"c\"}]", "<s>[u]c\n>", "", "--raw"), 0);
    ck_assert_int_eq(run("[]\n[]", "<s>>", "line 2 is another", "--raw"), 2);
}
END_TEST

static void put(struct buf *b, const void *value, size_t n)
{
    ck_assert_int_eq(buf_add(b, value, n), 0);
}

static void put_text(struct buf *b, const char *text)
{
    uint64_t n = strlen(text);

    put(b, &n, sizeof n);
    put(b, text, n);
}

START_TEST(a_gguf_file_brings_its_template)
{
    struct process p;
    struct buf b = {0}, text;
    uint32_t head = 3, string = 8;
    uint64_t counts[2] = {0, 2}; /* tensors, keys */
    const char *chat = "[{\"role\":\"u\",\"content\":\"c\"}]";
    const char *file = test_file("in.jsonl", chat, strlen(chat));

    put(&b, "GGUF", 4);
    put(&b, &head, sizeof head);
    put(&b, counts, sizeof counts);
    put_text(&b, "general.architecture");
    put(&b, &string, sizeof string);
    put_text(&b, "llama");
    put_text(&b, "tokenizer.chat_template");
    put(&b, &string, sizeof string);
    put_text(&b, "<{{ messages[0].content }}>");
    test_file("m.gguf", b.data, b.len);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "render", "-m", test_path("m.gguf"), file), 0);
    text = process_read(p.out);
    ck_assert_str_eq(text.data, "\"<c>\"\n");
    buf_fini(&text);
    buf_fini(&b);
}
END_TEST

START_TEST(without_a_template_or_a_model_it_says_so)
{
    struct process p;

    ck_assert_int_eq(run("[]", "", "no chat template", NULL), 3);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "render"), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "render", "-m", test_path("none")), 3);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("e2e_render");
    TCase *t = tcase_create("render");

    tcase_add_test(t, a_chat_a_line_becomes_a_string_a_line_and_a_bad_one_is_named);
    tcase_add_test(t, raw_is_the_plain_text_of_one_prompt);
    tcase_add_test(t, a_gguf_file_brings_its_template);
    tcase_add_test(t, without_a_template_or_a_model_it_says_so);
    tcase_set_timeout(t, 30);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
