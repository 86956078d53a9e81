/* chat.h - messages to prompt text, by the model's chat template.
 *
 * The template is Jinja, run by the interpreter of jinja.h as Hugging Face runs it (trim_blocks,
 * lstrip_blocks): the variables are messages, add_generation_prompt, bos_token, eos_token.  What
 * the interpreter does not know is refused by name, never rendered wrongly.
 *
 * Threads  immutable after open.
 * Errors   ERR_EMPTY: the model has no chat template; ERR_UNSUPPORTED, ERR_FORMAT: named, with the
 * template's line; ERR_ARG: the template itself raised an exception (its text).
 */
#ifndef MODEL_CHAT_H
#define MODEL_CHAT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct chat;

/* Reads chat_template and the special tokens from dir/tokenizer_config.json (or
 * dir/chat_template.jinja). */
int chat_open(struct chat **out, const char *dir, struct errmsg *e) MUSTCHECK;
void chat_close(struct chat **c);

/* messages: a JSON array of {"role", "content"}; appends the prompt text. */
int chat_render(const struct chat *c, const json_t *messages, bool add_generation_prompt,
                struct buf *out, struct errmsg *e) MUSTCHECK;

#endif
