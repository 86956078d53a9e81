/* member.c - the members of a JSON object as the user spelled them. */
#include "clients/member.h"

#include <endian.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

#define EACH(byte) (0x0101010101010101u * (byte))

/* The high bit of each byte of w that is under n, n at most 128; wrong only above the first. */
static uint64_t bytes_under(uint64_t w, uint64_t n)
{
    return (w - EACH(n)) & ~w & EACH(0x80);
}

size_t member_plain(const char *s, size_t len)
{
    size_t at = 0;
    uint64_t w, stop;

    for (; at + sizeof w <= len; at += sizeof w) {
        memcpy(&w, s + at, sizeof w);
        w = le64toh(w);
        stop =
            bytes_under(w, 0x20) | bytes_under(w ^ EACH('"'), 1) | bytes_under(w ^ EACH('\\'), 1);
        if (stop) return at + (size_t)__builtin_ctzll(stop) / 8;
    }
    while (at < len && (unsigned char)s[at] >= 0x20 && s[at] != '"' && s[at] != '\\')
        at++;
    return at;
}

/* The index behind the closing quote of the string that opens at `at`. */
static size_t string_end(const char *s, size_t len, size_t at)
{
    for (at++; at < len && (at += member_plain(s + at, len - at)) < len; at++) {
        if (s[at] == '"') return at + 1;
        if (s[at] == '\\') at++;
    }
    return len;
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

size_t member_value_len(const char *s, size_t len)
{
    size_t at = 0;
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
    m->value_len = member_value_len(m->value, len - i);
    *at = i + m->value_len;
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
