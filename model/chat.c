/* chat.c - messages to prompt text. */
#include "model/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/jinja.h"
#include "model/jsonfile.h"
#include "model/messages.h"

#define CONFIG             "tokenizer_config.json"
#define TEMPLATE           "chat_template.jinja"
#define MAX_FILE_BYTES     ((size_t)64 << 20)
#define MAX_TEMPLATE_BYTES ((size_t)4 << 20)

struct chat {
    struct jinja *jinja;
    struct jinja *tool_use; /* for renders with tools; NULL: the same one, or ... */
    int bad_tool_use;       /* ... the code and the text of why there is none */
    struct errmsg why;
    json_t *tokens; /* {"bos_token": "<s>", ...} */
};

/* The special tokens, as text; a file writes them as text or as {"content": text}. */
static int read_tokens(struct chat *c, const json_t *config)
{
    static const char *const NAMES[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                        "sep_token", "cls_token", "mask_token"};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        json_t *v = json_object_get(config, NAMES[i]);

        if (json_is_object(v)) v = json_object_get(v, "content");
        if (json_is_string(v) && json_object_set(c->tokens, NAMES[i], v)) return ERR_NOMEM;
    }
    return ERR_OK;
}

/* chat_template is text, which is the "default" one, or a list of named ones. */
static const json_t *find_template(const json_t *config, const char *want)
{
    const json_t *v = json_object_get(config, "chat_template");

    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(v, i), "name"));

        if (name && !strcmp(name, want)) return json_object_get(json_array_get(v, i), "template");
    }
    return !strcmp(want, "default") ? v : NULL;
}

static int open_template(struct jinja **out, const json_t *text, struct errmsg *e)
{
    if (!json_is_string(text)) return ERR_EMPTY;
    return jinja_open(out, json_string_value(text), json_string_length(text), e);
}

static int read_template(struct chat *c, const char *dir, const json_t *config, struct errmsg *e)
{
    struct buf text = {0};
    int rc;

    if (jsonfile_exists(dir, TEMPLATE)) {
        rc = jsonfile_bytes(&text, dir, TEMPLATE, MAX_TEMPLATE_BYTES, e);
        if (!rc) rc = jinja_open(&c->jinja, text.data ? text.data : "", text.len, e);
        buf_fini(&text);
        return rc;
    }
    rc = open_template(&c->jinja, find_template(config, "default"), e);
    if (rc == ERR_EMPTY) return err_set(e, rc, "%s: no chat template", dir);
    if (rc) return rc;
    /* Chats without tools do not need it. */
    rc = open_template(&c->tool_use, find_template(config, "tool_use"), &c->why);
    if (rc == ERR_NOMEM) return err_set(e, rc, "%s", c->why.text);
    c->bad_tool_use = rc == ERR_EMPTY ? ERR_OK : rc;
    return ERR_OK;
}

static struct chat *make(struct errmsg *e)
{
    struct chat *c = calloc(1, sizeof *c);

    if (c) c->tokens = json_object();
    if (!c || !c->tokens) {
        chat_close(&c);
        err_set(e, ERR_NOMEM, "chat: no memory");
    }
    return c;
}

int chat_open(struct chat **out, const char *dir, struct errmsg *e)
{
    struct chat *c = make(e);
    json_t *config = NULL;
    int rc = c ? ERR_OK : ERR_NOMEM;

    *out = NULL;
    if (rc) goto out;
    if (jsonfile_exists(dir, CONFIG)) rc = jsonfile_read(&config, dir, CONFIG, MAX_FILE_BYTES, e);
    if (!rc && read_tokens(c, config)) rc = err_set(e, ERR_NOMEM, "chat: no memory");
    if (!rc) rc = read_template(c, dir, config, e);
    if (rc) goto out;
    *out = c;
    c = NULL;
out:
    json_decref(config);
    chat_close(&c);
    return rc;
}

static int put_token(struct chat *c, const char *name, const char *spelling)
{
    json_t *v;

    if (!spelling) return ERR_OK;
    v = json_string(spelling);
    /* a spelling that is no text is no variable of a template */
    return v && json_object_set_new(c->tokens, name, v) ? ERR_NOMEM : ERR_OK;
}

int chat_from_text(struct chat **out, const char *text, size_t len, const char *bos,
                   const char *eos, const char *where, struct errmsg *e)
{
    struct chat *c = make(e);
    struct errmsg why = {""};
    int rc = c ? ERR_OK : ERR_NOMEM;

    *out = NULL;
    if (rc) goto out;
    if (put_token(c, "bos_token", bos) || put_token(c, "eos_token", eos)) {
        rc = err_set(e, ERR_NOMEM, "chat: no memory");
        goto out;
    }
    rc = len > MAX_TEMPLATE_BYTES
             ? err_set(&why, ERR_FORMAT, "a chat template of %zu bytes, over %zu", len,
                       MAX_TEMPLATE_BYTES)
             : jinja_open(&c->jinja, text, len, &why);
    if (rc) {
        err_set(e, rc, "%s: %s", where, why.text);
        goto out;
    }
    *out = c;
    c = NULL;
out:
    chat_close(&c);
    return rc;
}

void chat_close(struct chat **c)
{
    if (!*c) return;
    jinja_close(&(*c)->jinja);
    jinja_close(&(*c)->tool_use);
    json_decref((*c)->tokens);
    free(*c);
    *c = NULL;
}

/* tools and documents are there and none, as Hugging Face passes them. */
static json_t *make_vars(const struct chat *c, json_t *messages, bool add_generation_prompt,
                         const json_t *vars)
{
    json_t *all = json_pack("{snsn}", "tools", "documents");

    if (all && !json_object_update(all, c->tokens) &&
        (!vars || !json_object_update(all, (json_t *)(uintptr_t)vars)) &&
        !json_object_set(all, "messages", messages) &&
        !json_object_set_new(all, "add_generation_prompt", json_boolean(add_generation_prompt)))
        return all;
    json_decref(all);
    return NULL;
}

int chat_render(const struct chat *c, const json_t *messages, bool add_generation_prompt,
                const json_t *vars, struct buf *out, struct errmsg *e)
{
    bool tools = json_is_array(json_object_get(vars, "tools"));
    const struct jinja *j = c->tool_use && tools ? c->tool_use : c->jinja;
    json_t *adapted = NULL, *all = NULL;
    int rc;

    if (tools && c->bad_tool_use)
        return err_set(e, c->bad_tool_use, "template tool_use: %s", c->why.text);
    rc = messages_adapt(&adapted, (json_t *)(uintptr_t)messages, jinja_content(j), e);
    if (rc) return rc;
    all = make_vars(c, adapted, add_generation_prompt, vars);
    rc = all ? jinja_render(j, all, clock_wall_ms() / 1000, out, e)
             : err_set(e, ERR_NOMEM, "chat: no memory");
    json_decref(adapted);
    json_decref(all);
    return rc;
}
