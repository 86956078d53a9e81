/* test_chat.c - chat templates: small ones for each rule, real ones against Jinja2's own output. */
#include "model/chat.h"

#include <string.h>

#include "model/jinja.h"
#include "model/model.h"
#include "tests/test.h"

#define NOON 1721995200 /* 2024-07-26 12:00 UTC, the time of the golden renderings */

/* Renders with these variables (JSON with ' for "); the text, or the failure's, in static storage.
 */
static int render(const char *template, const char *vars, char text[4096])
{
    struct jinja *j = NULL;
    struct errmsg e = {""};
    struct buf out = {0};
    char json[2048];
    json_t *v;
    int rc = jinja_open(&j, template, strlen(template), &e);

    snprintf(json, sizeof json, "%s", vars);
    for (char *p = json; *p; p++)
        if (*p == '\'') *p = '"';
    v = json_loads(json, 0, NULL);
    ck_assert_msg(v != NULL, "%s", vars);
    if (!rc) rc = jinja_render(j, v, NOON, &out, &e);
    snprintf(text, 4096, "%s", rc ? e.text : out.data ? out.data : "");
    json_decref(v);
    jinja_close(&j);
    buf_fini(&out);
    return rc;
}

#define VARS                                                                                       \
    "{'m':[{'role':'user','content':' Hi "                                                         \
    "'},{'role':'bot','content':'Yo'}],'n':3,'t':true,'x':null,'s':'a-b-c','d':{'k':1.5,'l':[1,'"  \
    "q']}}"

/* Pairs of template and output. */
static void check_all(const char *const (*cases)[2], size_t n)
{
    char text[4096];

    for (size_t i = 0; i < n; i++) {
        int rc = render(cases[i][0], VARS, text);

        ck_assert_msg(!rc && !strcmp(text, cases[i][1]), "%s\n gave '%s'\n not '%s'", cases[i][0],
                      text, cases[i][1]);
    }
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof(cases)[0])

START_TEST(white_space_goes_as_hugging_face_sets_it)
{
    static const char *const CASES[][2] = {
        {"a\n{% if t %}\nb\n{% endif %}\nc\n", "a\nb\nc"},       /* trim_blocks, the last newline */
        {"a\n  {% if t %}\n  b\n  {% endif %}\nc", "a\n  b\nc"}, /* lstrip_blocks */
        {"a {%- if t -%} b {%- endif -%} c", "abc"},
        {"a  {{- n -}}  b", "a3b"},
        {"  {{ n }}\n", "  3"},
        {"a\n  {# note #}\nb", "a\nb"},
        {"a\n  {%+ if t %}b{% endif +%}\nc", "a\n  b\nc"},
        {"x {% if t %}y{% endif %} z", "x y z"},
        {"a\r\nb\r\n", "a\nb"},
        {"{{ '{{ n }}' }}", "{{ n }}"},
    };

    CHECK_ALL(CASES);
}
END_TEST

START_TEST(values_and_operators_are_pythons)
{
    static const char *const CASES[][2] = {
        {"{{ n + 1 }} {{ n * 2 - 1 }} {{ 7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}", "4 5 3 2 3.5"},
        {"{{ 'a' ~ n ~ 'b' }} {{ 'x' + 'y' }} {{ 'p' 'q' }}", "a3b xy pq"},
        {"{{ t }} {{ x }} {{ nothing }}|{{ d.k }}", "True None |1.5"},
        {"{{ d }} {{ [1, 'it''s', none] }}", "{'k': 1.5, 'l': [1, 'q']} [1, 'its', None]"},
        {"{{ m[0].content }}{{ m[-1]['role'] }}{{ s[0] }}{{ s[2:] }}{{ s[-1:] }}", " Hi botab-cc"},
        {"{{ m[1:]|length }} {{ m[::-1][0].role }} {{ s|length }}", "1 bot 5"},
        {"{{ 1 < 2 and not 2 < 1 }} {{ 'a' in s }} {{ 'z' not in s }} {{ 3 == n }}",
         "True True True True"},
        {"{{ x or 'none' }} {{ 'y' if n > 2 else 'z' }}|{{ 'y' if x }}", "none y|"},
        {"{{ not x }} {{ 'k' in d }} {{ n in [1, 3] }}", "True True True"},
        {"{{ 'a\\n\\t\\\\\\'\\u00e9' }}", "a\n\t\\'\xC3\xA9"},
        {"{{ -n|length if false else 2 }}", "2"},
    };

    CHECK_ALL(CASES);
}
END_TEST

