/* test_messages.c - a chat's messages in the form that a template takes, and the lines of render.
 */
#include "model/messages.h"

#include <string.h>

#include "clients/render_line.h"
#include "model/chat.h"
#include "tests/test.h"

/* JSON with ' for ". */
static json_t *read_json(const char *text)
{
    char json[1024];
    json_t *v;

    snprintf(json, sizeof json, "%s", text);
    for (char *p = json; *p; p++)
        if (*p == '\'') *p = '"';
    v = json_loads(json, 0, NULL);
    ck_assert_msg(v != NULL, "%s", text);
    return v;
}

/* What the template makes of the messages, or the refusal. */
static int render(const char *template, const char *messages, char text[512])
{
    struct chat *c;
    struct errmsg e = {""};
    struct buf out = {0};
    json_t *m = read_json(messages);
    int rc = chat_from_text(&c, template, strlen(template), NULL, NULL, "t", &e);

    ck_assert_msg(!rc, "%s", e.text);
    rc = chat_render(c, m, true, NULL, &out, &e);
    snprintf(text, 512, "%s", rc ? e.text : out.data ? out.data : "");
    chat_close(&c);
    json_decref(m);
    buf_fini(&out);
    return rc;
}

static void renders(const char *template, const char *messages, const char *want)
{
    char text[512];
    int rc = render(template, messages, text);

    ck_assert_msg(!rc && !strcmp(text, want), "%s\n gave '%s'\n not '%s'", template, text, want);
}

#define TEXT  "[{'role':'user','content':'p'}]"
#define PARTS "[{'role':'user','content':[{'type':'text','text':'p'},{'type':'text','text':'q'}]}]"
#define PRINT "{{ messages[0].content }}"
#define LOOP                                                                                       \
    "{% for m in messages %}{% for c in m['content'] %}({{ c.text }}){% endfor %}{% endfor %}"
#define BOTH                                                                                       \
    "{% for m in messages %}{% set x = m.content %}{% if x is string %}{{ x }}{% else %}"          \
    "{% for c in x if c.type == 'text' %}({{ c.text }}){% endfor %}{% endif %}{% endfor %}"

START_TEST(content_comes_in_the_form_that_the_template_takes)
{
    renders(PRINT, TEXT, "p");
    renders(PRINT, PARTS, "p\nq");
    renders(LOOP, TEXT, "(p)");
    renders(LOOP, PARTS, "(p)(q)");
    renders(BOTH, TEXT, "p");
    renders(BOTH, PARTS, "(p)(q)");
    renders(PRINT, "[{'role':'user','content':null}]", "None");
    renders(PRINT "{{ messages|length }}", "[{'role':'user'}]", "1");
}
END_TEST

START_TEST(a_part_that_is_no_text_is_refused_by_name)
{
    char text[512];

    ck_assert_int_eq(render(PRINT,
                            "[{'role':'user','content':'a'},{'role':'user','content':[{'type':"
                            "'text','text':'a'},{'type':'image_url','image_url':{}}]}]",
                            text),
                     ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(text, "messages[1].content[1] has the type \"image_url\""));
    ck_assert_int_eq(render(LOOP, "[{'content':[{'type':'text'}]}]", text), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(text, "messages[0].content[0] must have a text"));
    ck_assert_int_eq(render(PRINT, "[{'content':['a']}]", text), ERR_ARG);
    ck_assert_int_eq(render(PRINT, "['a']", text), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(text, "messages[0] must be an object"));
    ck_assert_int_eq(render(PRINT, "{}", text), ERR_ARG);
}
END_TEST

