/* jinja_filter.c - filters, tests and methods. */
#include "model/jinja_filter.h"

#include <string.h>

#include "base/utf8.h"

#define N_OF(list) (sizeof(list) / sizeof(list)[0])

json_t *args_get(const struct args *a, int i, const char *name)
{
    if (i >= 0 && i < a->n) return a->at[i];
    for (int k = 0; k < a->n_named; k++)
        if (!strcmp(a->name[k], name)) return a->named[k];
    return NULL;
}

static json_int_t int_arg(const struct args *a, int i, const char *name, json_int_t dflt)
{
    const json_t *v = args_get(a, i, name);

    return json_is_integer(v) ? json_integer_value(v) : dflt;
}

/* v as text: a string itself, anything else as it prints. */
static json_t *as_text(struct run *r, json_t *v)
{
    struct buf out = {0};

    if (json_is_string(v)) return v;
    if (value_print(r, v, &out)) {
        buf_fini(&out);
        return NULL;
    }
    return run_buf(r, &out);
}

json_t *value_attr(struct run *r, json_t *v, const char *name)
{
    json_t *item = v == r->undefined || v == r->function ? NULL : json_object_get(v, name);

    return item ? item : r->undefined;
}

/* ---- text ---- */

static bool in_set(const char *set, size_t len, uint32_t cp)
{
    uint32_t c = 0;
    int n;

    if (!set) return text_is_space(cp);
    for (size_t at = 0; at < len && (n = utf8_next(set + at, len - at, &c)) > 0; at += (size_t)n)
        if (c == cp) return true;
    return false;
}

static json_t *text_strip(struct run *r, const json_t *v, const json_t *set, bool left, bool right)
{
    const char *s = json_string_value(v), *chars = json_string_value(set);
    size_t begin = 0, end = json_string_length(v), n_chars = json_string_length(set);
    uint32_t cp = 0;

    if (set && !json_is_null(set) && !chars) return run_fail(r, ERR_ARG, "strip wants a str");
    while (left && begin < end) {
        int n = utf8_next(s + begin, end - begin, &cp);

        if (n <= 0 || !in_set(chars, n_chars, cp)) break;
        begin += (size_t)n;
    }
    while (right && end > begin) {
        size_t at = end - 1;

        while (at > begin && ((unsigned char)s[at] & 0xC0) == 0x80)
            at--;
        if (utf8_next(s + at, end - at, &cp) <= 0 || !in_set(chars, n_chars, cp)) break;
        end = at;
    }
    return run_text(r, s + begin, end - begin);
}

static bool is_ascii(const json_t *v)
{
    const char *s = json_string_value(v);

    for (size_t i = 0; i < json_string_length(v); i++)
        if (s[i] & 0x80) return false;
    return true;
}

enum letter_case { UPPER, LOWER, CAPITALIZE, TITLE };

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Cases of ASCII; Unicode's rules for whole strings are not known here. */
static json_t *text_case(struct run *r, json_t *v, enum letter_case want)
{
    const char *s = json_string_value(v);
    struct buf out = {0};

    if (!is_ascii(v)) return run_fail(r, ERR_UNSUPPORTED, "the case of letters beyond ASCII");
    for (size_t i = 0; i < json_string_length(v); i++) {
        bool up = want == UPPER || (want == CAPITALIZE && i == 0) ||
                  (want == TITLE && (i == 0 || !is_letter(s[i - 1])));
        char c = s[i];

        if (up && c >= 'a' && c <= 'z') c = (char)(c - 32);
        if (!up && c >= 'A' && c <= 'Z') c = (char)(c + 32);
        buf_addc(&out, c);
    }
    return run_buf(r, &out);
}

