/* decoder.h - the decoder of tokenizer.json: the bytes that each id stands for, worked out once.
 *
 * Known: ByteLevel, Metaspace, ByteFallback, Replace, Fuse, Strip (of leading text, behind Fuse),
 * and a Sequence of these.
 *
 * Threads    immutable after open.
 * Ownership  decoder_open/decoder_close; bytes are borrowed.
 * Errors     ERR_UNSUPPORTED names the type and the list of what is known.
 */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/vocab.h"

struct decoder;

/* The bytes of all ids as they lie. */
struct decoder_arrays {
    const char *bytes;
    size_t n_bytes;
    const uint32_t *at; /* [size + 1] where each id's bytes begin */
    size_t size;
};

/* With arrays (borrowed) the bytes are theirs, else they are worked out.  plain: by id, not 0 for
 * what is spelled as it is, not in letters. */
int decoder_open(struct decoder **out, const json_t *spec, const struct vocab *v,
                 const unsigned char *plain, const struct decoder_arrays *arrays,
                 struct errmsg *e) MUSTCHECK;
struct decoder_arrays decoder_arrays(const struct decoder *d);
void decoder_close(struct decoder **d);

/* The bytes of an id, "" for one that is not in the vocabulary; the first id of a text loses what
 * the file strips in front. */
const char *decoder_bytes(const struct decoder *d, int32_t id, bool first, size_t *len);

#endif