START_TEST(statements_loop_choose_and_set)
{
    static const char *const CASES[][2] = {
        {"{% for a in m %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{% "
         "endfor %}",
         "10TrueFalse21FalseTrue"},
        {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "k=1.5;l=[1, 'q'];"},
        {"{% for a in m if a.role == 'bot' %}{{ a.content }}{% else %}no{% endfor %}", "Yo"},
        {"{% for a in [] %}{% else %}no{% endfor %}", "no"},
        {"{% set y = 1 %}{% for a in m %}{% set y = 2 %}{% endfor %}{{ y }}", "1"},
        {"{% set ns = namespace(y=1) %}{% for a in m %}{% set ns.y = ns.y + 1 %}{% endfor %}{{ "
         "ns.y }}",
         "3"},
        {"{% if n == 1 %}a{% elif n == 3 %}b{% else %}c{% endif %}", "b"},
        {"{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break "
         "%}{% endif %}{{ i }}{% endfor %}",
         "02"},
        {"{% set y %}a{{ n }}{% endset %}{{ y }}", "a3"},
        {"{% macro f(a, b='z') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{% for c in [1] %}{{ f(1) "
         "}}{{ f(2, b=3) }}{% endfor %}",
         "[1z][23]"},
        {"{% set a, b = 1, 2 %}{{ a }}{{ b }}", "12"},
        {"{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"},
    };

    CHECK_ALL(CASES);
}
END_TEST

START_TEST(a_namespace_holds_what_outlives_its_round)
{
    static const char *const CASES[][2] = {
        {"{% set ns = namespace(l=[1, 2]) %}{% for a in ns.l %}{% set ns.l = ns.l + ['x' ~ a] %}"
         "{% endfor %}{{ ns.l }}",
         "[1, 2, 'x1', 'x2']"},
        {"{% set ns = namespace(l=[]) %}{% for a in [1, 2] %}{% set ns.l = ['p' ~ a, 'q' ~ a] %}"
         "{% for b in ns.l %}{% set ns.l = [] %}{{ b }}{% endfor %}{% endfor %}{{ ns.l }}",
         "p1q1p2q2[]"},
        {"{% set ns = namespace() %}{% for a in [1, 2] %}{% set u %}<{{ a }}>{% endset %}"
         "{% set ns.t = u %}{% endfor %}{{ ns.t }}{{ ns['t'] }}{{ u }}",
         "<2><2>"},
    };

    CHECK_ALL(CASES);
}
END_TEST

START_TEST(filters_tests_and_methods_answer)
{
    static const char *const CASES[][2] = {
        {"{{ m[0].content|trim }}|{{ m[0].content.strip() }}|{{ 'xax'.strip('x') }}", "Hi|Hi|a"},
        {"{{ s.split('-') }} {{ s.split('-')[-1] }} {{ ' a b '.split() }}",
         "['a', 'b', 'c'] c ['a', 'b']"},
        {"{{ s.startswith('a') }} {{ s.endswith('a') }} {{ s|upper }} {{ 'AbC'|lower }}",
         "True False A-B-C abc"},
        {"{{ d|tojson }} {{ '<\"\xC3\xA9\n'|tojson }}",
         "{\"k\": 1.5, \"l\": [1, \"q\"]} \"<\\\"\xC3\xA9\\n\""},
        {"{{ d|tojson(indent=2) }}", "{\n  \"k\": 1.5,\n  \"l\": [\n    1,\n    \"q\"\n  ]\n}"},
        {"{{ [1, 2]|join(', ') }} {{ m|map(attribute='role')|join('+') }}", "1, 2 user+bot"},
        {"{{ q|default('e') }} {{ x|default('e', true) }} {{ x|default('e') }}", "e e None"},
        {"{{ q is defined }} {{ n is defined }} {{ x is none }} {{ n is not none }} {{ s is string "
         "}}",
         "False True True True True"},
        {"{{ d is mapping }} {{ m is iterable }} {{ n is odd }} {{ n is number }}",
         "True True True True"},
        {"{{ m|selectattr('role', 'equalto', 'bot')|list|length }} {{ m|first is mapping }}",
         "1 True"},
        {"{{ 'ab cD-e1f'.title() }}", "Ab Cd-E1F"},
        {"{{ s.replace('-', '+') }} {{ s|replace('-', '') }} {{ 'hello'|capitalize }}",
         "a+b+c abc Hello"},
        {"{{ d.get('k') }} {{ d.get('z') }} {{ d.get('z', 1) }}", "1.5 None 1"},
    };

    CHECK_ALL(CASES);
}
END_TEST