static json_t *text_replace(struct run *r, const json_t *v, const struct args *a)
{
    const json_t *from = args_get(a, 0, "old"), *to = args_get(a, 1, "new");
    json_int_t left = int_arg(a, 2, "count", -1);
    const char *s = json_string_value(v), *end = s + json_string_length(v), *hit;
    size_t n = json_string_length(from);
    struct buf out = {0};

    if (!json_is_string(from) || !json_is_string(to) || !n)
        return run_fail(r, ERR_UNSUPPORTED, "replace without two strings");
    while (left && (hit = memmem(s, (size_t)(end - s), json_string_value(from), n))) {
        buf_add(&out, s, (size_t)(hit - s));
        buf_add(&out, json_string_value(to), json_string_length(to));
        s = hit + n;
        left--;
    }
    buf_add(&out, s, (size_t)(end - s));
    return run_buf(r, &out);
}

static int add_text(struct run *r, json_t *list, const char *s, size_t len)
{
    json_t *v = run_text(r, s, len);

    if (v && json_array_append(list, v)) run_fail(r, ERR_NOMEM, "no memory");
    return r->rc;
}

static json_t *split_spaces(struct run *r, const json_t *v)
{
    const char *s = json_string_value(v);
    size_t len = json_string_length(v), begin = 0, at = 0;
    json_t *list = run_keep(r, json_array());
    uint32_t cp = 0;
    int n;

    for (; list && !r->rc && at < len && (n = utf8_next(s + at, len - at, &cp)) > 0;
         at += (size_t)n) {
        if (!text_is_space(cp)) continue;
        if (at > begin) add_text(r, list, s + begin, at - begin);
        begin = at + (size_t)n;
    }
    if (list && at > begin) add_text(r, list, s + begin, at - begin);
    return r->rc ? NULL : list;
}

static json_t *text_split(struct run *r, const json_t *v, const struct args *a)
{
    const json_t *sep = args_get(a, 0, "sep");
    json_int_t left = int_arg(a, 1, "maxsplit", -1);
    const char *s = json_string_value(v), *end = s + json_string_length(v), *hit;
    size_t n = json_string_length(sep);
    json_t *list;

    if ((!sep || json_is_null(sep)) && left < 0) return split_spaces(r, v);
    if (!n) return run_fail(r, ERR_UNSUPPORTED, "split by that");
    list = run_keep(r, json_array());
    while (list && !r->rc && left &&
           (hit = memmem(s, (size_t)(end - s), json_string_value(sep), n))) {
        add_text(r, list, s, (size_t)(hit - s));
        s = hit + n;
        left--;
    }
    if (list) add_text(r, list, s, (size_t)(end - s));
    return r->rc ? NULL : list;
}

static json_t *text_edge(struct run *r, const json_t *v, const struct args *a, bool start)
{
    const json_t *x = args_get(a, 0, "prefix");
    size_t n = json_string_length(x), len = json_string_length(v);
    const char *s = json_string_value(v);

    if (!json_is_string(x) || a->n != 1)
        return run_fail(r, ERR_UNSUPPORTED, "startswith or endswith with anything but one str");
    if (n > len) return json_false();
    return run_bool(!memcmp(start ? s : s + len - n, json_string_value(x), n));
}

static json_t *text_indent(struct run *r, const json_t *v, const struct args *a)
{
    const json_t *width = args_get(a, 0, "width");
    bool first = json_is_true(args_get(a, 1, "first")),
         blank = json_is_true(args_get(a, 2, "blank"));
    json_int_t n = json_is_integer(width) ? json_integer_value(width) : 4;
    const char *s = json_string_value(v);
    struct buf out = {0};
    size_t len = json_string_length(v);

    if ((width && !json_is_integer(width)) || n < 0 || n > 1000)
        return run_fail(r, ERR_UNSUPPORTED, "indent by that width");
    for (size_t i = 0, line = 0; i < len; i++) {
        bool starts = i == 0 || s[i - 1] == '\n';

        line += starts;
        if (starts && (line > 1 || first) && (s[i] != '\n' || blank))
            buf_printf(&out, "%*s", (int)n, "");
        buf_addc(&out, s[i]);
    }
    return run_buf(r, &out);
}

/* ---- lists and dicts ---- */