START_TEST(a_tool_calls_arguments_are_an_object)
{
#define CALLS(arguments)                                                                           \
    "[{'role':'assistant','content':'','tool_calls':[{'id':'1','function':{'name':'f',"            \
    "'arguments':" arguments "}}]}]"
#define SHOW "{{ messages[0].tool_calls[0].function.arguments|tojson }}"
    char text[512];
    json_t *m = read_json(CALLS("'A'"));
    json_t *f = json_object_get(
        json_array_get(json_object_get(json_array_get(m, 0), "tool_calls"), 0), "function");
    struct chat *c;
    struct errmsg e;
    struct buf out = {0};

    renders(SHOW, CALLS("{'a':1}"), "{\"a\": 1}");
    renders(SHOW, CALLS("'no json'"), "\"no json\"");
    ck_assert_int_eq(render(SHOW, CALLS("null"), text), 0);
    json_object_set_new(f, "arguments", json_string("{\"b\": [2]}"));
    ck_assert_int_eq(chat_from_text(&c, SHOW, strlen(SHOW), NULL, NULL, "t", &e), 0);
    ck_assert_msg(!chat_render(c, m, true, NULL, &out, &e), "%s", e.text);
    ck_assert_str_eq(out.data, "{\"b\": [2]}");
    ck_assert(json_is_string(json_object_get(f, "arguments"))); /* the caller's are not touched */
    chat_close(&c);
    buf_fini(&out);
    json_decref(m);
}
END_TEST

/* ---- lines ---- */

static int parse(struct render_line *r, const char *text, struct errmsg *e)
{
    e->text[0] = '\0';
    return render_line_parse(r, text, strlen(text), e);
}

START_TEST(a_line_is_messages_or_an_object_or_a_batch_line)
{
    struct render_line r = {0};
    struct errmsg e;

    ck_assert_int_eq(parse(&r, "[{\"role\":\"user\"}]", &e), 0);
    ck_assert_uint_eq(json_array_size(r.messages), 1);
    ck_assert_uint_eq(json_object_size(r.vars), 0);
    ck_assert(!r.no_generation_prompt);
    ck_assert_int_eq(parse(&r,
                           "{\"messages\":[],\"tools\":[1],\"documents\":[],\"temperature\":0,"
                           "\"chat_template_kwargs\":{\"enable_thinking\":false},"
                           "\"add_generation_prompt\":false}",
                           &e),
                     0);
    ck_assert(r.no_generation_prompt);
    ck_assert_uint_eq(json_object_size(r.vars), 2); /* an empty list is none */
    ck_assert(json_is_false(json_object_get(r.vars, "enable_thinking")));
    ck_assert_uint_eq(json_array_size(json_object_get(r.vars, "tools")), 1);
    ck_assert_int_eq(parse(&r,
                           "{\"custom_id\":\"a\",\"url\":\"/v1/chat/completions\",\"body\":"
                           "{\"messages\":[1,2],\"tools\":null}}",
                           &e),
                     0);
    ck_assert_uint_eq(json_array_size(r.messages), 2);
    ck_assert(!r.no_generation_prompt);
    render_line_fini(&r);
}
END_TEST

START_TEST(a_bad_line_is_refused_by_name)
{
    static const struct {
        const char *line, *word;
    } CASES[] = {
        {"{", "column 1"},
        {"\"text\"", "neither"},
        {"\xFF", "UTF-8 at byte 0"},
        {"{\"a\":1}", "no messages"},
        {"{\"prompt\":\"x\"}", "no chat"},
        {"{\"messages\":{}}", "messages is not an array"},
        {"{\"body\":[]}", "body is not"},
        {"{\"messages\":[],\"tools\":{}}", "tools is not"},
        {"{\"messages\":[],\"chat_template_kwargs\":[]}", "chat_template_kwargs is not"},
        {"{\"messages\":[],\"add_generation_prompt\":1}", "add_generation_prompt is neither"},
        {"{\"messages\":[],\"chat_template\":\"\"}", "chat_template is not supported"},
        {"{\"messages\":[],\"continue_final_message\":true}", "continue_final_message"},
    };
    struct render_line r = {0};
    struct errmsg e;

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ck_assert_int_ne(parse(&r, CASES[i].line, &e), 0);
        ck_assert_msg(strstr(e.text, CASES[i].word) != NULL, "%s: %s", CASES[i].line, e.text);
    }
    render_line_fini(&r);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("messages");
    TCase *t = tcase_create("messages");

    tcase_add_test(t, content_comes_in_the_form_that_the_template_takes);
    tcase_add_test(t, a_part_that_is_no_text_is_refused_by_name);
    tcase_add_test(t, a_tool_calls_arguments_are_an_object);
    tcase_add_test(t, a_line_is_messages_or_an_object_or_a_batch_line);
    tcase_add_test(t, a_bad_line_is_refused_by_name);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
