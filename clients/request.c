/* request.c - one line of an input file. */
#include "clients/request.h"

#include <jansson.h>
#include <string.h>

#include "base/utf8.h"
#include "clients/member.h"
#include "clients/request_body.h"
#include "clients/request_fields.h"
#include "clients/request_scan.h"

/* Members of a line that are about the body, not of it. */
static const char *const AROUND_BODY[] = {"custom_id", "method", "url", "priority"};
#define N_AROUND (sizeof AROUND_BODY / sizeof AROUND_BODY[0])

void request_init(struct request *q)
{
    memset(q, 0, sizeof *q);
}

void request_fini(struct request *q)
{
    buf_fini(&q->custom_id);
    buf_fini(&q->body);
    buf_fini(&q->model);
    request_init(q);
}

static void clear(struct request *q)
{
    buf_clear(&q->custom_id);
    buf_clear(&q->body);
    buf_clear(&q->model);
    q->has_custom_id = q->has_priority = q->is_fixed = false;
    q->priority = 0;
    q->endpoint = ENDPOINT_CHAT;
}

static int characters(const char *s, size_t len)
{
    int n = 0;

    for (size_t i = 0; i < len; i++)
        if (((unsigned char)s[i] & 0xC0) != 0x80) n++;
    return n;
}

/* The line must be short enough, and text. */
static int check_bytes(const struct line *l, const struct request_format *f, struct row_error *err)
{
    size_t good;

    if (l->too_long) {
        row_error_set(err, ROW_TOO_LONG, NULL, "the line has %zu bytes, the limit is %zu", l->len,
                      f->max_bytes);
        return ERR_FORMAT;
    }
    good = utf8_valid_prefix(l->bytes, l->len);
    if (good == l->len) return ERR_OK;
    row_error_set(err, ROW_INVALID_UTF8, NULL, "byte %zu of the line, 0x%02X, is not UTF-8",
                  good + 1, (unsigned char)l->bytes[good]);
    err->column = characters(l->bytes, good) + 1;
    return ERR_FORMAT;
}

static int parse_json(json_t **out, const struct line *l, struct row_error *err)
{
    json_error_t e;
    bool surrogate;

    *out = json_loadb(l->bytes, l->len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);
    if (*out) return ERR_OK;
    if (json_error_code(&e) == json_error_out_of_memory) return ERR_NOMEM;
    surrogate = !strncmp(e.text, "invalid Unicode", 15);
    row_error_set(err, ROW_INVALID_JSON, NULL, "%s%s", surrogate ? "a lone surrogate: " : "",
                  e.text);
    err->column = e.column > 0 ? e.column : 0;
    return ERR_FORMAT;
}

static int read_custom_id(struct request *q, const json_t *root, struct row_error *err)
{
    const json_t *id = request_body_get(root, "custom_id");
    size_t len;

    if (!id) return ERR_OK;
    len = json_string_length(id);
    if (!json_is_string(id)) {
        row_error_set(err, ROW_INVALID, "custom_id", "custom_id must be a string");
        return ERR_FORMAT;
    }
    if (!len || len > REQUEST_MAX_ID) {
        row_error_set(err, ROW_INVALID, "custom_id",
                      "custom_id has %zu bytes; it must have 1 to %d", len, REQUEST_MAX_ID);
        return ERR_FORMAT;
    }
    q->has_custom_id = true;
    return buf_add(&q->custom_id, json_string_value(id), len);
}

static int check_method(const json_t *root, struct row_error *err)
{
    const json_t *method = request_body_get(root, "method");

    if (!method || (json_is_string(method) && !strcmp(json_string_value(method), "POST")))
        return ERR_OK;
    row_error_set(err, ROW_INVALID, "method", "method must be \"POST\"");
    return ERR_FORMAT;
}

static int read_priority(struct request *q, const json_t *root, struct row_error *err)
{
    const json_t *v = request_body_get(root, "priority");

    if (!v) return ERR_OK;
    q->has_priority = true;
    q->priority = json_integer_value(v);
    if (json_is_integer(v) && q->priority >= -REQUEST_MAX_PRIORITY &&
        q->priority <= REQUEST_MAX_PRIORITY)
        return ERR_OK;
    row_error_set(err, ROW_INVALID, "priority", "priority must be an integer from -%d to %d",
                  REQUEST_MAX_PRIORITY, REQUEST_MAX_PRIORITY);
    return ERR_FORMAT;
}

static int find_endpoint(struct request *q, const json_t *root, const json_t *body,
                         struct row_error *err)
{
    const json_t *url = request_body_get(root, "url");
    char shown[80];

    if (!url) return request_body_endpoint(body, &q->endpoint, err);
    if (!json_is_string(url)) {
        row_error_set(err, ROW_INVALID, "url", "url must be a string");
        return ERR_FORMAT;
    }
    if (endpoint_from_url(&q->endpoint, json_string_value(url), json_string_length(url)))
        return ERR_OK;
    row_error_quote(shown, sizeof shown, json_string_value(url), json_string_length(url));
    row_error_set(err, ROW_URL, "url", "url \"%s\" is none of %s and %s", shown,
                  endpoint_url(ENDPOINT_CHAT), endpoint_url(ENDPOINT_COMPLETION));
    return ERR_FORMAT;
}

