/* merges.h - the merge table: which two neighbouring tokens are joined, into what, and how early.
 *
 * A hash from (left id, right id) to (rank, joined id), flat, without pointers: it can be written
 * to a file and used where it lies.
 *
 * Threads    immutable once filled.
 * Ownership  merges_open/merges_close; merges_view borrows its slots.
 * Errors     ERR_FORMAT names the merge that does not join two tokens of the vocabulary into a
 *            third (T2 of tokenizer.h), or what is wrong with the slots.
 *
 * Source  Sennrich et al. 2016; for scores, Kudo and Richardson 2018 (SentencePiece).
 */
#ifndef MODEL_MERGES_H
#define MODEL_MERGES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/vocab.h"

struct merge {
    int32_t left, right; /* left < 0: an empty slot */
    int32_t rank;
    int32_t joined;
};
_Static_assert(sizeof(struct merge) == 16, "tokenizer image v1");

struct merges;

int merges_open(struct merges **out, struct errmsg *e) MUSTCHECK; /* empty */
void merges_close(struct merges **m);

/* text: "left right".  Of two merges of the same pair the later one holds. */
int merges_add(struct merges *m, const struct vocab *v, const char *text, size_t len, size_t rank,
               struct errmsg *e) MUSTCHECK;

/* list: ["a b", ...] or [["a", "b"], ...] by rank. */
int merges_read(struct merges *m, const struct vocab *v, const json_t *list,
                struct errmsg *e) MUSTCHECK;

/* scores: one for each id of v.  Each way to cut a token into two tokens is a merge; the higher the
 * token's score, the lower the rank, and equal scores have equal ranks. */
int merges_score(struct merges *m, const struct vocab *v, const float *scores,
                 struct errmsg *e) MUSTCHECK;

/* NULL when the two are not joined. */
const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right);

/* The slots as they lie, and a table over such slots, whose ids must be below size. */
const struct merge *merges_slots(const struct merges *m, size_t *n_slots);
int merges_view(struct merges **out, const struct merge *slots, size_t n_slots, int size,
                struct errmsg *e) MUSTCHECK;

#endif