/* The failure's code, and a word of its text. */
static void refuse(const char *template, int want, const char *word)
{
    char text[4096];
    int rc = render(template, VARS, text);

    ck_assert_msg(rc == want && strstr(text, word), "%s\n gave %d '%s'", template, rc, text);
}

START_TEST(what_is_not_known_is_refused_by_name_and_line)
{
    refuse("\n\n{% import 'x' %}", ERR_UNSUPPORTED, "line 3: the statement 'import'");
    refuse("a\n{{ n|frobnicate }}", ERR_UNSUPPORTED, "line 2: the filter frobnicate");
    refuse("{{ n is frobbed }}", ERR_UNSUPPORTED, "the test frobbed");
    refuse("{{ s.expandtabs(3) }}", ERR_UNSUPPORTED, "the method expandtabs of a str");
    refuse("{{ s.strip }}", ERR_UNSUPPORTED, "printing a method");
    refuse("{{ lipsum(1) }}", ERR_UNSUPPORTED, "the function lipsum");
    refuse("{{ 2 ** 64 }}", ERR_UNSUPPORTED, "beyond 64 bits");
    refuse("{{ s|map('upper') }}", ERR_UNSUPPORTED, "printing a generator");
    refuse("{{ '\\N{DASH}' }}", ERR_UNSUPPORTED, "the escape");
    refuse("{{ '\u0390'|upper }}", ERR_UNSUPPORTED, "U+0390");
    refuse("{{ ('<'|e).upper() }}", ERR_UNSUPPORTED, "the method upper of escaped text");
    refuse("{{ d|dictsort|groupby(0) }}", ERR_UNSUPPORTED, "the filter groupby");
}
END_TEST

START_TEST(bad_syntax_is_refused_with_its_line)
{
    refuse("{{ n ", ERR_FORMAT, "line 1: a tag without end");
    refuse("{# n", ERR_FORMAT, "a comment without end");
    refuse("{{ 'n }}", ERR_FORMAT, "a string without end");
    refuse("\n{% if n %}", ERR_FORMAT, "endif");
    refuse("{% endif %}", ERR_FORMAT, "endif");
    refuse("{{ }}", ERR_FORMAT, "line 1");
    refuse("{{ (1 }}", ERR_FORMAT, "line 1");
    refuse("{{ 1) }}", ERR_FORMAT, "brackets");
    refuse("{% for in m %}{% endfor %}", ERR_FORMAT, "line 1");
    refuse("{{ 1 ? 2 }}", ERR_FORMAT, "0x3F");
}
END_TEST

START_TEST(an_exception_and_the_undefined_are_the_templates_own_errors)
{
    refuse("{{ raise_exception('roles must alternate') }}", ERR_ARG, "roles must alternate");
    refuse("\n{{ q.r }}", ERR_ARG, "line 2: r of what is undefined");
    refuse("{{ n + s }}", ERR_ARG, "do not go together");
    refuse("{{ 1 // 0 }}", ERR_ARG, "division by zero");
}
END_TEST

/* n times `open`, "1", n times `close`, in print tags. */
static const char *nested(const char *open, const char *close, int n, char out[8192])
{
    strcpy(out, "{{ ");
    for (int i = 0; i < n; i++)
        strcat(out, open);
    strcat(out, "1");
    for (int i = 0; i < n; i++)
        strcat(out, close);
    return strcat(out, " }}");
}

