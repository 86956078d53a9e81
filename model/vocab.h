/* vocab.h - token spellings and their ids, both ways.
 *
 * Spellings are those of the file: byte-level files write letters for bytes.  Ids may have gaps; an
 * empty spelling is one.  Flat, without pointers, so that it can be used where it lies in a file.
 *
 * Threads    immutable once filled.
 * Ownership  vocab_open/vocab_close; vocab_view borrows its arrays; texts are borrowed and valid
 *            until the next vocab_add.
 * Errors     ERR_FORMAT: an id or a spelling used twice, an id that is negative or wild, arrays
 * that lie.
 */
#ifndef MODEL_VOCAB_H
#define MODEL_VOCAB_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vocab;

/* A spelling in a message, for "%.*s": spellings end at their length. */
#define VOCAB_SHOW(text, len) (int)((len) < 60 ? (len) : 60), (text)

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

/* The arrays as they lie, and a vocabulary over such arrays, to which nothing can be added. */
struct vocab_entry {
    uint32_t at;  /* in text */
    uint32_t len; /* 0: a gap */
};
_Static_assert(sizeof(struct vocab_entry) == 8, "tokenizer image v1");
struct vocab_arrays {
    const char *text;
    size_t text_len;
    const struct vocab_entry *entries; /* [size] by id */
    size_t size;
    const int32_t *slots; /* [n_slots] ids by hash, -1: empty */
    size_t n_slots;       /* a power of two */
};
struct vocab_arrays vocab_arrays(const struct vocab *v);
int vocab_view(struct vocab **out, const struct vocab_arrays *a, struct errmsg *e) MUSTCHECK;

#endif
