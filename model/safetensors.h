/* safetensors.h - one .safetensors file, mapped read-only, every promise of its header checked.
 *
 * Threads    immutable after open.
 * Ownership  safetensors_open/safetensors_close; tensors and names are borrowed from it.
 * Errors     as in weights.h.
 *
 * The tensors lie one behind the other and fill the data part: a hole, an overlap or bytes left
 * over mean that header and data do not belong together.
 *
 * Source  the safetensors format: u64 little-endian header length, JSON header, data.
 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include "base/err.h"
#include "model/weights.h"

struct safetensors;

int safetensors_open(struct safetensors **out, const char *path, struct errmsg *e) MUSTCHECK;

/* The same over a file's bytes in memory, which stay the caller's; `where` names them. */
int safetensors_from_bytes(struct safetensors **out, const void *bytes, size_t len,
                           const char *where, struct errmsg *e) MUSTCHECK;
void safetensors_close(struct safetensors **s);

const char *safetensors_path(const struct safetensors *s);
int safetensors_count(const struct safetensors *s);
const struct tensor *safetensors_at(const struct safetensors *s, int i);

#endif