static json_t *dict_items(struct run *r, const json_t *v, bool keys, bool values)
{
    json_t *list = run_keep(r, json_array()), *item, *pair, *text;
    const char *key;
    size_t len;

    if (!list) return NULL;
    json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, item)
    {
        text = run_text(r, key, len);
        pair = keys && values ? run_keep(r, json_array()) : keys ? text : item;
        if (!text || !pair) return NULL;
        if (keys && values && (json_array_append(pair, text) || json_array_append(pair, item)))
            return run_fail(r, ERR_NOMEM, "no memory");
        if (json_array_append(list, pair)) return run_fail(r, ERR_NOMEM, "no memory");
    }
    return list;
}

/* What a loop would see: a list itself, a dict's keys, a string's characters. */
static json_t *as_list(struct run *r, json_t *v)
{
    json_t *list;

    if (json_is_array(v)) return v;
    if (v == r->undefined) return run_keep(r, json_array());
    if (json_is_object(v) && v != r->function) return dict_items(r, v, true, false);
    if (!json_is_string(v)) return run_fail(r, ERR_ARG, "%s is no list", value_kind(r, v));
    list = run_keep(r, json_array());
    for (size_t at = 0, len = json_string_length(v); list && at < len && !r->rc;) {
        int n = utf8_next(json_string_value(v) + at, len - at, NULL);

        add_text(r, list, json_string_value(v) + at, (size_t)n);
        at += (size_t)n;
    }
    return r->rc ? NULL : list;
}

/* "a.b" from v. */
static json_t *attr_path(struct run *r, json_t *v, const json_t *path)
{
    const char *name = json_string_value(path);

    if (!name || strchr(name, '.')) return run_fail(r, ERR_UNSUPPORTED, "an attribute path");
    return value_attr(r, v, name);
}

static json_t *list_join(struct run *r, json_t *v, const struct args *a)
{
    json_t *list = as_list(r, v), *sep = args_get(a, 0, "d"), *attr = args_get(a, 1, "attribute");
    struct buf out = {0};

    for (size_t i = 0; list && i < json_array_size(list) && !r->rc; i++) {
        json_t *item = json_array_get(list, i);

        if (attr) item = attr_path(r, item, attr);
        if (i && sep) value_print(r, sep, &out);
        if (item) value_print(r, item, &out);
    }
    if (!list || r->rc) {
        buf_fini(&out);
        return NULL;
    }
    return run_buf(r, &out);
}

static json_t *list_end(struct run *r, json_t *v, bool last)
{
    json_t *list = as_list(r, v);
    size_t n = json_array_size(list);

    if (!list) return NULL;
    return n ? json_array_get(list, last ? n - 1 : 0) : r->undefined;
}

static json_t *value_length(struct run *r, const json_t *v)
{
    if (json_is_string(v))
        return run_int(r, (json_int_t)text_count(json_string_value(v), json_string_length(v)));
    if (json_is_array(v)) return run_int(r, (json_int_t)json_array_size(v));
    if (v == r->undefined) return run_int(r, 0);
    if (json_is_object(v) && v != r->function) return run_int(r, (json_int_t)json_object_size(v));
    return run_fail(r, ERR_ARG, "%s has no length", value_kind(r, v));
}

/* select, reject, selectattr, rejectattr: keep the items whose test gives `want`. */
static json_t *list_select(struct run *r, json_t *v, const struct args *a, bool attr, bool want)
{
    json_t *list = as_list(r, v), *out = run_keep(r, json_array());
    int skip = attr ? 2 : 1;
    const json_t *test = args_get(a, attr ? 1 : 0, "");
    struct args rest = {0};

    if (!list || !out) return NULL;
    if (a->n_named || (test && !json_is_string(test)) || (attr && !a->n))
        return run_fail(r, ERR_UNSUPPORTED, "a selection with such arguments");
    for (int i = skip; i < a->n; i++)
        rest.at[rest.n++] = a->at[i];
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i), *x = attr ? attr_path(r, item, a->at[0]) : item;

        if (x && test) x = test_call(r, json_string_value(test), x, &rest);
        if (!x) return NULL;
        if (value_is_true(r, x) == want && json_array_append(out, item))
            return run_fail(r, ERR_NOMEM, "no memory");
    }
    return out;
}

