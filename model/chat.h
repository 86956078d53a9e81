/* chat.h - messages to prompt text, by the model's chat template.
 *
 * The template is Jinja, run by the interpreter of jinja.h as Hugging Face runs it (trim_blocks,
 * lstrip_blocks).  Its variables are messages, add_generation_prompt, tools and documents (none
 * unless they are given), the special tokens by their names (bos_token, eos_token, ...), and what
 * the caller adds.  What the interpreter does not know is refused by name, never rendered wrongly.
 *
 * Threads  immutable after open.
 * Errors   ERR_EMPTY: the model has no chat template; ERR_UNSUPPORTED, ERR_FORMAT: named, with the
 * template's line; ERR_ARG: the template itself raised an exception (its text).
 */
#ifndef MODEL_CHAT_H
#define MODEL_CHAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct chat;

/* Reads chat_template and the special tokens from dir/tokenizer_config.json (or
 * dir/chat_template.jinja).  Of several templates, "tool_use" is for renders with tools. */
int chat_open(struct chat **out, const char *dir, struct errmsg *e) MUSTCHECK;

/* From a template in hand; bos and eos are the tokens' spellings, or NULL; `where` begins the
 * message of a bad template ("FILE: ..."). */
int chat_from_text(struct chat **out, const char *text, size_t len, const char *bos,
                   const char *eos, const char *where, struct errmsg *e) MUSTCHECK;
void chat_close(struct chat **c);

/* messages: a JSON array of {"role", "content"}; vars: an object of more variables (tools,
 * documents, enable_thinking), which may not replace messages, or NULL.  Appends the prompt text.
 */
int chat_render(const struct chat *c, const json_t *messages, bool add_generation_prompt,
                const json_t *vars, struct buf *out, struct errmsg *e) MUSTCHECK;

#endif
