/* pattern.c - literal strings and regexes. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pattern.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct pattern {
    char *literal; /* of len bytes; or else */
    size_t len;
    scanner *scan; /* or else */
    pcre2_code *code;
};

/* Letters behind a backslash that Oniguruma and PCRE2 read differently. */
static const char *odd_escape(const char *regex)
{
    for (const char *p = regex; *p; p++) {
        if (*p != '\\' || !p[1]) continue;
        if (strchr("hHRXyYmMO", p[1])) return p;
        p++;
    }
    return NULL;
}

static int compile(struct pattern *p, const char *regex, struct errmsg *e)
{
    const char *odd = odd_escape(regex);
    PCRE2_UCHAR text[128];
    PCRE2_SIZE at;
    int code;

    if (odd) return err_set(e, ERR_UNSUPPORTED, "regex: the escape %.2s is not known", odd);
    p->code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, NULL);
    if (!p->code) {
        pcre2_get_error_message(code, text, sizeof text);
        return err_set(e, ERR_UNSUPPORTED, "regex: at %zu: %s", (size_t)at, (char *)text);
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it the interpreter runs */
    return ERR_OK;
}

static int set_literal(struct pattern *p, const json_t *text, struct errmsg *e)
{
    p->len = json_string_length(text);
    if (!p->len) return err_set(e, ERR_UNSUPPORTED, "pattern: an empty string");
    p->literal = malloc(p->len);
    if (!p->literal) return err_set(e, ERR_NOMEM, "pattern: no memory");
    memcpy(p->literal, json_string_value(text), p->len);
    return ERR_OK;
}

int pattern_open_pcre(struct pattern **out, const char *regex, struct errmsg *e)
{
    struct pattern *p = calloc(1, sizeof *p);
    int rc = p ? compile(p, regex, e) : err_set(e, ERR_NOMEM, "pattern: no memory");

    if (rc) pattern_close(&p);
    *out = p;
    return rc;
}

int pattern_open_regex(struct pattern **out, const char *regex, struct errmsg *e)
{
    scanner *scan = scanner_for(regex);

    if (!scan) return pattern_open_pcre(out, regex, e);
    *out = calloc(1, sizeof **out);
    if (!*out) return err_set(e, ERR_NOMEM, "pattern: no memory");
    (*out)->scan = scan;
    return ERR_OK;
}

int pattern_open(struct pattern **out, const json_t *spec, struct errmsg *e)
{
    const json_t *text = json_object_get(spec, "String"), *regex = json_object_get(spec, "Regex");
    struct pattern *p;
    int rc;

    *out = NULL;
    if (json_is_string(regex)) {
        if (strlen(json_string_value(regex)) != json_string_length(regex))
            return err_set(e, ERR_UNSUPPORTED, "regex: holds a NUL");
        return pattern_open_regex(out, json_string_value(regex), e);
    }
    if (!json_is_string(text))
        return err_set(e, ERR_UNSUPPORTED, "pattern: neither String nor Regex");
    p = calloc(1, sizeof *p);
    rc = p ? set_literal(p, text, e) : err_set(e, ERR_NOMEM, "pattern: no memory");
    if (rc) pattern_close(&p);
    *out = p;
    return rc;
}

void pattern_close(struct pattern **p)
{
    if (!*p) return;
    pcre2_code_free((*p)->code);
    free((*p)->literal);
    free(*p);
    *p = NULL;
}

scanner *pattern_scanner(const struct pattern *p)
{
    return p->scan;
}

int pattern_scan_init(struct pattern_scan *s, const struct pattern *p, const char *text, size_t len)
{
    *s = (struct pattern_scan){.pattern = p, .text = text ? text : "", .len = len};
    if (!p->code) return ERR_OK;
    s->match = pcre2_match_data_create(1, NULL);
    return s->match ? ERR_OK : ERR_NOMEM;
}

void pattern_scan_fini(struct pattern_scan *s)
{
    pcre2_match_data_free(s->match);
    s->match = NULL;
}

static bool find_literal(struct pattern_scan *s)
{
    const char *hit =
        memmem(s->text + s->from, s->len - s->from, s->pattern->literal, s->pattern->len);

    if (!hit) return false;
    s->begin = (size_t)(hit - s->text);
    s->end = s->begin + s->pattern->len;
    s->from = s->end;
    return true;
}

/* After an empty match the search goes on one character later. */
static size_t step_over(const struct pattern_scan *s)
{
    int n = s->end < s->len ? utf8_next(s->text + s->end, s->len - s->end, NULL) : 1;

    return s->end + (n > 0 ? (size_t)n : 1);
}

int pattern_next(struct pattern_scan *s, bool *found, struct errmsg *e)
{
    const pcre2_code *code = s->pattern->code;
    const PCRE2_SIZE *at;
    int n;

    *found = false;
    if (s->from > s->len) return ERR_OK;
    if (s->pattern->scan) {
        *found = s->from < s->len;
        s->begin = s->from;
        if (*found) s->from = s->end = s->pattern->scan(s->text, s->len, s->begin);
        return ERR_OK;
    }
    if (!code) {
        *found = find_literal(s);
        return ERR_OK;
    }
    n = pcre2_match(code, (PCRE2_SPTR)s->text, s->len, s->from, PCRE2_NO_UTF_CHECK, s->match, NULL);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(code, (PCRE2_SPTR)s->text, s->len, s->from,
                        PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, NULL);
    if (n == PCRE2_ERROR_NOMATCH) return ERR_OK;
    if (n < 0) return err_set(e, ERR_FORMAT, "regex: PCRE2 error %d at byte %zu", n, s->from);
    at = pcre2_get_ovector_pointer(s->match);
    s->begin = at[0];
    s->end = at[1];
    s->from = s->end > s->begin ? s->end : step_over(s);
    *found = true;
    return ERR_OK;
}

int pattern_replace(const struct pattern *p, struct buf *text, const char *content, size_t len,
                    size_t max, struct errmsg *e)
{
    struct pattern_scan scan;
    struct buf out = {0};
    size_t at = 0;
    bool found;
    int rc = pattern_scan_init(&scan, p, text->data, text->len);

    while (!rc && !(rc = pattern_next(&scan, &found, e)) && found) {
        if (buf_add(&out, text->data + at, scan.begin - at) || buf_add(&out, content, len))
            rc = ERR_NOMEM;
        else if (out.len > max)
            rc = err_set(e, ERR_FORMAT, "Replace: the text grows beyond %zu bytes", max);
        at = scan.end;
    }
    if (!rc && text->len) rc = buf_add(&out, text->data + at, text->len - at);
    pattern_scan_fini(&scan);
    buf_fini(rc ? &out : text);
    if (!rc) *text = out;
    return rc;
}
