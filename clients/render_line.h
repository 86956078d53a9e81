/* render_line.h - one line for `nightmill render`: a chat, and how it is to be rendered.
 *
 * Accepted: an array of messages; an object with messages, and perhaps tools, documents,
 * chat_template_kwargs and add_generation_prompt; an OpenAI batch line whose body is such an
 * object. Other members do not change the prompt and are passed over.
 *
 * Ownership  caller's storage: zero, render_line_fini; parsing again reuses it.
 * Errors     ERR_FORMAT, ERR_ARG: the text says what is wrong with the line; ERR_UNSUPPORTED names
 *            the member; ERR_NOMEM.
 */
#ifndef CLIENTS_RENDER_LINE_H
#define CLIENTS_RENDER_LINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct render_line {
    json_t *root;              /* the line, parsed */
    const json_t *messages;    /* an array, borrowed from root */
    json_t *vars;              /* an object: the template's other variables */
    bool no_generation_prompt; /* add_generation_prompt is there and false */
};

int render_line_parse(struct render_line *r, const char *text, size_t len,
                      struct errmsg *e) MUSTCHECK;
void render_line_fini(struct render_line *r);

#endif
