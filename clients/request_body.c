/* request_body.c - is this parsed body one that can be answered? */
#include "clients/request_body.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "clients/request_fields.h"

/* Members of a message that carry what we cannot give to a model. */
static const char *const LACKING_IN_MESSAGE[] = {"tool_calls", "function_call", "audio"};

json_t *request_body_get(const json_t *object, const char *name)
{
    json_t *v = json_object_get(object, name);

    return json_is_null(v) ? NULL : v;
}

static int refuse(struct row_error *err, const char *param, const char *what)
{
    row_error_set(err, ROW_INVALID, param, "%s %s", param, what);
    return ERR_FORMAT;
}

int request_body_endpoint(const json_t *body, enum endpoint *out, struct row_error *err)
{
    bool chat = request_body_get(body, "messages"), completion = request_body_get(body, "prompt");

    if (chat == completion) {
        row_error_set(err, ROW_INVALID, chat ? "prompt" : "messages",
                      chat ? "messages and prompt are both there: give one"
                           : "neither messages nor prompt is there");
        return ERR_FORMAT;
    }
    *out = chat ? ENDPOINT_CHAT : ENDPOINT_COMPLETION;
    return ERR_OK;
}

/* Appends the text of one part of content. */
static int add_part(struct buf *text, const json_t *part, const char *where, size_t i,
                    struct row_error *err)
{
    const json_t *type = request_body_get(part, "type"), *t = request_body_get(part, "text");
    char param[96], name[64];

    snprintf(param, sizeof param, "%s[%zu]", where, i);
    if (!json_is_string(type)) return refuse(err, param, "must be an object with a type");
    if (strcmp(json_string_value(type), "text")) {
        row_error_quote(name, sizeof name, json_string_value(type), json_string_length(type));
        row_error_set(err, ROW_UNSUPPORTED, param,
                      "%s has the type \"%s\", which is not supported: only text is", param, name);
        return ERR_FORMAT;
    }
    if (!json_is_string(t)) return refuse(err, param, "must have a text, which is a string");
    if (i && buf_addc(text, '\n')) return ERR_NOMEM;
    return buf_add(text, json_string_value(t), json_string_length(t));
}

/* Puts one string in the place of an array of text parts. */
static int join_parts(json_t *message, const json_t *parts, const char *where,
                      struct row_error *err)
{
    struct buf text = {0};
    int rc = ERR_OK;

    if (!json_array_size(parts)) return refuse(err, where, "is an empty array");
    for (size_t i = 0; !rc && i < json_array_size(parts); i++)
        rc = add_part(&text, json_array_get(parts, i), where, i, err);
    if (!rc &&
        json_object_set_new(message, "content", json_stringn(text.data ? text.data : "", text.len)))
        rc = ERR_NOMEM;
    buf_fini(&text);
    return rc;
}

static int check_message(json_t *message, size_t i, bool *joined, struct row_error *err)
{
    const json_t *role, *content;
    char param[64];

    snprintf(param, sizeof param, "messages[%zu]", i);
    if (!json_is_object(message)) return refuse(err, param, "must be an object");
    for (size_t k = 0; k < sizeof LACKING_IN_MESSAGE / sizeof LACKING_IN_MESSAGE[0]; k++) {
        const json_t *v = request_body_get(message, LACKING_IN_MESSAGE[k]);

        if (!v || (json_is_array(v) && !json_array_size(v))) continue;
        snprintf(param, sizeof param, "messages[%zu].%s", i, LACKING_IN_MESSAGE[k]);
        row_error_set(err, ROW_UNSUPPORTED, param, "%s is not supported", param);
        return ERR_FORMAT;
    }
    role = request_body_get(message, "role");
    snprintf(param, sizeof param, "messages[%zu].role", i);
    if (!json_string_length(role)) return refuse(err, param, "must be a string, not empty");
    content = request_body_get(message, "content");
    snprintf(param, sizeof param, "messages[%zu].content", i);
    if (json_is_string(content)) return ERR_OK;
    if (!json_is_array(content))
        return refuse(err, param, "must be a string or an array of text parts");
    *joined = true;
    return join_parts(message, content, param, err);
}

static int check_messages(const json_t *body, bool *joined, struct row_error *err)
{
    json_t *messages = request_body_get(body, "messages");
    int rc = ERR_OK;

    if (!messages) return refuse(err, "messages", "is not there");
    if (!json_is_array(messages)) return refuse(err, "messages", "must be an array");
    if (!json_array_size(messages)) return refuse(err, "messages", "is empty");
    for (size_t i = 0; !rc && i < json_array_size(messages); i++)
        rc = check_message(json_array_get(messages, i), i, joined, err);
    return rc;
}

