/* chat.c - messages to prompt text. */
#include "model/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/jinja.h"
#include "model/jsonfile.h"

#define CONFIG             "tokenizer_config.json"
#define TEMPLATE           "chat_template.jinja"
#define MAX_FILE_BYTES     ((size_t)64 << 20)
#define MAX_TEMPLATE_BYTES ((size_t)4 << 20)

struct chat {
    struct jinja *jinja;
    json_t *tokens; /* {"bos_token": "<s>", ...} */
};

/* The special tokens, as text; a file writes them as text or as {"content": text}. */
static int read_tokens(struct chat *c, const json_t *config)
{
    static const char *const NAMES[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                        "sep_token", "cls_token", "mask_token"};

    c->tokens = json_object();
    if (!c->tokens) return ERR_NOMEM;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        json_t *v = json_object_get(config, NAMES[i]);

        if (json_is_object(v)) v = json_object_get(v, "content");
        if (json_is_string(v) && json_object_set(c->tokens, NAMES[i], v)) return ERR_NOMEM;
    }
    return ERR_OK;
}

/* chat_template is text, or a list of named ones whose "default" is meant. */
static const json_t *find_template(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template");

    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(v, i), "name"));

        if (name && !strcmp(name, "default"))
            return json_object_get(json_array_get(v, i), "template");
    }
    return json_is_string(v) ? v : NULL;
}

static int read_template(struct chat *c, const char *dir, const json_t *config, struct errmsg *e)
{
    const json_t *v = find_template(config);
    struct buf text = {0};
    int rc;

    if (jsonfile_exists(dir, TEMPLATE)) {
        rc = jsonfile_bytes(&text, dir, TEMPLATE, MAX_TEMPLATE_BYTES, e);
        if (!rc) rc = jinja_open(&c->jinja, text.data ? text.data : "", text.len, e);
        buf_fini(&text);
        return rc;
    }
    if (!json_is_string(v)) return err_set(e, ERR_EMPTY, "%s: no chat template", dir);
    return jinja_open(&c->jinja, json_string_value(v), json_string_length(v), e);
}

int chat_open(struct chat **out, const char *dir, struct errmsg *e)
{
    struct chat *c = calloc(1, sizeof *c);
    json_t *config = NULL;
    int rc = ERR_OK;

    *out = NULL;
    if (!c) {
        rc = err_set(e, ERR_NOMEM, "chat: no memory");
        goto out;
    }
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

void chat_close(struct chat **c)
{
    if (!*c) return;
    jinja_close(&(*c)->jinja);
    json_decref((*c)->tokens);
    free(*c);
    *c = NULL;
}

int chat_render(const struct chat *c, const json_t *messages, bool add_generation_prompt,
                struct buf *out, struct errmsg *e)
{
    /* tools and documents are there and none, as Hugging Face passes them */
    json_t *vars = json_pack("{sOsbsnsn}", "messages", messages, "add_generation_prompt",
                             (int)add_generation_prompt, "tools", "documents");
    int rc;

    if (!vars || json_object_update(vars, c->tokens))
        rc = err_set(e, ERR_NOMEM, "chat: no memory");
    else
        rc = jinja_render(c->jinja, vars, clock_wall_ms() / 1000, out, e);
    json_decref(vars);
    return rc;
}
