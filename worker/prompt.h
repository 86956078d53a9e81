/* prompt.h - a request's prompt as the model's token ids.
 *
 * Threads  any number at once, over one source.
 * Errors   ERR_ARG with the refusal filled.
 */
#ifndef WORKER_PROMPT_H
#define WORKER_PROMPT_H

#include <jansson.h>

#include "model/chat.h"
#include "model/tokenizer.h"
#include "worker/params.h"

/* What of a model it takes; borrowed. */
struct prompt_source {
    const char *model; /* its name */
    const struct tokenizer *tokenizer;
    const struct chat *chat; /* NULL: none, and why */
    const char *why_no_chat;
};

/* Appends to ids; request: a checked body (params.h). */
int prompt_encode(const struct prompt_source *s, enum endpoint endpoint, const json_t *request,
                  struct ids *ids, struct refusal *f) MUSTCHECK;

#endif
