/* normal.h - the normalizer of tokenizer.json: what is changed in a text before it is cut up.
 *
 * Known: null, Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD.
 *
 * Threads    immutable after open.
 * Ownership  normal_open/normal_close.
 * Errors     ERR_UNSUPPORTED names the type and the list of what is known.
 */
#ifndef MODEL_NORMAL_H
#define MODEL_NORMAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct normal;

int normal_open(struct normal **out, const json_t *spec, struct errmsg *e) MUSTCHECK;
void normal_close(struct normal **n);

/* True when the valid UTF-8 text would come out as it goes in; false when that takes longer to say
 * than to do. */
bool normal_leaves(const struct normal *n, const char *text, size_t len);

/* Changes the valid UTF-8 text in place. */
int normal_apply(const struct normal *n, struct buf *text, struct errmsg *e) MUSTCHECK;

#endif
