/* gguf_config.h - a GGUF's metadata as the JSON that config.json would hold.
 *
 * config_from_json (config.h) then checks and reads it, as it does a file.  Two keys are ours:
 * nightmill_rope_adjacent, because files of the llama architecture have the rows of q and k in the
 * order in which neighbours turn together, and nightmill_norm_plus_one, because files of Gemma
 * hold norms to which the 1 is already added.
 *
 * What a GGUF does not say follows from the architecture, as its other readers have it: Gemma's
 * query scale, Phi 3's window.  The stretched positions of Llama 3 are a tensor of factors, and
 * become rope type longrope with one set.  Ends of text are the tokens that the file names, and
 * the control tokens that end a turn in every model that has them (<|im_end|>, <|eot_id|>, ...).
 *
 * Errors  ERR_FORMAT: a key that is missing or wild, under its GGUF name; ERR_UNSUPPORTED: an
 *         architecture that is not known, with what is, or a key whose meaning is not computed.
 */
#ifndef MODEL_GGUF_CONFIG_H
#define MODEL_GGUF_CONFIG_H

#include <jansson.h>

#include "base/err.h"
#include "model/gguf.h"

/* json_decref the result. */
int gguf_config(json_t **out, const struct gguf *g, struct errmsg *e) MUSTCHECK;

#endif