START_TEST(a_render_ends)
{
    char text[8192];

    /* J1: steps */
    refuse("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
           ERR_FULL, "steps");
    refuse("{% set b = 'ab' * 9999999 %}{% for a in range(99999) %}{{ 'c' in b }}{% endfor %}",
           ERR_FULL, "steps");
    refuse("{% set b = range(99999)|list %}{% for a in range(99999) %}{{ -1 in b }}{% endfor %}",
           ERR_FULL, "steps");
    refuse("{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(80) %}"
           "{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}"
           "{{ ns.a == ns.b }}",
           ERR_FULL, "steps");
    refuse("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{% macro g(n) %}{% if n %}{{ g(n - 1) }}"
           "{{ g(n - 1) }}{% endif %}{% endmacro %}{{ g(30) }}",
           ERR_FULL, "steps");
    /* bytes */
    refuse("{% set ns = namespace(a='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}"
           "{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
           ERR_FULL, "bytes");
    refuse("{{ 'aaaaaaaaaa' * 10**9 }}", ERR_FULL, "more than");
    refuse("{{ 'x'.center(10**12) }}", ERR_FULL, "more than");
    refuse("{{ 'x'|indent(10**12, true) }}", ERR_FULL, "more than");
    refuse("{{ ([1] * 99999)|join('x' * 99999) }}", ERR_FULL, "more than");
    refuse("{{ [1, 2]|batch(10**12, 0)|list }}", ERR_FULL, "more than");
    refuse("{{ [1] * 10**9 }}", ERR_FULL, "than");
    /* depth, nesting, a format's width */
    refuse("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ERR_FULL, "deeper than");
    refuse("{% set ns = namespace(a=[]) %}{% for i in range(999) %}{% set ns.a = [ns.a] %}"
           "{% endfor %}{{ ns.a }}",
           ERR_FULL, "nested deeper");
    refuse("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", ERR_FULL, "nested deeper");
    refuse("{{ '%999999d' % 1 }}", ERR_FULL, "wider");
    refuse("{{ range(10**6) }}", ERR_ARG, "range over 100000");
    refuse(nested("(", ")", 150, text), ERR_FULL, "nested too deep");
    refuse(nested("[", "]", 150, text), ERR_FULL, "nested too deep");
    refuse(nested("{1:", "}", 150, text), ERR_FULL, "nested too deep");
    refuse(nested("-", "", 150, text), ERR_FULL, "nested too deep");
    refuse(nested("not ", "", 150, text), ERR_FULL, "nested too deep");
    refuse(nested("x(", ")", 150, text), ERR_FULL, "nested too deep");
    refuse(nested("1 if 1 else ", "", 150, text), ERR_FULL, "nested too deep");
    refuse(nested("1 + ", "", 450, text), ERR_FULL, "deeper than");
}
END_TEST

START_TEST(a_model_without_a_template_says_so)
{
    struct chat *c;
    struct errmsg e;

    ck_assert_int_eq(chat_open(&c, test_dir(), &e), ERR_EMPTY);
    ck_assert_ptr_nonnull(strstr(e.text, "no chat template"));
}
END_TEST

START_TEST(a_chat_renders_with_its_special_tokens)
{
    const char *config = "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\","
                         "\"chat_template\":[{\"name\":\"default\",\"template\":\"{{ bos_token }}"
                         "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
                         "{% if add_generation_prompt %}>{% endif %}{{ tools is none }}\"}]}";
    struct chat *c;
    struct errmsg e;
    struct buf out = {0};
    json_t *messages = json_pack("[{ssss}]", "role", "user", "content", "hi");

    test_file("tokenizer_config.json", config, strlen(config));
    ck_assert_msg(!chat_open(&c, test_dir(), &e), "%s", e.text);
    ck_assert_msg(!chat_render(c, messages, true, NULL, &out, &e), "%s", e.text);
    ck_assert_str_eq(out.data, "<s>hi</s>>True");
    buf_clear(&out);
    ck_assert_msg(!chat_render(c, messages, false, NULL, &out, &e), "%s", e.text);
    ck_assert_str_eq(out.data, "<s>hi</s>True");
    chat_close(&c);
    test_file("chat_template.jinja", "{{ messages|length }}", 21); /* the file of its own wins */
    buf_clear(&out);
    ck_assert_msg(!chat_open(&c, test_dir(), &e), "%s", e.text);
    ck_assert_msg(!chat_render(c, messages, false, NULL, &out, &e), "%s", e.text);
    ck_assert_str_eq(out.data, "1");
    chat_close(&c);
    chat_close(&c);
    buf_fini(&out);
    json_decref(messages);
}
END_TEST

START_TEST(a_template_in_hand_renders_and_a_bad_one_says_where_it_is_from)
{
    const char *text = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}|{{ x }}{{ tools }}";
    struct chat *c;
    struct errmsg e;
    struct buf out = {0};
    json_t *messages = json_pack("[{ssss}]", "role", "user", "content", "hi"),
           *vars = json_pack("{sssiss}", "x", "y", "tools", 7, "messages", "no");

    ck_assert_msg(!chat_from_text(&c, text, strlen(text), "<s>", NULL, "f", &e), "%s", e.text);
    ck_assert_msg(!chat_render(c, messages, true, vars, &out, &e), "%s", e.text);
    ck_assert_str_eq(out.data, "<s>hi|y7");
    chat_close(&c);
    ck_assert_int_eq(chat_from_text(&c, "{{", 2, NULL, NULL, "a.gguf", &e), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "a.gguf: template line 1"));
    ck_assert_ptr_null(c);
    json_decref(vars);
    json_decref(messages);
    buf_fini(&out);
}
END_TEST