static json_t *list_map(struct run *r, json_t *v, const struct args *a)
{
    json_t *list = as_list(r, v), *out = run_keep(r, json_array());
    json_t *attr = args_get(a, ARGS_NAMED, "attribute"), *dflt = args_get(a, ARGS_NAMED, "default");
    struct args rest = {0};

    if (!list || !out) return NULL;
    if (!attr && (!a->n || !json_is_string(a->at[0])))
        return run_fail(r, ERR_UNSUPPORTED, "map with such arguments");
    for (int i = 1; i < a->n; i++)
        rest.at[rest.n++] = a->at[i];
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *x = json_array_get(list, i);

        x = attr ? attr_path(r, x, attr) : filter_call(r, json_string_value(a->at[0]), x, &rest);
        if (x == r->undefined && dflt) x = dflt;
        if (!x) return NULL;
        if (json_array_append(out, x)) return run_fail(r, ERR_NOMEM, "no memory");
    }
    return out;
}

/* ---- filters ---- */

static json_t *filter_default(struct run *r, json_t *v, const struct args *a)
{
    json_t *dflt = args_get(a, 0, "default_value"), *also_false = args_get(a, 1, "boolean");
    bool use =
        v == r->undefined || (also_false && value_is_true(r, also_false) && !value_is_true(r, v));

    if (!use) return v;
    return dflt ? dflt : run_text(r, "", 0);
}

static json_t *filter_tojson(struct run *r, json_t *v, const struct args *a)
{
    const json_t *indent = args_get(a, ARGS_NAMED, "indent");
    const json_t *ascii = args_get(a, ARGS_NAMED, "ensure_ascii");
    struct buf out = {0};

    for (int i = 0; i < a->n_named; i++)
        if (strcmp(a->name[i], "indent") && strcmp(a->name[i], "ensure_ascii"))
            return run_fail(r, ERR_UNSUPPORTED, "tojson with %s", a->name[i]);
    if (ascii && value_is_true(r, ascii))
        return run_fail(r, ERR_UNSUPPORTED, "tojson with ensure_ascii");
    if (a->n || (indent && !json_is_integer(indent) && !json_is_null(indent)))
        return run_fail(r, ERR_UNSUPPORTED, "tojson with such arguments");
    if (value_to_json(r, v, json_is_integer(indent) ? (int)json_integer_value(indent) : -1, &out)) {
        buf_fini(&out);
        return NULL;
    }
    return run_buf(r, &out);
}

static json_t *filter_strip(struct run *r, json_t *v, const struct args *a)
{
    json_t *text = as_text(r, v);

    return text ? text_strip(r, text, args_get(a, 0, "chars"), true, true) : NULL;
}

static json_t *filter_case(struct run *r, json_t *v, enum letter_case want)
{
    json_t *text = as_text(r, v);

    return text ? text_case(r, text, want) : NULL;
}

static json_t *filter_int(struct run *r, json_t *v)
{
    if (json_is_integer(v)) return v;
    if (json_is_boolean(v)) return run_int(r, json_is_true(v));
    return run_fail(r, ERR_UNSUPPORTED, "int of %s", value_kind(r, v));
}

static json_t *filter_text(struct run *r, const char *name, json_t *v, const struct args *a)
{
    if (!strcmp(name, "trim")) return filter_strip(r, v, a);
    if (!strcmp(name, "upper")) return filter_case(r, v, UPPER);
    if (!strcmp(name, "lower")) return filter_case(r, v, LOWER);
    if (!strcmp(name, "capitalize")) return filter_case(r, v, CAPITALIZE);
    if (!strcmp(name, "string") || !strcmp(name, "safe")) return as_text(r, v);
    if (!strcmp(name, "replace")) return json_is_string(v) ? text_replace(r, v, a) : NULL;
    if (!strcmp(name, "indent")) return json_is_string(v) ? text_indent(r, v, a) : NULL;
    return NULL;
}