static int check_prompt(const json_t *body, struct row_error *err)
{
    const json_t *prompt = request_body_get(body, "prompt");

    if (!prompt) return refuse(err, "prompt", "is not there");
    if (json_is_array(prompt)) {
        row_error_set(err, ROW_UNSUPPORTED, "prompt",
                      "prompt is an array; only one string is supported, one prompt a row");
        return ERR_FORMAT;
    }
    return json_is_string(prompt) ? ERR_OK : refuse(err, "prompt", "must be a string");
}

/* min_tokens must leave room for the end. */
static int check_span(const json_t *body, struct row_error *err)
{
    const json_t *max = request_body_get(body, "max_completion_tokens");
    const json_t *min = request_body_get(body, "min_tokens");

    if (!max) max = request_body_get(body, "max_tokens");
    if (!max || !min || json_integer_value(min) <= json_integer_value(max)) return ERR_OK;
    row_error_set(err, ROW_INVALID, "min_tokens", "min_tokens is %lld, over the limit of %lld",
                  (long long)json_integer_value(min), (long long)json_integer_value(max));
    return ERR_FORMAT;
}

/* A chat says true, and beside it how many; a completion says how many. */
static int check_logprobs(const json_t *body, enum endpoint endpoint, struct row_error *err)
{
    const json_t *v = request_body_get(body, "logprobs");
    const json_t *top = request_body_get(body, "top_logprobs");
    const json_int_t n = json_integer_value(v);

    if (endpoint == ENDPOINT_CHAT) {
        if (v && !json_is_boolean(v)) return refuse(err, "logprobs", "must be true or false");
        if (json_integer_value(top) && !json_is_true(v))
            return refuse(err, "top_logprobs", "needs logprobs to be true");
        return ERR_OK;
    }
    if (json_is_integer(v) && (n < 0 || n > REQUEST_MAX_LOGPROBS)) {
        row_error_set(err, ROW_INVALID, "logprobs",
                      "logprobs must be an integer from 0 to %d, not %lld", REQUEST_MAX_LOGPROBS,
                      (long long)n);
        return ERR_FORMAT;
    }
    if (v && !json_is_false(v) && !json_is_integer(v))
        return refuse(err, "logprobs", "must be an integer from 0 to 20");
    if (!json_integer_value(top)) return ERR_OK;
    return refuse(err, "top_logprobs", "has no place in a completion: logprobs says how many");
}

/* The best of more than are wanted would take a score over whole answers. */
static int check_best_of(const json_t *body, struct row_error *err)
{
    const json_t *best = request_body_get(body, "best_of"), *n = request_body_get(body, "n");
    const json_int_t have = n ? json_integer_value(n) : 1;

    if (!best || json_integer_value(best) == have) return ERR_OK;
    row_error_set(err, ROW_UNSUPPORTED, "best_of",
                  "best_of is %lld and n is %lld: only the same is supported",
                  (long long)json_integer_value(best), (long long)have);
    return ERR_FORMAT;
}

int request_body_check(json_t *body, enum endpoint endpoint, struct field_counts *ignored,
                       bool *joined, struct row_error *err)
{
    const char *other = endpoint == ENDPOINT_CHAT ? "prompt" : "messages", *name;
    json_t *value;
    int rc;

    *joined = false;
    if (request_body_get(body, other)) {
        row_error_set(err, ROW_INVALID, other, "%s has no place in a body for %s", other,
                      endpoint_url(endpoint));
        return ERR_FORMAT;
    }
    json_object_foreach(
        body, name, value) if ((rc = request_field_check(name, value, endpoint, err))) return rc;
    rc = endpoint == ENDPOINT_CHAT ? check_messages(body, joined, err) : check_prompt(body, err);
    if (!rc) rc = check_span(body, err);
    if (!rc) rc = check_logprobs(body, endpoint, err);
    if (!rc) rc = check_best_of(body, err);
    if (rc || !ignored) return rc;
    json_object_foreach(body, name, value) if (request_field_kind(name) == FIELD_UNKNOWN &&
                                               !json_is_null(value))
        field_counts_add(ignored, name, strlen(name));
    return ERR_OK;
}

bool request_body_is_fixed(const json_t *body)
{
    const json_t *temperature = request_body_get(body, "temperature");

    return request_body_get(body, "seed") ||
           (temperature && fpclassify(json_number_value(temperature)) == FP_ZERO);
}