START_TEST(tools_are_rendered_by_the_template_of_that_name)
{
    const char *config = "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},"
                         "{\"name\":\"default\",\"template\":\"D\"}]}";
    struct chat *c;
    struct errmsg e;
    struct buf out = {0};
    json_t *messages = json_array(), *vars = json_pack("{s[{}]}", "tools");

    test_file("tokenizer_config.json", config, strlen(config));
    ck_assert_msg(!chat_open(&c, test_dir(), &e), "%s", e.text);
    ck_assert_msg(!chat_render(c, messages, true, NULL, &out, &e), "%s", e.text);
    ck_assert_msg(!chat_render(c, messages, true, vars, &out, &e), "%s", e.text);
    ck_assert_str_eq(out.data, "DT");
    chat_close(&c);
    config = "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"{{\"},"
             "{\"name\":\"default\",\"template\":\"D\"}]}";
    test_file("tokenizer_config.json", config, strlen(config));
    ck_assert_msg(!chat_open(&c, test_dir(), &e), "%s", e.text);
    ck_assert_msg(!chat_render(c, messages, true, NULL, &out, &e), "%s", e.text);
    ck_assert_int_eq(chat_render(c, messages, true, vars, &out, &e), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "tool_use: template line 1"));
    chat_close(&c);
    json_decref(vars);
    json_decref(messages);
    buf_fini(&out);
}
END_TEST

START_TEST(a_model_directory_opens_whole)
{
    struct model *m;
    struct errmsg e;
    char hash[HASH_HEX];

    ck_assert_msg(!model_open(&m, test_data("models/stories260K/hf/"), &e), "%s", e.text);
    ck_assert_str_eq(m->name, "hf");
    ck_assert_uint_eq(strlen(m->hash), 32);
    ck_assert_ptr_nonnull(m->chat);
    memcpy(hash, m->hash, sizeof hash);
    model_close(&m);
    ck_assert_msg(!model_open(&m, test_data("models/stories260K/hf"), &e), "%s", e.text);
    ck_assert_str_eq(m->hash, hash);
    model_close(&m);
    ck_assert_int_eq(model_open(&m, test_data("models/none"), &e), ERR_IO);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(model_open(&m, test_data("models/stories260K/hf/model.safetensors"), &e),
                     ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "neither a model directory nor a GGUF file"));
}
END_TEST

/* ---- real templates ---- */

struct tally {
    int equal, wrong, errors, missed;
};

/* The template's text: a file, or a numbered case. */
static int read_template(struct buf *out, const char *name, json_t *cases)
{
    char path[256], chunk[65536];
    size_t n;
    FILE *f;

    if (!strncmp(name, "llamacpp_cases#", 15)) {
        const json_t *t = json_object_get(
            json_array_get(json_object_get(cases, "cases"), (size_t)atoi(name + 15)), "template");

        return buf_add(out, json_string_value(t), json_string_length(t));
    }
    snprintf(path, sizeof path, "chat_templates/jinja/%s", name);
    f = fopen(test_data(path), "rb");
    ck_assert_msg(f != NULL, "%s", path);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(out, chunk, n);
    fclose(f);
    return ERR_OK;
}

static void check_golden(const json_t *row, json_t *contexts, json_t *cases, struct tally *t)
{
    const char *name = json_string_value(json_object_get(row, "template"));
    const char *context = json_string_value(json_object_get(row, "context"));
    const json_t *want = json_object_get(row, "output");
    struct buf text = {0}, out = {0};
    struct jinja *j = NULL;
    struct errmsg e = {""};
    int rc;

    read_template(&text, name, cases);
    rc = jinja_open(&j, text.data, text.len, &e);
    if (!rc) rc = jinja_render(j, json_object_get(contexts, context), NOON, &out, &e);
    if (!want) {
        t->errors += rc != 0;
        t->missed += rc == 0;
    } else if (!rc && out.len == json_string_length(want) &&
               (!out.len || !memcmp(out.data, json_string_value(want), out.len))) {
        t->equal++;
    } else {
        t->wrong++;
        printf("WRONG %s %s\n--- is\n%s\n--- should be\n%s\n", name, context,
               rc ? e.text : out.data, json_string_value(want));
    }
    jinja_close(&j);
    buf_fini(&text);
    buf_fini(&out);
}

