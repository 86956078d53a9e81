/* choices.h - the answers of a row as the JSON array `choices` of OpenAI's response.
 *
 * A chat's choice has index, message, logprobs, finish_reason; a completion's text, index,
 * logprobs, finish_reason.  Where the bytes of an answer are not UTF-8 they become U+FFFD, and the
 * choice has its token_ids too.
 *
 * logprobs are the log-probabilities of the tokens that the text shows: what lies behind a stop
 * string, and a token that ended the answer without being shown, has none.  A token whose bytes are
 * not UTF-8 alone is spelled "\xNN..."; `bytes` has them as they are.
 *
 * Source  OpenAI's API reference: objects of chat completion and (legacy) completion.
 */
#ifndef WORKER_CHOICES_H
#define WORKER_CHOICES_H

#include "base/buf.h"
#include "schema/endpoint.h"
#include "worker/engine.h"

struct tokenizer;

/* outcomes [n] of p, by index; t NULL: token ids cannot be spelled, and there are no logprobs.
 * free(); NULL: out of memory. */
char *choices_json(const struct outcome *outcomes, int n, enum endpoint endpoint,
                   const struct tokenizer *t, const struct sampling *p);

#endif
