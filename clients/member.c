/* member.c - the members of a JSON object as the user spelled them. */
#include "clients/member.h"

#include <jansson.h>
#include <string.h>

#include "base/err.h"

/* The index behind the closing quote of the string that opens at `at`. */
static size_t string_end(const char *s, size_t len, size_t at)
{
    for (at++; at < len && s[at] != '"'; at++)
        if (s[at] == '\\') at++;
    return at < len ? at + 1 : len;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int member_compact(struct buf *out, const char *json, size_t len)
{
    size_t from = 0, at = 0;

    if (buf_reserve(out, len)) return ERR_NOMEM;
    while (at < len) {
        if (json[at] == '"') {
            at = string_end(json, len, at);
        } else if (is_space(json[at])) {
            if (buf_add(out, json + from, at - from)) return ERR_NOMEM;
            from = ++at;
        } else {
            at++;
        }
    }
    return buf_add(out, json + from, len - from);
}

/* The index behind the value that starts at `at`. */
static size_t value_end(const char *s, size_t len, size_t at)
{
    int depth = 0;

    while (at < len) {
        char c = s[at];

        if (c == '"') {
            at = string_end(s, len, at);
            continue;
        }
        if (!depth && (c == ',' || c == '}' || c == ']')) break;
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        at++;
    }
    return at;
}

bool member_next(const char *object, size_t len, size_t *at, struct member *m)
{
    size_t i = *at + 1; /* over the brace or the comma */

    if (i >= len || object[i] != '"') return false;
    m->key = object + i;
    i = string_end(object, len, i);
    m->key_len = (size_t)(object + i - m->key);
    m->value = object + ++i; /* over the colon */
    i = value_end(object, len, i);
    m->value_len = (size_t)(object + i - m->value);
    *at = i;
    return true;
}

bool member_is(const struct member *m, const char *name)
{
    size_t len = strlen(name);
    json_t *key;
    bool same;

    if (!memchr(m->key, '\\', m->key_len))
        return m->key_len == len + 2 && !memcmp(m->key + 1, name, len);
    key = json_loadb(m->key, m->key_len, JSON_DECODE_ANY, NULL);
    same = key && !strcmp(json_string_value(key), name);
    json_decref(key);
    return same;
}
