/* wishes.h - what the rows of a step ask of the device's chooser (kernels/choose.h).
 *
 * A wish says what mask.h and penalty.h do to a row's logits on the host, as edits of single ids:
 * biases, ends that min_tokens forbids, tokens that were there before.  A row with a set of allowed
 * ids, or with more than WISHES_EDITS edits, has none, and the host chooses for it.
 *
 * Threads    one at a time.
 * Ownership  wishes_open takes all memory; a wish is valid until its row's next wishes_put.
 *
 * WI1  whether a row has a wish, and which, is a function of its sequence alone.
 */
#ifndef WORKER_WISHES_H
#define WORKER_WISHES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "kernels/choose.h"

#define WISHES_EDITS 4096 /* of a row: CHOOSE_MAX_EDITS suffice for 256 rows */

struct wishes;
struct seq;
struct model_config;

int wishes_open(struct wishes **out, int max_rows, int V, struct errmsg *e) MUSTCHECK;
void wishes_close(struct wishes **w);
size_t wishes_bytes(int max_rows, int V);

/* The wish for the next token of s; false, and a wish that asks for nothing, when it has none. */
bool wishes_put(struct wishes *w, int row, const struct seq *s, const struct model_config *c);
const struct wish *wishes_at(const struct wishes *w, int row); /* those of the next rows follow */

#endif
