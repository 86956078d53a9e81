/* test_jinja.c - small templates, each as Jinja2 renders it, or fails to, or as we refuse it. */
#include "model/jinja.h"

#include <string.h>

#include "tests/test.h"

#define NOON 1721995200 /* 2024-07-26 12:00 UTC, the time of the golden renderings */

struct tally {
    int equal, failed, refused, bad;
};

static void tell(const json_t *row, int rc, const struct buf *out, const struct errmsg *e)
{
    printf("WRONG %s\n  is      %s\n  must be %s\n", json_string_value(json_object_get(row, "t")),
           rc          ? e->text
           : out->data ? out->data
                       : "",
           json_string_value(json_object_get(row, json_object_get(row, "out") ? "out" : "error")));
}

static void check_row(const json_t *row, const json_t *vars, struct tally *t)
{
    const json_t *text = json_object_get(row, "t"), *want = json_object_get(row, "out");
    bool refused = json_is_true(json_object_get(row, "refused")), ok;
    struct jinja *j = NULL;
    struct errmsg e = {""};
    struct buf out = {0};
    int rc = jinja_open(&j, json_string_value(text), json_string_length(text), &e);

    if (!rc) rc = jinja_render(j, vars, NOON, &out, &e);
    if (refused || !want)
        ok = refused ? rc == ERR_UNSUPPORTED : rc != 0;
    else
        ok = !rc && out.len == json_string_length(want) &&
             !memcmp(out.data ? out.data : "", json_string_value(want), out.len);
    t->refused += ok && refused;
    t->failed += ok && !refused && !want;
    t->equal += ok && !refused && want;
    t->bad += !ok;
    if (!ok) tell(row, rc, &out, &e);
    jinja_close(&j);
    buf_fini(&out);
}

START_TEST(each_template_is_rendered_as_jinja2_does_or_fails_as_it_does)
{
    json_t *vars = NULL;
    struct tally t = {0};
    char *line = NULL;
    size_t cap = 0;
    FILE *f = fopen("tests/golden/jinja.jsonl", "r");

    setenv("TZ", "UTC", 1);
    ck_assert_ptr_nonnull(f);
    while (getline(&line, &cap, f) > 0) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);

        ck_assert_ptr_nonnull(row);
        if (vars)
            check_row(row, vars, &t);
        else
            vars = json_incref(json_object_get(row, "vars"));
        json_decref(row);
    }
    fclose(f);
    printf("jinja: %d as Jinja2 renders, %d fail as there, %d refused, %d wrong\n", t.equal,
           t.failed, t.refused, t.bad);
    ck_assert_int_eq(t.bad, 0);
    ck_assert_int_gt(t.equal, 500);
    free(line);
    json_decref(vars);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("jinja");
    TCase *t = tcase_create("jinja");

    tcase_add_test(t, each_template_is_rendered_as_jinja2_does_or_fails_as_it_does);
    tcase_set_timeout(t, 30);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
