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

int decoder_open(struct decoder **out, const json_t *spec, const struct vocab *v,
                 struct errmsg *e) MUSTCHECK;
void decoder_close(struct decoder **d);

/* The bytes of an id, "" for one that is not in the vocabulary; the first id of a text loses what
 * the file strips in front. */
const char *decoder_bytes(const struct decoder *d, int32_t id, bool first, size_t *len);

#endif
