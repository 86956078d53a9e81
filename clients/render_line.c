/* render_line.c - one line for `nightmill render`. */
#include "clients/render_line.h"

#include <string.h>

#include "base/utf8.h"

static int parse_json(json_t **out, const char *text, size_t len, struct errmsg *e)
{
    json_error_t why;

    if (!utf8_is_valid(text, len))
        return err_set(e, ERR_FORMAT, "not UTF-8 at byte %zu", utf8_valid_prefix(text, len));
    *out = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
    return *out ? ERR_OK : err_set(e, ERR_FORMAT, "column %d: %s", why.column, why.text);
}

/* The member, or NULL when it is absent or null. */
static json_t *get(const json_t *object, const char *name)
{
    json_t *v = json_object_get(object, name);

    return json_is_null(v) ? NULL : v;
}

/* tools and documents are variables of their own; chat_template_kwargs are all variables. */
static int read_vars(struct render_line *r, const json_t *body, struct errmsg *e)
{
    static const char *const LISTS[] = {"tools", "documents"};
    json_t *more = get(body, "chat_template_kwargs"), *v;

    if (more && !json_is_object(more))
        return err_set(e, ERR_ARG, "chat_template_kwargs is not an object");
    r->vars = more ? json_copy(more) : json_object();
    if (!r->vars) return err_set(e, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < sizeof LISTS / sizeof LISTS[0]; i++) {
        if (!(v = get(body, LISTS[i]))) continue;
        if (!json_is_array(v)) return err_set(e, ERR_ARG, "%s is not an array", LISTS[i]);
        if (json_array_size(v) && json_object_set(r->vars, LISTS[i], v))
            return err_set(e, ERR_NOMEM, "no memory");
    }
    return ERR_OK;
}

static int read_body(struct render_line *r, const json_t *body, struct errmsg *e)
{
    const json_t *prompt = get(body, "add_generation_prompt"), *v;

    r->messages = get(body, "messages");
    if (!r->messages && get(body, "prompt"))
        return err_set(e, ERR_ARG, "a prompt is no chat: it goes to the model as it stands");
    if (!r->messages) return err_set(e, ERR_ARG, "there are no messages");
    if (!json_is_array(r->messages)) return err_set(e, ERR_ARG, "messages is not an array");
    if (prompt && !json_is_boolean(prompt))
        return err_set(e, ERR_ARG, "add_generation_prompt is neither true nor false");
    r->no_generation_prompt = json_is_false(prompt);
    if ((v = get(body, "chat_template")))
        return err_set(e, ERR_UNSUPPORTED, "chat_template is not supported: the model's is used");
    if ((v = get(body, "continue_final_message")) && !json_is_false(v))
        return err_set(e, ERR_UNSUPPORTED, "continue_final_message is not supported");
    return read_vars(r, body, e);
}

int render_line_parse(struct render_line *r, const char *text, size_t len, struct errmsg *e)
{
    const json_t *body;
    int rc;

    render_line_fini(r);
    if ((rc = parse_json(&r->root, text, len, e))) return rc;
    if (json_is_array(r->root)) {
        r->messages = r->root;
        return read_vars(r, NULL, e);
    }
    if (!json_is_object(r->root))
        return err_set(e, ERR_ARG, "neither an array of messages nor an object with messages");
    body = get(r->root, "body");
    if (body && !json_is_object(body)) return err_set(e, ERR_ARG, "body is not an object");
    return read_body(r, body ? body : r->root, e);
}

void render_line_fini(struct render_line *r)
{
    json_decref(r->root);
    json_decref(r->vars);
    memset(r, 0, sizeof *r);
}
