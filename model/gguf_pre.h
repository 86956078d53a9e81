/* gguf_pre.h - how words are cut, by the name that a GGUF has for it (tokenizer.ggml.pre).
 *
 * Source  the pre-tokenizers in the tokenizer.json of the models after which the names are called.
 */
#ifndef MODEL_GGUF_PRE_H
#define MODEL_GGUF_PRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The pre_tokenizer of a tokenizer.json; NULL: no memory, or (*known false) a name that is not
 * known.  ignore_merges: a word that is a token is that token; add_bos: where no key says. */
json_t *gguf_pre(const char *name, size_t len, bool *known, bool *ignore_merges, bool *add_bos);

/* "llama-bpe, qwen2, ..." */
void gguf_pre_names(char *out, size_t size);

#endif
