/* gguf_tokenizer.h - the tokenizer that a GGUF's metadata describes, by the reader of
 * tokenizer.json (tokenizer_build), and its chat template, by the one of Hugging Face's (chat.h).
 *
 * tokenizer.ggml.model "gpt2" is byte-level BPE, whose words are cut as the name in
 * tokenizer.ggml.pre says (gguf_pre.h); "llama" is SentencePiece's BPE: the scores of the tokens,
 * a mark for a space, bytes for what has no token.  Control tokens and the unknown one become
 * special added tokens, user-defined ones added tokens.
 *
 * Errors  ERR_FORMAT names the key that lies; ERR_UNSUPPORTED a model, a pre-tokenizer or an option
 *         that is not known, with what is; gguf_chat: ERR_EMPTY where there is no template.
 * Source  the GGUF keys tokenizer.*.
 */
#ifndef MODEL_GGUF_TOKENIZER_H
#define MODEL_GGUF_TOKENIZER_H

#include "base/err.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

int gguf_tokenizer(struct tokenizer **out, const struct gguf *g, struct errmsg *e) MUSTCHECK;
int gguf_chat(struct chat **out, const struct gguf *g, struct errmsg *e) MUSTCHECK;

#endif
