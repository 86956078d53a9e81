/* messages.c - a chat's messages, as a template wants to see them. */
#include "model/messages.h"

#include <string.h>

#include "base/buf.h"

static int no_memory(struct errmsg *e)
{
    return err_set(e, ERR_NOMEM, "messages: no memory");
}

/* A part is a text part, or named in the refusal. */
static int check_part(const json_t *part, size_t m, size_t i, struct errmsg *e)
{
    const char *type = json_string_value(json_object_get(part, "type"));

    if (!type)
        return err_set(e, ERR_ARG, "messages[%zu].content[%zu] must be an object with a type", m,
                       i);
    if (strcmp(type, "text"))
        return err_set(e, ERR_UNSUPPORTED,
                       "messages[%zu].content[%zu] has the type \"%.60s\", which is not "
                       "supported: only text is",
                       m, i, type);
    if (!json_is_string(json_object_get(part, "text")))
        return err_set(e, ERR_ARG, "messages[%zu].content[%zu] must have a text, a string", m, i);
    return ERR_OK;
}

static json_t *join_parts(const json_t *parts)
{
    struct buf text = {0};
    json_t *joined = NULL, *part;
    size_t i;

    json_array_foreach(parts, i, part)
    {
        const json_t *t = json_object_get(part, "text");

        if (i) buf_addc(&text, '\n');
        buf_add(&text, json_string_value(t), json_string_length(t));
    }
    if (!text.failed) joined = json_stringn(text.data ? text.data : "", text.len);
    buf_fini(&text);
    return joined;
}

/* The content in the form wanted, a new reference; *rc on failure. */
static json_t *adapt_content(json_t *content, size_t m, enum content_form form, int *rc,
                             struct errmsg *e)
{
    json_t *out = NULL;

    for (size_t i = 0; i < json_array_size(content); i++)
        if ((*rc = check_part(json_array_get(content, i), m, i, e))) return NULL;
    if (json_is_array(content) && form == CONTENT_TEXT)
        out = join_parts(content);
    else if (json_is_string(content) && form == CONTENT_PARTS)
        out = json_pack("[{s:s, s:O}]", "type", "text", "text", content);
    else
        return json_incref(content);
    if (!out) *rc = no_memory(e);
    return out;
}

/* The arguments' object, or NULL when they are no string that holds one. */
static json_t *read_arguments(const json_t *call)
{
    const json_t *text = json_object_get(json_object_get(call, "function"), "arguments");
    json_t *v;

    if (!json_is_string(text)) return NULL;
    v = json_loadb(json_string_value(text), json_string_length(text), JSON_ALLOW_NUL, NULL);
    if (json_is_object(v)) return v;
    json_decref(v);
    return NULL;
}

/* A copy of the call that holds the arguments; takes their reference. */
static json_t *with_arguments(json_t *call, json_t *arguments)
{
    json_t *copy = json_copy(call), *function = json_copy(json_object_get(call, "function"));

    if (!copy || json_object_set_new(function, "arguments", arguments) ||
        json_object_set_new(copy, "function", function)) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

/* The calls with their arguments as objects, a new reference; NULL without memory. */
static json_t *adapt_calls(json_t *calls)
{
    json_t *out = json_array(), *call;
    size_t i;

    json_array_foreach(calls, i, call)
    {
        json_t *arguments = read_arguments(call);
        json_t *one = arguments ? with_arguments(call, arguments) : json_incref(call);

        if (json_array_append_new(out, one)) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static int adapt_message(json_t **out, json_t *message, size_t m, enum content_form form,
                         struct errmsg *e)
{
    json_t *content = json_object_get(message, "content"), *adapted;
    json_t *calls = json_object_get(message, "tool_calls"), *copy = NULL;
    int rc = ERR_OK;

    *out = NULL;
    if (!json_is_object(message)) return err_set(e, ERR_ARG, "messages[%zu] must be an object", m);
    adapted = content ? adapt_content(content, m, form, &rc, e) : NULL;
    if (rc) return rc;
    if (adapted == content && !json_array_size(calls)) {
        json_decref(adapted);
        *out = json_incref(message);
        return ERR_OK;
    }
    copy = json_copy(message);
    if (!copy || (adapted && json_object_set(copy, "content", adapted)) ||
        (json_is_array(calls) && json_object_set_new(copy, "tool_calls", adapt_calls(calls)))) {
        json_decref(copy);
        copy = NULL;
        rc = no_memory(e);
    }
    json_decref(adapted);
    *out = copy;
    return rc;
}

int messages_adapt(json_t **out, json_t *messages, enum content_form form, struct errmsg *e)
{
    json_t *list = json_array(), *message;
    size_t i;
    int rc = list ? ERR_OK : no_memory(e);

    *out = NULL;
    if (!rc && !json_is_array(messages)) rc = err_set(e, ERR_ARG, "messages is not an array");
    for (i = 0; !rc && i < json_array_size(messages); i++) {
        rc = adapt_message(&message, json_array_get(messages, i), i, form, e);
        if (!rc && json_array_append_new(list, message)) rc = no_memory(e);
    }
    if (rc) {
        json_decref(list);
        return rc;
    }
    *out = list;
    return ERR_OK;
}
