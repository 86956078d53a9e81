/* jinja_test.c - tests: what may stand behind "is". */
#include <string.h>

#include "model/jinja_filter.h"
#include "model/jinja_method.h"

/* The tests that ask for a kind. */
static bool is_kind(const char *name, const struct value *v, bool *answer)
{
    enum value_kind k = v->kind;
    bool bits = k == VALUE_BOOL, list = value_is_list(v) || k == VALUE_STR || k == VALUE_DICT;
    const struct {
        const char *name;
        bool answer;
    } KINDS[] = {
        {"defined", k != VALUE_UNDEFINED},
        {"undefined", k == VALUE_UNDEFINED},
        {"none", k == VALUE_NONE},
        {"string", k == VALUE_STR},
        {"mapping", k == VALUE_DICT},
        {"sequence", list || k == VALUE_UNDEFINED},
        {"iterable",
         list || k == VALUE_UNDEFINED || k == VALUE_VIEW || k == VALUE_ITER || k == VALUE_LOOP},
        {"number", value_is_number(v)},
        {"integer", k == VALUE_INT},
        {"float", k == VALUE_FLOAT},
        {"boolean", bits},
        {"true", bits && v->flag},
        {"false", bits && !v->flag},
        {"callable", k == VALUE_FUNCTION || k == VALUE_METHOD || k == VALUE_MACRO ||
                         k == VALUE_LOOP || k == VALUE_JOINER || k == VALUE_UNDEFINED},
        {"escaped", k == VALUE_STR && v->flag},
    };

    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strcmp(name, KINDS[i].name)) continue;
        *answer = KINDS[i].answer;
        return true;
    }
    return false;
}

static const char *order_name(const char *name)
{
    static const char *const NAMES[][2] = {{"<", "lt"},  {"lessthan", "lt"},    {"<=", "le"},
                                           {">", "gt"},  {"greaterthan", "gt"}, {">=", "ge"},
                                           {"==", "eq"}, {"equalto", "eq"},     {"!=", "ne"}};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (!strcmp(name, NAMES[i][0])) return NAMES[i][1];
    return name;
}

static struct value *same_as(struct run *r, const struct value *v, const struct value *x)
{
    bool plain = v->kind == VALUE_NONE || v->kind == VALUE_BOOL || x->kind == VALUE_NONE ||
                 x->kind == VALUE_BOOL;

    if (v == x || plain) return run_bool(r, v == x || (v->kind == x->kind && v->flag == x->flag));
    if (v->kind != x->kind) return run_bool(r, false);
    return run_fail(r, ERR_UNSUPPORTED, "sameas of %s", value_name(v));
}

/* The tests with one argument; NULL without a failure for another name. */
static struct value *compare(struct run *r, const char *name, struct value *v, struct value *x)
{
    int order;
    int64_t a, b;

    name = order_name(name);
    if (!strcmp(name, "eq")) return run_bool(r, value_equal(r, v, x));
    if (!strcmp(name, "ne")) return run_bool(r, !value_equal(r, v, x));
    if (!strcmp(name, "in")) return value_contains(r, x, v);
    if (!strcmp(name, "sameas")) return same_as(r, v, x);
    if (!strcmp(name, "divisibleby")) {
        if (!value_int(v, &a) || !value_int(x, &b) || !b)
            return run_fail(r, ERR_ARG, "divisibleby of %s and %s", value_name(v), value_name(x));
        return run_bool(r, b == -1 || a % b == 0);
    }
    if (!strchr("lg", name[0]) || !strchr("te", name[1]) || strlen(name) != 2) return NULL;
    if (!value_compare(r, v, x, &order)) return NULL;
    return run_bool(r, name[0] == 'l' ? order < (name[1] == 'e') : order > -(name[1] == 'e'));
}

static struct value *parity(struct run *r, const struct value *v, bool odd)
{
    int64_t i;

    if (value_int(v, &i)) return run_bool(r, (i % 2 != 0) == odd);
    return run_fail(r, v->kind == VALUE_FLOAT ? ERR_UNSUPPORTED : ERR_ARG, "odd or even of %s",
                    value_name(v));
}

static struct value *in_case(struct run *r, const char *name, struct value *v)
{
    struct value method = {.kind = VALUE_METHOD, .of = v};
    struct args none = {0};

    if (v->kind != VALUE_STR) return run_fail(r, ERR_UNSUPPORTED, "%s of %s", name, value_name(v));
    method.name = !strcmp(name, "upper") ? "isupper" : "islower";
    return method_call(r, &method, &none);
}

struct value *test_call(struct run *r, const char *name, struct value *v, struct args *a)
{
    struct value *x = NULL;
    bool answer;

    if (!a->n_named && !a->n) {
        if (is_kind(name, v, &answer)) return run_bool(r, answer);
        if (!strcmp(name, "odd") || !strcmp(name, "even"))
            return parity(r, v, !strcmp(name, "odd"));
        if (!strcmp(name, "upper") || !strcmp(name, "lower")) return in_case(r, name, v);
    }
    if (!a->n_named && a->n == 1) x = compare(r, name, v, a->at[0]);
    if (x || r->rc) return x;
    return run_fail(r, ERR_UNSUPPORTED, "the test %s with %d arguments is not known", name,
                    a->n + a->n_named);
}