json_t *filter_call(struct run *r, const char *name, json_t *v, const struct args *a)
{
    json_t *out = filter_text(r, name, v, a);

    if (out || r->rc) return out;
    if (!strcmp(name, "length") || !strcmp(name, "count")) return value_length(r, v);
    if (!strcmp(name, "tojson")) return filter_tojson(r, v, a);
    if (!strcmp(name, "default") || !strcmp(name, "d")) return filter_default(r, v, a);
    if (!strcmp(name, "join")) return list_join(r, v, a);
    if (!strcmp(name, "list")) return as_list(r, v);
    if (!strcmp(name, "first")) return list_end(r, v, false);
    if (!strcmp(name, "last")) return list_end(r, v, true);
    if (!strcmp(name, "select")) return list_select(r, v, a, false, true);
    if (!strcmp(name, "reject")) return list_select(r, v, a, false, false);
    if (!strcmp(name, "selectattr")) return list_select(r, v, a, true, true);
    if (!strcmp(name, "rejectattr")) return list_select(r, v, a, true, false);
    if (!strcmp(name, "map")) return list_map(r, v, a);
    if (!strcmp(name, "int")) return filter_int(r, v);
    if (!strcmp(name, "items") && v == r->undefined) return run_keep(r, json_array());
    if (!strcmp(name, "items") && json_is_object(v)) return dict_items(r, v, true, true);
    return run_fail(r, ERR_UNSUPPORTED, "the filter %s of %s is not known", name, value_kind(r, v));
}

/* ---- tests ---- */

static json_t *test_compare(struct run *r, const char *name, const json_t *v, const json_t *x)
{
    static const char *const NAMES[] = {"lt", "le", "gt", "ge"};
    int order = 0;

    if (!strcmp(name, "equalto") || !strcmp(name, "eq") || !strcmp(name, "=="))
        return run_bool(value_equal(r, v, x));
    if (!strcmp(name, "ne") || !strcmp(name, "!=")) return run_bool(!value_equal(r, v, x));
    if (!strcmp(name, "in")) {
        bool found;

        return value_contains(r, x, v, &found) ? NULL : run_bool(found);
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, NAMES[i])) continue;
        if (value_compare(r, v, x, &order)) return NULL;
        return run_bool(i == 0 ? order < 0 : i == 1 ? order <= 0 : i == 2 ? order > 0 : order >= 0);
    }
    return NULL;
}

static json_t *test_number(struct run *r, const char *name, const json_t *v)
{
    json_int_t n = json_integer_value(v);

    if (strcmp(name, "odd") && strcmp(name, "even")) return NULL;
    if (!json_is_integer(v)) return run_fail(r, ERR_ARG, "%s of %s", name, value_kind(r, v));
    return run_bool((n % 2 != 0) == !strcmp(name, "odd"));
}

json_t *test_call(struct run *r, const char *name, json_t *v, const struct args *a)
{
    bool undefined = v == r->undefined, function = v == r->function,
         plain = !undefined && !function;
    const struct {
        const char *name;
        bool answer;
    } KINDS[] = {
        {"defined", !undefined},
        {"undefined", undefined},
        {"none", json_is_null(v)},
        {"string", json_is_string(v)},
        {"mapping", plain && json_is_object(v)},
        {"sequence",
         undefined || json_is_string(v) || json_is_array(v) || (plain && json_is_object(v))},
        {"iterable",
         undefined || json_is_string(v) || json_is_array(v) || (plain && json_is_object(v))},
        {"number", json_is_number(v) || json_is_boolean(v)},
        {"integer", json_is_integer(v)},
        {"float", json_is_real(v)},
        {"boolean", json_is_boolean(v)},
        {"true", json_is_true(v)},
        {"false", json_is_false(v)},
        {"callable", function},
    };
    json_t *out;

    for (size_t i = 0; i < N_OF(KINDS); i++)
        if (!strcmp(name, KINDS[i].name)) return run_bool(KINDS[i].answer);
    out = a->n == 1 ? test_compare(r, name, v, a->at[0]) : test_number(r, name, v);
    if (out || r->rc) return out;
    return run_fail(r, ERR_UNSUPPORTED, "the test %s is not known", name);
}