/* The object that holds the parameters: the line's body, or the line itself. */
static int find_body(json_t **out, json_t *root, struct row_error *err)
{
    json_t *body = request_body_get(root, "body");
    bool around = false;

    *out = body ? body : root;
    if (json_is_object(body)) return ERR_OK;
    for (size_t i = 0; i < N_AROUND; i++)
        around |= json_object_get(root, AROUND_BODY[i]) != NULL;
    if (!body &&
        (request_body_get(root, "messages") || request_body_get(root, "prompt") || !around))
        return ERR_OK;
    row_error_set(err, ROW_INVALID, "body", body ? "body must be an object" : "body is not there");
    return ERR_FORMAT;
}

static bool is_around(const struct member *m)
{
    for (size_t i = 0; i < N_AROUND; i++)
        if (member_is(m, AROUND_BODY[i])) return true;
    return false;
}

static int add_json(const char *bytes, size_t len, void *to)
{
    return buf_add(to, bytes, len);
}

/* Appends the body's text: object is compact, inside the line or the line itself; messages, when
 * not NULL, stand for its own. */
static int write_body(struct buf *out, const char *object, size_t len, bool inside,
                      const json_t *messages)
{
    struct member m;
    size_t at = 0, first;

    buf_addc(out, '{');
    first = out->len;
    while (member_next(object, len, &at, &m)) {
        bool anew = messages && member_is(&m, "messages");

        if (!inside && is_around(&m)) continue;
        if (out->len > first) buf_addc(out, ',');
        buf_add(out, m.key, m.key_len);
        buf_addc(out, ':');
        if (!anew)
            buf_add(out, m.value, m.value_len);
        else if (json_dump_callback(messages, add_json, out, JSON_COMPACT))
            return ERR_NOMEM;
    }
    buf_addc(out, '}');
    return out->failed ? ERR_NOMEM : ERR_OK;
}

/* The text of the value under the last "body" key, or the whole line when there is none. */
static void body_text(const struct buf *line, const char **text, size_t *len, bool inside)
{
    struct member m;
    size_t at = 0;

    *text = line->data;
    *len = line->len;
    while (inside && member_next(line->data, line->len, &at, &m))
        if (member_is(&m, "body")) {
            *text = m.value;
            *len = m.value_len;
        }
}

static int store_body(struct request *q, const struct line *l, const json_t *body, bool inside,
                      bool joined)
{
    const json_t *model = request_body_get(body, "model");
    struct buf line = {0};
    const char *text;
    size_t len;
    int rc = member_compact(&line, l->bytes, l->len);

    if (!rc) {
        body_text(&line, &text, &len, inside);
        if (inside && !joined)
            rc = buf_add(&q->body, text, len);
        else
            rc = write_body(&q->body, text, len, inside,
                            joined ? json_object_get(body, "messages") : NULL);
    }
    if (!rc && model) rc = buf_add(&q->model, json_string_value(model), json_string_length(model));
    buf_fini(&line);
    return rc;
}

static void count_around(const json_t *root, struct field_counts *ignored)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)root, name, value)
    {
        bool ours = !strcmp(name, "body");

        for (size_t i = 0; i < N_AROUND; i++)
            ours |= !strcmp(name, AROUND_BODY[i]);
        if (!ours && !json_is_null(value)) field_counts_add(ignored, name, strlen(name));
    }
}

static int parse_object(struct request *q, const struct line *l, json_t *root,
                        struct field_counts *ignored, struct row_error *err)
{
    bool inside, joined;
    json_t *body;
    int rc;

    if (!json_is_object(root)) {
        row_error_set(err, ROW_INVALID, NULL, "the line is JSON, but not an object");
        return ERR_FORMAT;
    }
    if ((rc = read_custom_id(q, root, err))) return rc;
    if ((rc = find_body(&body, root, err))) return rc;
    if ((rc = check_method(root, err))) return rc;
    if ((rc = read_priority(q, root, err))) return rc;
    if ((rc = find_endpoint(q, root, body, err))) return rc;
    inside = body != root;
    if (!inside) /* the line is the body: what is around it must not be counted as its fields */
        for (size_t i = 0; i < N_AROUND; i++)
            json_object_del(root, AROUND_BODY[i]);
    if ((rc = request_body_check(body, q->endpoint, ignored, &joined, err))) return rc;
    q->is_fixed = request_body_is_fixed(body);
    if (inside && ignored) count_around(root, ignored);
    return store_body(q, l, body, inside, joined);
}

/* One plain prompt. */
static int parse_text(struct request *q, const struct line *l, enum endpoint endpoint)
{
    bool chat = endpoint == ENDPOINT_CHAT;
    json_t *text = json_stringn(l->bytes, l->len);
    int rc = ERR_NOMEM;

    q->endpoint = endpoint;
    if (!text) return ERR_NOMEM;
    buf_adds(&q->body, chat ? "{\"messages\":[{\"role\":\"user\",\"content\":" : "{\"prompt\":");
    if (!json_dump_callback(text, add_json, &q->body, JSON_COMPACT | JSON_ENCODE_ANY) &&
        !buf_adds(&q->body, chat ? "}]}" : "}") && !q->body.failed)
        rc = ERR_OK;
    json_decref(text);
    return rc;
}

int request_parse(struct request *q, const struct line *l, const struct request_format *f,
                  struct field_counts *ignored, struct row_error *err)
{
    json_t *root = NULL;
    int rc;

    clear(q);
    memset(err, 0, sizeof *err);
    err->line = l->number;
    rc = check_bytes(l, f, err);
    if (!rc && f->text) return parse_text(q, l, f->text_endpoint);
    if (!rc && !f->in_full && request_scan(q, l->bytes, l->len)) return ERR_OK;
    clear(q);
    if (!rc) rc = parse_json(&root, l, err);
    if (!rc) rc = parse_object(q, l, root, ignored, err);
    json_decref(root);
    return rc;
}