START_TEST(real_templates_render_as_jinja2_does_or_fail_as_it_does)
{
    json_t *contexts = json_load_file(test_data("chat_templates/contexts.json"), 0, NULL);
    json_t *cases = json_load_file(test_data("chat_templates/llamacpp_cases.json"), 0, NULL);
    struct tally t = {0};
    char command[1024], *line = NULL;
    size_t cap = 0;
    FILE *f;

    setenv("TZ", "UTC", 1);
    snprintf(command, sizeof command, "gzip -dc '%s'",
             test_data("chat_templates/goldens.jsonl.gz"));
    f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    while (getline(&line, &cap, f) > 0) {
        json_t *row = json_loads(line, 0, NULL);

        ck_assert_ptr_nonnull(row);
        check_golden(row, contexts, cases, &t);
        json_decref(row);
    }
    ck_assert_int_eq(pclose(f), 0);
    printf("chat templates: %d equal, %d wrong; of those that must fail %d do, %d do not\n",
           t.equal, t.wrong, t.errors, t.missed);
    ck_assert_int_eq(t.wrong, 0);
    ck_assert_int_eq(t.missed, 0);
    ck_assert_int_eq(t.equal + t.errors, 520);
    free(line);
    json_decref(contexts);
    json_decref(cases);
}
END_TEST

START_TEST(the_cases_of_llama_cpp_come_out_as_its_jinja_gives_them)
{
    json_t *all = json_load_file(test_data("chat_templates/llamacpp_cases.json"), 0, NULL), *one;
    bool ask = json_is_true(json_object_get(all, "add_generation_prompt"));
    size_t i, n = 0;

    json_array_foreach(json_object_get(all, "cases"), i, one)
    {
        const json_t *text = json_object_get(one, "template");
        struct chat *c;
        struct errmsg e;
        struct buf out = {0};

        if (!json_is_true(json_object_get(one, "jinja2_reproduces"))) continue;
        ck_assert_int_eq(chat_from_text(&c, json_string_value(text), json_string_length(text),
                                        json_string_value(json_object_get(one, "bos_token")),
                                        json_string_value(json_object_get(one, "eos_token")),
                                        "case", &e),
                         0);
        ck_assert_msg(!chat_render(c, json_object_get(all, "conversation"), ask, NULL, &out, &e),
                      "%s", e.text);
        ck_assert_str_eq(out.data, json_string_value(json_object_get(one, "expected_jinja")));
        chat_close(&c);
        buf_fini(&out);
        n++;
    }
    ck_assert_uint_eq(n, 22);
    json_decref(all);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("chat");
    TCase *t = tcase_create("jinja"), *chat = tcase_create("chat");

    tcase_add_test(t, white_space_goes_as_hugging_face_sets_it);
    tcase_add_test(t, values_and_operators_are_pythons);
    tcase_add_test(t, statements_loop_choose_and_set);
    tcase_add_test(t, a_namespace_holds_what_outlives_its_round);
    tcase_add_test(t, filters_tests_and_methods_answer);
    tcase_add_test(t, what_is_not_known_is_refused_by_name_and_line);
    tcase_add_test(t, bad_syntax_is_refused_with_its_line);
    tcase_add_test(t, an_exception_and_the_undefined_are_the_templates_own_errors);
    tcase_add_test(t, a_render_ends);
    tcase_set_timeout(t, 30);
    suite_add_tcase(s, t);
    tcase_add_test(chat, a_model_without_a_template_says_so);
    tcase_add_test(chat, a_chat_renders_with_its_special_tokens);
    tcase_add_test(chat, a_template_in_hand_renders_and_a_bad_one_says_where_it_is_from);
    tcase_add_test(chat, tools_are_rendered_by_the_template_of_that_name);
    if (test_has_data()) {
        tcase_add_test(chat, a_model_directory_opens_whole);
        tcase_add_test(chat, real_templates_render_as_jinja2_does_or_fail_as_it_does);
        tcase_add_test(chat, the_cases_of_llama_cpp_come_out_as_its_jinja_gives_them);
        tcase_set_timeout(chat, 60);
    }
    suite_add_tcase(s, chat);
    return s;
}
TEST_MAIN(suite)
