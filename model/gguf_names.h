/* gguf_names.h - the names of a GGUF's tensors as Hugging Face's files have them.
 *
 * The same short name means different things in different families: ffn_norm stands before the
 * feed-forward, and Gemma, which norms its result too, has a name of its own for that place.
 *
 * Source  the GGUF naming of tensors; the names in each family's safetensors files.
 */
#ifndef MODEL_GGUF_NAMES_H
#define MODEL_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* What `name` of a model of `arch` (general.architecture) is called.  A name that is not known
 * stays as it is, so that it is refused under the name by which the user can find it.  False: too
 * long for out. */
bool gguf_rename(char *out, size_t size, const char *arch, const char *name);

/* A table of rotary positions, which is a part of the configuration (gguf_config.h). */
bool gguf_is_rope_table(const char *name);

#endif
