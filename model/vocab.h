/* vocab.h - token spellings and their ids, both ways.
 *
 * Spellings are those of the file: byte-level files write letters for bytes.  Ids may have gaps.
 *
 * Threads    immutable once filled.
 * Ownership  vocab_open/vocab_close; texts are borrowed and valid until the next vocab_add.
 * Errors     ERR_FORMAT: an id or a spelling used twice, an id that is negative or wild.
 */
#ifndef MODEL_VOCAB_H
#define MODEL_VOCAB_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vocab;

int vocab_open(struct vocab **out, struct errmsg *e) MUSTCHECK; /* empty */
void vocab_close(struct vocab **v);

/* map: the JSON object {spelling: id}. */
int vocab_read(struct vocab *v, json_t *map, struct errmsg *e) MUSTCHECK;

/* The same spelling under the same id again is fine. */
int vocab_add(struct vocab *v, const char *text, size_t len, int64_t id,
              struct errmsg *e) MUSTCHECK;

int vocab_size(const struct vocab *v);                                   /* largest id + 1 */
int32_t vocab_find(const struct vocab *v, const char *text, size_t len); /* -1: none */
const char *vocab_text(const struct vocab *v, int32_t id, size_t *len);  /* NULL: a gap */

#endif
