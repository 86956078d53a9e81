/* messages.h - a chat's messages, as a template wants to see them.
 *
 * Users write a message's content as a string or as a list of {"type": "text", "text": ...}; the
 * template takes one or both (jinja_content.h).  Parts that become one string are joined with a
 * newline, as vLLM does.  The arguments of a tool call, which OpenAI spells as a string of JSON,
 * become the object that templates expect.
 *
 * Ownership  *out is a new list of the caller's, which shares what does not change.
 * Errors     ERR_ARG: not an array of objects; ERR_UNSUPPORTED: a part that is no text, by name;
 *            ERR_NOMEM.
 */
#ifndef MODEL_MESSAGES_H
#define MODEL_MESSAGES_H

#include <jansson.h>

#include "base/err.h"
#include "model/jinja_content.h"

int messages_adapt(json_t **out, json_t *messages, enum content_form form,
                   struct errmsg *e) MUSTCHECK;

#endif
