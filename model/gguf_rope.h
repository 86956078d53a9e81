/* gguf_rope.h - how positions become angles, as a GGUF says it: rope_scaling of config.json.
 *
 * Source  the GGUF keys rope.scaling.*; the tensors rope_freqs, rope_factors_long and _short.
 */
#ifndef MODEL_GGUF_ROPE_H
#define MODEL_GGUF_ROPE_H

#include "model/gguf_fields.h"

/* Puts rope_theta, partial_rotary_factor and rope_scaling where the file gives them.  head_dim: 0
 * when the family's default holds. */
int gguf_put_rope(const struct gguf_fields *f, int head_dim) MUSTCHECK;

#endif