/* ---- methods ---- */

static const char *const STR_NAMES[] = {
    "capitalize",   "casefold",    "center",    "count",      "encode",       "endswith",
    "expandtabs",   "find",        "format",    "format_map", "index",        "isalnum",
    "isalpha",      "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
    "isnumeric",    "isprintable", "isspace",   "istitle",    "isupper",      "join",
    "ljust",        "lower",       "lstrip",    "maketrans",  "partition",    "removeprefix",
    "removesuffix", "replace",     "rfind",     "rindex",     "rjust",        "rpartition",
    "rsplit",       "rstrip",      "split",     "splitlines", "startswith",   "strip",
    "swapcase",     "title",       "translate", "upper",      "zfill"};
static const char *const LIST_NAMES[] = {"append", "clear", "copy",   "count",   "extend", "index",
                                         "insert", "pop",   "remove", "reverse", "sort"};
static const char *const DICT_NAMES[] = {"clear",      "copy",   "fromkeys", "get",
                                         "items",      "keys",   "pop",      "popitem",
                                         "setdefault", "update", "values"};

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, list[i])) return true;
    return false;
}

bool method_exists(const struct run *r, const json_t *v, const char *name)
{
    if (v == r->undefined || v == r->function) return false;
    if (json_is_string(v)) return is_one_of(name, STR_NAMES, N_OF(STR_NAMES));
    if (json_is_array(v)) return is_one_of(name, LIST_NAMES, N_OF(LIST_NAMES));
    if (json_is_object(v)) return is_one_of(name, DICT_NAMES, N_OF(DICT_NAMES));
    return false;
}

static json_t *str_method(struct run *r, const char *name, json_t *v, const struct args *a)
{
    const json_t *set = args_get(a, 0, "chars");

    if (!strcmp(name, "strip")) return text_strip(r, v, set, true, true);
    if (!strcmp(name, "lstrip")) return text_strip(r, v, set, true, false);
    if (!strcmp(name, "rstrip")) return text_strip(r, v, set, false, true);
    if (!strcmp(name, "split")) return text_split(r, v, a);
    if (!strcmp(name, "startswith")) return text_edge(r, v, a, true);
    if (!strcmp(name, "endswith")) return text_edge(r, v, a, false);
    if (!strcmp(name, "replace")) return text_replace(r, v, a);
    if (!strcmp(name, "upper")) return text_case(r, v, UPPER);
    if (!strcmp(name, "lower")) return text_case(r, v, LOWER);
    if (!strcmp(name, "capitalize")) return text_case(r, v, CAPITALIZE);
    if (!strcmp(name, "title")) return text_case(r, v, TITLE);
    return NULL;
}

static json_t *dict_method(struct run *r, const char *name, json_t *v, const struct args *a)
{
    json_t *key = args_get(a, 0, ""), *dflt = args_get(a, 1, ""), *item;

    if (!strcmp(name, "items")) return dict_items(r, v, true, true);
    if (!strcmp(name, "keys")) return dict_items(r, v, true, false);
    if (!strcmp(name, "values")) return dict_items(r, v, false, true);
    if (strcmp(name, "get") || !json_is_string(key)) return NULL;
    item = json_object_getn(v, json_string_value(key), json_string_length(key));
    return item ? item : dflt ? dflt : json_null();
}

json_t *method_call(struct run *r, const char *name, json_t *v, const struct args *a)
{
    json_t *out = NULL;

    if (v == r->undefined) return run_fail(r, ERR_ARG, "%s of what is undefined", name);
    if (method_exists(r, v, name)) {
        if (json_is_string(v)) out = str_method(r, name, v, a);
        if (json_is_object(v)) out = dict_method(r, name, v, a);
    }
    if (out || r->rc) return out;
    return run_fail(r, ERR_UNSUPPORTED, "the method %s of %s is not known", name, value_kind(r, v));
}
