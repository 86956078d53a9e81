/* prompt.c - a request's prompt as the model's token ids. */
#include "worker/prompt.h"

static int encode_chat(const struct prompt_source *s, const json_t *request, struct ids *ids,
                       struct refusal *f)
{
    const json_t *messages = json_object_get(request, "messages");
    const json_t *vars = json_object_get(request, "chat_template_kwargs");
    struct buf text = {0};
    int rc;

    if (!s->chat) {
        err_set(&f->why, ERR_ARG, "model %s cannot chat: %s", s->model, s->why_no_chat);
        return refuse(f, "no_chat_template", "messages");
    }
    rc = chat_render(s->chat, messages, true, json_is_object(vars) ? vars : NULL, &text, &f->why);
    /* The template wrote the special tokens out, the first one too. */
    if (!rc)
        rc = tokenizer_encode(s->tokenizer, text.data ? text.data : "", text.len,
                              TOKENIZER_SPECIALS, ids, &f->why);
    buf_fini(&text);
    return rc ? refuse(f, "chat_template", "messages") : ERR_OK;
}

static int encode_text(const struct prompt_source *s, const json_t *request, struct ids *ids,
                       struct refusal *f)
{
    const json_t *prompt = json_object_get(request, "prompt");

    if (!json_is_string(prompt)) {
        err_set(&f->why, ERR_ARG, "prompt is not a string");
        return refuse(f, "invalid_request", "prompt");
    }
    if (tokenizer_encode(s->tokenizer, json_string_value(prompt), json_string_length(prompt),
                         TOKENIZER_BOS, ids, &f->why))
        return refuse(f, "tokenizer", "prompt");
    return ERR_OK;
}

int prompt_encode(const struct prompt_source *s, enum endpoint endpoint, const json_t *request,
                  struct ids *ids, struct refusal *f)
{
    return endpoint == ENDPOINT_CHAT ? encode_chat(s, request, ids, f)
                                     : encode_text(s, request, ids, f);
}
